"""How likely is an image unknown, or got wrong: rejection scores, higher where to reject.

From logits (N, C) alone, or from what the last linear layer reads (D numbers an image, a row of
"points"), where "fitted" are images of the trained classes that the score takes as known. All give
(N,) in float64, on the device of what was given, or on the CPU where that device has no float64.
With two classes every score of the softmax alone (maximum softmax, entropy, margin, generalised
entropy) ranks images alike, as each follows from the gap of the two logits. What is not (N, C) or
(N, D), or holds NaN or infinity, raises ValueError everywhere.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .neighbours import checked_points, nearest_to

# Added to the variance in every direction, as a share of the mean variance.
RIDGE = 1e-6
# Logits further than this share of the largest from those of the last layer are another net's.
SLACK = 0.05
# What is below this share of the size of the points is rounding.
NOTHING = 1e-9


class NoResidualError(ValueError):
    """The fitted images leave nothing outside the directions that ViM takes for theirs."""


class _Odds(NamedTuple):
    """Softmax by its distance from certainty, which keeps the digits that scores near 1 lose."""

    gaps: Tensor  # (N, C) largest logit less each, ascending, the first 0
    others: Tensor  # (N,) log of the scores of all other classes over that of the largest


def max_score(logits: Tensor) -> Tensor:
    """1 less the largest score, 0..1: no ties where the softmax saturates.

    Hendrycks and Gimpel (2017), A baseline for detecting misclassified and out-of-distribution
    examples in neural networks.
    """
    return _odds(logits).others.sigmoid()


def max_logit(logits: Tensor) -> Tensor:
    """Minus the largest logit.

    Hendrycks et al. (2022), Scaling out-of-distribution detection for real-world settings.
    """
    return -_checked_logits(logits).amax(1)


def energy(logits: Tensor) -> Tensor:
    """Minus the logarithm of the sum of the exponentials of the logits.

    Liu et al. (2020), Energy-based out-of-distribution detection.
    """
    return -_checked_logits(logits).logsumexp(1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the scores in nats, 0..ln C: no ties where the softmax saturates."""
    odds = _odds(logits)
    log_largest = torch.nn.functional.logsigmoid(-odds.others)
    return ((log_largest[:, None] - odds.gaps).exp() * odds.gaps).sum(1) - log_largest


def margin(logits: Tensor) -> Tensor:
    """1 less the gap of the two largest scores, 0..1: no ties where the softmax saturates."""
    odds = _odds(logits)
    second = (torch.nn.functional.logsigmoid(-odds.others) - odds.gaps[:, 1]).exp()
    return odds.others.sigmoid() + second


def generalised_entropy(logits: Tensor, gamma: float = 0.1, top: int = 100) -> Tensor:
    """Sum of (p (1 - p))^gamma over the `top` largest scores p, or all where there are fewer.

    A small gamma weighs how the scores of unlikely classes lie. Raises ValueError unless gamma is
    in 0..1, 0 excluded, and `top` at least 1.
    Liu et al. (2023), GEN: Pushing the limits of softmax-based out-of-distribution detection.
    """
    if not 0 < gamma <= 1 or top < 1:
        raise ValueError(f"gamma is {gamma}, top {top}: give 0 < gamma <= 1 and top at least 1")
    odds = _odds(logits)
    log_score = torch.nn.functional.logsigmoid(-odds.others)[:, None] - odds.gaps[:, :top]
    log_rest = (-log_score.exp()).log1p()
    log_rest[:, 0] = torch.nn.functional.logsigmoid(odds.others)
    return (gamma * (log_score + log_rest)).exp().sum(1)


def nearest_distance(fitted: Tensor, points: Tensor, k: int = 50) -> Tensor:
    """Distance of each of `points` (N, D) to the k-th nearest of `fitted` (M, D), 0..2.

    Rows are brought to length 1 first; a row of zeros stays, at distance 1 from every other. Where
    there are fewer than `k` fitted images the farthest counts. An image that is among the fitted
    finds itself first. Raises ValueError for k below 1, and as the module says.
    Sun et al. (2022), Out-of-distribution detection with deep nearest neighbors.
    """
    fitted, points = _pair_of_points(fitted, points)
    found = nearest_to(_directions(points), _directions(fitted), min(k, len(fitted)))
    return found.distances[:, -1]


