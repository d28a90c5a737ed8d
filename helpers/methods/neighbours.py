"""Who is near whom: nearest images, how many of them change, and what explains who is near.

Points (N, D) are images described by D numbers each: pixels in one row, the outputs of a layer
(signatures), scores, or places on a map. A metric is "euclidean"; "cosine", one less the cosine of
the angle between two rows, 0..2; or "js", the Jensen-Shannon divergence in bits of two rows of
scores, 0..1, whatever the scale of a row. All is computed in float64. Points that are not (N, D),
or that hold NaN or infinity, raise ValueError everywhere; so do rows of zeros with "cosine" and
"js", which have no direction and no distribution, and negative numbers with "js".
"""

import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from scipy.stats import rankdata
from torch import Tensor

from .divergence import js_divergence

# Rows compared with all others at a time: few enough that comparing them stays in cache.
BLOCK = 128
# Numbers gathered at a time where points are compared pair by pair.
CELLS = 1 << 20
# A squared distance below this share of the row's own square has lost digits in a matrix product.
CLOSE = 1e-4
# Two predictors that share all but this much of their variance count as one.
SAME = 1e-12

Metric = Literal["euclidean", "cosine", "js"]


class Neighbours(NamedTuple):
    """The nearest others of every point, nearest first."""

    indices: Tensor  # (N, k) int64
    distances: Tensor  # (N, k) float64


class Commonality(NamedTuple):
    """Shares of the variance of a response: by either predictor alone, by both in common, in all.

    The first three add up to `total`, which is R squared.
    """

    first: Tensor
    second: Tensor
    common: Tensor
    total: Tensor


def nearest(points: Tensor, k: int, metric: Metric = "euclidean", block: int = BLOCK) -> Neighbours:
    """The `k` nearest others of each of `points` (N, D), exactly; never the point itself.

    A point that occurs twice is its copy's neighbour, at distance 0. Of others equally far, which
    ones are found is not defined. Memory is N x `block` numbers beyond the result and two copies
    of the points in float64. Raises ValueError unless 1 <= k < N, and as the module says.
    """
    points = checked_points(points)
    check_range("k", k, len(points) - 1)
    return _smallest(to_others(points, metric, block), k, metric)


def nearest_to(queries: Tensor, points: Tensor, k: int, metric: Metric = "euclidean") -> Neighbours:
    """The `k` nearest of `points` (N, D) to each of `queries` (M, D), exactly: (M, k).

    A query that is also one of the points finds itself, at distance 0. Memory as `nearest`. Raises
    ValueError unless 1 <= k <= N and rows are equally long, and as the module says.
    """
    queries, points = _prepared(queries, metric), _prepared(points, metric)
    check_range("k", k, len(points))
    if queries.shape[1] != points.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(points.shape)}"
        raise ValueError(f"queries and points are {shapes}: give equally long rows")
    return _smallest(_compared(queries.to(points.device), points, metric, BLOCK), k, metric)


def to_others(
    points: Tensor, metric: Metric = "euclidean", block: int = BLOCK
) -> Iterator[tuple[slice, Tensor]]:
    """Some rows at a time, how far they are from all `points` (N, D): (rows, (block, N)).

    In the order of distances, but not the distances themselves: Euclidean ones are squared, and
    cosine ones are doubled. Infinite from a point to itself. Raises ValueError as the module says.
    """
    points = _prepared(points, metric)
    for rows, far in _compared(points, points, metric, block):
        far.diagonal(rows.start).fill_(torch.inf)
        yield rows, far


def mostly_alike(indices: Tensor, labels: Tensor) -> Tensor:
    """Whether most of each image's neighbours `indices` (N, k) have its label: (N,) bool.

    Of labels that are equally frequent the one with the nearest neighbour counts.
    """
    near = labels[indices.to(labels.device)]
    places = torch.arange(near.shape[1], device=near.device)
    votes = (near[:, :, None] == near[:, None]).sum(2) * near.shape[1] - places
    return near.gather(1, votes.argmax(1, keepdim=True))[:, 0] == labels


