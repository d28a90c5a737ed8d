import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods.agreement import Mantel, adjusted_rand, agreement, mantel, pairs, spearman

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
double = torch.float64
GROUPS = torch.tensor([5, 5, 2, 2, 2, 5])


def symmetric(classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(classes, classes, generator=generator, dtype=double).triu(1)
    return values + values.T


# Pairs


def test_pairs_are_those_above_the_diagonal_row_by_row():
    matrices = torch.arange(32).reshape(2, 4, 4)
    assert pairs(matrices)[0].tolist() == [1, 2, 3, 6, 7, 11]
    assert pairs(matrices)[1].tolist() == [17, 18, 19, 22, 23, 27]
    assert pairs(matrices, torch.tensor([1, 0, 1, 1]))[0].tolist() == [2, 3, 11]
    assert pairs(matrices, torch.arange(4)).shape == (2, 0)


def test_pairs_say_what_does_not_fit():
    with pytest.raises(ValueError, match="C, C"):
        pairs(torch.ones(3, 4))
    with pytest.raises(ValueError, match="C, C"):
        pairs(torch.ones(3))
    with pytest.raises(ValueError, match="4,"):
        pairs(torch.ones(4, 4), torch.zeros(3))


# Spearman


rows = st.lists(st.integers(-3, 3), min_size=2, max_size=12)


@steady
@given(st.tuples(rows, rows))
def test_spearman_sees_only_order_and_is_bounded(both):
    length = min(map(len, both))
    a, b = (torch.tensor(row[:length]) for row in both)
    rho = spearman(a, b)
    if len(a.unique()) == 1 or len(b.unique()) == 1:
        assert rho.isnan()
        return
    assert -1 <= rho <= 1
    assert spearman(b, a) == rho
    assert spearman(a.double().exp(), b**3) == rho
    assert spearman(-a, b) == -rho
    assert spearman(a, a) == 1


def test_spearman_takes_every_row_against_every_row():
    draws = torch.stack([symmetric(5, seed) for seed in range(6)])
    rows = pairs(draws)
    whole = spearman(rows[:, None], rows)
    assert whole.shape == (6, 6)
    assert whole.dtype == double
    assert (whole.diagonal() == 1).all()
    assert whole[1, 4] == spearman(rows[1], rows[4])
    assert spearman(rows.float(), rows[2])[3] == whole[3, 2]


def test_spearman_is_nan_where_there_is_no_order_and_there_alone():
    b = torch.tensor([1.0, 2.0, 3.0])
    a = torch.tensor([[1.0, 2.0, 4.0], [1.0, math.nan, 4.0], [2.0, 2.0, 2.0], [1, math.inf, 4.0]])
    assert spearman(a, b).tolist() == pytest.approx([1, math.nan, math.nan, 0.5], nan_ok=True)
    for short in (0, 1):
        assert spearman(a[:, :short], b[:short]).isnan().all()
    with pytest.raises(ValueError, match="as many"):
        spearman(a, b[:2])


# Agreement of matrices


@steady
@given(st.integers(3, 8), st.integers(0, 99), st.integers(2, 9))
def test_agreement_is_bounded_and_the_same_both_ways(classes, seed, levels):
    a, b = symmetric(classes, seed), (levels * symmetric(classes, seed + 100)).round()
    groups = torch.arange(classes) % 2
    for given_ in (None, groups, torch.zeros(classes)):
        rho = agreement(a, b, given_)
        if rho.isnan():
            assert spearman(pairs(a, given_), pairs(b, given_)).isnan() or given_ is groups
            continue
        assert -1 <= rho <= 1
        assert agreement(b, a, given_) == rho
        assert agreement(-a, b, given_) == pytest.approx(-rho.item())
        assert agreement(a, a.exp(), given_) == pytest.approx(1)
    whole = spearman(pairs(a), pairs(b))
    for given_ in (None, torch.zeros(classes)):
        assert agreement(a, b, given_).item() == pytest.approx(whole.item(), nan_ok=True)


def test_that_one_group_is_closer_together_does_not_count():
    a, b = symmetric(6, 1), symmetric(6, 2)
    own = (GROUPS[:, None] == 2) & (GROUPS == 2)
    rho = agreement(a, b, GROUPS)
    assert agreement(a + 100 * own, b, GROUPS) == rho
    assert agreement(a + 100 * own, b + 100 * own, GROUPS) == rho
    assert agreement(a + 100 * own, b - 100 * own, GROUPS) == rho
    # As ranks of all pairs together have it, strangers would be alike for that alone.
    pooled = spearman(pairs(a + 100 * own, GROUPS), pairs(b + 100 * own, GROUPS))
    assert pooled > rho + 0.2


def test_each_group_counts_by_its_pairs():
    groups = torch.tensor([0] * 8 + [1] * 5)  # 28 pairs and 10
    a = symmetric(13)
    large = (groups[:, None] == 0) & (groups == 0)
    opposed = agreement(a, a.where(large, -a), groups).item()
    assert opposed == pytest.approx((28 - 10) / (28 + 10), abs=0.01)


def test_agreement_takes_every_matrix_against_every_matrix():
    draws = torch.stack([symmetric(6, seed) for seed in range(4)])
    for groups in (None, GROUPS):
        whole = agreement(draws[:, None], draws, groups)
        assert whole.shape == (4, 4)
        assert whole.dtype == double
        assert torch.allclose(whole.diagonal(), torch.ones(4, dtype=double))
        assert whole[1, 3] == agreement(draws[1], draws[3], groups)
    assert agreement(draws.float(), draws[0]).shape == (4,)


def test_agreement_is_nan_where_a_pair_that_counts_is():
    a, b = symmetric(6, 1), symmetric(6, 2)
    holed = a.clone()
    holed[0, 2] = holed[2, 0] = math.nan  # of two groups
    assert agreement(holed, b).isnan()
    assert agreement(holed, b, GROUPS) == agreement(a, b, GROUPS)
    holed[0, 1] = holed[1, 0] = math.nan
    assert agreement(holed, b, GROUPS).isnan()
    batch = agreement(torch.stack([holed, a]), b, GROUPS)
    assert batch.isnan().tolist() == [True, False]
    # One pair in each group has no order, nor has none.
    assert agreement(a, b, torch.tensor([0, 0, 1, 1, 2, 2])).isnan()
    assert agreement(a, b, torch.arange(6)).isnan()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_agreement_says_what_does_not_fit(size):
    with pytest.raises(ValueError, match="one size"):
        agreement(symmetric(4), symmetric(size))
    with pytest.raises(ValueError, match="C, C"):
        agreement(torch.ones(4, 3), torch.ones(4, 3))
    with pytest.raises(ValueError, match="4,"):
        agreement(symmetric(4), symmetric(4), torch.zeros(3))


# Mantel


def test_a_matrix_is_like_itself_and_unlike_its_reverse():
    a = symmetric(8)
    found = mantel(a, a.exp())
    assert found == Mantel(1.0, 1e-4, 28)
    assert mantel(a, -a, permutations=999) == Mantel(-1.0, 1.0, 28)
    assert mantel(a[:5, :5], a[:5, :5]) == Mantel(1.0, pytest.approx(1 / 120), 10)


def test_unrelated_matrices_pass_as_often_as_the_level_says():
    values = [
        mantel(symmetric(7, seed), symmetric(7, 999 + seed), permutations=199).p
        for seed in range(300)
    ]
    assert sum(p <= 0.05 for p in values) == pytest.approx(15, abs=12)
    assert sum(values) / 300 == pytest.approx(0.5, abs=0.08)


def test_between_groups_nothing_counts():
    a, b = symmetric(6, 1), symmetric(6, 2)
    found = mantel(a, b, GROUPS)
    between = GROUPS[:, None] != GROUPS
    assert mantel(a, b + 100 * between, GROUPS) == found
    assert found.pairs == 6
    assert found.rho == agreement(a, b, GROUPS)
    # One great divide in common makes strangers alike.
    assert mantel(a + 100 * between, b + 100 * between).rho > mantel(a, b).rho + 0.2


def test_a_test_is_fixed_by_its_seed_whatever_the_batches(monkeypatch):
    a, b = symmetric(9, 1), symmetric(9, 2)
    found = mantel(a, b, permutations=500, seed=3)
    assert mantel(a, b, permutations=500, seed=3) == found
    assert len({mantel(a, b, permutations=500, seed=seed).p for seed in range(5)}) > 1
    monkeypatch.setattr("helpers.methods.statistics.CELLS", 36 * 7)
    assert mantel(a, b, permutations=500, seed=3) == found


def test_a_class_without_images_and_a_bare_indicator():
    a, b = symmetric(6, 1), symmetric(6, 2)
    a[2] = a[:, 2] = math.nan
    found = mantel(a, b)
    assert math.isnan(found.rho)
    assert math.isnan(found.p)
    assert found.pairs == 15
    indicator = GROUPS[:, None] != GROUPS
    assert mantel(indicator, indicator).rho == 1
    assert math.isnan(mantel(indicator, b, GROUPS).rho)
    for small in range(3):
        assert math.isnan(mantel(b[:small, :small], b[:small, :small]).p)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.arange(9.0).reshape(3, 3), torch.ones(3, 3), "not symmetric"),
        (torch.ones(3, 3), torch.arange(9.0).reshape(3, 3), "not symmetric"),
        (torch.ones(3, 3), torch.ones(4, 4), "give two"),
        (torch.ones(3, 4), torch.ones(3, 4), "not symmetric"),
        (torch.ones(2, 3, 3), torch.ones(2, 3, 3), "give two"),
    ],
)
def test_a_test_says_what_does_not_fit(a, b, message):
    with pytest.raises(ValueError, match=message):
        mantel(a, b)


