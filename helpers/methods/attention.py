"""Where a network looks: class activation maps, from CAM to Score-CAM, and how large they are.

All methods are called alike, `grad_cam(model, images, targets, layer)`:

images   float (N, 3, H, W), as the model takes them
targets  (N,) int64, the class that each image is asked about; by default the predicted one
layer    name of a layer that puts out maps (N, C, h, w); by default `find_layer(model, images)`

and give maps (N, h, w), raw and signed: what is above zero speaks for the class, what is below
against it. They are a weighted sum over channels, without the last ReLU of the papers: `rectified`
is that, and `upsample` and `normalised` are for display. A batch takes one forward pass, and one
backward pass from the logits down to the layer and no further; `layer=None` adds a forward pass of
a single image. The model runs in evaluation mode and is left as it was, its hooks, modes and
gradients, by an error too.

All raise ValueError for a layer that the model lacks, that puts out no map or one of a single cell
(saying which layers would do), for targets that do not fit, and where the logits do not depend on
the layer.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import eval_mode, find

# A map that varies by less than this share of its largest number is constant but for rounding.
CONSTANT = 1e-6
# Shares of the largest logit by which a class activation map may miss it, and be called exact.
EXACT = 1e-3


class _Look(NamedTuple):
    """What one pass shows of a layer."""

    maps: Tensor  # (N, C, h, w)
    gradients: Tensor | None  # (N, C, h, w), of each image's target logit
    logits: Tensor  # (N, classes)
    targets: Tensor  # (N,) int64


def cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """Class activation map: channels by the last linear layer's weights for the class (N, h, w).

    Its mean over places and the bias make the logit. Only a network whose logits are one linear
    layer of the spatial means of `layer` has such a map: ValueError for any other, which is found
    by comparing the two.
    Zhou et al. (2016), Learning deep features for discriminative localization.
    """
    seen = _look(model, images, targets, layer, backward=False)
    head = _last_linear(model)
    _check_head(head, seen)
    return _weighted(seen.maps, head.weight.detach()[seen.targets].to(seen.maps.dtype))


def grad_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """Channels weighted by the mean of their gradients over places: (N, h, w).

    Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks.
    """
    return _from_gradients(_grad_cam, model, images, targets, layer)


def grad_cam_pp(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """Channels weighted by positive gradients, each place by how much it matters: (N, h, w).

    The weights of places are written without the squares of gradients that cancel, so that small
    gradients need no constant beside them.
    Chattopadhay et al. (2018), Grad-CAM++: generalized gradient-based visual explanations.
    """
    return _from_gradients(_grad_cam_pp, model, images, targets, layer)


def hires_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """Each channel weighted place by place by its gradient: (N, h, w).

    Where only one linear layer follows, the map sums to the logit less the bias.
    Draelos and Carin (2020), Use HiResCAM instead of Grad-CAM for faithful explanations.
    """
    return _from_gradients(_hires_cam, model, images, targets, layer)


def layer_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """As `hires_cam`, by gradients above zero alone: (N, h, w).

    Jiang et al. (2021), LayerCAM: exploring hierarchical class activation maps.
    """
    return _from_gradients(_layer_cam, model, images, targets, layer)


def xgrad_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """Channels weighted by the mean of their gradients, each place by its activation: (N, h, w).

    Meant for activations >= 0: of a channel whose signed activations nearly cancel, the weight is
    nearly without bound. Fu et al. (2020), Axiom-based Grad-CAM.
    """
    return _from_gradients(_xgrad_cam, model, images, targets, layer)


def eigen_cam(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> Tensor:
    """Activations along their first principal component over places: (N, h, w).

    The same for every class, so `targets` change nothing. Centred, as is usual; of the two signs
    that in which places that are more active overall are brighter.
    Muhammad and Yeasin (2020), Eigen-CAM: class activation map using principal components.
    """
    return _eigen_cam(_look(model, images, targets, layer, backward=False).maps)


def score_cam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None = None,
    layer: str | None = None,
    batch: int = 64,
) -> Tensor:
    """Channels weighted by the logit of the image seen through them alone: (N, h, w).

    A channel, upsampled and scaled to 0..1, multiplies the image as the model takes it, and the
    weights are the softmax over channels of the class's logit: a forward pass for each channel of
    each image, `batch` at a time. A constant channel shows nothing of the image.
    Wang et al. (2020), Score-CAM: score-weighted visual explanations.
    """
    seen = _look(model, images, targets, layer, backward=False)
    worth = seen.maps.new_empty(seen.maps.shape[:2])
    each = zip(worth, images, seen.maps, seen.targets.tolist(), strict=True)
    with eval_mode(model), torch.no_grad():
        for row, *one in each:
            row[:] = _worth(model, *one, batch)
        return _weighted(seen.maps, worth.softmax(1))


METHODS: dict[str, Callable[..., Tensor]] = {
    "CAM": cam,
    "Grad-CAM": grad_cam,
    "Grad-CAM++": grad_cam_pp,
    "HiResCAM": hires_cam,
    "LayerCAM": layer_cam,
    "XGrad-CAM": xgrad_cam,
    "Eigen-CAM": eigen_cam,
    "Score-CAM": score_cam,
}


def one_pass(
    model: nn.Module, images: Tensor, targets: Tensor | None = None, layer: str | None = None
) -> dict[str, Tensor]:
    """The maps of all methods but CAM and Score-CAM, by their names in `METHODS`, from one pass."""
    seen = _look(model, images, targets, layer)
    found = {name: formula(seen.maps, seen.gradients) for name, formula in _FORMULAS.items()}
    return {**found, "Eigen-CAM": _eigen_cam(seen.maps)}


def find_layer(model: nn.Module, images: Tensor) -> str:
    """Name of the last layer that still tells places apart in `images` (N, 3, H, W).

    The last one to finish that puts out maps (N, C, h, w) of more than one cell, pooling to a fixed
    size not counted: the end of the last convolutional stage, such as "layer4" of a ResNet and
    "features" of a VGG or DenseNet. Which it is depends on the size of the images. Takes a forward
    pass of the first image. Raises ValueError where there is none.
    """
    names = _layers_with_maps(model, images)
    if not names:
        raise ValueError(
            f"no layer of {type(model).__name__} has a map of more than one cell for images "
            f"{tuple(images.shape)}: give larger images"
        )
    return names[-1]


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) at the `size` (H, W) of the images, bilinear: (N, H, W)."""
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def rectified(maps: Tensor) -> Tensor:
    """What speaks for the class: maps (N, h, w) with what is below zero set to zero; NaN stays."""
    return maps.clamp(min=0)


