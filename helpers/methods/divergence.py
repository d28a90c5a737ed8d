"""How unlike are classes, or images, to a net: divergences between rows of scores, and profiles.

Every measure takes rows of numbers >= 0, normalises each to a distribution, and compares all pairs:
`P` (N, D) with `Q` (M, D) gives (N, M); `P` alone gives a symmetric (N, N) with a zero diagonal.
Rows are normalised here, so the scale of a row never matters. A row without mass (all zero), or of
NaN alone (a class without images), is no distribution: what it is compared with is NaN, its own
diagonal included, rather than a number that looks like a finding. A negative or infinite entry, or
NaN beside numbers, is a mistake: ValueError.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy
import torch
from torch import Tensor

from .statistics import check_classes, drawn_counts

# Numbers worked on at a time: they fit a core's cache, and are enough for calls to cost little.
CELLS = 1 << 18
# Rows longer than this are summed pair by pair: a running sum would gather rounding error.
SHORT = 32
# One nat in bits.
BIT = 1 / math.log(2)

Over = Literal["images", "classes"]


def js_divergence(P: Tensor, Q: Tensor | None = None) -> Tensor:
    """Jensen-Shannon divergence in bits, 0..1, of all pairs of rows: (N, M).

    Exactly zero for equal rows, 1 for rows without common support; 0 log 0 is 0, and numbers as
    small as the type holds count. Right to 5e-6 in float32 and 1e-14 in float64. Beyond the result
    and the normalised rows, memory does not grow. ValueError and NaN as the module says.
    Lin (1991), Divergence measures based on the Shannon entropy.
    """
    if P.shape[-1] > SHORT:
        return _all_pairs(_js_of_long_rows, P, Q, side=16)
    return _all_pairs(_js_of_short_rows, P, Q)


def symmetric_kl(P: Tensor, Q: Tensor | None = None) -> Tensor:
    """Mean of the Kullback-Leibler divergences both ways, in bits: (N, M), without upper bound.

    Infinite where one row is zero and the other is not, which one underflown score suffices for.
    ValueError and NaN as the module says. Kullback and Leibler (1951), On information and
    sufficiency.
    """
    return _all_pairs(_kl_both_ways, P, Q)


def hellinger(P: Tensor, Q: Tensor | None = None) -> Tensor:
    """Hellinger distance, 0..1, of all pairs of rows: (N, M). ValueError and NaN as above."""
    P, Q = _both(P, Q)
    # By matrix product the distance of equal rows would not be zero.
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(P.sqrt(), Q.sqrt(), compute_mode=exact).div_(math.sqrt(2))


def total_variation(P: Tensor, Q: Tensor | None = None) -> Tensor:
    """Total variation, half the sum of differences, 0..1: (N, M). ValueError and NaN as above."""
    return torch.cdist(*_both(P, Q), p=1).div_(2)


def confusion_distance(matrix: Tensor) -> Tensor:
    """Dissimilarity (C, C) of classes from a confusion matrix of counts, rows true.

    One less the mean of two shares: images of a that were called b, and of b called a. So 1 for
    classes never confused and 0 for two always called each other; the diagonal is set to 0. NaN
    for a class without images. Raises ValueError unless the matrix is square, and as the module
    says.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix has shape {tuple(matrix.shape)}: give (C, C), rows true")
    shares = _normalised(_checked_rows(matrix))
    distance = 1 - (shares + shares.T) / 2
    # Zero, but NaN where the class is.
    return distance.diagonal_scatter(distance.diagonal() * 0)


