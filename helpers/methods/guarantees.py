"""Thresholds of rejection scores that come with a guarantee, by split-conformal calibration.

The caller has n good images, used for nothing else: not for training, stopping, temperature or
bandwidth. Which images are good is the caller's choice: all of the trained classes, or those that
the net gets right. The guarantee holds for a good image that is exchangeable with these, on
average over calibration sets and images, whatever the score; it fails where images shift, as
those are not exchangeable, and says nothing of how many unknown images are caught. Scores are
higher where an image is more likely unknown or wrong. Scores that are empty or hold NaN raise
ValueError everywhere.
Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world.
"""

import math
from typing import NamedTuple

import torch
from scipy.stats import betabinom
from torch import Tensor

from .rejection import doubles
from .statistics import check_classes

# Quotients of shares that are whole but for rounding, such as 3 / 0.1, count as whole.
ROUNDING = 1e-9


class ClassThresholds(NamedTuple):
    """A threshold for each predicted class, and whether it is that class's own."""

    thresholds: Tensor  # (C,) float64
    own: Tensor  # (C,) bool


def conformal_threshold(calibration_scores: Tensor, share: float = 0.05) -> float:
    """Threshold above which a good image scores with a probability of at most `share`.

    Reject where score > threshold. The k-th smallest of the n scores (n,), k = ceil((n + 1)
    (1 - share)); infinite, so that nothing is rejected, where n < 1 / share - 1. Ties make it
    reject less. Raises ValueError for a share outside 0..1, bounds excluded.
    """
    scores = _checked(calibration_scores)
    kept = _kept(len(scores), share)
    return scores.kthvalue(kept).values.item() if kept <= len(scores) else math.inf


def class_thresholds(
    scores: Tensor, predicted: Tensor, classes: int, share: float = 0.05, least: int = 100
) -> ClassThresholds:
    """`conformal_threshold` for each predicted class: reject where score > thresholds[predicted].

    `scores` (n,) and `predicted` (n,) classes are of good calibration images. The guarantee then
    holds among the good images of a predicted class, for classes with at least `least` images to
    calibrate on; others have the threshold of all images together, which promises nothing for
    them alone. Raises ValueError for predictions that do not fit, and as `conformal_threshold`.
    Vovk (2012), Conditional validity of inductive conformal predictors.
    """
    scores = _checked(scores)
    _check_predicted(predicted, scores, classes)
    predicted = predicted.to(scores.device)
    own = predicted.bincount(minlength=classes) >= least
    thresholds = scores.new_full((classes,), conformal_threshold(scores, share))
    for each in own.nonzero()[:, 0].tolist():
        thresholds[each] = conformal_threshold(scores[predicted == each], share)
    return ClassThresholds(thresholds, own)


def rejected_band(
    n_calibration: int, n_test: int, share: float = 0.05, level: float = 0.95
) -> tuple[float, float]:
    """Bounds of the share of `n_test` good images rejected, with probability at least `level`.

    Over draws of both calibration and test images, where no scores tie: the number rejected is
    beta-binomial, so this is exact. Zeros where the threshold is infinite. Raises ValueError for
    no images, and shares or levels outside 0..1.
    Angelopoulos and Bates (2023), Conformal prediction: a gentle introduction, appendix C.
    """
    if n_calibration < 1 or n_test < 1 or not 0 < level < 1:
        counts = f"{n_calibration} and {n_test} images, level {level}"
        raise ValueError(f"{counts}: give at least one of each, and a level between 0 and 1")
    kept = _kept(n_calibration, share)
    if kept > n_calibration:
        return 0.0, 0.0
    rejected = betabinom(n_test, n_calibration + 1 - kept, kept)
    low, high = (rejected.ppf(0.5 + side * level / 2) / n_test for side in (-1, 1))
    return float(low), float(high)


def conformal_p(calibration_scores: Tensor, scores: Tensor) -> Tensor:
    """Conformal p value of each of `scores` (N,) that its image is good: (N,), float64.

    (1 + how many calibration images score as high) / (n + 1), of n: for a good image at most u
    with a probability of at most u. Never below 1 / (n + 1).
    """
    calibration, scores = _checked(calibration_scores), _checked(scores)
    below = torch.searchsorted(calibration.sort().values, scores.to(calibration.device))
    return (1 + len(calibration) - below).double() / (len(calibration) + 1)


def benjamini_hochberg(p_values: Tensor, rate: float = 0.05) -> Tensor:
    """Which of p values (N,) to reject so that at most `rate` of the rejected are good: (N,) bool.

    On average over repetitions (false discovery rate). Holds for conformal p values of one
    calibration set too, which depend on each other positively. Few calibration images reject
    nothing, see `calibration_needed`. Raises ValueError for p values or a rate outside 0..1.
    Benjamini and Hochberg (1995), Controlling the false discovery rate; Bates et al. (2023),
    Testing for outliers with conformal p-values.
    """
    p = _checked(p_values)
    _check_share("rate", rate)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"p values from {p.min():g} to {p.max():g}: they must lie in 0..1")
    ascending = p.sort().values
    line = rate * torch.arange(1, len(p) + 1).to(p) / len(p) * (1 + ROUNDING)
    below = ascending[ascending <= line]
    return p <= below[-1] if len(below) else torch.zeros_like(p, dtype=torch.bool)


def calibration_needed(tests: int, rate: float = 0.05) -> int:
    """Calibration images with which `benjamini_hochberg` can reject one image of `tests` alone.

    The smallest conformal p value of n images is 1 / (n + 1), and the smallest of `tests` p values
    is rejected by itself up to rate / tests: so n is at least tests / rate - 1. Where k images
    stand out together, k times fewer will do. Raises ValueError for no tests, or a rate outside
    0..1.
    """
    _check_share("rate", rate)
    if tests < 1:
        raise ValueError(f"tests is {tests}: give at least 1")
    return _ceil(tests / rate) - 1


def _kept(n: int, share: float) -> int:
    """Which of n scores, from the smallest, is the threshold; n + 1 where none will do."""
    _check_share("share", share)
    return _ceil((n + 1) * (1 - share))


def _ceil(number: float) -> int:
    return math.ceil(number * (1 - ROUNDING))


def _checked(scores: Tensor) -> Tensor:
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"scores have shape {tuple(scores.shape)}: give (N,), N at least 1")
    scores = doubles(scores)
    if scores.isnan().any():
        raise ValueError("scores hold NaN: leave those images out, and say how many")
    return scores


def _check_predicted(predicted: Tensor, scores: Tensor, classes: int) -> None:
    if predicted.shape != scores.shape:
        shape = tuple(predicted.shape)
        raise ValueError(f"predicted are {shape}: give a class for each of {len(scores)} scores")
    check_classes(predicted, classes, "predicted")


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}: give a share between 0 and 1, such as 0.05")