def normalised(maps: Tensor) -> Tensor:
    """Each of maps (N, h, w) stretched to 0..1; NaN throughout where it is `flat`."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return _unless_flat((maps - low) / (high - low), maps)


def flat(maps: Tensor) -> Tensor:
    """Which of maps (N, h, w) point nowhere: (N,) bool.

    True where a map is constant but for rounding, or holds a number that is not finite. A signed
    map all below zero is not flat; the rectified one that would be drawn is.
    """
    low, high = maps.amin((1, 2)), maps.amax((1, 2))
    # Comparisons with NaN are false, as is one of an infinite range.
    varies = high - low > CONSTANT * torch.maximum(low.abs(), high.abs())
    return ~(varies & maps.isfinite().all(-1).all(-1))


def area_above_half(maps: Tensor) -> Tensor:
    """Share of cells above half of the maximum of rectified maps (N, h, w): (N,), NaN if flat."""
    maps = rectified(maps)
    above = maps > maps.amax((1, 2), keepdim=True) / 2
    return _unless_flat(above.to(maps.dtype).mean((1, 2)), maps)


def area_entropy(maps: Tensor) -> Tensor:
    """Entropy of the rectified maps (N, h, w) as distributions over cells: (N,), NaN if flat.

    As a share of the logarithm of the number of cells: 0 for a single cell, near 1 for all alike.
    """
    maps = rectified(maps)
    shares = maps.flatten(1) / maps.sum((1, 2))[:, None]
    return _unless_flat(torch.special.entr(shares).sum(1) / math.log(shares.shape[1]), maps)


def area_holding(maps: Tensor, mass: float = 0.8) -> Tensor:
    """Smallest share of cells that holds `mass` of the rectified maps (N, h, w): (N,).

    NaN where a map is flat. Raises ValueError unless 0 < mass <= 1.
    """
    if not 0 < mass <= 1:
        raise ValueError(f"mass is {mass}: give a share above 0, 1 at most")
    maps = rectified(maps)
    held = maps.flatten(1).sort(1, descending=True).values.cumsum(1)
    # The slack is for sums that should reach the mass and are rounded below it.
    short = held < held[:, -1:] * mass * (1 - CONSTANT)
    cells = (short.sum(1) + 1).to(maps.dtype)
    return _unless_flat(cells / held.shape[1], maps)


def _from_gradients(formula, model, images, targets, layer) -> Tensor:
    seen = _look(model, images, targets, layer)
    return formula(seen.maps, seen.gradients)


def _grad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    return _weighted(maps, gradients.mean((2, 3)))


def _grad_cam_pp(maps: Tensor, gradients: Tensor) -> Tensor:
    denominator = 2 + maps.sum((2, 3), keepdim=True) * gradients
    # Only signed activations can make it zero.
    denominator = denominator.masked_fill(denominator == 0, 1)
    return _weighted(maps, (gradients.relu() / denominator).sum((2, 3)))


def _hires_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    return (gradients * maps).sum(1)


def _layer_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    return (gradients.relu() * maps).sum(1)


def _xgrad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    total = maps.sum((2, 3))
    # A channel without activation weighs nothing rather than 0 / 0.
    total = total.masked_fill(total == 0, 1)
    return _weighted(maps, (gradients * maps).sum((2, 3)) / total)


_FORMULAS = {
    "Grad-CAM": _grad_cam,
    "Grad-CAM++": _grad_cam_pp,
    "HiResCAM": _hires_cam,
    "LayerCAM": _layer_cam,
    "XGrad-CAM": _xgrad_cam,
}


def _eigen_cam(maps: Tensor) -> Tensor:
    places = maps.flatten(2).mT
    # The decomposition refuses what is not finite, for all images at once.
    finite = places.isfinite().all(-1).all(-1)
    centred = (places - places.mean(1, keepdim=True)).where(finite[:, None, None], 0)
    left, size, _ = torch.linalg.svd(centred, full_matrices=False)
    along = left[..., 0] * size[:, :1]
    flipped = (along * centred.sum(2)).sum(1, keepdim=True) < 0
    along = along.where(~flipped, -along)
    return along.where(finite[:, None], math.nan).unflatten(1, maps.shape[2:])


def _worth(model: nn.Module, image: Tensor, maps: Tensor, target: int, batch: int) -> Tensor:
    """Logit of `target` for `image` (3, H, W) seen through each of its maps (C, h, w): (C,)."""
    logits = []
    for some in maps.split(batch):
        masks = normalised(upsample(some, image.shape[1:])).nan_to_num(0).to(image.dtype)
        logits.append(model(masks[:, None] * image)[:, target])
    return torch.cat(logits).to(maps.dtype)


def _weighted(maps: Tensor, weights: Tensor) -> Tensor:
    """Maps (N, C, h, w) summed over channels by weights (N, C): (N, h, w)."""
    return torch.einsum("nchw,nc->nhw", maps, weights)


def _unless_flat(values: Tensor, maps: Tensor) -> Tensor:
    """`values` (N, ...), NaN where one of `maps` is flat."""
    return values.masked_fill(flat(maps).view(-1, *[1] * (values.ndim - 1)), math.nan)


def _look(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    layer: str | None,
    backward: bool = True,
) -> _Look:
    """The maps of `layer` and the gradients of the target logits with respect to them."""
    layer = find_layer(model, images) if layer is None else layer
    with eval_mode(model), _graph_above(model, layer, backward) as seen:
        # A tensor of inference mode cannot be in a graph, which a path around the layer may need.
        logits = model(images.clone() if images.is_inference() else images)
        maps = _checked_map(model, images, layer, seen)
        targets = _checked_targets(targets, logits)
        gradients = _gradients(maps, logits, targets, layer) if backward else None
    wide = torch.promote_types(maps.dtype, torch.float32)
    gradients = None if gradients is None else gradients.to(wide)
    return _Look(maps.detach().to(wide), gradients, logits.detach(), targets)


@contextmanager
def _graph_above(model: nn.Module, layer: str, backward: bool) -> Iterator[dict[str, Any]]:
    """Build a graph from the output of `layer` on, and none below it; keep that output."""
    seen: dict[str, Any] = {}

    def begin(module, inputs, output):
        seen["output"] = output
        if not _is_map(output):
            return output
        # A copy to keep and a copy to go on with: whatever changes its input in place changes
        # neither what is kept nor a leaf of the graph.
        leaf = seen["output"] = output.detach().clone()
        if backward:
            torch.set_grad_enabled(True)
            leaf.requires_grad_()
        return leaf.clone()

    handle = find(model, layer).register_forward_hook(begin)
    try:
        # Whatever the caller's mode is, leaving these brings it back.
        with torch.inference_mode(False), torch.no_grad():
            yield seen
    finally:
        handle.remove()


def _gradients(maps: Tensor, logits: Tensor, targets: Tensor, layer: str) -> Tensor:
    asked = logits.gather(1, targets[:, None]).sum()
    if asked.requires_grad:
        (gradients,) = torch.autograd.grad(asked, maps, allow_unused=True)
        if gradients is not None:
            return gradients
    raise ValueError(f"the logits do not depend on layer {layer!r}: give one that they come from")


def _layers_with_maps(model: nn.Module, images: Tensor) -> list[str]:
    """Layers that put out maps of more than one cell, in the order in which they finish."""
    pools = nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d
    names: dict[str, None] = {}

    def note(name):
        def keep(module, inputs, output):
            names.pop(name, None)
            if _is_map(output) and output.shape[2:].numel() > 1:
                names[name] = None

        return keep

    layers = [(name, layer) for name, layer in model.named_modules() if name]
    layers = [(name, layer) for name, layer in layers if not isinstance(layer, pools)]
    handles = [layer.register_forward_hook(note(name)) for name, layer in layers]
    try:
        with eval_mode(model), torch.no_grad():
            model(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return list(names)


def _is_map(output) -> bool:
    return isinstance(output, Tensor) and output.ndim == 4


def _checked_map(model: nn.Module, images: Tensor, layer: str, seen: dict[str, Any]) -> Tensor:
    maps = seen.get("output")
    if "output" not in seen:
        fault = "did not run"
    elif not _is_map(maps):
        what = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        fault = f"puts out {what}, no (N, C, h, w)"
    elif maps.shape[2:].numel() == 1:
        fault = f"has a single cell for images {tuple(images.shape)}, so it tells no places apart"
    else:
        return maps
    others = " or ".join(map(repr, _layers_with_maps(model, images)[-3:])) or "larger images"
    raise ValueError(f"layer {layer!r} {fault}: give {others}")


def _checked_targets(targets: Tensor | None, logits: Tensor) -> Tensor:
    if logits.ndim != 2:
        raise ValueError(f"the model gives {tuple(logits.shape)}: it must give logits (N, classes)")
    if targets is None:
        return logits.argmax(1)
    count, classes = logits.shape
    if tuple(targets.shape) != (count,) or targets.dtype != torch.int64:
        raise ValueError(f"targets are {targets.dtype} {tuple(targets.shape)}: int64 ({count},)")
    if count and not 0 <= targets.min() <= targets.max() < classes:
        raise ValueError(f"targets outside 0..{classes - 1}, the classes that the model knows")
    return targets.to(logits.device)


def _last_linear(model: nn.Module) -> nn.Linear:
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("the model has no linear layer, so no class activation map: try grad_cam")
    return layers[-1]


def _check_head(head: nn.Linear, seen: _Look) -> None:
    means = seen.maps.mean((2, 3)).to(head.weight.dtype)
    if means.shape[1] == head.in_features and seen.logits.shape[1] == head.out_features:
        with torch.no_grad():
            missed = F.linear(means, head.weight, head.bias) - seen.logits
        # Without an image nothing is missed.
        if not len(missed) or missed.abs().amax() <= EXACT * seen.logits.abs().amax():
            return
    raise ValueError(
        "the logits are not the last linear layer of the spatial means of this layer, so there "
        "is no class activation map: name the layer that is averaged, or use grad_cam"
    )
