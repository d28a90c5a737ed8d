"""captum and pytorch-grad-cam as the referees, on random nets without changes in place.

Where a ReLU works in place behind a layer, both referees weigh what it left of the layer's output.
"""

import copy
from functools import partial

import pytest
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import (
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.stats import entropy
from torch import nn
from torch.nn import functional as F
from torchvision import models

from helpers.methods.attention import (
    area_entropy,
    eigen_cam,
    find_layer,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    rectified,
    score_cam,
    xgrad_cam,
)
from helpers.methods.layers import find
from helpers.network.models import build

PAIRS = [
    (grad_cam, GradCAM),
    (hires_cam, HiResCAM),
    (layer_cam, LayerCAM),
    (xgrad_cam, XGradCAM),
    (eigen_cam, EigenCAM),
]
TARGETS = torch.tensor([2, 0, 4])


def resnet18():
    return models.resnet18(num_classes=5), 64


def lenet5():
    return build("LeNet5", 5), 32


def densenet():
    return models.DenseNet(16, (2, 2, 2, 2), 32, num_classes=5), 96


def vgg11():
    """With a narrower head: a hundred million random weights take longer than the test."""
    with torch.device("meta"):
        net = models.vgg11(num_classes=5)
        net.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(True), nn.Linear(32, 5))
    net.to_empty(device="cpu")
    for layer in net.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return net, 64


@pytest.fixture(
    scope="module", params=[resnet18, lenet5, densenet, vgg11], ids=lambda f: f.__name__
)
def case(request):
    """A net with everything in place that it has, and images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, side = request.param()
        return net.eval(), torch.randn(3, 3, side, side)


def nothing_in_place(monkeypatch, net):
    """Until the test ends, the ReLUs of `net`, functional ones too, leave their input alone."""
    for layer in net.modules():
        if getattr(layer, "inplace", False):
            monkeypatch.setattr(layer, "inplace", False)
    monkeypatch.setattr(F, "relu", lambda maps, inplace=False: torch.relu(maps))


def referee(kind, net, images, layer):
    targets = [ClassifierOutputTarget(label) for label in TARGETS.tolist()]
    with kind(model=net, target_layers=[find(net, layer)]) as extractor:
        return torch.from_numpy(extractor(input_tensor=images, targets=targets))


def as_theirs(maps, images):
    """Their normalisation, which stretches to 0..1 before and after upsampling."""
    size = images.shape[3], images.shape[2]
    return torch.from_numpy(scale_cam_image(scale_cam_image(rectified(maps).numpy(), size)))


def last_convolution(net, images):
    return [name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)][-1]


each_layer = pytest.mark.parametrize("choose", [find_layer, last_convolution])


@each_layer
def test_raw_maps_are_captums(case, choose, monkeypatch):
    net, images = case
    layer = choose(net, images)
    found = grad_cam(net, images, TARGETS, layer)
    nothing_in_place(monkeypatch, net)
    expected = LayerGradCam(net, find(net, layer)).attribute(images, TARGETS)[:, 0].detach()
    assert expected.abs().amax((1, 2)).min() > 1e-4
    assert torch.allclose(found, expected, rtol=0, atol=1e-4 * min(1, expected.abs().max()))


@each_layer
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_maps_are_those_of_pytorch_grad_cam(case, ours, theirs, choose, monkeypatch):
    net, images = case
    layer = choose(net, images)
    maps = ours(net, images, TARGETS, layer)
    nothing_in_place(monkeypatch, net)
    expected = referee(theirs, net, images, layer)
    found = as_theirs(maps, images)
    if ours is eigen_cam:  # the sign is left to chance by their decomposition
        other = as_theirs(-maps, images)
        flipped = (other - expected).flatten(1).abs().amax(1) < 1e-4
        found[flipped] = other[flipped]
    assert torch.allclose(found, expected, rtol=0, atol=1e-4)


@each_layer
def test_grad_cam_pp_of_large_gradients(case, choose, monkeypatch):
    # They add 1e-6 to squares of gradients: where these are no larger, the maps are of that.
    net, images = copy.deepcopy(case)
    layer = choose(net, images)
    with torch.no_grad():
        [part for part in net.modules() if isinstance(part, nn.Linear)][-1].weight.mul_(1000)
    maps = grad_cam_pp(net, images, TARGETS, layer)
    nothing_in_place(monkeypatch, net)
    expected = referee(GradCAMPlusPlus, net, images, layer)
    assert torch.allclose(as_theirs(maps, images), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", [lenet5, densenet], indirect=True, ids=lambda f: f.__name__)
def test_score_cam(case, monkeypatch):
    # For the masks they align corners, as they do nowhere else, nor do the method's authors.
    net, images = case
    layer = find_layer(net, images)
    maps = score_cam(net, images, TARGETS, layer)
    nothing_in_place(monkeypatch, net)
    grow = partial(nn.Upsample, mode="bilinear", align_corners=False)
    monkeypatch.setattr(nn, "UpsamplingBilinear2d", grow)
    expected = referee(ScoreCAM, net, images, layer)
    assert torch.allclose(as_theirs(maps, images), expected, rtol=0, atol=1e-4)


def test_entropy_is_scipys():
    maps = torch.rand(20, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    expected = entropy(maps.flatten(1).numpy(), axis=1, base=30)
    assert torch.allclose(area_entropy(maps), torch.from_numpy(expected), rtol=1e-9)
