"""Groups of images, what they are, and whether they stay.

Points (N, D) are images described by D numbers each, such as a layer's outputs; those of one class
alone make its subcategories. Labels (N,) are int64, from 0, and results are on the device of what
was given. Points that are not (N, D), or hold NaN or infinity, raise ValueError everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from torch import Tensor

from .agreement import adjusted_rand
from .kmeans import k_means
from .neighbours import checked_points
from .statistics import cliffs_delta

# Beginnings of k-means, of which the best end is kept.
BEGINNINGS = 4
# Groups whose mean stability is not above this share more with chance than with each other.
STABLE = 0.5
# Luma of red, green and blue in thousandths (ITU-R BT.601): whole, so that sums are exact.
LUMA = (299.0, 587.0, 114.0)
# A pixel is on an edge where luma changes by more than this share of full scale per pixel.
EDGE = 0.1
# Images described at a time.
BLOCK = 512


class Groups(NamedTuple):
    """Which group each image is in, and the mean of each: group 0 is the largest."""

    labels: Tensor  # (N,) int64
    centres: Tensor  # (k, D)


class Persistence(NamedTuple):
    """How far the groups of E points of training are those of the next, and of the last."""

    stays: Tensor  # (E - 1,) float64, share of images that are in the matched group next
    to_next: Tensor  # (E - 1,) float64, adjusted Rand index with the next
    to_last: Tensor  # (E,) float64, adjusted Rand index with the last; its own is 1


class Choice(NamedTuple):
    """How many groups, the `gain` in stability there, and all stabilities (len(ks), draws)."""

    k: int
    gain: float
    stabilities: Tensor
    control: Tensor


class Effect(NamedTuple):
    """How the images of one group differ from all others in one feature."""

    group: int
    feature: str
    delta: float  # Cliff's: -1..1, above 0 where the group has more of it
    inside: float  # mean of the group, in the feature's unit
    outside: float  # mean of all others


def group_images(points: Tensor, k: int, seed: int = 0) -> Groups:
    """Group `points` (N, D) by k-means, the best of four beginnings; the largest group is 0.

    Of equally large groups the one with the earlier image comes first. The last groups are empty
    where fewer than k images are unlike. In float32 where `points` are not float64. Groups repeat
    for the same seed but for rounding, in an order that does not hang on it. Raises ValueError
    unless 1 <= k <= N.
    Lloyd (1982), Least squares quantization in PCM; scikit-learn's, with as many threads as torch.
    """
    found = _fitted(_checked(points), k, seed)
    labels = torch.from_numpy(found.labels_).long()
    order = _by_size(labels, k)
    centres = torch.from_numpy(found.cluster_centers_)[order]
    return Groups(order.argsort()[labels].to(points.device), centres.to(points.device))


def stability(points: Tensor, ks: Sequence[int], draws: int = 10, seed: int = 0) -> Tensor:
    """How far groups come back from other images, for each of `ks`: (len(ks), draws), float64.

    In each draw `points` (N, D) are halved at random, the same for all k. Each half is grouped on
    its own, all images are given to the nearest centres of both, and the adjusted Rand index tells
    how far the two agree. Long clouds without groups are stable too, for the k that cut them
    across: compare with `shuffled_columns`. Raises ValueError unless 1 <= k <= N / 2 and there is
    a draw.
    Lange et al. (2004), Stability-based validation of clustering solutions; Tibshirani and Walther
    (2005), Cluster validation by prediction strength.
    """
    if draws < 1 or len(ks) == 0:
        raise ValueError(f"{draws} draws of {len(ks)} numbers of groups: give at least one of each")
    points = _checked(points)
    # Far from the origin distances to centres would lose digits.
    points = points - points.mean(0)
    halves = list(_halves(len(points), draws, seed))
    found = [[_from_halves(points, pair, int(k), seed) for pair in halves] for k in ks]
    return torch.tensor(found, dtype=torch.float64)


def best_k(ks: Sequence[int], stabilities: Tensor, least: float = STABLE) -> int:
    """The largest of `ks` whose mean stability is within a standard error of the best.

    `stabilities` (len(ks), draws) are `stability`'s. Few groups come back more easily than many:
    of those that cannot be told apart by it, the finest says most of the images. The error is that
    of the best k's mean over draws. 1 where no mean is above `least`; one group, which always comes
    back, does not compete. Raises ValueError unless there are at least two draws, all finite.
    Breiman et al. (1984), Classification and Regression Trees, section 3.4.3, for the rule.
    """
    _check_stabilities(ks, stabilities)
    several = torch.as_tensor(ks, device=stabilities.device) > 1
    means = stabilities.mean(1).where(several, -torch.inf)
    best = means.argmax()
    error = stabilities[best].std() / stabilities.shape[1] ** 0.5
    fit = (means >= means[best] - error) & (means > least)
    return max((int(k) for k, good in zip(ks, fit.tolist(), strict=True) if good), default=1)


def choose_k(points: Tensor, ks: Sequence[int], draws: int = 10, seed: int = 0) -> Choice:
    """How many groups `points` (N, D) are worth cutting into, beyond what any cloud is.

    `best_k` of the stability less that of `shuffled_columns`, a control without groups. Where it is
    nowhere above the control, the k with the least loss, as something must be drawn: see `gain`.
    Raises ValueError as `stability` and `best_k`.
    """
    stable = stability(points, ks, draws, seed)
    control = stability(shuffled_columns(points, seed), ks, draws, seed)
    gains = stable - control
    k = best_k(ks, gains, least=0.0)
    k = k if k in ks else int(ks[int(gains.mean(1).argmax())])
    return Choice(k, gains[list(ks).index(k)].mean().item(), stable, control)


def typical(points: Tensor, groups: Groups, count: int = 20) -> Tensor:
    """The images nearest to the centre of their group, nearest first: (k, count) int64 indices.

    -1 where a group has fewer. Twenty as deepViz kept. Raises ValueError where `groups` are not
    of these `points` (N, D), or for a count below 1.
    """
    points, (labels, centres) = _checked(points), groups
    if labels.shape != points.shape[:1] or centres.shape[1:] != points.shape[1:]:
        shapes = f"{tuple(labels.shape)} and {tuple(centres.shape)}"
        raise ValueError(f"groups of {shapes}, points of {tuple(points.shape)}: give their own")
    if count < 1:
        raise ValueError(f"count is {count}: give at least 1")
    order = (points - centres.to(points)[labels]).norm(dim=1).argsort(stable=True)
    rows = labels.new_full((len(centres), count), -1)
    for row, group in zip(rows, range(len(centres)), strict=True):
        nearest = order[labels[order] == group][:count]
        row[: len(nearest)] = nearest
    return rows


def match(before: Tensor, after: Tensor) -> Tensor:
    """Which group of `after` (N,) each group of `before` (N,) has become: (groups before,) int64.

    One to one, so that as many images as possible stay; -1 for a group that has no counterpart
    left, or none with an image of its own. Raises ValueError for labels that are not (N,) whole
    numbers from 0. Kuhn (1955), The Hungarian method for the assignment problem.
    """
    shared = _shared(before, after)
    rows, columns = map(torch.from_numpy, linear_sum_assignment(shared.numpy(), maximize=True))
    matched = torch.full((len(shared),), -1)
    matched[rows] = columns.where(shared[rows, columns] > 0, -1)
    return matched.to(before.device)


def persistence(labels: Tensor) -> Persistence:
    """Whether groups `labels` (E, N) of the same images at E points of training stay.

    The share of images that stay in the matched group (see `match`) is well above 0 by chance
    too; the adjusted Rand index is not. Raises ValueError as `match`, and for less than two points.
    """
    if labels.ndim != 2 or len(labels) < 2:
        raise ValueError(f"labels have shape {tuple(labels.shape)}: give (E, N), E at least 2")
    stays = torch.tensor([_staying(*pair) for pair in pairwise(labels)], dtype=torch.float64)
    to_next, to_last = adjusted_rand(labels[:-1], labels[1:]), adjusted_rand(labels, labels[-1])
    return Persistence(stays.to(labels.device), to_next, to_last)


def settled(predicted: Tensor, at_least: int = 1) -> Tensor:
    """The point of training from which on a prediction never changes again: (N,) int64, 0..E-1.

    `predicted` (E, N) are the classes of N images at E points. E, for not settled, where the last
    one has held for fewer than `at_least` points. Raises ValueError unless 1 <= at_least <= E.
    """
    points = len(predicted)
    if predicted.ndim != 2 or not 1 <= at_least <= points:
        shape = tuple(predicted.shape)
        raise ValueError(f"predictions {shape}, at least {at_least}: give (E, N), and 1 to E")
    changed = predicted != predicted[-1]
    since = (changed * torch.arange(1, points + 1, device=predicted.device)[:, None]).amax(0)
    return since.where(since <= points - at_least, points)


def image_features(images: Tensor) -> dict[str, Tensor]:
    """What the pixels of `images`, uint8 (N, H, W, 3), are like as a whole: (N,) float64 each.

    red, green, blue: means over pixels, as shares of full scale, 0..1;
    brightness: mean luma (0.299 red + 0.587 green + 0.114 blue), 0..1;
    saturation: mean of HSV's, (max - min) / max of a pixel's three, 0..1, 0 for black;
    edge density: share of pixels, 0..1, where the gradient of luma (central differences, one-sided
    at the border) is longer than a tenth of full scale per pixel: to compare at one size only.
    Raises ValueError for other images, none, or ones of less than 2 x 2 pixels.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {tuple(images.shape)}: uint8 (N, H, W, 3)")
    if min(images.shape[1:3]) < 2 or len(images) == 0:
        raise ValueError(f"images have shape {tuple(images.shape)}: give some of at least 2 x 2")
    blocks = [_features(block.double()) for block in images.split(BLOCK)]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def mean_colour(images: Tensor) -> Tensor:
    """Red, green and blue of `image_features`: (N, 3) float64. Raises ValueError as that does."""
    features = image_features(images)
    return torch.stack([features[name] for name in ("red", "green", "blue")], 1)


