import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import density
from helpers.methods.density import (
    LogitDensity,
    choose_bandwidths,
    class_log_density,
    joint_log_density,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
RULES = ["scott", "silverman", "isj"]
METHODS = ["fft", "exact"]
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
double = torch.float64


def draw(count, width=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=double)


@st.composite
def samples(draw_):
    """Few or many, tied or not, near or far apart, with what is asked within and beyond."""
    count, width = draw_(st.sampled_from([2, 3, 50, 200])), draw_(st.integers(1, 3))
    logits = draw(count, width, draw_(st.integers(0, 99)))
    if draw_(st.booleans()):
        logits = logits.round(decimals=draw_(st.integers(0, 1)))
    logits[: count // 3] += draw_(st.sampled_from([0, 1, 30, 1e4]))
    bandwidth = draw_(st.sampled_from([0.01, 0.2, 3.0]))
    around = logits[:50] + draw(min(count, 50), width, 1) * bandwidth * draw_(st.integers(1, 20))
    return logits, bandwidth, around


# One logit at a time


@steady
@given(samples())
def test_the_fast_way_is_as_near_to_the_exact_one_as_it_says(sample):
    logits, bandwidth, asked = sample
    fast = LogitDensity(bandwidth).fit(logits)
    exact = LogitDensity(bandwidth, "exact").fit(logits)
    peak = exact.density(torch.cat([logits, asked])).amax(0)
    assert ((fast.density(asked) - exact.density(asked)).abs() < 1e-4 * peak).all()
    expected = exact.log_density(asked)
    error = (fast.log_density(asked) - expected).abs()
    assert (error < torch.where(expected > -300, 1e-2, 1e-6 * expected.abs())).all()


def test_error_is_within_its_bound_where_it_is_largest():
    # Nearly all logits in one place, somewhere between two grid points as far apart as they get.
    errors = []
    for low in torch.linspace(-5.01, -5, 8, dtype=double):
        logits = torch.zeros(5000, 1, dtype=double)
        logits[0], logits[1] = low, low + 15.96
        fast, exact = (LogitDensity(1.0, method).fit(logits) for method in METHODS)
        assert 1 / fast._grid.step > 0.999 * density.STEPS
        asked = torch.linspace(-0.02, 0.02, 99, dtype=double)[:, None]
        expected = exact.density(asked)
        errors.append(((fast.density(asked) - expected).abs().max() / expected.max()).item())
    assert 5e-5 < max(errors) < 3.1 / 8 / density.STEPS**2 < 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_one_kernel_by_hand(method):
    found = LogitDensity(2.0, method).fit(torch.tensor([[1.0]]))
    asked = torch.tensor([[1.0], [4.0], [1000.0]])
    expected = -(((asked.double() - 1) / 2) ** 2) / 2 - math.log(2 * math.sqrt(math.tau))
    assert torch.allclose(found.log_density(asked), expected, rtol=1e-3)
    assert torch.allclose(found.density(asked), expected.exp(), rtol=1e-3)


@pytest.mark.parametrize("bandwidth", [*RULES, 0.05])
def test_a_density_has_mass_one(bandwidth):
    logits = torch.cat([draw(300), draw(200, seed=1) + 9])
    points = torch.linspace(-20, 30, 20001, dtype=double)[:, None].expand(-1, 2)
    found = LogitDensity(bandwidth).fit(logits).density(points)
    assert torch.allclose(torch.trapezoid(found, points, dim=0), torch.ones(2, dtype=double))


@pytest.mark.parametrize("method", METHODS)
def test_far_out_the_log_falls_without_ties_and_stays_finite(method):
    logits = draw(300, 1)
    found = LogitDensity(method=method).fit(logits)
    for towards in (-1, 1):
        steps = torch.logspace(-3, 12, 3000, dtype=double)[:, None]
        logs = found.log_density(towards * (logits.abs().max() + steps))[:, 0]
        assert (logs.diff() < 0).all()
        assert logs.isfinite().all()
    assert found.log_density(torch.tensor([[1e300], [-1e300]], dtype=double)).isfinite().all()
    assert (found.density(torch.tensor([[1e300], [1e3]], dtype=double)) == 0).all()


def test_a_logit_too_spread_for_a_grid_is_summed_and_the_others_are_not():
    logits = draw(200, 3)
    logits[0, 1] = 1e9
    fast, exact = (LogitDensity(0.2, method).fit(logits) for method in METHODS)
    assert fast._grid.trusted.isinf().tolist() == [False, True, False]
    assert fast._grid.values.shape[1] <= density.LONGEST
    asked = torch.cat([logits, logits + 0.3])
    expected = exact.density(asked)
    assert ((fast.density(asked) - expected).abs() < 1e-4 * expected.amax(0)).all()
    assert (fast.log_density(asked) - exact.log_density(asked)).abs().max() < 1e-2


def test_windows_add_up_however_they_are_cut(monkeypatch):
    logits, asked = draw(300, 1)[:, 0], 4 * draw(100, 1, 1)[:, 0]
    whole = density._log_by_windows(logits, 0.3, asked)
    monkeypatch.setattr(density, "CELLS", 7)
    assert torch.allclose(density._log_by_windows(logits, 0.3, asked), whole, rtol=1e-12)
    exact = LogitDensity(0.3, "exact").fit(logits[:, None]).log_density(asked[:, None])[:, 0]
    assert torch.allclose(whole, exact, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_bandwidths_scale_with_the_logits_and_do_not_care_where_they_lie(rule):
    logits = torch.cat([draw(400), draw(300, seed=1) + 6])
    found = choose_bandwidths(logits, rule)
    assert torch.allclose(choose_bandwidths(logits * 0.01 - 40, rule), 0.01 * found, rtol=1e-6)


def test_isj_sees_two_narrow_humps_that_scott_blurs():
    logits = torch.cat([draw(500, 1), draw(500, 1, 1) + 20])
    isj, scott = choose_bandwidths(logits, "isj"), choose_bandwidths(logits, "scott")
    assert isj < scott / 5
    asked = torch.tensor([[10.0]])
    assert LogitDensity().fit(logits).density(asked) > 1e-4
    assert LogitDensity("isj").fit(logits).density(asked) < 1e-9


def test_bandwidths_may_be_given_for_each_class():
    logits, given_ = draw(50), torch.tensor([0.1, 2.0])
    found = LogitDensity(given_).fit(logits)
    assert torch.equal(found.bandwidths, given_.double())
    one = LogitDensity(2.0).fit(logits)
    assert torch.equal(one.bandwidths, torch.full((2,), 2.0, dtype=double))
    assert torch.allclose(found.density(logits)[:, 1], one.density(logits)[:, 1], rtol=1e-3)


def test_fitting_again_forgets_what_was_fitted():
    found = LogitDensity().fit(draw(50)).fit(draw(50, 3, 1) + 100)
    assert torch.equal(found.density(draw(5, 3)), torch.zeros(5, 3, dtype=double))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
def test_results_lie_where_the_fitted_logits_do_and_arguments_stay_as_they_are(device, method):
    logits, asked = draw(50).float().to(device), 9 * draw(20, seed=1).float()
    before = logits.clone(), asked.clone()
    found = LogitDensity(method=method).fit(logits)
    for result in (found.density(asked), found.log_density(asked)):
        assert result.shape == (20, 2)
        assert result.dtype == double
        assert result.device.type == device
    assert torch.equal(logits, before[0])
    assert torch.equal(asked, before[1])


# Several logits together


def test_an_image_is_likeliest_among_those_of_its_own_class():
    centres = torch.tensor([[5.0, 0, 0], [0, 5, 0], [0, 0, 5]]).double()
    labels = torch.arange(300) % 3
    logits = draw(300, 3) + centres[labels]
    asked = draw(30, 3, 1) + centres[labels[:30]]
    found = class_log_density(logits, labels, asked)
    assert found.shape == (30, 3)
    assert torch.equal(found.argmax(1), labels[:30])


def test_logits_are_taken_as_independent_given_the_class():
    logits, asked = draw(60), draw(9, seed=1)
    labels = torch.tensor([0, 1, 1]).repeat(20)
    own = LogitDensity(0.5).fit(logits[labels == 1]).log_density(asked)
    found = class_log_density(logits, labels, asked, 0.5)
    assert torch.allclose(found[:, 1], own[:, 0] + own[:, 1])


def test_joint_density_sees_what_single_logits_do_not():
    # Two logits that usually agree: both values are usual, and not together.
    logits = draw(400, 1) + 0.1 * draw(400, 2, 1)
    usual, odd = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]])
    by_logit = LogitDensity().fit(logits)
    assert by_logit.log_density(odd).sum() > by_logit.log_density(usual).sum() - 1
    assert joint_log_density(logits, odd) < joint_log_density(logits, usual) - 20


