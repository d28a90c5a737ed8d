"""scipy as the referee; Holm against closed testing, from which it follows."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.methods.statistics import (
    bootstrap_interval,
    cliffs_delta,
    deviation_interval,
    holm,
    interval_from_draws,
    pairwise_interval,
    permutation_p,
    t_interval,
    wilson_interval,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("count", [3, 4, 5, 12])
def test_pairwise_interval_is_the_jackknife_in_so_many_steps(count, level):
    matrix = normal(count, count, seed=count)
    matrix = matrix + matrix.T

    def mean(units):
        return np.mean([matrix[i, j].item() for i, j in combinations(units, 2)])

    everyone = list(range(count))
    without = np.array([mean([u for u in everyone if u != left_out]) for left_out in everyone])
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    low, high = stats.t.interval(level, count - 1, loc=mean(everyone), scale=error)
    assert pairwise_interval(matrix, level) == pytest.approx((mean(everyone), low, high, count))


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("count", [2, 3, 5, 40])
def test_t_interval(count, level):
    values = normal(count, seed=count)
    found = t_interval(values, level)
    referee = stats.ttest_1samp(values.numpy(), 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx(tuple(referee), rel=1e-9)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 30), (7, 30), (30, 30), (6970, 10_000)])
def test_wilson_interval(successes, n, level):
    found = wilson_interval(successes, n, level)
    referee = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((referee.low, referee.high), abs=1e-12)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("method", ["percentile", "basic"])
def test_interval_from_the_same_draws(method, level):
    values = normal(50).exp().numpy()
    referee = stats.bootstrap(
        (values,), np.mean, n_resamples=300, confidence_level=level, method=method, rng=0
    )
    draws = torch.tensor(referee.bootstrap_distribution)
    found = interval_from_draws(values.mean(), draws, 50, level, method)
    assert (found.low, found.high) == pytest.approx(tuple(referee.confidence_interval), rel=1e-9)


def test_bootstrap_of_a_correlation():
    left = normal(200)
    right = left + normal(200, seed=1)

    def correlation(a, b):
        return torch.corrcoef(torch.stack([a, b]))[0, 1]

    found = bootstrap_interval(correlation, left, right, resamples=4000)
    referee = stats.bootstrap(
        (left.numpy(), right.numpy()),
        lambda a, b: np.corrcoef(a, b)[0, 1],
        n_resamples=4000,
        vectorized=False,
        paired=True,
        method="percentile",
        rng=0,
    ).confidence_interval
    # A quantile of 4,000 draws is known to a tenth of their standard deviation.
    assert (found.low, found.high) == pytest.approx(tuple(referee), abs=0.006)
    assert found.value == pytest.approx(stats.pearsonr(left, right).statistic)


def test_permutation_p():
    a, b = normal(9) + 0.5, normal(11, seed=1)

    def difference(x, y):
        return x.mean() - y.mean()

    referee = stats.permutation_test(
        (a.numpy(), b.numpy()), difference, n_resamples=500, alternative="greater", rng=0
    )
    draws = torch.tensor(referee.null_distribution)
    assert permutation_p(referee.statistic, draws) == pytest.approx(referee.pvalue)


def test_holm_is_the_closed_test_of_bonferroni():
    p = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 4
    sets = [chosen for size in range(1, 8) for chosen in combinations(range(7), size)]
    closed = [
        max(min(1, len(chosen) * p[list(chosen)].min().item()) for chosen in sets if i in chosen)
        for i in range(7)
    ]
    assert holm(p).tolist() == pytest.approx(closed)


def test_cliffs_delta_is_the_mann_whitney_statistic_rescaled():
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 20, (60,), generator=generator)
    b = torch.randint(5, 25, (45,), generator=generator)
    u = stats.mannwhitneyu(a.numpy(), b.numpy()).statistic
    assert cliffs_delta(a, b) == pytest.approx(2 * u / (60 * 45) - 1)


def test_deviation_interval_inverts_the_chi_squared_distribution():
    groups = [[0.697, 0.701, 0.694], [0.561, 0.569, 0.557]]
    got = deviation_interval(groups)
    variance = np.var(groups, axis=1, ddof=1).mean()
    assert got.value == pytest.approx(variance**0.5)
    assert stats.chi2.cdf(4 * variance / got.low**2, 4) == pytest.approx(0.975)
    assert stats.chi2.cdf(4 * variance / got.high**2, 4) == pytest.approx(0.025)
    assert got.n == 6
    assert math.isnan(deviation_interval([[0.7], [0.6]]).value)
