"""How well a rejection score tells unknown images from known ones, and wrong answers from right.

Scores are higher where an image is more likely unknown or wrong. *Unknown* is the positive class
everywhere. Only the order of scores counts; they may be infinite. All is computed in float64, on
the device of what was given, or on the CPU where that device has no float64. Scores that are empty
or hold NaN raise ValueError everywhere.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .rejection import doubles
from .statistics import Interval, drawn_counts, interval_from_draws, ranks_among

Pair = tuple[Tensor, Tensor]


class _Order(NamedTuple):
    """Images from the lowest score up, and where each group of equal scores ends."""

    images: Tensor  # (N,)
    ends: Tensor  # (G,) images up to the end of the group


# Unknown against known


def auroc(known: Tensor, unknown: Tensor) -> Tensor:
    """Area under the ROC curve: scores (..., N) and (..., M) give (...), 0..1, chance 0.5.

    How often an unknown image scores above a known one; ties count one half.
    """
    known, unknown = _both(known, unknown)
    below, not_above = ranks_among(known, unknown)
    return (below + not_above).double().mean(-1) / (2 * known.shape[-1])


def fpr_at(known: Tensor, unknown: Tensor, caught: float = 0.95) -> Tensor:
    """Share of known images rejected where at least `caught` of the unknown are: (...), 0..1.

    Scores (..., N) and (..., M). Rejected are those at or above the highest threshold that will
    do, so that of images that tie there all are. By chance `caught`. Raises ValueError for
    `caught` outside 0..1, 0 excluded.
    """
    _check_share("caught", caught)
    known, unknown = _both(known, unknown)
    # Less rounding, as 0.95 of 20 images is 19 of them.
    needed = max(1, math.ceil(caught * unknown.shape[-1] - 1e-9))
    threshold = unknown.topk(needed).values[..., -1:]
    return (known >= threshold).double().mean(-1)


def aupr(known: Tensor, unknown: Tensor) -> Tensor:
    """Average precision of finding the unknown: scores (..., N) and (..., M) give (...), 0..1.

    By chance the share M / (N + M) of unknown images, so that sets of other sizes do not compare.
    Of images that tie none is found without the others. As scikit-learn's: no interpolation.
    """
    known, unknown = _both(known, unknown)
    found = unknown.shape[-1] - ranks_among(unknown, unknown)[0]
    mistaken = known.shape[-1] - ranks_among(known, unknown)[0]
    return (found / (found + mistaken).double()).mean(-1)


def aupr_known(known: Tensor, unknown: Tensor) -> Tensor:
    """Average precision the other way, of finding the known from the lowest score up: (...)."""
    return aupr(-doubles(unknown), -doubles(known))


# Wrong against right


def risk_coverage(score: Tensor, wrong: Tensor) -> Pair:
    """Coverage and risk where 1, 2, ..., N images are kept, from the lowest score up: (N,) each.

    Risk is the share of `wrong` (N,) among the kept; within a tie of scores (N,) its mean over all
    orders. Raises ValueError unless there is one of each per image, and `wrong` is 0 or 1.
    El-Yaniv and Wiener (2010), On the foundations of noise-free selective classification.
    """
    score, wrong = _checked_answers(score, wrong)
    _, group, size = score.unique(return_inverse=True, return_counts=True)
    errors = wrong.new_zeros(len(size)).index_add_(0, group, wrong)
    kept = torch.arange(1, len(score) + 1).to(score)
    return kept / len(score), (errors / size).repeat_interleave(size).cumsum(0) / kept


def aurc(score: Tensor, wrong: Tensor) -> Tensor:
    """Area under the risk-coverage curve: the mean risk over all coverages, a scalar 0..1.

    Lower is better: read it between `aurc_best` and `aurc_by_chance`. Raises as `risk_coverage`.
    Geifman, Uziel and El-Yaniv (2019), Bias-reduced uncertainty estimation for deep neural
    classifiers.
    """
    return risk_coverage(score, wrong)[1].mean()


def aurc_best(wrong: Tensor) -> Tensor:
    """`aurc` of a score that puts every wrong image (N,) above every right one, a scalar."""
    return aurc(wrong, wrong)


def aurc_by_chance(wrong: Tensor) -> Tensor:
    """`aurc` of a score that knows nothing, a scalar: the error rate."""
    return aurc(torch.zeros_like(wrong), wrong)


def selective_accuracy(score: Tensor, wrong: Tensor, coverage: float) -> Tensor:
    """Share right among the `coverage` of the images that score lowest, rounded up: a scalar.

    Ties as `risk_coverage`. Raises ValueError for a coverage outside 0..1, 0 excluded.
    """
    _check_share("coverage", coverage)
    shares, risk = risk_coverage(score, wrong)
    return 1 - risk[torch.searchsorted(shares, coverage - 1e-12)]


def paired_aurc_interval(
    first: Tensor, second: Tensor, wrong: Tensor, resamples: int = 1000, seed: int = 0
) -> Interval:
    """`aurc` of the first score (N,) less that of the second, with its 95 % bootstrap interval.

    Below 0 where the first is better. Both are of the same images, which are resampled together.
    NaN bounds for one image. Raises ValueError for no resamples, and as `risk_coverage`.
    """
    first, wrong = _checked_answers(first, wrong)
    second, _ = _checked_answers(second, wrong)
    orders = [_order(score) for score in (first, second)]
    draws = [
        torch.sub(*(_weighted_aurc(counts, wrong, order) for order in orders))
        for counts in drawn_counts(len(wrong), resamples, seed, wrong)
    ]
    value = (aurc(first, wrong) - aurc(second, wrong)).item()
    return interval_from_draws(value, torch.cat(draws), len(wrong))


def _weighted_aurc(counts: Tensor, wrong: Tensor, order: _Order) -> Tensor:
    """AURC of images that occur `counts` (R, N) times each, N in all: (R,).

    A group of n equal scores with e errors, behind A images with E errors, adds the sum over
    i = 1..n of (E + i e / n) / (A + i), which is e + (E - A e / n) (H(A + n) - H(A)), H the
    harmonic numbers.
    """
    counts, ends = counts[:, order.images], torch.nn.functional.pad(order.ends, (1, 0))
    images = _sums_before(counts)[:, ends]
    errors = _sums_before(counts * wrong[order.images])[:, ends]
    rate = errors.diff() / images.diff().clamp(min=1)
    harmonic = _sums_before(1 / torch.arange(1, counts.shape[1] + 1).to(counts))
    grown = harmonic[images.long()].diff()
    curve = (errors[:, :-1] - images[:, :-1] * rate) * grown
    return (errors[:, -1] + curve.sum(1)) / counts.shape[1]


def _order(score: Tensor) -> _Order:
    ascending, images = score.sort()
    return _Order(images, ascending.unique_consecutive(return_counts=True)[1].cumsum(0))


def _sums_before(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, ..., N values along the last axis: (..., N + 1)."""
    return torch.nn.functional.pad(values.cumsum(-1), (1, 0))


