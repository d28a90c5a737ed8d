"""scipy and scikit-learn as referees of rank correlations and of the adjusted Rand index."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score

from helpers.methods.agreement import adjusted_rand, mantel, pairs, spearman

steady = settings(derandomize=True, deadline=None, database=None, max_examples=50)


def symmetric(classes, seed=0, levels=1000):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(levels, (classes, classes), generator=generator).double()
    return values.triu(1) + values.triu(1).T


@pytest.mark.parametrize("levels", [2, 5, 10**6])
@pytest.mark.parametrize("width", [2, 3, 45, 500])
def test_spearman_is_scipys_ties_and_all(width, levels):
    generator = torch.Generator().manual_seed(width)
    a = torch.randint(levels, (30, width), generator=generator)
    b = torch.randint(levels, (width,), generator=generator)
    b[0], b[1] = 0, 1  # scipy warns of constant rows
    a = a[(a != a[:, :1]).any(1)]
    referee = torch.tensor([spearmanr(row, b).statistic for row in a.numpy()])
    assert torch.allclose(spearman(a, b), referee, rtol=0, atol=1e-12)


def test_an_exact_mantel_test_is_the_count_over_every_order():
    a, b = symmetric(6, 1, levels=6), symmetric(6, 2, levels=6)
    wanted = [
        spearmanr(pairs(a[list(order)][:, list(order)]), pairs(b)).statistic
        for order in itertools.permutations(range(6))
    ]
    found = mantel(a, b)
    assert found.rho == pytest.approx(wanted[0], abs=1e-12)
    assert found.p == pytest.approx(np.mean(np.array(wanted) >= wanted[0] - 1e-9), abs=1e-12)


def test_an_exact_test_within_groups_moves_classes_within_theirs():
    groups = torch.tensor([0, 1, 0, 1, 0, 1, 1])
    a, b = symmetric(7, 3), symmetric(7, 4)
    b += a
    within = [(i, j) for i, j in itertools.combinations(range(7), 2) if groups[i] == groups[j]]
    draws = []
    for first in itertools.permutations([0, 2, 4]):
        for second in itertools.permutations([1, 3, 5, 6]):
            order = dict(zip([0, 2, 4, 1, 3, 5, 6], first + second, strict=True))
            moved = [a[order[i], order[j]] for i, j in within]
            draws.append(spearmanr(moved, [b[i, j] for i, j in within]).statistic)
    found = mantel(a, b, groups)
    assert found.pairs == len(within) == 9
    assert found.rho == pytest.approx(draws[0], abs=1e-12)
    assert found.p == pytest.approx(np.mean(np.array(draws) >= draws[0] - 1e-9), abs=1e-12)


@pytest.mark.parametrize("members", [[range(10)], [[0, 1, 8, 9], range(2, 8)]])
def test_a_random_mantel_test_is_near_one_by_hand(members):
    a, b = symmetric(10, 5), symmetric(10, 6)
    b += 0.2 * a
    groups = torch.zeros(10, dtype=torch.int64)
    groups[list(members[0])] = 1
    y, generator = pairs(b, groups), np.random.default_rng(0)
    draws = []
    for _ in range(3000):
        order = np.arange(10)
        for group in members:
            order[list(group)] = generator.permutation(group)
        draws.append(spearman(pairs(a[order][:, order], groups), y).item())
    found = mantel(a, b, groups)
    assert found.p == pytest.approx((np.array(draws) >= found.rho - 1e-12).mean(), abs=0.03)
    assert 0.005 < found.p < 0.5


labels = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*2 * [st.lists(st.integers(-1, 4), min_size=n, max_size=n)])
)


@steady
@given(labels)
def test_the_adjusted_rand_index_is_scikit_learns(both):
    a, b = both
    found = adjusted_rand(torch.tensor(a), torch.tensor(b)).item()
    assert found == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_the_index_of_every_pair_and_of_many_images_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(4, (12, 10), generator=generator)
    b = torch.randint(3, (9, 10), generator=generator)
    referee = torch.tensor([[adjusted_rand_score(x, y) for y in b] for x in a], dtype=torch.float64)
    assert torch.allclose(adjusted_rand(a[:, None], b), referee, rtol=0, atol=1e-12)
    a = torch.randint(10, (20_000,), generator=generator)
    b = torch.where(torch.rand(20_000, generator=generator) < 0.5, a, a.roll(1))
    assert adjusted_rand(a, b).item() == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
