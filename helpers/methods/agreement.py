"""How far two descriptions of the same classes agree: matrices by rank, clusterings by pairs.

Ranks and clusterings are compared, not numbers, so that bits, distances and shares of people may
meet. Ten classes are 45 pairs but still ten things: a p value comes from permuting classes, and an
interval from resampling images, never pairs.
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from .statistics import batches, permutation_p, ranks_among


class Mantel(NamedTuple):
    """Spearman's correlation of two matrices, its one-sided p value, and how many pairs."""

    rho: float
    p: float
    pairs: int


def pairs(matrices: Tensor, groups: Tensor | None = None) -> Tensor:
    """Entries above the diagonal of `matrices` (..., C, C), row by row: (..., P).

    With `groups` (C,), a number per class, only the pairs whose two classes are of one group.
    Raises ValueError for matrices that are not square, or groups that are not one per class.
    """
    rows, columns = _upper(matrices, groups)
    return matrices[..., rows, columns]


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation along the last axis: (..., P) with (..., P) gives (...), float64.

    The axes before are broadcast. Ties have their average rank. NaN where either row is constant
    or holds a NaN, and for fewer than two numbers. Raises ValueError for rows not equally long.
    Spearman (1904), The proof and measurement of association between two things.
    """
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"rows of {a.shape[-1]} and {b.shape[-1]}: give as many of each")
    return _correlation(_centred_ranks(a), _centred_ranks(b))


def agreement(a: Tensor, b: Tensor, groups: Tensor | None = None) -> Tensor:
    """Rank correlation over the pairs of classes of (..., C, C) with (..., C, C): (...), float64.

    With `groups` (C,) only over pairs within a group, ranked among those of their own group: that
    one group's classes are closer together than the other's does not count, whereas each group
    counts by its number of pairs. NaN as for `spearman`; ValueError as for `pairs`, and for
    matrices not of one size.
    """
    if a.shape[-2:] != b.shape[-2:]:
        raise ValueError(f"matrices of {tuple(a.shape)} and {tuple(b.shape)}: give one size")
    return _correlation(_ranked_pairs(a, groups), _ranked_pairs(b, groups))


def mantel(
    a: Tensor,
    b: Tensor,
    groups: Tensor | None = None,
    permutations: int = 9999,
    seed: int = 0,
) -> Mantel:
    """Mantel test of two symmetric (C, C) matrices: are they more alike than chance makes them?

    The classes of `a` are permuted, rows and columns together: in every way (p is then exact)
    where there are at most `permutations`, else in that many random ones. With `groups` (C,) only
    pairs within a group count, ranked as in `agreement`, and classes change places within theirs.
    rho and p are NaN where `agreement` is. Raises ValueError for matrices not symmetric or not of
    one size.
    Mantel (1967), The detection of disease clustering and a generalized regression approach.
    """
    _check_matrices(a, b)
    if permutations < 1:
        raise ValueError(f"{permutations} permutations: give at least 1")
    x, y = _ranked_pairs(a, groups), _ranked_pairs(b, groups)
    rho = _correlation(x, y).item()
    if math.isnan(rho):
        return Mantel(rho, math.nan, len(x))
    orders = _orders(_members(groups, len(a)), permutations, seed).to(x.device)
    draws = _products_permuted(x, y, orders, _upper(a, groups))
    # Only the product of ranks changes with the order of the classes, and halves add up exactly.
    return Mantel(rho, permutation_p((x @ y).item(), draws), len(x))


def adjusted_rand(a: Tensor, b: Tensor) -> Tensor:
    """Adjusted Rand index of clusterings: labels (..., N) with (..., N) give (...), float64.

    The axes before are broadcast; which number a cluster has does not matter. 1 for the same
    clustering, 0 on average for random ones with clusters as large. Raises ValueError for labels
    that are no whole numbers, are none, or are not equally many.
    Hubert and Arabie (1985), Comparing partitions.
    """
    _check_labels(a, b)
    in_a, in_b, in_both = _together(a), _together(b), _together(_joint(a, b))
    n = a.shape[-1]
    chance = in_a * in_b / max(1, n * (n - 1) // 2)
    index = (in_both - chance) / ((in_a + in_b) / 2 - chance)
    same = (in_a == in_both) & (in_b == in_both)
    return index.where(~same, 1.0)


def _upper(matrices: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows and columns of the entries that count."""
    shape = tuple(matrices.shape)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"matrices have shape {shape}: give (..., C, C)")
    rows, columns = torch.triu_indices(shape[-1], shape[-1], 1, device=matrices.device)
    if groups is None:
        return rows, columns
    if tuple(groups.shape) != shape[-1:]:
        raise ValueError(f"groups have shape {tuple(groups.shape)}: give ({shape[-1]},)")
    groups = groups.to(matrices.device)
    within = groups[rows] == groups[columns]
    return rows[within], columns[within]


