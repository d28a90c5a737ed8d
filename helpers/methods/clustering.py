"""Clusters of classes from a matrix of distances: which, how many, and how stable.

A matrix (C, C) of a few classes gives labels (C,), int64, numbered by first appearance: class 0 is
in cluster 0, so that equal clusterings have equal labels. Distances must be symmetric, finite, at
least 0, and 0 on the diagonal, else ValueError; so is a number of clusters outside 1..C. All of
this happens in float64 on the CPU, where results are too, but for the labels of a method, which
are on the device of its matrix. C classes are C points, however many images stand behind them.
"""

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import SpectralClustering
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .agreement import adjusted_rand
from .kmeans import THREADS, k_means
from .statistics import Interval, batches, pairwise_interval, permutation_p

# Sets of medoids that are all tried; where there are more, PAM looks for the best.
SETS = 5000
# Clusters are looked for up to this k: a hundred classes need no hundred clusterings.
MOST_CLUSTERS = 12
# What rounding may do to a matrix that is symmetric with a zero diagonal, in shares of its largest.
ROUNDING = 1e-6


class ByK(NamedTuple):
    """Clusterings into each number of clusters `ks` (K,): 2 to C - 1, at most `MOST_CLUSTERS`.

    `labels` (K, C) int64; `silhouettes` (K,) of these; `stabilities` (K,), the mean adjusted Rand
    index between these and the clusterings of resampled matrices.
    """

    ks: Tensor
    silhouettes: Tensor
    stabilities: Tensor
    labels: Tensor


class OneCluster(NamedTuple):
    """The largest `silhouette` over k, the 95 % point of it without clusters, and the p value."""

    silhouette: float
    threshold: float
    p: float


def k_means_rows(matrix: Tensor, k: int, seed: int = 0) -> Tensor:
    """k-means that takes the rows of `matrix` (C, C) for features, as post A does: labels (C,).

    What it compares are not the distances: two rows differ by their distance to each other twice,
    and by all others. The matrix needs to be square and finite only. Fewer than k unlike rows give
    fewer than k clusters. Lloyd (1982), Least squares quantization in PCM; scikit-learn's.
    """
    rows = _checked_square(matrix)
    _check_k(k, len(rows))
    return _in_order(k_means(rows.numpy(), k, beginnings=10, seed=seed).labels_, matrix)


def average_linkage(distances: Tensor, k: int, seed: int = 0) -> Tensor:
    """The k clusters (C,) that `linkage_tree` has before its last k - 1 merges.

    Nothing in it is random: `seed` is there so that all of METHODS are called alike.
    Sokal and Michener (1958), A statistical method for evaluating systematic relationships.
    """
    tree = linkage_tree(distances)
    _check_k(k, len(distances))
    labels = torch.arange(len(distances))
    for merge, (first, second) in enumerate(tree[: len(distances) - k, :2].tolist()):
        labels[(labels == first) | (labels == second)] = len(distances) + merge
    return _in_order(labels, distances)


def linkage_tree(distances: Tensor) -> Tensor:
    """Average-linkage tree of `distances` (C, C), as scipy has it: (C - 1, 4) float64.

    A row is a merge: its two clusters (C + row for the one that a row made), their mean distance,
    and the number of classes in it. Raises ValueError for fewer than two classes.
    """
    checked = _checked_distances(distances)
    if len(checked) < 2:
        raise ValueError("distances of one class: a tree needs at least two")
    tree = linkage(squareform(checked.numpy(), checks=False), "average")
    return torch.from_numpy(tree)


def spectral(distances: Tensor, k: int, seed: int = 0) -> Tensor:
    """Spectral clustering (C,) on the affinity exp(-d^2 / 2 s^2), s the median distance of pairs.

    Ng, Jordan and Weiss (2001), On spectral clustering: analysis and an algorithm, and von
    Luxburg (2007), A tutorial on spectral clustering; scikit-learn's.
    """
    checked = _checked_distances(distances)
    _check_k(k, len(checked))
    if k in (1, len(checked)):  # no eigenvectors needed, and too few for the solver
        return _in_order(torch.arange(len(checked)) * (k > 1), distances)
    # A handful of classes needs no second thread, which on a busy machine takes many times as long.
    with warnings.catch_warnings(), THREADS.limit(limits=1):
        # Of groups that are far apart, and of classes at no distance: neither changes the answer.
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        warnings.simplefilter("ignore", ConvergenceWarning)
        method = SpectralClustering(k, affinity="precomputed", random_state=seed)
        labels = method.fit_predict(_affinity(checked).numpy())
    return _in_order(labels, distances)


