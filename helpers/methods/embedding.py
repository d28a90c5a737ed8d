"""Maps of images, and how true a map is to what it was made of.

Points (N, D) are images described by D numbers each: pixels in one row, the outputs of a layer, or
places on a map (D = 2). Distances are Euclidean and computed in float64. Points that are not
(N, D), or that hold NaN or infinity, raise ValueError everywhere.
"""

import copy
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy
import scipy.linalg
import torch
from torch import Tensor

from .agreement import adjusted_rand
from .kmeans import k_means, threads_for
from .neighbours import check_range, checked_points, mostly_alike, nearest, to_others
from .statistics import check_classes

if TYPE_CHECKING:
    from openTSNE.affinity import Affinities

# Columns that t-SNE is given, by principal components where there are more.
COLUMNS = 50


def pca(points: Tensor, components: int) -> Tensor:
    """Projections of `points` (N, D) on their principal components, largest first: (N, components).

    Centred, not scaled, float32. Exact: an eigendecomposition in float64 of the smaller of (D, D)
    and (N, N), on the CPU, with 16 bytes per number of `points`. The sign of a component makes its
    projection of largest size positive. Raises ValueError unless 1 <= components <= min(N, D).
    Jolliffe (2002), Principal Component Analysis, chapter 3.
    """
    points = checked_points(points)
    check_range("components", components, min(points.shape))
    # numpy halves the work of a matrix times itself, scipy finds the few vectors asked for alone.
    centred = (points - points.mean(0)).cpu().numpy()
    if len(centred) < centred.shape[1]:
        values, vectors = _largest_eigen(centred @ centred.T, components)
        placed = vectors * numpy.sqrt(values.clip(0))
    else:
        placed = centred @ _largest_eigen(centred.T @ centred, components)[1]
    largest = numpy.take_along_axis(placed, abs(placed).argmax(0)[None], 0)
    placed *= numpy.where(largest < 0, -1, 1)
    return torch.from_numpy(placed.astype(numpy.float32)).to(points.device)


def tsne(
    points: Tensor,
    seeds: Sequence[int] = (0,),
    perplexity: float = 30.0,
    start: Literal["pca", "random"] = "pca",
    say: Callable[[str], None] = print,
) -> Tensor:
    """t-SNE maps of `points` (N, D), one per seed: (seeds, N, 2), float32, by openTSNE.

    All maps share one exact search for neighbours, among 50 principal components where D is more.
    A start from "pca" gives all seeds the same rough layout (they jitter it by 1 %), "random" does
    not. A perplexity above (N - 1) / 3 is lowered to that, and said; so are the seconds of each
    map. A map repeats for the same seed, machine and `torch.get_num_threads()`: it takes that many
    threads, or one more than thousands of points where those are fewer. Raises ValueError for
    fewer than 4 points or 2 columns, no seeds, a perplexity below 1, or another start.
    van der Maaten and Hinton (2008), Visualizing data using t-SNE; Policar et al. (2024), openTSNE.
    """
    points = _columns(points)
    if start not in ("pca", "random") or not seeds:
        raise ValueError(f"start {start!r}, seeds {seeds!r}: give 'pca' or 'random', and a seed")
    affinities = _affinities(points, _fitting(perplexity, len(points), say))
    layout = pca(points, 2).cpu().double() if start == "pca" else torch.zeros(len(points), 2)
    maps = [_map(affinities, _beginning(layout, seed), seed, say) for seed in seeds]
    return torch.stack(maps).to(points.device)


def aligned_maps(
    points: Sequence[Tensor],
    seed: int = 0,
    perplexity: float = 30.0,
    say: Callable[[str], None] = print,
) -> Tensor:
    """A t-SNE map of the same N images at each of E points of training: (E, N, 2), float32.

    `points` holds (N, D) for each. Every map starts where the one before it ended, the first from
    the principal components: images keep their places as far as they can. That is made, not
    found, so nothing may be measured on it. Raises ValueError as `tsne`, and for unequal N.
    """
    if len({len(each) for each in points}) != 1:
        raise ValueError(f"points of {[len(each) for each in points]} images: give the same images")
    points = [_columns(each) for each in points]
    layout, maps = pca(points[0], 2), []
    for each in points:
        affinities = _affinities(each, _fitting(perplexity, len(each), say))
        # Pulling groups together first, as t-SNE does, would turn and shuffle a map that is one.
        pulled = {"early_exaggeration_iter": 0} if maps else {}
        layout = _map(affinities, _beginning(layout.cpu().double(), seed), seed, say, **pulled)
        maps.append(layout)
    return torch.stack(maps).to(points[0].device)


