"""What layers keep: the right maps, channels, images and pixels, and a model left alone."""

import math
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.methods.feature_maps import (
    Activity,
    Silenced,
    accuracy_lost,
    activity,
    feature_maps,
    first_filters,
    linear_probe,
    lost_p,
    most_exciting,
    patches,
    pixel_readers,
    pixels_recovered,
    pooled_features,
    reach,
    read_pixels,
    receptive_fields,
    silenced,
    uniform_maps,
)
from helpers.network.models import build

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
each_device = pytest.mark.parametrize("device", DEVICES)


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Convolutions, one of them bridged, with ReLUs in place, dropout and batch normalisation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.bridged = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 6, 3, 2)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, 4)
        self.spare = nn.Conv2d(3, 3, 1)

    def forward(self, images):
        maps = self.relu(self.norm(self.first(images)))
        maps = self.relu(self.last(self.relu(maps + self.bridged(maps))))
        return self.fc(self.drop(maps.mean((2, 3))))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Net()
    model.norm.running_mean.normal_()
    return model


@pytest.fixture
def images():
    return draw(7, 3, 10, 12, seed=1)


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 2, 3, 0, 1, 2])


def untouched(model):
    return model.training and not any(module._forward_hooks for module in model.modules())


# Fields for 3 x 4 cells, as if each saw 3 x 3 pixels of its own.
THIRDS = [[[3 * i, 3 * j, 3 * i + 3, 3 * j + 3] for j in range(4)] for i in range(3)]
WHOLE = {"last": torch.tensor(THIRDS)}
CALLS = {
    "maps": lambda model, images, labels: feature_maps(model, images, ["last"]),
    "pooled": lambda model, images, labels: pooled_features(model, images, ["last"]),
    "activity": lambda model, images, labels: activity(model, images, ["last"]),
    "exciting": lambda model, images, labels: most_exciting(model, images, "last"),
    "silenced": lambda model, images, labels: silenced(model, images, labels, "last"),
    "bridged": lambda model, images, labels: silenced(model, images, labels, "bridged"),
    "uniform": lambda model, images, labels: uniform_maps(model, images, ["last"]),
    "readers": lambda model, images, labels: pixel_readers(model, images, WHOLE),
    "fields": lambda model, images, labels: receptive_fields(model, "last", (10, 12)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_the_model_is_left_as_it_was(call, model, images, labels):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    call(model, images, labels)
    assert untouched(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(part.grad is None and part.requires_grad for part in model.parameters())


@pytest.mark.parametrize("name", [name for name in CALLS if name != "fields"])
def test_the_model_is_left_as_it_was_by_an_error_too(name, model, images, labels):
    with pytest.raises(RuntimeError):
        CALLS[name](model, images[:, :1], labels)
    assert untouched(model)


@each_device
def test_maps_are_those_of_the_layers_whatever_the_batch(model, images, device):
    model.to(device).eval()
    first = model.first(images.to(device))
    maps = model.norm(first).relu()
    last = model.last((maps + model.bridged(maps)).relu())
    for batch in (2, 7, 100):
        found = feature_maps(model, images, ["first", "last"], batch)
        assert list(found) == ["first", "last"]
        torch.testing.assert_close(found["first"], first.detach().cpu())
        torch.testing.assert_close(found["last"], last.detach().cpu())


def test_bytes_become_floats_as_for_the_networks_of_the_series(model):
    pixels = (draw(3, 10, 12, 3) * 256).byte()
    floats = pixels.permute(0, 3, 1, 2) / 255
    expected = feature_maps(model, floats, ["last"])["last"]
    torch.testing.assert_close(feature_maps(model, pixels, ["last"])["last"], expected)


def test_pooled_features_are_means_of_maps_and_rows_as_they_are(model, images):
    rows = pooled_features(model, images, ["first", "last", "fc"], cells=4, batch=3)
    maps = feature_maps(model, images, ["first", "last"])
    assert rows["first"].shape == (7, 6 * 4 * 4)
    assert rows["last"].shape == (7, 6 * 3 * 4)  # 3 x 4 maps: no more cells than there are
    first = rows["first"].view(7, 6, 4, 4)
    torch.testing.assert_close(first[:, :, 0, 0], maps["first"][:, :, :2, :3].mean((2, 3)))
    torch.testing.assert_close(rows["last"], maps["last"].flatten(1))
    torch.testing.assert_close(rows["fc"], model.eval()(images).detach())


class Channels(nn.Module):
    """Gives channels that are known: red, red less 2, two constant, and one of a single image."""

    def __init__(self):
        super().__init__()
        self.mixed, self.relu = nn.Identity(), nn.ReLU()
        self.flat = nn.Flatten()

    def forward(self, images):
        red = images[:, :1]
        mixed = [red, red - 2, -red, 0 * red - 7, 0 * red + 0.7, red - 0.9]
        return self.flat(self.relu(self.mixed(torch.cat(mixed, 1))))


def some_red():
    images = 0.8 * draw(9, 3, 4, 4) + 0.01
    images[4, 0, 2, 3], images[3, 0, 0, 0] = 0.95, 0.001
    return images


@pytest.mark.parametrize("batch", [2, 128])
def test_dead_are_the_channels_that_are_the_same_everywhere_in_every_image(batch):
    seen = activity(Channels(), some_red(), ["mixed", "relu"], batch)
    assert seen["mixed"].dead.tolist() == [False, False, False, True, True, False]
    assert seen["relu"].dead.tolist() == [False, True, True, True, True, False]


@pytest.mark.parametrize("batch", [2, 128])
def test_activity_says_how_far_and_in_how_many_images_channels_rise(batch):
    images = some_red()
    seen = activity(Channels(), images, ["mixed"], batch)["mixed"]
    red = images[:, 0]
    torch.testing.assert_close(seen.least[:2], torch.stack([red.min(), red.min() - 2]))
    torch.testing.assert_close(seen.largest[:2], torch.stack([red.max(), red.max() - 2]))
    expected = torch.tensor([1, 0, 0, 0, 1, 1 / 9])
    torch.testing.assert_close(seen.active, expected)


def test_activity_of_numbers_without_places():
    seen = activity(Channels(), some_red(), ["flat"])["flat"]
    assert seen.dead.shape == (6 * 16,)
    assert seen.dead[16:80].all()
    assert not seen.dead[:16].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_no_input_goes_beyond_the_reach_of_a_channel_and_one_gets_there(seed, bias, padded):
    torch.manual_seed(seed)
    layer = nn.Conv2d(3, 4, 3, bias=bias, padding=int(padded))
    least, largest = torch.randn(2, 3).sort(0).values
    model, inputs = nn.Sequential(layer), Activity(least, largest, least, least > 0)
    most = reach(model, "0", inputs)
    within = least.view(3, 1, 1) + (largest - least).view(3, 1, 1) * torch.rand(50, 3, 6, 6)
    assert (layer(within).amax((0, 2, 3)) <= most + 1e-5).all()
    if not padded:
        bounds = [bound.view(1, 3, 1, 1) for bound in (largest, least)]
        best = torch.where(layer.weight > 0, *bounds)
        torch.testing.assert_close(layer(best).diagonal()[0, 0], most, rtol=1e-4, atol=1e-5)


def test_a_channel_out_of_reach_is_dead():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        model[0].bias[0] = -model[0].weight[0].clamp(min=0).sum() - 0.1
    pixels = Activity(torch.zeros(3), torch.ones(3), torch.ones(3), torch.zeros(3) > 0)
    assert (reach(model, "0", pixels) > 0).tolist() == [False, True]
    assert activity(model, draw(20, 3, 5, 5), ["1"])["1"].dead[0]


@pytest.mark.parametrize("batch", [3, 128])
def test_the_most_exciting_images_are_the_strongest_each_once_with_the_place(model, batch):
    images = draw(20, 3, 10, 12, seed=3)
    maps = feature_maps(model, images, ["last"])["last"]
    best = most_exciting(model, images, "last", 4, batch)
    values, indices = maps.amax((2, 3)).T.sort(1, descending=True)
    assert torch.equal(best.indices, indices[:, :4])
    torch.testing.assert_close(best.values, values[:, :4])
    rows, columns = best.places.unbind(2)
    there = maps[best.indices, torch.arange(6)[:, None], rows, columns]
    torch.testing.assert_close(there, best.values)


def test_of_equally_strong_images_the_earlier_comes_first():
    images = some_red()[[4, 0, 1, 4, 2]]
    best = most_exciting(Channels(), images, "relu", 9, batch=2)
    assert best.indices.shape == (6, 5)
    assert best.indices[0].tolist()[:2] == [0, 3]
    assert best.indices[1].tolist() == [0, 1, 2, 3, 4]
    assert best.places[0, :2].tolist() == [[2, 3], [2, 3]]


def by_hand(model, images, labels, layer, channel):
    def silence(module, inputs, output):
        output = output.clone()
        output[:, channel] = 0
        return output

    handle = model.get_submodule(layer).register_forward_hook(silence)
    right = model(images).argmax(1) == labels
    handle.remove()
    return right


@each_device
@pytest.mark.parametrize("layer", ["first", "norm", "bridged", "last", "relu", "fc"])
def test_silenced_channels_are_zero_and_the_others_as_they_were(model, layer, device):
    nn.init.normal_(model.fc.weight, std=3)
    images, labels = 3 * torch.randn(40, 3, 10, 12), torch.arange(40) % 4
    found = silenced(model.to(device), images, labels, layer, batch=25)
    model.eval().cpu()
    assert found.right.device == images.device
    assert torch.equal(found.whole, model(images).argmax(1) == labels)
    expected = [by_hand(model, images, labels, layer, k) for k in range(len(found.right))]
    assert torch.equal(found.right, torch.stack(expected))
    assert (found.right != found.whole).any(1).sum() > 2


def test_a_silenced_channel_is_gone_and_not_just_lower():
    model = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.tensor([1, 0.3, 0.2]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    found = silenced(model, images, torch.tensor([0, 1]), "0")
    assert found.whole.tolist() == [True, False]
    assert found.right.tolist() == [[False, True], [True, False], [True, False]]


@pytest.mark.parametrize("layer", ["stage1", "stage2.0.relu1", "stage2.1.bn2"])
def test_silencing_inside_and_outside_of_a_residual_block(layer):
    model = build("ResNet20", 3, seed=1).eval()
    images, labels = draw(3, 3, 8, 8), torch.tensor([0, 1, 2])
    # One image alone could be broadcast where copies do not fit.
    for count in (1, 3):
        found = silenced(model, images[:count], labels[:count], layer)
        expected = by_hand(model, images[:count], labels[:count], layer, 5)
        assert torch.equal(found.right[5], expected)


def test_a_layer_that_runs_on_other_numbers_of_channels_is_refused():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 5, 3), relu, nn.Flatten())
    with pytest.raises(ValueError, match="on 4 and on 5 channels"):
        silenced(model, draw(2, 3, 6, 6), torch.tensor([0, 1]), "1")


def test_what_comes_before_the_layer_runs_once_for_each_image(model, images, labels):
    seen = []
    model.first.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    silenced(model, images, labels, "last", batch=18)
    assert sum(seen) == 1 + 2 + 7  # one to count channels, two to see what passes by


def test_accuracy_lost_is_a_paired_difference_with_its_interval():
    whole = torch.arange(200) % 10 > 1
    right = torch.stack([whole, whole & (torch.arange(200) % 4 > 0), torch.ones(200) > 0])
    same, worse, better = accuracy_lost(Silenced(right, whole))
    assert tuple(same) == (0, 0, 0, 200)
    assert worse.value == pytest.approx((whole.float() - right[1].float()).mean().item())
    assert 0.1 < worse.low < worse.value < worse.high < 0.3
    assert better.value == pytest.approx(-0.2)
    assert better.high < -0.1


def test_p_values_are_small_for_what_is_lost_and_1_where_nothing_changes():
    whole = torch.arange(200) % 10 > 1
    one = whole.clone()
    one[3] = False
    p = lost_p(Silenced(torch.stack([whole, one, ~whole, whole | True]), whole))
    # One image lost is a coin thrown once; 40 gained of 40 is a coin thrown 40 times.
    torch.testing.assert_close(p[[0, 1, 3]], torch.tensor([1, 1, 2**-39], dtype=torch.float64))
    assert p[2] < 1e-10


def seen_by(layers, sides, place):
    """Which of a row of pixels a cell sees behind layers (kernel, stride, padding, dilation)."""
    seen = {place}
    for (kernel, stride, padding, dilation), side in zip(layers[::-1], sides[::-1], strict=True):
        first = [cell * stride - padding for cell in seen]
        seen = {start + dilation * k for start in first for k in range(kernel)} & set(range(side))
    return [min(seen), max(seen) + 1]


def sides_of(layers, side):
    sides = [side]
    for kernel, stride, padding, dilation in layers:
        sides.append((sides[-1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return sides


windows = st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(0, 1), st.integers(1, 2))


@settings(max_examples=25, deadline=None)
@given(st.lists(windows.filter(lambda w: w[2] <= w[0] // 2), min_size=1, max_size=3), st.booleans())
def test_fields_are_those_by_counting(layers, pooled):
    heights, widths = (sides_of(layers, side) for side in (17, 20))
    assume(min(heights) > 0)
    make = nn.MaxPool2d if pooled else partial(nn.Conv2d, 3, 3)
    model = nn.Sequential(*(make(*window) for window in layers))
    fields = receptive_fields(model, str(len(layers) - 1), (17, 20))
    assert fields.shape == (heights.pop(), widths.pop(), 4)
    for row, line in enumerate(fields.tolist()):
        for column, (top, left, bottom, right) in enumerate(line):
            assert [top, bottom] == seen_by(layers, heights, row)
            assert [left, right] == seen_by(layers, widths, column)


def test_fields_are_where_the_gradient_is_through_pooling_norms_and_bridges():
    model = build("ResNet20", 3, seed=0)
    model.bn1.running_mean.normal_()
    fields = receptive_fields(model, "stage2", (24, 32))
    # Where all weights are positive and nothing is shut, no part of a gradient cancels.
    for part in model.parameters():
        part.data.abs_().add_(1e-3)
    images = draw(1, 3, 24, 32).requires_grad_()
    maps = model.eval()[:6](images)
    assert fields.shape == (*maps.shape[2:], 4)
    for row, column in ((0, 0), (5, 9), (11, 15)):
        (slope,) = torch.autograd.grad(maps[0, :, row, column].sum(), images, retain_graph=True)
        rows, columns = slope[0].abs().sum(0).nonzero().T
        box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert fields[row, column].tolist() == box


def test_fields_of_lenet_and_of_what_sees_all():
    model = build("LeNet5", 10)
    fields = receptive_fields(model, "tanh2", (32, 32))
    assert fields.shape == (5, 5, 4)
    assert fields.dtype == torch.int64
    assert fields[0, 0].tolist() == [0, 0, 16, 16]
    assert fields[1, 2].tolist() == [4, 8, 20, 24]
    pooled = receptive_fields(build("ResNet20", 2), "pool", (8, 16))
    assert pooled.tolist() == [[[0, 0, 8, 16]]]


def test_uniform_are_the_maps_without_a_second_number():
    images = some_red()
    images[2] = 0.3
    found = uniform_maps(Channels(), images, ["mixed", "relu"], batch=2)
    single = torch.arange(9) == 2
    for channel, expected in enumerate([single, single, single, single | True, single | True]):
        assert torch.equal(found["mixed"][:, channel], expected)
    assert torch.equal(found["relu"][:, 1], single | True)
    # Red is above 0.9 in one image alone.
    assert found["relu"][:, 5].tolist() == [True] * 4 + [False] + [True] * 4
    assert torch.equal(found["relu"].all(0), activity(Channels(), images, ["relu"])["relu"].dead)


def test_a_map_of_a_single_cell_is_not_uniform():
    model = nn.Sequential(nn.Conv2d(3, 4, 5))
    assert not uniform_maps(model, draw(3, 3, 5, 5), ["0"])["0"].any()


SMALL = ("relu1", "pool1", "relu2", "pool2")


def test_patches_tile_the_image_in_the_middle_of_the_fields():
    model = build("SmallCNN", 2, side=26)
    for name, step, corner in zip(SMALL, (1, 2, 2, 4), (1, 1, 3, 3), strict=True):
        fields = receptive_fields(model, name, (26, 26))
        found = patches(fields)
        rows, columns = torch.meshgrid(*map(torch.arange, found.shape[:2]), indexing="ij")
        first = corner + step * torch.stack([rows, columns], 2)
        assert torch.equal(found, torch.cat([first, first + step], 2))
        margins = found[..., :2] - fields[..., :2], fields[..., 2:] - found[..., 2:]
        assert (margins[0] - margins[1]).abs().max() <= 1


def test_a_single_cell_has_all_of_its_field():
    fields = receptive_fields(build("SmallCNN", 2, side=10), "pool2", (10, 10))
    assert patches(fields).tolist() == [[[0, 0, 10, 10]]]


def test_patches_of_cells_that_see_unequally_much_are_refused():
    with pytest.raises(ValueError, match="without padding"):
        patches(receptive_fields(build("ResNet20", 2), "relu1", (8, 8)))


def pictures_of(n, seed, side=14):
    """Images with structure: bytes, coarse noise and a little fine noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=generator)
    fine = torch.rand(n, 3, side, side, generator=generator)
    return 0.8 * F.interpolate(coarse, size=(side, side), mode="bilinear") + 0.2 * fine


class Shuffled(nn.Module):
    """Patches of 2 x 2 pixels as 12 mixed channels and 2 dead; the image's border is left out."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(12, 3, 2, 2, generator=generator)
        self.mixed = nn.Conv2d(3, 14, 2, stride=2)
        self.mixed.weight.data = torch.cat([weight, torch.zeros(2, 3, 2, 2)])

    def forward(self, images):
        return self.mixed(images[:, :, 1:-1, 1:-1])


@each_device
@pytest.mark.parametrize("batch", [3, 128])
def test_pixels_that_the_cells_hold_are_read_back(batch, device):
    model, learnt, asked = Shuffled().to(device), pictures_of(40, 0), pictures_of(10, 1)
    fields = {"mixed": receptive_fields(model, "mixed", (14, 14))}
    readers = pixel_readers(model, learnt, fields, batch)
    assert (readers["mixed"].corner, readers["mixed"].step) == ((1, 1), (2, 2))
    assert readers["mixed"].weights.device.type == "cpu"
    read = read_pixels(model, asked, readers, batch)["mixed"]
    torch.testing.assert_close(read, asked[:, :, 1:13, 1:13].permute(0, 2, 3, 1), atol=1e-3, rtol=0)
    found = pixels_recovered(model, asked, readers, batch)["mixed"]
    assert found.missed.shape == (10,)
    assert found.missed.device == asked.device
    assert found.missed.sum() < 1e-4 * found.spread.sum()


def test_what_is_recovered_is_the_share_of_variance_by_hand():
    model, learnt, asked = build("SmallCNN", 3, 0, side=14), pictures_of(60, 0), pictures_of(20, 1)
    fields = {name: receptive_fields(model, name, (14, 14)) for name in ("relu1", "pool2")}
    found = pixels_recovered(model, asked, pixel_readers(model, learnt, fields))
    maps = {part: feature_maps(model, x, list(fields)) for part, x in (("l", learnt), ("a", asked))}
    for name, corner, step in (("relu1", 1, 1), ("pool2", 3, 4)):
        cells = [maps[part][name].permute(0, 2, 3, 1).flatten(0, 2).double() for part in "la"]
        side = maps["l"][name].shape[2]
        pixels = [
            torch.stack(
                [
                    x[
                        n,
                        :,
                        corner + step * i : corner + step * (i + 1),
                        corner + step * j : corner + step * (j + 1),
                    ].flatten()
                    for n in range(len(x))
                    for i in range(side)
                    for j in range(side)
                ]
            ).double()
            for x in (learnt, asked)
        ]
        cells = [torch.cat([x, torch.ones(len(x), 1)], 1) for x in cells]
        weights = torch.linalg.lstsq(cells[0], pixels[0], driver="gelsd").solution
        missed = (cells[1] @ weights - pixels[1]).square()
        spread = (pixels[0].mean(0) - pixels[1]).square()
        each = [x.view(20, -1).sum(1) for x in (missed, spread)]
        torch.testing.assert_close(found[name].spread, each[1])
        torch.testing.assert_close(found[name].missed, each[0], rtol=1e-3, atol=1e-3)


def test_a_dead_layer_recovers_nothing_and_averages_what_averages_can():
    blank, learnt, asked = Shuffled(), pictures_of(40, 0), pictures_of(10, 1)
    fields = {"mixed": receptive_fields(blank, "mixed", (14, 14))}
    nn.init.zeros_(blank.mixed.weight)
    found = pixels_recovered(blank, asked, pixel_readers(blank, learnt, fields))["mixed"]
    torch.testing.assert_close(found.missed, found.spread)
    averages = nn.Sequential(nn.AvgPool2d(2))
    fields = {"0": receptive_fields(averages, "0", (14, 14))}
    found = pixels_recovered(averages, asked, pixel_readers(averages, learnt, fields))["0"]
    assert 0.5 < 1 - found.missed.sum() / found.spread.sum() < 0.98


def blobs(n, numbers, seed, spread=1.0):
    labels = torch.arange(n) % 3
    noise = torch.randn(n, numbers, generator=torch.Generator().manual_seed(seed))
    middles = F.one_hot(torch.arange(numbers) % 3, 3).T[labels]
    return 5 * middles + spread * noise, labels


@pytest.mark.parametrize("numbers", [3, 400])
def test_a_linear_probe_reads_what_is_linear(numbers):
    train, test = blobs(150, numbers, 0), blobs(60, numbers, 1)
    right = linear_probe(*train, *test)
    assert right.shape == (60,)
    assert right.dtype == torch.bool
    assert right.float().mean() > 0.95
    assert torch.equal(right, linear_probe(*train, *test))


def test_a_linear_probe_finds_nothing_in_noise_and_in_what_is_not_linear():
    noise = torch.randn(600, 20, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(600) % 2
    crossed = ((noise[:, 0] > 0) ^ (noise[:, 1] > 0)).long()
    for classes in (labels, crossed):
        right = linear_probe(noise[:300], classes[:300], noise[300:], classes[300:])
        assert 0.4 < right.float().mean() < 0.6


def test_a_linear_probe_of_dead_channels_says_the_commonest_class():
    train, labels = torch.zeros(10, 300), torch.tensor([0] * 6 + [1] * 4)
    assert linear_probe(train, labels, train, labels).tolist() == [True] * 6 + [False] * 4


def test_the_unit_of_a_number_does_not_change_a_probe():
    train, test = blobs(90, 5, 0, 3), blobs(60, 5, 1, 3)
    scaled = [(rows * torch.tensor([1, 100, 0.01, 1, 1]), labels) for rows, labels in (train, test)]
    assert torch.equal(linear_probe(*train, *test), linear_probe(*scaled[0], *scaled[1]))


def test_first_filters_are_the_weights_as_small_pictures(model):
    filters = first_filters(model)
    assert filters.shape == (6, 3, 3, 3)
    assert filters[4, 0, 1, 2] == model.first.weight[4, 2, 0, 1]
    assert not filters.requires_grad


NONE = torch.zeros(0, 3, 10, 12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, x, y: feature_maps(m, NONE, ["last"]), "no images"),
        (lambda m, x, y: silenced(m, NONE, y[:0], "last"), "no images"),
        (lambda m, x, y: feature_maps(m, x, ["conv9"]), "no layer 'conv9'"),
        (lambda m, x, y: feature_maps(m, x, ["spare"]), "'spare' did not run"),
        (lambda m, x, y: feature_maps(m, x, ["fc"]), r"'fc' puts out \(7, 4\)"),
        (lambda m, x, y: most_exciting(m, x, "fc"), r"\(N, C, h, w\)"),
        (lambda m, x, y: activity(m, x.int(), ["last"]), r"uint8 \(N, H, W, 3\)"),
        (lambda m, x, y: activity(m, x[0], ["last"]), "images are"),
        (lambda m, x, y: silenced(m, x, y[:3], "last"), "7 images have labels"),
        (lambda m, x, y: reach(m, "fc", None), "without groups"),
        (lambda m, x, y: reach(m, "last", Activity(*torch.zeros(4, 3))), "has 6 inputs, not 3"),
        (lambda m, x, y: receptive_fields(m, "fc", (10, 12)), "no maps"),
        (lambda m, x, y: linear_probe(x[:, 0, 0], y, x[:, 0, 0, :5], y), "5 to test"),
        (lambda m, x, y: linear_probe(x[:, 0, 0], y[:2], x[:, 0, 0], y), "7 rows have labels"),
        (lambda m, x, y: linear_probe(x[:, 0, 0], 0 * y, x[:, 0, 0], y), "class"),
        (lambda m, x, y: linear_probe(math.nan * x[:, 0, 0], y, x[:, 0, 0], y), "NaN"),
        (lambda m, x, y: first_filters(m.fc), "no convolution"),
        (lambda m, x, y: first_filters(m.last), "6 channels"),
    ],
)
def test_what_does_not_fit_is_refused(call, says, model, images, labels):
    with pytest.raises(ValueError, match=says):
        call(model, images, labels)


class Blank(nn.Module):
    """Gives the same number for every image."""

    def __init__(self, number):
        super().__init__()
        self.number, self.out = number, nn.Identity()

    def forward(self, images):
        return self.out(torch.full((len(images), 2, 3, 3), self.number))


def test_fields_of_a_net_that_gives_nan_for_any_image_are_refused():
    with pytest.raises(ValueError, match="plain grey"):
        receptive_fields(Blank(torch.nan), "out", (4, 4))
    with pytest.raises(ValueError, match="does not depend"):
        receptive_fields(Blank(1.0), "out", (4, 4))