def k_medoids(distances: Tensor, k: int, seed: int = 0) -> Tensor:
    """Clusters (C,) around the k classes that leave the least sum of distances to the nearest.

    The best of all sets of k classes where there are at most 5,000, else PAM's, which no exchange
    of one medoid improves. Nothing in it is random: `seed` is there as in `average_linkage`.
    Kaufman and Rousseeuw (1990), Finding Groups in Data, chapter 2.
    """
    checked = _checked_distances(distances)
    _check_k(k, len(checked))
    few = math.comb(len(checked), k) <= SETS
    medoids = _best_set(checked, k) if few else _pam(checked, k)
    labels = checked[:, medoids].argmin(1)
    labels[medoids] = torch.arange(k)  # its own also where another medoid is at distance 0
    return _in_order(labels, distances)


METHODS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "k-means on rows": k_means_rows,
    "average linkage": average_linkage,
    "spectral": spectral,
    "k-medoids": k_medoids,
}


def silhouette(distances: Tensor, labels: Tensor) -> float:
    """Mean silhouette, -1..1, of the clusters `labels` (C,): near 1 where they are far apart.

    A class alone in its cluster counts 0, and so does one at no distance from any other. NaN for a
    single cluster, which has nothing to be far from. Raises ValueError unless there is one label
    per class. Rousseeuw (1987), Silhouettes: a graphical aid.
    """
    checked = _checked_distances(distances)
    if labels.shape != checked.shape[:1]:
        raise ValueError(f"labels of shape {tuple(labels.shape)}: give one for each class")
    own = labels.cpu().unique(return_inverse=True)[1]
    if own.max() == 0:
        return math.nan
    members = torch.nn.functional.one_hot(own).double()
    return _silhouettes((checked @ members)[None], members.sum(0)[None], own[None]).item()


def consensus(labels: Tensor) -> Tensor:
    """Share of the clusterings `labels` (R, C) that have two classes together: (C, C) float64.

    Raises ValueError where there is no clustering. Monti et al. (2003), Consensus clustering.
    """
    if labels.ndim != 2 or len(labels) == 0:
        raise ValueError(f"labels of shape {tuple(labels.shape)}: give (R, C), R at least 1")
    return (labels[:, :, None] == labels[:, None]).double().mean(0)


def by_k(
    distances: Tensor,
    draws: Tensor,
    cluster: Callable[[Tensor, int, int], Tensor],
    seed: int = 0,
) -> ByK:
    """What `cluster`, one of METHODS, makes of `distances` (C, C), for each k of `ByK`.

    `draws` (R, C, C) are the same distances from resampled images. Empty for two classes. Raises
    ValueError where a draw is no matrix of distances (say, of a resample that left a class
    without images) or has other classes.
    """
    if draws.ndim != 3 or len(draws) == 0 or draws.shape[1:] != distances.shape:
        expected = ("R", *distances.shape)
        raise ValueError(f"draws have shape {tuple(draws.shape)}: give {expected}, R at least 1")
    distances, draws, ks = distances.cpu(), draws.cpu(), _ks(len(distances))
    labels = _for_each(ks, distances, cluster, seed)
    drawn = torch.stack([_for_each(ks, draw, cluster, seed) for draw in draws])
    silhouettes = torch.tensor([silhouette(distances, each) for each in labels]).double()
    return ByK(ks, silhouettes, adjusted_rand(drawn, labels).mean(0), labels)


