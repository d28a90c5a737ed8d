from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers.datasets.imageset import ImageSet
from helpers.datasets.people import human_similarity
from helpers.datasets.scenes import SHAPES
from helpers.methods.agreement import mantel, pairs, spearman
from helpers.series.yardsticks import apart, yardstick_for


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
    assert mantel(found.distances, apart(found.groups)).rho > 0.7
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
