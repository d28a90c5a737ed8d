"""Do two groups differ by more than what they are made of? Compared within strata, by ranks.

Where one group has other classes, or is less confident, than the other, a difference between them
may be one of classes. Within a stratum these are alike.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .statistics import Interval, batches, interval_from_draws


class Stratified(NamedTuple):
    """Two groups compared within strata."""

    delta: float  # -1..1, above 0 where the group is larger than the others
    p: float
    n1: int  # images of the group
    n0: int  # others
    strata_used: int


class _Ranked(NamedTuple):
    """What there is to compare, in order of strata, and in these of values."""

    values: Tensor  # (n,)
    inside: Tensor  # (n,) bool, of the group
    strata: Tensor  # (n,) int64, 0..S - 1
    sizes: Tensor  # (S, 2), others and images of the group
    ties: Tensor  # (2, n) int64, where the values equal to this one begin and end in its stratum


def stratified_delta(values: Tensor, group: Tensor, strata: Tensor) -> float:
    """Cliff's delta within strata, pooled by van Elteren's weights: -1..1, 0 where alike.

    How often an image of the group is larger than another of its stratum, less how often it is
    smaller; a stratum with n1 images of the group and n0 others weighs n1 n0 / (n1 + n0 + 1).

    values  (N,); NaN are left out
    group   (N,) bool
    strata  (N,) int64; those that lack the group, or the others, are left out

    NaN where nothing is left. Raises ValueError for other shapes or types.
    van Elteren (1960), On the combination of independent two sample tests of Wilcoxon; Cliff
    (1993), Dominance statistics: ordinal analyses to answer ordinal questions.
    """
    return _delta(_ranked(values, group, strata))


def stratified_test(values: Tensor, group: Tensor, strata: Tensor) -> Stratified:
    """`stratified_delta` with the two-sided p value of van Elteren's test.

    By the normal approximation, corrected for ties: for ten images of either group or more, all
    strata together. p is 1 where all values of each stratum are equal, and NaN where nothing is
    left.
    """
    ranked = _ranked(values, group, strata)
    delta, variance = _delta(ranked), _variance(ranked)
    z = delta / math.sqrt(variance) if variance > 0 else delta
    n0, n1 = ranked.sizes.sum(0).tolist()
    return Stratified(delta, math.erfc(abs(z) / math.sqrt(2)), n1, n0, len(ranked.sizes))


def delta_interval(
    values: Tensor,
    group: Tensor,
    strata: Tensor,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of `stratified_delta`.

    Images are drawn within strata and groups, so that none vanishes: of m images m - 1, which then
    count m / (m - 1) times, as with m the intervals of small strata are too narrow. A stratum's
    only image of a group stays, and adds no width. NaN bounds where nothing can be drawn.
    Rao and Wu (1988), Resampling inference with complex survey data.
    """
    ranked = _ranked(values, group, strata)
    return _resampled(ranked, _delta(ranked), _deltas, resamples, seed, level)


def stratified_difference(values: Tensor, group: Tensor, strata: Tensor) -> float:
    """Mean of the group less that of the others within strata, pooled by the same weights.

    Arguments and errors as `stratified_delta`; for numbers whose unit is to be kept.
    """
    return _difference(_ranked(values, group, strata))


