"""scikit-learn as the referee of projections and maps."""

import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.manifold import trustworthiness as referee_trustworthiness
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch.nn import functional

from helpers.methods.embedding import (
    centroid_distances,
    knn_accuracy,
    pca,
    trustworthiness,
    tsne,
)


def features(count, width, seed=0):
    """Like outputs of a layer: correlated, positive, far from the origin, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (count,), generator=generator)
    mixing = torch.randn(width, width, generator=generator)
    centres = torch.randn(5, width, generator=generator)
    points = torch.randn(count, width, generator=generator) + centres[labels]
    return functional.softplus(points @ mixing) + 10, labels


@pytest.mark.parametrize("shape", [(300, 40), (40, 300)])
def test_pca_is_scikit_learns_up_to_sign(shape):
    points, _ = features(*shape)
    referee = torch.from_numpy(PCA(8, svd_solver="full").fit_transform(points.double().numpy()))
    ours = pca(points, 8).double()
    signs = (ours * referee).sum(0).sign()
    assert torch.allclose(ours, referee * signs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("count", "k"), [(400, 12), (401, 1), (60, 29)])
def test_trustworthiness_is_scikit_learns(count, k):
    points, _ = features(count, 20)
    for placed in (pca(points, 2), features(count, 2, seed=1)[0]):
        referee = referee_trustworthiness(points.double(), placed.double(), n_neighbors=k)
        assert trustworthiness(points, placed, k) == pytest.approx(referee, abs=1e-9)


def test_knn_accuracy_is_scikit_learns_where_votes_are_not_tied():
    # Two classes and an odd k: no ties, which scikit-learn breaks by label.
    points, labels = features(200, 6)
    labels = labels % 2
    right = knn_accuracy(points, labels, 7)
    for left_out in range(0, 200, 10):
        others = torch.arange(200) != left_out
        model = KNeighborsClassifier(7).fit(points[others].numpy(), labels[others].numpy())
        predicted = model.predict(points[left_out, None].numpy())[0]
        assert right[left_out].item() == (predicted == labels[left_out].item())


def test_centroid_distances_are_scikit_learns():
    points, labels = features(300, 30)
    centroids = NearestCentroid().fit(points.double().numpy(), labels.numpy()).centroids_
    referee = torch.from_numpy(pairwise_distances(centroids))
    assert torch.allclose(centroid_distances(points, labels, 5), referee, rtol=1e-6, atol=1e-9)


def test_maps_are_as_true_as_scikit_learns():
    points, labels = features(250, 60)
    ours = tsne(points, perplexity=20, say=str)[0]
    referee = TSNE(perplexity=20, init="pca", random_state=0, max_iter=500)
    theirs = torch.from_numpy(referee.fit_transform(points.numpy()))
    assert trustworthiness(points, ours) > trustworthiness(points, theirs) - 0.02
    agreement = knn_accuracy(theirs, labels).float().mean() - 0.05
    assert knn_accuracy(ours, labels).float().mean() > agreement