def distinguish(features: Mapping[str, Tensor], labels: Tensor) -> list[Effect]:
    """What sets each group of `labels` (N,) apart from all others, by group and feature.

    `features` are (N,) each, such as `image_features`; a data frame of the list has a column for
    each number. An effect size is no test, and groups that were made from the same features differ
    in them. Raises ValueError for a single group, and for features not (N,) or not finite.
    """
    groups = labels.unique()
    if labels.ndim != 1 or len(groups) < 2:
        raise ValueError(f"labels {tuple(labels.shape)} of {len(groups)} groups: give (N,), of two")
    for name, values in features.items():
        if values.shape != labels.shape:
            raise ValueError(f"{name} is {tuple(values.shape)}: give {tuple(labels.shape)}")
    members = [(int(group), labels == group) for group in groups]
    return [
        _effect(group, name, values, own.to(values.device))
        for group, own in members
        for name, values in features.items()
    ]


def groups_within(points: Tensor, labels: Tensor, k: int, seed: int = 0) -> Tensor:
    """The group of each image among those of its own class: (N,) int64, 0 the class's largest.

    `group_images` of each class by itself, into `k` groups, or as many as it has images. Raises
    ValueError for labels that are not (N,).
    """
    if labels.shape != points.shape[:1]:
        raise ValueError(f"labels are {tuple(labels.shape)}: give one for each of {len(points)}")
    groups = torch.empty(len(points), dtype=torch.int64, device=points.device)
    for label in labels.unique():
        own = (labels == label).nonzero().flatten().to(points.device)
        groups[own] = group_images(points[own], min(k, len(own)), seed).labels
    return groups


