"""pytorch-ood's detectors as the referees."""

import pytest
import torch
from pytorch_ood import detector

from helpers.methods.rejection import (
    energy,
    entropy,
    generalised_entropy,
    mahalanobis,
    max_logit,
    max_score,
    nearest_distance,
    vim,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def features():
    """Fitted images, their classes, and others: as behind a ReLU, 12 numbers each."""
    labels = torch.arange(600) % 4
    fitted = (draw(600, 12) @ draw(12, 12, seed=3) + 3 * draw(4, 12, seed=1)[labels]).relu()
    return fitted, labels, 2 * draw(150, 12, seed=2).relu()


@pytest.mark.parametrize("classes", [2, 10, 120])
def test_scores_of_logits(classes):
    logits = 2 * draw(500, classes)
    close = {"rtol": 1e-4, "atol": 1e-5}
    assert torch.allclose(max_score(logits).float(), 1 + detector.MaxSoftmax.score(logits), **close)
    assert torch.allclose(max_logit(logits).float(), detector.MaxLogit.score(logits), **close)
    assert torch.allclose(energy(logits).float(), detector.EnergyBased.score(logits), **close)
    assert torch.allclose(entropy(logits).float(), detector.Entropy.score(logits), **close)
    # Theirs is a mean.
    top = min(100, classes)
    referee = detector.GEN.score(logits, gamma=0.1, M=100) * top
    assert torch.allclose(generalised_entropy(logits).float(), referee, **close)


@pytest.mark.parametrize("k", [1, 50])
def test_the_kth_nearest(k):
    fitted, labels, points = features()
    referee = detector.KNN(None, k=k).fit_features(fitted, labels).predict_features(points)
    assert torch.allclose(nearest_distance(fitted, points, k), referee.double(), rtol=1e-4)


def test_mahalanobis():
    fitted, labels, points = features()
    fitted, points = fitted.double(), points.double()
    referee = detector.Mahalanobis(None)
    # Half the square, of the sum of squares and not of their mean.
    half = referee.fit_features(fitted.float(), labels).predict_features(points.float())
    found = mahalanobis(fitted, labels, points)
    assert torch.allclose(found, (2 * half * len(fitted)).sqrt().double(), rtol=1e-3)


@pytest.mark.parametrize("dimensions", [2, 6, 11])
def test_vim(dimensions):
    fitted, labels, points = features()
    weight, bias = draw(4, 12, seed=5), draw(4, seed=6)
    referee = detector.ViM(None, dimensions, weight, bias).fit_features(fitted, labels)
    logits = [each @ weight.T + bias for each in (fitted, points)]
    found = vim(fitted, logits[0], points, logits[1], weight, bias, dimensions)
    assert torch.allclose(found, referee.predict_features(points).double(), rtol=1e-3, atol=1e-3)
