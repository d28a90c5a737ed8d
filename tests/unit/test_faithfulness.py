"""Whether attention maps are true: masks, deletion and insertion, scrambled weights."""

import math

import pytest
import torch
from torch import nn

from helpers.methods.attention import upsample
from helpers.methods.faithfulness import (
    blurred,
    centre_gaussian,
    deletion,
    edge_energy,
    energy_inside,
    insertion,
    iou_at,
    pointing_game,
    randomised,
    rank_correlation,
)
from helpers.network.models import build

NONE = torch.zeros(1, dtype=torch.int64)


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Sum(nn.Module):
    """Two classes, of which the first has the sum of all pixels as its score."""

    def forward(self, images):
        total = images.flatten(1).sum(1)
        return torch.stack((total, 1 - total), 1).log()


# Deletion and insertion


def test_areas_are_those_of_torchcams_reference():
    image = torch.tensor([0.4, 0.3, 0.2, 0.1]).view(1, 1, 2, 2)
    gone = deletion(Sum(), image, image[:, 0], NONE, steps=2)
    come = insertion(Sum(), image, image[:, 0], NONE, steps=2)
    assert gone.shares.tolist() == come.shares.tolist() == [0, 0.5, 1]
    torch.testing.assert_close(gone.scores, torch.tensor([[1, 0.3, 0]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(come.scores, torch.tensor([[0, 0.7, 1]]), atol=1e-6, rtol=0)
    assert gone.areas.item() == pytest.approx(0.4, abs=1e-6)
    assert come.areas.item() == pytest.approx(0.6, abs=1e-6)


def test_curves_by_hand():
    model, images = build("SmallCNN", 4, side=10), draw(3, 3, 10, 10)
    maps, targets = draw(3, 10, 10, seed=1) - 0.5, torch.tensor([0, 3, 1])
    blank = draw(3, 1, 1, seed=2)
    curves = [run(model, images, maps, targets, 7, blank) for run in (deletion, insertion)]
    for n in range(3):
        order = maps[n].flatten().argsort(descending=True)
        for step in range(8):
            first = order[: round(step / 7 * 100)]
            gone, come = images[n].clone(), blank.expand(3, 10, 10).clone()
            gone.flatten(1)[:, first] = blank[:, 0]
            come.flatten(1)[:, first] = images[n].flatten(1)[:, first]
            expected = model(torch.stack((gone, come))).softmax(1)[:, targets[n]].tolist()
            found = [curve.scores[n, step].item() for curve in curves]
            assert found == pytest.approx(expected, abs=1e-6)
            assert curves[0].shares[step].item() == pytest.approx(round(step / 7 * 100) / 100)


def test_batches_change_nothing_and_the_model_is_left_as_it_was():
    model, images, targets = build("ResNet20", 3), draw(5, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, other = (deletion(model, images, images[:, 0], targets, 3, batch=b) for b in (2, 9))
    torch.testing.assert_close(one, other)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not one.scores.requires_grad
    assert not one.scores.is_inference()


def test_flat_maps_have_no_curve():
    maps = draw(3, 4, 4)
    maps[0], maps[1, 0, 0] = 0.5, math.nan
    curve = insertion(Sum(), 0.01 * draw(3, 1, 4, 4), maps, torch.zeros(3).long(), 4)
    assert curve.scores.isnan().any(1).tolist() == [True, True, False]
    assert curve.areas.isnan().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": torch.zeros(2, 3, 4)}, "upsampled"),
        ({"targets": NONE}, "upsampled"),
        ({"steps": 0}, "1 to 16"),
        ({"steps": 17}, "1 to 16"),
        ({"baseline": torch.zeros(2, 3)}, "baseline"),
    ],
)
@pytest.mark.parametrize("run", [deletion, insertion])
def test_what_does_not_fit_is_refused(run, change, message):
    given = {"maps": torch.zeros(2, 4, 4), "targets": torch.zeros(2).long(), "steps": 4} | change
    with pytest.raises(ValueError, match=message):
        run(Sum(), torch.zeros(2, 1, 4, 4), **given)


def test_blurring_keeps_what_is_even_and_spreads_a_dot():
    assert torch.allclose(blurred(torch.full((1, 3, 9, 9), 0.3), 2), torch.tensor(0.3))
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 10] = 1
    spread = blurred(dot, 2.0)[0, 0]
    assert spread.sum().item() == pytest.approx(1)
    along = torch.arange(21.0) - 10
    assert (spread.sum(0) @ along**2).item() == pytest.approx(4, rel=0.05)
    for sigma in (0, -1, math.nan, 3):
        with pytest.raises(ValueError, match="sigma"):
            blurred(draw(1, 1, 9, 9), sigma)


# Masks


def boxes(*rows):
    masks = torch.zeros(len(rows), 4, 4, dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(masks, rows, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def test_pointing_asks_for_the_brightest_pixel():
    maps = torch.zeros(5, 4, 4)
    maps[:, 1, 2] = 1.0
    maps[1, 3, 3] = 2.0
    maps[3] = math.nan
    maps[4, 1, 3] = maps[4, 0, 0] = 1.0  # two of three brightest inside
    masks = boxes(*[(1, 2, 2, 4)] * 5)
    maps[2] = 1.0
    assert pointing_game(maps, masks).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("side", [28, 31, 32])
def test_a_map_that_points_at_a_corner_points_at_all_of_its_cell(side):
    cells, half = 0.3 * torch.eye(4).view(4, 2, 2), side // 2 - 3
    for flips in ((), (1,), (2,), (1, 2)):
        maps = upsample(cells[:1].flip(flips), (side, side))
        near, dot = torch.zeros(2, 1, side, side, dtype=torch.bool)
        near[:, :half, :half], dot[:, 0, 0] = True, True
        assert pointing_game(maps, near.flip(flips)).item()
        assert not pointing_game(maps, dot.flip(flips)).item()


def test_energy_and_overlap_by_hand():
    maps = torch.full((3, 4, 4), -1.0)
    maps[0, 0] = torch.tensor([4.0, 2.0, 1.0, 1.0])
    maps[2, 0, 0] = math.nan
    masks = boxes(*[(0, 2, 0, 2)] * 3)
    nan = pytest.approx(math.nan, nan_ok=True)
    assert energy_inside(maps, masks).tolist() == [0.75, nan, nan]
    assert iou_at(maps, masks, 0.5).tolist() == [0.5, nan, nan]
    assert iou_at(maps, masks, 0.25).tolist() == [pytest.approx(2 / 6), nan, nan]
    assert iou_at(maps, masks, 1.0).tolist() == [0.25, nan, nan]


@pytest.mark.parametrize("judge", [pointing_game, energy_inside, lambda a, b: iou_at(a, b, 0.5)])
def test_masks_that_do_not_fit_are_refused(judge):
    for maps, masks in (
        (torch.ones(1, 4, 4), torch.ones(1, 4, 4)),
        (torch.ones(1, 2, 2), boxes((0, 1, 0, 1))),
        (torch.ones(1, 4, 4, 1), boxes((0, 1, 0, 1))),
    ):
        with pytest.raises(ValueError, match="masks bool"):
            judge(maps, masks)


@pytest.mark.parametrize("threshold", [0.0, 1.5, math.nan])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        iou_at(torch.ones(1, 4, 4), boxes((0, 1, 0, 1)), threshold)


def test_controls():
    middle = centre_gaussian(2, 8, 4)
    assert middle.shape == (2, 8, 4)
    assert torch.equal(middle, middle.flip(1, 2))
    assert middle[0, 3, 1] == middle.max()
    # A quarter of each side away from the middle is one standard deviation.
    fine = centre_gaussian(1, 400, 400)[0]
    assert (fine[300, 200] / fine[200, 200]).item() == pytest.approx(math.exp(-0.5), rel=0.02)
    ramp = torch.arange(4.0).expand(1, 3, 5, 4) * 2
    assert torch.allclose(edge_energy(ramp), torch.tensor(2.0))
    assert edge_energy(torch.ones(1, 3, 5, 4)).eq(0).all()


def test_rank_correlation_is_by_map():
    maps = draw(3, 4, 4)
    others = torch.stack((maps[0] ** 3, -maps[1], torch.ones(4, 4)))
    nan = pytest.approx(math.nan, nan_ok=True)
    assert rank_correlation(maps, others).tolist() == [pytest.approx(1), pytest.approx(-1), nan]
    with pytest.raises(ValueError, match="one shape"):
        rank_correlation(maps, maps[:, :2])


# Scrambled weights


def changed(one, other):
    return {n for n, value in one.state_dict().items() if not torch.equal(value, other[n])}


def test_layers_are_drawn_anew_from_the_top():
    model = build("LeNet5", 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    done = set()
    for name, copy in randomised(model):
        done |= {f"{name}.weight", f"{name}.bias"}
        assert changed(copy, before) == done
    assert name == "conv1"
    assert changed(model, before) == set()
    assert torch.equal(torch.get_rng_state(), random)


def test_normalisation_goes_with_the_layer_before_it():
    model = build("ResNet20", 10)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value += 1
    before = model.state_dict()
    copies = dict(randomised(model))
    assert len(copies) == 20
    assert list(copies)[:2] == ["logits", "stage3.2.conv2"]
    assert {name.rpartition(".")[0] for name in changed(copies["stage3.2.conv2"], before)} == {
        "logits",
        "stage3.2.conv2",
        "stage3.2.bn2",
    }
    assert copies["conv1"].bn1.running_mean.eq(0).all()
    moments = {"standardise.mean", "standardise.std"}
    counted = {name for name in before if name.endswith("num_batches_tracked")}
    assert changed(copies["conv1"], before) == set(before) - moments - counted


def test_copies_repeat_for_a_seed_and_differ_between_seeds_and_layers():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    one, again, other = (list(randomised(model, seed))[-1][1] for seed in (0, 0, 1))
    assert changed(one, again.state_dict()) == set()
    assert changed(one, other.state_dict()) == set(model.state_dict())
    assert not torch.equal(one[0].weight, one[1].weight)


def test_what_cannot_initialise_itself_is_permuted():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(50.0))

    ((name, copy),) = randomised(nn.Sequential(Scale()))
    assert name == "0"
    assert not torch.equal(copy[0].scale, torch.arange(50.0))
    assert torch.equal(copy[0].scale.sort().values, torch.arange(50.0))
