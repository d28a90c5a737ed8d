"""Groups compared within strata: what counts, what does not, and what cannot be compared."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods.statistics import cliffs_delta
from helpers.methods.stratified import (
    cross,
    delta_interval,
    difference_interval,
    quantile_strata,
    stratified_delta,
    stratified_difference,
    stratified_test,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=50)


def draw(count, seed=0):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def whole(*numbers):
    return torch.tensor(numbers, dtype=torch.int64)


def some(count, strata, seed=0, levels=1000):
    """Values, group and strata without anything between them."""
    values = (draw(count, seed) * levels).round()
    return values, draw(count, seed + 1) < 0.4, (draw(count, seed + 2) * strata).long()


# What the difference is


def test_two_strata_by_hand():
    values = torch.tensor([1.0, 2, 3, 10, 20])
    group = torch.tensor([False, True, False, True, False])
    # In the first stratum one pair up and one down; in the second the only pair down.
    found = stratified_test(values, group, whole(0, 0, 0, 7, 7))
    weights = torch.tensor([2 / 4, 1 / 3])
    assert found.delta == pytest.approx(-(weights[1] / weights.sum()).item())
    assert found[2:] == (2, 3, 2)


@steady
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(-2, 2)), max_size=30))
def test_it_is_the_weighted_mean_of_cliffs_deltas(rows):
    values = torch.tensor([row[0] for row in rows], dtype=torch.float64)
    group = torch.tensor([row[1] for row in rows], dtype=torch.bool)
    strata = whole(*(row[2] for row in rows))
    deltas, weights = [], []
    for stratum in strata.unique():
        one, other = values[group & (strata == stratum)], values[~group & (strata == stratum)]
        if len(one) and len(other):
            deltas.append(cliffs_delta(one, other))
            weights.append(len(one) * len(other) / (len(one) + len(other) + 1))
    found = stratified_delta(values, group, strata)
    if not deltas:
        assert math.isnan(found)
    else:
        expected = sum(d * w for d, w in zip(deltas, weights, strict=True)) / sum(weights)
        assert found == pytest.approx(expected, abs=1e-9)
        assert stratified_delta(values, ~group, strata) == pytest.approx(-found, abs=1e-9)


@steady
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_only_ranks_within_strata_count(seed, random):
    values, group, strata = some(40, 5, seed, levels=9)
    order = list(range(40))
    random.shuffle(order)
    moved = values**3 + 1000 * (strata % 3)
    found = stratified_test(values, group, strata)
    other = stratified_test(moved[order], group[order], 7 - strata[order])
    assert other == pytest.approx(found, abs=1e-12)


def test_strata_without_both_and_nan_are_left_out():
    values, group, strata = some(60, 3)
    expected = stratified_test(values, group, strata)
    alone = torch.tensor([5.0, 6, math.nan, math.nan])
    found = stratified_test(
        torch.cat([values, alone]),
        torch.cat([group, torch.tensor([True, True, True, False])]),
        torch.cat([strata, whole(8, 8, 0, 9)]),
    )
    assert found == expected
    # The other of stratum 9 is NaN: what is left of it has one group alone.
    half = torch.tensor([1.0, math.nan])
    assert math.isnan(stratified_delta(half, torch.tensor([True, False]), whole(9, 9)))


@pytest.mark.parametrize("count", [0, 4])
def test_nothing_to_compare_is_nan(count):
    values, group, strata = draw(count), torch.ones(count).bool(), torch.arange(count)
    found = stratified_test(values, group, strata)
    assert math.isnan(found.delta)
    assert math.isnan(found.p)
    assert found[2:] == (0, 0, 0)
    interval = delta_interval(values, group, strata)
    assert all(map(math.isnan, interval[:3]))
    assert interval.n == 0


def test_equal_values_are_no_difference():
    found = stratified_test(torch.ones(20), torch.arange(20) < 8, torch.arange(20) % 2)
    assert (found.delta, found.p) == (0, 1)


def test_what_strata_confound_is_taken_away():
    """Of two classes one has larger areas and more of the group; within a class they are alike."""
    found = []
    for seed in range(60):
        strata = (draw(300, seed) < 0.5).long()
        group = draw(300, seed + 100) < 0.2 + 0.6 * strata
        values = draw(300, seed + 200) + 0.5 * strata
        within = stratified_test(values, group, strata)
        found.append((cliffs_delta(values[group], values[~group]), within.delta, within.p))
    naive, within, p = torch.tensor(found).T
    assert naive.mean() > 0.3
    assert abs(within.mean()) < 0.03
    assert (p < 0.05).float().mean() < 0.15


@pytest.mark.parametrize("device", DEVICES)
def test_a_difference_within_strata_is_found(device):
    values, group, strata = some(400, 8)
    parts = (values + 400 * group).to(device), group.to(device), strata.to(device)
    found, interval = stratified_test(*parts), delta_interval(*parts, resamples=200)
    assert found.p < 1e-6
    assert 0.3 < interval.low < found.delta == interval.value < interval.high < 0.9


# Intervals


def test_the_same_seed_gives_the_same_interval():
    parts = some(90, 6)
    one, same, other = (delta_interval(*parts, 200, seed) for seed in (0, 0, 1))
    assert one == same != other
    assert one.n == 90


def test_intervals_are_as_wide_as_estimates_scatter():
    """In strata of five images too, where drawing as many as there are gives three quarters."""
    found, widths = [], []
    for seed in range(120):
        parts = some(100, 20, 3 * seed)
        interval = delta_interval(*parts, 150)
        found.append(interval.value)
        widths.append(interval.high - interval.low)
    scatter = 2 * 1.96 * torch.tensor(found).std()
    assert 0.87 < torch.tensor(widths).mean() / scatter < 1.15


def test_no_group_vanishes_from_its_stratum():
    values, group, strata = torch.arange(7.0), torch.arange(7) > 4, whole(*[0] * 7)
    interval = delta_interval(values, group, strata, 500)
    assert interval[:3] == (1, 1, 1)


def test_single_images_have_no_interval():
    interval = delta_interval(torch.tensor([1.0, 2]), torch.tensor([True, False]), whole(0, 0))
    assert interval.value == -1
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


# Strata


@steady
@given(st.lists(st.integers(-3, 30), max_size=40), st.integers(1, 6))
def test_quantiles_keep_ties_together_and_their_order(numbers, parts):
    values = torch.tensor(numbers, dtype=torch.float64)
    found = quantile_strata(values, parts)
    assert found.dtype == torch.int64
    assert found.unique().tolist() == list(range(len(found.unique())))
    assert len(found.unique()) <= parts
    order = values.argsort()
    assert (found[order].diff() >= 0).all()
    for value in values.unique():
        assert len(found[values == value].unique()) == 1


@pytest.mark.parametrize(("count", "parts"), [(20, 5), (21, 5), (7, 7), (3, 8)])
def test_quantiles_without_ties_are_of_one_size(count, parts):
    sizes = quantile_strata(draw(count), parts).bincount()
    assert len(sizes) == min(count, parts)
    assert sizes.max() - sizes.min() <= 1


def test_crossed_strata_are_numbered_in_order():
    one, other = whole(5, 5, -1, 5, -1), whole(0, 3, 3, 0, 9)
    assert cross(one, other).tolist() == [2, 3, 0, 2, 1]
    assert cross(one).tolist() == [1, 1, 0, 1, 0]
    large = whole(2**40, 0, 2**40)
    assert cross(large, large, large, large).tolist() == [1, 0, 1]


# What is refused


@pytest.mark.parametrize(
    "make",
    [
        lambda: stratified_delta(draw(4), draw(4) > 0, whole(0, 0, 0)),
        lambda: stratified_delta(draw(4).view(2, 2), draw(4).view(2, 2) > 0, whole(0, 0)),
        lambda: stratified_delta(draw(2), whole(0, 1), whole(0, 0)),
        lambda: stratified_delta(draw(2), draw(2) > 0, draw(2)),
        lambda: quantile_strata(draw(4), 0),
        lambda: quantile_strata(torch.tensor([1.0, math.nan]), 2),
        lambda: cross(),
        lambda: cross(whole(1), whole(1, 2)),
    ],
)
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(ValueError, match=r"give|leave"):
        make()


def test_the_difference_of_means_is_pooled_within_strata_in_its_own_unit():
    values = torch.tensor([5.0, 3.0, 1.0, 20.0, 10.0, 12.0, 99.0, math.nan])
    group = torch.tensor([True, False, False, True, True, False, True, False])
    strata = torch.tensor([0, 0, 0, 1, 1, 1, 2, 1])
    # 5 against 2, and 15 against 12, each stratum of two and one; the third has no others.
    assert stratified_difference(values, group, strata) == pytest.approx(3)
    more = values + 4 * group
    assert stratified_difference(more, group, strata) == pytest.approx(7)
    assert math.isnan(stratified_difference(values[6:7], group[6:7], strata[6:7]))


def test_the_interval_of_a_difference_holds_it_and_leaves_a_confounder_out():
    generator = torch.Generator().manual_seed(0)
    strata = torch.randint(0, 5, (500,), generator=generator)
    group = torch.rand(500, generator=generator) < 0.1 + 0.2 * strata
    values = 3.0 * strata + torch.randn(500, generator=generator) + 0.5 * group
    found = difference_interval(values, group, strata)
    assert found.low < 0.5 < found.high
    assert found.high - found.low == pytest.approx(4 / math.sqrt(100), rel=0.4)
    assert (values[group].mean() - values[~group].mean()) > 3
