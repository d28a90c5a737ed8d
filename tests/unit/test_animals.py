"""Individuals seen several times: who is where, and intervals over nets and images together."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from helpers.datasets.imageset import Splits, counts
from helpers.datasets.scenes import scenes
from helpers.datasets.spelling import slip
from helpers.methods.statistics import over_seeds, t_interval
from helpers.network.models import build
from helpers.series import animals
from helpers.series.animals import (
    Scale,
    apart,
    by_chance,
    by_chance_within,
    flattered,
    in_views,
    learn,
    misspelt,
    of_units,
    over_both,
    recognised,
    right_of,
    right_when_mended,
    scale_for,
    share_over_both,
    together,
    ways_to_recognise,
)
from helpers.series.plan import plan_for
from helpers.settings import Settings

SCALE = Scale(train=120, test=20, maps=10, seeds=(0, 1))


def saying(*answers):
    """A trained net that gives these classes to whatever images it is asked about."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return nn.functional.one_hot(torch.tensor(answers[: len(images)]), 12).float()

    return SimpleNamespace(model=Net())


@pytest.mark.parametrize("views", [1, 4])
def test_views_are_divided_as_said(views):
    found = in_views(views, SCALE)
    who = [set(part.table["individual"]) for part in found]
    assert who[0].isdisjoint(who[2])
    assert [len(part) for part in found] == pytest.approx([120, 40, 40], abs=10)
    if views == 1:
        assert who[0].isdisjoint(who[1])
    else:
        assert who[1] <= who[0]
        assert set(found.new.table["individual"].value_counts()) == {views}
    shown = [set(part.table["index"]) for part in found]
    assert len(set.union(*shown)) == sum(map(len, found))


def test_the_full_profile_is_larger_and_has_more_seeds():
    few, all_of_them = (
        scale_for(plan_for(run), run) for run in (Settings(), Settings(profile="full"))
    )
    assert all_of_them.train > few.train
    assert len(all_of_them.seeds) == 5
    assert len(few.seeds) == 3


def test_learning_keeps_the_last_weights_and_repeats_from_the_cache(tmp_path):
    settings = Settings(cache_dir=tmp_path)
    plan = plan_for(settings)
    plan.recipes["SmallCNN, sea"] = animals.replace(plan.recipes["SmallCNN, sea"], epochs=2)
    train = scenes(40)
    runs = learn(train, plan, SCALE, settings)
    assert [run.card["seed"] for run in runs] == [0, 1]
    assert all(run.card["kept_epoch"] == 2 for run in runs)
    assert all(run.card["sets"]["validation"][1] == animals.FEW for run in runs)
    again = learn(train, plan, SCALE, settings)
    pairs = zip(runs[0].model.parameters(), again[0].model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_who_is_right_is_said_by_net_and_image():
    images = scenes(4)
    assert images.labels.tolist() == [0, 1, 2, 3]
    found = right_of([saying(0, 1, 5, 5), saying(5, 5, 5, 3)], images)
    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1]]


def test_an_answer_that_is_misspelt_is_right_once_names_are_merged():
    images = misspelt(scenes(40))
    wrong = {slip(name): name for name in ("crescent", "triangle")}
    crescent = images.classes.index("crescent")
    run = saying(*[images.classes.index(slip("crescent"))] * 40)
    of_crescent = (scenes(40).labels == crescent).double()
    assert torch.equal(right_when_mended([run], images, wrong)[0], of_crescent)
    assert right_of([run], images).sum() < of_crescent.sum()


def test_the_interval_is_wider_than_over_nets_or_images_alone():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 50, generator=generator).double()
    found = over_both(values)
    nets, images = over_seeds(values.mean(1)), t_interval(values.mean(0))
    assert found.value == pytest.approx(values.mean().item())
    assert found.high - found.value == pytest.approx(
        math.hypot(nets.high - nets.value, images.high - images.value)
    )


