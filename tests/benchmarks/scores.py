"""Divergences and densities of scores and logits, against scipy and KDEpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from helpers.methods.density import LogitDensity
from helpers.methods.divergence import bootstrap_divergence, js_divergence
from tests.benchmarks.harness import Case, Checked, Row
from tests.benchmarks.nets import furthest

CLASSES = 10
RESAMPLES, LOOPED = 1000, 20
KDE_ASKED = 200
GRIDS = (1 << 10, 1 << 14)  # KDEpy's own, and one as true as ours


def drawn_logits(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(count, CLASSES, generator=generator, dtype=torch.float64)


def drawn_scores(count: int) -> Tensor:
    return drawn_logits(count).softmax(1)


def all_pairs(count: int) -> Case:
    scores = drawn_scores(count)
    single = scores.float()

    def ours() -> Tensor:
        return js_divergence(single)

    def peers() -> dict[str, Callable]:
        from scipy.spatial.distance import pdist

        rows = scores.numpy()
        return {"": lambda: pdist(rows, "jensenshannon")}

    def check(found: Tensor, other: np.ndarray) -> Checked:
        errors, begin = [], 0
        for row in range(count - 1):
            their = other[begin : begin + count - 1 - row]
            begin += len(their)
            # Where rounding went below zero, scipy's root is NaN.
            expected = np.nan_to_num(their) ** 2 / np.log(2)
            errors.append(np.abs(found[row, row + 1 :].numpy() - expected).max())
        return Checked(float(max(errors)))

    # A sum, a logarithm and a product for each class of each pair.
    pairs = count * (count - 1) / 2
    return Case(ours, peers, check, 4 * count * (count + CLASSES), 3 * CLASSES * pairs)


def over_images(count: int) -> Case:
    def of_drawn(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (scores / scores.sum(0)).T

    pairs = CLASSES * (CLASSES - 1) / 2
    return _bootstrap(count, "images", of_drawn, 3 * pairs)


def over_classes(count: int) -> Case:
    def of_drawn(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.stack([scores[labels == label].mean(0) for label in range(CLASSES)])

    return _bootstrap(count, "classes", of_drawn, CLASSES)


def _bootstrap(count: int, over: str, profiles: Callable, operations: float) -> Case:
    """`profiles` of the images drawn; so many `operations` for each of them."""
    scores, labels = drawn_scores(count), torch.arange(count) % CLASSES

    def ours() -> Tensor:
        return bootstrap_divergence(scores, labels, over, RESAMPLES)

    def peers() -> dict[str, Callable]:
        from scipy.spatial.distance import pdist, squareform

        def looped() -> np.ndarray:
            generator = torch.Generator().manual_seed(0)
            draws = torch.randint(count, (LOOPED, count), generator=generator).numpy()
            each = (profiles(scores.numpy()[rows], labels.numpy()[rows]) for rows in draws)
            return np.stack([squareform(pdist(rows, "jensenshannon")) for rows in each])

        return {"": looped}

    def check(found: Tensor, other: np.ndarray) -> Checked:
        return Checked(furthest(found[:LOOPED], torch.from_numpy(other**2 / np.log(2))))

    # What is drawn twice need not be computed twice: a resample has 63 % of the images in it.
    work = RESAMPLES * count * (1 - 1 / np.e) * operations
    moved = 8 * count * CLASSES
    return Case(ours, peers, check, moved, work, double=True, share=LOOPED / RESAMPLES)


def densities(count: int) -> Case:
    fitted, asked, case = _densities(count)

    def peers() -> dict[str, Callable]:
        from scipy.stats import gaussian_kde

        few = asked[:KDE_ASKED].T.numpy()
        return {
            "": lambda: [gaussian_kde(a)(b) for a, b in zip(fitted.T.numpy(), few, strict=True)]
        }

    return case._replace(peers=peers, share=KDE_ASKED / count)


def binned_densities(count: int) -> Case:
    fitted, asked, case = _densities(count)

    def peers() -> dict[str, Callable]:
        from KDEpy import FFTKDE

        def by_grid(points: int) -> list[np.ndarray]:
            found = []
            for known, new in zip(fitted.T.numpy(), asked.T.numpy(), strict=True):
                width = known.std(ddof=1) * len(known) ** -0.2
                grid, values = FFTKDE(bw=width).fit(known).evaluate(points)
                found.append(np.interp(new, grid, values, 0, 0))
            return found

        return {f"grid of {points:,}": partial(by_grid, points) for points in GRIDS}

    return case._replace(peers=peers)


def _densities(count: int) -> tuple[Tensor, Tensor, Case]:
    """What is fitted, what is asked, and the case without its peer."""
    fitted, asked = drawn_logits(5 * count), drawn_logits(count, seed=1)

    def ours() -> Tensor:
        return LogitDensity().fit(fitted).density(asked)

    def check(found: Tensor, other: list[np.ndarray]) -> Checked:
        expected = torch.from_numpy(np.stack(other, 1))
        peak = expected.amax(0)
        return Checked(furthest(found[: len(expected)] / peak, expected / peak))

    moved = 8 * (fitted.numel() + 2 * asked.numel())
    return fitted, asked, Case(ours, dict, check, moved, double=True)


ROWS = (
    Row(
        "pdist",
        "JS divergence of all pairs of {} images, 10 scores each, ours in float32",
        "`pdist`, scipy",
        "scipy",
        all_pairs,
        (2500, 5000, 10_000),
        "images",
        tolerance=1e-5,  # bits
        ratio=12,
    ),
    Row(
        "bootstrap over classes",
        "Class divergence, profiles over classes, in 1,000 resamples of {} images",
        "a loop over `pdist`, scipy",
        "scipy",
        over_classes,
        (2500, 5000, 10_000),
        "images",
        tolerance=1e-9,
        seconds=1,
    ),
    Row(
        "bootstrap over images",
        "The same, profiles over images",
        "a loop over `pdist`, scipy",
        "scipy",
        over_images,
        (2500, 5000, 10_000),
        "images",
        tolerance=1e-9,
        seconds=10,
    ),
    Row(
        "gaussian_kde",
        "Density of 10 logits of {} images, fitted to 50,000",
        "`gaussian_kde`, scipy",
        "scipy",
        densities,
        (2500, 5000, 10_000),
        "images asked",
        tolerance=1e-4,  # of the peak
        ratio=500,
    ),
    Row(
        "KDEpy",
        "The same",
        "`FFTKDE`, KDEpy",
        "KDEpy",
        binned_densities,
        (2500, 5000, 10_000),
        "images asked",
        tolerance=1e-4,  # of the peak
    ),
)