def mahalanobis(fitted: Tensor, labels: Tensor, points: Tensor) -> Tensor:
    """Mahalanobis distance of `points` (N, D) to the nearest class mean of `fitted` (M, D).

    One covariance for all classes, about their means by `labels` (M,), divided by M. A ridge of a
    millionth of the mean variance is added, for outputs that no fitted image varies in: there, a
    small step is a large distance. Raises ValueError for labels that do not fit, images that do
    not vary within their classes, and as the module says.
    Lee et al. (2018), A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks (its confidence is minus the square of this).
    """
    fitted, points = _pair_of_points(fitted, points)
    if labels.shape != fitted.shape[:1]:
        raise ValueError(f"labels have shape {tuple(labels.shape)}: give one per fitted image")
    means, class_of = _class_means(fitted, labels.to(fitted.device))
    within = fitted - means[class_of]
    if within.abs().max() <= NOTHING * fitted.abs().max():
        raise ValueError("fitted images do not vary within their classes: give more of each")
    factor = _covariance_factor(within)
    # About their common mean, as far from zero differences lose digits.
    centre = means.mean(0)
    whitened = (_whitened(factor, each - centre) for each in (points, means))
    return torch.cdist(*whitened, compute_mode="donot_use_mm_for_euclid_dist").amin(1)


def vim(
    fitted: Tensor,
    fitted_logits: Tensor,
    points: Tensor,
    logits: Tensor,
    weight: Tensor,
    bias: Tensor,
    dimensions: int | None = None,
) -> Tensor:
    """How far an image leaves the subspace of the fitted ones, as a logit, less its energy.

    `weight` (C, D) and `bias` (C,) are the last layer's, which reads `fitted` (M, D) and `points`
    (N, D) and gives both logits. The subspace has the given number of `dimensions`; without one,
    as the paper, 1,000 of 2,048 or more and 512 of 768 or more, else half. Raises ValueError where
    the last layer gives other logits, dimensions are not in 1..D - 1, the fitted images do not
    leave the subspace, and as the module says.
    Wang et al. (2022), ViM: Out-of-distribution with virtual-logit matching.
    """
    fitted, points = _pair_of_points(fitted, points)
    weight, bias = (doubles(each).to(fitted.device) for each in (weight, bias))
    fitted_logits = _of_last_layer(fitted_logits, fitted, weight, bias)
    logits = _of_last_layer(logits, points, weight, bias)
    origin = -torch.linalg.pinv(weight) @ bias
    outside = _outside(fitted - origin, dimensions)
    residual = _residuals(fitted - origin, outside).mean()
    if residual <= NOTHING * (fitted - origin).norm(dim=1).mean():
        there = fitted.shape[1] - outside.shape[1]
        raise NoResidualError(
            f"fitted images lie within {there} dimensions: give fewer `dimensions`"
        )
    virtual = fitted_logits.amax(1).mean() / residual * _residuals(points - origin, outside)
    return virtual - logits.logsumexp(1)


def from_logits(logits: Tensor) -> dict[str, Tensor]:
    """Every score that needs no more than `logits` (N, C), by its name."""
    return {
        "maximum softmax": max_score(logits),
        "maximum logit": max_logit(logits),
        "energy": energy(logits),
        "entropy": entropy(logits),
        "margin": margin(logits),
        "generalised entropy": generalised_entropy(logits),
    }


