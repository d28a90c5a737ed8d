"""Which images go into which part, so that every part is like the whole."""

from collections.abc import Hashable, Iterable, Mapping

import numpy as np
import pandas as pd
import torch


def divide(
    labels: torch.Tensor,
    parts: Mapping[str, float],
    seed: int = 0,
    groups: Iterable[Hashable] | None = None,
) -> dict[str, torch.Tensor]:
    """Rows of each part, ascending: every class has in each the share it has in the whole.

    `parts` gives the size of each part, as counts or as fractions: only their ratio matters, and
    sizes that add up to the number of images are met exactly. Images of the same group (the same
    individual, say) stay together, which may move the sizes a little; a missing group (None,
    NaN, "") is a group of its own. A class with at least as many images as there are parts is
    put into each of them; a smaller one stays whole in the first. Where an image goes depends
    on its place among those of its class, not on how the classes are interleaved.
    """
    if not parts or any(share <= 0 for share in parts.values()):
        raise ValueError(f"the parts need sizes above 0, not {dict(parts)}.")
    room = _room(labels.bincount().numpy(), list(parts.values()))
    rows: list[list[int]] = [[] for _ in parts]
    labelled = labels.tolist()
    for unit in _units(labels, groups, seed):
        free = room[labelled[unit[0]]]
        part = free.index(max(free))
        free[part] -= len(unit)
        rows[part] += unit
    return {
        tag: torch.tensor(sorted(found), dtype=torch.int64)
        for tag, found in zip(parts, rows, strict=True)
    }


def _units(labels: torch.Tensor, groups: Iterable[Hashable] | None, seed: int) -> list[list[int]]:
    """Rows that stay together, shuffled, the largest first: what is left over then fits."""
    count = len(labels)
    names = pd.Series([None] * count if groups is None else list(groups), dtype=object)
    if len(names) != count:
        raise ValueError(f"{len(names)} groups were given for {count} images.")
    alone, names = (names.isna() | (names == "")).tolist(), names.tolist()
    # Shuffled by class, so that the order of the classes among each other changes nothing.
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    found: dict[Hashable, list[int]] = {}
    for row in labels.argsort(stable=True)[order].tolist():
        found.setdefault(("alone", row) if alone[row] else ("group", names[row]), []).append(row)
    return sorted(found.values(), key=len, reverse=True)


def _room(per_class: np.ndarray, weights: list[float]) -> list[list[int]]:
    """How many images of each class each part takes."""
    shares = np.array(weights, dtype=float) / sum(weights)
    cells = np.floor(np.outer(per_class, shares) + 1e-9).astype(int)
    owed = _rounded(per_class.sum() * shares, per_class.sum()) - cells.sum(0)
    for row, total in zip(cells, per_class, strict=True):
        # Whoever is owed most comes first: so the last class always completes every part.
        first = np.argsort(-owed, kind="stable")[: total - row.sum()]
        row[first] += 1
        owed[first] -= 1
    for row, total in zip(cells, per_class, strict=True):
        if total < len(shares):
            row[:] = 0
            row[0] = total
        while total >= len(shares) and row.min() == 0:
            row[row.argmax()] -= 1
            row[row.argmin()] += 1
    return cells.tolist()


def _rounded(ideal: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers with this total, next to the ideal ones (largest remainders)."""
    found = np.floor(ideal + 1e-9).astype(int)
    rest = np.argsort(found - ideal, kind="stable")[: total - found.sum()]
    found[rest] += 1
    return found
