"""Attention maps: what they are, and that the model is left alone."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from helpers.methods import attention
from helpers.methods.attention import (
    METHODS,
    area_above_half,
    area_entropy,
    area_holding,
    cam,
    eigen_cam,
    find_layer,
    flat,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    layer_cam,
    normalised,
    one_pass,
    rectified,
    score_cam,
    upsample,
    xgrad_cam,
)
from helpers.network.models import build

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
AREAS = [area_above_half, area_entropy, area_holding]
WITH_GRADIENTS = [grad_cam, grad_cam_pp, hires_cam, layer_cam, xgrad_cam]
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
by_gradients = pytest.mark.parametrize("method", WITH_GRADIENTS)


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Body(nn.Module):
    """Convolutions with a ReLU in place, the layer "last" among them, averaged over places."""

    def __init__(self, inplace=True):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, 2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 5, 3, padding=1)
        self.relu = nn.ReLU(inplace)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(5, 4)
        self.forwards = 0

    def forward(self, images):
        self.forwards += 1
        maps = self.relu(self.norm(self.first(images)))
        return self.fc(self.drop(self.relu(self.last(maps)).mean((2, 3))))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Body()


@pytest.fixture
def images():
    return draw(5, 3, 12, 12, seed=1)


class OneConv(nn.Module):
    """The network whose maps captum's tests state."""

    def __init__(self, inplace):
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(1, 2, 3), nn.ReLU(inplace)
        self.fc1, self.relu2 = nn.Linear(8, 4), nn.ReLU(inplace)
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc1.weight.copy_(torch.tensor([1.0] * 5 + [-1.0] * 3))
            self.fc1.bias.zero_()

    def forward(self, images):
        return self.relu2(self.fc1(self.relu1(self.conv1(images)).flatten(1)))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("layer", "expected"),
    [("conv1", [[11.25, 13.5], [20.25, 22.5]]), ("relu1", [[0.0, 4.0], [28.0, 32.5]])],
)
def test_grad_cam_has_the_values_that_captum_states(layer, expected, inplace):
    image = torch.arange(16.0).view(1, 1, 4, 4)
    found = grad_cam(OneConv(inplace), image, torch.tensor([0]), layer)
    assert found.tolist() == [expected]


# What the maps add up to


def test_a_class_activation_map_and_the_bias_make_the_logit(model, images):
    logits = model.eval()(images)
    for label in range(4):
        targets = torch.full((5,), label)
        maps = cam(model, images, targets, "relu")
        made = maps.mean((1, 2)) + model.fc.bias[label]
        torch.testing.assert_close(made, logits[:, label])
        torch.testing.assert_close(grad_cam(model, images, targets, "relu") * 36, maps)
        summed = hires_cam(model, images, targets, "relu").sum((1, 2)) + model.fc.bias[label]
        torch.testing.assert_close(summed, logits[:, label])


def by_hand(name, maps, gradients):
    """The formulas of the papers, for a channel and an image at a time, in float64."""
    total = torch.zeros(maps.shape[1:], dtype=torch.float64)
    for a, g in zip(maps.double(), gradients.double(), strict=True):
        if name == "HiResCAM":
            total += g * a
        elif name == "LayerCAM":
            total += g.relu() * a
        elif name == "Grad-CAM":
            total += g.mean() * a
        elif name == "XGrad-CAM":
            total += (g * a / a.sum() if a.sum() else 0 * a).sum() * a
        else:
            alpha = torch.where(g != 0, g**2 / (2 * g**2 + a.sum() * g**3), 0)
            total += (alpha * g.relu()).sum() * a
    return total


@pytest.mark.parametrize("layer", ["relu", "last"])
def test_maps_are_those_of_the_papers(model, images, layer):
    targets = torch.tensor([0, 1, 2, 3, 0])
    model.eval().relu.inplace = False
    kept = []
    handle = getattr(model, layer).register_forward_hook(lambda *seen: kept.append(seen[2]))
    asked = model(images)[torch.arange(5), targets].sum()
    handle.remove()
    (gradients,) = torch.autograd.grad(asked, kept[-1])
    found = one_pass(model, images, targets, layer)
    assert list(found) == [name for name in METHODS if name not in ("CAM", "Score-CAM")]
    for name in set(found) - {"Eigen-CAM"}:
        pairs = zip(kept[-1].detach(), gradients, strict=True)
        expected = torch.stack([by_hand(name, *pair) for pair in pairs])
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-4, atol=1e-7)


