from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers.datasets.imageset import ImageSet, Splits
from helpers.network.recipes import Recipe, every_epoch
from helpers.series import opening, plan
from helpers.settings import ROOT


def imageset(count, classes=2):
    labels = torch.arange(count) % classes
    images = torch.zeros(count, 8, 8, 3, dtype=torch.uint8)
    table = pd.DataFrame({"row": range(count)})
    return ImageSet(images, labels, tuple("abcd"[:classes]), table, "made up", "key")


def test_every_notebook_has_a_question_and_its_minutes():
    names = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    assert list(plan.QUESTIONS) == list(plan.MINUTES) == names


def test_a_few_images_keep_the_shares_of_the_classes_and_the_order():
    few = plan.some(imageset(1000, classes=4), 100)
    assert len(few) == 100
    assert few.labels.bincount().tolist() == [25] * 4
    assert few.table["row"].is_monotonic_increasing
    assert plan.some(few, 500) is few


def test_the_quick_profile_is_smaller_and_full_leaves_nothing_out(settings):
    splits = Splits(*(imageset(6000) for _ in range(4)))
    quick = plan.images_of(splits, settings)
    few = plan.QUICK_TEST_IMAGES
    assert [len(part) for part in quick] == [plan.QUICK_IMAGES, few, few, few]
    full = replace(settings, profile="full")
    assert plan.images_of(splits, full) is splits
    shorter, longer = plan.plan_for(settings).recipes, plan.plan_for(full).recipes
    assert shorter.keys() == longer.keys()
    assert all(shorter[name].epochs < longer[name].epochs for name in longer)


def test_seeds_start_at_the_one_asked_for(settings):
    planned = plan.plan_for(replace(settings, seed=7))
    assert planned.seeds == (7, 8, 9)
    assert planned.many_seeds == (7, 8, 9)
    full = plan.plan_for(replace(settings, seed=7, profile="full"))
    assert full.many_seeds == (7, 8, 9, 10, 11)


def test_digits_are_never_mirrored(settings):
    # Scenes stand beside any dataset, and notebook 04 augments as the post did.
    others = ("photographs", "ResNet50, post B", "SmallCNN, two classes")
    others += ("SmallCNN, sea", "SmallCNN, sea, erasing")
    for name, recipe in plan.plan_for(replace(settings, dataset="digits")).recipes.items():
        elsewhere = "scenes" in name or name in others
        assert "flip" not in recipe.augment or elsewhere, name


def test_the_settings_cell_says_what_each_profile_uses(settings):
    splits = Splits(*(imageset(10) for _ in range(4)))
    text = opening.described("01", settings, splits, plan.plan_for(settings))
    assert max(map(len, text.splitlines())) < 80
    text = text.replace("\n" + " " * 9, " ")
    assert "10 training, 10 validation, 10 calibration, 10 test" in text
    quick, full = (line for line in text.splitlines() if "seeds 0, 1, 2" in line)
    assert all(text in quick for text in ("quick", "4,000", "loop for 2", "6, 6, 3", "10 points"))
    assert all(
        text in full for text in ("full", "all images", "loop for 5", "100, 40", "44 points")
    )


def test_a_deep_net_gets_smaller_batches_in_the_quick_profile_at_a_rate_to_match(settings):
    full = plan.plan_for(replace(settings, profile="full")).recipes["ResNet20"]
    quick = plan.plan_for(settings).recipes["ResNet20"]
    assert quick.batch < full.batch
    assert quick.rate / quick.batch == pytest.approx(full.rate / full.batch)
    assert quick.points[-1] == quick.epochs


def test_notebook_02_says_what_it_compares(settings):
    splits = Splits(*(imageset(10) for _ in range(4)))
    text = opening.described("02", settings, splits, plan.plan_for(settings))
    assert max(map(len, text.splitlines())) < 80
    text = text.replace("\n" + " " * 9, " ")
    assert "seeds 0, 1, 2, 3, 4; all images; LeNet5 for 40 epochs, on scenes for 8; 1,000" in text
    assert "200 resamples; t-SNE of at most 500 images for 3 nets" in text


