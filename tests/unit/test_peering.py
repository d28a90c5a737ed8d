"""What notebook 07 measures: by hand, with other seeds and other images, and on few images."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

from helpers.datasets.imageset import ImageSet, Splits
from helpers.methods.feature_maps import (
    Exciting,
    Recovered,
    Silenced,
    activity,
    feature_maps,
    pixel_readers,
    pixels_recovered,
    receptive_fields,
)
from helpers.methods.statistics import crossed, over_seeds, resampled_means
from helpers.network.models import build
from helpers.network.signatures import to_input
from helpers.series.peering import (
    AVERAGE,
    LAYERS,
    Drawn,
    averaging,
    commonest,
    dead_in,
    dropping,
    looked_at,
    maps_alike,
    means,
    of_dead,
    of_one_class,
    over_both,
    pairs_by_chance,
    probed,
    ratios,
    row_of,
    shares_recovered,
    shares_told,
    squares,
    told,
    unscaled,
    views,
    why_dead,
)

SIDE = 18


def pictures(count, seed=0, classes=3, side=SIDE):
    """Images of smooth noise, one channel brighter: the class."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    pixels = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    labels = torch.arange(count) % classes
    pixels[torch.arange(count), labels] += 0.5
    images = (pixels / 1.5 * 255).byte().permute(0, 2, 3, 1).contiguous()
    table = pd.DataFrame({"row": range(count)})
    return ImageSet(images, labels, tuple("abcdef"[:classes]), table, "made up", f"{seed}-{count}")


@pytest.fixture
def net():
    return build("SmallCNN", 3, seed=1, side=SIDE, init="keras").eval()


def with_dead(net, channels=(2, 5)):
    with torch.no_grad():
        net.conv1.bias[channels[0]] = -100
        net.conv2.bias[channels[1]] = -0.5 * net.conv2.weight[channels[1]].abs().sum()
        net.conv2.weight[channels[1]] *= 0.01
    return net


# Intervals


def test_an_interval_is_over_seeds_and_as_wide_as_the_draws_add():
    values = torch.rand(3, 200, generator=torch.Generator().manual_seed(0))
    drawn = means(values, 500, seed=4)
    assert torch.allclose(drawn.values, values.double().mean(1))
    assert torch.equal(drawn.draws, resampled_means(values.double().T, 500, 4))
    found, seeds = over_both(drawn), over_seeds(values.double().mean(1))
    assert found.value == pytest.approx(seeds.value)
    draws = drawn.draws.mean(1)
    images = draws.quantile(0.975) - draws.mean()
    expected = math.hypot(seeds.high - seeds.value, images.item())
    assert found.high - found.value == pytest.approx(expected, rel=1e-6)
    same = crossed(seeds, seeds)
    assert seeds.low > found.low > same.low


def test_where_the_draws_lie_elsewhere_their_spread_alone_counts():
    values, draws = torch.tensor([0.1, 0.2, 0.3]), torch.rand(400, 3)
    here, there = (over_both(Drawn(values, draws + shift)) for shift in (0, 5))
    assert here == pytest.approx(there, abs=1e-6)


def test_differences_are_paired():
    values = torch.rand(3, 100, generator=torch.Generator().manual_seed(1))
    first, second = means(values, 200, 0), means(values + 0.2, 200, 0)
    assert torch.allclose((second - first).draws, torch.full((200, 3), 0.2).double())
    assert torch.allclose((second - first).values, torch.full((3,), 0.2).double())


def test_ratios_are_of_sums_and_nan_of_nothing():
    parts, wholes = torch.tensor([[1, 0, 2], [0, 0, 0]]), torch.tensor([[2, 1, 3], [0, 0, 0]])
    found = ratios(parts, wholes, 50, 0)
    assert found.values[0] == pytest.approx(0.5)
    assert found.values[1].isnan()
    assert ((found.draws[:, 0] >= 0) & (found.draws[:, 0] <= 1)).all()
    interval = over_both(found)
    assert math.isnan(interval.value)
    assert math.isnan(interval.low)


# Images


def test_the_image_asked_for_is_found_by_its_official_number():
    images = pictures(6)
    assert [row_of(images, number) for number in (-3, 4, 5, 91)] == [0, 4, 5, 5]
    official = images.table.assign(official_index=[7, 91, 3, 4, 90, 8])
    official = replace(images, table=official)
    assert [row_of(official, number) for number in (91, 3, 1, 200)] == [1, 2, 1, 5]


