import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.methods import clustering
from helpers.methods.clustering import (
    METHODS,
    ByK,
    average_linkage,
    best_clusters,
    best_k,
    by_k,
    cluster_each,
    clusters_between_nets,
    comes_back,
    consensus,
    k_means_rows,
    k_medoids,
    linkage_tree,
    one_cluster_test,
    silhouette,
    spectral,
    with_every_method,
)

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
steady = settings(derandomize=True, deadline=None, database=None, max_examples=40)
each_method = pytest.mark.parametrize("cluster", METHODS.values(), ids=METHODS)
double = torch.float64
FAMILIES = torch.tensor([0, 1, 0, 2, 1, 2, 0, 1, 2, 2])  # 3, 3 and 4 classes


def symmetric(matrix):
    return ((matrix + matrix.mT) / 2) * (1 - torch.eye(matrix.shape[-1], dtype=matrix.dtype))


def noise(count, seed=0, size=1.0):
    """Symmetric normal noise with a zero diagonal, of deviation `size` in a pair."""
    generator = torch.Generator().manual_seed(seed)
    return size * 2**0.5 * symmetric(torch.randn(count, count, generator=generator, dtype=double))


def planted(families=FAMILIES, seed=0, gap=0.5, size=0.1):
    """Distances that are shorter by `gap` within families."""
    same = families[:, None] == families
    return symmetric(1 - gap * same + noise(len(families), seed, size)).clamp_min(0)


@st.composite
def distances(draw):
    count = draw(st.integers(2, 9))
    return symmetric(1 + noise(count, draw(st.integers(0, 99)), 0.2)).clamp_min(0)


# Clusters


@each_method
@steady
@given(distances(), st.data())
def test_there_are_k_clusters_numbered_by_first_appearance(cluster, matrix, data):
    k = data.draw(st.integers(1, len(matrix)))
    labels = cluster(matrix, k, 0)
    assert labels.dtype == torch.int64
    assert list(dict.fromkeys(labels.tolist())) == list(range(k))
    assert torch.equal(cluster(matrix, k, 0), labels)


@each_method
@steady
@given(distances(), st.data())
def test_unit_of_distances_does_not_matter(cluster, matrix, data):
    k = data.draw(st.integers(1, len(matrix)))
    assert torch.equal(cluster(matrix * 1024, k, 0), cluster(matrix, k, 0))


@pytest.mark.parametrize("cluster", [average_linkage, k_medoids])
@steady
@given(distances(), st.data())
def test_order_of_classes_does_not_matter(cluster, matrix, data):
    k = data.draw(st.integers(1, len(matrix)))
    order = data.draw(st.permutations(range(len(matrix))))
    labels, again = cluster(matrix, k), cluster(matrix[order][:, order], k)
    assert torch.equal(consensus(again[None]), consensus(labels[order][None]))


@each_method
@pytest.mark.parametrize("dtype", [torch.float32, double])
@pytest.mark.parametrize("device", DEVICES)
def test_planted_families_are_found(cluster, dtype, device):
    matrix = planted().to(device, dtype)
    labels = cluster(matrix, 3, 0)
    assert labels.device.type == device
    assert torch.equal(labels.cpu(), FAMILIES)


def test_pam_finds_families_among_more_sets_than_are_tried(monkeypatch):
    families = torch.arange(120) % 5
    assert math.comb(120, 5) > clustering.SETS
    assert torch.equal(k_medoids(planted(families, size=0.05), 5), families)


def test_the_tree_of_three_classes():
    matrix = torch.tensor([[0.0, 1, 4], [1, 0, 6], [4, 6, 0]])
    assert linkage_tree(matrix).tolist() == [[0, 1, 1, 2], [2, 3, 5, 3]]


