import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import statistics
from helpers.methods.statistics import (
    Interval,
    bootstrap_interval,
    cliffs_delta,
    crossed,
    holm,
    interval_from_draws,
    least_interval,
    over_seeds,
    paired_difference_interval,
    pairwise_interval,
    permutation_p,
    resampled_means,
    share_over_seeds,
    t_interval,
    wilson_interval,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=60)
numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30)
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def coverage(intervals, truth):
    return sum(each.low <= truth <= each.high for each in intervals) / len(intervals)


# Interval


def test_an_interval_reads_as_value_and_bounds():
    found = Interval(0.697, 0.6925, 0.7021, 10_000)
    assert str(found) == f"{found}" == "0.697 [0.693, 0.702]"
    assert f"{found:.1%}" == "69.7% [69.2%, 70.2%]"
    assert f"{found._replace(low=math.nan, high=math.nan):.1%}" == "69.7%"
    assert f"{found._replace(value=math.nan):.1%}" == "n/a"
    assert str(Interval(math.nan, math.nan, math.nan, 0)) == "n/a"
    assert str(t_interval([0.25])) == "0.250"


# Coverage of the truth: each bound of the test is refused by a wrong quantile, shown beside it.


def test_t_intervals_of_five_seeds_cover_the_truth():
    means = normal(3000, 5, seed=1)
    assert 0.938 < coverage([t_interval(row) for row in means], 0) < 0.962
    assert coverage([t_interval(row, level=0.9) for row in means], 0) < 0.915
    normal_quantile = [t_interval(row, level=0.878) for row in means]  # 1.96 in place of 2.78
    assert coverage(normal_quantile, 0) < 0.9


@pytest.mark.parametrize(("mean", "covered"), [(0, 0.97), (1, 0.86), (2, 0.91), (4, 0.92)])
def test_pairwise_intervals_of_five_units_cover_the_truth(mean, covered):
    units = mean + normal(1500, 5, seed=7)
    found = [pairwise_interval(row[:, None] * row) for row in units]
    assert covered < coverage(found, mean**2)
    if mean:
        # As if the ten pairs were independent.
        rows, columns = torch.triu_indices(5, 5, 1)
        assert coverage([t_interval(row[rows] * row[columns]) for row in units], mean**2) < 0.7
        assert coverage(found, mean**2) < 0.965


def test_the_least_of_several_means_is_covered_whoever_has_it():
    rivals = normal(1500, 3, 5, seed=8)
    each = [[t_interval(row) for row in rows] for rows in rivals]
    assert 0.95 < coverage([least_interval(rows) for rows in rivals], 0) < 0.99
    assert coverage([min(rows) for rows in each], 0) < 0.945
    far = rivals + torch.tensor([0.0, 30.0, 90.0])[:, None]
    assert coverage([least_interval(rows) for rows in far], 0) > 0.95


@pytest.mark.parametrize("method", ["percentile", "basic"])
def test_bootstrap_intervals_cover_the_truth(method):
    samples = normal(1000, 100, seed=2)
    draws = [resampled_means(row, 400, seed) for seed, row in enumerate(samples)]

    def covered(level):
        pairs = zip(samples, draws, strict=True)
        found = [interval_from_draws(row.mean(), d, 100, level, method) for row, d in pairs]
        return coverage(found, 0)

    assert 0.92 < covered(0.95) < 0.97
    assert covered(0.9) < 0.92


def test_paired_intervals_cover_the_truth_and_are_narrower_than_unpaired_ones():
    images = normal(600, 120, seed=3)
    ours, theirs = images + 0.3 + normal(600, 120, seed=4) / 3, images
    paired = [paired_difference_interval(a, b, 300) for a, b in zip(ours, theirs, strict=True)]
    assert 0.91 < coverage(paired, 0.3) < 0.975
    shuffled = paired_difference_interval(ours[0], theirs[0].flip(0), 300)
    assert shuffled.high - shuffled.low > 2 * (paired[0].high - paired[0].low)


def test_wilson_covers_the_truth_on_average_over_shares():
    intervals = [wilson_interval(successes, 50) for successes in range(51)]
    inside = [
        sum(
            math.comb(50, k) * share**k * (1 - share) ** (50 - k)
            for k, each in enumerate(intervals)
            if each.low <= share <= each.high
        )
        for share in torch.linspace(0.01, 0.99, 197).tolist()
    ]
    assert 0.945 < sum(inside) / len(inside) < 0.96
    assert min(inside) > 0.8


# t


def test_t_interval_by_the_table():
    found = t_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5, 3), abs=1e-5)


def test_one_seed_has_no_interval_and_equal_seeds_one_of_no_width():
    alone = t_interval([0.7])
    assert (alone.value, alone.n) == (0.7, 1)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    assert t_interval(torch.tensor([0.5, 0.5, 0.5])) == Interval(0.5, 0.5, 0.5, 3)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf, 1.0], torch.zeros(2, 2)])
