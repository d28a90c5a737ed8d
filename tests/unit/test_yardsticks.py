from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers.datasets.imageset import ImageSet
from helpers.datasets.people import human_similarity
from helpers.datasets.scenes import SHAPES
from helpers.methods.agreement import mantel, pairs, spearman
from helpers.series.yardsticks import (
    bare_indicator,
    between_halves,
    mantel_tests,
    of_classes,
    yardstick_for,
)


def shown(classes):
    images = torch.zeros(len(classes), 8, 8, 3, dtype=torch.uint8)
    table = pd.DataFrame({"row": range(len(classes))})
    return ImageSet(images, torch.arange(len(classes)), tuple(classes), table, "made up", "key")


def test_people_tell_animals_from_vehicles(settings):
    classes, _ = human_similarity()
    found = yardstick_for(shown(classes), replace(settings, dataset="cifar10"))
    assert found.name == "people"
    assert found.answers is None
    vehicles = [name for name, group in zip(classes, found.groups, strict=True) if group == 1]
    assert [found.kinds[1], *vehicles] == ["vehicles", "airplane", "automobile", "ship", "truck"]
    assert mantel(found.distances, bare_indicator(found.groups)).rho > 0.7
    by_half = spearman(pairs(found.halves[:, 0]), pairs(found.halves[:, 1]))
    assert by_half.min() > 0.95


def test_people_were_asked_about_their_own_classes_only(settings):
    with pytest.raises(ValueError, match="people were asked about airplane"):
        yardstick_for(shown("ab"), replace(settings, dataset="cifar10"))


def test_scenes_are_held_against_the_planted_families(settings):
    found = yardstick_for(shown(SHAPES), settings)
    assert found.groups.bincount().tolist() == [4, 3, 3]
    assert pairs(found.distances).sum() == 45 - 6 - 3 - 3
    assert found.halves.isnan().all()


@pytest.mark.parametrize("dataset", ["digits", "scenes:no-families"])
def test_of_other_classes_nothing_is_known(settings, dataset):
    found = yardstick_for(shown("abc"), replace(settings, dataset=dataset))
    assert found.name == "nothing known"
    assert found.distances.isnan().all()
    assert found.groups.tolist() == [0, 0, 0]
    assert spearman(pairs(found.distances), torch.rand(3)).isnan()


def against_people(settings, noise=0.0):
    classes, _ = human_similarity()
    people = yardstick_for(shown(classes), replace(settings, dataset="cifar10"))
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(people.distances.shape, generator=generator, dtype=torch.float64)
    return mantel_tests(people.distances + noise * (other + other.T), people), people


def test_mantel_tests_are_made_over_all_pairs_and_within(settings):
    table, _ = against_people(settings)
    assert table.index.tolist() == ["all pairs", "within", "animals alone", "vehicles alone"]
    assert table["pairs"].tolist() == [45, 21, 15, 6]
    assert table["rank correlation"].tolist() == pytest.approx([1, 1, 1, 1])
    assert table.loc["vehicles alone", "p"] == pytest.approx(1 / 24)
    assert (table["p, Holm"] >= table["p"]).all()
    unlike, _ = against_people(settings, noise=100)
    assert unlike.loc["all pairs", "p"] > 0.05


def test_tests_that_cannot_be_made_are_left_out(settings):
    families = yardstick_for(shown(SHAPES), settings)
    assert mantel_tests(families.distances, families).index.tolist() == ["all pairs"]
    nothing = yardstick_for(shown("abcd"), replace(settings, dataset="digits"))
    assert mantel_tests(families.distances[:4, :4], nothing).empty


def test_people_agree_with_people_within_groups_too(settings):
    _, people = against_people(settings)
    everywhere, inside = between_halves(people), between_halves(people, people.groups)
    assert everywhere.n == inside.n == 20
    assert 0.95 < everywhere.low <= everywhere.value <= everywhere.high <= 1
    assert inside.value < everywhere.value


def test_the_yardstick_of_some_classes_is_theirs(settings):
    _, people = against_people(settings)
    some = torch.tensor([0, 3, 9])
    found = of_classes(people, some)
    assert found.groups.tolist() == [1, 0, 1]
    assert found.distances[1, 2] == people.distances[3, 9]
    assert torch.equal(found.halves[5, 1], people.halves[5, 1][some][:, some])