def test_k_means_on_rows_is_led_by_other_classes():
    # Class 0 is nearest to class 1, but as far as class 2 is from all the others.
    matrix = torch.tensor([[0.0, 3, 4, 9, 9], [3, 0, 9, 1, 1], [4, 9, 0, 9, 9]])
    matrix = torch.cat([matrix, torch.tensor([[9.0, 1, 9, 0, 1], [9, 1, 9, 1, 0]])])
    assert k_means_rows(matrix, 2).tolist() == [0, 1, 0, 1, 1]
    assert average_linkage(matrix, 3).tolist() == [0, 1, 2, 1, 1]


def test_k_means_takes_rows_that_are_no_distances():
    assert k_means_rows(torch.tensor([[5.0, 1], [-2, 3]]), 2).tolist() == [0, 1]


@each_method
@pytest.mark.filterwarnings("error")
def test_classes_at_no_distance_from_each_other(cluster):
    some = torch.ones(6, 6).fill_diagonal_(0)
    some[:4, :4] = 0
    for matrix in (some, torch.zeros(6, 6), symmetric(torch.full((6, 6), 1e-300, dtype=double))):
        for k in range(1, 7):
            labels = cluster(matrix, k, 0)
            assert len(labels.unique()) == k or cluster is k_means_rows
    assert cluster(some, 2, 0)[:4].tolist() in ([0] * 4, [0, 1, 0, 0])


@each_method
def test_what_is_no_matrix_of_distances_is_refused(cluster):
    matrix = planted()
    for k in (0, 11):
        with pytest.raises(ValueError, match=f"{k} clusters of 10 classes: give 1 to 10"):
            cluster(matrix, k, 0)
    for bad in (matrix[:9], matrix[0], matrix[:0, :0]):
        with pytest.raises(ValueError, match="one row per class"):
            cluster(bad, 1, 0)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="leave out classes without images"):
            cluster(matrix.index_fill(1, torch.tensor(3), bad), 2, 0)


@pytest.mark.parametrize("ask", [average_linkage, spectral, k_medoids, silhouette])
def test_distances_are_symmetric_and_zero_on_the_diagonal(ask):
    matrix, second = planted(), FAMILIES if ask is silhouette else 3
    with pytest.raises(ValueError, match="differ both ways"):
        ask(matrix.triu(), second)
    for bad in (matrix + 1, -matrix):
        with pytest.raises(ValueError, match="0 from a class to itself"):
            ask(bad, second)
    rounded = matrix + 1e-8 * torch.rand(10, 10, dtype=double)
    if ask is not silhouette:
        assert torch.equal(ask(rounded, 3), FAMILIES)


def test_one_class_has_no_tree():
    with pytest.raises(ValueError, match="at least two"):
        linkage_tree(torch.zeros(1, 1))


# How good, and how stable


def test_silhouette_of_two_pairs():
    matrix = symmetric(torch.full((4, 4), 4.0))
    matrix[0, 1] = matrix[1, 0] = matrix[2, 3] = matrix[3, 2] = 1
    assert silhouette(matrix, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.75)
    assert silhouette(matrix, torch.tensor([5, 5, 2, 7])) == pytest.approx(0.75 / 2)
    assert silhouette(matrix, torch.arange(4)) == 0
    assert math.isnan(silhouette(matrix, torch.zeros(4).long()))
    with pytest.raises(ValueError, match="one for each class"):
        silhouette(matrix, torch.arange(3))


def test_consensus_is_how_often_two_classes_are_together():
    together = consensus(torch.tensor([[0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 1, 2]]))
    expected = torch.tensor([[4, 2, 1], [2, 4, 2], [1, 2, 4]]).double() / 4
    assert torch.equal(together, expected)
    for bad in (torch.zeros(0, 3), torch.zeros(3)):
        with pytest.raises(ValueError, match="R at least 1"):
            consensus(bad)


