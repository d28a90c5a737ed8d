"""scikit-learn, torchmetrics and pytorch-ood as the referees."""

import pytest
import torch
from pytorch_ood.metrics import functional as referee
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from helpers.methods.detection import (
    aupr,
    aupr_known,
    aurc,
    auroc,
    fpr_at,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def draw(known, unknown, digits, seed=0):
    """Scores of both sets, with ties by rounding, and both in a row with their labels."""
    parts = normal(known, seed=seed), normal(unknown, seed=seed + 1) + 1
    parts = [each.round(decimals=digits) for each in parts]
    return parts, torch.cat(parts), torch.arange(known + unknown) >= known


@pytest.mark.parametrize("digits", [0, 1, 9])
@pytest.mark.parametrize(("known", "unknown"), [(1, 1), (7, 900), (800, 30), (2000, 2000)])
def test_unknown_against_known(known, unknown, digits):
    parts, scores, positive = draw(known, unknown, digits)
    assert auroc(*parts).item() == pytest.approx(roc_auc_score(positive, scores))
    assert auroc(*parts).item() == pytest.approx(referee.auroc(scores, -positive.int()).item())
    precision = average_precision_score(positive, scores)
    assert aupr(*parts).item() == pytest.approx(precision)
    # torchmetrics takes scores outside 0..1 for logits; ranks keep their order, and ties.
    ranks = scores.unique(return_inverse=True)[1] / len(scores)
    metric = binary_auroc(ranks, positive.int()).item()
    assert auroc(*parts).item() == pytest.approx(metric, abs=1e-5)
    metric = binary_average_precision(ranks, positive.int()).item()
    assert aupr(*parts).item() == pytest.approx(metric, abs=1e-5)
    other = average_precision_score(~positive, -scores)
    assert aupr_known(*parts).item() == pytest.approx(other)


@pytest.mark.parametrize("digits", [0, 1, 9])
@pytest.mark.parametrize("caught", [0.5, 0.8, 0.95, 1.0])
def test_known_images_lost(caught, digits):
    parts, scores, positive = draw(700, 333, digits)
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    found = fpr_at(*parts, caught).item()
    assert found == pytest.approx(false[true >= caught].min())
    assert found == pytest.approx(referee.fpr_at_tpr(scores, -positive.int(), caught).item())


@pytest.mark.parametrize("count", [1, 2, 50, 3000])
def test_area_under_the_risk_coverage_curve(count):
    score, wrong = normal(count), normal(count, seed=1) > 0.7
    # Theirs is of accuracy, and takes images of equal scores in any order: here there are none.
    assert aurc(score, wrong).item() == pytest.approx(1 - referee.aurra(-score, ~wrong))