def test_joint_density_stays_finite_and_in_order_far_out():
    steps = torch.logspace(0, 9, 100, dtype=double)[:, None] * torch.ones(3).double()
    found = joint_log_density(draw(50, 3), steps)
    assert found.isfinite().all()
    assert (found.diff() < 0).all()
    assert joint_log_density(draw(50, 3), steps * 1e290).isfinite().all()


def test_opposite_logits_have_no_joint_density():
    logits = draw(50, 1)
    with pytest.raises(ValueError, match="2 classes vary in 1 directions only"):
        joint_log_density(torch.cat([logits, -logits], 1).float(), draw(3))
    with pytest.raises(ValueError, match="fit to more images"):
        joint_log_density(draw(3, 5), draw(3, 5))
    with pytest.raises(ValueError, match=r"columns \[1\] are equal: .* fit to more images$"):
        joint_log_density(draw(9) * torch.tensor([1, 0]), draw(3), 0.5)
    with pytest.raises(ValueError, match=r"no spread: fit to more$"):
        joint_log_density(draw(1), draw(3), 0.5)
    assert joint_log_density(draw(50) * torch.tensor([1, 1e-7]), draw(3)).isfinite().all()


# What cannot be done


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_infinity_are_refused(bad):
    good, holed = (
        draw(9),
        draw(9).index_put((torch.tensor(3), torch.tensor(1)), torch.tensor(bad).double()),
    )
    labels = torch.arange(9) % 2
    found = LogitDensity().fit(good)
    for call in (
        lambda: LogitDensity().fit(holed),
        lambda: found.density(holed),
        lambda: found.log_density(holed),
        lambda: choose_bandwidths(holed),
        lambda: class_log_density(holed, labels, good),
        lambda: class_log_density(good, labels, holed),
        lambda: joint_log_density(holed, good),
        lambda: joint_log_density(good, holed),
    ):
        with pytest.raises(ValueError, match="NaN or infinity"):
            call()


