"""Whales: what is known of their individuals, and what gives some of them away."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from helpers.datasets.imageset import ImageSet, Splits, split
from helpers.methods.statistics import Interval, over_seeds, share_over_seeds, wilson_interval
from helpers.methods.subcategories import mean_colour
from helpers.series.animals import right_of, together
from helpers.series.nets import also, quiet, train
from helpers.series.plan import Plan
from helpers.settings import Settings

SHARES = {"train": 4, "validation": 1}
SPLITS = ("at random", "by known individual", "by guessed individual")
# Names of the photographs that come from another contest begin so.
ELSEWHERE = "hwid2018_"


def at_hand(data: Splits, settings: Settings) -> ImageSet | None:
    """All photographs of whales: the run's own, or in the full profile those in the data folder.

    None in the quick profile and where there are none.
    """
    if settings.dataset == "whales":
        return together(data)
    found = also("whales", settings)
    return together(found) if found else None


def groups_of(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Who is on each image, by how the images may be split; None where nobody knows."""
    nobody = pd.Series([None] * len(table), dtype=object)
    known = table.get("individual", nobody).astype(object)
    guess = table.get("individual_guess", nobody).astype(object)
    return dict(zip(SPLITS, (nobody, known, known.where(known.notna(), guess)), strict=True))


def accuracies(whole: ImageSet, plan: Plan, settings: Settings) -> dict[str, Tensor]:
    """Accuracy of SmallCNN by way to split and by seed, which moves split and training: (S,).

    On the validation images that have an individual, known or guessed.
    """
    groups = groups_of(whole.table)
    return {
        way: torch.tensor([_one(whole, who, seed, plan, settings) for seed in plan.seeds]).double()
        for way, who in groups.items()
    }


def shared(whole: ImageSet, seed: int) -> dict[str, float]:
    """Share of those validation images whose guessed individual is in training too."""
    groups = groups_of(whole.table)
    found = {}
    for way, who in groups.items():
        parts = split(whole, SHARES, seed, who)
        learnt, asked = (groups_of(part.table)[SPLITS[2]].dropna() for part in parts.values())
        found[way] = float(asked.isin(set(learnt)).mean())
    return found


def commonest_among(whole: ImageSet) -> dict[str, float]:
    """The commonest species of the images with an individual, and its share: what guessing gets."""
    there = torch.tensor(groups_of(whole.table)[SPLITS[2]].notna().tolist())
    counts = whole.labels[there].bincount(minlength=len(whole.classes))
    return {whole.classes[int(counts.argmax())]: (counts.max() / counts.sum()).item()}


def flattered_by(found: dict[str, Tensor], way: str) -> Interval:
    """Accuracy by a random split less that by another, over seeds."""
    return over_seeds(found[SPLITS[0]] - found[way])


def summary(found: dict[str, Tensor]) -> dict[str, Interval]:
    return {way: share_over_seeds(values) for way, values in found.items()}


def source_features(whole: ImageSet) -> dict[str, Tensor]:
    """What a classifier may know that does not look: (N, D) each."""
    colour = mean_colour(whole.images)
    kilobytes = torch.tensor(whole.table["bytes"].to_numpy())[:, None].double() / 1024
    width = torch.tensor(whole.table["width"].to_numpy())[:, None].double()
    return {
        "mean colour": colour,
        "size of the file": kilobytes,
        "mean colour and size of the file": torch.cat([colour, kilobytes], 1),
        "width in pixels": width,
    }


def from_elsewhere(whole: ImageSet) -> Tensor:
    """Which images come from another contest: (N,) bool, by the names of their files."""
    return torch.tensor([ELSEWHERE in str(path) for path in whole.table["path"]])


def of_their_species(whole: ImageSet, which: Tensor) -> tuple[str, int, int]:
    """The commonest species of the images in `which` (N,) bool: its name, how many of it, of all.

    Raises ValueError where `which` holds no image.
    """
    if not which.any():
        raise ValueError("no image is chosen: their species needs one or more")
    label = int(whole.labels[which].bincount().argmax())
    theirs = whole.labels == label
    return whole.classes[label], int((theirs & which).sum()), int(theirs.sum())


def told(features: Tensor, which: Tensor, seed: int = 0) -> Interval:
    """Share of images told apart by features (N, D), both kinds weighing alike, cross-validated.

    A logistic regression on standardised features and their squares. Chance is 0.5; Wilson's
    interval for as many images as the rarer kind has.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), LogisticRegression(class_weight="balanced")
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    said = torch.from_numpy(cross_val_predict(model, features.numpy(), which.numpy(), cv=folds))
    shares = [(said[which == kind] == kind).double().mean().item() for kind in (True, False)]
    few = int(min(which.sum(), (~which).sum()))
    return wilson_interval(round(sum(shares) / 2 * few), few)


def _one(whole, who: Sequence, seed: int, plan: Plan, settings: Settings) -> float:
    sets = tuple(split(whole, SHARES, seed, who).values())
    (run,) = train("SmallCNN", "SmallCNN, sea", sets, plan, settings, [seed], say=quiet)
    validation = sets[1]
    asked = groups_of(validation.table)[SPLITS[2]].notna().to_numpy().nonzero()[0]
    return right_of([run], validation.subset(asked, "with an individual")).mean().item()