def _centred_ranks(values: Tensor) -> Tensor:
    """Average ranks less their mean, along the last axis; NaN in rows that hold one."""
    values = values.double()
    below, not_above = ranks_among(values, values)
    ranks = (below + not_above - values.shape[-1]).double() / 2
    return ranks.where(~values.isnan().any(-1, keepdim=True), math.nan)


def _ranked_pairs(matrices: Tensor, groups: Tensor | None) -> Tensor:
    """Centred ranks of the pairs, in the order of `pairs`; within each group as shares of them."""
    values = pairs(matrices, groups)
    if groups is None:
        return _centred_ranks(values)
    of_pair = groups.to(values.device)[_upper(matrices, groups)[0]]
    found, counts = of_pair.unique(return_counts=True)
    # Times a number that all counts divide, shares are whole or halves, so their sums are exact.
    common = math.lcm(*counts.tolist())
    ranks = torch.empty(values.shape, dtype=torch.float64, device=values.device)
    for group, count in zip(found, counts.tolist(), strict=True):
        own = of_pair == group
        ranks[..., own] = _centred_ranks(values[..., own]) * (common / count)
    return ranks


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Correlation along the last axis of numbers whose mean is 0."""
    squares = (x * x).sum(-1) * (y * y).sum(-1)
    return ((x * y).sum(-1) / squares.sqrt()).clamp(-1, 1)


def _members(groups: Tensor | None, classes: int) -> list[Tensor]:
    """The classes of each group."""
    if groups is None:
        return [torch.arange(classes)]
    groups = groups.cpu()
    return [(groups == group).nonzero().flatten() for group in groups.unique()]


def _orders(members: list[Tensor], limit: int, seed: int) -> Tensor:
    """Orders of the classes, each in its group's places: all but the given one, or `limit`."""
    if math.prod(math.factorial(len(group)) for group in members) <= limit:
        choices = itertools.product(*(itertools.permutations(group.tolist()) for group in members))
        shuffled = torch.tensor([sum(choice, ()) for choice in choices])[1:]
    else:
        generator = torch.Generator().manual_seed(seed)
        keys = [torch.rand(limit, len(group), generator=generator) for group in members]
        drawn = [group[key.argsort(1)] for group, key in zip(members, keys, strict=True)]
        shuffled = torch.cat(drawn, 1)
    places = torch.cat(members)
    return torch.empty_like(shuffled).scatter(1, places.expand_as(shuffled), shuffled)


def _products_permuted(
    x: Tensor, y: Tensor, orders: Tensor, upper: tuple[Tensor, Tensor]
) -> Tensor:
    """Products of the pairs `x` (P,), their classes in each of `orders` (R, C), with `y`: (R,)."""
    classes = orders.shape[1]
    matrix = x.new_zeros(classes, classes)
    matrix[upper] = x
    matrix = matrix + matrix.T
    blocks = (orders[start:stop] for start, stop in batches(len(orders), len(x)))
    return torch.cat([matrix[block[:, upper[0]], block[:, upper[1]]] @ y for block in blocks])


def _joint(a: Tensor, b: Tensor) -> Tensor:
    """Labels of the clusters in which both `a` and `b` agree."""
    (_, a), (names, b) = a.unique(return_inverse=True), b.unique(return_inverse=True)
    return a * len(names) + b


def _together(labels: Tensor) -> Tensor:
    """How many pairs of the last axis are in one cluster: (...), float64."""
    labels = labels.long()
    below, not_above = ranks_among(labels, labels)
    return (not_above - below - 1).sum(-1).double() / 2


def _check_matrices(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"matrices of {tuple(a.shape)} and {tuple(b.shape)}: give two (C, C)")
    for matrix in (a.double(), b.double()):
        if len(a) != a.shape[1] or not torch.allclose(matrix, matrix.T, equal_nan=True):
            raise ValueError("a matrix is not symmetric: give one distance for each pair")


def _check_labels(a: Tensor, b: Tensor) -> None:
    if a.is_floating_point() or b.is_floating_point():
        raise ValueError("labels are fractions: give the whole number of each one's cluster")
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-1] or a.shape[-1] == 0:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"labels have shapes {shapes}: give (..., N), N at least 1")
