import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import subcategories
from helpers.methods.subcategories import (
    Effect,
    Groups,
    agreement_within,
    best_k,
    choose_k,
    distinguish,
    group_images,
    groups_within,
    image_features,
    in_small_groups,
    match,
    persistence,
    settled,
    shuffled_columns,
    shuffled_within,
    stability,
    typical,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
each_device = pytest.mark.parametrize("device", DEVICES)


def draw(count, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def order(count, seed=0):
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def planted(sizes=(30, 60, 40), width=5, seed=0):
    """Points in clouds that lie well apart, mixed, and the cloud of each: 0 is the largest."""
    ranks = torch.tensor(sizes).argsort(descending=True).argsort()
    labels = ranks.repeat_interleave(torch.tensor(sizes))[order(sum(sizes), seed)]
    middles = 10 * torch.eye(width)[: len(sizes)]
    return middles[labels] + draw(len(labels), width, seed), labels


def labelings(groups=4):
    return st.integers(1, 30).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(0, groups - 1), min_size=n, max_size=n), min_size=2, max_size=4
        ).map(torch.tensor)
    )


# Groups


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_planted_groups_are_found_largest_first(dtype):
    points, labels = planted()
    found = group_images(points.to(dtype), 3)
    assert torch.equal(found.labels, labels)
    assert found.labels.dtype == torch.int64
    means = torch.stack([points[labels == group].mean(0) for group in range(3)])
    assert torch.allclose(found.centres.float(), means, atol=5e-3)
    assert (found.centres.dtype == torch.float64) == (dtype == torch.float64)


def test_numbers_do_not_hang_on_the_seed():
    points, labels = planted((40, 40, 40, 40))
    first = [int((labels == group).nonzero()[0]) for group in range(4)]
    expected = torch.tensor(first).argsort().argsort()[labels]
    assert all(torch.equal(group_images(points, 4, seed).labels, expected) for seed in range(5))


def test_groups_repeat_and_follow_their_images():
    points = draw(300, 4)
    found = group_images(points, 6, seed=3)
    again = group_images(points, 6, seed=3)
    assert torch.equal(found.labels, again.labels)
    assert found.labels.bincount().diff().max() <= 0
    nearest = torch.cdist(points, found.centres).argmin(1)
    assert torch.equal(nearest, found.labels)


def test_one_group_and_a_group_for_each_image():
    points = draw(9, 3)
    whole = group_images(points, 1)
    assert whole.labels.tolist() == [0] * 9
    assert torch.allclose(whole.centres[0], points.mean(0), atol=1e-6)
    assert group_images(points, 9).labels.tolist() == list(range(9))


@pytest.mark.filterwarnings("error")
def test_fewer_unlike_images_than_groups_leave_the_last_empty():
    points = torch.tensor([[0.0], [5.0], [5.0], [5.0]])
    found = group_images(points, 3)
    assert found.labels.tolist() == [1, 0, 0, 0]
    assert found.centres.shape == (3, 1)
    assert typical(points, found, 2).tolist() == [[1, 2], [0, -1], [-1, -1]]


def test_points_that_cannot_be_grouped_are_refused():
    points = draw(10, 3)
    for k in (0, 11):
        with pytest.raises(ValueError, match=f"{k} groups of 10 images: give 1 to 10"):
            group_images(points, k)
    for bad in (points[0], points[:0], points[:, :0]):
        with pytest.raises(ValueError, match="an image per row"):
            group_images(bad, 1)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="leave those images out"):
            group_images(points.index_fill(0, torch.tensor(4), bad), 2)


# Groups of each class


def classed(seed=0):
    """Points of two classes of the same three clouds each, and their classes and clouds."""
    points, kinds = planted((30, 60, 40), seed=seed)
    other, kinds_of_other = planted((45, 20, 70), seed=seed + 1)
    mixed = order(265, seed)
    labels = torch.tensor([4] * 130 + [1] * 135)
    return (
        torch.cat([points, other])[mixed],
        labels[mixed],
        torch.cat([kinds, kinds_of_other])[mixed],
    )