def test_one_pass_gives_what_each_method_gives(model, images):
    for name, maps in one_pass(model, images, layer="relu").items():
        assert torch.equal(maps, METHODS[name](model, images, layer="relu"))


def test_small_gradients_do_not_change_grad_cam_pp(model, images):
    maps, gradients = draw(2, 5, 3, 3), draw(2, 5, 3, 3, seed=1) - 0.5
    scaled = attention._grad_cam_pp(maps * 1e6, gradients * 1e-6) / 1e6 * 1e6
    torch.testing.assert_close(scaled, attention._grad_cam_pp(maps, gradients))


def test_denominators_of_zero_give_no_nan():
    maps = torch.tensor([[[[-1.0, -1.0]], [[1.0, -1.0]], [[0.0, 0.0]]]])
    for formula in (attention._grad_cam_pp, attention._xgrad_cam):
        assert formula(maps, torch.ones_like(maps)).isfinite().all()


def test_eigen_cam_finds_the_one_direction_there_is():
    shape, channels = draw(2, 4, 5), draw(2, 7, seed=1)
    maps = shape[:, None] * channels[:, :, None, None]
    found = attention._eigen_cam(maps)
    expected = (shape - shape.mean((1, 2), keepdim=True)) * channels.norm(dim=1)[:, None, None]
    torch.testing.assert_close(found, expected)


def test_eigen_cam_is_the_same_for_every_class(model, images):
    maps = [eigen_cam(model, images, torch.full((5,), label)) for label in (0, 3)]
    assert torch.equal(*maps)


def test_eigen_cam_of_what_is_not_finite_is_nan_for_that_image_alone(model, images):
    images[1] = math.nan
    found = eigen_cam(model, images, layer="relu")
    assert flat(found).tolist() == [False, True, False, False, False]
    assert found[1].isnan().all()


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_score_cam_weighs_channels_by_what_is_seen_through_them(model, images, batch):
    targets = torch.tensor([0, 1, 2, 3, 0])
    found = score_cam(model, images, targets, "relu", batch)
    model.eval().relu.inplace = False
    for image, target, each in zip(images, targets, found, strict=True):
        with torch.no_grad():
            maps = model.relu(model.last(model.relu(model.norm(model.first(image[None])))))[0]
            logits = [model(mask * image[None])[0, target] for mask in masks_of(maps)]
        expected = sum(w * a for w, a in zip(torch.stack(logits).softmax(0), maps, strict=True))
        torch.testing.assert_close(each, expected)


def masks_of(maps):
    for grown in upsample(maps, (12, 12)):
        low, high = grown.min(), grown.max()
        yield (grown - low) / (high - low) if high > low else torch.zeros_like(grown)


# Batches, modes, memory formats


