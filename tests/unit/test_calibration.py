import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import statistics
from helpers.methods.calibration import (
    COLDEST,
    HOTTEST,
    calibration_error,
    calibration_error_interval,
    expected_error_if_calibrated,
    fit_temperature,
    reliability,
)
from helpers.methods.statistics import Interval, bootstrap_interval

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=60)
seeds, sizes, bin_counts = st.integers(0, 2**31), st.integers(1, 200), st.integers(1, 30)


def draw(count, temperature=1.0, seed=0, classes=10):
    """Logits and labels of a net whose scores are right after division by `temperature`."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=generator)
    truth = (logits / temperature).softmax(1)
    return logits, torch.multinomial(truth, 1, generator=generator)[:, 0]


def two_classes(confidence, right):
    """Scores (N, 2) whose first class is the predicted one, and labels that make it `right`."""
    confidence = torch.tensor(confidence)
    return torch.stack([confidence, 1 - confidence], 1), 1 - torch.tensor(right)


# Reliability and the error by hand

BY_HAND = two_classes([0.6, 0.7, 0.9, 0.9], [1, 0, 1, 1])


def test_reliability_by_hand():
    found = reliability(*BY_HAND, bins=4)
    assert found.count.tolist() == [0, 0, 2, 2]
    assert found.confidence.tolist()[2:] == pytest.approx([0.65, 0.9])
    assert found.accuracy.tolist()[2:] == [0.5, 1]
    assert found.confidence[:2].isnan().all()
    assert found.accuracy[:2].isnan().all()
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_error_by_hand():
    assert calibration_error(*BY_HAND, bins=4).item() == pytest.approx((2 * 0.15 + 2 * 0.1) / 4)
    assert calibration_error(*BY_HAND, bins=1).item() == pytest.approx(3.1 / 4 - 0.75)


def test_bins_are_closed_above():
    scores, labels = two_classes([0.6, 0.8, 1.0], [1, 1, 1])
    assert reliability(scores, labels, bins=5).count.tolist() == [0, 0, 1, 1, 1]


@steady
@given(seeds, sizes, bin_counts)
def test_the_error_is_that_of_the_diagram_and_lies_within_0_and_1(seed, count, bins):
    logits, labels = draw(count, seed=seed)
    scores = logits.softmax(1)
    error = calibration_error(scores, labels, bins).item()
    diagram = reliability(scores, labels, bins)
    gaps = (diagram.confidence - diagram.accuracy).abs().nan_to_num()
    assert 0 <= error <= 1
    assert error == pytest.approx((gaps * diagram.count).sum().item() / count, abs=1e-5)
    assert diagram.count.sum() == count


@steady
@given(st.integers(1, 40), st.integers(1, 40), bin_counts)
def test_a_net_as_often_right_as_it_says_has_no_error(right, wrong, bins):
    hits = max(right, wrong)  # so that the confidence is the larger of two scores
    confidence = hits / (right + wrong)
    scores, labels = two_classes(
        [confidence] * (right + wrong), [1] * hits + [0] * min(right, wrong)
    )
    assert calibration_error(scores, labels, bins).item() == pytest.approx(0, abs=1e-6)


def test_a_net_always_sure_and_always_wrong_has_the_whole_error():
    scores, labels = two_classes([1.0] * 5, [0] * 5)
    assert calibration_error(scores, labels).item() == 1
    found = calibration_error_interval(scores, labels, resamples=20)
    assert found == Interval(1, 1, 1, 5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_type_on_its_own_device(device, dtype):
    logits, labels = (tensor.to(device) for tensor in draw(500, temperature=2))
    scores = logits.to(dtype).softmax(1)
    error = calibration_error(scores, labels)
    assert error.device == scores.device
    assert all(each.device == scores.device for each in reliability(scores, labels))
    assert error.item() == pytest.approx(0.24, abs=0.06)
    found = calibration_error_interval(scores, labels, resamples=50)
    assert found.low < error < found.high
    assert fit_temperature(logits.to(dtype), labels) == pytest.approx(2, rel=0.15)


def test_scores_that_rounding_takes_beyond_1_count_as_1():
    assert calibration_error(torch.tensor([[1.0001, 0.0]]), torch.tensor([1])).item() == 1


# Interval and floor


def test_the_interval_of_a_miscalibrated_net_is_the_basic_bootstrap():
    logits, labels = draw(500, temperature=2)
    scores = logits.softmax(1)
    found = calibration_error_interval(scores, labels, resamples=100, seed=3)
    plain = bootstrap_interval(
        calibration_error, scores, labels, resamples=100, seed=3, method="basic"
    )
    assert found == pytest.approx(plain, abs=1e-5)


def test_the_interval_leaves_out_zero_for_a_miscalibrated_net_and_not_for_a_calibrated_one():
    zero = {}
    for temperature in (1.0, 1.25):
        nets = (draw(1000, temperature, seed) for seed in range(40))
        found = [calibration_error_interval(z.softmax(1), y, resamples=200) for z, y in nets]
        assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found)
        zero[temperature] = sum(each.low == 0 for each in found) / 40
    assert zero[1.0] > 0.9
    assert zero[1.25] < 0.2


def test_the_interval_covers_the_error_of_the_population():
    logits, labels = draw(50_000, temperature=2, seed=99)
    truth = calibration_error(logits.softmax(1), labels).item()
    nets = [draw(2000, temperature=2, seed=seed) for seed in range(100)]
    found = [calibration_error_interval(z.softmax(1), y, resamples=200) for z, y in nets]
    assert sum(each.low <= truth <= each.high for each in found) / 100 > 0.88
    assert sum(each.high - each.low for each in found) / 100 < 0.06


def test_the_floor_is_where_calibrated_nets_come_out():
    nets = [draw(1000, seed=seed) for seed in range(40)]
    floor = expected_error_if_calibrated(nets[0][0].softmax(1))
    errors = torch.stack([calibration_error(z.softmax(1), y) for z, y in nets])
    assert errors.mean().item() == pytest.approx(floor.value, rel=0.1)
    assert ((floor.low <= errors) & (errors <= floor.high)).float().mean() > 0.85
    miscalibrated, labels = draw(1000, temperature=1.5)
    assert calibration_error(miscalibrated.softmax(1), labels) > floor.high


def test_the_floor_falls_with_the_number_of_images():
    few, many = (expected_error_if_calibrated(draw(n)[0].softmax(1)) for n in (500, 8000))
    assert few.value / many.value == pytest.approx(4, rel=0.2)
    assert (few.n, many.n) == (500, 8000)


def test_the_seed_alone_decides_not_the_memory_or_the_global_state(monkeypatch):
    logits, labels = draw(80)
    scores, state = logits.softmax(1), torch.get_rng_state()

    def both(seed):
        return [
            *calibration_error_interval(scores, labels, resamples=50, seed=seed),
            *expected_error_if_calibrated(scores, draws=50, seed=seed),
        ]

    whole = both(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert both(seed=2) != pytest.approx(whole)
    monkeypatch.setattr(statistics, "CELLS", 500)
    assert both(seed=1) == pytest.approx(whole, abs=1e-6)


def test_a_single_image_has_an_error_and_no_interval():
    scores, labels = two_classes([0.75], [1])
    found = calibration_error_interval(scores, labels, resamples=20)
    assert (found.value, found.n) == (0.25, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (torch.zeros(0, 10), torch.zeros(0, dtype=torch.long)),
        (torch.tensor([[0.4, math.nan]]), torch.tensor([0])),
        (torch.tensor([[3.0, -1.0]]), torch.tensor([0])),
        (torch.tensor([[0.4, 0.6]]), torch.tensor([2])),
        (torch.tensor([[0.4, 0.6]]), torch.tensor([-1])),
        (torch.tensor([[0.4, 0.6]]), torch.tensor([0.5])),
        (torch.tensor([[0.4, 0.6]]), torch.tensor([0, 1])),
        (torch.tensor([0.4, 0.6]), torch.tensor([0, 1])),
    ],
)
def test_scores_and_labels_that_are_refused(scores, labels):
    for function in (reliability, calibration_error, calibration_error_interval):
        with pytest.raises(ValueError, match=r"scores|labels"):
            function(scores, labels)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="bins"):
        calibration_error(*BY_HAND, bins=0)


# Temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.8])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    logits, labels = draw(20_000, temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = (logits / found).softmax(1)
    floor = expected_error_if_calibrated(calibrated)
    assert calibration_error(calibrated, labels) < 1.5 * floor.high


@settings(steady, max_examples=20)
@given(seeds, st.floats(0.2, 5))
def test_temperature_leaves_every_answer_and_scales_with_the_logits(seed, factor):
    logits, labels = draw(300, seed=seed)
    found = fit_temperature(logits, labels)
    assert torch.equal((logits / found).argmax(1), logits.argmax(1))
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor * found, rel=1e-3)
    assert fit_temperature(logits + 100, labels) == pytest.approx(found, rel=1e-3)


def test_temperature_where_the_likelihood_has_no_optimum():
    logits = 40 * torch.eye(4)
    right, wrong = torch.arange(4), torch.arange(4).roll(1)
    assert fit_temperature(logits, right) == pytest.approx(COLDEST, rel=1e-3)
    assert fit_temperature(logits, wrong) == pytest.approx(HOTTEST, rel=1e-3)
    assert fit_temperature(torch.ones(4, 4), right) == 1


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)),
        (torch.tensor([[1.0, math.nan]]), torch.tensor([0])),
        (torch.tensor([[1.0, math.inf]]), torch.tensor([0])),
        (torch.tensor([[1.0, 2.0]]), torch.tensor([2])),
    ],
)
def test_temperature_refuses(logits, labels):
    with pytest.raises(ValueError, match=r"logits|labels"):
        fit_temperature(logits, labels)
