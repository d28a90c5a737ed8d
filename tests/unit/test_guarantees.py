import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods.guarantees import (
    benjamini_hochberg,
    calibration_needed,
    class_thresholds,
    conformal_p,
    conformal_threshold,
    rejected_band,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=50)
scores_with_ties = st.lists(st.integers(0, 9), min_size=1, max_size=60).map(torch.tensor)
shares = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rejected(draws, n, share, values=normal):
    """Share rejected of each of `draws` test sets of 200 images, each with its own threshold."""
    calibration, test = values(draws, n), values(draws, 200, seed=1)
    thresholds = torch.tensor([conformal_threshold(row, share) for row in calibration])
    return (test > thresholds[:, None]).double().mean(1)


# One threshold


def test_the_threshold_by_hand():
    scores = torch.arange(1, 100).flip(0)
    assert conformal_threshold(scores, 0.05) == 95
    assert conformal_threshold(scores, 0.051) == 95
    assert conformal_threshold(scores, 0.06) == 94
    assert conformal_threshold(scores.float() / 100, 0.05) == torch.tensor(0.95).item()


def test_too_few_images_reject_nothing():
    assert conformal_threshold(normal(18), 0.05) == math.inf
    assert conformal_threshold(normal(19), 0.05) == normal(19).max()
    assert conformal_threshold(normal(1), 0.5) == normal(1).item()


@steady
@given(scores_with_ties, shares)
def test_left_out_images_are_rejected_no_more_often_than_promised(scores, share):
    """Exactly what the proof needs: each of n + 1 exchangeable images may be the new one."""
    if len(scores) < 2:
        return
    out = 0
    for place in range(len(scores)):
        others = torch.cat([scores[:place], scores[place + 1 :]])
        out += scores[place].item() > conformal_threshold(others, share)
    assert out <= share * len(scores) + 1e-9


@pytest.mark.parametrize("n", [19, 20, 99, 150])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_guarantee_in_simulation(n, share):
    found = rejected(2000, n, share)
    error = found.std() / 2000**0.5
    assert found.mean() <= share + 3 * error
    assert found.mean() >= share - 1 / (n + 1) - 3 * error
    low, high = rejected_band(n, 200, share)
    inside = (found >= low - 1e-12) & (found <= high + 1e-12)
    assert 0.94 < inside.double().mean() < 0.98
    above, below = ((found > high + 1e-12).double().mean(), (found < low - 1e-12).double().mean())
    assert max(above, below) < 0.04


def test_ties_reject_less_and_a_shift_more():
    tied = rejected(500, 99, 0.05, lambda *shape, seed=0: normal(*shape, seed=seed).round())
    assert tied.mean() < 0.03
    shifted = rejected(500, 99, 0.05, lambda *shape, seed=0: normal(*shape, seed=seed) + seed)
    assert shifted.mean() > 0.2


# By class


def test_classes_with_enough_images_have_their_own():
    predicted = torch.cat([torch.zeros(100), torch.ones(99), torch.full((300,), 3)]).long()
    scores = normal(499) + predicted
    found = class_thresholds(scores, predicted, 5)
    assert found.own.tolist() == [True, False, False, True, False]
    everyone = conformal_threshold(scores)
    alone = [conformal_threshold(scores[predicted == each]) for each in (0, 3)]
    assert found.thresholds.tolist() == [alone[0], everyone, everyone, alone[1], everyone]
    assert class_thresholds(scores, predicted, 5, least=99).own[1]


def test_own_thresholds_keep_the_promise_in_each_class():
    rates, marginal = [], []
    for seed in range(100):
        predicted = (torch.arange(400) % 2).long()
        calibration, test = (normal(400, seed=2 * seed + i) * (1 + 2 * predicted) for i in (0, 1))
        out = test > class_thresholds(calibration, predicted, 2).thresholds[predicted]
        rates.append(torch.stack([out[predicted == each].double().mean() for each in (0, 1)]))
        out = test > conformal_threshold(calibration)
        marginal.append(out[predicted == 1].double().mean())
    assert (torch.stack(rates).mean(0) < 0.055).all()
    assert (torch.stack(rates).mean(0) > 0.035).all()
    assert torch.stack(marginal).mean() > 0.08


# The band


def test_the_band_by_hand():
    # One calibration image, share 1/2: any number of the test images is as likely.
    low, high = rejected_band(1, 99, 0.5, level=0.9)
    assert (low, high) == pytest.approx((4 / 99, 94 / 99), abs=1 / 99)
    assert rejected_band(10, 500, 0.05) == (0, 0)
    narrow, wide = rejected_band(10_000, 10_000), rejected_band(100, 100)
    assert 0.04 < narrow[0] < 0.05 < narrow[1] < 0.06
    assert wide[1] - wide[0] > 5 * (narrow[1] - narrow[0])


