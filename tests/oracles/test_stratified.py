"""scipy as the referee in one stratum, and all permutations within strata in several."""

from itertools import combinations, product
from math import erfc

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, rankdata

from helpers.methods.statistics import cliffs_delta
from helpers.methods.stratified import stratified_delta, stratified_test


def draw(count, seed=0):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", [3, 12, 10**6])
def test_one_stratum_is_mann_whitneys_test(levels):
    values, group = (draw(80) * levels).round().double(), draw(80, 1) < 0.3
    found = stratified_test(values, group, torch.full((80,), 4))
    options = {"method": "asymptotic", "use_continuity": False}
    expected = mannwhitneyu(values[group], values[~group], **options)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.delta == pytest.approx(cliffs_delta(values[group], values[~group]), abs=1e-12)
    assert (found.n1, found.n0, found.strata_used) == (group.sum(), (~group).sum(), 1)


@pytest.mark.parametrize("levels", [3, 12, 10**6])
def test_many_strata_are_van_elterens_sum_of_ranks(levels):
    values, group = (draw(200) * levels).round().double(), draw(200, 1) < 0.4
    strata = (draw(200, 2) * 9).long()
    total = expected = variance = 0
    for stratum in range(9):
        ranks = rankdata(values[strata == stratum])
        chosen = group[strata == stratum].numpy()
        n, n1 = len(ranks), chosen.sum()
        total += ranks[chosen].sum() / (n + 1)
        expected += n1 / 2
        # Of a sum drawn without replacement, from ranks with whatever ties they have.
        variance += n1 * (n - n1) / n * ranks.var(ddof=1) / (n + 1) ** 2
    z = (total - expected) / variance**0.5
    found = stratified_test(values, group, strata)
    assert found.p == pytest.approx(erfc(abs(z) / 2**0.5), rel=1e-9)


def choices(strata, group):
    """Every way to choose as many of the group from each stratum, as (ways, N) bool."""
    rows = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    ways = [list(combinations(row, int(group[row].sum()))) for row in rows]
    chosen = [np.concatenate(parts) for parts in product(*ways)]
    table = np.zeros((len(chosen), len(strata)), dtype=bool)
    table[np.arange(len(chosen))[:, None], np.array(chosen)] = True
    return table


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [0, 0.4])
def test_p_is_nearly_that_of_all_permutations(seed, shift):
    strata = torch.arange(15) % 3
    group = torch.arange(15) % 15 < 6
    values = (20 * (draw(15, seed) + shift * group)).round()
    found = stratified_test(values, group, strata)
    deltas = [
        stratified_delta(values, torch.from_numpy(row), strata)
        for row in choices(strata.numpy(), group.numpy())
    ]
    assert len(deltas) == 1000
    assert np.mean(deltas) == pytest.approx(0, abs=1e-9)
    # The variance is exact, ties or not; the normal shape is not, for so few images.
    normal = erfc(abs(found.delta) / (2**0.5 * np.std(deltas)))
    assert found.p == pytest.approx(normal, rel=1e-9)
    sizes, bound = np.abs(deltas), abs(found.delta)
    beyond, equal = (sizes > bound + 1e-9).mean(), (abs(sizes - bound) <= 1e-9).mean()
    assert found.p == pytest.approx(beyond + equal / 2, abs=0.05)
