import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods.detection import (
    aupr,
    aupr_known,
    aurc,
    aurc_best,
    aurc_by_chance,
    auroc,
    fpr_at,
    paired_aurc_interval,
    risk_coverage,
    selective_accuracy,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=50)
tied = st.lists(st.integers(0, 5), min_size=1, max_size=20).map(torch.tensor)
answers = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sets(known=80, unknown=40, apart=1.0, seed=0):
    return normal(known, seed=seed), normal(unknown, seed=seed + 1) + apart


def answered(count=100, seed=0):
    """A score, and answers that are wrong more often where it is high."""
    score = normal(count, seed=seed)
    return score, normal(count, seed=seed + 1) + score > 1


# Unknown against known


@pytest.mark.parametrize("measure", [auroc, aupr, aupr_known])
def test_sets_apart_and_the_direction(measure):
    known, unknown = torch.tensor([-math.inf, 0.0, 1.0]), torch.tensor([2.0, math.inf])
    assert measure(known, unknown) == 1
    assert measure(unknown, known) < 0.6
    assert fpr_at(known, unknown) == 0
    assert fpr_at(unknown, known) == 1


@steady
@given(tied, tied)
def test_auroc_is_the_share_of_pairs_in_order(known, unknown):
    by_hand = ((known < unknown[:, None]) + (known <= unknown[:, None]).double()).mean() / 2
    found = auroc(known, unknown)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(by_hand.item())
    assert auroc(unknown, known).item() == pytest.approx(1 - by_hand.item())


@steady
@given(tied, tied, st.sampled_from([0.05, 0.5, 0.95, 1.0]))
def test_known_images_lost_where_enough_unknown_are_caught(known, unknown, caught):
    thresholds = range(7)
    rejecting = [
        (known >= t).double().mean().item()
        for t in thresholds
        if (unknown >= t).double().mean() >= caught
    ]
    assert fpr_at(known, unknown, caught).item() == pytest.approx(min(rejecting))


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_a_share_that_is_a_whole_number_of_images_is_that_number(count):
    unknown, known = torch.arange(count), torch.arange(count) + 0.5
    for needed in range(1, count):
        found = fpr_at(known, unknown, needed / count).item()
        assert found == pytest.approx(needed / count)


@steady
@given(tied, tied)
def test_precision_over_thresholds_by_hand(known, unknown):
    area, before = 0.0, 0
    for threshold in range(5, -1, -1):
        found = int((unknown >= threshold).sum())
        if found > before:
            precision = found / (found + int((known >= threshold).sum()))
            area, before = area + (found - before) * precision, found
    assert aupr(known, unknown).item() == pytest.approx(area / len(unknown))
    assert aupr_known(-unknown, -known).item() == pytest.approx(area / len(unknown))


@pytest.mark.parametrize("measure", [auroc, fpr_at, aupr, aupr_known])
def test_leading_axes_are_those_of_each(measure):
    known, unknown = normal(2, 3, 30), normal(2, 3, 20, seed=1) + 1
    found = measure(known, unknown)
    assert found.shape == (2, 3)
    assert found[1, 2] == measure(known[1, 2], unknown[1, 2])
    assert measure(known.transpose(0, 1), unknown.transpose(0, 1))[2, 1] == found[1, 2]


# Wrong against right


def test_risk_and_coverage_by_hand():
    score, wrong = torch.tensor([0.1, 0.9, 0.2, 0.8]), torch.tensor([0, 1, 1, 0])
    coverage, risk = risk_coverage(score, wrong)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc(score, wrong).item() == pytest.approx(1 / 3)
    assert aurc_best(wrong).item() == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert aurc_by_chance(wrong) == 0.5
    assert selective_accuracy(score, wrong, 0.5) == 0.5
    assert selective_accuracy(score, wrong, 0.51).item() == pytest.approx(2 / 3)
    assert selective_accuracy(score, wrong, 1.0) == 0.5


@pytest.mark.parametrize("count", [7, 20, 300])
def test_a_coverage_that_is_a_whole_number_of_images_is_that_number(count):
    score, wrong = answered(count)
    risk = risk_coverage(score, wrong)[1]
    for kept in range(1, count + 1):
        assert selective_accuracy(score, wrong, kept / count) == 1 - risk[kept - 1]