def test_each_class_has_groups_of_its_own_the_largest_first():
    points, labels, kinds = classed()
    found = groups_within(points, labels, 3)
    assert torch.equal(found, kinds)
    assert found.dtype == torch.int64
    alone = group_images(points[labels == 1], 3, seed=5).labels
    assert torch.equal(groups_within(points, labels, 3, seed=5)[labels == 1], alone)


def test_groups_of_a_class_do_not_hang_on_the_others():
    points, labels, _ = classed()
    noise = 5 * draw(*points.shape)
    moved = torch.where((labels == 1)[:, None], points, noise)
    found, again = groups_within(points, labels, 4), groups_within(moved, labels, 4)
    assert torch.equal(found[labels == 1], again[labels == 1])
    assert not torch.equal(found, again)


def test_a_class_of_few_images_has_as_many_groups():
    points, labels = draw(7, 3), torch.tensor([2, 0, 2, 2, 2, 2, 0])
    found = groups_within(points, labels, 4)
    assert found[labels == 0].tolist() == [0, 1]
    assert sorted(found[labels == 2].unique().tolist()) == [0, 1, 2, 3]
    assert groups_within(points, torch.arange(7), 3).tolist() == [0] * 7


def test_groups_within_classes_say_what_they_need():
    points, labels = draw(10, 3), torch.arange(10) % 2
    for bad in (labels[:9], labels[:, None]):
        with pytest.raises(ValueError, match="one for each of 10"):
            groups_within(points, bad, 2)
    with pytest.raises(ValueError, match="0 groups of 5"):
        groups_within(points, labels, 0)
    with pytest.raises(ValueError, match="leave those images out"):
        groups_within(points.index_fill(0, torch.tensor(4), math.nan), labels, 2)


def test_small_groups_have_less_than_an_even_share():
    # Of 40 images in 4 groups an even share is 10.
    groups = torch.tensor([0, 1, 2, 3]).repeat_interleave(torch.tensor([14, 10, 10, 6]))
    found = in_small_groups(groups, torch.zeros(40).long(), 4)
    assert found.dtype == torch.bool
    assert found.tolist() == [False] * 34 + [True] * 6


def test_groups_are_small_or_not_in_their_own_class():
    # Group 1 is small in class 0, and large in class 2; class 1 has no images.
    groups = torch.tensor([0] * 9 + [1] + [1] * 5 + [0] * 5)
    labels = torch.tensor([0] * 10 + [2] * 10)
    mixed = order(20)
    expected = torch.arange(20) == 9
    assert torch.equal(in_small_groups(groups[mixed], labels[mixed], 2), expected[mixed])


@steady
@given(st.integers(0, 1000), st.integers(1, 5))
def test_a_minority_of_a_class_is_in_small_groups(seed, k):
    generator = torch.Generator().manual_seed(seed)
    groups, labels = torch.randint(k, (30,), generator=generator), torch.arange(30) % 3
    small = in_small_groups(groups, labels, k)
    for label in range(3):
        assert small[labels == label].double().mean() < 1
        for group in range(k):
            own = (labels == label) & (groups == group)
            assert (small[own] == (own.sum() * k < 10)).all()


def test_small_groups_are_of_as_many_as_there_are():
    groups, labels = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 1])
    assert in_small_groups(groups, labels, 3).shape == (4,)
    # Group 2 of class 0 would be taken for group 0 of class 1.
    with pytest.raises(ValueError, match="give the k"):
        in_small_groups(groups, labels, 2)


# How many


def test_the_planted_number_of_groups_is_the_stable_one():
    points, _ = planted((50, 60, 70, 55))
    ks = [2, 3, 4, 6, 9]
    found = stability(points, ks, draws=4)
    assert found.shape == (5, 4)
    assert found.dtype == torch.float64
    assert (found[2] == 1).all()
    assert found[3:].mean() < 0.95
    assert best_k(ks, found) == 4


def test_stability_does_not_hang_on_where_points_lie():
    points, _ = planted()
    assert stability(points + 1e4, [3], draws=2).min() == 1


def test_a_round_cloud_has_no_stable_groups():
    points = draw(400, 10)
    found = stability(points, [1, 4, 8], draws=3)
    assert (found[0] == 1).all()
    assert found[1:].max() < 0.5
    assert best_k([1, 4, 8], found) == 1


