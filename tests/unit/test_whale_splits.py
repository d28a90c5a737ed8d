"""Whales: splits by who is known or guessed, and what gives photographs away."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers.datasets.imageset import ImageSet, Splits
from helpers.series import nets, whales
from helpers.series.plan import plan_for
from helpers.series.whales import (
    SPLITS,
    accuracies,
    commonest_among,
    flattered_by,
    from_elsewhere,
    groups_of,
    of_their_species,
    shared,
    source_features,
    summary,
    told,
)
from helpers.settings import Settings


@pytest.fixture
def whole():
    """60 images of 20 individuals, three of each: 3 known, 16 guessed, the last not known."""
    who = [f"i{k // 3}" for k in range(60)]
    table = pd.DataFrame(
        {
            "path": [
                "images/" + ("hwid2018_" if k % 2 else "novti_") + f"{k}.jpg" for k in range(60)
            ],
            "individual": [name if k < 9 else None for k, name in enumerate(who)],
            "individual_guess": [name if 9 <= k < 57 else None for k, name in enumerate(who)],
            "width": [100 if k % 2 else 128 for k in range(60)],
            "bytes": [3000 + 13 * k for k in range(60)],
        }
    )
    images = torch.randint(256, (60, 16, 16, 3), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) // 3 % 2
    return ImageSet(images.byte(), labels, ("fin", "fluke"), table, "whales", "key")


def test_a_guess_counts_where_nobody_is_known(whole):
    nobody, known, guessed = groups_of(whole.table).values()
    assert nobody.isna().all()
    assert known.notna().sum() == 9
    assert guessed.notna().sum() == 57
    assert guessed[0] == "i0"
    assert guessed[56] == "i18"


def test_whales_at_hand_are_loaded_in_full_and_those_of_the_run_are_taken(
    whole, settings, monkeypatch
):
    asked = []

    def load(settings, say):
        asked.append(settings.dataset)
        return Splits(*(whole.subset(range(k, 60, 4), "part") for k in range(4)))

    monkeypatch.setattr(nets, "load", load)
    assert whales.at_hand(None, settings) is None
    found = whales.at_hand(None, replace(settings, profile="full"))
    assert len(found) == 60
    assert asked == ["whales"]
    own = Splits(*[whole] * 4)
    assert len(whales.at_hand(own, replace(settings, dataset="whales"))) == 240
    assert asked == ["whales"]


def test_without_photographs_there_are_no_whales(settings):
    assert whales.at_hand(None, replace(settings, profile="full")) is None


def test_a_table_without_individuals_knows_nobody():
    found = groups_of(pd.DataFrame({"path": ["a", "b"]}))
    assert all(who.isna().all() for who in found.values())


def test_only_the_split_by_guess_keeps_everybody_apart(whole):
    found = shared(whole, seed=0)
    assert found[SPLITS[2]] == 0
    assert found[SPLITS[0]] > 0.5
    assert found[SPLITS[1]] > 0


def test_accuracy_is_asked_where_somebody_is_known(whole, monkeypatch, tmp_path):
    settings = Settings(cache_dir=tmp_path)
    plan = plan_for(settings)
    recipe = plan.recipes["SmallCNN, sea"]
    plan.recipes["SmallCNN, sea"] = replace(recipe, epochs=1)
    asked = []
    answer = lambda runs, part: asked.append(part) or torch.ones(1, len(part))  # noqa: E731
    monkeypatch.setattr(whales, "right_of", answer)
    found = accuracies(whole, plan, settings)
    assert {way: len(values) for way, values in found.items()} == dict.fromkeys(SPLITS, 3)
    for part in asked:
        assert groups_of(part.table)[SPLITS[2]].notna().all()
    assert summary(found)[SPLITS[0]].value == 1
    assert flattered_by(found, SPLITS[2]).value == 0


def test_guessing_gets_the_share_of_the_commonest_with_an_individual(whole):
    assert commonest_among(whole) == {"fin": pytest.approx(30 / 57)}


def test_the_source_is_in_the_name_and_the_width_gives_it_away(whole):
    which = from_elsewhere(whole)
    assert which.tolist() == [k % 2 == 1 for k in range(60)]
    features = source_features(whole)
    assert told(features["width in pixels"], which).value == 1
    assert {name: x.shape[1] for name, x in features.items()} == {
        "mean colour": 3,
        "size of the file": 1,
        "mean colour and size of the file": 4,
        "width in pixels": 1,
    }


def test_how_many_of_a_species_come_from_elsewhere(whole):
    some = torch.arange(60) % 3 == 0
    some[[0, 6]] = False
    assert of_their_species(whole, some) == ("fluke", 10, 30)
    with pytest.raises(ValueError, match="no image is chosen"):
        of_their_species(whole, some & ~some)


def test_what_says_nothing_is_at_chance():
    generator = torch.Generator().manual_seed(0)
    found = told(torch.rand(4_000, 3, generator=generator).double(), torch.arange(4_000) % 4 == 0)
    assert found.value == pytest.approx(0.5, abs=0.03)
    assert found.n == 1_000