def class_profiles(
    scores: Tensor,
    groups: Tensor | None = None,
    classes: int | None = None,
    over: Over = "images",
) -> Tensor:
    """A distribution that stands for each class, from `scores` (N, C).

    over="images", as the post has it: (C, N), how the mass of a class lies over all images. Needs
    no labels, and `groups` is not used; classes are alike if the same images call them up.
    over="classes": (classes, C), mean scores of the images of a class, `groups` (N,) being true or
    predicted labels below `classes` (C unless given); classes are alike if their images are
    scored alike. A class without mass or images has a row of NaN. Raises ValueError for scores
    that are negative or not finite, and for labels that do not fit.
    """
    scores = _checked_scores(scores)
    if not _by_class(over):
        return _normalised(scores.T)
    groups, classes = _checked_labels(groups, classes, scores)
    return _normalised(scores.new_zeros(classes, scores.shape[1]).index_add_(0, groups, scores))


def divergence_maps(scores: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
    """JS divergence between classes as each of S nets sees it: (S, C, C), in bits.

    `scores` holds (N, C) for each net; profiles are over images, or, given `labels` (N,), over
    classes. Raises ValueError as `class_profiles` does.
    """
    over: Over = "images" if labels is None else "classes"
    return torch.stack([js_divergence(class_profiles(each, labels, over=over)) for each in scores])


def shuffled(scores: Tensor, seed: int = 0) -> Tensor:
    """`scores` (N, C), each image's in random order: as sure as before, but of random classes."""
    keys = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed))
    return scores.gather(1, keys.argsort(1).to(scores.device))


def js_of_scores(scores: Tensor, block: int = 1 << 14) -> Tensor:
    """`js_divergence(class_profiles(scores))` (C, C) in memory flat in the number of images.

    `scores` (N, C) may be a memory-mapped tensor: it is read twice, `block` images at a time, and
    summed in float64. A class without mass is NaN. Raises ValueError as `class_profiles` does.
    """
    scores = scores.detach()
    dtype = _checked_scores(scores[:1]).dtype
    parts = [slice(start, start + block) for start in range(0, len(scores), block)]
    mass = sum(_checked_scores(scores[part]).double().sum(0) for part in parts)
    one = mass.new_ones(())
    sums = sum(_js_sums(scores[part].T * (len(scores) / mass)[:, None], one) for part in parts)
    return (sums / len(scores)).clamp_(0, 1).to(dtype)


def bootstrap_divergence(
    scores: Tensor,
    labels: Tensor | None = None,
    over: Over = "images",
    resamples: int = 1000,
    seed: int = 0,
) -> Tensor:
    """JS divergence of class profiles in bits in each bootstrap resample of images: (R, C, C).

    Profiles as `class_profiles` makes them of `scores` (N, C) and, over classes, `labels` (N,).
    The resamples are those of `resampled_means` with the same seed; memory beyond the result does
    not depend on their number. A class that a resample left out is NaN there. Raises ValueError as
    `class_profiles` does, and for no resamples.
    """
    scores = _checked_scores(scores)
    weights = drawn_counts(len(scores), resamples, seed, scores)
    if _by_class(over):
        labels, classes = _checked_labels(labels, None, scores)
        members = [(labels == label).nonzero()[:, 0] for label in range(classes)]
        return torch.cat([_js_over_classes(scores, members, counts) for counts in weights])
    columns = scores.T.contiguous()
    return torch.stack([_js_over_images(columns, row) for counts in weights for row in counts])


def bootstrap_maps(scores: Sequence[Tensor], resamples: int, seed: int = 0) -> Tensor:
    """`bootstrap_divergence` over images for each of S nets, by the same draws: (S, R, C, C)."""
    return torch.stack([bootstrap_divergence(s, None, "images", resamples, seed) for s in scores])


