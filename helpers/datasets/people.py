"""What people answered when they were shown CIFAR-10's test images: CIFAR-10H.

About 51 people classified each of the 10,000 images. Their mean answer by true class ships with the
project; the single counts do not, and are read where the user has them.
`python -m helpers.datasets.people` makes what ships from the counts.
Peterson, Battleday, Griffiths and Russakovsky, Human uncertainty makes classification more robust
(ICCV 2019); CC BY-NC-SA 4.0, see ``data/human_similarity.LICENSE``.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..settings import ROOT, Settings, read_settings
from .cifar10 import CLASSES
from .imageset import ImageSet
from .load import load

COUNTS = "cifar10h-counts.npy"
SIMILARITY = ROOT / "data" / "human_similarity.csv"
HALVES = ROOT / "data" / "human_halves.csv"
HALVINGS = 20

_SHAPE = (10_000, len(CLASSES))
_SOURCE = "https://github.com/jcpeterson/cifar-10h"
_HALVING_SEED = 0


def human_similarity() -> tuple[tuple[str, ...], Tensor]:
    """Names of CIFAR-10's classes, and people's mean answer by true class: (10, 10) float64.

    Row: the true class; column: the share of answers that name the class of that column, taken
    for each image and then averaged over the 1,000 images of the row.
    """
    table = pd.read_csv(SIMILARITY, index_col="true")
    return tuple(table.index), torch.from_numpy(table.to_numpy(dtype=np.float64, copy=True))


def human_halves() -> Tensor:
    """As `human_similarity`, from either half of the answers: (20, 2, 10, 10) float64.

    Each of the 20 times, the answers to every image were divided in two at random, so the halves
    are of the same images but of different judgements: how well people agree with people.
    """
    table = pd.read_csv(HALVES, usecols=CLASSES)[list(CLASSES)]
    values = torch.from_numpy(table.to_numpy(dtype=np.float64, copy=True))
    return values.reshape(HALVINGS, 2, len(CLASSES), len(CLASSES))


def human_answers(test: ImageSet, settings: Settings) -> Tensor | None:
    """How many people named each class, for each image of `test`: (N, 10) int64.

    `test` is CIFAR-10's test set or a part of it. None where ``cifar10h-counts.npy`` is not in
    ``settings.data_dir``, or where the official order of the images is not known. Raises
    ValueError for a file that is something else, and where people's most frequent answer is not
    the label of more than 90 % of the images, which are then others or in another order.
    """
    place = settings.data_dir / COUNTS
    if "official_index" not in test.table or not place.exists():
        return None
    counts = _read_counts(place)
    rows = torch.tensor(test.table["official_index"].to_numpy(dtype=np.int64))
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(counts):
        raise ValueError(f"{test.name} has images beyond the {len(counts):,} of CIFAR-10's test.")
    _check_agreement(counts[rows], test, place)
    return counts[rows]


def mean_answers(counts: Tensor, labels: Tensor) -> Tensor:
    """Mean by true class of each image's shares of answers: (10, 10) float64 from (N, 10).

    Images without an answer are left out; a class without images is NaN.
    """
    answered = counts.sum(1) > 0
    shares = counts[answered].double() / counts[answered].sum(1, keepdim=True)
    labels = labels[answered]
    return torch.stack([shares[labels == label].mean(0) for label in range(counts.shape[1])])


def halved(counts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The answers to every image, divided at random in two: counts (N, 10) each.

    Drawn without replacement; of an odd number the second half has one more.
    """
    answers = torch.arange(counts.numel()).repeat_interleave(counts.flatten())
    images, totals = answers // counts.shape[1], counts.sum(1)
    keys = torch.rand(len(answers), generator=generator, dtype=torch.float64)
    shuffled = answers[(images + keys).argsort()]  # within each image
    places = torch.arange(len(answers)) - (totals.cumsum(0) - totals)[images]
    first = shuffled[places < totals[images] // 2].bincount(minlength=counts.numel())
    first = first.reshape(counts.shape)
    return first, counts - first


def tables(counts: Tensor, labels: Tensor) -> dict[Path, bytes]:
    """The files that ship, each with its content as the counts make it."""
    generator = torch.Generator().manual_seed(_HALVING_SEED)
    halves = [
        _table(mean_answers(half, labels), halving=time, half=which)
        for time in range(HALVINGS)
        for which, half in enumerate(halved(counts, generator))
    ]
    whole = _table(mean_answers(counts, labels))
    return {SIMILARITY: _csv(whole), HALVES: _csv(pd.concat(halves))}


def _table(means: Tensor, **columns: int) -> pd.DataFrame:
    shares = pd.DataFrame(means.numpy(), columns=list(CLASSES))
    return pd.DataFrame({**columns, "true": CLASSES}).join(shares)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.7f", lineterminator="\n").encode()


def _read_counts(place: Path) -> Tensor:
    try:
        counts = np.load(place)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{place} cannot be read ({error}): {_instead()}") from error
    found = f"{getattr(counts, 'dtype', 'no array')} {getattr(counts, 'shape', '')}".strip()
    if found != f"int64 {_SHAPE}" or counts.min() < 0:
        raise ValueError(f"{place} holds {found}, not counts as int64 {_SHAPE}: {_instead()}")
    return torch.from_numpy(counts)


def _check_agreement(counts: Tensor, test: ImageSet, place: Path) -> None:
    agree = (counts.argmax(1) == test.labels).double().mean().item()
    if agree <= 0.9:
        raise ValueError(
            f"{place} agrees with the labels of {test.name} for {agree:.0%} of the images only, "
            f"so it is not in their order: {_instead()}"
        )


def _instead() -> str:
    return f"delete it, or put the counts of {_SOURCE} there, in the official order of the images."


def _main() -> None:
    settings = read_settings()
    test = load(settings).test
    counts = human_answers(test, settings)
    if counts is None:
        sys.exit(
            f"This needs SECOND_LOOK_DATASET=cifar10 in the official order, and {COUNTS} (from "
            f"{_SOURCE}) in SECOND_LOOK_DATA_DIR, which is {settings.data_dir}."
        )
    for place, content in tables(counts, test.labels).items():
        place.write_bytes(content)
        print(f"{place.name}: {len(content):,} bytes")


if __name__ == "__main__":
    _main()
