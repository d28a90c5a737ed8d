"""Maps and neighbours of images, against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.methods.embedding import COLUMNS, trustworthiness, tsne
from helpers.methods.neighbours import Neighbours, nearest
from helpers.series.nets import quiet
from tests.benchmarks.harness import Case, Checked, Row
from tests.benchmarks.nets import furthest

WIDTH = 84
NEAR = 15
# openTSNE's, which the peer gets too: 250 iterations early, 500 later; three times the perplexity
# of neighbours pull.
ITERATIONS, PULLING = 750, 90


def features(count: int, width: int) -> Tensor:
    """Like outputs of a layer: in ten groups, correlated, positive, float32."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(width, width, generator=generator)
    centres = torch.randn(10, width, generator=generator)
    points = torch.randn(count, width, generator=generator) + centres[torch.arange(count) % 10]
    return F.softplus(points @ mixing)


def mapped(count: int) -> Case:
    points = features(count, COLUMNS)

    def ours() -> Tensor:
        return tsne(points, say=quiet)[0]

    def peers() -> dict[str, Callable]:
        from sklearn.manifold import TSNE

        options = {"init": "pca", "max_iter": ITERATIONS, "random_state": 0, "n_jobs": -1}
        return {"": lambda: TSNE(**options).fit_transform(points.numpy())}

    def check(found: Tensor, other: np.ndarray) -> Checked:
        mine, their = (trustworthiness(points, p) for p in (found, torch.from_numpy(other)))
        return Checked(max(0.0, their - mine), f"trustworthiness {mine:.3f}, theirs {their:.3f}")

    pulls = 2 * PULLING * count * ITERATIONS
    work = count**2 * COLUMNS / 2 + pulls
    return Case(ours, peers, check, 8 * count * COLUMNS, work, double=True)


def neighbours(count: int) -> Case:
    points = features(count, WIDTH).double()

    def ours() -> Neighbours:
        return nearest(points, NEAR)

    def peers() -> dict[str, Callable]:
        from sklearn.neighbors import NearestNeighbors

        options = {"algorithm": "brute", "n_jobs": -1}
        rows = points.numpy()
        return {"": lambda: NearestNeighbors(n_neighbors=NEAR, **options).fit(rows).kneighbors()}

    def check(found: Neighbours, other: tuple) -> Checked:
        return Checked(furthest(found.distances, torch.from_numpy(other[0])))

    moved = 8 * count * (WIDTH + 2 * NEAR)
    # Each pair once.
    return Case(ours, peers, check, moved, count**2 * WIDTH / 2, double=True)


ROWS = (
    Row(
        "t-SNE",
        "A t-SNE map of {} points of 50 numbers",
        "`TSNE`, scikit-learn",
        "scikit-learn",
        mapped,
        (500, 1000, 2000),
        "points",
        tolerance=0.01,  # of trustworthiness
    ),
    Row(
        "neighbours",
        "The 15 nearest of {} points of 84 numbers, float64",
        "`NearestNeighbors`, brute, scikit-learn",
        "scikit-learn",
        neighbours,
        (2500, 5000, 10_000),
        "points",
        tolerance=1e-6,
    ),
)