def maps_of_few(scores: Tensor, count: int, draws: int, seed: int = 0) -> Tensor:
    """Maps of the classes, (draws, C, C), from `count` images each, drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(scores), (draws, count), generator=generator)
    return divergence_maps([scores[few] for few in rows])


# Other threads are not in the caller's inference mode, and may not write to what is made in it.
@torch.inference_mode(False)
def _all_pairs(
    kernel: Callable[[Tensor, Tensor], Tensor],
    P: Tensor,
    Q: Tensor | None,
    side: int = math.isqrt(CELLS),
) -> Tensor:
    """`kernel` of every tile of pairs; with `P` alone, of those above the diagonal, mirrored."""
    mirrored = Q is None
    P, Q = _both(P, Q)
    result = P.new_full((len(P), len(Q)), math.nan)

    def fill(tile: tuple[slice, slice]) -> None:
        rows, columns = tile
        result[rows, columns] = kernel(P[rows], Q[columns])
        if mirrored and rows != columns:
            result[columns, rows] = result[rows, columns].T

    # Tiles side by side rather than each operation in parts, whose threads wait for each other.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        deque(pool.map(fill, _tiles(len(P), len(Q), side, upper=mirrored)), maxlen=0)
    return result


def _tiles(n: int, m: int, side: int, upper: bool) -> Iterator[tuple[slice, slice]]:
    for top in range(0, n, side):
        for left in range(top if upper else 0, m, side):
            yield slice(top, top + side), slice(left, left + side)


def _js_of_short_rows(P: Tensor, Q: Tensor) -> Tensor:
    """Entropy of the mixture less mean entropy, (..., n, D) and (..., m, D) to (..., n, m).

    One logarithm per pair and column. All three entropies are summed in the same order, so that
    they cancel to zero where rows are equal.
    """
    n, rows = P.shape[-2], _halves(torch.cat((P, Q), -2)).movedim(-1, 0).contiguous()
    total = P.new_zeros(*P.shape[:-1], Q.shape[-2])
    mixture, logarithm = torch.empty_like(total), torch.empty_like(total)
    doubled, own = rows + rows, torch.zeros_like(rows[0])
    for x, twice, its_log in zip(rows, doubled, _log(doubled), strict=True):
        torch.add(x[..., :n, None], x[..., None, n:], out=mixture)
        total.addcmul_(mixture, _log(mixture, logarithm), value=-BIT)
        own.addcmul_(twice, its_log, value=-BIT)
    own = torch.add(own[..., :n, None], own[..., None, n:], out=mixture)
    return total.sub_(own, alpha=0.5).clamp_(0, 1)


def _js_of_long_rows(P: Tensor, Q: Tensor) -> Tensor:
    """Column by column what mixing adds in entropy, then the sum: (n, D) and (m, D) to (n, m)."""
    a, b = _halves(P), _halves(Q)
    total = P.new_zeros(len(P), len(Q))
    width = max(1, CELLS // total.numel())
    for x, y in zip(a.split(width, 1), b.split(width, 1), strict=True):
        own = _entropy(x + x)[:, None] + _entropy(y + y)
        terms = _entropy(x[:, None] + y).sub_(own, alpha=0.5)
        total += terms.sum(-1)
    return total.clamp_(0, 1)


def _kl_both_ways(P: Tensor, Q: Tensor) -> Tensor:
    total = P.new_zeros(len(P), len(Q))
    for p, q in zip(P.T, Q.T, strict=True):
        ratio = p.log2()[:, None] - q.log2()
        # Of two zeros the logarithms differ by NaN; such a column must add nothing.
        ratio.nan_to_num_(nan=0.0, posinf=math.inf, neginf=-math.inf)
        total.addcmul_(p[:, None] - q, ratio, value=0.5)
    return total


def _js_sums(columns: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums over images of what mixing adds in entropy, from `columns` (C, n): (C, C).

    Columns come scaled to a weighted mean of 1 over all images, which leaves the sums as they are
    (the logarithm of the scale cancels) and keeps them small, hence exact.
    """
    weights = weights.expand(columns.shape[1])
    own = _entropy(columns.clamp_min(_tiny(columns))) @ weights
    sums = torch.diag(own - own)
    for first in range(len(columns) - 1):
        mixtures = (columns[first + 1 :] + columns[first]).mul_(0.5).clamp_min_(_tiny(columns))
        gain = _entropy(mixtures) @ weights - (own[first] + own[first + 1 :]) / 2
        sums[first, first + 1 :] = sums[first + 1 :, first] = gain
    return sums