def test_halves_are_the_same_for_all_k_and_others_for_another_seed():
    points = draw(120, 3)
    both = stability(points, [2, 5], draws=3, seed=1)
    assert torch.equal(both[1:], stability(points, [5], draws=3, seed=1))
    assert torch.equal(both[:, :2], stability(points, [2, 5], draws=2, seed=1))
    assert not torch.equal(both, stability(points, [2, 5], draws=3, seed=2))
    assert len(both[1].unique()) == 3


@steady
@given(st.integers(2, 21), st.integers(1, 3), st.integers(0, 9))
def test_halves_share_no_image(count, draws, seed):
    halves = list(subcategories._halves(count, draws, seed))
    assert len(halves) == draws
    for first, second in halves:
        assert len(first) == count // 2
        assert torch.cat([first, second]).sort().values.tolist() == list(range(count))


def test_stability_says_what_it_needs():
    points = draw(11, 3)
    assert stability(points, [5], draws=1).shape == (1, 1)
    with pytest.raises(ValueError, match="6 groups of 5 images"):
        stability(points, [6], draws=1)
    with pytest.raises(ValueError, match="0 draws of 1"):
        stability(points, [2], draws=0)
    with pytest.raises(ValueError, match="at least one of each"):
        stability(points, [])


def around(*means):
    """Two draws about each mean: a standard error of 0.05."""
    return torch.tensor(means).double()[:, None] + torch.tensor([-0.05, 0.05]).double()


def test_best_k_is_the_finest_that_cannot_be_told_from_the_best():
    ks = [2, 3, 4, 5]
    assert best_k(ks, around(0.9, 0.86, 0.84, 0.7)) == 3
    assert best_k(ks, around(0.8, 0.9, 0.7, 0.7)) == 3
    assert best_k(ks, around(0.7, 0.7, 0.7, 0.7)) == 5
    assert best_k([5, 2, 3], around(0.86, 0.9, 0.7)) == 5
    assert best_k(torch.tensor([2, 3]), around(0.9, 0.6)) == 2


def test_best_k_is_one_where_nothing_comes_back():
    assert best_k([2, 3], around(0.5, 0.4)) == 1
    # Within an error of the best, but itself not above a half.
    assert best_k([2, 3], around(0.52, 0.49)) == 2
    # One group always comes back, and so says nothing of others.
    assert best_k([1, 2, 3], around(1.0, 0.8, 0.6)) == 2
    assert best_k([1], around(1.0)) == 1


def test_best_k_says_what_it_needs():
    for bad in (around(0.9), around(0.9, 0.8)[:, :1], around(0.9, 0.8)[0]):
        with pytest.raises(ValueError, match="two draws or more"):
            best_k([2, 3], bad)
    with pytest.raises(ValueError, match="NaN"):
        best_k([2, 3], around(0.9, math.nan))


# Typical images


def test_typical_images_are_the_nearest_of_the_group():
    points = torch.tensor([[0.0], [1.0], [9.0], [3.0], [11.0], [2.0]])
    groups = Groups(torch.tensor([0, 0, 1, 0, 1, 0]), torch.tensor([[1.6], [10.5]]))
    assert typical(points, groups, 3).tolist() == [[5, 1, 3], [4, 2, -1]]
    assert typical(points, groups, 1).tolist() == [[5], [4]]
    assert typical(points, groups).shape == (2, 20)


@steady
@given(st.integers(0, 100), st.integers(1, 6), st.integers(1, 12))
def test_typical_images_are_members_and_none_left_out_is_nearer(seed, k, count):
    points = draw(30, 2, seed)
    groups = group_images(points, k)
    for group, row in enumerate(typical(points, groups, count)):
        members = (groups.labels == group).nonzero()[:, 0]
        kept = row[row >= 0]
        assert len(kept) == len(kept.unique()) == min(count, len(members))
        assert (groups.labels[kept] == group).all()
        far = (points - groups.centres[group]).norm(dim=1)
        assert torch.equal(far[kept], far[members].sort().values[: len(kept)])


