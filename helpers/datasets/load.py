"""The dataset that the settings ask for, divided into four sets of different images."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch

from ..settings import Settings
from .cifar10 import cifar10
from .dividing import divide
from .imageset import ImageSet, Splits, left_whole, shrink
from .known import catdog, digits, whales
from .readers import csv_images, folder_images
from .rendered import rendered_scenes

DATA_SEED = 0
"""Data are divided and drawn alike for every training seed, so that seeds can be compared."""

SHARES = {"train": 6, "validation": 1, "calibration": 1, "test": 2}
CIFAR10_SHARES = {"train": 8, "validation": 1, "calibration": 1}

_PHOTOGRAPHS = {"catdog": catdog, "whales": whales}
_READERS = {"folder": folder_images, "csv": csv_images}


def load(settings: Settings, say: Callable[[str], None] = print, side: int | None = None) -> Splits:
    """Train, validation, calibration and test images of ``settings.dataset``.

    `side` is their height and width in pixels; where it is None, 32 for scenes, digits and
    CIFAR-10 and 64 for photographs. A dataset's own test set is kept; what it has not is cut
    from the rest by class, and individuals stay together. Raises FileNotFoundError or
    ValueError, saying what to do, where the dataset cannot be had or not be divided.
    """
    whole = _whole(settings, say, side)
    _check_classes(whole)
    return divided(whole, CIFAR10_SHARES if settings.dataset == "cifar10" else SHARES)


def divided(whole: ImageSet, shares: Mapping[str, float]) -> Splits:
    """The parts that the table names in its column part, and the others cut from what is train.

    `shares` are those of the parts that are cut; without such a column, all four are. Raises
    ValueError where a part would be empty, or a class has nothing to be trained on.
    """
    part = whole.table.get("part", pd.Series("train", index=whole.table.index)).to_numpy()
    rows = {tag: torch.from_numpy((part == tag).nonzero()[0]) for tag in pd.unique(part)}
    own = rows.pop("train", torch.empty(0, dtype=torch.int64))
    to_cut = {tag: share for tag, share in shares.items() if tag not in rows}
    labels = whole.labels[own]
    cut = divide(labels, to_cut, DATA_SEED, _individuals(whole.table.iloc[own.numpy()]))
    rows |= {tag: own[found] for tag, found in cut.items()}
    _check_parts(whole, rows)
    sizes = torch.bincount(labels, minlength=len(whole.classes)).numpy()
    per_class = pd.Series(sizes, list(whole.classes))
    _check_train(whole, per_class)
    notes = left_whole(per_class, to_cut)
    return Splits(**{tag: whole.subset(found, tag, notes) for tag, found in rows.items()})


def _whole(settings: Settings, say: Callable[[str], None], side: int | None) -> ImageSet:
    kind, _, place = settings.dataset.partition(":")
    if kind == "scenes":
        return rendered_scenes(settings.cache_dir, side or 32, DATA_SEED, place or "plain", say)
    if kind == "digits":
        return _at(digits(), side)
    if kind == "cifar10":
        return _at(cifar10(settings.data_dir, settings.cache_dir, say), side)
    if kind in _PHOTOGRAPHS:
        return _PHOTOGRAPHS[kind](settings.data_dir, side or 64, settings.cache_dir, say)
    if kind in _READERS:
        return _READERS[kind](Path(place), side or 64, settings.cache_dir, say)
    raise ValueError(f"there is no dataset {settings.dataset!r}.")


def _at(whole: ImageSet, side: int | None) -> ImageSet:
    return whole if side in (None, whole.images.shape[1]) else shrink(whole, side)


def _individuals(table: pd.DataFrame) -> pd.Series | None:
    """Who is on each image: known, else guessed, else None."""
    if "individual" not in table:
        return None
    guess = table.get("individual_guess")
    return table["individual"] if guess is None else table["individual"].fillna(guess)


def _check_classes(whole: ImageSet) -> None:
    if len(whole.classes) < 2:
        raise ValueError(f"{whole.name} has one class only ({whole.classes[0]}): two are needed.")


def _check_parts(whole: ImageSet, rows: Mapping[str, torch.Tensor]) -> None:
    empty = [tag for tag, found in rows.items() if len(found) == 0]
    if empty:
        raise ValueError(
            f"{whole.name} has only {len(whole)} images: none is left for {' and '.join(empty)}. "
            "Each class needs an image, or an individual, for each part."
        )


def _check_train(whole: ImageSet, per_class: pd.Series) -> None:
    lost = list(per_class.index[per_class == 0])
    if lost:
        raise ValueError(
            f"{whole.name} has no images to train on for {', '.join(lost[:5])}"
            f"{' …' if len(lost) > 5 else ''}: put some into train, or leave the class out."
        )
