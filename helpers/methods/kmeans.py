"""k-means by scikit-learn, and how many threads such small sums are worth."""

import warnings

import numpy
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

# Limits the libraries that are loaded by now, so it stands behind scikit-learn.
THREADS = ThreadpoolController()


def threads_for(count: int) -> int:
    """Threads for `count` points: with few they mostly wait, on a busy machine for seconds."""
    return min(torch.get_num_threads(), 1 + count // 1000)


def k_means(points: numpy.ndarray, k: int, beginnings: int, seed: int = 0) -> KMeans:
    """The best of so many fits of k clusters to `points` (N, D).

    Says nothing of fewer than k unlike points, which make fewer clusters.
    """
    with warnings.catch_warnings(), THREADS.limit(limits=threads_for(len(points))):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(k, n_init=beginnings, random_state=seed).fit(points)