def test_notebook_03_says_what_it_explores(settings):
    splits = Splits(*(imageset(10) for _ in range(4)))
    text = opening.described("03", settings, splits, plan.plan_for(settings))
    assert max(map(len, text.splitlines())) < 80
    text = text.replace("\n" + " " * 9, " ")
    quick, full = (line for line in text.splitlines() if "seeds 0, 1, 2" in line)
    assert "LeNet5 for 6 epochs, on scenes for 6; stability from 3 halvings; 20,000" in quick
    assert "t-SNE of at most 500 images" in quick
    assert "all images; LeNet5 for 40 epochs, on scenes for 8; stability from 10 hal" in full
    assert "200,000 pairs of images; t-SNE of at most 10,000 images" in full
    for line, profile in ((quick, "quick"), (full, "full")):
        explored = plan.plan_for(replace(settings, profile=profile)).explored
        assert f"; {explored} images to walk through" in line


def test_notebook_04_says_how_much_it_trains(settings):
    splits = Splits(*(imageset(10) for _ in range(4)))
    text = opening.described("04", settings, splits, plan.plan_for(settings))
    assert max(map(len, text.splitlines())) < 80
    text = text.replace("\n" + " " * 9, " ")
    quick, full = (line for line in text.splitlines() if "seeds 0, 1, 2" in line)
    names = ("SmallCNN, two classes", "LeNet5, ours", "LeNet5, one minute")
    ends = {"quick": "2 times; 200", "full": "5 times; 1,000"}
    for line, (profile, end) in zip((quick, full), ends.items(), strict=True):
        recipes = plan.plan_for(replace(settings, profile=profile)).recipes
        two, ours, fold = (recipes[name].epochs for name in names)
        assert f"images; two classes for {two} epochs" in line.replace(" each", "")
        assert f"; LeNet5 for {ours} epochs, and for {fold} without some classes, " in line
        assert f"classes, {end} resamples" in line


def test_notebook_07_says_what_it_trains(settings):
    splits = Splits(*(imageset(10) for _ in range(4)))
    text = opening.described("07", settings, splits, plan.plan_for(settings))
    assert max(map(len, text.splitlines())) < 80
    text = text.replace("\n" + " " * 9, " ")
    for profile in ("quick", "full"):
        planned = plan.plan_for(replace(settings, profile=profile))
        epochs = planned.recipes["SmallCNN, post E"].epochs
        seeds = ", ".join(map(str, planned.seeds))
        assert (
            f"SmallCNN for at most {epochs} epochs, without dropout and with; ResNet20, seeds "
            f"{seeds}; {planned.resamples:,} resamples" in text
        )


def test_notebook_06_says_what_it_trains(settings):
    splits = Splits(*(imageset(10) for _ in range(4)))
    text = opening.described("06", settings, splits, plan.plan_for(settings))
    assert max(map(len, text.splitlines())) < 80
    text = text.replace("\n" + " " * 9, " ")
    for profile, seeds in (("quick", "0, 1, 2"), ("full", "0, 1, 2, 3, 4")):
        planned = plan.plan_for(replace(settings, profile=profile))
        assert f"seeds {seeds}; " in text
        assert f"SmallCNN for {planned.recipes['SmallCNN, sea'].epochs} epochs on scenes" in text


def test_the_dear_net_has_fewer_seeds_and_classes_are_held_out_fewer_times(settings):
    settings = replace(settings, seed=4)
    quick, full = (plan.plan_for(replace(settings, profile=name)) for name in ("quick", "full"))
    assert (quick.seeds, quick.folds) == ((4, 5, 6), 2)
    assert (full.seeds, full.folds) == ((4, 5, 6), 5)


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ((), ()),
        (every_epoch(30), every_epoch(6)),
        (every_epoch(29), (*every_epoch(5), 6)),
        ((1, 2, 5, 10, 30), (1, 2, 5, 6)),
        ((0, 1 / 8, 6, 30), (0, 1 / 8, 6)),
        ((20, 30), (6,)),
    ],
)
def test_a_shorter_training_keeps_the_points_that_it_reaches_and_its_end(points, kept):
    recipe = Recipe(epochs=30, batch=64, points=points)
    found = plan.shorter("SmallCNN, two classes", recipe)
    assert found == replace(recipe, epochs=6, points=kept, channels_last=True)


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_no_training_is_asked_for_points_beyond_its_end(settings, profile):
    for name, recipe in plan.plan_for(replace(settings, profile=profile)).recipes.items():
        points = recipe.points
        assert list(points) == sorted(set(points)), name
        assert not points or points[-1] == recipe.epochs, name