def _js_over_images(columns: Tensor, weights: Tensor) -> Tensor:
    """(C, C) from scores by class (C, N) and how often each image was drawn (N,)."""
    n = columns.shape[1]
    scaled = columns * (n / (columns @ weights))[:, None]
    return (_js_sums(scaled, weights) / n).clamp_(0, 1)


def _js_over_classes(scores: Tensor, members: list[Tensor], counts: Tensor) -> Tensor:
    """(R, C, C) from scores (N, C), the rows of each class, and resamples' counts (R, N)."""
    sums = [counts[:, rows] @ scores[rows] for rows in members]
    profiles = _normalised(torch.stack(sums, dim=1))
    return _js_of_short_rows(profiles, profiles)


def _halves(rows: Tensor) -> Tensor:
    """Half of each row, so that two add to the mixture; raised off zero, where 0 log 0 is 0."""
    return rows / 2 + _tiny(rows)


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny


def _entropy(values: Tensor) -> Tensor:
    """What each of `values` (none of them zero) adds to an entropy, in bits."""
    return _log(values).mul_(values).mul_(-BIT)


def _log(values: Tensor, out: Tensor | None = None) -> Tensor:
    """Natural logarithm of `values`, contiguous."""
    out = torch.empty_like(values) if out is None else out
    if values.device.type != "cpu":
        return torch.log(values, out=out)
    # On a core, numpy takes a quarter of the time that torch takes.
    numpy.log(values.numpy(), out=out.numpy())
    return out


def _both(P: Tensor, Q: Tensor | None) -> tuple[Tensor, Tensor]:
    P = _normalised(_checked_rows(P))
    Q = P if Q is None else _normalised(_checked_rows(Q))
    if P.shape[1] != Q.shape[1]:
        raise ValueError(f"rows of {P.shape[1]} and of {Q.shape[1]} numbers: give equally long")
    dtype = torch.promote_types(P.dtype, Q.dtype)
    return P.to(dtype), Q.to(dtype)


def _normalised(rows: Tensor) -> Tensor:
    """Rows that sum to 1; NaN without mass. By the largest first: a sum may leave the type."""
    rows = rows / rows.amax(-1, keepdim=True)
    return rows.div_(rows.sum(-1, keepdim=True))


def _checked_rows(rows: Tensor) -> Tensor:
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"rows have shape {tuple(rows.shape)}: give (N, D) with D of at least 1")
    unknown = rows.isnan()
    if (unknown.any(1) & ~unknown.all(1)).any():
        raise ValueError("a row holds NaN beside numbers: give numbers >= 0, or NaN alone")
    if (rows < 0).any() or rows.isinf().any():
        raise ValueError("a row holds a negative or infinite number: a distribution has neither")
    return rows.detach().to(torch.promote_types(rows.dtype, torch.float32))


def _checked_scores(scores: Tensor) -> Tensor:
    if len(scores) == 0:
        raise ValueError("no scores: give those of at least one image")
    scores = _checked_rows(scores)
    if scores.isnan().any():
        raise ValueError("scores hold NaN: leave those images out, and say how many")
    return scores


def _checked_labels(
    labels: Tensor | None, classes: int | None, scores: Tensor
) -> tuple[Tensor, int]:
    if labels is None or labels.shape != scores.shape[:1]:
        raise ValueError(f"profiles over classes need a label for each of the {len(scores)} images")
    classes = scores.shape[1] if classes is None else classes
    check_classes(labels, classes)
    return labels.to(scores.device, torch.int64), classes


def _by_class(over: Over) -> bool:
    if over not in ("images", "classes"):
        raise ValueError(f"over is {over!r}: give 'images' or 'classes'")
    return over == "classes"
