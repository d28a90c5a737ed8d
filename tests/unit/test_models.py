"""The networks are the ones in the posts and papers, and the same for the same seed."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from helpers.network import models
from helpers.network.models import build, channel_moments, layer_table, parameter_count

OURS = ("LeNet5", "SmallCNN", "ResNet20", "ResNet20x2", "Linear")
ALL = (*OURS, "ResNet18", "ResNet50")


@pytest.fixture
def images():
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("name", "count"),
    [("LeNet5", 62_006), ("SmallCNN", 167_562), ("ResNet20", 269_722), ("Linear", 1_930)],
)
def test_parameter_counts_are_the_published_ones(name, count):
    assert parameter_count(build(name, 10)) == count


def test_the_net_for_photographs_ends_in_8x8_maps():
    net = build("ResNet20x2", 2, side=64)
    assert parameter_count(net) == 1_072_930
    shapes = {row.name: row.shape for row in layer_table(net, 64)}
    assert shapes["stage3"] == (128, 8, 8)


def test_a_frozen_net_trains_its_last_layer_alone():
    net = build("ResNet18", 3, frozen=True)
    trained = [name for name, weights in net.named_parameters() if weights.requires_grad]
    assert trained == ["logits.weight", "logits.bias"]
    assert same(net, build("ResNet18", 3))


@pytest.mark.parametrize("name", ["ResNet18", "ResNet50"])
def test_torchvision_networks_have_torchvision_s_parameters(name):
    original = getattr(torchvision.models, name.lower())(num_classes=7)
    assert parameter_count(build(name, 7)) == parameter_count(original)


def test_layer_table_of_post_e():
    rows = [(row.name, row.shape, row.parameters) for row in layer_table(build("SmallCNN", 10))]
    assert rows == [
        ("standardise", (3, 32, 32), 0),
        ("conv1", (32, 30, 30), 896),
        ("relu1", (32, 30, 30), 0),
        ("pool1", (32, 15, 15), 0),
        ("conv2", (64, 13, 13), 18_496),
        ("relu2", (64, 13, 13), 0),
        ("pool2", (64, 6, 6), 0),
        ("flatten", (2304,), 0),
        ("fc1", (64,), 147_520),
        ("relu3", (64,), 0),
        ("logits", (10,), 650),
    ]


def test_layer_table_leaves_the_model_as_it_was():
    model = build("ResNet20", 10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert layer_table(model)[6].shape == (64, 8, 8)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_lenet5_is_the_post_s_function(images):
    model = build("LeNet5", 10, seed=3)
    maps = F.max_pool2d(model.conv1(images).tanh(), 2)
    maps = F.max_pool2d(model.conv2(maps).tanh(), 2)
    hidden = model.fc2(model.fc1(maps.flatten(1)).tanh()).tanh()
    torch.testing.assert_close(model(images), model.logits(hidden))


def test_shortcuts_of_resnet20_skip_pixels_and_add_empty_channels(images):
    block = build("ResNet20", 10).stage2[0]
    nn.init.zeros_(block.bn2.weight)
    maps = torch.rand(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([maps[:, :, ::2, ::2], torch.zeros(2, 16, 4, 4)], 1)
    torch.testing.assert_close(block(maps), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("init", ["torch", "keras"])
def test_weights_depend_on_the_seed_and_nothing_else(name, init):
    first = build(name, 10, seed=1, init=init)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert same(first, build(name, 10, seed=1, init=init))
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(first, build(name, 10, seed=2, init=init))


def test_keras_initialisation_is_glorot_uniform():
    model = build("SmallCNN", 10, init="keras")
    # Keras counts a kernel's fans as its pixels times the channels on either side.
    for layer, fans in ((model.conv1, 9 * 3 + 9 * 32), (model.fc1, 2304 + 64)):
        limit = (6 / fans) ** 0.5
        assert 0.95 * limit < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.05)
        assert not layer.bias.any()


def test_resnet20_is_initialised_as_he_et_al():
    deviation = build("ResNet20", 10).stage3[2].conv2.weight.std().item()
    assert deviation == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", ALL)
def test_channels_last_and_bfloat16_give_nearly_the_same(name, images):
    model = build(name, 10).eval()
    with torch.inference_mode():
        plain = model(images)
        last = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(
            last(images.to(memory_format=torch.channels_last)), plain, rtol=1e-3, atol=1e-3
        )
        with torch.autocast("cpu", torch.bfloat16):
            half = model(images)
    assert plain.shape == (4, 10)
    assert half.dtype == torch.bfloat16
    assert (half - plain).abs().max() < 0.05 * plain.abs().max().clamp(min=1)


@pytest.mark.parametrize(
    ("name", "least"),
    [("LeNet5", 16), ("SmallCNN", 10), ("ResNet20", 4), ("ResNet20x2", 8), ("Linear", 8)],
)
def test_the_smallest_side_works_and_the_next_smaller_is_refused(name, least):
    assert build(name, 2, side=least)(torch.rand(2, 3, least, least)).shape == (2, 2)
    with pytest.raises(ValueError, match=f"{name} needs images of at least {least} px"):
        build(name, 2, side=least - 1)


@pytest.mark.parametrize("name", OURS)
def test_bigger_images(name):
    assert build(name, 3, side=64)(torch.rand(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "LeNet"}, "no network 'LeNet'; there are: LeNet5, SmallCNN, ResNet20"),
        ({"classes": 1}, "at least 2 classes"),
        ({"init": "zeros"}, "init is 'torch' or 'keras', not 'zeros'"),
        ({"weights": "coco"}, "not 'coco'"),
        ({"weights": "imagenet"}, "goes with ResNet18 and ResNet50"),
        ({"name": "ResNet18", "weights": "imagenet", "init": "keras"}, "and init='torch'"),
        ({"std": (1, 0, 1)}, "std positive"),
        ({"mean": (0.5,)}, "three floats"),
        ({"dropout": 0.25}, "dropout goes with SmallCNN: LeNet5 has no place"),
        ({"name": "SmallCNN", "dropout": 1}, "below 1, not 1"),
        ({"name": "SmallCNN", "dropout": -0.1}, "at least 0"),
    ],
)
def test_impossible_networks_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        build(**{"name": "LeNet5", "classes": 10} | arguments)


def test_dropout_is_behind_both_pools_and_the_last_relu_and_changes_no_weight():
    plain, regularised = build("SmallCNN", 10, 3), build("SmallCNN", 10, 3, dropout=0.25)
    assert plain.state_dict().keys() == regularised.state_dict().keys()
    assert same(plain, regularised)
    kinds = {name: type(layer) for name, layer in plain.named_children()}
    assert list(kinds) == list(dict(build("SmallCNN", 10, dropout=0.0).named_children()))
    names = list(dict(regularised.named_children()))
    for before, dropout in (("pool1", "dropout1"), ("pool2", "dropout2"), ("relu3", "dropout3")):
        assert names.pop(names.index(before) + 1) == dropout
        assert regularised.get_submodule(dropout).p == 0.25
    assert names == list(kinds)


def test_dropout_is_on_in_training_alone(images):
    plain, regularised = build("SmallCNN", 10), build("SmallCNN", 10, dropout=0.5)
    assert torch.equal(regularised.eval()(images), plain(images))
    assert not torch.allclose(regularised.train()(images), plain(images))


def test_models_standardise_and_carry_the_moments(images):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    model = build("LeNet5", 10, mean=mean, std=std)
    by_hand = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(model(images), build("LeNet5", 10)(by_hand))
    other = build("LeNet5", 10, seed=1)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(images), model(images), rtol=0, atol=0)


def test_channel_moments_are_numpy_s():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (7, 5, 6, 3), dtype=torch.uint8, generator=generator)
    images[..., 2] = 255
    mean, std = channel_moments(images)
    values = images.numpy() / 255
    assert mean == pytest.approx(values.mean((0, 1, 2)), abs=1e-6)
    assert std == pytest.approx(values.std((0, 1, 2)), abs=1e-6)
    assert all(x == round(x, 6) for x in mean + std)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch's, and no network."""

    def no_network(*args, **options):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_imagenet_weights_in_the_cache_are_used(cache, images):
    original = torchvision.models.resnet18().eval()
    torch.save(original.state_dict(), cache / "resnet18-f37072fd.pth")
    model = build("ResNet18", 5, weights="imagenet").eval()
    original.fc = model.logits
    mean = torch.tensor(models.IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(models.IMAGENET_STD).view(3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(model(images), original((images - mean) / std))


def test_imagenet_weights_that_cannot_be_had(cache, capsys):
    with pytest.raises(RuntimeError, match="ImageNet weights cannot be had") as raised:
        build("ResNet50", 5, weights="imagenet")
    file = cache / "resnet50-0676ba61.pth"
    assert str(file) in str(raised.value)
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in str(raised.value)
    assert f"to {file}" in capsys.readouterr().out


def test_imagenet_weights_that_are_damaged(cache):
    file = cache / "resnet18-f37072fd.pth"
    file.write_bytes(b"half a download")
    with pytest.raises(RuntimeError, match="ImageNet weights cannot be had") as raised:
        build("ResNet18", 5, weights="imagenet")
    assert str(file) in str(raised.value)
