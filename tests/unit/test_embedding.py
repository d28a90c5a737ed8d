import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import embedding
from helpers.methods.embedding import (
    aligned_maps,
    centroid_distances,
    knn_accuracy,
    pca,
    trustworthiness,
    tsne,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)


def draw(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


@st.composite
def grids(draw_):
    """Points whose coordinates are small whole numbers: many copies and equal distances."""
    count, width = draw_(st.integers(3, 12)), draw_(st.integers(1, 4))
    row = st.lists(st.integers(0, 3), min_size=width, max_size=width)
    return torch.tensor(draw_(st.lists(row, min_size=count, max_size=count)))


# Principal components


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (6, 6)])
def test_components_are_centred_uncorrelated_and_by_size(shape):
    placed = pca(draw(*shape), 5).double()
    products = placed.T @ placed
    assert torch.allclose(placed.mean(0), torch.zeros(5).double(), atol=1e-6)
    assert torch.allclose(products, products.diagonal().diag(), atol=1e-4)
    assert (products.diagonal().diff() <= 0).all()


@steady
@given(st.integers(0, 1000), st.sampled_from([(9, 4), (4, 9)]))
def test_components_keep_their_signs_when_points_are_moved(seed, shape):
    points = draw(*shape, seed)
    placed = pca(points, 2)
    assert torch.allclose(pca(points + 7, 2), placed, atol=1e-4)
    assert torch.allclose(pca(-points, 2).abs(), placed.abs(), atol=1e-5)
    assert (placed.gather(0, placed.abs().argmax(0)[None]) > 0).all()


def test_components_of_bytes_and_of_a_constant_column():
    pixels = torch.randint(256, (30, 8), dtype=torch.uint8)
    pixels[:, 3] = 255
    assert torch.equal(pca(pixels, 4), pca(pixels.double(), 4))
    assert pca(pixels, 8)[:, 7].abs().max() < 1e-4


@pytest.mark.parametrize("device", DEVICES)
def test_results_stay_on_the_device(device):
    points = draw(60, 8).to(device)
    labels = torch.arange(60, device=device) % 3
    results = [pca(points, 2), knn_accuracy(points, labels)]
    results += [centroid_distances(points, labels, 3)]
    assert {result.device.type for result in results} == {device}
    assert trustworthiness(points, points[:, :2]) == pytest.approx(
        trustworthiness(points.cpu(), points.cpu()[:, :2])
    )


# How true a map is


@steady
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-math.pi, math.pi))
def test_a_map_that_is_turned_and_scaled_is_as_trustworthy(seed, scale, angle):
    points, placed = draw(40, 5, seed), draw(40, 2, seed + 1).double()
    c, s = math.cos(angle), math.sin(angle)
    turned = scale * placed @ torch.tensor([[c, -s], [s, c]]).double()
    assert trustworthiness(points, turned, 5) == pytest.approx(trustworthiness(points, placed, 5))
    assert trustworthiness(placed, turned, 5) == 1


def test_a_map_by_chance_is_half_trustworthy():
    chance = [trustworthiness(draw(300, 5, seed), draw(300, 2, seed + 100)) for seed in range(5)]
    assert sum(chance) / 5 == pytest.approx(0.5, abs=0.02)


def test_one_intruder_costs_its_rank():
    # Nearest on the map of the last point is the first one: rank 4 in truth, hence 3 too far.
    points = torch.tensor([0.0, 10, 21, 33, 46])[:, None]
    placed = torch.tensor([0.0, 10, 21, 33, -9])[:, None]
    # And of the first point it is the last one, rank 4 too; that of the others is as in truth.
    assert trustworthiness(points, placed, 1) == pytest.approx(1 - 2 * (3 + 3) / (5 * 1 * 6))


def test_images_are_judged_by_their_neighbours():
    points = torch.tensor([0.0, 1, 2.1, 3.3, 50, 51, 52.1])[:, None]
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    assert knn_accuracy(points, labels, 2).tolist() == [True, True, True, False, True, True, True]
    assert knn_accuracy(points, labels, 6).tolist() == [False] * 3 + [False, True, True, True]