def turnover(before: Tensor, after: Tensor) -> Tensor:
    """Share of each image's k neighbours that are new: (..., N), 0 the same set, 1 all new.

    `before` and `after` (..., N, k) are indices of neighbours, whose order within a row does not
    matter. Raises ValueError unless both are whole numbers of one shape.
    """
    if before.shape != after.shape or before.ndim == 0 or before.shape[-1] == 0:
        shapes = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"neighbours are {shapes}: give (N, k) twice, k at least 1")
    if before.is_floating_point() or after.is_floating_point():
        raise ValueError("neighbours are fractions: give their indices, not their distances")
    known, after = before.long().sort(-1).values, after.to(before.device).long().contiguous()
    places = torch.searchsorted(known, after).clamp_(max=known.shape[-1] - 1)
    return (known.gather(-1, places) != after).double().mean(-1)


def turnover_by_chance(n: int, k: int) -> float:
    """Turnover to expect where the `k` neighbours of each of `n` images are drawn at random.

    Raises ValueError unless 1 <= k < n.
    """
    check_range("k", k, n - 1)
    return 1 - k / (n - 1)


def commonality(response: Tensor, first: Tensor, second: Tensor) -> Commonality:
    """What two correlated predictors explain of a `response`, alone and in common: (...), float64.

    All are (..., P), axes before the last broadcast, and enter a linear regression by their ranks
    (ties have their average rank), so that only their order counts. The common share is negative
    where a predictor is a suppressor: it explains more beside the other than by itself. Two
    predictors of one order have all in common. NaN where any of the three is constant or holds a
    NaN. Raises ValueError for rows not equally long.
    Kerlinger and Pedhazur (1973), Multiple regression in behavioral research; Nimon and Reio
    (2011), Regression commonality analysis.
    """
    lengths = {values.shape[-1] for values in (response, first, second)}
    if len(lengths) > 1:
        raise ValueError(f"rows of {sorted(lengths)} numbers: give as many of each")
    response, first, second = (_unit_ranks(values) for values in (response, first, second))
    with_first, with_second = (response * first).sum(-1), (response * second).sum(-1)
    between = (first * second).sum(-1)
    rest = (1 - between**2).clamp(min=SAME)
    alone = (with_first - with_second * between) ** 2 / rest
    other = (with_second - with_first * between) ** 2 / rest
    common = with_first**2 - alone
    return Commonality(alone, other, common, alone + other + common)


