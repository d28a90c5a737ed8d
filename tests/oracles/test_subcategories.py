"""numpy, scipy, scikit-learn and scikit-image as referees of groups, matches and features."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from skimage.color import rgb2hsv
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, pairwise_distances_argmin

from helpers.methods.subcategories import (
    distinguish,
    group_images,
    image_features,
    match,
    persistence,
    stability,
    typical,
)


def draw(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def drawn_labels(count, groups, seed=0):
    return torch.randint(groups, (count,), generator=torch.Generator().manual_seed(seed))


def drawn_images(side=9, count=20):
    """Noise, and slopes whose gradients lie about the threshold."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (count, side, side, 3), generator=generator, dtype=torch.uint8)
    steps = torch.randint(20, 32, (count, side, side, 3), generator=generator)
    return torch.cat([noise, (steps.cumsum(1) % 256).byte()])


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_groups_are_scikit_learns_by_size(k):
    points = draw(500, 8)
    found = group_images(points, k, seed=4)
    referee = KMeans(k, n_init=4, random_state=4).fit(points.numpy())
    assert adjusted_rand_score(referee.labels_, found.labels) == 1
    inertia = (points - found.centres[found.labels]).square().sum().item()
    assert inertia == pytest.approx(referee.inertia_, rel=1e-4)
    sizes = found.labels.bincount(minlength=k)
    assert sizes.tolist() == sorted(np.bincount(referee.labels_).tolist(), reverse=True)


@pytest.mark.parametrize("count", [200, 201])
def test_stability_is_scikit_learns_halves(count):
    points = draw(count, 4)
    generator = torch.Generator().manual_seed(7)
    expected = []
    for _ in range(3):
        rows = torch.randperm(count, generator=generator)
        halves = points[rows[: count // 2]], points[rows[count // 2 :]]
        fits = [KMeans(3, n_init=4, random_state=7).fit(half.numpy()) for half in halves]
        expected.append(adjusted_rand_score(*(fit.predict(points.numpy()) for fit in fits)))
    found = stability(points, [3], draws=3, seed=7)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_the_most_typical_image_is_scikit_learns():
    points = draw(300, 6)
    groups = group_images(points, 7)
    referee = pairwise_distances_argmin(groups.centres.numpy(), points.numpy())
    assert typical(points, groups, 1)[:, 0].tolist() == referee.tolist()


@pytest.mark.parametrize(("groups", "others"), [(4, 4), (3, 5), (5, 3)])
def test_no_other_match_keeps_more_images(groups, others):
    for seed in range(20):
        before, after = drawn_labels(40, groups, seed), drawn_labels(40, others, seed + 99)
        shared = np.zeros((max(groups, others),) * 2, dtype=int)
        np.add.at(shared, (before.numpy(), after.numpy()), 1)
        rows = range(len(shared))
        most = max(shared[rows, list(p)].sum() for p in itertools.permutations(rows))
        matched = match(before, after)
        assert (matched[before] == after).sum() == most
        kept = matched[matched >= 0].tolist()
        assert len(kept) == len(set(kept))
        stays = persistence(torch.stack([before, after])).stays
        assert stays.tolist() == pytest.approx([most / 40])


def test_persistence_is_scikit_learns_index():
    labels = torch.stack([drawn_labels(60, 3, seed) for seed in range(4)])
    labels[1, :40] = labels[0, :40]
    found = persistence(labels)
    following = [adjusted_rand_score(*pair) for pair in itertools.pairwise(labels)]
    assert found.to_next.tolist() == pytest.approx(following, abs=1e-12)
    last = [adjusted_rand_score(row, labels[-1]) for row in labels]
    assert found.to_last.tolist() == pytest.approx(last, abs=1e-12)


def test_colours_and_saturation_are_numpys_and_scikit_images():
    images = drawn_images()
    found = image_features(images)
    shares = images.numpy() / 255
    for channel, name in enumerate(("red", "green", "blue")):
        assert found[name].tolist() == pytest.approx(shares[..., channel].mean((1, 2)).tolist())
    luma = shares @ np.array([0.299, 0.587, 0.114])
    assert found["brightness"].tolist() == pytest.approx(luma.mean((1, 2)).tolist())
    saturation = rgb2hsv(shares)[..., 1].mean((1, 2))
    assert found["saturation"].tolist() == pytest.approx(saturation.tolist())


@pytest.mark.parametrize("side", [2, 3, 9])
def test_edges_are_numpys_gradients(side):
    images = drawn_images(side)
    luma = images.numpy() / 255 @ np.array([0.299, 0.587, 0.114])
    down, right = np.gradient(luma, axis=(1, 2))
    expected = (np.hypot(down, right) > 0.1).mean((1, 2))
    assert image_features(images)["edge density"].tolist() == pytest.approx(expected.tolist())
    assert 0 < expected.mean() < 1


def test_effects_are_those_of_scipys_u():
    values, labels = drawn_labels(200, 12).double(), drawn_labels(200, 3, 1)
    for row in distinguish({"value": values}, labels):
        inside, outside = values[labels == row.group].numpy(), values[labels != row.group].numpy()
        u = mannwhitneyu(inside, outside).statistic
        assert row.delta == pytest.approx(2 * u / (len(inside) * len(outside)) - 1)
        assert (row.inside, row.outside) == pytest.approx((inside.mean(), outside.mean()))