@each_method
def test_a_batch_gives_what_each_image_gives_alone(model, images, method):
    together = method(model, images, layer="relu")
    assert together.shape == (5, 6, 6)
    assert not together.requires_grad
    alone = torch.cat([method(model, image[None], layer="relu") for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@each_method
@pytest.mark.parametrize("targets", [None, torch.zeros(0, dtype=torch.int64)], ids=["none", "0"])
def test_no_images_have_no_maps(model, images, method, targets):
    expected = method(model, images, layer="last" if method is not cam else "relu")
    found = method(model, images[:0], targets, "last" if method is not cam else "relu")
    assert found.shape == (0, *expected.shape[1:])
    assert found.dtype == expected.dtype


def test_no_images_have_no_maps_in_one_pass_and_no_areas(model, images):
    for maps in one_pass(model, images[:0]).values():
        assert upsample(normalised(rectified(maps)), (12, 12)).shape == (0, 12, 12)
        assert flat(maps).shape == (0,)
        assert [area(maps).shape for area in AREAS] == [(0,)] * 3


@each_method
def test_no_targets_means_the_predicted_class(model, images, method):
    predicted = model.eval()(images).argmax(1)
    assert torch.equal(method(model, images), method(model, images, predicted))


@pytest.mark.parametrize(
    ("method", "layer"),
    # Only what is averaged has a class activation map.
    [(method, "relu") for method in METHODS.values()]
    + [(method, "last") for method in METHODS.values() if method is not cam],
)
def test_relus_in_place_change_no_map(images, method, layer):
    torch.manual_seed(0)
    one, other = Body(inplace=True), Body(inplace=False)
    other.load_state_dict(one.state_dict())
    assert torch.equal(method(one, images, layer=layer), method(other, images, layer=layer))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@each_method
def test_callers_without_gradients_get_the_same(model, images, method, mode):
    expected = method(model, images)
    with mode():
        found = method(model, images * 1)
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    torch.testing.assert_close(found, expected)
    assert torch.is_grad_enabled()


def test_images_of_inference_mode_may_go_round_the_layer(images):
    class Round(Body):
        def forward(self, images):
            maps = self.relu(self.last(self.first(images)))
            return self.fc((maps * images[:, :1, ::2, ::2]).mean((2, 3)))

    model = Round()
    expected = grad_cam(model, images, layer="last")
    with torch.inference_mode():
        torch.testing.assert_close(grad_cam(model, images * 1, layer="last"), expected)


@each_method
def test_channels_last_changes_nothing(model, images, method):
    expected = method(model, images)
    other = images.to(memory_format=torch.channels_last)
    found = method(model.to(memory_format=torch.channels_last), other)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@by_gradients
def test_frozen_weights_change_nothing(model, images, method):
    expected = method(model, images)
    assert torch.equal(method(model.requires_grad_(False), images), expected)


@pytest.mark.parametrize("device", DEVICES)
@each_method
def test_maps_are_on_the_device_of_the_images(model, images, method, device):
    found = method(model.to(device), images.to(device), torch.tensor([0, 1, 2, 3, 0]))
    assert found.device.type == device
    expected = method(model.cpu(), images, torch.tensor([0, 1, 2, 3, 0]))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-5)


def test_half_precision_gives_maps_of_single(model, images):
    found = grad_cam(model.bfloat16(), images.bfloat16())
    assert found.dtype == torch.float32


# The model is left alone


def state(model):
    hooks = sum(len(part._forward_hooks) + len(part._backward_hooks) for part in model.modules())
    modes = [part.training for part in model.modules()]
    wanted = [(weights.requires_grad, weights.grad) for weights in model.parameters()]
    return hooks, modes, wanted, [value.tolist() for value in model.state_dict().values()]


@each_method
def test_the_model_is_left_as_it_was(model, images, method):
    model.train()
    model.norm.eval()
    model.fc.weight.requires_grad_(False)
    model.first.weight.grad = torch.ones_like(model.first.weight)
    before = state(model)
    random = torch.get_rng_state()
    for targets, layer in ((None, None), (torch.tensor([0, 1, 2, 3, 0]), "relu")):
        method(model, images, targets, layer)
    with pytest.raises(ValueError, match="targets outside"):
        method(model, images, torch.full((5,), 4))
    with pytest.raises(RuntimeError):
        method(model, images[:, :1], layer="relu")
    with pytest.raises(RuntimeError):
        method(model, images[:, :1])
    assert state(model) == before
    assert model.first.weight.grad.eq(1).all()
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random)


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values * 1

    @staticmethod
    def backward(ctx, gradients):
        raise AssertionError("gradients went below the layer")


class Guarded(Body):
    def forward(self, images):
        assert not torch.is_grad_enabled()
        self.norm.register_forward_hook(lambda *seen: NoWayBack.apply(seen[2]))
        return super().forward(images)


@by_gradients
def test_there_is_one_pass_forward_and_none_back_below_the_layer(images, method):
    torch.manual_seed(0)
    model = Guarded()
    method(model, images.requires_grad_(), layer="last")
    assert model.forwards == 1
    assert images.grad is None
    assert all(weights.grad is None for weights in model.parameters())


# Which layer