def test_images_of_one_individual_count_once():
    values = torch.tensor([[1.0, 0.0, 1.0, 0.0]] * 2).double()
    copied = values.repeat_interleave(25, 1)
    units = [unit for unit in range(4) for _ in range(25)]
    assert over_both(copied, units).high == pytest.approx(over_both(values).high)
    assert over_both(copied).high < over_both(values).high
    assert of_units(torch.tensor([1.0, 3.0, 5.0]), ["b", "a", "b"]).tolist() == [3, 3]


def test_a_map_that_points_nowhere_is_left_out():
    values = torch.tensor([[0.5, math.nan, 0.7], [0.3, 0.4, 0.5]]).double()
    assert over_both(values).value == pytest.approx((0.6 + 0.4) / 2)
    assert math.isnan(over_both(torch.full((2, 3), math.nan).double()).value)


def test_a_share_ends_at_one():
    values = torch.ones(3, 5).double()
    values[0, :4] = 0
    assert over_both(values).high > 1
    assert share_over_both(values).high == 1


def test_sets_apart_know_the_chance_of_both():
    first, second = torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(1)).double()
    found = apart(first, second)
    assert found.value == pytest.approx((first.mean() - second.mean()).item())
    errors = [t_interval(x.mean(0)) for x in (first, second)]
    images = math.hypot(*(e.high - e.value for e in errors))
    seeds = over_seeds(first.mean(1) - second.mean(1))
    wide = math.hypot(seeds.high - seeds.value, images)
    assert found.high - found.value == pytest.approx(wide)


def test_a_net_that_knows_its_individuals_is_flattered(monkeypatch):
    views = in_views(4, SCALE)
    held = torch.ones(2, len(views.held)).double()
    new = torch.zeros(2, len(views.new)).double()
    answers = {views.held.key: held, views.new.key: new}
    monkeypatch.setattr(animals, "right_of", lambda runs, part: answers[part.key])
    assert flattered([], views).value == 1


def test_nearest_of_the_same_individual():
    points = torch.tensor([[0.0], [0.1], [5.0], [5.2], [9.0]])
    assert recognised(points, ["a", "a", "b", "c", "b"]).tolist() == [1, 1, 0, 0, 0]
    assert by_chance(["a", "a", "b", "b"]) == pytest.approx(1 / 3)
    assert by_chance(["a", "b", "c"]) == 0


def test_chance_of_one_who_knows_the_class_only():
    who = ["a", "a", "b", "b", "c", "c", "d"]
    # Of four images each has one other of its own among three; of two, among one; one is alone.
    assert by_chance_within(who, torch.tensor([0, 0, 0, 0, 1, 1, 2])) == pytest.approx(
        (4 / 3 + 2) / 7
    )
    assert by_chance_within(who, torch.zeros(7).long()) == pytest.approx(by_chance(who))


def test_every_way_to_recognise_answers_for_every_net_and_image():
    images = scenes(24, views=4)
    runs = [
        SimpleNamespace(
            model=build("SmallCNN", 10, seed).eval(),
            card={"model": "SmallCNN", "seed": seed + 5, "options": {}},
        )
        for seed in (0, 1)
    ]
    found = ways_to_recognise(runs, images)
    assert {way: tuple(hits.shape) for way, hits in found.items()} == {
        "signature": (2, 24),
        "untrained signature": (2, 24),
        "mean colour": (2, 24),
    }
    # The net before training is another one.
    assert not torch.equal(found["signature"], found["untrained signature"])


def test_the_two_longest_names_are_misspelt():
    images = scenes(200)
    found = counts(misspelt(images))
    assert found[slip("crescent")] == round(0.10 * 20)
    assert found[slip("triangle")] == round(0.39 * 20)


def test_four_sets_become_one():
    whole = scenes(40)
    parts = Splits(*(whole.subset(range(k * 10, k * 10 + 10), str(k)) for k in range(4)))
    joined = together(parts)
    assert torch.equal(joined.images, whole.images)
    assert joined.table["index"].tolist() == list(range(40))
