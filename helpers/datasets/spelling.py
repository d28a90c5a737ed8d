"""Classes whose names differ by a slip of the pen: planted, found and merged."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch

from .imageset import ImageSet, digest

SHARES = (0.10, 0.39)
"""How many of two species bear a misspelt label, about, in the table of happy-whale-and-dolphin."""

MOST_EDITS = 2
MOST_OF_NAME = 0.2


def edits(first: str, second: str) -> int:
    """Fewest letters to insert, delete or replace that make one word of the other.

    Levenshtein (1966), Binary codes capable of correcting deletions, insertions and reversals.
    """
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        before, row = row, [i]
        for j, other in enumerate(second, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other)))
    return row[-1]


def suspects(counts: pd.Series) -> dict[str, str]:
    """Names that look like misspellings of others: the rarer name to the commoner.

    `counts` are images by name. Two names are suspected where at most two edits, and at most a
    fifth of the longer name, part them; of several, the nearest counts. To be read by somebody who
    knows the names: a short edit may lead to another word.
    """
    found = {}
    by_number = counts.sort_values(ascending=False, kind="stable").index.tolist()
    for place, rare in enumerate(by_number):
        near = [(edits(rare, name), name) for name in by_number[:place] if _may_be(rare, name)]
        if near:
            found[rare] = min(near, key=lambda each: each[0])[1]
    return found


def slip(name: str) -> str:
    """A name without its middle letter."""
    middle = len(name) // 2
    return name[:middle] + name[middle + 1 :]


def plant(images: ImageSet, slips: Mapping[str, float], seed: int = 0) -> ImageSet:
    """The same images, some with a misspelt label: a class more for each name in `slips`.

    slips: name of a class to the share of its images, drawn at random, that get the label
    `slip(name)`. Raises ValueError for a class that there is not.
    """
    unknown = [name for name in slips if name not in images.classes]
    if unknown:
        raise ValueError(f"{images.name} has no class {unknown[0]}: {', '.join(images.classes)}")
    generator = torch.Generator().manual_seed(seed)
    labels = images.labels.clone()
    for new, (name, share) in enumerate(slips.items(), len(images.classes)):
        rows = (images.labels == images.classes.index(name)).nonzero().flatten()
        chosen = rows[torch.randperm(len(rows), generator=generator)[: round(share * len(rows))]]
        labels[chosen] = new
    return _labelled(images, labels, (*images.classes, *map(slip, slips)), "misspelt")


def merged(
    classes: tuple[str, ...], pairs: Mapping[str, str]
) -> tuple[tuple[str, ...], torch.Tensor]:
    """The classes that stay, and which of them each of `classes` becomes, int64 (C,).

    pairs: name that goes to name that stays; a chain of them is followed to its end.
    """
    kept = tuple(name for name in classes if name not in pairs)
    return kept, torch.tensor([kept.index(_last(name, pairs)) for name in classes])


def mend(images: ImageSet, pairs: Mapping[str, str]) -> ImageSet:
    """The same images with some classes `merged` into others."""
    kept, new = merged(images.classes, pairs)
    return _labelled(images, new[images.labels], kept, "mended")


def _may_be(rare: str, name: str) -> bool:
    longest = max(len(rare), len(name))
    most = min(MOST_EDITS, int(MOST_OF_NAME * longest))
    # The difference in length is a lower bound, and saves most of the work.
    return abs(len(rare) - len(name)) <= most and edits(rare, name) <= most


def _last(name: str, pairs: Mapping[str, str]) -> str:
    """Where a chain of merged names ends."""
    while name in pairs:
        name = pairs[name]
    return name


def _labelled(images, labels, classes, tag) -> ImageSet:
    key = digest(images.key, labels, classes)
    name = f"{images.name}, {tag}"
    return replace(images, labels=labels, classes=classes, name=name, key=key)