def test_the_quick_profile_looks_at_fewer_images(settings):
    counts = (3, 3, 4_500, 1_500)
    parts = Splits(*(pictures(count, classes=2, side=10) for count in counts))
    assert [len(part) for part in looked_at(parts, settings)] == [1_000, 1_000]
    learnt, test = looked_at(parts, replace(settings, profile="full"))
    assert (len(learnt), len(test)) == (4_000, 1_500)
    assert learnt.name.startswith(parts.calibration.name)
    small = Splits(*(pictures(count, side=10) for count in (3, 3, 8, 9)))
    assert [len(part) for part in looked_at(small, settings)] == [8, 9]


# Nets


def test_an_unscaled_net_sees_pixels_of_0_to_255(net):
    net = build("SmallCNN", 3, 1, side=SIDE, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)).eval()
    images = pictures(4).images
    expected = net(255 * to_input(images))
    torch.testing.assert_close(unscaled(net)(to_input(images)), expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(net.standardise.mean.flatten(), torch.tensor([0.5, 0.4, 0.3]))


def test_maps_are_alike_by_rank_within_their_channel(net):
    images = pictures(5).images
    assert torch.allclose(maps_alike(net, net, images, "conv1"), torch.ones(5).double())
    # Without bias nothing but the size changes, and with one nothing before the ReLU.
    assert torch.allclose(maps_alike(net, unscaled(net), images, "relu1"), torch.ones(5).double())
    with_bias = build("SmallCNN", 3, 1, side=SIDE).eval()
    other = unscaled(with_bias)
    assert (maps_alike(with_bias, other, images, "conv1") > 0.9999).all()
    assert (maps_alike(with_bias, other, images, "relu2") < 0.999).all()
    nothing = build("SmallCNN", 3, 1, side=SIDE)
    nn.init.zeros_(nothing.conv1.weight)
    assert maps_alike(nothing, net, images, "conv1").isnan().all()


def test_dropout_left_on_drops_and_repeats_itself():
    net, images = build("SmallCNN", 3, 1, side=SIDE, dropout=0.5).eval(), pictures(20).images
    layers = ["pool1", "dropout1"]
    whole, kept = feature_maps(dropping(net, 3), images, layers).values()
    torch.testing.assert_close(whole, feature_maps(net, images, ["pool1"])["pool1"])
    gone = (kept == 0) & (whole > 0)
    assert gone.sum() / (whole > 0).sum() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(kept[~gone], 2 * whole[~gone])
    same = feature_maps(dropping(net, 3), images, layers)["dropout1"]
    assert torch.equal(same, kept)
    other = feature_maps(dropping(net, 4), images, layers)["dropout1"]
    assert not torch.equal(other, kept)
    assert torch.equal(net.dropout1(whole), whole)


# Squares


def test_squares_are_the_uniform_maps_of_the_four_layers(net):
    images = pictures(6).images
    images[4] = 0
    uniform = squares(with_dead(net), images)
    assert uniform.shape == (6, 32 + 32 + 64 + 64)
    expected = [
        of.amax((2, 3)) == of.amin((2, 3)) for of in feature_maps(net, images, LAYERS).values()
    ]
    assert torch.equal(uniform, torch.cat(expected, 1))
    assert uniform[4].all()
    dead = uniform.all(0).nonzero().flatten().tolist()
    assert {2, 32 + 2, 64 + 5, 128 + 5} <= set(dead)
    assert torch.equal(of_dead(uniform), torch.full((6,), len(dead)))


def test_uniform_maps_of_living_channels_are_not_of_dead_ones():
    uniform = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 1]]).bool()
    assert of_dead(uniform).tolist() == [1, 1, 1]


def test_dead_channels_are_counted_once(net):
    widths = (32, 32, 64, 64)
    images = pictures(6).images
    uniform = squares(with_dead(net), images)
    relus = (of.flatten(2) for of in feature_maps(net, images, ["relu1", "relu2"]).values())
    expected = sum(int((of.amax(2) == of.amin(2)).all(0).sum()) for of in relus)
    assert dead_in(uniform, widths) == expected >= 2
    alone = torch.zeros(3, sum(widths)).bool()
    # Dead in both convolutions; in `pool1` and `pool2` the same again; alive in the third image.
    alone[:, [2, 32 + 2, 64 + 5, 128 + 5]] = True
    alone[:2, [7, 64 + 7]] = True
    assert dead_in(alone, widths) == 2
    assert dead_in(alone[:2], widths) == 4