def test_t_interval_refuses(values):
    with pytest.raises(ValueError, match="values"):
        t_interval(values)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(level):
    draws = torch.zeros(3)
    calls = [
        lambda: t_interval([1.0, 2.0], level),
        lambda: pairwise_interval(torch.ones(3, 3), level),
        lambda: least_interval(torch.ones(2, 3), level),
        lambda: wilson_interval(1, 2, level),
        lambda: interval_from_draws(0, draws, 2, level),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="level"):
            call()


# Pairs of units, and the least of several


def alike(count, seed=0):
    values = normal(count, count, seed=seed).double()
    return values + values.T


def test_pairwise_interval_by_hand():
    matrix = torch.tensor([[9.0, 1, 2], [1, 9, 6], [2, 6, 9]])
    # The mean is 3; without each unit in turn it is 6, 2 and 1: pseudo-values -3, 5 and 7.
    assert pairwise_interval(matrix) == pytest.approx(t_interval([-3.0, 5, 7]))


@steady
@given(st.integers(2, 8), st.integers(0, 99), st.floats(-5, 5), st.floats(0.1, 9))
def test_pairwise_intervals_move_with_unit_and_zero_and_not_with_order(count, seed, zero, unit):
    matrix = alike(count, seed)
    found = pairwise_interval(matrix)
    moved = pairwise_interval(zero + unit * matrix)
    expected = [zero + unit * number for number in found[:3]]
    assert moved[:3] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert pairwise_interval(matrix[order][:, order]) == pytest.approx(found, nan_ok=True)
    assert found.n == count
    assert math.isnan(found.low) == math.isnan(found.high) == (count == 2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("itself", [0.0, 1.0, 1e20, math.nan, math.inf])
def test_how_a_unit_agrees_with_itself_does_not_count(itself, device):
    matrix = alike(5).to(device)
    whole = matrix.clone().fill_diagonal_(itself)
    assert pairwise_interval(whole) == pytest.approx(pairwise_interval(matrix))
    assert torch.equal(whole.nan_to_num(), matrix.fill_diagonal_(itself).nan_to_num())


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(1, 1), "K at least 2"),
        (torch.ones(0, 0), "K at least 2"),
        (torch.ones(3), "give"),
        (torch.ones(3, 4), "give"),
        (torch.ones(2, 3, 3), "give"),
        (torch.ones(3, 3).index_fill(0, torch.tensor(1), math.nan), "NaN or infinity"),
        (torch.ones(2, 2) * math.inf, "NaN or infinity"),
    ],
)
def test_pairwise_interval_refuses(matrix, message):
    with pytest.raises(ValueError, match=message):
        pairwise_interval(matrix)


def test_least_interval_by_hand():
    # The least mean is the first's, the least lower bound the second's, which is less sure.
    rows = torch.tensor([[1.0, 1.1, 1.2], [0.0, 2.0, 4.0], [9.0, 9.0, 9.0]])
    sure, unsure, _ = (t_interval(row, level=1 - 0.1 / 3) for row in rows)
    found = least_interval(rows, level=0.9)
    assert found == pytest.approx((1.1, unsure.low, sure.high, 3))


@steady
@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 99))
def test_the_least_is_within_its_interval_whatever_the_order(rivals, count, seed):
    rows = normal(rivals, count, seed=seed)
    found = least_interval(rows)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(rows.double().mean(1).min().item())
    assert least_interval(rows.flip(0)) == found
    if rivals == 1:
        assert found == pytest.approx(t_interval(rows[0]))


def test_of_one_value_each_the_least_has_no_bounds():
    found = least_interval(torch.tensor([[2.0], [1.0]]))
    assert (found.value, found.n, str(found)) == (1, 1, "1.000")
    with pytest.raises(ValueError, match="NaN or infinity"):
        least_interval(torch.tensor([[2.0, 1.0], [math.nan, 0.0]]))


# Wilson


@steady
@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.01, 0.99))
def test_wilson_stays_within_0_and_1_and_around_the_share(n, share, level):
    successes = round(share * n)
    found = wilson_interval(successes, n, level)
    assert 0 <= found.low <= found.value == successes / n <= found.high <= 1
    assert found.high > found.low
    mirrored = wilson_interval(n - successes, n, level)
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses(successes, n):
    with pytest.raises(ValueError, match="trials"):
        wilson_interval(successes, n)


# Bootstrap


@pytest.mark.parametrize("device", DEVICES)
def test_resampled_means_are_the_means_of_the_resamples(device):
    values = normal(40, 3).to(device)
    quick = resampled_means(values, 200, seed=5)
    assert quick.shape == (200, 3)
    assert quick.device == values.device
    slow = bootstrap_interval(lambda rows: rows[:, 1].mean(), values, resamples=200, seed=5)
    fast = interval_from_draws(values[:, 1].mean().item(), quick[:, 1], 40)
    assert slow == pytest.approx(fast, abs=1e-6)


