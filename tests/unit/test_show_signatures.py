"""Figures of images and their groups: the right image in the right place, and readable."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Rectangle

from helpers.show.cards import image_card, misread
from helpers.show.evolution import MOST_POINTS, effects, evolution, flows, stacked_shares
from helpers.show.images import rgb
from helpers.show.signatures import group_rows, neighbour_rows, wrapped
from helpers.show.style import NO_BREAK, NotebookFigure, apply_style, class_colour, encode
from tests.unit.reading import assert_readable

NAN = float("nan")
ONE, TWO = ["one"], ["cats", "dogs"]
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
WHALES = [f"long_finned_whale_of_the_ocean_{index}" for index in range(23)]
EPOCHS = [0, 0.125, 0.5, 1, 2, 10, 50]
NOTE = "43 % frog, 31 % cat, 12 % deer; darker and greener than the others, and more besides"


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def solid(count: int, side: int = 32) -> np.ndarray:
    """Images of one colour each, (5 k, 7, 200) for image k, so that each is known again."""
    images = np.zeros((count, side, side, 3), np.uint8)
    images[..., 0] = 5 * np.arange(count)[:, None, None]
    images[..., 1:] = 7, 200
    return images


def places(count: int, points: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, points, 2))


def shares(names, seeds: int = 5):
    rng = np.random.default_rng(2)
    return {name: rng.uniform(0, 0.1, (seeds, len(EPOCHS))) for name in names}


def groups(names, n: int = 500):
    rng = np.random.default_rng(3)
    return rng.integers(0, len(names), n), rng.integers(0, len(names), n)


def deltas(names, features):
    values = np.random.default_rng(4).uniform(-1, 1, (len(names), len(features)))
    values[0, 0] = NAN
    return pd.DataFrame(values, list(names), list(features))


def card(names, **options):
    scores = np.linspace(1, 2, len(names))
    maps = {"conv1": np.random.rand(6, 28, 28), "pooled": np.random.rand(64, 1, 1)}
    parts = {"maps": maps} | options
    near = np.zeros(6, int)
    return image_card(solid(1)[0], scores / scores.sum(), names, 0, solid(6), near, **parts)


def pair(names):
    return solid(1)[0], 0, len(names) - 1


FIGURES = {
    "groups": lambda names: group_rows(
        solid(9), np.arange(20 * len(names)).reshape(-1, 20) % 9, names, [NOTE] * len(names)
    ),
    "neighbours": lambda names: neighbour_rows(
        solid(30), [0, 1, 2], [range(12)] * 3, np.arange(30) % len(names), names, [NOTE] * 3
    ),
    "misread": lambda names: misread(*pair(names), solid(10), solid(8), names, [NOTE, NOTE]),
    "card": card,
    "evolution": lambda names: evolution(places(7), np.arange(300) % len(names), names, EPOCHS),
    "shares": lambda names: stacked_shares(EPOCHS, shares(names[:6]), "share of variance"),
    "flows": lambda names: flows(*groups(names), names, names),
    "effects": lambda names: effects(deltas(names, names)),
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


@pytest.mark.parametrize("kind", FIGURES)
def test_figures_stay_small(kind):
    assert len(encode(FIGURES[kind](TEN))[1]) < 120_000


@pytest.mark.parametrize("kind", ["groups", "neighbours", "misread", "card"])
def test_photographs_are_kept_as_such(kind):
    assert encode(FIGURES[kind](TEN))[0] == "image/jpeg"


def sheet(figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def seen(figure, row: int) -> list[int]:
    """Which images of `solid` stand along a line of pixels, from left to right."""
    line = sheet(figure)[row]
    reds = line[(line[:, 1] == 7) & (line[:, 2] == 200), 0] // 5
    return [int(red) for k, red in enumerate(reds) if k == 0 or red != reds[k - 1]]


def heights(figure, texts) -> list[float]:
    found = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    return [found[text] for text in texts]


def test_a_group_has_its_images_beside_its_name_and_none_for_minus_one():
    typical = [[3, 1, 2], [-1, -1, -1], [5, 4, -1]]
    figure = group_rows(solid(6), typical, ["a", "b", "c"], ["x", "", "y"])
    rows = heights(figure, ["a", "b", "c"])
    assert [seen(figure, int(row)) for row in rows] == [[3, 1, 2], [], [5, 4]]
    assert 0 < heights(figure, ["x"])[0] - rows[0] < 20


def test_floats_and_bytes_look_alike():
    figures = [group_rows(kind, [[0, 1]], ["a"]) for kind in (solid(2), solid(2) / 255)]
    np.testing.assert_array_equal(*map(sheet, figures))


def test_a_query_stands_left_of_its_neighbours_each_framed_by_its_class():
    labels = np.array([0, 1, 2, 0, 1, 2])
    figure = neighbour_rows(solid(6), [4, 2], [[1, 0, 3], [5, -1, -1]], labels, list("abc"), "xy")
    rows = heights(figure, ["x", "y"])
    assert [seen(figure, int(row)) for row in rows] == [[4, 1, 0, 3], [2, 5]]
    line = sheet(figure)[int(rows[0])].astype(int)
    for image in (4, 1, 0, 3):
        at = np.flatnonzero((line == (5 * image, 7, 200)).all(1))
        frame = rgb(class_colour(labels[image]))
        np.testing.assert_array_equal(line[[at[0] - 1, at[-1] + 1]], [frame, frame])


def test_only_classes_that_are_seen_are_named():
    figure = neighbour_rows(solid(4), [0], [[1, -1]], [0, 2, 1, 1], list("abc"))
    assert {"a", "c"} == {text.get_text() for text in figure.axes[0].texts}
    colours = [to_hex(patch.get_facecolor()) for patch in figure.axes[0].patches]
    assert colours == [class_colour(0), class_colour(2)]


def test_a_misread_image_stands_with_both_classes():
    near = solid(8)
    figure = misread(near[0], 7, 5, near[1:4], near[4:6], TEN, ["seen by 3 of 5 nets"])
    texts = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    own, other = (
        texts["nearest of its own class, horse"],
        texts["nearest of the class it was taken for, dog"],
    )
    assert seen(figure, int(own) + 40)[-3:] == [1, 2, 3]
    assert seen(figure, int(other) + 40)[-2:] == [4, 5]
    assert {"horse", "taken for dog", "seen by 3 of 5 nets"} <= set(texts)
    none_left = misread(near[0], 7, 5, near[1:4], near[:0], TEN)
    assert "nearest of the class it was taken for, dog" in {
        text.get_text() for text in none_left.axes[0].texts
    }


def test_a_card_has_a_bar_for_each_score_with_its_name_and_number():
    scores = [0.05, 0.7, 0.25]
    figure = image_card(solid(1)[0], scores, ["a", "b", "c"], 2, solid(3))
    bars = figure.axes[-1]
    drawn = [patch.get_width() for patch in bars.patches[3:]]
    np.testing.assert_allclose(drawn, [0.7, 0.25, 0.05])
    texts = [text.get_text().replace(NO_BREAK, " ") for text in bars.texts]
    assert texts == ["b", "70.0 %", "c", "25.0 %", "a", "5.0 %"]
    assert [t.get_text() for t in bars.texts if t.get_weight() == "bold"] == ["c"]
    said = {text.get_text().replace(NO_BREAK, " ") for text in figure.axes[0].texts}
    assert {"c", "read as b, 70.0 %"} <= said


def test_a_card_shows_ten_scores_and_always_that_of_the_image_s_own_class():
    scores = np.linspace(1, 2, 23) / np.linspace(1, 2, 23).sum()
    figure = image_card(solid(1)[0], scores, WHALES, 0, solid(3))
    widths = [patch.get_width() for patch in figure.axes[-1].patches[10:]]
    np.testing.assert_allclose(widths, [*sorted(scores)[:-10:-1], scores[0]])


def test_feature_maps_are_on_one_grey_scale_the_strongest_first_and_a_dead_one_black():
    maps = np.zeros((18, 4, 4))
    maps[5], maps[11] = 1.0, 0.5
    figure = card(TWO, maps={"conv": maps})
    title = "conv: the 16 strongest of 18 maps of 4×4"
    line = sheet(figure)[int(heights(figure, [title])[0]) + 30, :, 0]
    greys = [int(grey) for grey in line[10 + 28 : 10 + 16 * 58 : 58]]
    assert greys == [255, 128, *[0] * 14]


def test_constant_feature_maps_are_drawn():
    card(TEN, maps={"conv": np.full((3, 2, 2), 7.0)}).draw_without_rendering()


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab \n\N{NO-BREAK SPACE}", max_size=60), st.integers(1, 4))
def test_wrapped_text_loses_nothing_but_what_is_cut(text, most):
    lines = wrapped(text, 9, 90, most)
    assert len(lines) <= most
    kept = "".join(lines).replace(" ", "")
    whole = "".join(text.split("\n")).replace(" ", "")
    assert kept == whole or "…" in kept


def test_text_is_not_wrapped_between_a_number_and_its_unit():
    assert wrapped(f"about 43{NO_BREAK}% of", 9, 60, 5) == ["about", f"43{NO_BREAK}% of"]


def maps_of(figure):
    return [ax for ax in figure.axes if ax.collections]


def titles_of(figure, count):
    return [text.get_text() for text in figure.axes[0].texts[:count]]


def test_maps_of_all_points_have_one_scale_and_the_same_images_in_class_colours():
    maps, labels = places(3, MOST_POINTS + 100), np.arange(MOST_POINTS + 100) % 3
    maps[1] *= 3
    figure = evolution(maps, labels, list("abc"), [0, 0.5, 20])
    assert titles_of(figure, 3) == ["untrained", "epoch 0.5", "epoch 20"]
    limits = [(*ax.get_xlim(), *ax.get_ylim()) for ax in maps_of(figure)]
    assert limits[0] == limits[1] == limits[2]
    kept = []
    for ax, points in zip(maps_of(figure), maps, strict=True):
        drawn, colours = ax.collections[0].get_offsets(), ax.collections[0].get_facecolors()
        assert len(drawn) == MOST_POINTS
        rows = [int(np.flatnonzero((points == at).all(1))[0]) for at in drawn[:40]]
        assert [to_hex(colour) for colour in colours[:40]] == [
            class_colour(labels[k]) for k in rows
        ]
        kept.append(rows)
    assert kept[0] == kept[1] == kept[2]


def test_of_many_points_eight_are_drawn_from_the_first_to_the_last():
    figure = evolution(places(15, 20), [0] * 20, ["a"], range(15))
    assert titles_of(figure, 8) == ["untrained", *(f"epoch {k}" for k in (2, 4, 6, 8, 10, 12, 14))]


def edges(area) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest height of an area at each of its places."""
    corners = area.get_paths()[0].vertices
    x = np.unique(corners[:, 0])
    at = [corners[corners[:, 0] == place, 1] for place in x]
    return np.array([y.min() for y in at]), np.array([y.max() for y in at])


