"""scikit-learn and scipy as referees of neighbours and distances, least squares of shares."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import rankdata
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional

from helpers.methods.neighbours import (
    commonality,
    nearest,
    nearest_to,
    pair_distances,
    sampled_pairs,
)


def features(count, width, seed=0):
    """Like outputs of a layer: correlated, positive, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return functional.softplus(torch.randn(count, width, generator=generator) @ mixing) + 10


def scores(count, spread, seed=3):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(count, 10, generator=generator, dtype=torch.float64)
    return logits.softmax(1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("width", [2, 84, 700])
def test_neighbours_are_scikit_learns(width, metric):
    points = features(500, width)
    referee = NearestNeighbors(n_neighbors=15, algorithm="brute", metric=metric)
    distances, indices = referee.fit(points.double().numpy()).kneighbors()
    ours = nearest(points, 15, metric)
    assert torch.allclose(ours.distances, torch.from_numpy(distances), rtol=1e-9, atol=1e-14)
    # Two directions of a plane are so close that scikit-learn's digits do not tell them apart.
    if (width, metric) != (2, "cosine"):
        assert torch.equal(ours.indices, torch.from_numpy(indices))


def test_neighbours_of_scores_that_are_nearly_sure():
    # A tree sums differences one by one, so it is exact where matrix products are not.
    points = scores(1500, 12.0)
    referee = NearestNeighbors(n_neighbors=15, algorithm="kd_tree").fit(points.numpy())
    distances = torch.from_numpy(referee.kneighbors()[0])
    assert torch.allclose(nearest(points, 15).distances, distances, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("spread", [1.0, 12.0])
def test_neighbours_by_js_divergence_are_scipys(spread):
    points, queries = scores(400, spread), scores(90, spread, 4)
    truth = torch.from_numpy(cdist(points, points, "jensenshannon") ** 2 / np.log(2))
    # scipy's is NaN where rounding went below zero
    truth = truth.nan_to_num(0).fill_diagonal_(torch.inf).sort(1).values[:, :15]
    assert torch.allclose(nearest(points, 15, "js").distances, truth, rtol=0, atol=1e-13)
    truth = torch.from_numpy(cdist(queries, points, "jensenshannon") ** 2 / np.log(2))
    truth = truth.nan_to_num(0).sort(1).values[:, :15]
    found = nearest_to(queries, points, 15, "js").distances
    assert torch.allclose(found, truth, rtol=0, atol=1e-13)


def test_distances_of_pairs_are_the_referees():
    points, (rows, others) = scores(300, 3.0), sampled_pairs(300, 2000)
    a, b = points[rows].numpy(), points[others].numpy()
    referees = {
        "euclidean": np.linalg.norm(a - b, axis=1),
        "cosine": cosine_distances(points)[rows, others],
        "js": jensenshannon(a, b, axis=1, base=2) ** 2,
    }
    for metric, referee in referees.items():
        ours = pair_distances(points, rows, others, metric)
        assert torch.allclose(ours, torch.from_numpy(referee), rtol=1e-9, atol=1e-13)


def r_squared(response, *predictors):
    design = np.stack([np.ones(len(response)), *map(rankdata, predictors)], 1)
    ranks = rankdata(response)
    left = ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    return 1 - (left @ left) / ((ranks - ranks.mean()) ** 2).sum()


@pytest.mark.parametrize("shared", [0.0, 0.8, -3.0])
def test_shares_are_differences_of_least_squares(shared):
    generator = torch.Generator().manual_seed(5)
    first, second, noise = torch.randn(3, 300, generator=generator, dtype=torch.float64)
    second = second + shared * first
    # As class is, of two images: the same or not, hence nearly all tied.
    first = (first > 1).double()
    response = first + second + noise
    whole = r_squared(response, first, second)
    alone, other = whole - r_squared(response, second), whole - r_squared(response, first)
    expected = torch.tensor([alone, other, whole - alone - other, whole], dtype=torch.float64)
    found = torch.stack(commonality(response, first, second))
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)