def one_cluster_test(distances: Tensor, permutations: int = 999, seed: int = 0) -> OneCluster:
    """Are there clusters at all? A small p says that `distances` (C, C) are not of one cluster.

    The statistic is the largest silhouette that average linkage reaches over k. Without clusters,
    a distance is the sum of what its two classes add and of noise: the residuals of that fit (by
    least squares) are permuted over pairs, freed of what they then add to classes, given their
    old sum of squares, and put back; then the distances themselves take the places of these
    numbers, by rank, so that the null matrices hold the same distances and none below 0.
    In simulations of ten classes without clusters p is below 0.05 in 1 to 12 % (independent
    distances 3 to 8, class effects 1, points in nine dimensions 11), and in a quarter where most
    distances are nearly 0. Not found are a family beside classes all apart, as a class alone
    counts 0, and families of nearly no distance within, as pairs of these look as tight.
    p is 1, and the threshold NaN, for fewer than four classes: too few pairs to tell. The
    silhouette is NaN for two. Raises ValueError for no permutations.
    After Freedman and Lane (1983), A nonstochastic interpretation of reported significance levels,
    and Theiler et al. (1992), Testing for nonlinearity in time series.
    """
    if permutations < 1:
        raise ValueError(f"{permutations} permutations: give at least 1, better 999")
    checked = _checked_distances(distances)
    best = _best_silhouettes(checked[None]).item()
    if len(checked) < 4:
        return OneCluster(best, math.nan, 1.0)
    draws = _null_silhouettes(checked, permutations, seed)
    return OneCluster(best, draws.quantile(0.95).item(), permutation_p(best, draws))


def best_k(table: ByK, stable: float = 0.8) -> int:
    """Of the k whose stability is at least `stable`, the one with the largest silhouette.

    The smaller k where two have it, and 1 where no clustering is stable.
    """
    fit = (table.stabilities >= stable) & table.silhouettes.isfinite()
    if not fit.any():
        return 1
    return int(table.ks[table.silhouettes.where(fit, -math.inf).argmax()])


def with_every_method(distances: Tensor, draws: Tensor) -> dict[str, ByK]:
    """`by_k` of the mean of `distances` (S, C, C) for each of METHODS; `draws` are (..., C, C)."""
    mean, draws = distances.mean(0), draws.reshape(-1, *distances.shape[1:])
    return {name: by_k(mean, draws, cluster) for name, cluster in METHODS.items()}


def cluster_each(
    distances: Tensor, cluster: Callable[[Tensor, int, int], Tensor], k: int
) -> Tensor:
    """The labels (R, C) that `cluster`, one of METHODS, gives to each of `distances` (R, C, C)."""
    return torch.stack([cluster(each, k, 0) for each in distances])


def comes_back(draws: Tensor, cluster: Callable[[Tensor, int, int], Tensor], k: int) -> Tensor:
    """How well the clusters of each of S nets are those of the other nets: (S,) float64.

    `draws` (S, R, C, C) are each net's distances from resampled images; the mean adjusted Rand
    index of their clusterings with that of the mean distances of the other nets. Raises ValueError
    for a single net.
    """
    if draws.ndim != 4 or len(draws) < 2:
        raise ValueError(f"draws have shape {tuple(draws.shape)}: give (S, R, C, C), S at least 2")
    nets = draws.mean(1)
    others = [cluster((nets.sum(0) - own) / (len(nets) - 1), k) for own in nets]
    found = torch.stack([cluster_each(own, cluster, k) for own in draws])
    return adjusted_rand(found, torch.stack(others)[:, None]).mean(1)


def best_clusters(distances: Tensor) -> Tensor:
    """Average linkage of `distances` (C, C) at the k with the largest silhouette: labels (C,).

    One cluster where there are two classes, and no k to choose from.
    """
    cuts = [average_linkage(distances, int(k)) for k in _ks(len(distances))]
    one = torch.zeros(len(distances), dtype=torch.int64)
    return max(cuts, key=lambda cut: silhouette(distances, cut), default=one)


def clusters_between_nets(distances: Tensor) -> Interval:
    """Adjusted Rand index between the best clusters of two nets, of all pairs of S nets.

    `distances` (S, C, C); the interval is `pairwise_interval`'s.
    """
    best = torch.stack([best_clusters(each) for each in distances])
    return pairwise_interval(adjusted_rand(best[:, None], best))


def _ks(classes: int) -> Tensor:
    return torch.arange(2, max(2, min(classes, MOST_CLUSTERS + 1)))


def _for_each(ks: Tensor, distances: Tensor, cluster: Callable, seed: int) -> Tensor:
    """Labels (K, C) of `distances` for each of `ks`."""
    labels = [cluster(distances, k, seed) for k in ks.tolist()]
    return torch.stack(labels) if labels else torch.empty(0, len(distances)).long()


