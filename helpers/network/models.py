"""The networks of the series, built by name from a seed.

Every network takes float pixels (N, 3, H, W) in 0..1, standardises them itself, so that its
checkpoint carries the moments that it was trained with, and gives logits (N, classes). All are
sequences of named layers that end in `logits`; `helpers.methods.layers` finds layers by name.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.methods.layers import capture, eval_mode

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def build(
    name: str,
    classes: int,
    seed: int = 0,
    *,
    side: int = 32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    init: str = "torch",
    weights: str | None = None,
    frozen: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """The network `name` with freshly drawn weights: the same seed gives the same weights.

    name     "LeNet5", "SmallCNN", "ResNet20", "ResNet20x2", "ResNet18", "ResNet50" or "Linear"
    side     side in pixels of the images it will see
    mean, std  three floats each, subtracted from and dividing the channels; by default none, and
             ImageNet's with `weights="imagenet"`
    init     "torch", PyTorch's own (He et al. for the ResNets), or "keras", Glorot uniform
             kernels and zero biases
    weights  "imagenet" (ResNet18 and ResNet50): torchvision's IMAGENET1K_V1 weights below a new
             last layer, from torch's cache or downloaded into it
    frozen   only the last layer can be trained. In training mode batch normalisation below it
             still follows the batches, as in the post on unknown classes
    dropout  (SmallCNN) the share of numbers that layers "dropout1" to "dropout3" leave out in
             training, behind both pools and behind the last ReLU

    Raises ValueError for a value outside these, RuntimeError where ImageNet weights cannot be had.
    """
    _check(name, classes, side, init, weights)
    _check_dropout(name, dropout)
    # The default generator alone: torch.manual_seed would reseed every GPU as well.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers = _NETS[name](classes, side, weights)
        if init == "keras":
            _initialise_as_keras(layers)
    if dropout:
        layers = _with_dropout(layers, dropout)
    if weights == "imagenet":
        mean, std = mean or IMAGENET_MEAN, std or IMAGENET_STD
    standardise = Standardise(mean or (0.0, 0.0, 0.0), std or (1.0, 1.0, 1.0))
    net = nn.Sequential(OrderedDict(standardise=standardise, **layers))
    if frozen:
        net.requires_grad_(False).logits.requires_grad_(True)
    return net


class Standardise(nn.Module):
    """Subtract a mean from each channel and divide by a standard deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean and std must be three floats, std positive: {mean}, {std}")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters (He et al. 2015, option A).

    Where the block halves the maps, the shortcut takes every second pixel and fills the new
    channels with zeros.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.stride = 1 if channels == width else 2
        self.new_channels = width - channels
        self.conv1 = nn.Conv2d(channels, width, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        shortcut = maps[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        return self.relu2(residual + shortcut)


def channel_moments(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in units of 0..1, of uint8 (N, H, W, 3)."""
    values = torch.arange(256, dtype=torch.float64) / 255
    # Counting the 256 grey levels is exact, and needs no float copy of the images.
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(-1)]
    shares = torch.stack(counts).cpu().double() / (images.numel() // images.shape[-1])
    mean = shares @ values
    std = (shares @ values.square() - mean.square()).clamp(min=0).sqrt()
    # They become part of a checkpoint's key: the last digits of a sum differ between machines.
    return tuple(tuple(round(x, 6) for x in part.tolist()) for part in (mean, std))


def parameter_count(model: nn.Module) -> int:
    """How many numbers the weights are, also those that are frozen; buffers are not counted."""
    return sum(parameter.numel() for parameter in model.parameters())


class LayerRow(NamedTuple):
    """One line of a layer table; `shape` is that of the output for one image."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def layer_table(model: nn.Module, side: int = 32) -> list[LayerRow]:
    """Name, kind, output shape and parameters of each layer, for images of `side` pixels."""
    layers = dict(model.named_children())
    image = torch.zeros(1, 3, side, side, device=next(model.parameters()).device)
    with eval_mode(model), torch.inference_mode(), capture(model, layers) as outputs:
        model(image)
    return [
        LayerRow(name, type(layer).__name__, tuple(outputs[name].shape[1:]), parameter_count(layer))
        for name, layer in layers.items()
    ]


def _check(name, classes, side, init, weights):
    if name not in _NETS:
        raise ValueError(f"there is no network {name!r}; there are: {', '.join(_NETS)}")
    if classes < 2:
        raise ValueError(f"a network needs at least 2 classes to tell apart, not {classes}")
    if side < _LEAST_SIDE[name]:
        raise ValueError(f"{name} needs images of at least {_LEAST_SIDE[name]} px, not {side}")
    if init not in ("torch", "keras"):
        raise ValueError(f"init is 'torch' or 'keras', not {init!r}")
    if weights not in (None, "imagenet"):
        raise ValueError(f"weights is None or 'imagenet', not {weights!r}")
    if weights and (name not in ("ResNet18", "ResNet50") or init != "torch"):
        raise ValueError("weights='imagenet' goes with ResNet18 and ResNet50 and init='torch'")


def _check_dropout(name, dropout):
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is a share of at least 0 and below 1, not {dropout}")
    if dropout and name != "SmallCNN":
        raise ValueError(f"dropout goes with SmallCNN: {name} has no place for it")


def _lenet5(classes, side, weights):
    """LeNet5 as in the post on confidence scores; 62,006 parameters at 32 px with 10 classes.

    The post pools after tanh. Tanh never decreases, so pooling first gives the same function
    with a quarter of the work.
    """
    last = ((side - 4) // 2 - 4) // 2
    return OrderedDict(
        conv1=nn.Conv2d(3, 6, 5),
        pool1=nn.MaxPool2d(2),
        tanh1=nn.Tanh(),
        conv2=nn.Conv2d(6, 16, 5),
        pool2=nn.MaxPool2d(2),
        tanh2=nn.Tanh(),
        flatten=nn.Flatten(),
        fc1=nn.Linear(16 * last * last, 120),
        tanh3=nn.Tanh(),
        fc2=nn.Linear(120, 84),
        tanh4=nn.Tanh(),
        logits=nn.Linear(84, classes),
    )


def _small_cnn(classes, side, weights):
    """The network of "Peering inside a convolutional neural network": 167,562 parameters."""
    last = ((side - 2) // 2 - 2) // 2
    return OrderedDict(
        conv1=nn.Conv2d(3, 32, 3),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(64 * last * last, 64),
        relu3=nn.ReLU(),
        logits=nn.Linear(64, classes),
    )


def _with_dropout(layers, share):
    """The layers of SmallCNN, as the post's regularised model has them."""
    behind = {"pool1": "dropout1", "pool2": "dropout2", "relu3": "dropout3"}
    found = OrderedDict()
    for name, layer in layers.items():
        found[name] = layer
        if name in behind:
            found[behind[name]] = nn.Dropout(share)
    return found


def _linear(classes, side, weights):
    """A linear model on 8x8 pixels: what can be told from coarse colour alone."""
    return OrderedDict(
        pool=nn.AdaptiveAvgPool2d(8),
        flatten=nn.Flatten(),
        logits=nn.Linear(3 * 8 * 8, classes),
    )


def _resnet20(classes, side, weights):
    """He et al. 2015, section 4.2, n = 3: 269,722 parameters, last maps 8x8 at 32 px."""
    return _residual(16, classes, stride=1)


def _resnet20x2(classes, side, weights):
    """ResNet20 for photographs: twice the channels, and a first convolution in steps of 2 pixels.

    1,072,930 parameters with two classes; last maps 8x8 at 64 px.
    """
    return _residual(32, classes, stride=2)


def _residual(width, classes, stride):
    layers = OrderedDict(
        conv1=nn.Conv2d(3, width, 3, stride, padding=1, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
        stage1=_stage(width, width),
        stage2=_stage(width, 2 * width),
        stage3=_stage(2 * width, 4 * width),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        logits=nn.Linear(4 * width, classes),
    )
    for convolution in _weighted(layers, nn.Conv2d):
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return layers


def _stage(channels, width):
    blocks = (ResidualBlock(before, width) for before in (channels, width, width))
    return nn.Sequential(*blocks)


def _resnet18(classes, side, weights):
    from torchvision.models import ResNet18_Weights, resnet18

    return _from_torchvision(resnet18(), ResNet18_Weights.IMAGENET1K_V1, classes, weights)


def _resnet50(classes, side, weights):
    from torchvision.models import ResNet50_Weights, resnet50

    return _from_torchvision(resnet50(), ResNet50_Weights.IMAGENET1K_V1, classes, weights)


def _from_torchvision(net, imagenet, classes, weights):
    """The layers of a torchvision ResNet under their own names, with a new last layer."""
    if weights == "imagenet":
        net.load_state_dict(_imagenet_state(imagenet))
    layers = OrderedDict(net.named_children())
    features = layers.pop("fc").in_features
    layers["flatten"] = nn.Flatten()
    layers["logits"] = nn.Linear(features, classes)
    return layers


def imagenet_file(name: str) -> Path:
    """Where torch's cache has, or would have, the ImageNet weights of ResNet18 or ResNet50."""
    from torchvision.models import ResNet18_Weights, ResNet50_Weights

    weights = {"ResNet18": ResNet18_Weights, "ResNet50": ResNet50_Weights}[name]
    return _cache_file(weights.IMAGENET1K_V1)


def _cache_file(imagenet):
    return Path(torch.hub.get_dir()) / "checkpoints" / imagenet.url.rpartition("/")[2]


def _imagenet_state(imagenet):
    """The weights `imagenet` (torchvision's enum) from torch's cache, or downloaded into it."""
    file = _cache_file(imagenet)
    if not file.exists():
        print(f"Downloading {imagenet.url} to {file}")
    try:
        return imagenet.get_state_dict(progress=False, check_hash=True, weights_only=True)
    # Reading a damaged file raises whatever its bytes happen to say.
    except Exception as error:
        raise RuntimeError(
            f"The ImageNet weights cannot be had ({error!r}). Download {imagenet.url} on a machine "
            f"with a network and put it at {file}, or build the network with weights=None."
        ) from error


def _initialise_as_keras(layers):
    """Keras' defaults: Glorot uniform kernels and zero biases."""
    for layer in _weighted(layers, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _weighted(layers, kinds):
    return [
        part for layer in layers.values() for part in layer.modules() if isinstance(part, kinds)
    ]


_NETS = {
    "LeNet5": _lenet5,
    "SmallCNN": _small_cnn,
    "ResNet20": _resnet20,
    "ResNet20x2": _resnet20x2,
    "ResNet18": _resnet18,
    "ResNet50": _resnet50,
    "Linear": _linear,
}
# Below these the last maps would be empty, or, in the ResNets, smaller than one pixel.
_LEAST_SIDE = {
    "LeNet5": 16,
    "SmallCNN": 10,
    "ResNet20": 4,
    "ResNet20x2": 8,
    "ResNet18": 32,
    "ResNet50": 32,
    "Linear": 8,
}