FOUND = {
    "LeNet5": "tanh2",
    "SmallCNN": "pool2",
    "ResNet20": "stage3",
    "ResNet20x2": "stage3",
    "ResNet18": "layer4",
    "ResNet50": "layer4",
}


@pytest.mark.parametrize(("name", "layer"), FOUND.items())
def test_the_layer_of_our_nets_is_found(name, layer):
    with torch.device("meta"):
        assert find_layer(build(name, 10, side=64), torch.zeros(2, 3, 64, 64)) == layer


@pytest.mark.parametrize(
    ("family", "layer"),
    [
        ("resnet34", "layer4"),
        ("densenet121", "features"),
        ("vgg11", "features"),
        ("vgg16_bn", "features"),
        ("mobilenet_v2", "features"),
        ("mobilenet_v3_small", "features"),
        ("efficientnet_b0", "features"),
        ("convnext_tiny", "features"),
        ("squeezenet1_1", "classifier.2"),
        ("shufflenet_v2_x0_5", "conv5"),
    ],
)
def test_the_layer_of_torchvisions_families_is_found(family, layer):
    with torch.device("meta"):
        net = models.get_model(family, weights=None)
        assert find_layer(net, torch.zeros(2, 3, 96, 96)) == layer


def test_small_images_have_their_last_map_further_down():
    with torch.device("meta"):
        assert find_layer(build("ResNet18", 10), torch.zeros(1, 3, 32, 32)) == "layer3"


def test_a_net_without_maps_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ValueError, match="no layer of Sequential has a map of more than one cell"):
        grad_cam(model, draw(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"give larger images"):
        grad_cam(model, draw(1, 3, 2, 2), layer="1")


@each_method
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("drop", r"'drop' puts out \(5, 5\), no \(N, C, h, w\): give 'norm' or 'last' or 'relu'"),
        ("fc", r"'fc' puts out \(5, 4\)"),
        ("nowhere", "no layer 'nowhere'; its layers are"),
        ("idle", "layer 'idle' did not run"),
    ],
)
def test_a_layer_without_a_map_is_refused(model, images, method, layer, message):
    model.idle = nn.Identity()
    with pytest.raises(ValueError, match=message):
        method(model, images, layer=layer)


@each_method
def test_a_map_of_a_single_cell_is_refused(model, method):
    with pytest.raises(ValueError, match=r"'relu' has a single cell for images \(2, 3, 2, 2\)"):
        method(model, draw(2, 3, 2, 2), layer="relu")


def test_a_layer_that_puts_out_no_tensor_is_refused(images):
    class Two(nn.Module):
        def forward(self, maps):
            return maps, maps

    class Net(Body):
        def forward(self, images):
            return super().forward(self.two(images)[0])

    model = Net()
    model.two = Two()
    with pytest.raises(ValueError, match="'two' puts out tuple"):
        grad_cam(model, images, layer="two")


def test_logits_that_do_not_come_from_the_layer_are_refused(images):
    class Side(Body):
        def forward(self, images):
            self.norm(self.first(images))
            return self.fc(images.mean((2, 3)).repeat(1, 2)[:, :5])

    with pytest.raises(ValueError, match="do not depend on layer 'norm'"):
        grad_cam(Side(), images, layer="norm")


@pytest.mark.parametrize(
    "targets", [torch.tensor([0, 1]), torch.zeros(5), torch.full((5,), -1), torch.full((5,), 4)]
)
def test_targets_that_do_not_fit_are_refused(model, images, targets):
    with pytest.raises(ValueError, match="targets"):
        grad_cam(model, images, targets)


def test_logits_must_be_in_rows(images):
    with pytest.raises(ValueError, match="it must give logits"):
        grad_cam(nn.Sequential(nn.Conv2d(3, 4, 3)), images, layer="0")


def test_a_class_activation_map_is_refused_where_there_is_none(model, images):
    for layer in ("last", "norm"):  # before the ReLU; of another width
        with pytest.raises(ValueError, match="no class activation map"):
            cam(model, images, layer=layer)
    with pytest.raises(ValueError, match="no class activation map"):
        cam(build("LeNet5", 10), draw(2, 3, 32, 32))
    with pytest.raises(ValueError, match="no linear layer"):
        cam(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), images)