# Many images at once


@steady
@given(scores_with_ties, scores_with_ties)
def test_p_values_count_images_that_score_as_high(calibration, scores):
    by_hand = (1 + (calibration >= scores[:, None]).sum(1)).double() / (len(calibration) + 1)
    assert torch.equal(conformal_p(calibration, scores), by_hand)


@steady
@given(scores_with_ties, scores_with_ties, shares)
def test_thresholds_and_p_values_reject_the_same(calibration, scores, share):
    rejected = conformal_p(calibration, scores) <= share + 1e-12
    assert torch.equal(rejected, scores > conformal_threshold(calibration, share))


def test_rejections_by_hand():
    p = torch.tensor([0.04, 0.01, 0.9, 0.035, 0.03])
    # Only 0.01 is below its own 0.01 k; 0.04, the fourth, is too, and takes all before with it.
    assert benjamini_hochberg(p).tolist() == [True, True, False, True, True]
    assert benjamini_hochberg(p, 0.04).tolist() == [False] * 5
    assert benjamini_hochberg(torch.zeros(3)).all()
    assert not benjamini_hochberg(torch.ones(3)).any()


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("tests", [1, 3, 20, 97, 1000])
def test_calibration_images_that_one_rejection_needs(tests, rate):
    scores = torch.zeros(tests)
    scores[tests // 2] = 2
    needed = calibration_needed(tests, rate)
    assert needed == math.ceil(round(tests / rate, 6)) - 1
    for n in (needed, needed - 1):
        if n < 1:
            continue
        out = benjamini_hochberg(conformal_p(torch.linspace(-1, 1, n), scores), rate)
        assert out.sum() == (n == needed)
        assert out[tests // 2] == (n == needed)


def test_few_of_the_rejected_are_good():
    shares = []
    for seed in range(300):
        calibration, good = normal(2, 1000, seed=2 * seed)
        unknown = normal(100, seed=2 * seed + 1) + 3
        out = benjamini_hochberg(conformal_p(calibration, torch.cat([good[:300], unknown])), 0.1)
        shares.append(out[:300].sum() / max(1, out.sum()))
    # At most rate x share of good images, with rejections in most draws.
    assert 0.05 < torch.stack(shares).mean() < 0.075 + 0.01


@pytest.mark.parametrize("device", DEVICES)
def test_results_stay_on_the_device(device):
    scores, predicted = normal(400).to(device), (torch.arange(400) % 3).to(device)
    p = conformal_p(scores, scores[:9])
    found = [p, benjamini_hochberg(p), *class_thresholds(scores, predicted, 3)]
    assert {each.device.type for each in found} == {device}
    assert [each.dtype for each in found] == 2 * [torch.float64, torch.bool]
    assert conformal_threshold(scores) == conformal_threshold(normal(400))


# What is refused


def by_class(predicted, classes=2):
    return class_thresholds(normal(3), torch.tensor(predicted), classes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal_threshold(normal(0)), r"shape \(0,\): give \(N,\), N at least 1"),
        (lambda: conformal_threshold(normal(2, 2)), r"shape \(2, 2\)"),
        (lambda: conformal_threshold(normal(3) / 0 * 0), "scores hold NaN: leave those images out"),
        (lambda: conformal_threshold(normal(3), 5), "share is 5: give a share between 0 and 1"),
        (lambda: conformal_threshold(normal(3), 0), "share is 0"),
        (lambda: by_class([0, 1]), r"\(2,\): give a class for each of 3 scores"),
        (lambda: by_class([0.0, 1, 1]), "float32"),
        (lambda: by_class([0, 1, 2]), "from 0 to 2: 2 classes run from 0 to 1"),
        (lambda: by_class([-1, 1, 1]), "from -1 to 1"),
        (lambda: rejected_band(0, 5), "0 and 5 images, level 0.95: give at least one of each"),
        (lambda: rejected_band(5, 5, level=95), "level 95"),
        (lambda: rejected_band(50, 5, 1.5), "share is 1.5"),
        (lambda: conformal_p(normal(3), normal(0)), r"shape \(0,\)"),
        (lambda: benjamini_hochberg(torch.tensor([0.5, 1.5])), "from 0.5 to 1.5"),
        (lambda: benjamini_hochberg(torch.tensor([0.5]), 1), "rate is 1: give a share"),
        (lambda: calibration_needed(0), "tests is 0: give at least 1"),
        (lambda: calibration_needed(5, 0), "rate is 0"),
    ],
)
def test_what_cannot_be_done_says_what_can(call, message):
    with pytest.raises(ValueError, match=message):
        call()