def test_of_equally_frequent_labels_the_nearest_wins():
    points = torch.tensor([0.0, 1, 2, 3, 4])[:, None]
    # Two of each: label 1 at ranks 1 and 4, label 2 at ranks 2 and 3.
    assert knn_accuracy(points, torch.tensor([1, 1, 2, 2, 1]), 4)[0]
    assert not knn_accuracy(points, torch.tensor([2, 1, 2, 2, 1]), 4)[0]


@steady
@given(grids(), st.integers(0, 100))
def test_names_of_labels_do_not_matter(points, seed):
    labels = torch.randint(3, (len(points),), generator=torch.Generator().manual_seed(seed))
    renamed = torch.tensor([70, -4, 12])[labels]
    assert torch.equal(knn_accuracy(points, labels, 2), knn_accuracy(points, renamed, 2))
    assert knn_accuracy(points, torch.zeros_like(labels), 2).all()


def test_distances_of_class_centres():
    points = torch.tensor([[0, 0], [2, 0], [4, 4], [1, 9]], dtype=torch.uint8)
    found = centroid_distances(points, torch.tensor([0, 0, 2, 3]), 4)
    assert found.dtype == torch.float64
    assert found[0, 2].item() == pytest.approx(5)
    assert found[0, 3].item() == pytest.approx(9)
    empty = torch.tensor([False, True, False, False])
    assert torch.equal(found.isnan(), empty[:, None] | empty)
    kept = found[[0, 2, 3]][:, [0, 2, 3]]
    assert torch.equal(kept, kept.T)
    assert (kept.diagonal() == 0).all()


# t-SNE


@pytest.fixture(scope="module")
def blobs():
    """Three far groups of 20 points in 60 columns, and their labels."""
    labels = torch.arange(60) // 20
    return draw(60, 60) + 30 * draw(3, 60, 1)[labels], labels


@pytest.mark.parametrize("start", ["pca", "random"])
def test_a_map_shows_far_groups_and_repeats(blobs, start):
    points, labels = blobs
    said = []
    maps = tsne(points, (3, 4), perplexity=5, start=start, say=said.append)
    assert maps.shape == (2, 60, 2)
    assert maps.dtype == torch.float32
    assert all(knn_accuracy(placed, labels, 5).all() for placed in maps)
    assert [line.split(":")[0] for line in said] == [
        "t-SNE of 60 images, seed 3",
        "t-SNE of 60 images, seed 4",
    ]
    assert not torch.allclose(maps[0], maps[1], atol=1e-3)
    assert torch.equal(tsne(points, (4,), 5, start, say=str)[0], maps[1])


def test_the_perplexity_is_lowered_where_images_are_few():
    said = []
    tsne(draw(20, 3), say=said.append)
    assert said[0] == "t-SNE of 20 images: perplexity 6.3, as 30 needs more images"
    assert tsne(draw(4, 3), say=str).isfinite().all()


def test_a_map_of_images_that_are_all_the_same():
    assert tsne(torch.full((12, 3), 255, dtype=torch.uint8), say=str).isfinite().all()


def step(before, after):
    """How far images have moved from map to map, as a share of their distance to the middle."""
    return (after - before).norm(dim=1).mean() / (before - before.mean(0)).norm(dim=1).mean()


def test_aligned_maps_begin_with_that_of_t_sne_and_repeat():
    points, said = [draw(60, 10), draw(60, 70, 1)], []
    maps = aligned_maps(points, 2, perplexity=5, say=said.append)
    assert (maps.shape, maps.dtype) == ((2, 60, 2), torch.float32)
    assert len(said) == 2
    assert torch.equal(maps[0], tsne(points[0], (2,), 5, say=str)[0])
    assert torch.equal(aligned_maps(points, 2, 5, say=str), maps)
    assert not torch.equal(aligned_maps(points[:1], 3, 5, say=str)[0], maps[0])


@pytest.mark.parametrize("seed", [0, 1])
def test_images_keep_their_places_from_map_to_map(seed):
    # Seven groups that drift apart, then nothing that changes.
    labels = torch.arange(210) % 7
    drift = draw(7, 20, seed + 9)[labels]
    points = [draw(210, 20, seed) + share * drift for share in (1.0, 1.2, 1.2)]
    maps = aligned_maps(points, seed, say=str)
    assert step(maps[0], maps[1]) < 0.5
    assert step(maps[1], maps[2]) < 0.3
    assert step(maps[0], tsne(points[1], (seed,), start="random", say=str)[0]) > 1