def test_why_a_channel_is_dead(net):
    images = pictures(12).images
    before = activity(build("SmallCNN", 3, 1, side=SIDE), images, ["conv1", "conv2"])
    # Dead for these images alone: it asks for more light than they have.
    with torch.no_grad():
        net.conv1.weight[7], net.conv1.bias[7] = 1, -26.9
    table = why_dead(with_dead(net), before, images)
    seen = activity(net, images, ["conv1", "conv2"])
    for layer, name in (("relu1", "conv1"), ("relu2", "conv2")):
        rows = table[table.layer == layer]
        dead = (seen[name].largest <= 0).nonzero().flatten().tolist()
        assert rows.channel.tolist() == dead
        bias = getattr(net, name).bias[dead].tolist()
        assert rows.bias.tolist() == pytest.approx(bias)
        assert rows["largest seen"].tolist() == pytest.approx(seen[name].largest[dead].tolist())
        early = (before[name].largest[dead] <= 0).tolist()
        assert rows["dead before training"].tolist() == early
    first = table[table.layer == "relu1"].set_index("channel")["largest possible"]
    assert first[7] == pytest.approx(0.1, abs=1e-4)
    assert first[2] == pytest.approx(net.conv1.weight[2].clamp(min=0).sum().item() - 100, abs=1e-3)


def test_any_image_is_one_behind_the_moments():
    images = pictures(6).images
    net = build("SmallCNN", 3, 1, side=SIDE, mean=(0.5, 0.4, 0.0), std=(0.5, 0.2, 1.0)).eval()
    with torch.no_grad():
        net.conv1.weight[0], net.conv1.bias[0] = 1, -100
    before = activity(net, images, ["conv1", "conv2"])
    table = why_dead(net, before, images).set_index(["layer", "channel"])
    # 1, 3 and 1 are the largest that the three colours can be.
    assert table["largest possible"]["relu1", 0] == pytest.approx(9 * 5 - 100, abs=1e-3)


def test_without_dead_channels_the_table_is_empty(net):
    with torch.no_grad():
        net.conv1.bias += 10
        net.conv2.bias += 1_000
    images = pictures(3).images
    table = why_dead(net, activity(net, images, ["conv1", "conv2"]), images)
    assert table.empty
    assert "largest possible" in table


# What excites a channel


def exciting(indices, alive=None):
    indices = torch.tensor(indices)
    values = torch.ones(indices.shape)
    if alive is not None:
        values[~torch.tensor(alive)] = 0
    return Exciting(indices, values, torch.zeros(*indices.shape, 2, dtype=torch.long))


def test_pairs_by_chance_are_of_different_images():
    assert pairs_by_chance(torch.tensor([0, 0, 1])) == pytest.approx(1 / 3)
    assert pairs_by_chance(torch.tensor([1, 1])) == 1


def test_pairs_of_one_class_are_counted_among_the_first_nine_of_channels_that_live():
    labels = torch.arange(40) % 2
    even, mixed = list(range(0, 40, 2)), list(range(20))
    best = exciting([even, mixed, even], alive=[True, True, False])
    found = of_one_class([best, exciting([even])], labels, 300, 0)
    # Of 0 to 8 five are even, four odd.
    assert found.values.tolist() == pytest.approx([(1 + 16 / 36) / 2, 1])
    assert found.draws.shape == (300, 2)
    assert (found.draws[:, 1] == 1).all()
    assert found.draws[:, 0].std() > 0.01


def test_draws_are_halves_of_the_images():
    labels = torch.cat([torch.zeros(10), torch.ones(10)]).long()
    # All images in order of their class: of ten drawn at random the first nine are all but one.
    found = of_one_class([exciting([list(range(20))])], labels, 200, 0)
    assert found.values[0] == 1
    assert found.draws.mean() < 0.9
    assert found.draws.min() > 0.4


def test_a_net_without_a_living_channel_has_no_pairs():
    found = of_one_class([exciting([[0, 1]], alive=[False])], torch.tensor([0, 0]), 5, 0)
    assert found.values.isnan().all()
    assert math.isnan(over_both(found).low)


