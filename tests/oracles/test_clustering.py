"""scipy and scikit-learn as referees of clusters, trees and silhouettes."""

import itertools

import pytest
import torch
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score

from helpers.methods import clustering
from helpers.methods.clustering import (
    METHODS,
    average_linkage,
    by_k,
    comes_back,
    k_means_rows,
    k_medoids,
    linkage_tree,
    silhouette,
    spectral,
)


def draw(count, seed=0):
    """Distances of points on the plane."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return (points[:, None] - points).norm(dim=-1)


def equal(labels, referee):
    return len(labels.unique()) == len(set(referee)) and adjusted_rand_score(labels, referee) == 1


@pytest.mark.parametrize("count", [2, 10, 40])
def test_the_tree_and_its_clusters_are_scipys(count):
    distances = draw(count)
    referee = linkage(squareform(distances.numpy(), checks=False), "average")
    assert torch.allclose(linkage_tree(distances), torch.from_numpy(referee), rtol=1e-12)
    for k in range(1, count + 1):
        assert equal(average_linkage(distances, k), cut_tree(referee, k)[:, 0])


@pytest.mark.parametrize("k", [1, 2, 3, 7, 12])
def test_k_means_and_spectral_are_scikit_learns(k):
    distances = draw(12)
    rows = KMeans(k, n_init=10, random_state=5).fit_predict(distances)
    assert equal(k_means_rows(distances, k, seed=5), rows)
    if 1 < k < 12:
        median = squareform(distances.numpy(), checks=False)
        median = torch.from_numpy(median).quantile(0.5)
        affinity = (-(distances**2) / (2 * median**2)).exp()
        method = SpectralClustering(k, affinity="precomputed", random_state=5)
        assert equal(spectral(distances, k, seed=5), method.fit_predict(affinity.numpy()))


def cost(distances, medoids):
    return distances[:, list(medoids)].amin(1).sum().item()


def found_medoids(distances, labels):
    """The class of each cluster with the least sum of distances to the others of it."""
    members = [(labels == cluster).nonzero()[:, 0] for cluster in labels.unique()]
    return [int(m[distances[m][:, m].sum(0).argmin()]) for m in members]


@pytest.mark.parametrize("k", range(1, 9))
@pytest.mark.parametrize("seed", [0, 1])
def test_k_medoids_are_the_best_of_all_sets(k, seed):
    distances = draw(8, seed)
    best = min(cost(distances, each) for each in itertools.combinations(range(8), k))
    medoids = found_medoids(distances, k_medoids(distances, k))
    assert len(medoids) == k
    assert cost(distances, medoids) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_pam_is_near_the_best_and_no_exchange_improves_it(seed, monkeypatch):
    distances = draw(12, seed)
    best = cost(distances, found_medoids(distances, k_medoids(distances, 4)))
    monkeypatch.setattr(clustering, "SETS", 0)
    medoids = found_medoids(distances, k_medoids(distances, 4))
    reached = cost(distances, medoids)
    assert best <= reached * (1 + 1e-12)
    assert reached < 1.1 * best
    for kept in itertools.combinations(medoids, 3):
        for new in set(range(12)) - set(kept):
            assert cost(distances, [*kept, new]) > reached * (1 - 1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [2, 5, 11])
def test_silhouettes_are_scikit_learns(method, k):
    distances = draw(12)
    labels = METHODS[method](distances, k, 0)
    referee = silhouette_score(distances.numpy(), labels.numpy(), metric="precomputed")
    assert silhouette(distances, labels) == pytest.approx(referee, abs=1e-12)
    assert silhouette(distances, 7 - 2 * labels) == pytest.approx(referee, abs=1e-12)


@pytest.mark.parametrize("count", [3, 4, 10, 25])
def test_merged_in_a_batch_as_one_by_one(count):
    matrices = torch.stack([draw(count, seed) for seed in range(6)])
    expected = [
        max(silhouette(each, average_linkage(each, k)) for k in range(2, count))
        for each in matrices
    ]
    assert clustering._best_silhouettes(matrices).tolist() == pytest.approx(expected, abs=1e-12)


def test_stability_is_the_mean_adjusted_rand_index():
    distances, draws = draw(8), torch.stack([draw(8, seed) for seed in range(1, 6)])
    table = by_k(distances, draws, average_linkage)
    for k, stability in zip(table.ks.tolist(), table.stabilities.tolist(), strict=True):
        own = average_linkage(distances, k)
        scores = [adjusted_rand_score(own, average_linkage(each, k)) for each in draws]
        assert stability == pytest.approx(sum(scores) / 5, abs=1e-12)


@pytest.mark.parametrize("nets", [2, 3, 5])
def test_what_comes_back_is_the_mean_over_resamples_and_other_nets(nets):
    count, k = 9, 3
    draws = torch.stack(
        [
            torch.stack([draw(count, 10 * net) + draw(count, 10 * net + r) / 3 for r in range(4)])
            for net in range(nets)
        ]
    )
    found = comes_back(draws, average_linkage, k)
    for net in range(nets):
        others = [draws[other].mean(0) for other in range(nets) if other != net]
        theirs = average_linkage(sum(others) / len(others), k)
        own = [adjusted_rand_score(theirs, average_linkage(each, k)) for each in draws[net]]
        assert found[net].item() == pytest.approx(sum(own) / len(own), abs=1e-12)
