"""The checkpoints that ship: whole, small, and found by the recipes as they are now."""

import json
from dataclasses import asdict

import pytest

from helpers.network.checkpoints import SHIPPED, key_of, read_finished
from helpers.series.plan import full_recipes

FOLDERS = sorted(folder for folder in SHIPPED.glob("*") if folder.is_dir())
LIMIT = 30 * 2**20
FACTS = ("model", "options", "classes", "recipe", "seed", "train", "validation", "watched")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_is_whole_and_under_its_own_key(folder):
    card, tables, _ = read_finished(folder)
    assert len(tables["epochs"]) == card["epochs"]
    facts = {name: card[name] for name in (*FACTS, "version")}
    assert folder.name == f"{card['model']}-{card['seed']}-{key_of(facts)}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_is_one_that_a_recipe_still_asks_for(folder):
    card, _, _ = read_finished(folder)
    recipes = full_recipes(("flip", "shift2")).values()
    assert card["recipe"] in [json.loads(json.dumps(asdict(recipe))) for recipe in recipes]


def test_what_ships_stays_small():
    sizes = [file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()]
    assert sum(sizes) < LIMIT