def test_the_commonest_class_is_of_the_first_nine():
    labels = torch.tensor([0, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0, 0, 0])
    assert commonest(exciting([list(range(13))]), 0, labels, "abc") == "c, 4 of 9"


# What a channel is worth


def muted(lost, gained, images=400):
    """Half of the images right; each channel loses and gains so many."""
    whole = torch.arange(images) < images // 2
    right = whole.repeat(len(lost), 1)
    for row, (fewer, more) in enumerate(zip(lost, gained, strict=True)):
        right[row, :fewer] = False
        right[row, images // 2 : images // 2 + more] = True
    return Silenced(right, whole)


def test_a_channel_is_told_from_chance_by_the_exact_test_and_holm():
    seen = muted([8, 9, 0, 0, 20], [0, 0, 0, 30, 20])
    # Five channels: 5 x 2 / 2^8 is 0.039, were it the only one; Holm goes on from the smallest.
    assert told(seen).tolist() == [1, 1, 0, -1, 0]
    assert told(muted([8] + [0] * 63, [0] * 64)).sum() == 0
    assert told(muted([12] + [0] * 63, [0] * 64)).tolist() == [1] + [0] * 63


def test_shares_told_are_of_each_net_and_sign():
    nets = [muted([30, 0, 0, 40], [0, 0, 50, 0]), muted([0, 0, 0, 40], [0, 0, 0, 0])]
    worse, better = (shares_told(nets, sign, 30, 0) for sign in (1, -1))
    assert worse.values.tolist() == [0.5, 0.25]
    assert better.values.tolist() == [0.25, 0]
    assert worse.draws.shape == (30, 2)
    # What is lost so often is so in any images like these.
    assert (worse.draws == worse.values).all()
    border = shares_told([muted([9, 9, 9, 9], [0] * 4)] * 2, 1, 50, 0)
    assert border.draws.std() > 0
    assert torch.equal(border.draws[:, 0], border.draws[:, 1])


# What comes back


def test_averaging_has_the_patches_of_the_layer_as_cells(net):
    images = pictures(5).images
    fields = receptive_fields(net, "pool2", (SIDE, SIDE))
    averages = averaging(fields, (SIDE, SIDE))
    found = feature_maps(averages, images, [AVERAGE])[AVERAGE]
    assert found.shape == (5, 3, *fields.shape[:2])
    corner = images[:, 3:7, 7:11].float().mean((1, 2)) / 255
    torch.testing.assert_close(found[:, :, 0, 1], corner)
    assert (
        receptive_fields(averages, AVERAGE, (SIDE, SIDE))[0, 1] == torch.tensor([3, 7, 7, 11])
    ).all()


def test_shares_recovered_are_of_variance():
    missed, spread = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 4.0])
    found = shares_recovered([Recovered(missed, spread), Recovered(0 * missed, spread)], 20, 0)
    assert found.values.tolist() == [0.5, 1]
    assert set(found.draws[:, 0].tolist()) <= {0.25, 0.5, 0.75}


def test_views_lie_where_they_belong(net):
    images = pictures(40).images
    fields = {name: receptive_fields(net, name, (SIDE, SIDE)) for name in ("relu1", "pool2")}
    readers = pixel_readers(net, images, fields)
    found = views(net, images[0], readers)
    assert list(found) == ["relu1", "pool2"]
    assert all(view.shape == (SIDE, SIDE, 3) for view in found.values())
    assert found["relu1"].min() >= 0
    assert found["relu1"].max() <= 1
    assert (found["pool2"][:3] == 1).all()
    assert (found["pool2"][15:] == 1).all()
    inner = slice(1, -1)
    error = (found["relu1"] - images[0] / 255)[inner, inner].square().mean()
    seen = pixels_recovered(net, images[:1], readers)["relu1"]
    assert error.item() <= seen.missed.item() / (SIDE - 2) ** 2 / 3 + 1e-6


def test_probes_learn_from_one_set_and_are_judged_on_the_other(net):
    learnt, test = pictures(120, 0), pictures(60, 1)
    found = probed(net, learnt, test, ["relu1", "relu3"], 0)
    assert list(found) == ["relu1", "relu3"]
    assert found["relu1"].shape == (60,)
    assert found["relu1"].float().mean() > 0.9
    wrong = replace(test, labels=(test.labels + 1) % 3)
    assert probed(net, learnt, wrong, ["relu1"], 0)["relu1"].float().mean() < 0.1