# Display


def test_upsampling_keeps_what_is_linear_and_what_is_constant():
    ramp = torch.arange(4.0).repeat(1, 4, 1)
    grown = upsample(ramp, (8, 16))
    assert grown.shape == (1, 8, 16)
    assert torch.allclose(grown[0, :, 2:14], torch.arange(12) / 4 + 0.125)
    even = upsample(torch.full((2, 3, 3), 0.3), (7, 5))
    torch.testing.assert_close(even, torch.full((2, 7, 5), 0.3))


def test_flat_maps_are_named():
    maps = draw(6, 4, 4)
    maps[0], maps[1, 0, 0], maps[2, 1, 1] = 0.3, math.nan, math.inf
    maps[3] = 0.3 + 1e-8 * draw(4, 4)
    maps[4] = -draw(4, 4) - 1
    assert flat(maps).tolist() == [True, True, True, True, False, False]
    assert flat(rectified(maps)).tolist() == [True, True, True, True, True, False]
    assert flat(upsample(maps[:1], (13, 13))).item()
    assert flat(1e-20 * draw(1, 4, 4)).tolist() == [False]


def test_flat_maps_are_not_stretched_into_pictures():
    maps = draw(3, 4, 4) - 0.5
    maps[0], maps[1, 0, 0] = 2.0, math.nan
    shown = normalised(maps)
    assert shown[:2].isnan().all()
    assert (shown[2].min(), shown[2].max()) == (0, 1)
    assert torch.equal(shown[2].flatten().argsort(), maps[2].flatten().argsort())


# Areas


def test_areas_of_maps_that_can_be_counted():
    maps = torch.zeros(4, 4, 4) - 1
    maps[0, 1, 2] = 5.0
    maps[1, 0] = 3.0
    maps[2, 0], maps[2, 1:3] = 2.0, 1.0
    maps[3] = 1.0
    maps[3, 3] = 0.99
    assert area_above_half(maps).tolist() == [1 / 16, 1 / 4, 1 / 4, 1]
    assert area_holding(maps, 0.75).tolist() == [1 / 16, 3 / 16, 8 / 16, 12 / 16]
    expected = [0, 0.5, (0.5 * 3 + 0.5 * 4) / 4, 1]
    assert area_entropy(maps).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("area", AREAS)
def test_flat_maps_have_no_area(area):
    maps = draw(4, 3, 3)
    maps[0], maps[1], maps[2, 0, 0] = -draw(3, 3), 1.0, math.nan
    assert area(maps).isnan().tolist() == [True, True, True, False]


whole = st.lists(st.integers(-3, 9), min_size=12, max_size=12).filter(lambda x: len(set(x)) > 3)


@steady
@given(whole, st.randoms())
def test_areas_depend_on_neither_scale_nor_place_nor_what_is_below_zero(numbers, random):
    moved = random.sample(numbers, 12)
    maps = torch.tensor([numbers, moved], dtype=torch.float64).view(2, 3, 4)
    for area in AREAS:
        both = area(maps)
        assert both[0].item() == pytest.approx(both[1].item(), nan_ok=True)
        for other in (maps * 1e-9, maps * 7e5, rectified(maps)):
            torch.testing.assert_close(area(other), both, equal_nan=True)
        known = both[~both.isnan()]
        assert ((known >= 0) & (known <= 1)).all()


@steady
@given(whole)
def test_a_larger_mass_takes_a_larger_area(numbers):
    maps = torch.tensor(numbers, dtype=torch.float64).view(1, 3, 4)
    areas = torch.cat([area_holding(maps, mass) for mass in (0.2, 0.5, 0.8, 1.0)])
    assert areas.isnan().all() or areas.diff().min() >= 0
    positive = (maps > 0).double().mean().item()
    assert areas[-1].item() == pytest.approx(positive, nan_ok=True) or areas[-1].isnan()


@pytest.mark.parametrize("mass", [0.0, -1, 1.1, math.nan])
def test_a_mass_that_is_no_share_is_refused(mass):
    with pytest.raises(ValueError, match="mass is"):
        partial(area_holding, mass=mass)(draw(1, 2, 2))