def trustworthiness(points: Tensor, placed: Tensor, k: int = 12) -> float:
    """How far neighbours on a map are neighbours in truth: 0..1, 1 where the k nearest all are.

    `placed` (N, 2) is the map of `points` (N, D); a neighbour that is not among the k nearest
    counts against the map by its rank. About 0.5 for a map that is chance. Memory as `nearest`.
    Raises ValueError unless 1 <= k < N / 2 and both have the same N.
    Venna and Kaski (2001), Neighborhood preservation in nonlinear projection methods.
    """
    points, n = checked_points(points), len(points)
    if len(placed) != n:
        raise ValueError(f"{n} points and {len(placed)} places on the map: give one of each")
    check_range("k", k, (n - 1) // 2)
    near = nearest(placed, k).indices.to(points.device)
    intrusion = sum(
        (_nearer(squared, near[rows]) - k + 1).clamp(min=0).sum()
        for rows, squared in to_others(points)
    ).item()
    return 1 - 2 * intrusion / (n * k * (2 * n - 3 * k - 1))


def knn_accuracy(points: Tensor, labels: Tensor, k: int = 12) -> Tensor:
    """Whether most of each point's k nearest others have its label: (N,) bool.

    Of labels that are equally frequent the one with the nearest point counts. Raises ValueError
    unless 1 <= k < N and `labels` are (N,).
    """
    _check_labels(points, labels)
    return mostly_alike(nearest(points, k).indices, labels)


def map_quality(points: Tensor, placed: Tensor, labels: Tensor, k: int = 12) -> dict[str, float]:
    """How true a map `placed` (N, 2) of `points` (N, D) is, and what it tells of classes.

    trustworthiness; the share of images whose `k` nearest are mostly of their class; the adjusted
    Rand index of k-means on the coordinates, with as many clusters as classes, and the classes.
    """
    clusters = k_means(placed.cpu().numpy(), len(labels.unique()), beginnings=3).labels_
    return {
        "trustworthiness": trustworthiness(points, placed, k),
        "neighbours right": knn_accuracy(placed, labels, k).double().mean().item(),
        "k-means": adjusted_rand(torch.from_numpy(clusters), labels.cpu()).item(),
    }


def centroid_distances(points: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Distances of the mean points of classes: (classes, classes), float64.

    NaN for a class without points, its diagonal included. Raises ValueError unless `labels` are
    (N,) whole numbers from 0 to classes - 1.
    """
    points = checked_points(points)
    _check_labels(points, labels)
    check_classes(labels, classes)
    labels = labels.to(points.device).long()
    sums = points.new_zeros(classes, points.shape[1]).index_add_(0, labels, points)
    centroids = sums / labels.bincount(minlength=classes)[:, None]
    # By matrix product a distance to itself would not be zero.
    return torch.cdist(centroids, centroids, compute_mode="donot_use_mm_for_euclid_dist")


def _nearer(squared: Tensor, others: Tensor) -> Tensor:
    """How many points are nearer than each of `others` (b, k), from distances (b, N): (b, k)."""
    columns = squared.gather(1, others).split(1, dim=1)
    return torch.stack([(squared < column).count_nonzero(1) for column in columns], dim=1)


def _largest_eigen(matrix: numpy.ndarray, count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The `count` largest eigenvalues of a symmetric matrix and their vectors, largest first."""
    n = len(matrix)
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=(n - count, n - 1))
    return values[::-1], vectors[:, ::-1]


def _columns(points: Tensor) -> Tensor:
    """What a map is made from: `points` (N, D), by principal components where D is large."""
    points = checked_points(points)
    if len(points) < 4 or points.shape[1] < 2:
        raise ValueError(f"points have shape {tuple(points.shape)}: a map needs at least (4, 2)")
    return pca(points, min(COLUMNS, len(points))) if points.shape[1] > COLUMNS else points


def _fitting(perplexity: float, n: int, say: Callable[[str], None]) -> float:
    """The perplexity, or the largest one whose threefold of neighbours `n` points have."""
    if not perplexity >= 1:
        raise ValueError(f"perplexity is {perplexity}: give at least 1, such as 30")
    most = (n - 1) / 3
    if perplexity > most:
        say(f"t-SNE of {n:,} images: perplexity {most:.1f}, as {perplexity:g} needs more images")
    return min(perplexity, most)


def _affinities(points: Tensor, perplexity: float) -> "Affinities":
    # Imported here: the rest of this module does without, and it takes a second.
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    near = nearest(points, min(len(points) - 1, round(3 * perplexity)))
    index = PrecomputedNeighbors(near.indices.int().cpu().numpy(), near.distances.cpu().numpy())
    jobs = threads_for(len(points))
    return PerplexityBasedNN(knn_index=index, perplexity=perplexity, n_jobs=jobs)


def _beginning(layout: Tensor, seed: int) -> Tensor:
    """Where points start: `layout` (N, 2) at a deviation of 1e-4 with jitter, or jitter alone."""
    deviation = layout[:, 0].std(correction=0)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(layout.shape, generator=generator, dtype=torch.float64)
    return layout / deviation * 1e-4 + noise * 1e-6 if deviation > 0 else noise * 1e-4


def _map(
    affinities: "Affinities", beginning: Tensor, seed: int, say: Callable[[str], None], **options
) -> Tensor:
    from openTSNE import TSNE

    began = time.perf_counter()
    optimiser = TSNE(n_jobs=affinities.n_jobs, initialization=beginning.numpy(), **options)
    # openTSNE scales affinities in place and back, which rounds them: a map would depend on others.
    found = optimiser.fit(affinities=copy.deepcopy(affinities))
    placed = numpy.asarray(found, dtype=numpy.float32)
    seconds = time.perf_counter() - began
    say(f"t-SNE of {len(placed):,} images, seed {seed}: {seconds:.0f} s")
    return torch.from_numpy(placed)


def _check_labels(points: Tensor, labels: Tensor) -> None:
    if labels.shape != points.shape[:1]:
        raise ValueError(f"labels {tuple(labels.shape)}, points {tuple(points.shape)}: need (N,)")
