import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import neighbours
from helpers.methods.divergence import js_divergence
from helpers.methods.neighbours import (
    commonality,
    mostly_alike,
    nearest,
    nearest_to,
    pair_distances,
    sampled_pairs,
    turnover,
    turnover_by_chance,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
METRICS = ["euclidean", "cosine", "js"]
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)


def draw(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def scores(count, width, seed=0):
    return (3 * draw(count, width, seed).double()).softmax(1)


@st.composite
def grids(draw_):
    """Points whose coordinates are small whole numbers: many copies and equal distances."""
    count, width = draw_(st.integers(3, 12)), draw_(st.integers(1, 4))
    row = st.lists(st.integers(0, 3), min_size=width, max_size=width)
    return torch.tensor(draw_(st.lists(row, min_size=count, max_size=count)))


def by_hand(a, b, metric):
    """Distances (N, M), pair by pair."""
    a, b = a.double(), b.double()
    if metric == "js":
        return js_divergence(a, b)
    if metric == "euclidean":
        return (a[:, None] - b).norm(dim=-1)
    return 1 - torch.cosine_similarity(a[:, None], b, dim=-1, eps=1e-300)


# The nearest


@pytest.mark.parametrize("metric", METRICS)
@steady
@given(grids(), st.data())
def test_neighbours_are_the_nearest_others(metric, points, data):
    points = points if metric == "euclidean" else points + 1
    k = data.draw(st.integers(1, len(points) - 1))
    block = data.draw(st.sampled_from([1, 2, 5, 100]))
    indices, distances = nearest(points, k, metric, block)
    truth = by_hand(points, points, metric)
    near = {"rtol": 1e-12, "atol": 0 if metric == "euclidean" else 1e-14}
    assert torch.allclose(distances, truth.gather(1, indices), **near)
    assert not (indices == torch.arange(len(points))[:, None]).any()
    assert all(len(set(row.tolist())) == k for row in indices)
    others = truth.fill_diagonal_(math.inf).sort(1).values[:, :k]
    assert torch.allclose(distances, others, **near)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_neighbours_closer_than_a_matrix_product_can_tell(offset):
    # As scores of a sure net: 1e-9 apart, where squares of 1 have digits down to 1e-16.
    steps = 1e-9 * torch.arange(1, 8).double() ** 2
    points = torch.cat((steps, 1 + steps))[:, None] * torch.ones(3) + offset
    indices, distances = nearest(points, 6)
    assert indices[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert indices[7].tolist() == [8, 9, 10, 11, 12, 13]
    expected = (steps[1:] - steps[0]) * math.sqrt(3)
    assert torch.allclose(distances[0], expected, rtol=1e-3, atol=0)
    assert torch.allclose(distances[7], expected, rtol=1e-3, atol=0)


def test_angles_smaller_than_a_matrix_product_can_tell():
    angles = 1e-9 * torch.arange(1, 8).double() ** 2
    both = torch.cat((angles, 1 + angles))
    points = torch.stack((both.cos(), both.sin()), 1) * torch.arange(1, 15)[:, None]
    indices, distances = nearest(points, 6, "cosine")
    expected = (angles[1:] - angles[0]) ** 2 / 2
    for first in (0, 7):
        assert indices[first].tolist() == list(range(first + 1, first + 7))
        assert torch.allclose(distances[first], expected, rtol=1e-5, atol=0)


def test_close_pairs_are_summed_in_parts(monkeypatch):
    points = 1 + 1e-6 * draw(40, 5).double()
    points[0] += 1
    whole = nearest(points, 5)
    monkeypatch.setattr(neighbours, "CELLS", 12)
    parts = nearest(points, 5, block=7)
    assert torch.equal(whole.indices, parts.indices)
    assert torch.allclose(whole.distances, parts.distances, rtol=1e-9, atol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_a_copy_is_a_neighbour_at_no_distance(metric):
    points = scores(50, 20)
    points[31] = points[4]
    indices, distances = nearest(points, 3, metric)
    assert (indices[4, 0], indices[31, 0]) == (31, 4)
    assert distances[4, 0] == distances[31, 0] == 0
    assert (distances[:, 1:] > 0).all()


@pytest.mark.parametrize("metric", ["cosine", "js"])
@pytest.mark.parametrize("size", [1e-250, 1e250])
def test_the_scale_of_a_row_does_not_matter(metric, size):
    points = scores(60, 8)
    scaled = points * torch.linspace(0.5, 3, 60)[:, None] * size
    ours, theirs = nearest(points, 5, metric), nearest(scaled, 5, metric)
    assert torch.equal(ours.indices, theirs.indices)
    assert torch.allclose(ours.distances, theirs.distances, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_the_nearest_to_other_points(metric):
    points, queries = scores(300, 6), scores(140, 6, 1)
    queries[3] = points[70]
    indices, distances = nearest_to(queries, points, 9, metric)
    truth = by_hand(queries, points, metric).sort(1)
    assert torch.equal(indices, truth.indices[:, :9])
    assert torch.allclose(distances, truth.values[:, :9], rtol=1e-9, atol=1e-14)
    assert (indices[3, 0], distances[3, 0]) == (70, 0)
    itself = nearest_to(points, points, 4, metric)
    assert torch.equal(itself.indices[:, 0], torch.arange(300))
    assert torch.equal(itself.indices[:, 1:], nearest(points, 3, metric).indices)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", METRICS)
def test_results_stay_on_the_device(device, metric):
    points = scores(60, 8).to(device)
    rows, others = sampled_pairs(60, 30)
    found = nearest(points, 4, metric)
    assert torch.equal(found.indices.cpu(), nearest(points.cpu(), 4, metric).indices)
    results = [*found, *nearest_to(points[:7], points, 3, metric)]
    results += [pair_distances(points, rows, others, metric), turnover(found[0], found[0])]
    results += commonality(points[:, 0], points[:, 1], points[:, 2])
    results += [mostly_alike(found.indices, torch.arange(60, device=device) % 3)]
    assert {result.device.type for result in results} == {device}


@pytest.mark.parametrize("metric", METRICS)
def test_the_caller_keeps_its_points(metric):
    points = scores(60, 8)
    before = points.clone()
    nearest(points, 2, metric)
    nearest_to(points, points, 2, metric)
    pair_distances(points, *sampled_pairs(60, 9), metric)
    assert torch.equal(points, before)


# Of one label


@pytest.mark.parametrize(
    ("labels", "alike"),
    [
        ([1, 1, 1, 1, 0], True),
        ([1, 1, 0, 0, 0], False),
        ([1, 2, 1, 3, 1], True),
        # Two of each, and the nearest decides, be it of the lower or the higher label.
        ([1, 1, 2, 2, 1], True),
        ([2, 1, 2, 2, 1], False),
        ([1, 2, 1, 1, 2], False),
        # As many as any other single label, and not more than half of all.
        ([1, 1, 2, 3, 4], True),
        ([4, 1, 2, 3, 4], False),
        # An image's own label has no vote.
        ([1, 0, 0, 1, 2], False),
    ],
)
def test_most_neighbours_are_of_the_label(labels, alike):
    near = torch.tensor([1, 2, 3, 4]).expand(5, 4)
    assert mostly_alike(near, torch.tensor(labels))[0] == alike


@steady
@given(st.integers(0, 1000), st.integers(1, 6))
def test_most_is_what_counting_says(seed, k):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (12,), generator=generator)
    near = torch.rand(12, 12, generator=generator).argsort(1)[:, :k]
    found = mostly_alike(near, labels)
    assert (found.dtype, found.shape) == (torch.bool, (12,))
    for row, label, alike in zip(labels[near].tolist(), labels.tolist(), found, strict=True):
        # Of equally frequent labels `max` gives the first, which is the nearest.
        assert alike == (max(row, key=row.count) == label)


# How many change


def test_turnover_counts_what_is_new_in_any_order():
    before = torch.tensor([[1, 2, 3, 4], [0, 2, 3, 4], [9, 8, 7, 6], [0, 1, 2, 9]])
    after = torch.tensor([[4, 3, 2, 1], [2, 0, 5, 4], [0, 1, 3, 5], [10, 2, 4, 7]])
    assert turnover(before, after).tolist() == [0, 0.25, 1, 0.75]
    assert turnover(torch.stack((before, after)), torch.stack((after, after))).tolist() == [
        [0, 0.25, 1, 0.75],
        [0] * 4,
    ]


@steady
@given(st.integers(2, 12), st.data())
def test_turnover_is_what_sets_say(n, data):
    k = data.draw(st.integers(1, n))
    before, after = (data.draw(st.permutations(range(n)))[:k] for _ in range(2))
    found = turnover(torch.tensor([before]), torch.tensor([after], dtype=torch.int32)).item()
    assert found == pytest.approx(len(set(after) - set(before)) / k)


def test_turnover_by_chance_is_that_of_random_neighbours():
    generator = torch.Generator().manual_seed(0)
    before, after = torch.rand(2, 4000, 29, generator=generator).argsort(-1)[..., :6]
    assert turnover(before, after).mean() == pytest.approx(turnover_by_chance(30, 6), abs=0.01)
    assert turnover_by_chance(7, 6) == 0


# What explains who is near


@steady
@given(st.integers(0, 1000), st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2))
def test_shares_add_up_and_only_order_counts(seed, a, b, shared):
    first, second, noise = draw(3, 50, seed).double()
    second = second + shared * first
    response = a * first + b * second + noise
    found = commonality(response, first, second)
    assert found.first + found.second + found.common == pytest.approx(found.total.item())
    assert min(found.first, found.second) >= 0
    assert found.total <= 1 + 1e-12
    assert found.first + found.common <= 1 + 1e-12
    again = commonality(-response.exp(), first**3, second.atan())
    assert torch.allclose(torch.stack(found), torch.stack(again), atol=1e-12)
    swapped = commonality(response, second, first)
    assert torch.allclose(torch.stack(found)[[1, 0, 2, 3]], torch.stack(swapped), atol=1e-12)


def test_predictors_that_are_not_correlated_have_nothing_in_common():
    first, second = torch.cartesian_prod(torch.arange(8), torch.arange(8)).T
    found = commonality(9 * first + second, first, second)
    assert found.common == pytest.approx(0, abs=1e-12)
    assert found.total == pytest.approx(1)
    assert found.first > 0.95
    assert commonality(first, first, second).second == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [3, 50, 999])
def test_predictors_of_one_order_have_all_in_common(count):
    first, noise = draw(2, count)
    found = commonality(first + noise, first, 2 * first + 1)
    assert found.first == pytest.approx(0, abs=1e-9)
    assert found.second == pytest.approx(0, abs=1e-9)
    assert found.common == pytest.approx(found.total.item())
    assert found.total > 0


def test_a_suppressor_makes_the_common_share_negative():
    signal, noise = draw(2, 4000)
    # The second explains nothing by itself, and takes the noise out of the first.
    found = commonality(signal, signal + noise, noise)
    assert found.common < -0.2
    assert found.total > 0.9


def test_shares_over_leading_axes_are_those_of_each():
    response, first = draw(6, 40).reshape(3, 2, 40), draw(2, 40, 1)
    second = draw(1, 40, 2)[0]
    found = commonality(response, first, second)
    assert all(share.shape == (3, 2) for share in found)
    one = commonality(response[2, 1], first[1], second)
    assert torch.allclose(torch.stack(found)[:, 2, 1], torch.stack(one))


@pytest.mark.parametrize("spoilt", [0, 1, 2])
@pytest.mark.parametrize("value", [1.0, math.nan])
def test_shares_of_what_is_constant_or_unknown_are_nan(spoilt, value):
    rows = list(draw(3, 30))
    rows[spoilt] = (
        rows[spoilt] * 0 + 1 if value == 1 else rows[spoilt].index_fill(0, torch.tensor([4]), value)
    )
    assert torch.stack(commonality(*rows)).isnan().all()


# Pairs


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", [7, 40])
def test_distances_of_pairs_are_those_of_all(metric, width, monkeypatch):
    points = scores(90, width)
    points[5], points[8] = points[6], points[6] * torch.tensor([0.0] * 3 + [1.0] * (width - 3))
    rows, others = sampled_pairs(90, 500)
    rows[:2], others[:2] = torch.tensor([5, 7]), torch.tensor([6, 7])
    found = pair_distances(points, rows, others, metric)
    truth = by_hand(points, points, metric)[rows, others]
    assert torch.allclose(found, truth, rtol=1e-9, atol=1e-14)
    assert found[:2].tolist() == [0, 0]
    monkeypatch.setattr(neighbours, "CELLS", 100)
    assert torch.equal(pair_distances(points, rows, others, metric), found)
    assert pair_distances(points, rows[:0], others[:0], metric).shape == (0,)


def test_scores_without_common_support_are_one_bit_apart():
    points = torch.eye(3).repeat(2, 1)
    found = pair_distances(points, torch.tensor([0, 0]), torch.tensor([1, 3]), "js")
    assert found.tolist() == [1, 0]


def test_pairs_are_of_two_images_and_all_as_likely():
    rows, others = sampled_pairs(5, 40_000)
    assert rows.dtype == others.dtype == torch.int64
    drawn = (5 * rows + others).bincount(minlength=25).reshape(5, 5)
    assert (drawn.diagonal() == 0).all()
    off = drawn[~torch.eye(5, dtype=torch.bool)]
    assert off.min() > 1800
    assert off.max() < 2200
    assert sampled_pairs(2, 3)[0].shape == (3,)


def test_pairs_repeat_by_seed():
    assert all(map(torch.equal, sampled_pairs(50, 9, 3), sampled_pairs(50, 9, 3)))
    assert not torch.equal(sampled_pairs(50, 9, 3)[0], sampled_pairs(50, 9, 4)[0])


# What is refused


def of_pairs(rows, others, metric="euclidean"):
    return pair_distances(draw(5, 2), torch.tensor(rows), torch.tensor(others), metric)


def with_a_zero_row():
    return torch.cat((scores(4, 3), torch.zeros(2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nearest(draw(5, 2), 5), "k is 5: with these points give from 1 to 4"),
        (lambda: nearest(draw(5, 2), 0), "k is 0"),
        (lambda: nearest(torch.zeros(5, 4, 4, 3), 1), r"shape \(5, 4, 4, 3\): give \(N, D\)"),
        (lambda: nearest(torch.zeros(0, 3), 1), r"shape \(0, 3\)"),
        (lambda: nearest(draw(5, 2) / 0, 1), "NaN or infinity: leave those images out"),
        (lambda: nearest(draw(5, 2), 1, "cosin"), "'cosin': give 'euclidean', 'cosine' or 'js'"),
        (lambda: nearest(with_a_zero_row(), 1, "cosine"), "2 points are all zeros: leave"),
        (lambda: nearest(with_a_zero_row(), 1, "js"), "2 points are all zeros: leave"),
        (lambda: nearest(draw(5, 2), 1, "js"), "negative numbers: 'js' compares scores"),
        (lambda: nearest_to(draw(5, 2), draw(5, 3), 1), r"\(5, 2\) and \(5, 3\): give equally"),
        (lambda: nearest_to(draw(5, 2), draw(4, 2), 5), "k is 5: .* from 1 to 4"),
        (lambda: nearest_to(with_a_zero_row(), scores(4, 3), 1, "js"), "2 points are all zeros"),
        (lambda: turnover(torch.zeros(5, 3), torch.zeros(5, 3)), "give their indices"),
        (lambda: turnover(torch.zeros(5, 3), torch.zeros(5, 4)), r"\(5, 3\) and \(5, 4\): give"),
        (lambda: turnover(torch.zeros(5, 0).long(), torch.zeros(5, 0).long()), "k at least 1"),
        (lambda: turnover_by_chance(10, 10), "k is 10: with these points give from 1 to 9"),
        (lambda: commonality(*draw(2, 9), draw(1, 8)[0]), r"rows of \[8, 9\] numbers"),
        (lambda: of_pairs([0, 1], [1, 5]), "from 1 to 5 of 5 points"),
        (lambda: of_pairs([0, -1], [1, 2]), "from -1 to 0 of 5 points"),
        (lambda: of_pairs([0.0], [1.0]), r"float32 \(1,\): give int64 \(P,\)"),
        (lambda: of_pairs([[0]], [[1]]), r"int64 \(1, 1\): give int64 \(P,\)"),
        (lambda: of_pairs([True], [False]), r"bool \(1,\): give int64"),
        (lambda: of_pairs([0, 1], [1]), "2 rows and 1 others"),
        (lambda: of_pairs([0], [1], "js"), "negative numbers"),
        (lambda: sampled_pairs(1, 5), "5 pairs of 1 images: give at least 1 of 2"),
        (lambda: sampled_pairs(5, 0), "0 pairs of 5 images"),
    ],
)
def test_what_cannot_be_done_says_what_can(call, message):
    with pytest.raises(ValueError, match=message):
        call()