@each_method
def test_planted_families_are_the_best_k(cluster):
    draws = torch.stack([planted(seed=seed) for seed in range(1, 11)])
    table = by_k(planted(), draws, cluster)
    assert table.ks.tolist() == list(range(2, 10))
    assert torch.equal(table.labels[1], FAMILIES)
    assert table.silhouettes[1].item() == pytest.approx(silhouette(planted(), FAMILIES))
    assert table.stabilities[1] > 0.95
    assert table.stabilities[4:].mean() < 0.8
    assert best_k(table) == 3


def test_draws_alike_are_stable_at_every_k():
    table = by_k(planted(), planted().expand(3, 10, 10), average_linkage)
    assert (table.stabilities == 1).all()


def test_by_k_passes_on_the_seed_and_what_it_cannot_use():
    seeds = set()

    def cluster(matrix, k, seed):
        seeds.add(seed)
        return average_linkage(matrix, k, seed)

    by_k(planted(), planted()[None], cluster, seed=7)
    assert seeds == {7}
    for bad in (planted(), planted()[None, :9, :9], planted()[None][:0]):
        with pytest.raises(ValueError, match="R at least 1"):
            by_k(planted(), bad, average_linkage)
    with pytest.raises(ValueError, match="without images"):
        by_k(planted(), planted()[None] * math.nan, average_linkage)


def test_two_classes_have_no_k_to_choose():
    matrix = symmetric(torch.ones(2, 2))
    table = by_k(matrix, matrix[None], spectral)
    assert table.labels.shape == (0, 2)
    assert len(table.ks) == len(table.silhouettes) == len(table.stabilities) == 0
    assert best_k(table) == 1


def test_best_k_is_stable_then_far_apart_then_small():
    numbers = [[0.2, 0.9, 0.5, 0.5, math.nan], [1.0, 0.79, 0.8, 0.9, 1.0]]
    table = ByK(torch.arange(2, 7), *torch.tensor(numbers, dtype=double), torch.zeros(5, 7))
    assert best_k(table) == 4
    assert best_k(table, stable=0.7) == 3
    assert best_k(table._replace(stabilities=table.stabilities / 2)) == 1


@pytest.mark.parametrize(("classes", "most"), [(3, 2), (12, 11), (13, 12), (14, 12), (40, 12)])
def test_no_more_than_twelve_clusters_are_looked_for(classes, most):
    matrix = planted(torch.arange(classes) % 3)
    table = by_k(matrix, matrix[None], average_linkage)
    assert clustering.MOST_CLUSTERS == 12
    assert table.ks.tolist() == list(range(2, most + 1))
    assert table.labels.shape == (most - 1, classes)
    assert [len(labels.unique()) for labels in table.labels] == table.ks.tolist()


# Do the clusters of one net come back in others?


OTHERS = FAMILIES[torch.tensor([3, 0, 1, 2, 7, 4, 5, 6, 9, 8])]


def resampled(families, seed, draws=4):
    return torch.stack([planted(families, 10 * seed + draw) for draw in range(draws)])


@each_method
def test_clusters_come_back_where_nets_agree(cluster):
    alike = torch.stack([resampled(FAMILIES, seed) for seed in range(4)])
    found = comes_back(alike, cluster, 3)
    assert found.shape == (4,)
    assert found.dtype == double
    assert found.min() > 0.9


def test_a_net_of_its_own_is_told_from_the_others():
    odd = torch.stack([resampled(FAMILIES, 0), resampled(OTHERS, 1), *[resampled(FAMILIES, 2)] * 3])
    found = comes_back(odd, average_linkage, 3)
    assert found[1] < 0.5
    assert found[torch.tensor([0, 2, 3, 4])].min() > 0.8


def test_a_net_is_not_compared_with_itself():
    # Of two nets each is held against the other, to which it is no more like than by chance.
    two = torch.stack([resampled(FAMILIES, 0), resampled(OTHERS, 1)])
    expected = clustering.adjusted_rand(FAMILIES, OTHERS)
    assert comes_back(two, average_linkage, 3) == pytest.approx(expected.expand(2).numpy(), abs=0.1)