def pair_distances(
    points: Tensor, rows: Tensor, others: Tensor, metric: Metric = "euclidean"
) -> Tensor:
    """Distances of given pairs of `points` (N, D), by their indices (P,) and (P,): (P,), float64.

    Memory beyond the result is a copy of the points. Raises ValueError unless indices are as many
    whole numbers from 0 to N - 1, and as the module says.
    """
    points = _prepared(points, metric)
    rows, others = (_checked_indices(each, points) for each in (rows, others))
    if rows.shape != others.shape:
        raise ValueError(f"{len(rows)} rows and {len(others)} others: give one of each per pair")
    between = _js_of_pairs if metric == "js" else _squares_of_pairs
    count = max(1, CELLS // points.shape[1])
    pairs = zip(rows.split(count), others.split(count), strict=True)
    return _finished(torch.cat([between(points[a], points[b]) for a, b in pairs]), metric)


def sampled_pairs(n: int, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`count` random pairs of two of `n` images: (rows, others), int64 (count,) each.

    Drawn independently, any two images as likely, so that a pair may recur (200,000 of 10,000
    images: about 1 in 250 does). Raises ValueError for fewer than two images or no pairs.
    """
    if n < 2 or count < 1:
        raise ValueError(f"{count} pairs of {n} images: give at least 1 of 2")
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(n, (count,), generator=generator)
    return rows, (rows + torch.randint(1, n, (count,), generator=generator)) % n


def checked_points(points: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """`points` as `dtype`. Raises ValueError unless they are (N, D) and finite."""
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"points have shape {tuple(points.shape)}: give (N, D), an image per row")
    points = points.detach().to(dtype)
    if not points.isfinite().all():
        raise ValueError("points hold NaN or infinity: leave those images out, and say how many")
    return points


def check_range(name: str, value: int, most: int) -> None:
    """Raises ValueError unless 1 <= value <= most."""
    if not 1 <= value <= most:
        raise ValueError(f"{name} is {value}: with these points give from 1 to {most}")


def _prepared(points: Tensor, metric: Metric) -> Tensor:
    """Points in float64; of length 1 for "cosine", of sum 1 for "js"."""
    points = checked_points(points)
    if metric not in ("euclidean", "cosine", "js"):
        raise ValueError(f"metric is {metric!r}: give 'euclidean', 'cosine' or 'js'")
    if metric == "euclidean":
        return points
    if metric == "js" and (points < 0).any():
        raise ValueError("points hold negative numbers: 'js' compares scores, which have none")
    # By the largest first: sums of squares may leave the type.
    largest = points.abs().amax(1, keepdim=True)
    if (largest == 0).any():
        empty = int((largest == 0).sum())
        raise ValueError(f"{empty} points are all zeros: leave those images out, and say how many")
    scaled = points / largest
    return scaled / scaled.norm(dim=1, p=1 if metric == "js" else 2, keepdim=True)


def _compared(
    queries: Tensor, points: Tensor, metric: Metric, block: int
) -> Iterator[tuple[slice, Tensor]]:
    """As `to_others`, of prepared `queries` (M, D) to prepared `points`: (rows, (block, N))."""
    if metric != "js":
        yield from _squares(queries, points, block)
        return
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        yield rows, js_divergence(queries[rows], points)


def _squares(queries: Tensor, points: Tensor, block: int) -> Iterator[tuple[slice, Tensor]]:
    """Squared Euclidean distances (block, N) of some queries at a time to all points."""
    # Far from the origin squares are large, and their differences lose digits.
    centred = points - points.mean(0)
    queries = centred if queries is points else queries - points.mean(0)
    squares = centred.square().sum(1)
    for start in range(0, len(queries), block):
        some = queries[start : start + block]
        own = some.square().sum(1, keepdim=True)
        squared = torch.addmm(squares, some, centred.T, alpha=-2).add_(own)
        _sum_close_pairs(squared, some, centred, CLOSE * own)
        yield slice(start, start + block), squared


def _sum_close_pairs(squared: Tensor, queries: Tensor, points: Tensor, below: Tensor) -> None:
    """Replace what is `below` in `squared` (b, N) by sums of differences, which lose no digits."""
    for pairs in (squared < below).nonzero().split(max(1, CELLS // points.shape[1])):
        row, other = pairs.T
        squared[row, other] = _squares_of_pairs(queries[row], points[other])


def _squares_of_pairs(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square_().sum(1)


def _js_of_pairs(p: Tensor, q: Tensor) -> Tensor:
    """JS divergence in bits of each row of `p` (P, D) with that of `q`, where not all pairs are."""
    entropy = torch.special.entr
    gained = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    return (gained.sum(1) / math.log(2)).clamp_(0, 1)


def _smallest(compared: Iterable[tuple[slice, Tensor]], k: int, metric: Metric) -> Neighbours:
    found = [far.topk(k, largest=False) for _, far in compared]
    indices = torch.cat([each.indices for each in found])
    return Neighbours(indices, _finished(torch.cat([each.values for each in found]), metric))


def _finished(far: Tensor, metric: Metric) -> Tensor:
    """Distances from what `to_others` gives: half the square is that of cosine, at length 1."""
    if metric == "euclidean":
        return far.sqrt_()
    return far / 2 if metric == "cosine" else far


def _unit_ranks(values: Tensor) -> Tensor:
    """Ranks less their mean, of length 1 along the last axis; NaN where all are tied."""
    # Not by `agreement.spearman`, which is for many short rows, and would rank each of these twice.
    ranks = torch.from_numpy(rankdata(values.detach().cpu().numpy(), axis=-1)).to(values.device)
    centred = ranks - (values.shape[-1] + 1) / 2
    return centred / centred.norm(dim=-1, keepdim=True)


def _checked_indices(indices: Tensor, points: Tensor) -> Tensor:
    if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
        raise ValueError(f"indices are {indices.dtype} {tuple(indices.shape)}: give int64 (P,)")
    if ((indices < 0) | (indices >= len(points))).any():
        raise ValueError(f"indices from {indices.min()} to {indices.max()} of {len(points)} points")
    return indices.to(points.device, torch.int64)