def test_typical_images_need_their_own_points():
    points = draw(12, 3)
    groups = group_images(points, 2)
    for bad in (points[1:], points[:, 1:]):
        with pytest.raises(ValueError, match="give their own"):
            typical(bad, groups)
    with pytest.raises(ValueError, match="at least 1"):
        typical(points, groups, 0)


# From one point of training to the next


def test_groups_are_matched_by_the_images_they_share():
    before = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    after = torch.tensor([2, 2, 0, 0, 0, 1, 1, 2])
    assert match(before, after).tolist() == [2, 0, 1]
    assert match(after, before).tolist() == [1, 2, 0]


def test_the_match_is_the_best_of_all_and_not_greedy():
    # Group 0 shares 3 images with group 0 and 2 with 1; but group 1 shares 2 with group 0 alone.
    before = torch.tensor([0, 0, 0, 0, 0, 1, 1])
    after = torch.tensor([0, 0, 0, 1, 1, 0, 0])
    assert match(before, after).tolist() == [1, 0]


def test_groups_that_go_have_no_match():
    assert match(torch.tensor([0, 0, 1, 2, 2]), torch.tensor([1, 1, 1, 0, 0])).tolist() == [
        1,
        -1,
        0,
    ]
    # A group without images, and one whose only image went with others, though a group is left.
    assert match(torch.tensor([0, 0, 2]), torch.tensor([0, 0, 2])).tolist() == [0, -1, 2]
    assert match(torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 0])).tolist() == [0, -1]


@steady
@given(labelings(), st.integers(0, 9))
def test_new_numbers_for_old_groups_change_nothing(labels, seed):
    names = order(4, seed)
    renamed = match(labels[0], names[labels[0]])
    present = labels[0].unique()
    assert torch.equal(renamed[present], names[present])
    found = persistence(torch.stack([labels[0], names[labels[0]], labels[1]]))
    same = persistence(torch.stack([labels[0], labels[0], labels[1]]))
    assert found.stays[0] == found.to_next[0] == 1
    for ours, theirs in zip(found, same, strict=True):
        assert torch.allclose(ours, theirs)


@steady
@given(labelings())
def test_no_more_stay_than_all_and_no_fewer_than_the_largest_overlap(labels):
    found = persistence(labels)
    assert [len(part) for part in found] == [len(labels) - 1, len(labels) - 1, len(labels)]
    assert found.to_last[-1] == 1
    assert found.to_last[-2] == found.to_next[-1]
    for share, before, after in zip(found.stays, labels[:-1], labels[1:], strict=True):
        cells = (4 * before + after).bincount()
        assert cells.max() / len(before) - 1e-6 <= share <= 1


def test_how_many_stay():
    labels = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    found = persistence(labels)
    assert found.stays.tolist() == pytest.approx([1, 5 / 6])
    assert found.to_next[0] == found.to_last[2] == 1
    assert found.to_last[0] == found.to_last[1] < 0.5


def test_labels_that_cannot_be_matched_are_refused():
    labels = torch.tensor([0, 1, 1])
    for bad in (labels.float(), labels - 1, labels[:0], labels[None]):
        with pytest.raises(ValueError, match="numbers from 0"):
            match(bad, labels)
    with pytest.raises(ValueError, match="3 and 2 images"):
        match(labels, labels[:2])
    for bad in (labels, labels[None]):
        with pytest.raises(ValueError, match="E at least 2"):
            persistence(bad)


# When a prediction settles


def test_the_point_from_which_on_nothing_changes():
    predicted = torch.tensor([[1, 0, 2, 2], [1, 1, 3, 2], [1, 1, 2, 2], [1, 1, 2, 0]])
    assert settled(predicted).tolist() == [0, 1, 2, 3]
    assert settled(predicted, at_least=2).tolist() == [0, 1, 2, 4]
    assert settled(predicted, at_least=4).tolist() == [0, 4, 4, 4]
    assert settled(predicted[:1]).tolist() == [0] * 4
    assert settled(predicted).dtype == torch.int64


@steady
@given(labelings(3))
def test_predictions_are_the_last_from_there_and_not_before(predicted):
    for column, since in zip(predicted.T, settled(predicted).tolist(), strict=True):
        assert (column[since:] == column[-1]).all()
        assert since == 0 or column[since - 1] != column[-1]