def test_what_comes_back_says_what_does_not_fit():
    for bad in (planted()[None], planted()[None, None], planted().expand(0, 3, 10, 10)):
        with pytest.raises(ValueError, match="S at least 2"):
            comes_back(bad, average_linkage, 3)
    with pytest.raises(ValueError, match="without images"):
        comes_back(planted().expand(2, 3, 10, 10) * math.nan, average_linkage, 3)
    with pytest.raises(ValueError, match="11 clusters"):
        comes_back(planted().expand(2, 3, 10, 10), average_linkage, 11)


# The best clusters of one matrix


@steady
@given(distances())
def test_no_other_cut_of_the_tree_has_a_larger_silhouette(matrix):
    labels = best_clusters(matrix)
    assert labels.dtype == torch.int64
    cuts = [average_linkage(matrix, k) for k in range(2, len(matrix))]
    if not cuts:
        assert labels.tolist() == [0, 0]
        return
    values = [silhouette(matrix, cut) for cut in cuts]
    # The smaller k where two are alike.
    assert torch.equal(labels, cuts[values.index(max(values))])
    assert torch.equal(best_clusters(matrix * 1024), labels)


@pytest.mark.parametrize("families", [FAMILIES, torch.arange(24) % 4])
def test_planted_families_are_the_best_clusters(families):
    assert torch.equal(best_clusters(planted(families)), families)


def test_the_best_clusters_are_at_most_twelve():
    families = torch.arange(15).repeat_interleave(2)
    labels = best_clusters(planted(families))
    assert len(labels.unique()) <= clustering.MOST_CLUSTERS
    with pytest.raises(ValueError, match="without images"):
        best_clusters(planted() * math.nan)


# Are there clusters at all?


def found(matrices, permutations=199):
    """Share of matrices of which the test says that there are clusters."""
    tests = [one_cluster_test(matrix, permutations) for matrix in matrices]
    assert all(test.p >= 0.05 for test in tests if test.silhouette < test.threshold)
    return sum(test.p < 0.05 for test in tests) / len(tests)


def with_effects(seed):
    """Distances without clusters, though some classes are far from all others."""
    effects = torch.rand(10, generator=torch.Generator().manual_seed(seed), dtype=double)
    return symmetric(1 + effects[:, None] + effects + noise(10, seed, 0.1)).clamp_min(0)