def test_shares_are_stacked_by_their_means_and_drawn_alone_with_their_interval():
    parts = {"a": np.array([[0.1, 0.2], [0.3, 0.4]]), "b": np.array([[0.2, 0.2], [0.2, 0.2]])}
    upper, lower = stacked_shares([1, 5], parts, "share").axes
    first, second, *_ = map(edges, upper.collections)
    np.testing.assert_allclose(first, [[0, 0], [0.2, 0.3]])
    np.testing.assert_allclose(second, [[0.2, 0.3], [0.4, 0.5]])
    np.testing.assert_allclose(lower.lines[0].get_ydata(), [0.2, 0.3])
    # Two values 0.2 apart: the t-interval is 12.706 standard errors of 0.1 wide, either side.
    low, high = edges(lower.collections[0])
    np.testing.assert_allclose(high - low, 2 * 12.706 * 0.1, rtol=1e-4)
    assert "2 training seeds" in lower.get_title("left")
    assert [text.get_text() for text in upper.texts] == ["a", "b"]


def test_a_negative_share_is_stacked_below_zero_and_leaves_the_others_alone():
    parts = {"a": [0.2, 0.2, 0.2], "both": [0.1, -0.1, -0.1], "b": [0.3, 0.3, 0.3]}
    upper, lower = stacked_shares([1, 2, 3], parts, "share").axes
    above, below = upper.collections[:3], upper.collections[3:]
    # The sign greys halfway between the first two points, where an area ends.
    np.testing.assert_allclose(edges(above[1]), [[0.2] * 4, [0.3, 0.2, 0.2, 0.2]], atol=1e-12)
    np.testing.assert_allclose(edges(above[2])[1], [0.6, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(edges(below[1]), [[0, 0, -0.1, -0.1], [0] * 4], atol=1e-12)
    assert not lower.collections
    assert "interval" not in lower.get_title("left")


def test_a_share_that_is_not_known_everywhere_is_drawn_where_it_is():
    parts = {"a": [NAN, 0.2, 0.3], "b": [0.1, 0.1, NAN], "c": [NAN] * 3}
    figure = stacked_shares([0, 0.5, 1], parts, "share")
    assert_readable(figure)
    assert [text.get_text() for text in figure.axes[1].texts] == ["a"]


def test_a_share_that_is_not_known_leaves_those_above_it_alone():
    parts = {"a": [0.2, NAN, NAN], "b": [0.1, 0.1, 0.1]}
    upper, _ = stacked_shares([1, 2, 3], parts, "share").axes
    low, high = edges(upper.collections[1])
    np.testing.assert_allclose(high - low, [0.1] * 3)
    assert [text.get_text() for text in upper.texts] == ["b"]


def ribbons(figure):
    """(colour, top at left, top at right, thickness) of each ribbon."""
    paths = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    corners = [patch.get_path().vertices for patch in paths]
    return [
        (to_hex(patch.get_facecolor()), at[0, 1], at[3, 1], at[7, 1] - at[0, 1])
        for patch, at in zip(paths, corners, strict=True)
    ]


def blocks(figure):
    return [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]


def test_ribbons_are_as_thick_as_there_are_images_and_fill_their_blocks():
    before, after = (
        np.repeat([0, 0, 1, 1], [30, 10, 5, 55]),
        np.repeat([0, 1, 0, 2], [30, 10, 5, 55]),
    )
    figure = flows(before, after, ["a", "b"], ["a", "x", "y"])
    drawn = sorted(ribbons(figure), key=lambda ribbon: -ribbon[-1])
    thick = np.array([ribbon[-1] for ribbon in drawn])
    np.testing.assert_allclose(thick / thick.sum(), [0.55, 0.3, 0.1, 0.05])
    tall = np.array([block.get_height() for block in blocks(figure)])
    np.testing.assert_allclose(tall / thick.sum(), [0.4, 0.6, 0.35, 0.1, 0.55])
    starts = sorted((start, start + size) for _, start, _, size in drawn)
    first = blocks(figure)[0]
    np.testing.assert_allclose(starts[0][0], first.get_y())
    np.testing.assert_allclose(starts[1], (starts[0][1], first.get_y() + first.get_height()))
    ends = {round(size / thick.sum(), 2): end for _, _, end, size in drawn}
    right = [block.get_y() for block in blocks(figure)[2:]]
    after_thirty = right[0] + thick.sum() * 0.3
    expected = [right[0], after_thirty, right[1], right[2]]
    np.testing.assert_allclose([ends[share] for share in (0.3, 0.05, 0.1, 0.55)], expected)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["a  40", "b  60", "before", "a  35", "x  10", "y  55", "after"]


def test_ribbons_that_stay_stand_out_and_lie_above_those_that_move_thin_ones_are_faint():
    before, after = np.zeros(100, int), np.repeat([0, 1, 2], [60, 39, 1])
    thin, moves, stays = ribbons(flows(before, after, ["a"], ["a", "b", "c"]))
    assert np.argsort([thin[-1], moves[-1], stays[-1]]).tolist() == [0, 1, 2]
    assert rgb(thin[0]).min() > rgb(moves[0]).min() + 40
    assert rgb(moves[0]).min() > rgb(stays[0]).min() + 40


def test_a_group_has_the_colour_of_its_name_on_both_sides():
    figure = flows([0, 1, 1], [1, 0, 2], ["a", "b"], ["b", "a", "new"])
    a, b, *right = [to_hex(block.get_facecolor()) for block in blocks(figure)]
    assert right[:2] == [b, a]
    assert right[2] not in (a, b)


def test_empty_groups_are_named_too():
    figure = flows([0, 0], [2, 2], list("abc"), list("abc"))
    assert_readable(figure)
    assert "b  0" in [text.get_text() for text in figure.axes[0].texts]


def test_a_delta_stands_in_its_row_and_column_blue_for_more_orange_for_less():
    table = pd.DataFrame([[0.5, -0.8], [NAN, 0.0]], ["g", "h"], ["red", "edges"])
    ax = effects(table).axes[0]
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert [cells[x, y] for y in (0, 1) for x in (0, 1)] == ["0.50", "−0.80", "n/a", "0.00"]
    shades = np.asarray(ax.images[0].get_array())
    assert shades[0, 0, 2] > shades[0, 0, 0]
    assert shades[0, 1, 0] > shades[0, 1, 2]
    assert np.ptp(shades[1, 1, :3]) < 0.03


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: group_rows(solid(3), [[0, 3]], ["a"]), "indices of 3 images"),
        (lambda: group_rows(solid(3), [[0.0, 1.0]], ["a"]), "whole numbers"),
        (lambda: group_rows(solid(3), [[0, 1]], TWO), "2 rows"),
        (lambda: neighbour_rows(solid(3), [-1], [[0]], [0] * 3, ONE), "from 0 on"),
        (lambda: neighbour_rows(solid(3), [0], [[0]], [0, 0, 1], ONE), "indices of the 1"),
        (lambda: neighbour_rows(solid(3), [0], [[0]], [0, 0], ONE), "3 images"),
        (lambda: image_card(solid(1)[0], [0.5], TWO, 0, solid(2)), "2 classes"),
        (lambda: image_card(solid(1)[0], [0.5, NAN], TWO, 0, solid(2)), "all finite"),
        (lambda: image_card(solid(1)[0], [1, 0], TWO, 0, solid(2), [0]), "1 labels for 2"),
        (lambda: card(TWO, maps={"fc": np.zeros(84)}), "channels, h, w"),
        (lambda: evolution(places(2), [0] * 300, ONE, [1]), "E epochs"),
        (lambda: evolution(places(2), [0] * 300, [], [1, 2]), "indices of the 0"),
        (lambda: stacked_shares([1, 2], {}, "y"), "no part"),
        (lambda: stacked_shares([1, 2], {"a": [[1, 2, 3]]}, "y"), "2 epochs"),
        (lambda: flows([0, 1], [0], TWO, TWO), r"\(N,\)"),
        (lambda: flows([0, 2], [0, 1], TWO, TWO), "indices of the 2"),
        (lambda: effects(pd.DataFrame()), "table of groups"),
        (lambda: effects([[1.5]]), "within -1..1"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
