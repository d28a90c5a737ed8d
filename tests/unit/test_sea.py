"""Scenes whose backgrounds are telling, cut off, swapped: what changes, and what must not."""

import math
from types import SimpleNamespace

import pytest
import torch

from helpers.network.models import build
from helpers.series import sea
from helpers.series.animals import Scale
from helpers.series.plan import plan_for
from helpers.series.sea import (
    CUT_OUT,
    ERASED,
    KINDS,
    PLAIN,
    SWAPPED,
    TELLING,
    cut_out,
    emptied,
    maps_of,
    nets_by_kind,
    on_background,
    paste,
    swapped,
    training_sets,
    trials,
)
from helpers.settings import Settings

SCALE = Scale(train=60, test=60, maps=10, seeds=(0,))


@pytest.fixture(scope="module")
def sets():
    return training_sets(SCALE)


def test_all_kinds_show_the_same_objects(sets):
    assert tuple(sets) == KINDS
    telling = sets[TELLING]
    for kind, images in sets.items():
        assert torch.equal(images.labels, telling.labels)
        assert torch.equal(images.masks, telling.masks)
        if kind != PLAIN:  # painted anew, with other light around it
            assert torch.equal(images.images[images.masks], telling.images[telling.masks])


def test_kinds_have_keys_of_their_own_but_for_erasing(sets):
    assert len({images.key for images in sets.values()}) == len(KINDS) - 1
    assert sets[ERASED].key == sets[TELLING].key


def test_the_background_tells_in_one_kind_and_not_in_plain_ones(sets):
    by_class = sets[TELLING].table.groupby("shape")["background"].nunique()
    assert (by_class == 1).all()
    assert sets[PLAIN].table.groupby("shape")["background"].nunique().max() > 1


def test_cut_outs_are_grey_behind_the_object(sets):
    images = sets[CUT_OUT]
    assert (images.images[~images.masks] == 128).all()


def test_pasting_takes_the_object_from_one_and_the_rest_from_the_other():
    first, other = torch.full((1, 2, 2, 3), 9).byte(), torch.full((1, 2, 2, 3), 5).byte()
    masks = torch.tensor([[[True, False], [False, False]]])
    found = paste(first, masks, other)[..., 0]
    assert found.tolist() == [[[9, 5], [5, 5]]]
    assert cut_out(first, masks)[..., 0].tolist() == [[[9, 128], [128, 128]]]


def test_a_hole_is_filled_by_what_is_around_it():
    images = torch.full((2, 16, 16, 3), 40, dtype=torch.uint8)
    images[1] = 90
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[:, 3:13, 3:13] = True
    images[masks] = 255
    found = emptied(images, masks)
    assert (found[0] == 40).all()
    assert (found[1] == 90).all()


def test_an_image_that_is_all_object_stays_empty_and_ends():
    images = torch.full((1, 8, 8, 3), 40, dtype=torch.uint8)
    assert emptied(images, torch.ones(1, 8, 8, dtype=torch.bool)).sum() == 0


def test_nobody_gets_the_own_background():
    count = 30
    images = torch.arange(count).byte().view(-1, 1, 1, 1).expand(-1, 16, 16, 3).contiguous()
    masks = torch.zeros(count, 16, 16, dtype=torch.bool)
    masks[:, 6:10, 6:10] = True
    found = swapped(images, masks, seed=1)
    behind = found[:, 0, 0, 0].long()
    assert (behind != torch.arange(count)).all()
    assert behind.sort().values.tolist() == list(range(count))
    assert torch.equal(found[masks], images[masks])
    assert not torch.equal(found, swapped(images, masks, seed=2))


def test_trials_show_the_same_objects_before_another_background(sets):
    found = trials(SCALE)
    telling, moved = (part.table for part in found)
    assert telling["index"].tolist() == moved["index"].tolist()
    assert (telling["background"] != moved["background"]).all()
    assert torch.equal(found.telling.labels, found.swapped.labels)
    assert set(telling["index"]).isdisjoint(sets[TELLING].table["index"])


def test_only_random_erasing_has_a_recipe_of_its_own(monkeypatch, sets):
    asked = []
    note = lambda images, *rest, recipe: asked.append((images.key, recipe)) or []  # noqa: E731
    monkeypatch.setattr(sea, "learn", note)
    settings = Settings()
    plan = plan_for(settings)
    nets_by_kind(sets, plan, SCALE, settings)
    assert [recipe for _, recipe in asked] == ["SmallCNN, sea"] * 4 + ["SmallCNN, sea, erasing"]
    hides = set(plan.recipes["SmallCNN, sea, erasing"].augment)
    assert hides - set(plan.recipes["SmallCNN, sea"].augment) == {"cutout16"}


def test_maps_have_the_size_of_the_images_and_do_not_depend_on_batches(monkeypatch, sets):
    net, few = build("SmallCNN", 10, 0), sets[TELLING].subset(range(6), "few")
    found = maps_of(net, few)
    assert found.shape == (6, 32, 32)
    monkeypatch.setattr(sea, "BATCH", 2)
    assert torch.allclose(maps_of(net, few), found, atol=1e-5)


def test_the_share_on_the_background_is_what_is_not_on_the_object(monkeypatch, sets):
    images = sets[TELLING].subset(range(4), "few")
    runs = [SimpleNamespace(model=None)]
    monkeypatch.setattr(sea, "maps_of", lambda model, part: part.masks.float())
    assert on_background(runs, images, most=9).tolist() == [[0.0] * 4]
    monkeypatch.setattr(sea, "maps_of", lambda model, part: (~part.masks).float())
    assert on_background(runs, images, most=3).tolist() == [[1.0] * 3]
    monkeypatch.setattr(sea, "maps_of", lambda model, part: -part.masks.float())
    assert all(math.isnan(x) for x in on_background(runs, images, most=3)[0])


def test_swapped_keeps_kinds_apart(sets):
    assert not torch.equal(sets[SWAPPED].images, sets[TELLING].images)
