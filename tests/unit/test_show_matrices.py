"""Figures of classes compared: the right number in the right cell, in order, and readable."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from helpers.show.agreement import choice_of_k, dots, lines_by_epoch, pairs_scatter
from helpers.show.maps import MOST_POINTS, apart, class_maps
from helpers.show.matrices import divergence_map, in_words, matrices_beside, side_by_side
from helpers.show.style import NotebookFigure, apply_style, class_colour, encode
from tests.unit.reading import assert_readable

NAN = float("nan")
ONE, TWO = ["one"], ["cats", "dogs"]
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
WHALES = [f"long_finned_whale_of_the_ocean_{index}" for index in range(23)]


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def distances(count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    apart_by = np.linalg.norm(points[:, None] - points, axis=-1)
    return apart_by / max(apart_by.max(), 1e-9)


def tree(matrix: np.ndarray):
    return linkage(squareform(matrix, checks=False), "average") if len(matrix) > 1 else None


def images(classes: int, n: int = 400):
    labels = np.arange(n) % classes
    return np.random.default_rng(1).normal(size=(n, 2)) + 3 * np.cos(labels)[:, None], labels


def interval(value, low=NAN, high=NAN):
    return SimpleNamespace(value=value, low=low, high=high)


def rows(names):
    return {name: interval(0.1 + 0.8 / (k + 1), 0.1, 0.95) for k, name in enumerate(names)}


def holed(count: int) -> np.ndarray:
    matrix = distances(count)
    matrix[0] = matrix[:, 0] = NAN
    return matrix


def curves_of(names, ks):
    return {name: np.linspace(0.7, 0.2, len(ks)) + 0.01 * k for k, name in enumerate(names)}


KS = np.arange(2, 10)
MARKS = {"people with people": 0.98, "animal or vehicle": 0.95, "chance": 0.0}
FIGURES = {
    "map": lambda names: divergence_map(
        distances(len(names)), names, tree(distances(len(names))), np.arange(len(names)) // 3, "a"
    ),
    "holes": lambda names: divergence_map(holed(len(names)), names, title="a title"),
    "side": lambda names: side_by_side(
        distances(len(names)), tree(distances(len(names))), *images(len(names)), names, titles="ab"
    ),
    "beside": lambda names: matrices_beside(
        {title: distances(len(names)) for title in ("people", "net", "pixels")}, names
    ),
    "beside holes": lambda names: matrices_beside(
        {"a": distances(len(names)), "b": holed(len(names)) * 90}, names
    ),
    "maps": lambda names: class_maps(
        {title: images(len(names))[0] for title in ("pixels", "scores")},
        images(len(names))[1],
        names,
    ),
    "dots": lambda names: dots(rows(names), "correlation", MARKS),
    "grouped dots": lambda names: dots(
        {"first": rows(names), "second": rows(names)}, "correlation", MARKS
    ),
    "k": lambda names: choice_of_k(
        KS, curves_of(names[:4], KS), curves_of(names[:4], KS), dict.fromkeys(names[:4], 3), 0.4
    ),
    "epochs": lambda names: lines_by_epoch(
        [0, 0.125, 0.5, 1, 2, 30], {n: np.random.rand(3, 6) for n in names[:8]}, "rho", MARKS
    ),
    "pairs": lambda names: pairs_scatter(
        distances(len(names)), distances(len(names)), names, np.arange(len(names)) % 2, "x", "y"
    ),
}


@pytest.mark.parametrize("names", [TWO, TEN, WHALES], ids=["2", "10", "23 long"])
@pytest.mark.parametrize("kind", FIGURES)
def test_figures_are_readable(kind, names):
    figure = FIGURES[kind](names)
    assert isinstance(figure, NotebookFigure)
    assert_readable(figure)


@pytest.mark.parametrize("kind", FIGURES)
def test_one_class_is_drawn(kind):
    FIGURES[kind](ONE).draw_without_rendering()


@pytest.mark.parametrize("kind", ["side", "maps", "pairs"])
def test_figures_stay_small(kind):
    assert len(encode(FIGURES[kind](TEN))[1]) < 80_000


def texts_at(ax) -> dict[tuple[float, float], str]:
    return {tuple(map(float, text.get_position())): text.get_text() for text in ax.texts}


def row_names(ax, count: int) -> list[str]:
    named = {t.get_position()[1]: t.get_text() for t in ax.texts if t.get_position()[0] > count - 1}
    return [named[row] for row in range(count)]


def test_a_number_stands_where_its_row_and_column_meet_in_the_order_of_the_tree():
    matrix = np.array([[0, 0.9, 0.2], [0.9, 0, 0.8], [0.2, 0.8, 0]])
    heat, branches = divergence_map(matrix, ["a", "b", "c"], tree(matrix)).axes
    names = row_names(heat, 3)
    assert abs(names.index("a") - names.index("c")) == 1
    for (x, y), text in texts_at(heat).items():
        if x in range(3) and y in range(3):
            pair = ["abc".index(names[int(place)]) for place in (y, x)]
            assert float(text) == matrix[tuple(pair)]
    assert sum(x in range(3) and y in range(3) for x, y in texts_at(heat)) == 6
    assert branches.get_ylim() == heat.get_ylim()
    heights = sorted({round(float(x), 6) for line in branches.lines for x in line.get_xdata()})
    assert heights == [0, 0.2, 0.85]


def test_swatches_bear_the_colours_of_the_classes_in_their_new_order():
    (heat,) = divergence_map(distances(4), list("abcd"), clusters=[1, 0, 1, 0]).axes
    assert row_names(heat, 4) == ["b", "d", "a", "c"]
    swatches = [to_hex(patch.get_facecolor()) for patch in heat.patches]
    expected = [class_colour(k) for k in (1, 3, 0, 2)]
    assert swatches == [colour for colour in expected for _ in "xy"]


def test_farther_is_darker_the_diagonal_pale_and_what_is_missing_grey():
    matrix = holed(4)
    shades = np.asarray(divergence_map(matrix, list("abcd")).axes[0].images[0].get_array())
    off = np.triu_indices(4, 1)
    known = np.isfinite(matrix[off])
    darkness = 1 - shades[off][:, :3].mean(-1)
    assert (np.argsort(darkness[known]) == np.argsort(matrix[off][known])).all()
    red, green, blue, _ = shades[off][~known].T
    assert np.ptp([red, green, blue], axis=0).max() < 0.05
    assert shades.diagonal()[:3].min() > 0.95


def outlined(ax) -> set[tuple[float, ...]]:
    """Segments of the outline of clusters, as (x, y, x, y); the pale grid is no part of it."""
    thick = [lines for lines in ax.collections if lines.get_linewidth()[0] > 1.5]
    return {tuple(np.ravel(s)) for lines in thick for s in lines.get_segments()}


def test_clusters_are_outlined_also_where_the_order_tears_them_apart():
    matrix, names = distances(3), list("abc")
    (together,) = divergence_map(matrix, names, clusters=[0, 0, 1]).axes
    assert len(outlined(together)) == 8 + 4
    order_cab = [[0, 1, 0.1, 2], [2, 3, 0.5, 3]]
    torn = divergence_map(matrix, names, order_cab, clusters=[0, 1, 1]).axes[0]
    assert row_names(torn, 3) == ["c", "a", "b"]
    cells = {(x, y) for x in range(3) for y in range(3) if (x + y) % 2 == 0}
    assert len(outlined(torn)) == 4 * len(cells)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: divergence_map(np.zeros((2, 3)), TWO), "square matrix"),
        (lambda: divergence_map(distances(3), list("abc"), np.zeros((3, 4))), r"\(2, 4\)"),
        (lambda: side_by_side(distances(2), None, np.zeros((4, 3)), [0] * 4, TWO), r"\(N, 2\)"),
        (lambda: class_maps({}, [], TWO), "no map"),
        (lambda: class_maps({"a": np.zeros((3, 2))}, [0, 1, 2], TWO), "indices of the 2"),
        (lambda: class_maps({"a": np.zeros((3, 2))}, [0, 1], TWO), "3 points"),
        (lambda: matrices_beside({}, TWO), "no matrix"),
        (lambda: matrices_beside({"a": distances(2)}, TWO, order=[0, 0]), "each of the 2"),
        (lambda: dots({"group": {}}, "x"), "no entry"),
        (lambda: lines_by_epoch([1, 2], {"a": [[1, 2, 3]]}, "y"), "2 epochs"),
        (lambda: lines_by_epoch([1, 2], {}, "y"), "no run"),
        (lambda: pairs_scatter(distances(2), distances(3), TWO), "two square"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_matrices_beside_share_their_colours_and_order():
    matrices = {"near": distances(4) * 0.1, "far": distances(4)}
    order = [2, 0, 3, 1]
    figure = matrices_beside(matrices, list("abcd"), order)
    near, far = heats(figure)
    assert not np.allclose(near, far)
    ascending = distances(4)[np.ix_(order, order)][np.triu_indices(4, 1)].argsort()
    darkness = 1 - far[np.triu_indices(4, 1)][:, :3].mean(-1)
    assert (darkness.argsort() == ascending).all()
    assert [t.get_text() for t in figure.axes[0].texts] == ["c", "a", "d", "b"]


def heats(figure):
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]


def bars(figure):
    """Ends of the bars of colours, which hold no image."""
    return [ax.get_xlim() for ax in figure.axes if not ax.images]


def test_matrices_beside_keep_the_ends_of_their_colours():
    names, near = list("abcd"), distances(4) * 0.1

    def drawn(first):
        matrices = {"one": first, "two": near}
        return matrices_beside(matrices, names, limits=(-1, 1))

    one, other = drawn(near), drawn(distances(4) * 0.8)
    assert bars(one) == bars(other) == [(-1, 1)]
    # A number has its colour whatever stands beside it, and those beyond the ends have the ends'.
    np.testing.assert_array_equal(heats(one)[0], heats(one)[1])
    np.testing.assert_array_equal(heats(one)[1], heats(other)[1])
    assert not np.allclose(heats(one)[0], heats(other)[0])
    off = ~np.eye(4, dtype=bool)
    beyond_, at_ = heats(drawn(np.full((4, 4), 7.0)))[0][off], heats(drawn(np.ones((4, 4))))[0][off]
    np.testing.assert_array_equal(beyond_, at_)


def test_without_limits_colours_end_at_the_numbers_themselves():
    matrix = distances(4)
    off = matrix[~np.eye(4, dtype=bool)]
    (ends,) = bars(matrices_beside({"one": matrix, "two": matrix}, list("abcd")))
    assert ends == pytest.approx((off.min(), off.max()))


def test_a_map_draws_each_point_in_its_class_colour_and_not_too_many():
    points, labels = images(3, n=MOST_POINTS + 500)
    figure = class_maps({"one": points, "two": points * 2}, labels, list("abc"))
    for ax, scale in zip(figure.axes, (1, 2), strict=True):
        drawn, colours = ax.collections[0].get_offsets(), ax.collections[0].get_facecolors()
        assert len(drawn) == MOST_POINTS
        for at, colour in list(zip(drawn, colours, strict=True))[:50]:
            (row,) = np.flatnonzero((points * scale == at).all(1))
            assert to_hex(colour) == class_colour(labels[row])
        assert sorted(text.get_text() for text in ax.texts) == ["a", "b", "c"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]


def test_names_on_the_map_stand_at_the_medians_of_classes_that_have_images():
    points = np.array([[0, 0], [0, 2], [9, 7], [9, 9], [9, 8]], dtype=float)
    figure = side_by_side(distances(3), None, points, [0, 0, 2, 2, 2], list("abc"))
    ax = figure.axes[-1]
    figure.draw_without_rendering()
    back = ax.transAxes + ax.transData.inverted()
    places = {t.get_text(): back.transform(t.get_position()) for t in ax.texts}
    assert set(places) == {"a", "c"}
    np.testing.assert_allclose(places["a"], [0, 1], atol=0.3)
    np.testing.assert_allclose(places["c"], [9, 8], atol=0.3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=15))
def test_boxes_are_pushed_apart_within_the_room(centres):
    sizes = np.tile([60.0, 16.0], (len(centres), 1))
    placed = apart(centres, sizes, (400, 400))
    assert (placed >= sizes / 2 - 1e-9).all()
    assert (placed <= 400 - sizes / 2 + 1e-9).all()
    gaps = np.abs(placed[:, None] - placed)[np.triu_indices(len(placed), 1)]
    assert ((gaps >= (60 - 0.5, 16 - 0.5)).any(-1)).all()


def test_boxes_that_do_not_touch_stay():
    centres = np.array([[50.0, 50], [150, 50], [50, 90]])
    np.testing.assert_allclose(apart(centres, [[40, 20]] * 3, (200, 200)), centres)


def test_dots_draw_value_and_interval_and_say_what_is_missing():
    entries = {"both": interval(0.5, 0.4, 0.7), "alone": interval(-0.2), "none": interval(NAN)}
    (ax,) = dots(entries, "rho", {"chance": 0.0, "unknown": NAN}).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.4, 0], [0.7, 0]])
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0.5, 0]])
    np.testing.assert_allclose(ax.lines[3].get_xydata(), [[-0.2, 1]])
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["both", "0.50 [0.40, 0.70]", "alone", "−0.20", "none", "n/a", "chance"]
    low, high = ax.get_xlim()
    assert low < -0.2
    assert high > 0.7


def test_no_dot_is_said_to_lie_below_zero_by_rounding():
    (ax,) = dots({"a": interval(-0.001, -0.004, 0.002)}, "rho").axes
    assert "0.00 [0.00, 0.00]" in [text.get_text() for text in ax.texts]


def test_groups_of_dots_stand_below_bold_titles():
    (ax,) = dots({"pixels": {"a": interval(0.1)}, "scores": {"a": interval(0.9)}}, "rho").axes
    rows = {text.xy[1]: text for text in ax.texts if text.xy[0] == 0}
    assert [rows[k].get_text() for k in range(4)] == ["pixels", "a", "scores", "a"]
    assert [rows[k].get_weight() for k in range(4)] == ["bold", "normal"] * 2
    assert [line.get_ydata()[0] for line in ax.lines[1::2]] == [1, 3]


def test_the_chosen_k_is_ringed_and_no_clusters_is_said():
    lines = {"a": [0.3, 0.6, 0.2], "b": [0.5, 0.1, 0.4]}
    figure = choice_of_k([2, 3, 4], lines, lines, {"a": 3, "b": 1}, threshold=0.35)
    silhouette, stability = figure.axes
    first, second = silhouette.collections
    np.testing.assert_allclose(first.get_offsets(), [[3, 0.6]])
    assert len(second.get_offsets()) == 0
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a: k = 3", "b: no clusters"]
    assert set(silhouette.lines[-1].get_ydata()) == {0.35}
    assert "dashed" in silhouette.get_title("left")
    assert "dashed" not in stability.get_title("left")
    assert len(stability.lines) == 2


def test_a_method_is_known_by_its_name_in_whatever_order():
    a, b = [0.3, 0.6, 0.2], [0.5, 0.1, 0.4]
    figure = choice_of_k([2, 3, 4], {"b": b, "a": a}, {"a": a, "b": b}, {"a": 3, "b": 2})
    for ax in figure.axes:
        np.testing.assert_allclose([line.get_ydata() for line in ax.lines], [a, b])
    first, _ = figure.legends[0].get_texts()
    assert first.get_text() == "a: k = 3"


def test_lines_by_epoch_draw_seeds_and_their_mean_on_a_stretched_axis():
    epochs = [0, 0.125, 0.5, 1, 4, 16]
    values = np.array([[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7]])
    (ax,) = lines_by_epoch(epochs, {"all pairs": values}, "rho", {"ceiling": 6.5}).axes
    *seeds, mean, mark = ax.lines
    np.testing.assert_allclose([line.get_ydata() for line in seeds], values)
    np.testing.assert_allclose(mean.get_ydata(), values.mean(0))
    assert set(mark.get_ydata()) == {6.5}
    assert {text.get_text() for text in ax.texts} == {"all pairs", "ceiling"}
    places = ax.transScale.transform([(x, 1) for x in (0, 1, 4, 16)])[:, 0]
    np.testing.assert_allclose(places, [0, 1, 2, 4])
    (whole,) = lines_by_epoch([1, 2, 3], {"a": [1, 2, 3]}, "y").axes
    assert whole.get_xscale() == "linear"
    assert ax.get_xlabel() == whole.get_xlabel() == "epoch"


def test_names_of_lines_that_end_together_are_led_to_and_stay_beside_the_axes():
    figure = lines_by_epoch([1, 2], {name: [0, 1 + k / 99] for k, name in enumerate("abcd")}, "y")
    (ax,) = figure.axes
    names = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert sorted(names, key=names.get) == list("abcd")
    assert all(0 < place < 1.05 for place in names.values())
    low, high = ax.get_ylim()
    ends = [[(1 + k / 99 - low) / (high - low), names[name]] for k, name in enumerate("abcd")]
    np.testing.assert_allclose([line.get_ydata() for line in figure.artists], ends)


def test_lines_may_be_by_something_else_than_epochs():
    runs = {"signatures": [[0.9, 0.7, 0.4], [0.8, 0.6, 0.5]]}
    (ax,) = lines_by_epoch([2, 3, 5], runs, "index", xlabel="number of groups k").axes
    assert ax.get_xlabel() == "number of groups k"
    assert ax.lines[-1].get_xdata().tolist() == [2, 3, 5]
    assert all(tick == round(tick) for tick in ax.get_xticks())


def test_pairs_are_told_apart_by_group_and_the_closest_named():
    matrix = distances(6)
    matrix[0, 1] = matrix[1, 0] = 0.001
    matrix[4, 5] = matrix[5, 4] = NAN
    figure = pairs_scatter(matrix, matrix, TEN[:6], [0, 0, 0, 1, 1, 1], kinds={0: "a", 1: "b"})
    (ax,) = figure.axes
    counts = {c.get_label(): len(c.get_offsets()) for c in ax.collections}
    assert counts == {"across groups": 9, "within a": 3, "within b": 2}
    names = [text.get_text() for text in ax.texts]
    assert "airplane–automobile" in names
    assert "deer–dog" not in names
    assert 4 <= len(names) <= 8


def test_a_name_of_a_pair_stands_beside_its_dot_and_on_no_other():
    matrix = distances(10)
    figure = pairs_scatter(matrix, distances(10, seed=1), TEN)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    dots_at = ax.transData.transform(ax.collections[0].get_offsets())
    pair_names = [f"{TEN[i]}–{TEN[j]}" for i, j in zip(*np.triu_indices(10, 1), strict=True)]
    assert len(ax.texts) >= 3
    for text in ax.texts:
        box = text.get_window_extent()
        assert not any(box.contains(*dot) for dot in dots_at)
        own = dots_at[pair_names.index(text.get_text())]
        assert box.expanded(1.5, 3.5).contains(*own)


def test_clusters_in_words():
    assert in_words(["cat", "ship", "dog", "car"], [0, 1, 0, 1]) == "cat + dog; ship + car"
    assert in_words(["cat", "ship"], [0, 0]) == "cat + ship"