def _affinity(distances: Tensor) -> Tensor:
    pairs = squareform(distances.numpy(), checks=False)
    # Where most pairs are at no distance, only these are alike.
    scale = max(float(numpy.median(pairs)), torch.finfo(distances.dtype).tiny)
    return (-0.5 * (distances / scale) ** 2).exp()


@lru_cache(maxsize=16)
def _sets(count: int, k: int) -> Tensor:
    """All sets of `k` of `count` classes: (count over k, k)."""
    return torch.tensor(list(combinations(range(count), k)))


def _best_set(distances: Tensor, k: int) -> Tensor:
    sets = _sets(len(distances), k)
    return sets[distances[:, sets].amin(-1).sum(0).argmin()]


def _pam(distances: Tensor, k: int) -> Tensor:
    """Medoids (k,): those that help most one after the other, then exchanged while that helps."""
    medoids = torch.empty(0, dtype=torch.int64)
    nearest = torch.full_like(distances[0], distances.max())
    while len(medoids) < k:
        costs = torch.minimum(nearest[:, None], distances).sum(0)
        costs[medoids] = torch.inf
        medoids = torch.cat([medoids, costs.argmin()[None]])
        nearest = torch.minimum(nearest, distances[:, medoids[-1]])
    while (better := _exchanged(distances, medoids)) is not None:
        medoids = better
    return medoids


def _exchanged(distances: Tensor, medoids: Tensor) -> Tensor | None:
    """Medoids after the exchange of one that helps most; None where none helps."""
    others = [medoids[torch.arange(len(medoids)) != place] for place in range(len(medoids))]
    costs = torch.stack([_costs_with_one_more(distances, kept) for kept in others])
    place, new = divmod(int(costs.argmin()), len(distances))
    now = distances[:, medoids].amin(1).sum()
    if costs[place, new] >= now * (1 - 1e-12):
        return None
    return torch.cat([others[place], torch.tensor([new])])


def _costs_with_one_more(distances: Tensor, medoids: Tensor) -> Tensor:
    """Sum of distances to the nearest medoid if each class (C,) joined `medoids`."""
    return torch.minimum(distances[:, medoids].amin(1)[:, None], distances).sum(0)


def _null_silhouettes(distances: Tensor, permutations: int, seed: int) -> Tensor:
    """Largest silhouettes (permutations,) of matrices that differ from `distances` by chance."""
    generator, count = torch.Generator().manual_seed(seed), len(distances)
    residuals = _residuals(distances)
    if residuals.norm() <= ROUNDING * distances.norm():
        residuals = torch.zeros_like(residuals)  # else rounding would be taken for noise
    best = []
    for start, stop in batches(permutations, count**2):
        noise = _permuted(residuals, stop - start, generator)
        best.append(_best_silhouettes(_by_rank(distances - residuals + noise, distances)))
    return torch.cat(best)


def _by_rank(matrices: Tensor, distances: Tensor) -> Tensor:
    """`matrices` (B, C, C) with the entry of each rank replaced by the distance of that rank.

    Cut off at 0 instead, chance families would be tighter than true ones can be: 6 + 4 classes at
    0.2 within and 1 between would never be found.
    """
    first, second = torch.triu_indices(*distances.shape, 1)
    ranks = matrices[:, first, second].argsort(1).argsort(1)
    placed = torch.zeros_like(matrices)
    placed[:, first, second] = distances[first, second].sort().values[ranks]
    return placed + placed.mT


def _residuals(matrices: Tensor) -> Tensor:
    """`matrices` (..., C, C) less the sums of class effects that fit their pairs best."""
    count, sums = matrices.shape[-1], matrices.sum(-1)
    effects = (sums - sums.sum(-1, keepdim=True) / (2 * (count - 1))) / (count - 2)
    rest = matrices - effects[..., :, None] - effects[..., None, :]
    rest.diagonal(dim1=-2, dim2=-1).zero_()
    return rest