def profiles_apart(seed):
    """Distances of ten random points in nine dimensions."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(10, 9, generator=generator, dtype=double)
    return (points[:, None] - points).norm(dim=-1)


def of_one_kind(seed):
    return symmetric(1 + noise(10, seed, 0.2)).clamp_min(0)


@pytest.mark.parametrize("draw", [of_one_kind, with_effects, profiles_apart])
def test_clusters_are_rarely_found_where_there_are_none(draw):
    # At 5 % more than 15 of 100 would be 1 case in 20,000; that of the points is near 10 %.
    assert found(draw(seed) for seed in range(100)) <= 0.15


@pytest.mark.parametrize("families", [FAMILIES, torch.arange(10) // 6, torch.arange(10) // 2])
@pytest.mark.parametrize("gap", [0.5, 0.7, 0.8])
def test_families_are_nearly_always_found(families, gap):
    assert found(planted(families, seed, gap, size=0.08) for seed in range(20)) >= 0.9


def test_p_is_the_share_of_permutations_that_do_as_well():
    test = one_cluster_test(planted(), permutations=99, seed=3)
    assert test.p == 0.01
    assert test.silhouette == pytest.approx(silhouette(planted(), FAMILIES))
    assert test == one_cluster_test(planted(), permutations=99, seed=3)
    assert test.threshold != one_cluster_test(planted(), permutations=99, seed=4).threshold


def test_batches_of_permutations_are_one(monkeypatch):
    matrix = of_one_kind(0)
    whole = one_cluster_test(matrix, 50)
    monkeypatch.setattr("helpers.methods.statistics.CELLS", 700)
    parts = one_cluster_test(matrix, 50)
    assert parts.silhouette == whole.silhouette
    assert 0 < parts.p <= 1


@pytest.mark.parametrize("level", [0.0, 0.1, 0.3, 1e-9])
def test_classes_all_alike_are_one_cluster(level):
    assert one_cluster_test(symmetric(torch.full((10, 10), level))).p == 1
    assert one_cluster_test(symmetric(torch.full((10, 10), level, dtype=double))).p == 1


def test_too_few_classes_to_tell():
    two, three, four = (symmetric(1 + noise(count, 0, 0.1)) for count in (2, 3, 4))
    assert math.isnan(one_cluster_test(two).silhouette)
    assert one_cluster_test(two).p == one_cluster_test(three).p == 1
    assert one_cluster_test(three).silhouette == silhouette(three, average_linkage(three, 2))
    assert math.isnan(one_cluster_test(three).threshold)
    assert 0 < one_cluster_test(four).p <= 1
    with pytest.raises(ValueError, match="at least 1"):
        one_cluster_test(four, permutations=0)


@pytest.mark.parametrize("count", [4, 10, 23])
def test_null_matrices_keep_class_effects_and_spread(count):
    matrix = symmetric(5 + noise(count))
    generator = torch.Generator().manual_seed(0)
    residuals = clustering._residuals(matrix)
    permuted = clustering._permuted(residuals, 20, generator)
    assert torch.allclose(permuted, permuted.mT)
    assert torch.allclose(permuted.sum(-1), torch.zeros(20, count, dtype=double), atol=1e-9)
    assert torch.allclose(permuted.flatten(1).norm(dim=1), residuals.norm())
    rows, columns = torch.triu_indices(count, count, 1)
    design = torch.zeros(len(rows), count, dtype=double)
    design[torch.arange(len(rows)), rows] = design[torch.arange(len(rows)), columns] = 1
    effects = torch.linalg.lstsq(design, matrix[rows, columns]).solution
    expected = matrix[rows, columns] - design @ effects
    assert torch.allclose(residuals[rows, columns], expected)


def test_null_matrices_hold_the_distances_themselves():
    matrix, other = planted(), 1 + noise(10, 1)
    placed = clustering._by_rank(torch.stack([matrix, symmetric(other)]), matrix)
    assert torch.equal(placed[0], matrix)
    assert torch.equal(placed[1], placed[1].T)
    rows, columns = torch.triu_indices(10, 10, 1)
    values, order = placed[1, rows, columns], other[rows, columns].argsort()
    assert torch.equal(values[order], matrix[rows, columns].sort().values)


def test_every_method_clusters_the_mean_of_the_nets():
    nets = torch.stack([planted(seed=seed) for seed in range(3)])
    draws = torch.stack([nets, nets])
    tables = with_every_method(nets, draws)
    assert list(tables) == list(METHODS)
    expected = by_k(nets.mean(0), draws.flatten(0, 1), average_linkage)
    found = tables["average linkage"]
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.stabilities, expected.stabilities)


def test_each_matrix_has_its_own_labels():
    matrices = torch.stack([planted(), planted(FAMILIES.flip(0))])
    found = cluster_each(matrices, average_linkage, 3)
    assert torch.equal(found[0], FAMILIES)
    assert torch.equal(found[1], average_linkage(matrices[1], 3))
    assert not torch.equal(found[0], found[1])


def test_clusters_are_between_nets_what_the_nets_share():
    alike = torch.stack([planted(seed=seed) for seed in range(5)])
    assert clusters_between_nets(alike).value == pytest.approx(1)
    odd = alike.clone()
    odd[4] = planted(FAMILIES[torch.tensor([3, 0, 7, 1, 9, 4, 2, 8, 6, 5])], seed=9)
    found = clusters_between_nets(odd)
    # Six of the ten pairs of nets are alike.
    assert 0.5 < found.value < 0.8
    assert found.low < found.value < found.high
    assert found.n == 5