def test_settled_says_what_it_needs():
    predicted = torch.zeros(3, 5).long()
    for bad, least in ((predicted[0], 1), (predicted[:0], 1), (predicted, 0), (predicted, 4)):
        with pytest.raises(ValueError, match=r"give \(E, N\), and 1 to E"):
            settled(bad, least)


# What images are like


def plain(*colour, side=8):
    return torch.tensor(colour, dtype=torch.uint8).expand(1, side, side, 3)


def features(images):
    return {name: values[0].item() for name, values in image_features(images).items()}


def test_features_of_plain_images():
    red = features(plain(255, 0, 0))
    assert red == pytest.approx(
        {"red": 1, "green": 0, "blue": 0, "brightness": 0.299, "saturation": 1, "edge density": 0}
    )
    assert features(plain(100, 100, 100))["brightness"] == pytest.approx(100 / 255)
    assert features(plain(100, 100, 100))["saturation"] == 0
    assert features(plain(200, 150, 100))["saturation"] == pytest.approx(0.5)
    assert features(plain(0, 0, 0)) == dict.fromkeys(red, 0)


def grey(rows):
    return torch.tensor(rows, dtype=torch.uint8)[None, :, :, None].expand(-1, -1, -1, 3)


def test_edges_are_steeper_than_a_tenth_of_full_scale():
    step = torch.zeros(6, 6)
    step[:, 3:] = 1
    # Both columns at the step see half of it: 51 of 255 is a tenth each, which is not above.
    for height, share in ((51, 0), (52, 1 / 3), (255, 1 / 3)):
        assert features(grey((step * height).tolist()))["edge density"] == pytest.approx(share)
        assert features(grey((step.T * height).tolist()))["edge density"] == pytest.approx(share)
    # A slope of 20 both ways is 28 along the diagonal, one of 18 is 25.46.
    for slope, share in ((20, 1), (18, 0)):
        slopes = slope * (torch.arange(6)[:, None] + torch.arange(6))
        assert features(grey(slopes.tolist()))["edge density"] == share


def test_blocks_of_images_are_one(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (7, 5, 6, 3), generator=generator, dtype=torch.uint8)
    whole = image_features(images)
    monkeypatch.setattr(subcategories, "BLOCK", 3)
    for name, values in image_features(images).items():
        assert torch.equal(values, whole[name])
        assert (values.shape, values.dtype) == ((7,), torch.float64)
        assert (values.min() >= 0) & (values.max() <= 1)


def test_what_is_no_image_is_refused():
    images = plain(1, 2, 3)
    for bad in (images.float(), images[0], images[..., :2], images.permute(0, 3, 1, 2)):
        with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\)"):
            image_features(bad)
    for bad in (images[:, :1], images[:, :, :1], images[:0]):
        with pytest.raises(ValueError, match="at least 2 x 2"):
            image_features(bad)


# What sets groups apart


def test_what_sets_a_group_apart():
    labels = torch.tensor([2, 2, 0, 0, 0])
    table = {"size": torch.tensor([5.0, 7.0, 1.0, 2.0, 6.0]), "same": torch.ones(5)}
    found = distinguish(table, labels)
    assert found == [
        Effect(0, "size", pytest.approx(-4 / 6), 3, 6),
        Effect(0, "same", 0, 1, 1),
        Effect(2, "size", pytest.approx(4 / 6), 6, 3),
        Effect(2, "same", 0, 1, 1),
    ]


def test_groups_made_of_a_feature_differ_in_it_alone():
    table = {"made of": draw(400, 1)[:, 0], "other": draw(400, 1, 1)[:, 0]}
    found = distinguish(table, (table["made of"] > 0).long())
    deltas = {(row.group, row.feature): row.delta for row in found}
    assert (deltas[0, "made of"], deltas[1, "made of"]) == (-1, 1)
    assert abs(deltas[0, "other"]) < 0.15


def test_features_that_do_not_fit_are_refused():
    labels = torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match="of two"):
        distinguish({"size": torch.ones(3)}, labels * 0)
    with pytest.raises(ValueError, match="size is"):
        distinguish({"size": torch.ones(4)}, labels)
    with pytest.raises(ValueError, match="NaN"):
        distinguish({"size": torch.tensor([1, math.nan, 2])}, labels)