def _permuted(residuals: Tensor, times: int, generator: torch.Generator) -> Tensor:
    """Residuals permuted over pairs: (times, C, C), without class effects, as long as before."""
    first, second = torch.triu_indices(*residuals.shape, 1)
    orders = torch.rand(times, len(first), generator=generator).argsort(1)
    permuted = residuals.new_zeros(times, *residuals.shape)
    permuted[:, first, second] = residuals[first, second][orders]
    permuted = _residuals(permuted + permuted.mT)
    norms = permuted.flatten(1).norm(dim=1).clamp_min(torch.finfo(permuted.dtype).tiny)
    return permuted * (residuals.norm() / norms)[:, None, None]


def _best_silhouettes(distances: Tensor) -> Tensor:
    """Largest silhouette over k = 2..C-1 of the average linkage of each of (B, C, C): (B,).

    All matrices are merged at once: as scipy's tree and `silhouette`, but hundreds of times faster.
    """
    rows, count = torch.arange(len(distances)), distances.shape[1]
    sums, between = distances.clone(), distances.clone()
    between.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    sizes, own = torch.ones_like(sums[:, 0]), torch.arange(count).repeat(len(distances), 1)
    best = torch.full_like(sizes[:, 0], torch.nan)
    for _ in range(count - 2):
        pair = between.flatten(1).argmin(1)
        kept, gone = pair // count, pair % count
        _merge(between, sizes, rows, kept, gone)
        sums[rows, :, kept] += sums[rows, :, gone]
        own = torch.where(own == gone[:, None], kept[:, None], own)
        best = best.fmax(_silhouettes(sums, sizes, own))
    return best


def _merge(between: Tensor, sizes: Tensor, rows: Tensor, kept: Tensor, gone: Tensor) -> None:
    """Merge a pair of clusters in place: mean distances (B, C, C), infinite for those gone."""
    a, b = sizes[rows, kept][:, None], sizes[rows, gone][:, None]
    merged = (a * between[rows, kept] + b * between[rows, gone]) / (a + b)
    between[rows, kept] = between[rows, :, kept] = merged
    between[rows, gone] = between[rows, :, gone] = torch.inf
    sizes[rows, kept] += sizes[rows, gone]
    sizes[rows, gone] = 0


def _silhouettes(sums: Tensor, sizes: Tensor, own: Tensor) -> Tensor:
    """Mean silhouettes (B,), from sums of distances of points to the members of clusters (B, C, K).

    `sizes` (B, K) of clusters, 0 for those to leave out; `own` (B, C) is the cluster of a point.
    """
    mates = sizes.gather(1, own) - 1
    within = sums.gather(2, own[:, :, None])[:, :, 0] / mates
    means = (sums / sizes[:, None]).masked_fill(sizes[:, None] == 0, torch.inf)
    nearest = means.scatter(2, own[:, :, None], torch.inf).amin(2)
    each = (nearest - within) / torch.maximum(nearest, within)
    return each.nan_to_num(0).masked_fill(mates == 0, 0).mean(1)


def _in_order(labels: Tensor | numpy.ndarray, like: Tensor) -> Tensor:
    """Labels (C,) numbered by first appearance, on the device of `like`."""
    numbers: dict[int, int] = {}
    ordered = [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]
    return torch.tensor(ordered, device=like.device)


def _checked_square(matrix: Tensor) -> Tensor:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) == 0:
        raise ValueError(f"a matrix of shape {tuple(matrix.shape)}: give (C, C), one row per class")
    if not matrix.isfinite().all():
        raise ValueError("the matrix holds NaN or infinity: leave out classes without images")
    return matrix.detach().cpu().double()


def _checked_distances(matrix: Tensor) -> Tensor:
    """Distances (C, C) in float64, symmetric and zero on the diagonal to the last bit."""
    distances = _checked_square(matrix)
    within = ROUNDING * distances.abs().max()
    if (distances - distances.T).abs().max() > within:
        raise ValueError("distances differ both ways: give a symmetric matrix, as (d + d.T) / 2")
    if distances.diagonal().abs().max() > within or distances.min() < 0:
        raise ValueError("distances must be 0 from a class to itself, and nowhere below 0")
    return ((distances + distances.T) / 2).fill_diagonal_(0)


def _check_k(k: int, count: int) -> None:
    if not 1 <= k <= count:
        raise ValueError(f"{k} clusters of {count} classes: give 1 to {count}")