def test_aligned_maps_are_of_their_own_points(blobs):
    points, labels = blobs
    # The same images in other groups: each map shows those of its time.
    later = labels[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    changed = draw(60, 60, 2) + 30 * draw(3, 60, 1)[later]
    maps = aligned_maps([points, changed], perplexity=5, say=str)
    assert knn_accuracy(maps[0], labels, 5).all()
    assert knn_accuracy(maps[1], later, 5).double().mean() > 0.9
    assert knn_accuracy(maps[1], labels, 5).double().mean() < 0.7


def test_the_caller_keeps_its_points(blobs):
    points = blobs[0].double()
    before = points.clone()
    trustworthiness(points, points[:, :2])
    pca(points, 2)
    tsne(points, perplexity=5, say=str)
    aligned_maps([points], perplexity=5, say=str)
    assert torch.equal(points, before)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pca(draw(5, 9), 6), "components is 6: with these points give from 1 to 5"),
        (lambda: pca(draw(5, 9), 0), "components is 0"),
        (lambda: trustworthiness(draw(9, 3), draw(8, 2)), "9 points and 8 places"),
        (lambda: trustworthiness(draw(24, 3), draw(24, 2), 12), "k is 12: .* from 1 to 11"),
        (lambda: knn_accuracy(draw(9, 3), torch.zeros(8), 2), r"labels \(8,\), points \(9, 3\)"),
        (lambda: centroid_distances(draw(3, 2), torch.tensor([0, 1, 2]), 2), "from 0 to 2: 2 cla"),
        (lambda: centroid_distances(draw(3, 2), torch.tensor([0, -1, 1]), 2), "from -1 to 1: 2"),
        (lambda: centroid_distances(draw(3, 2), torch.tensor([0.2, 0, 1]), 2), "labels are torch"),
        (lambda: tsne(draw(3, 2)), r"at least \(4, 2\)"),
        (lambda: tsne(draw(9, 1)), r"at least \(4, 2\)"),
        (lambda: tsne(draw(9, 2), ()), "and a seed"),
        (lambda: tsne(draw(9, 2), start="spectral"), "start 'spectral'"),
        (lambda: tsne(draw(9, 2), perplexity=0.5), "perplexity is 0.5: give at least 1"),
        (lambda: tsne(draw(9, 2), perplexity=math.nan), "perplexity is nan"),
        (lambda: aligned_maps([draw(9, 2), draw(8, 2)]), r"\[9, 8\] images: give the same"),
        (lambda: aligned_maps([]), "give the same images"),
        (lambda: aligned_maps([draw(9, 2)], perplexity=0.5), "perplexity is 0.5: give at least 1"),
        (lambda: aligned_maps([draw(9, 2), draw(9, 2) / 0], say=str), "NaN or infinity"),
        (lambda: aligned_maps([draw(3, 5)]), r"at least \(4, 2\)"),
        (lambda: aligned_maps([draw(9, 2), draw(9, 1)], say=str), r"at least \(4, 2\)"),
    ],
)
def test_what_cannot_be_done_says_what_can(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_quality_of_a_map_is_that_of_its_parts(blobs):
    points, labels = blobs
    placed = pca(points, 2)
    found = embedding.map_quality(points, placed, labels, k=5)
    assert found["trustworthiness"] == trustworthiness(points, placed, 5)
    assert found["neighbours right"] == knn_accuracy(placed, labels, 5).double().mean().item()
    assert found["k-means"] == pytest.approx(1)
    chance = embedding.map_quality(points, draw(60, 2, 9), labels, k=5)
    assert chance["k-means"] < 0.2
    assert chance["neighbours right"] < 0.6


def test_a_map_with_fewer_places_than_classes_is_measured_without_a_word(blobs):
    points, labels = blobs
    placed = (torch.arange(60) % 2).float()[:, None].expand(60, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embedding.map_quality(points, placed, labels, k=5)["k-means"] < 0.5
