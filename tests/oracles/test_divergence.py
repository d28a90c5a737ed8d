"""scipy as the referee of divergences, entropies summed by hand of the bootstrap."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import entropy

from helpers.methods.divergence import (
    bootstrap_divergence,
    class_profiles,
    hellinger,
    js_divergence,
    js_of_scores,
    symmetric_kl,
    total_variation,
)


def draw(count, width, seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(count, width, generator=generator, dtype=torch.float64)).softmax(1)


def pairs(measure, P, Q):
    return torch.tensor([[measure(p, q) for q in Q.numpy()] for p in P.numpy()])


@pytest.mark.parametrize("width", [1, 2, 10, 32, 33, 3000])
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_js_is_scipys(width, spread):
    P, Q = draw(40, width, 1, spread), draw(7, width, 2, spread)
    referee = pairs(lambda p, q: jensenshannon(p, q, base=2), P, Q)
    assert torch.allclose(js_divergence(P, Q), referee**2, rtol=0, atol=1e-9)
    single = js_divergence(P.float(), Q.float()).double()
    assert torch.allclose(single, referee**2, rtol=0, atol=5e-6)


@pytest.mark.parametrize("width", [10, 100])
def test_tiles_cover_every_pair(width):
    P = draw(1100 if width == 10 else 70, width)
    referee = torch.from_numpy(cdist(P, P, "jensenshannon") ** 2 / np.log(2))
    referee.fill_diagonal_(0)  # scipy's is NaN where rounding went below zero
    assert torch.allclose(js_divergence(P), referee, rtol=0, atol=1e-9)
    assert torch.allclose(js_divergence(P[:600], P), referee[:600], rtol=0, atol=1e-9)


def test_the_distance_of_a_coin_known_and_unknown():
    sure, open_ = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    nats = 0.46450140402245893  # scipy's documentation, base e
    divergence = js_divergence(sure.double(), open_.double()).item()
    assert divergence == pytest.approx(nats**2 / np.log(2), abs=1e-12)


def test_symmetric_kl_is_scipys():
    P, Q = draw(9, 12, 1), draw(5, 12, 2)
    P[0, 3] = Q[0, 3] = Q[1, 5] = 0
    referee = pairs(lambda p, q: (entropy(p, q, base=2) + entropy(q, p, base=2)) / 2, P, Q)
    assert referee[0, 0].isfinite()
    assert referee[0, 1] == torch.inf
    assert torch.allclose(symmetric_kl(P, Q), referee, rtol=1e-9)


def test_hellinger_and_total_variation_are_scipys():
    P, Q = draw(9, 12, 1), draw(5, 12, 2)
    roots = cdist(P.sqrt(), Q.sqrt(), "euclidean") / np.sqrt(2)
    assert np.allclose(hellinger(P, Q), roots, atol=1e-9)
    assert np.allclose(total_variation(P, Q), cdist(P, Q, "cityblock") / 2, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block", [7, 1000, 1 << 14])
def test_streamed_profiles_are_those_held(dtype, block):
    scores = draw(1000, 6).to(dtype)
    P = class_profiles(scores.double())
    referee = pairs(lambda p, q: jensenshannon(p, q, base=2) ** 2, P, P)
    streamed = js_of_scores(scores, block)
    assert streamed.dtype == dtype
    assert torch.allclose(streamed.double(), referee, rtol=0, atol=1e-6)
    assert torch.allclose(streamed, js_divergence(class_profiles(scores)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("over", ["images", "classes"])
def test_each_resample_is_the_divergence_of_the_images_drawn(over, dtype, within):
    scores = draw(200, 5).to(dtype)
    labels = torch.arange(200) % 5
    draws = bootstrap_divergence(scores, labels, over, resamples=6, seed=3)
    rows = torch.randint(200, (6, 200), generator=torch.Generator().manual_seed(3))
    for each, drawn in zip(draws, rows, strict=True):
        again = js_divergence(class_profiles(scores[drawn].double(), labels[drawn], over=over))
        assert torch.allclose(each.double(), again, rtol=0, atol=within)