def _both(known: Tensor, unknown: Tensor) -> Pair:
    known = _checked(known)
    unknown = _checked(unknown).to(known.device)
    if known.shape[:-1] != unknown.shape[:-1]:
        shapes = f"{tuple(known.shape)} and {tuple(unknown.shape)}"
        raise ValueError(f"scores have shapes {shapes}: give (..., N) and (..., M), the rest alike")
    return known, unknown


def _checked(score: Tensor) -> Tensor:
    if score.ndim == 0 or score.numel() == 0:
        raise ValueError(f"scores have shape {tuple(score.shape)}: give one per image, at least 1")
    score = doubles(score)
    if score.isnan().any():
        raise ValueError("scores hold NaN: leave those images out, and say how many")
    return score


def _checked_answers(score: Tensor, wrong: Tensor) -> Pair:
    if score.ndim != 1 or score.shape != wrong.shape:
        shapes = f"{tuple(score.shape)} and {tuple(wrong.shape)}"
        raise ValueError(f"score and wrong have shapes {shapes}: give one of each per image")
    score = _checked(score)
    wrong = doubles(wrong).to(score.device)
    if not ((wrong == 0) | (wrong == 1)).all():
        raise ValueError("wrong holds other numbers than 0 and 1: say which answers were wrong")
    return score, wrong


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value}: give a share above 0 and at most 1")
