"""scipy and numpy as the referees of p values, thresholds and the band."""

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.methods.guarantees import (
    benjamini_hochberg,
    conformal_p,
    conformal_threshold,
    rejected_band,
)


def uniform(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("n", [3, 20, 99, 1000])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.37])
def test_the_threshold_is_numpys_higher_quantile(n, share):
    scores = uniform(n)
    level = np.ceil((n + 1) * (1 - share) - 1e-9) / n
    referee = np.quantile(scores, level, method="inverted_cdf") if level <= 1 else np.inf
    assert conformal_threshold(scores, share) == referee


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("tests", [1, 10, 500])
def test_rejections_are_those_of_adjusted_p_values(tests, rate):
    for seed in range(5):
        p = uniform(tests, seed=seed) ** 3
        referee = stats.false_discovery_control(p) <= rate
        assert benjamini_hochberg(p, rate).tolist() == referee.tolist()
    calibration = uniform(2000, seed=6)
    p = conformal_p(calibration, 1.5 * uniform(tests, seed=7))
    # Adjusted p values that equal the rate but for rounding are rejected.
    referee = stats.false_discovery_control(p) <= rate + 1e-12
    assert benjamini_hochberg(p, rate).tolist() == referee.tolist()


def test_p_values_are_those_of_a_permutation_test():
    calibration, scores = uniform(200), uniform(30, seed=1)
    for p, score in zip(conformal_p(calibration, scores), scores, strict=True):
        below = stats.percentileofscore(calibration, score, kind="strict") / 100
        assert p.item() == pytest.approx((1 + 200 * (1 - below)) / 201)


@pytest.mark.parametrize(("n", "tests", "share"), [(99, 50, 0.05), (500, 200, 0.1), (30, 7, 0.3)])
def test_the_band_is_that_of_a_share_drawn_and_then_counted(n, tests, share):
    kept = int(np.ceil((n + 1) * (1 - share) - 1e-9))
    grid = (np.arange(4000) + 0.5) / 4000
    # A share drawn from the Beta distribution of a threshold, then images one by one.
    weights = stats.beta(n + 1 - kept, kept).pdf(grid) / len(grid)
    cumulated = [weights @ stats.binom.cdf(k, tests, grid) for k in range(tests + 1)]
    bounds = [np.searchsorted(cumulated, tail) / tests for tail in (0.025, 0.975)]
    assert rejected_band(n, tests, share) == pytest.approx(tuple(bounds))