def test_no_permutations_are_an_error():
    with pytest.raises(ValueError, match="at least 1"):
        mantel(symmetric(4), symmetric(4), permutations=0)


# Adjusted Rand


def test_the_same_clusters_agree_whatever_they_are_called():
    a = torch.tensor([0, 0, 1, 1, 2, 2])
    assert adjusted_rand(a, torch.tensor([7, 7, -1, -1, 0, 0])) == 1
    assert adjusted_rand(a, torch.tensor([0, 1, 2, 0, 1, 2])) < 0
    one, apart = torch.zeros(6, dtype=torch.int64), torch.arange(6)
    assert adjusted_rand(one, one) == 1
    assert adjusted_rand(apart, apart) == 1
    assert adjusted_rand(one, apart) == 0
    assert adjusted_rand(one[:1], one[:1]) == 1
    assert adjusted_rand(one.bool(), one) == 1


def test_random_clusters_agree_by_zero_on_average():
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(3, (300, 10), generator=generator)
    whole = adjusted_rand(a[:, None], a)
    assert whole.shape == (300, 300)
    assert (whole.diagonal() == 1).all()
    assert torch.equal(whole, whole.T)
    assert whole[~torch.eye(300, dtype=torch.bool)].mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(3), torch.zeros(3), "fractions"),
        (torch.arange(3), torch.arange(4), "have shapes"),
        (torch.arange(0), torch.arange(0), "have shapes"),
        (torch.tensor(1), torch.tensor(1), "have shapes"),
    ],
)
def test_labels_that_are_none_are_errors(a, b, message):
    with pytest.raises(ValueError, match=message):
        adjusted_rand(a, b)


@pytest.mark.parametrize("device", DEVICES)
def test_agreement_is_where_its_tensors_are(device):
    a, b = symmetric(6, 1).to(device), symmetric(6, 2).to(device)
    assert spearman(pairs(a, GROUPS), pairs(b, GROUPS)).device.type == device
    assert adjusted_rand(GROUPS.to(device), GROUPS.to(device)).device.type == device
    assert agreement(a, b, GROUPS.to(device)).device.type == device
    assert mantel(a, b, GROUPS) == mantel(a.cpu(), b.cpu(), GROUPS)
