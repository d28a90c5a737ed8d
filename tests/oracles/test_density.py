"""scipy and KDEpy as the referees of densities, KDEpy of the improved Sheather-Jones rule."""

import numpy as np
import pytest
import torch
from KDEpy import FFTKDE, NaiveKDE
from KDEpy.bw_selection import improved_sheather_jones
from scipy.stats import gaussian_kde

from helpers.methods.density import (
    LogitDensity,
    choose_bandwidths,
    class_log_density,
    joint_log_density,
)

double = torch.float64


def draw(count, width=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=double)


SAMPLES = {
    "normal": 3 * draw(1500),
    "heavy tails": draw(1500) / draw(1500, seed=1),
    "far clusters": torch.cat([draw(700), 0.1 * draw(800, seed=1) + 50]),
    "tied": (2 * draw(1500)).round(),
    "offset": draw(1500) + 1e5,
    "few": draw(5),
}


def asked_near(fitted, seed=2):
    """Some that were fitted, and others from far below to far above them."""
    low, high = fitted.amin(0), fitted.amax(0)
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(300, fitted.shape[1], generator=generator, dtype=double)
    return torch.cat([fitted[:100], low + (spread * 1.4 - 0.2) * (high - low)])


def referees(fitted, bandwidth="scott"):
    """scipy's estimate of each class; its number is a share of the spread."""
    return [
        gaussian_kde(
            column, bandwidth if isinstance(bandwidth, str) else bandwidth / column.std().item()
        )
        for column in fitted.T
    ]


def referee_values(fitted, asked, bandwidth="scott", method="evaluate"):
    each = zip(referees(fitted, bandwidth), asked.T.numpy(), strict=True)
    return torch.stack([torch.from_numpy(getattr(kde, method)(x)) for kde, x in each], 1)


@pytest.mark.parametrize("rule", ["scott", "silverman"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_bandwidths_are_scipys(sample, rule):
    fitted = SAMPLES[sample]
    expected = [kde.covariance.item() ** 0.5 for kde in referees(fitted, rule)]
    assert torch.allclose(choose_bandwidths(fitted, rule), torch.tensor(expected, dtype=double))


@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.02, 1.5])
@pytest.mark.parametrize("sample", SAMPLES)
def test_densities_are_scipys(sample, bandwidth):
    fitted = SAMPLES[sample]
    asked = asked_near(fitted)
    expected = referee_values(fitted, asked, bandwidth)
    exact = LogitDensity(bandwidth, "exact").fit(fitted).density(asked)
    assert torch.allclose(exact, expected, rtol=1e-6, atol=1e-300)
    binned = LogitDensity(bandwidth).fit(fitted).density(asked)
    assert ((binned - expected).abs() < 1e-4 * expected.amax(0)).all()


@pytest.mark.parametrize("method", ["fft", "exact"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_log_densities_are_scipys_far_into_the_tails(sample, method):
    fitted = SAMPLES[sample]
    density = LogitDensity(method=method).fit(fitted)
    steps = torch.linspace(0, 30, 200, dtype=double)[:, None] * density.bandwidths
    asked = torch.cat([asked_near(fitted), fitted.amin(0) - steps, fitted.amax(0) + steps])
    expected = referee_values(fitted, asked, method="logpdf")
    found = density.log_density(asked)
    seen = expected > -300
    assert seen[-50:].any(), "the tails were not asked for"
    assert (found - expected)[seen].abs().max() < (1e-2 if method == "fft" else 1e-6)
    assert torch.allclose(found[~seen], expected[~seen], rtol=1e-6)


def test_logits_in_float32_are_not_rounded_further():
    fitted, asked = SAMPLES["normal"].float(), asked_near(SAMPLES["normal"]).float()
    expected = referee_values(fitted.double(), asked.double())
    found = LogitDensity().fit(fitted).density(asked)
    assert found.dtype == double
    assert ((found - expected).abs() < 1e-4 * expected.amax(0)).all()


@pytest.mark.parametrize("sample", ["normal", "far clusters"])
def test_densities_are_kdepys(sample):
    fitted = SAMPLES[sample][:, :1]
    density = LogitDensity(0.3).fit(fitted)
    grid, binned = FFTKDE(bw=0.3).fit(fitted.numpy()).evaluate(1 << 14)
    ours = density.density(torch.from_numpy(grid)[:, None])[:, 0].numpy()
    # KDEpy cuts its kernel off where it is below 1e-4.
    assert np.abs(ours - binned).max() < 3e-4
    asked = asked_near(fitted)[:, 0].numpy()
    naive = NaiveKDE(bw=0.3).fit(fitted.numpy()).evaluate(asked)
    ours = density.density(torch.from_numpy(asked)[:, None])[:, 0].numpy()
    assert np.abs(ours - naive).max() < 3e-4


# The improved Sheather-Jones rule


def two_humps(count):
    return torch.cat([4 * draw(count, 1), draw(count, 1, seed=1) + 12])


@pytest.mark.parametrize("count", [300, 3000])
def test_isj_is_kdepys_on_a_grid_twice_the_range(count):
    # KDEpy 1.1.12 multiplies by the range of the data what was found on a grid twice as wide
    # (its issues 199, 201), where the range is at least 12.
    for fitted in (10 * draw(count, 1), two_humps(count)):
        assert fitted.max() - fitted.min() > 12
        expected = 2 * improved_sheather_jones(fitted.numpy())
        assert choose_bandwidths(fitted, "isj").item() == pytest.approx(expected, rel=0.01)


def test_isj_is_what_is_best_for_a_normal_sample():
    # (4 / 3n)^(1/5) standard deviations; Silverman (1986), p. 45.
    found = choose_bandwidths(draw(4000, 4), "isj")
    best = (4 / (3 * 4000)) ** 0.2
    assert ((found / best - 1).abs() < 0.2).all()


# Several logits together


@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.4])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_joint_density_is_scipys(width, bandwidth):
    mixing = draw(width, width, seed=3) + 2 * torch.eye(width, dtype=double)
    fitted, asked = draw(400, width) @ mixing + 5, 3 * draw(100, width, seed=1) @ mixing + 5
    expected = gaussian_kde(fitted.T.numpy(), bandwidth).logpdf(asked.T.numpy())
    found = joint_log_density(fitted, asked, bandwidth)
    assert torch.allclose(found, torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


def test_density_given_the_class_is_the_sum_of_scipys():
    fitted, asked = draw(300, 3), 3 * draw(50, 3, seed=1)
    labels = torch.arange(300) % 2
    expected = [
        referee_values(fitted[labels == k], asked, method="logpdf").sum(1) for k in range(2)
    ]
    found = class_log_density(fitted, labels, asked)
    assert (found - torch.stack(expected, 1)).abs().max() < 3e-2