@pytest.mark.parametrize("rule", RULES)
def test_equal_logits_and_single_images_need_a_given_bandwidth(rule):
    logits = draw(20, 3)
    logits[:, 1] = 0.1
    with pytest.raises(ValueError, match=r"class columns \[1\] are equal: .* give a bandwidth"):
        LogitDensity(rule).fit(logits)
    with pytest.raises(ValueError, match=r"one image has no spread.*give a bandwidth"):
        LogitDensity(rule).fit(logits[:1])
    for few in (logits, logits[:1]):
        assert LogitDensity(0.5).fit(few).density(logits).gt(0).any(0).all()


def test_isj_says_where_it_does_not_converge():
    with pytest.raises(ValueError, match="bandwidth='scott'"):
        LogitDensity("isj").fit(torch.tensor([[0.0], [1.0]]).repeat(50, 1))


@pytest.mark.parametrize(
    "bandwidth",
    [
        0,
        -1.0,
        math.nan,
        math.inf,
        "best",
        torch.tensor([0.1, 0.0]),
        torch.ones(3),
        torch.ones(1, 2),
    ],
)
def test_other_bandwidths_are_refused(bandwidth):
    with pytest.raises(ValueError, match=r"bandwidth.*give"):
        LogitDensity(bandwidth).fit(draw(9))


def test_misuse_is_refused():
    found = LogitDensity().fit(draw(9))
    with pytest.raises(ValueError, match="call fit"):
        LogitDensity().density(draw(9))
    with pytest.raises(ValueError, match="3 classes asked for, but 2 fitted"):
        found.density(draw(9, 3))
    with pytest.raises(ValueError, match=r"give \(N, C\)"):
        found.density(draw(9)[0])
    with pytest.raises(ValueError, match="N at least 1"):
        LogitDensity().fit(draw(0))
    with pytest.raises(ValueError, match="'fft' or 'exact'"):
        LogitDensity(method="binned")
    with pytest.raises(ValueError, match="'scott', 'silverman' or a positive number"):
        joint_log_density(draw(9), draw(9), "isj")


def test_classes_must_have_images_to_fit():
    logits = draw(6)
    with pytest.raises(ValueError, match=r"classes \[1, 2\] have fewer than 2"):
        class_log_density(logits, torch.tensor([0, 0, 1, 3, 3, 3]), logits)
    for labels in (torch.zeros(5).long(), torch.zeros(6), torch.tensor([0, 0, -1, 0, 0, 0])):
        with pytest.raises(ValueError, match=r"labels are .*give a class"):
            class_log_density(logits, labels, logits)
    logits[:3, 1] = 2
    with pytest.raises(ValueError, match=r"images of class 0: .*columns \[1\] are equal"):
        class_log_density(logits, torch.tensor([0, 0, 0, 1, 1, 1]), logits)