# The control


@steady
@given(st.integers(0, 50), st.integers(2, 12), st.integers(1, 5))
def test_shuffled_columns_hold_the_same_numbers(seed, count, width):
    points = draw(count, width, seed)
    found = shuffled_columns(points, seed)
    assert torch.equal(found.sort(0).values, points.sort(0).values)
    assert torch.equal(found, shuffled_columns(points, seed))


def test_shuffled_columns_have_nothing_to_do_with_each_other():
    points = draw(2000, 1).expand(-1, 3).clone()
    before = points.clone()
    found = shuffled_columns(points)
    related = torch.corrcoef(torch.cat([points[:, :1], found], 1).T) - torch.eye(4)
    assert related.abs().max() < 0.1
    assert torch.equal(points, before)
    assert not torch.equal(found, shuffled_columns(points, 1))


def test_planted_groups_do_not_outlive_the_shuffle():
    points, labels = planted((60, 60, 60), width=3)
    found = group_images(shuffled_columns(points), 3)
    agreement = subcategories.adjusted_rand(found.labels, labels)
    assert agreement.abs() < 0.1


@steady
@given(st.integers(0, 50), st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_images_change_places_within_their_class_alone(seed, classes):
    labels = torch.tensor(classes)
    found = shuffled_within(labels, seed)
    assert found.sort().values.tolist() == list(range(len(labels)))
    assert torch.equal(labels[found], labels)
    assert torch.equal(found, shuffled_within(labels, seed))


def test_beyond_the_class_nothing_is_kept():
    labels = torch.arange(4000) % 2
    values = labels * 10 + draw(4000, 1)[:, 0]
    found = values[shuffled_within(labels)]
    for label in (0, 1):
        own = labels == label
        assert torch.equal(found[own].sort().values, values[own].sort().values)
        assert torch.corrcoef(torch.stack([found[own], values[own]]))[0, 1].abs() < 0.1
    assert not torch.equal(shuffled_within(labels), shuffled_within(labels, 1))


@each_device
def test_results_stay_on_the_device(device):
    points, labels = (part.to(device) for part in planted())
    groups = group_images(points, 3)
    images = plain(1, 2, 3).to(device)
    results = [*groups, typical(points, groups), match(labels, groups.labels)]
    results += [*persistence(torch.stack([labels, groups.labels])), settled(labels[None])]
    results += [groups_within(points, labels, 2), in_small_groups(groups.labels, labels, 3)]
    results += [shuffled_within(labels), shuffled_columns(points), *image_features(images).values()]
    assert {result.device.type for result in results} == {device}
    assert torch.equal(groups.labels, labels)
    assert stability(points, [3], draws=2).min() == 1
    assert distinguish({"first": points[:, 0].cpu()}, labels)[0].group == 0


def test_the_chosen_k_comes_back_beyond_a_cloud_without_groups():
    points, _ = planted((60, 60, 60, 60), width=8)
    found = choose_k(points, [2, 4, 8], draws=6)
    assert found.k == 4
    at = [2, 4, 8].index(4)
    assert found.gain == pytest.approx((found.stabilities - found.control)[at].mean().item())
    assert torch.equal(found.stabilities, stability(points, [2, 4, 8], 6))
    assert torch.equal(found.control, stability(shuffled_columns(points), [2, 4, 8], 6))


def test_where_nothing_comes_back_the_gain_says_so():
    found = choose_k(draw(200, 6), [3, 5], draws=6)
    assert found.k in (3, 5)
    assert found.gain < 0.2


def test_groupings_agree_within_classes_and_not_across():
    labels = torch.arange(3).repeat_interleave(40)
    groups = torch.arange(2).repeat(60)
    assert agreement_within(groups, groups, labels) == 1
    # The classes themselves, as groups, say nothing within a class.
    assert agreement_within(groups, labels, labels) == pytest.approx(0)
    both = agreement_within(torch.stack([groups, labels]), groups, labels)
    assert both.tolist() == pytest.approx([1, 0])
    assert agreement_within(groups[:20], groups[:20], labels[:20], fewest=30).isnan()