def from_layers(
    fitted: Tensor,
    fitted_labels: Tensor,
    fitted_logits: Tensor,
    points: Tensor,
    logits: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> dict[str, Tensor]:
    """Every score that needs the last hidden layer, by its name. Arguments as of `vim`.

    NaN where ViM finds no direction that the fitted images do not use, as in a layer of which most
    units are dead.
    """
    try:
        virtual = vim(fitted, fitted_logits, points, logits, weight, bias)
    except NoResidualError:
        virtual = torch.full_like(doubles(logits[:, 0]), torch.nan)
    return {
        "k nearest": nearest_distance(fitted, points),
        "Mahalanobis": mahalanobis(fitted, fitted_labels, points),
        "ViM": virtual,
    }


def doubles(values: Tensor) -> Tensor:
    """`values` in float64, on the CPU where their device has none."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).double()


def _checked_logits(logits: Tensor) -> Tensor:
    if logits.ndim != 2 or len(logits) == 0 or logits.shape[1] < 2:
        raise ValueError(f"logits have shape {tuple(logits.shape)}: give (N, C), C at least 2")
    if not logits.isfinite().all():
        raise ValueError("logits hold NaN or infinity: leave those images out, and say how many")
    return doubles(logits)


def _odds(logits: Tensor) -> _Odds:
    descending = _checked_logits(logits).sort(1, descending=True).values
    gaps = descending[:, :1] - descending
    return _Odds(gaps, (-gaps[:, 1:]).logsumexp(1))


def _pair_of_points(fitted: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    fitted, points = (checked_points(doubles(each)) for each in (fitted, points))
    if fitted.shape[1] != points.shape[1]:
        shapes = f"{tuple(fitted.shape)} and {tuple(points.shape)}"
        raise ValueError(f"fitted and points are {shapes}: give equally long rows")
    return fitted, points.to(fitted.device)


def _directions(points: Tensor) -> Tensor:
    """Rows of length 1, but for those of zeros."""
    # By the largest first: sums of squares may leave the type.
    largest = points.abs().amax(1, keepdim=True)
    return torch.nn.functional.normalize(points / largest.where(largest > 0, 1))


def _class_means(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Means (K, D) of the classes there are, and which of these each row is of."""
    _, class_of, counts = labels.unique(return_inverse=True, return_counts=True)
    sums = points.new_zeros(len(counts), points.shape[1]).index_add_(0, class_of, points)
    return sums / counts[:, None], class_of


def _covariance_factor(deviations: Tensor) -> Tensor:
    """Lower Cholesky factor (D, D) of the covariance of rows about zero, with the ridge."""
    covariance = deviations.T @ deviations / len(deviations)
    covariance.diagonal().add_(RIDGE * covariance.diagonal().mean())
    return torch.linalg.cholesky(covariance)


def _whitened(factor: Tensor, rows: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(factor, rows.T, upper=False).T


def _of_last_layer(logits: Tensor, points: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Checked `logits`, which must be the last layer's of `points`."""
    logits = _checked_logits(logits).to(points.device)
    fits = weight.ndim == 2 and weight.shape == (len(bias), points.shape[1])
    if not fits or logits.shape != (len(points), len(bias)):
        shapes = [tuple(each.shape) for each in (logits, points, weight, bias)]
        raise ValueError(f"shapes {shapes}: give logits (N, C), points (N, D), (C, D) and (C,)")
    off = (points @ weight.T + bias - logits).abs().max()
    if off > SLACK * logits.abs().max():
        raise ValueError(
            f"logits are up to {off:.2g} from weight @ points + bias: "
            "give as points what the last linear layer reads"
        )
    return logits


def _outside(rows: Tensor, dimensions: int | None) -> Tensor:
    """Orthonormal directions (D, D - d) in which rows (M, D) have the smallest squares."""
    width = rows.shape[1]
    if dimensions is None:
        dimensions = 1000 if width >= 2048 else 512 if width >= 768 else width // 2
    if not 1 <= dimensions < width:
        raise ValueError(f"dimensions is {dimensions}: of {width} give from 1 to {width - 1}")
    ascending = torch.linalg.eigh(rows.T @ rows / len(rows)).eigenvectors
    return ascending[:, : width - dimensions]


def _residuals(rows: Tensor, outside: Tensor) -> Tensor:
    return (rows @ outside).norm(dim=1)
