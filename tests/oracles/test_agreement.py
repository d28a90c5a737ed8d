"""scipy and scikit-learn as referees of rank correlations and of the adjusted Rand index."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import adjusted_rand_score

from helpers.methods.agreement import adjusted_rand, agreement, mantel, pairs, spearman

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


def pairs_of(members):
    return [pair for group in members for pair in itertools.combinations(sorted(group), 2)]


def shares(matrix, members):
    """Rank of each pair among those of its group, as a share of them, less the mean: exactly."""
    found = {}
    for group in members:
        own = pairs_of([group])
        ranks = rankdata([matrix[pair].item() for pair in own])
        middle = Fraction(len(own) + 1, 2)
        for pair, rank in zip(own, ranks, strict=True):
            found[pair] = (Fraction(rank) - middle) / len(own)
    return found


def orders(members):
    """Every order of the classes in which each group keeps its places, the given one first."""
    places = [place for group in members for place in group]
    for chosen in itertools.product(*map(itertools.permutations, members)):
        yield dict(zip(places, sum(chosen, ()), strict=True))


def labelled(members):
    groups = torch.empty(sum(map(len, members)), dtype=torch.int64)
    for label, group in enumerate(members):
        groups[list(group)] = label
    return groups


@pytest.mark.parametrize("levels", [3, 10**6])
@pytest.mark.parametrize(
    "members", [[range(8)], [(0, 2, 5), (1, 3, 4, 6, 7)], [(0, 1), (2, 3), (4, 5, 6, 7)]]
)
def test_agreement_is_the_correlation_of_ranks_within_groups(members, levels):
    for seed in range(20):
        a, b = symmetric(8, seed, levels), symmetric(8, 100 + seed, levels)
        x, y = ([float(s) for s in shares(m, members).values()] for m in (a, b))
        found = agreement(a, b, labelled(members)).item()
        assert found == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)


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
    members = [(0, 2, 4), (1, 3, 5, 6)]
    within = pairs_of(members)
    groups = labelled(members)
    a, b = symmetric(7, 3), symmetric(7, 4)
    b += a
    y = [float(share) for share in shares(b, members).values()]
    draws = []
    for order in orders(members):
        places = [order[place] for place in range(7)]
        x = [float(share) for share in shares(a[places][:, places], members).values()]
        draws.append(pearsonr(x, y).statistic)
    found = mantel(a, b, groups)
    assert len(draws) == 6 * 24
    assert found.pairs == len(within) == 9
    assert found.rho == pytest.approx(draws[0], abs=1e-12)
    assert found.p == pytest.approx(np.mean(np.array(draws) >= draws[0] - 1e-9), abs=1e-12)


@pytest.mark.parametrize("seed", [146, 197, 206, 291])
def test_ties_at_a_correlation_of_zero_are_counted_in_full(seed):
    # There a share of the observed number allows for no rounding: sums must be exact.
    members = [(0, 2, 4), (1, 3, 5, 6)]
    a, b = symmetric(7, seed, levels=6), symmetric(7, seed + 1000, levels=6)
    x, y = shares(a, members), shares(b, members)
    draws = [
        sum(x[tuple(sorted((order[i], order[j])))] * y[i, j] for i, j in y)
        for order in orders(members)
    ]
    assert draws[0] == 0
    found = mantel(a, b, labelled(members))
    assert found.rho == 0
    assert found.p == pytest.approx(np.mean([draw >= 0 for draw in draws]), abs=1e-12)


@pytest.mark.parametrize("members", [[range(10)], [[0, 1, 8, 9], range(2, 8)]])
def test_a_random_mantel_test_is_near_one_by_hand(members):
    a, b = symmetric(10, 5), symmetric(10, 6)
    b += 0.2 * a
    groups, generator = labelled(members), np.random.default_rng(0)
    y = [float(share) for share in shares(b, members).values()]
    draws = []
    for _ in range(1000):
        order = np.arange(10)
        for group in members:
            order[list(group)] = generator.permutation(group)
        x = [float(share) for share in shares(a[order][:, order], members).values()]
        draws.append(pearsonr(x, y).statistic)
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