def agreement_within(a: Tensor, b: Tensor, labels: Tensor, fewest: int = 10) -> Tensor:
    """Adjusted Rand index of groupings `a` and `b` (..., N) within each class, their mean: (...).

    Classes of less than `fewest` images are left out; NaN where all are.
    """
    classes = [labels == label for label in labels.unique() if (labels == label).sum() >= fewest]
    if not classes:
        shape = torch.broadcast_shapes(a.shape, b.shape)[:-1]
        return torch.full(shape, torch.nan, dtype=torch.float64, device=a.device)
    return torch.stack([adjusted_rand(a[..., own], b[..., own]) for own in classes]).mean(0)


def in_small_groups(groups: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether an image is in a group with less than an even share of its class: (N,) bool.

    `groups` (N,) are `groups_within`'s of `labels` (N,), in `k` groups: an even share is 1 / k.
    Raises ValueError where there are more groups than `k`.
    """
    # Beyond k they would be taken for those of the next class.
    if (groups >= k).any():
        raise ValueError(f"groups up to {groups.max()} of {k}: give the k they were made with")
    both = labels * k + groups
    sizes, of_class = both.bincount(), labels.bincount()
    return sizes[both] < of_class[labels] / k


def shuffled_within(labels: Tensor, seed: int = 0) -> Tensor:
    """An order of the images (N,) that puts each in the place of another of its class.

    The control for what an image has to do with something beyond its class: `values[order]` keeps
    what classes have of it.
    """
    generator, here = torch.Generator().manual_seed(seed), labels.cpu()
    order = torch.arange(len(here))
    for label in here.unique():
        own = (here == label).nonzero().flatten()
        order[own] = own[torch.randperm(len(own), generator=generator)]
    return order.to(labels.device)


def shuffled_columns(points: Tensor, seed: int = 0) -> Tensor:
    """`points` (N, D) with each column in a random order of its own: a control without groups.

    Each number keeps its values, and loses what it has to do with the others. Groups that a single
    column shows by itself stay.
    """
    generator = torch.Generator().manual_seed(seed)
    columns = [column[_order(len(points), generator, column)] for column in points.T]
    return torch.stack(columns, 1)


def _fitted(points: Tensor, k: int, seed: int) -> KMeans:
    if not 1 <= k <= len(points):
        raise ValueError(f"{k} groups of {len(points)} images: give 1 to {len(points)}")
    return k_means(points.cpu().numpy(), k, BEGINNINGS, seed)


def _by_size(labels: Tensor, k: int) -> Tensor:
    """The groups in order: the largest first, of equally large ones that with the first image."""
    count = len(labels)
    sizes = labels.bincount(minlength=k)
    first = sizes.new_full((k,), count).scatter_reduce(0, labels, torch.arange(count), "amin")
    return (sizes * (count + 1) - first).argsort(descending=True, stable=True)


def _halves(count: int, draws: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        order = torch.randperm(count, generator=generator)
        yield order[: count // 2], order[count // 2 :]


def _from_halves(points: Tensor, halves: tuple[Tensor, Tensor], k: int, seed: int) -> float:
    """Adjusted Rand index of all `points` (N, D) by the centres of either half."""
    found = [_nearest_centre(points, _fitted(points[half], k, seed)) for half in halves]
    return adjusted_rand(*found).item()


def _nearest_centre(points: Tensor, fitted: KMeans) -> Tensor:
    centres = torch.from_numpy(fitted.cluster_centers_).to(points)
    return torch.cdist(points, centres).argmin(1)


def _shared(before: Tensor, after: Tensor) -> Tensor:
    """How many images are in a group `before` and a group `after`: (groups, groups) on the CPU."""
    before, after = _checked_labels(before), _checked_labels(after)
    if len(before) != len(after):
        raise ValueError(f"labels of {len(before)} and {len(after)} images: give the same ones")
    shape = int(before.max()) + 1, int(after.max()) + 1
    cells = before * shape[1] + after
    return cells.bincount(minlength=shape[0] * shape[1]).reshape(shape)


def _staying(before: Tensor, after: Tensor) -> float:
    return (match(before, after)[before.long()] == after).double().mean().item()


def _features(images: Tensor) -> dict[str, Tensor]:
    """Features of `images` (N, H, W, 3), float64, 0..255."""
    luma = images @ images.new_tensor(LUMA)
    colours = (images.mean((1, 2)) / 255).unbind(1)
    return {
        **dict(zip(("red", "green", "blue"), colours, strict=True)),
        "brightness": luma.mean((1, 2)) / (255 * sum(LUMA)),
        "saturation": _saturation(images).mean((1, 2)),
        "edge density": _on_edge(luma).double().mean((1, 2)),
    }


def _saturation(images: Tensor) -> Tensor:
    least, most = images.aminmax(dim=3)
    return (most - least) / most.clamp(min=1)


def _on_edge(luma: Tensor) -> Tensor:
    """Pixels of `luma` (N, H, W), in thousandths of a grey level, where it changes steeply."""
    down, right = torch.gradient(luma, dim=(1, 2))
    # Halves of whole numbers, and below 2^53: squares are exact where hypotenuses are rounded.
    return down**2 + right**2 > (EDGE * 255 * sum(LUMA)) ** 2


def _effect(group: int, name: str, values: Tensor, own: Tensor) -> Effect:
    inside, outside = values[own], values[~own]
    means = (part.double().mean().item() for part in (inside, outside))
    return Effect(group, name, cliffs_delta(inside, outside), *means)


def _order(count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randperm(count, generator=generator).to(like.device)


def _checked(points: Tensor) -> Tensor:
    # No wider than need be: k-means takes nearly twice as long in float64.
    return checked_points(points, torch.promote_types(points.dtype, torch.float32))


def _checked_labels(labels: Tensor) -> Tensor:
    if labels.ndim != 1 or len(labels) == 0 or labels.is_floating_point() or labels.min() < 0:
        raise ValueError(f"labels {labels.dtype} {tuple(labels.shape)}: give (N,) numbers from 0")
    return labels.cpu().long()


def _check_stabilities(ks: Sequence[int], stabilities: Tensor) -> None:
    shape = tuple(stabilities.shape)
    if len(shape) != 2 or shape[0] != len(ks) or len(ks) == 0 or shape[1] < 2:
        raise ValueError(f"stabilities {shape} of {len(ks)} k: give (K, draws), two draws or more")
    if not stabilities.isfinite().all():
        raise ValueError("stabilities hold NaN or infinity: give those of `stability`")