def difference_interval(
    values: Tensor,
    group: Tensor,
    strata: Tensor,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of `stratified_difference`, drawn as `delta_interval` does."""
    ranked = _ranked(values, group, strata)
    return _resampled(ranked, _difference(ranked), _differences, resamples, seed, level)


def quantile_strata(values: Tensor, parts: int) -> Tensor:
    """Strata (N,) int64 by quantiles of `values` (N,), from the lowest on, at most `parts`.

    Of one size but for ties, which stay together: so there may be fewer. Raises ValueError for NaN
    and for fewer parts than one.
    """
    if parts < 1:
        raise ValueError(f"{parts} parts: give at least 1")
    if values.ndim != 1 or values.isnan().any():
        raise ValueError(f"values {tuple(values.shape)} must be (N,) without NaN: leave those out")
    _, levels, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0)
    # Twice the middle of the places that equal values take among N.
    middles = (2 * ends - counts)[levels]
    return cross(parts * middles // (2 * max(1, len(values))))


def cross(*strata: Tensor) -> Tensor:
    """Strata (N,) int64 of images alike in all of `strata`, each (N,), numbered 0, 1, ... densely.

    In the order of the first, then the second, and so on. Raises ValueError for none, and where
    they differ in length.
    """
    if not strata or len({tuple(each.shape) for each in strata}) > 1 or strata[0].ndim != 1:
        shapes = [tuple(each.shape) for each in strata]
        raise ValueError(f"strata {shapes}: give one or more, each (N,)")
    crossed = torch.zeros_like(strata[0])
    for each in strata:
        seen, dense = each.unique(return_inverse=True)
        crossed = (crossed * len(seen) + dense).unique(return_inverse=True)[1]
    return crossed


def _resampled(ranked: _Ranked, value: float, of, resamples: int, seed: int, level: float):
    """Interval around `value` from what `of` (ranked, counts) gives for resamples: (R,)."""
    n = len(ranked.inside)
    if not (ranked.sizes > 1).any():
        return Interval(value, math.nan, math.nan, n)
    generator = torch.Generator().manual_seed(seed)
    draws = [
        of(ranked, _draw_counts(ranked, stop - start, generator))
        for start, stop in batches(resamples, n)
    ]
    return interval_from_draws(value, torch.cat(draws), n, level)


def _ranked(values: Tensor, group: Tensor, strata: Tensor) -> _Ranked:
    _check(values, group, strata)
    kept = ~values.isnan()
    kept = kept.nonzero()[:, 0][_mixed(group[kept], strata[kept])]
    values, group, strata = values[kept], group[kept], cross(strata[kept])
    key = cross(strata, values.unique(return_inverse=True)[1])
    order = key.argsort()
    inside, strata = group[order], strata[order]
    return _Ranked(values[order], inside, strata, _sizes(inside, strata), _ends(key[order]))


def _check(values: Tensor, group: Tensor, strata: Tensor) -> None:
    if not values.ndim == group.ndim == strata.ndim == 1 or not (
        len(values) == len(group) == len(strata)
    ):
        shapes = ", ".join(str(tuple(each.shape)) for each in (values, group, strata))
        raise ValueError(f"values, group and strata are {shapes}: give each as (N,)")
    if group.dtype != torch.bool or strata.dtype != torch.int64:
        raise ValueError(f"group is {group.dtype}, strata {strata.dtype}: give bool and int64")


def _mixed(group: Tensor, strata: Tensor) -> Tensor:
    """Which images are of a stratum that has both: (n,) bool."""
    strata = cross(strata)
    return (_sizes(group, strata) > 0).all(1)[strata]


def _sizes(group: Tensor, strata: Tensor) -> Tensor:
    """Others and images of the group in each stratum 0..S - 1: (S, 2)."""
    count = int(strata.max()) + 1 if len(strata) else 0
    return torch.bincount(2 * strata + group, minlength=2 * count).view(-1, 2)


def _ends(ascending: Tensor) -> Tensor:
    """Where the run of equal numbers that each belongs to begins and ends: (2, n)."""
    _, runs, counts = ascending.unique_consecutive(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0)
    return torch.stack([ends - counts, ends])[:, runs]


def _weights(ranked: _Ranked) -> Tensor:
    """Of strata: (S,) float64."""
    return ranked.sizes.prod(1).double() / (ranked.sizes.sum(1) + 1)


def _delta(ranked: _Ranked) -> float:
    once = torch.ones(1, len(ranked.inside), dtype=torch.float64, device=ranked.inside.device)
    return _deltas(ranked, once).item()


def _deltas(ranked: _Ranked, counts: Tensor) -> Tensor:
    """The pooled delta where images count `counts` (R, n) times, in each cell as many as it has."""
    inside, strata = ranked.inside, ranked.strata[ranked.inside]
    begin, end = ranked.ties[:, inside]
    # Others before each place: those below an image of the group, less those above it, are the
    # sum of two of these numbers, less the same for the bounds of its stratum.
    before = F.pad((counts * ~inside).cumsum(1), (1, 0))
    ahead = before.index_select(1, begin) + before.index_select(1, end)
    others, total = ranked.sizes[:, 0], ranked.sizes.sum(1)
    ahead -= (2 * others.cumsum(0) - others)[strata]
    return (
        (counts[:, inside] * ahead)
        @ (1.0 / (total + 1.0).double())[strata]
        / _weights(ranked).sum()
    )


def _difference(ranked: _Ranked) -> float:
    once = torch.ones(1, len(ranked.inside), dtype=torch.float64, device=ranked.inside.device)
    return _differences(ranked, once).item()


def _differences(ranked: _Ranked, counts: Tensor) -> Tensor:
    """The pooled difference of means where images count `counts` (R, n) times: (R,)."""
    others, group = ranked.sizes.double()[ranked.strata].unbind(1)
    signed = torch.where(ranked.inside, 1 / group, -1 / others)
    each = signed * ranked.values.double() * _weights(ranked)[ranked.strata]
    return counts @ each / _weights(ranked).sum()


def _variance(ranked: _Ranked) -> float:
    """Of the pooled delta where the groups are alike."""
    sizes = ranked.sizes.double()
    both, total = sizes.prod(1), sizes.sum(1)
    tied = torch.zeros_like(total)
    begin, end = ranked.ties.double()
    tied.index_add_(0, ranked.strata, (end - begin) ** 2 - 1)
    wilcoxon = both / 12 * (total + 1 - tied / (total * (total - 1)))
    # Half the number of pairs times delta is the sum of ranks, less what is expected.
    return ((4 * wilcoxon / (total + 1) ** 2).sum() / _weights(ranked).sum() ** 2).item()


def _draw_counts(ranked: _Ranked, draws: int, generator: torch.Generator) -> Tensor:
    """How often each image counts in resamples within strata and groups: (draws, n) float64."""
    cells = 2 * ranked.strata + ranked.inside
    order, sizes = cells.argsort(), ranked.sizes.flatten()
    firsts = sizes.cumsum(0) - sizes
    cell = cells[order]
    size, first = sizes[cell].double(), firsts[cell]
    places = torch.rand(draws, len(cell), generator=generator, dtype=torch.float64)
    drawn = order[first + (places.to(size.device) * size).long()]
    # The first place of each cell is not drawn for, unless it is the only one.
    weights = torch.where(size > 1, size / (size - 1), 1.0)
    weights[firsts] = torch.where(sizes > 1, 0.0, 1.0).to(weights)
    counts = torch.zeros(draws, len(cell), dtype=torch.float64, device=size.device)
    return counts.scatter_add_(1, drawn, weights.expand(draws, -1))
