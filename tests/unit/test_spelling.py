"""Misspelt classes: planted where asked, found among the contest's names, merged back."""

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.datasets.imageset import counts
from helpers.datasets.scenes import scenes
from helpers.datasets.spelling import SHARES, edits, mend, merged, plant, slip, suspects

# Images by species in the table of happy-whale-and-dolphin.
CONTEST = {
    "bottlenose_dolphin": 9664,
    "beluga": 7443,
    "humpback_whale": 7392,
    "blue_whale": 4830,
    "false_killer_whale": 3326,
    "dusky_dolphin": 3139,
    "killer_whale": 1493,
    "spinner_dolphin": 1700,
    "melon_headed_whale": 1689,
    "minke_whale": 1608,
    "globis": 116,
    "gray_whale": 1123,
    "bottlenose_dolpin": 1117,
    "fin_whale": 1324,
    "kiler_whale": 962,
    "southern_right_whale": 866,
    "spotted_dolphin": 490,
    "sei_whale": 428,
    "short_finned_pilot_whale": 367,
    "common_dolphin": 347,
    "cuviers_beaked_whale": 341,
    "pilot_whale": 262,
    "long_finned_pilot_whale": 238,
    "white_sided_dolphin": 229,
    "brydes_whale": 154,
    "pantropic_spotted_dolphin": 145,
    "commersons_dolphin": 90,
    "pygmy_killer_whale": 76,
    "rough_toothed_dolphin": 60,
    "frasiers_dolphin": 14,
}


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [("", "", 0), ("abc", "abc", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)],
)
def test_edits_by_hand(first, second, number):
    assert edits(first, second) == number


words = st.text("abc", max_size=6)


@given(words, words, words)
@settings(max_examples=50, deadline=None)
def test_edits_are_a_distance(a, b, c):
    assert edits(a, b) == edits(b, a)
    assert (edits(a, b) == 0) == (a == b)
    assert edits(a, c) <= edits(a, b) + edits(b, c)


def test_the_shares_are_those_of_the_contest():
    assert sum(CONTEST.values()) == 51_033
    slips = {"bottlenose_dolpin": "bottlenose_dolphin", "kiler_whale": "killer_whale"}
    found = [CONTEST[slip] / (CONTEST[slip] + CONTEST[name]) for slip, name in slips.items()]
    assert found == pytest.approx(SHARES, abs=0.005)


def test_the_contests_two_slips_are_found_and_nothing_else():
    found = suspects(pd.Series(CONTEST))
    assert found == {"bottlenose_dolpin": "bottlenose_dolphin", "kiler_whale": "killer_whale"}


def test_the_rarer_name_is_suspected_and_short_names_are_let_be():
    assert suspects(pd.Series({"triangl": 90, "triangle": 10})) == {"triangle": "triangl"}
    assert suspects(pd.Series({"cat": 5, "bat": 4, "0": 3, "1": 2})) == {}


def test_a_slip_drops_the_middle_letter():
    assert slip("triangle") == "triagle"
    assert slip("cross") == "crss"


@pytest.fixture(scope="module")
def images():
    return scenes(200, size=16)


def test_planting_changes_the_share_that_was_asked_for_and_no_image(images):
    planted = plant(images, {"disc": 0.5, "star": 0.25}, seed=3)
    before, after = counts(images), counts(planted)
    assert planted.classes == (*images.classes, "dic", "str" if slip("star") == "str" else "sta")
    assert after["dic"] == round(0.5 * before["disc"])
    assert after[slip("star")] == round(0.25 * before["star"])
    assert after["disc"] + after["dic"] == before["disc"]
    assert torch.equal(planted.images, images.images)
    assert planted.key != images.key


def test_another_seed_plants_elsewhere(images):
    one, other = (plant(images, {"disc": 0.5}, seed) for seed in (0, 1))
    assert not torch.equal(one.labels, other.labels)
    assert torch.equal(one.labels, plant(images, {"disc": 0.5}, 0).labels)


def test_mending_gives_the_old_labels_back(images):
    mended = mend(plant(images, {"disc": 0.5, "star": 0.25}), {"dic": "disc", slip("star"): "star"})
    assert mended.classes == images.classes
    assert torch.equal(mended.labels, images.labels)


def test_a_chain_of_slips_is_followed_to_its_end():
    kept, new = merged(("a", "b", "c", "d"), {"a": "b", "b": "c"})
    assert kept == ("c", "d")
    assert new.tolist() == [0, 0, 0, 1]


def test_a_class_that_is_not_there_cannot_be_misspelt(images):
    with pytest.raises(ValueError, match="no class whale"):
        plant(images, {"whale": 0.5})
