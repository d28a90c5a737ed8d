"""torchmetrics as the referee of the calibration error, scipy's optimiser of the temperature."""

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

from helpers.methods.calibration import calibration_error, fit_temperature


def draw(count, classes, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial((logits / 2).softmax(1), 1, generator=generator)[:, 0]
    return logits, labels


@pytest.mark.parametrize("bins", [1, 10, 15, 40])
@pytest.mark.parametrize(("count", "classes"), [(7, 3), (500, 2), (3000, 10)])
def test_calibration_error(count, classes, bins):
    logits, labels = draw(count, classes, seed=bins)
    scores = logits.softmax(1)
    referee = multiclass_calibration_error(scores, labels, classes, n_bins=bins, norm="l1")
    assert calibration_error(scores, labels, bins).item() == pytest.approx(referee.item(), abs=1e-6)


@pytest.mark.parametrize("spread", [0.5, 3.0, 10.0])
def test_fit_temperature(spread):
    logits, labels = draw(2000, 10, seed=1, spread=spread)

    def loss(inverse):
        return cross_entropy(logits * inverse, labels).item()

    referee = 1 / minimize_scalar(loss, bounds=(0.01, 100), options={"xatol": 1e-9}).x
    assert fit_temperature(logits, labels) == pytest.approx(referee, rel=1e-4)
    assert fit_temperature(logits.float(), labels) == pytest.approx(referee, rel=1e-4)