@steady
@given(answers)
def test_within_a_tie_risk_is_its_mean_over_all_orders(pairs):
    orders = [
        torch.tensor([float(wrong) for _, wrong in order]).cumsum(0)
        for order in permutations(pairs)
        if [score for score, _ in order] == sorted(score for score, _ in pairs)
    ]
    score, wrong = torch.tensor([float(each[0]) for each in pairs]), torch.tensor(pairs)[:, 1]
    kept = torch.arange(1, len(pairs) + 1)
    assert torch.allclose(
        risk_coverage(score, wrong)[1].float(), torch.stack(orders).mean(0) / kept
    )


@steady
@given(answers)
def test_area_lies_between_the_best_and_its_reverse(pairs):
    score, wrong = torch.tensor(pairs).T
    found = aurc(score, wrong)
    assert aurc_best(wrong) <= found + 1e-12
    assert found <= aurc(-wrong, wrong) + 1e-12
    assert aurc_by_chance(wrong).item() == pytest.approx(wrong.double().mean().item())
    assert aurc(torch.zeros(len(wrong)), wrong).item() == pytest.approx(
        wrong.double().mean().item()
    )


# Intervals


@pytest.mark.parametrize("rounded", [False, True])
def test_intervals_of_area_are_those_of_drawing_images_again(rounded):
    first, wrong = answered()
    second = normal(100, seed=5)
    if rounded:
        first, second = first.round(), second.round()

    def difference(rows):
        return aurc(first[rows], wrong[rows]) - aurc(second[rows], wrong[rows])

    drawn = torch.randint(100, (50, 100), generator=torch.Generator().manual_seed(7))
    draws = torch.stack([difference(rows) for rows in drawn])
    found = paired_aurc_interval(first, second, wrong, resamples=50, seed=7)
    assert found.value == pytest.approx((aurc(first, wrong) - aurc(second, wrong)).item())
    assert found[1:3] == pytest.approx(draws.quantile(torch.tensor([0.025, 0.975]).double()))
    assert found.n == 100


def test_intervals_where_nothing_varies():
    score, wrong = answered()
    assert paired_aurc_interval(score, score.exp(), wrong)[:3] == (0, 0, 0)
    assert paired_aurc_interval(normal(9), normal(9, seed=1), torch.zeros(9))[:3] == (0, 0, 0)
    one = paired_aurc_interval(torch.ones(1), torch.zeros(1), torch.ones(1))
    assert (one.value, one.n) == (0, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_intervals_repeat_by_seed():
    score, wrong = answered()
    same, again, other = (paired_aurc_interval(score, -score, wrong, seed=s) for s in (3, 3, 4))
    assert same == again
    assert same != other


@pytest.mark.parametrize("device", DEVICES)
def test_results_stay_on_the_device(device):
    known, unknown = (each.to(device) for each in sets())
    score, wrong = (each.to(device) for each in answered())
    found = [measure(known, unknown) for measure in (auroc, fpr_at, aupr, aupr_known)]
    found += [*risk_coverage(score, wrong), aurc(score, wrong), aurc_best(wrong)]
    found += [aurc_by_chance(wrong), selective_accuracy(score, wrong, 0.3)]
    assert {(each.device.type, each.dtype) for each in found} == {(device, torch.float64)}
    first, right = answered()
    expected = paired_aurc_interval(first, -first, right)
    assert paired_aurc_interval(score, -score, wrong) == pytest.approx(expected)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auroc(normal(0), normal(3)), r"shape \(0,\): give one per image, at least 1"),
        (lambda: aupr(normal(3), torch.tensor(1.0)), r"shape \(\)"),
        (lambda: fpr_at(normal(3) / 0 * 0, normal(3)), "scores hold NaN: leave those images out"),
        (lambda: auroc(normal(2, 3), normal(3)), r"\(2, 3\) and \(3,\): give \(..., N\)"),
        (lambda: fpr_at(*sets(), caught=0), "caught is 0: give a share above 0 and at most 1"),
        (lambda: fpr_at(*sets(), caught=95), "caught is 95"),
        (lambda: risk_coverage(normal(3), torch.ones(4)), r"\(3,\) and \(4,\): give one of each"),
        (lambda: aurc(normal(3), torch.tensor([0, 1, 2])), "other numbers than 0 and 1"),
        (lambda: aurc(normal(3) / 0 * 0, torch.ones(3)), "scores hold NaN"),
        (lambda: selective_accuracy(normal(3), torch.ones(3), 0), "coverage is 0: give"),
        (lambda: paired_aurc_interval(normal(3), normal(4), torch.ones(3)), r"\(4,\) and \(3,\)"),
        (lambda: paired_aurc_interval(*3 * [torch.ones(3)], 0), "resamples is 0: give at least 1"),
    ],
)
def test_what_cannot_be_done_says_what_can(call, message):
    with pytest.raises(ValueError, match=message):
        call()