def test_every_row_is_drawn_as_often_as_any_other():
    shares = resampled_means(torch.eye(20), 2000)
    assert torch.allclose(shares.sum(1), torch.ones(2000))
    assert (shares.mean(0) - 1 / 20).abs().max() < 0.006
    assert shares.std(0).mean().item() == pytest.approx((0.05 * 0.95 / 20) ** 0.5, rel=0.05)


def test_rows_are_resampled_together():
    left = normal(50)
    found = bootstrap_interval(lambda a, b: (a + b).abs().max(), left, -left, resamples=50)
    assert found == Interval(0, 0, 0, 50)


def test_basic_reflects_percentile_at_the_value():
    values = normal(60).exp()
    percentile = bootstrap_interval(torch.mean, values, resamples=200)
    basic = bootstrap_interval(torch.mean, values, resamples=200, method="basic")
    assert basic.low == pytest.approx(2 * basic.value - percentile.high)
    assert basic.high == pytest.approx(2 * basic.value - percentile.low)


def test_the_seed_alone_decides_not_the_memory_or_the_global_state(monkeypatch):
    values, state = normal(70, 2), torch.get_rng_state()
    whole = resampled_means(values, 100, seed=3)
    monkeypatch.setattr(statistics, "CELLS", 500)
    assert torch.allclose(resampled_means(values, 100, seed=3), whole, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(resampled_means(values, 100, seed=4), whole)


def test_memory_is_bounded_whatever_the_number_of_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "CELLS", 1000)
    sizes = [batch.numel() for batch in statistics._drawn_rows(90, 1000, seed=0)]
    assert max(sizes) <= 1000
    assert sum(sizes) == 90 * 1000


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.bfloat16, torch.float64])
def test_resampled_means_of_any_type(dtype):
    ones = torch.ones(30, 2, 2, dtype=dtype)
    means = resampled_means(ones, 10)
    assert means.shape == (10, 2, 2)
    assert torch.equal(means, torch.ones_like(means))


def test_one_row_has_no_interval_and_equal_rows_one_of_no_width():
    alone = bootstrap_interval(torch.mean, torch.tensor([2.0]), resamples=5)
    assert alone.value == 2
    assert math.isnan(alone.low)
    assert bootstrap_interval(torch.mean, torch.ones(9), resamples=5) == Interval(1, 1, 1, 9)


def test_a_statistic_that_fails_in_some_resample_has_no_bounds():
    values = torch.tensor([0.0, 0.0, 0.0, 1.0])
    found = bootstrap_interval(lambda v: v[v > 0].mean(), values, resamples=50)
    assert found.value == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_bootstrap_refuses():
    with pytest.raises(ValueError, match="rows"):
        bootstrap_interval(torch.mean, torch.zeros(0))
    with pytest.raises(ValueError, match="rows"):
        bootstrap_interval(torch.dot, torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match="rows"):
        resampled_means(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="method"):
        bootstrap_interval(torch.mean, torch.zeros(3), method="bca")
    with pytest.raises(ValueError, match="draws"):
        interval_from_draws(0.5, torch.zeros(0), 10)


def test_paired_difference_of_right_and_wrong():
    ours = torch.tensor([True, True, True, False])
    theirs = torch.tensor([True, False, True, False])
    assert paired_difference_interval(ours, theirs).value == 0.25
    assert paired_difference_interval(ours, ours) == Interval(0, 0, 0, 4)
    with pytest.raises(ValueError, match="pairs"):
        paired_difference_interval(ours, theirs[:3])
    with pytest.raises(ValueError, match="NaN"):
        paired_difference_interval(torch.tensor([1.0, math.nan]), torch.zeros(2))


# Permutation and Holm


def test_permutation_p_counts_draws_at_least_as_large():
    assert permutation_p(2.0, torch.tensor([1.0, 2.0, 3.0])) == 3 / 4
    assert permutation_p(9.0, torch.zeros(999)) == 1 / 1000
    assert permutation_p(0.0, torch.zeros(9)) == 1


def test_draws_equal_but_for_rounding_count():
    # Not by sum(), which rounds once only from Python 3.12 on.
    observed = 0.1 + 0.2
    assert observed > 0.3
    assert permutation_p(observed, torch.tensor([0.3, 0.0], dtype=torch.float64)) == 2 / 3


def test_permutation_p_is_right_under_the_null():
    draws = normal(400, 100, seed=6)
    p = torch.tensor([permutation_p(row[0].item(), row[1:]) for row in draws])
    assert 0.02 < (p <= 0.05).float().mean() < 0.08
    assert 0.45 < p.mean() < 0.55


