"""Figures of attention: the right map on the right image, nothing made of nothing, readable."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from helpers.show.attention import (
    areas,
    curves_beside,
    overlay_grid,
    overlay_rows,
    painted,
    truth_table,
)
from helpers.show.style import INK, NO_BREAK, PALE, NotebookFigure, apply_style, encode
from tests.unit.reading import assert_readable, shown_texts

NAN = float("nan")
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
WHALES = [f"long_finned_whale_of_the_ocean_{index}" for index in range(23)]
SHARES = np.linspace(0, 1, 11)
COLOUR = np.array([200, 40, 120], np.uint8)
GREY = round(float(COLOUR @ (0.299, 0.587, 0.114)))


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def interval(value, half=NAN):
    return SimpleNamespace(value=value, low=value - half, high=value + half)


def solid(count, side=32):
    return np.full((count, side, side, 3), COLOUR)


def halves(count, side=32):
    """Maps that speak for the right half alone."""
    maps = np.zeros((count, side, side))
    maps[:, :, side // 2 :] = 1
    return maps


def titles(names, count):
    return [f"{names[k % len(names)]} as {names[-1 - k % len(names)]}\n0.83" for k in range(count)]


def rows(count, images):
    return {f"layers scrambled from the top: {k}": halves(images) for k in range(count)}


def table(names):
    measures = ("pointing game", "energy inside", "area of deletion", "area of insertion")
    found = {
        name: dict(zip(measures, map(interval, draw(4), [0.02] * 4), strict=True)) for name in names
    }
    return found, names[-2:], measures[2:3]


def spread_of(names):
    return {name: draw(900, seed=k) for k, name in enumerate(names)}


def falling(names):
    return {name: (1 - SHARES) ** (k + 1) for k, name in enumerate(names[:10])}


FIGURES = {
    "grid": lambda names: overlay_grid(draw(17, 32, 32, 3), halves(17), titles(names, 17)),
    "one": lambda names: overlay_grid(draw(1, 32, 32, 3), halves(1), titles(names, 1)),
    "large": lambda names: overlay_grid(draw(9, 64, 96, 3), draw(9, 64, 96), titles(names, 9)),
    "bare": lambda names: overlay_grid(solid(20), 0 * halves(20), titles(names, 20), columns=10),
    "rows": lambda names: overlay_rows(solid(10), rows(10, 10), titles(names, 10)),
    "two rows": lambda names: overlay_rows(solid(2), rows(2, 2), titles(names, 2)),
    "areas": lambda names: areas(spread_of(names), "area above half of the maximum"),
    "table": lambda names: truth_table(*table(names)),
    "curve": lambda names: curves_beside({"": falling(names)}, SHARES),
    "curves": lambda names: curves_beside(
        {"deletion": falling(names), "insertion": falling(names)}, SHARES
    ),
}


@pytest.mark.parametrize("names", [TEN[:2], TEN, WHALES], ids=["2", "10", "23 long"])
@pytest.mark.parametrize("make", FIGURES.values(), ids=list(FIGURES))
def test_figures_are_readable(make, names):
    figure = make(names)
    assert isinstance(figure, NotebookFigure)
    assert_readable(figure)
    assert figure.bbox.width <= 950


@pytest.mark.parametrize(
    ("kind", "most"), [("grid", 90_000), ("rows", 90_000), ("areas", 60_000), ("curves", 30_000)]
)
def test_figures_stay_small(kind, most):
    assert len(encode(FIGURES[kind](TEN))[1]) < most


@pytest.mark.parametrize("kind", ["grid", "rows"])
def test_photographs_are_kept_as_such(kind):
    assert encode(FIGURES[kind](TEN))[0] == "image/jpeg"


def sheet(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def words(figure):
    figure.draw_without_rendering()
    return [text.get_text().replace(NO_BREAK, " ") for text in shown_texts(figure)]


# Overlays


def test_a_map_is_seen_where_it_speaks_and_the_image_where_it_does_not():
    picture = sheet(overlay_grid(solid(8), halves(8)))
    tile = picture[2:98, 2:98]
    assert (tile[:, :40] == GREY).all()
    np.testing.assert_array_equal(tile[48, -4], painted(np.array([[GREY]]), np.ones(1))[0])
    assert np.ptp(tile[48, -4]) > 50


def test_each_map_has_its_own_scale():
    maps = halves(2)
    maps[1] *= 1e-4
    picture = sheet(overlay_grid(solid(2), maps))
    np.testing.assert_array_equal(picture[2:194, 2:194], picture[2:194, 198:390])


def test_what_speaks_against_is_not_drawn():
    maps = halves(1)
    below = np.where(maps > 0, maps, -5)
    np.testing.assert_array_equal(
        sheet(overlay_grid(solid(1), below)), sheet(overlay_grid(solid(1), maps))
    )


@pytest.mark.parametrize("hole", [NAN, np.inf, -np.inf])
def test_maps_that_say_nothing_are_named_and_their_images_bare(hole):
    maps = np.stack([halves(1)[0]] * 6)
    maps[1], maps[2], maps[3] = 0, 0.3, -halves(1)[0] - 1
    maps[4, 5, 5] = hole
    figure = overlay_grid(solid(6), maps, columns=6)
    marks = [text for text in figure.axes[0].texts if text.get_text() == "no map"]
    step = 132
    assert [int(text.get_position()[0] // step) for text in marks] == [1, 2, 3, 4]
    bare = [
        (sheet(figure)[20:130, k * step + 4 : k * step + 128] == COLOUR).all() for k in range(6)
    ]
    assert bare == [False, True, True, True, True, False]


def test_titles_stand_below_their_images():
    figure = overlay_grid(solid(9), halves(9), [f"image {k}\n0.5" for k in range(9)], columns=4)
    place = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert [place[f"image {k}"][0] for k in (0, 4, 8)] == [place["image 0"][0]] * 3
    lefts = [place[f"image {k}"][0] for k in range(4)]
    assert lefts == sorted(lefts)
    assert place["image 0"][1] < place["image 4"][1] < place["image 8"][1]


def test_the_rim_of_a_mask_is_white_between_dark_lines():
    masks = np.zeros((1, 32, 32), bool)
    masks[0, 8:24, 8:24] = True
    tile = sheet(overlay_grid(solid(1), 0 * halves(1), outline=masks))[2:194, 2:194]
    line = tile[96]
    rims = np.flatnonzero((line == 255).all(1))
    assert len(rims) == 2
    assert abs(rims - (48, 143)).max() <= 2
    assert (line[rims - 1] < 60).all()
    assert (line[rims + 1] < 60).all()
    assert (line[60:130] == COLOUR).all()
    assert (line[:40] == COLOUR).all()


def test_rows_hold_the_images_and_then_each_method():
    maps = {"left": halves(3)[:, :, ::-1], "right": halves(3)}
    maps["left"][1] = NAN
    figure = overlay_rows(solid(3), maps, ["a", "b", "c"])
    place = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    left, right = place["a"][0], place["c"][0]
    assert place["image"][1] < place["left"][1] < place["right"][1]
    picture = sheet(figure)
    pixel = {
        name: picture[round(place[name][1]), [round(left) - 60, round(left) + 60]]
        for name in ("image", "left", "right")
    }
    assert (pixel["image"] == COLOUR).all()
    assert (pixel["left"][1] == GREY).all()
    assert (pixel["right"][0] == GREY).all()
    assert (pixel["left"][0] == pixel["right"][1]).all()
    (mark,) = [text for text in figure.axes[0].texts if text.get_text() == "no map"]
    assert left < mark.get_position()[0] < right
    assert abs(mark.get_position()[1] - place["left"][1]) < 100


@pytest.mark.parametrize(
    "make",
    [
        lambda: overlay_grid(solid(3), halves(2)),
        lambda: overlay_grid(solid(3), np.zeros((3, 8, 8))),
        lambda: overlay_grid(solid(3), halves(3), ["one"]),
        lambda: overlay_grid(solid(3), halves(3), outline=halves(3)),
        lambda: overlay_grid(solid(0), halves(0)),
        lambda: overlay_rows(solid(3), {}),
        lambda: overlay_rows(solid(11), {"a": halves(11)}),
        lambda: overlay_rows(solid(2), {str(k): halves(2) for k in range(11)}),
        lambda: overlay_rows(solid(2), {"a": halves(3)}),
        lambda: overlay_rows(solid(2), {"a": halves(2)}, ["one"]),
        lambda: overlay_rows(solid(0), {"a": halves(0)}),
        lambda: areas({}, "area"),
        lambda: areas({"a": [NAN], "b": []}, "area"),
        lambda: areas({"a": [0.5, 1.5]}, "area"),
        lambda: truth_table({}, []),
        lambda: truth_table({"a": {"x": interval(1)}}, ["b"]),
        lambda: truth_table({"a": {"x": interval(1)}}, [], lower=["y"]),
        lambda: curves_beside({}, SHARES),
        lambda: curves_beside({"deletion": {}}, SHARES),
        lambda: curves_beside({"": {"a": SHARES[1:]}}, SHARES),
        lambda: curves_beside({"": {str(k): SHARES for k in range(11)}}, SHARES),
    ],
)
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(ValueError, match=r"need|for|must|give|no area|no row|table|measure"):
        make()


# Areas


def test_areas_have_their_quartiles_and_those_without_a_map_are_counted():
    values = np.linspace(0, 1, 1001)
    figure = areas({"right": values, "wrong": [0.25, NAN, 0.75], "none": [NAN]}, "area")
    texts = words(figure)
    assert "n = 1,001" in texts
    assert "n = 2, 1 without a map" in texts
    assert "n = 0, 1 without a map" in texts
    assert texts.count("median 50.0 %") == 2
    ax = figure.axes[0]
    boxes = [patch.get_bbox() for patch in ax.patches if isinstance(patch, Rectangle)]
    np.testing.assert_allclose([[b.x0, b.x1] for b in boxes], [[0.25, 0.75], [0.375, 0.625]])
    drawn = [len(c.get_offsets()) for c in ax.collections if isinstance(c, PathCollection)]
    assert drawn == [400, 2]


def test_points_stay_in_their_row():
    ax = areas({"a": draw(900), "b": draw(900)}, "area").axes[0]
    for row, dots in enumerate(c for c in ax.collections if isinstance(c, PathCollection)):
        assert abs(dots.get_offsets()[:, 1] - row).max() < 0.5


# Tables


def shades(figure):
    """The colours of filled cells by row, and which cells are framed, as their places."""
    cells = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    filled = [(p.get_y(), p.get_x(), p.get_facecolor()) for p in cells if p.get_fill()]
    framed = {(p.get_y() - 1, p.get_x() - 1) for p in cells if not p.get_fill()}
    return [(colour, (y, x) in framed) for y, x, colour in sorted(filled, key=lambda c: c[:2])]


def test_methods_are_judged_against_the_best_control():
    values = {"better": 0.8, "unclear": 0.62, "worse": 0.3, "chance": 0.5, "centre": 0.6}
    found = {name: {"pointing": interval(value, 0.05)} for name, value in values.items()}
    better, unclear, worse, chance, centre = shades(truth_table(found, ["chance", "centre"]))
    assert unclear[0] == chance[0] == centre[0] == to_rgba(PALE)
    assert len({better[0], unclear[0], worse[0]}) == 3
    assert [cell[1] for cell in (better, unclear, worse, chance, centre)] == [True, *[False] * 4]
    flipped = shades(truth_table(found, ["chance", "centre"], lower=["pointing"]))
    assert flipped[2] == (better[0], True)
    assert flipped[0][0] == flipped[1][0] == worse[0]


def test_controls_stand_last_below_a_rule():
    found = {name: {"x": interval(0.5, 0.1)} for name in ("edges", "Grad-CAM", "LayerCAM")}
    figure = truth_table(found, ["edges"])
    heights = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    (rule,) = [line.get_ydata()[0] for line in figure.axes[0].lines]
    assert heights["Grad-CAM"] < heights["LayerCAM"] < rule < heights["edges"]


def test_numbers_have_half_widths_where_they_have_bounds():
    found = {
        "a": {"x": interval(0.25, 0.125), "y": interval(-0.5), "z": interval(-0.0001)},
        "b": {"x": interval(NAN), "y": interval(0.1, 0.05)},
        "c": {"y": interval(0.1, 0.05)},
    }
    texts = words(truth_table(found, []))
    assert "0.250 ± 0.125" in texts
    assert "−0.500" in texts
    assert "0.000" in texts
    assert texts.count("n/a") == 4


def test_a_measure_that_nothing_has_frames_nothing():
    figure = truth_table({"a": {"x": interval(NAN)}, "b": {"x": interval(NAN)}}, ["b"])
    assert words(figure).count("n/a") == 2
    assert all(patch.get_edgecolor() != to_rgba(INK) for patch in figure.axes[0].patches)


# Curves


def test_curves_are_means_of_the_images_that_have_a_map():
    scores = np.stack([1 - SHARES, np.full(11, NAN), 1 + 0 * SHARES])
    ax = curves_beside({"": {"Grad-CAM": scores}}, SHARES).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xydata().T, [SHARES, 1 - SHARES / 2])


def test_names_stand_in_the_order_of_the_areas_which_are_told():
    lines = {"low": 1 - SHARES, "high": 1 - SHARES**4, "without": np.full(11, NAN)}
    figure = curves_beside({"": lines}, SHARES)
    place = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert place["high"] > place["low"]
    assert place["0.50"] == place["low"]
    assert place["0.80"] == place["high"]
    assert "without" not in place


def test_panels_share_their_scale():
    lines = {"deletion": {"a": SHARES}, "insertion": {"a": SHARES / 5}}
    one, other = curves_beside(lines, SHARES).axes
    assert one.get_ylim() == other.get_ylim()
    assert (one.get_title("left"), other.get_title("left")) == ("deletion", "insertion")


def test_a_panel_without_a_curve_is_drawn_empty():
    assert_readable(curves_beside({"": {"a": np.full((3, 11), NAN)}}, SHARES))