@pytest.mark.parametrize(
    ("observed", "draws"), [(0.0, []), (0.0, [math.nan, 1.0]), (math.nan, [0.0, 1.0])]
)
def test_permutation_p_refuses(observed, draws):
    with pytest.raises(ValueError, match=r"draws|observed"):
        permutation_p(observed, torch.tensor(draws))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(torch.tensor([0.5, 0.9])).tolist() == [1, 1]
    assert holm([0.05]).tolist() == [0.05]


@steady
@given(probabilities)
def test_holm_lies_between_the_p_value_and_bonferroni_in_the_same_order(p):
    adjusted = holm(p).tolist()
    assert all(a <= b <= min(1, len(p) * a) for a, b in zip(p, adjusted, strict=True))
    ranked = [value for _, value in sorted(zip(p, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize("p", [[], [-0.1], [0.2, 1.1], [math.nan, 0.1]])
def test_holm_refuses(p):
    with pytest.raises(ValueError, match="p values"):
        holm(p)


# Effect size


def test_an_effect_size_by_hand():
    low, high = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 4.0, 5.0])
    assert cliffs_delta(high, low) == pytest.approx(8 / 9)
    assert cliffs_delta(torch.tensor([0, 1]), torch.tensor([0, 1])) == 0


@steady
@given(numbers, numbers)
def test_an_effect_size_turns_with_the_samples_and_needs_ranks_alone(a, b):
    a, b = torch.tensor(a), torch.tensor(b)
    delta = cliffs_delta(a, b)
    assert -1 <= delta <= 1
    assert cliffs_delta(b, a) == -delta
    assert cliffs_delta(2 * a, 2 * b) == delta


def test_the_effect_size_of_constants():
    ones, twos = torch.ones(3), torch.full((3,), 2.0)
    assert (cliffs_delta(ones, ones), cliffs_delta(twos, ones)) == (0, 1)


@pytest.mark.parametrize("values", [[], [math.nan, 1.0]])
def test_an_effect_size_refuses(values):
    with pytest.raises(ValueError, match=r"shape|NaN"):
        cliffs_delta(torch.tensor(values), torch.ones(3))


def test_of_values_that_do_not_exist_there_is_no_interval():
    values = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    assert over_seeds(values) == t_interval(values)
    for values in ([0.1, math.nan], [math.inf, 0.1]):
        found = over_seeds(torch.tensor(values))
        assert all(math.isnan(number) for number in found[:3])
        assert (found.n, f"{found:.2f}") == (2, "n/a")


def test_the_interval_of_a_share_ends_where_shares_do():
    middling = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64)
    assert share_over_seeds(middling) == over_seeds(middling)
    for values, end in ((torch.tensor([0.0, 0.01, 0.05]), 0), (torch.tensor([1.0, 0.99, 0.9]), 1)):
        whole, found = over_seeds(values), share_over_seeds(values)
        assert not 0 <= whole.low <= whole.high <= 1
        assert (found.value, found.n) == (whole.value, 3)
        assert (found.low, found.high) == ((0, whole.high) if end == 0 else (whole.low, 1))
    assert share_over_seeds(torch.tensor([0.0, 1.0]))[1:3] == (0, 1)


def test_a_share_without_bounds_gets_none():
    alone = share_over_seeds(torch.tensor([0.3]))
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    nothing = share_over_seeds(torch.tensor([0.3, math.nan]))
    assert all(math.isnan(number) for number in nothing[:3])


def test_seeds_and_images_widen_an_interval_as_squares_add():
    seeds, images = Interval(0.5, 0.2, 0.6, 3), Interval(0.7, 0.3, 0.7, 900)
    assert crossed(seeds, images) == pytest.approx((0.5, 0, 0.6, 3))
    assert crossed(seeds, Interval(0.1, 0.1, 0.1, 9)) == pytest.approx(seeds)


def test_without_bounds_over_seeds_or_images_there_are_none():
    whole, alone = Interval(0.5, 0.2, 0.6, 3), Interval(0.5, math.nan, math.nan, 1)
    for found in (crossed(whole, alone), crossed(alone, whole)):
        assert found.value == 0.5
        assert math.isnan(found.low)
        assert math.isnan(found.high)


@steady
@given(st.lists(st.floats(0, 9), min_size=4, max_size=4), st.floats(-5, 5), st.floats(-5, 5))
def test_a_crossed_interval_is_no_narrower_than_either(widths, value, other):
    seeds = Interval(value, value - widths[0], value + widths[1], 5)
    images = Interval(other, other - widths[2], other + widths[3], 80)
    found = crossed(seeds, images)
    assert (found.value, found.n) == (seeds.value, seeds.n)
    for one in (seeds, images):
        assert found.high - found.low >= one.high - one.low - 1e-9
