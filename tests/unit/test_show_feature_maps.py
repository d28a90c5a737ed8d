"""Figures of layers: the right map, crop, box and number in its place, and readable."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from helpers.show.feature_maps import (
    FROM_ZERO,
    HEAD,
    RULE,
    channel_grid,
    channel_worth,
    exciting,
    fields_on,
    filters,
    probe_curve,
)
from helpers.show.images import rgb
from helpers.show.style import (
    BLUE,
    GREY,
    NO_BREAK,
    ORANGE,
    RED,
    NotebookFigure,
    apply_style,
    class_colour,
    encode,
)
from tests.unit.reading import assert_readable

NAN = float("nan")
# Maps of 2×2 and 4×4, sixteen in a row, are 52 pixels wide, with their frames 58.
STEP = 58
LAYERS = ["standardise", "conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "logits"]
LONG = [f"stages.layer4.2.a_long_block_name.conv{index}" for index in range(14)]


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def interval(value, low=NAN, high=NAN):
    return SimpleNamespace(value=value, low=low, high=high)


def losses(count):
    values = np.random.default_rng(0).normal(0.01, 0.02, count)
    return [interval(value, value - 0.012, value + 0.012) for value in values]


def run(layers, slope):
    return {layer: interval(0.3 + slope * k, 0.28, 0.34) for k, layer in enumerate(layers)}


def some_exciting(names, side=32, extent=8):
    corners = np.random.default_rng(0).integers(0, side - extent, (len(names), 9, 2))
    fields = np.concatenate([corners, corners + extent], axis=2)
    indices = np.arange(9 * len(names)).reshape(-1, 9) % 20
    return exciting(draw(20, side, side, 3), indices, fields, names, ["up to 0.93"] * len(names))


def nested(names):
    return {name: (0, 0, 3 + 2 * k, 3 + 2 * k) for k, name in enumerate(names)}


FIGURES = {
    "32 maps": lambda: channel_grid(draw(32, 30, 30), "conv1", np.arange(32) % 7 == 0),
    "64 maps": lambda: channel_grid(draw(64, 13, 13) - 0.5, LONG[0] * 4),
    "512 maps": lambda: channel_grid(draw(512, 4, 4), "layer4", np.zeros(512, bool)),
    "large maps": lambda: channel_grid(draw(3, 112, 90), "conv1"),
    "one cell": lambda: channel_grid(draw(5, 1, 1), "pool"),
    "filters": lambda: filters(draw(64, 7, 7, 3) - 0.5, "conv1"),
    "exciting": lambda: some_exciting([f"channel {k}" for k in range(6)]),
    "exciting photographs": lambda: some_exciting(LONG[:3], 96, 20),
    "fields": lambda: fields_on(draw(32, 32, 3), nested(LAYERS)),
    "fields of a photograph": lambda: fields_on(draw(224, 300, 3), nested(LONG)),
    "worth": lambda: channel_worth(
        {"relu1": losses(32), "relu2": losses(64)}, {"relu1": np.arange(32) == 3}
    ),
    "worth of many": lambda: channel_worth({LONG[0] * 3: losses(300)}),
    "probes": lambda: probe_curve(
        {"trained": run(LAYERS, 0.03), "untrained": run(LAYERS, 0.02)}, {"chance": 0.1}
    ),
    "probes of long names": lambda: probe_curve({LONG[0]: run(LONG, 0.03)}),
}
each_figure = pytest.mark.parametrize("make", FIGURES.values(), ids=list(FIGURES))


@each_figure
def test_figures_are_readable(make):
    figure = make()
    assert isinstance(figure, NotebookFigure)
    assert_readable(figure)


@pytest.mark.parametrize("name", ["32 maps", "filters", "worth", "probes", "fields"])
def test_figures_stay_small(name):
    assert len(encode(FIGURES[name]())[1]) < 130_000


def sheet(figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def texts_of(ax):
    return [text.get_text().replace(NO_BREAK, " ") for text in ax.texts]


def test_maps_stand_in_rows_on_one_scale_of_the_layer():
    maps = np.zeros((20, 2, 2))
    maps[3, 0, 1], maps[17, 1, 0] = 1.0, 0.5
    picture = sheet(channel_grid(maps, "relu1"))[HEAD:]
    assert len(picture) == 2 * STEP
    row, column = STEP // 4, STEP // 4
    full, half, none = (rgb(FROM_ZERO(value)) for value in (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(picture[row, 3 * STEP + 3 * column], full)
    np.testing.assert_array_equal(picture[STEP + 3 * row, STEP + column], half)
    for empty in (picture[row, 3 * STEP + column], picture[STEP + row, STEP + column]):
        np.testing.assert_array_equal(empty, none)


def test_signed_maps_are_on_a_scale_about_zero():
    maps = np.array([[[-1.0, 0.0]], [[0.5, 0.25]]])
    figure = channel_grid(maps, "conv1")
    assert {"−1.00", "1.00"} <= set(texts_of(figure.axes[0]))
    row = sheet(figure)[HEAD + 20].astype(int)
    assert row[10, 0] > row[10, 2] + 100  # orange, far below
    assert row[90, 2] > row[90, 0] + 40  # blue, above


def reds(figure):
    return (sheet(figure) == rgb(RED)).all(-1)


def test_dead_maps_are_framed_and_uniform_ones_counted():
    maps, dead = draw(18, 4, 4), np.zeros(18, bool)
    maps[[2, 5, 17]], dead[[2, 17]] = 0, True
    figure = channel_grid(maps, "relu1", dead)
    assert "18 maps of 4×4, 3 uniform for this image, 2 for every image (red frames)" in texts_of(
        figure.axes[0]
    )
    columns = np.flatnonzero(reds(figure)[HEAD : HEAD + STEP].any(0))
    assert 2 * STEP <= columns.min() < columns.max() < 3 * STEP
    below = np.flatnonzero(reds(figure)[HEAD + STEP :].any(0))
    assert STEP <= below.min() < below.max() < 2 * STEP
    alive = channel_grid(maps, "relu1", np.zeros(18, bool))
    assert not reds(alive).any()
    assert "3 uniform for this image, none for every image" in texts_of(alive.axes[0])[1]
    assert texts_of(channel_grid(draw(5, 1, 1), "pool").axes[0])[1] == "5 maps of 1×1"
    assert "every" not in texts_of(channel_grid(maps, "relu1").axes[0])[1]


def test_grey_filters_weigh_nothing_and_the_largest_weight_has_the_full_colour():
    weights = np.zeros((3, 1, 1, 3))
    weights[1, 0, 0, 0], weights[2, 0, 0, 2] = 0.4, -0.2
    figure = filters(weights, "conv1")
    seen = sheet(figure)[HEAD + 20, 20::78][:3]
    np.testing.assert_array_equal(seen, [[128, 128, 128], [255, 128, 128], [128, 128, 64]])
    assert "3 filters of 1×1; grey is 0, full colour 0.400 either way" in texts_of(figure.axes[0])


def coloured(images, side):
    """Images in which each pixel tells its image, row and column."""
    pixels = np.zeros((images, side, side, 3), np.uint8)
    pixels[..., 0] = 10 * np.arange(images)[:, None, None]
    pixels[..., 1] = np.arange(side)[:, None]
    pixels[..., 2] = np.arange(side)
    return pixels


def test_what_a_channel_saw_is_outlined_on_the_image():
    figure = exciting(coloured(3, 32), [[2, -1]], [[[8, 16, 12, 20], [0, 0, 0, 0]]], ["channel 0"])
    picture = sheet(figure).astype(int)
    rows, columns = np.nonzero((abs(picture - rgb(ORANGE)) < 60).all(-1))
    box = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    inner = box[len(box) // 3 : -(len(box) // 3), box.shape[1] // 3 : -(box.shape[1] // 3)]
    assert abs(inner[..., 0] - 20).max() <= 2
    assert 8 <= inner[..., 1].min() <= inner[..., 1].max() <= 12
    assert 16 <= inner[..., 2].min() <= inner[..., 2].max() <= 20


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 120), st.data())
def test_the_field_is_always_in_the_part_that_is_shown(side, data):
    extent = data.draw(st.integers(1, side))
    top, left = (data.draw(st.integers(0, side - extent)) for _ in range(2))
    field = [[[top, left, top + extent, left + extent]]]
    image = np.full((1, side, side, 3), 200, np.uint8)
    image[0, top : top + extent, left : left + extent] = (10, 10, 60)
    picture = sheet(exciting(image, [[0]], field, ["c"])).astype(int)
    orange = (abs(picture - rgb(ORANGE)) < 80).all(-1)
    assert orange.any(1).sum() >= 4
    assert orange.any(0).sum() >= 4
    seen = (picture < 110).all(-1)[:, 40:]
    assert seen.any() or extent <= 2  # of a pixel or two next to nothing remains


def rectangles(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def test_fields_are_drawn_to_scale_and_equal_ones_share_a_line():
    fields = {"conv1": (4, 6, 7, 9), "relu1": [4, 6, 7, 9], "pool2": np.array([0, 0, 16, 32])}
    figure = fields_on(coloured(1, 32)[0], fields)
    assert texts_of(figure.axes[0]) == ["conv1, relu1: 3×3 px", "pool2: 16×32 px"]
    boxes = {
        to_hex(patch.get_edgecolor()): patch.get_bbox().bounds
        for patch in rectangles(figure)
        if not patch.get_fill()
    }
    scale = 11  # 352 pixels for 32
    np.testing.assert_allclose(boxes[class_colour(0)], (76, 54, 33, 33))
    np.testing.assert_allclose(boxes[class_colour(1)], (10, 10, 32 * scale, 16 * scale))


def test_channels_stand_in_the_order_of_their_worth_in_points():
    lost = [interval(0.0, 0.0, 0.0), interval(0.05, 0.02, 0.08), interval(-0.01, -0.02, -0.005)]
    lost += [interval(0.01, -0.01, 0.02)]
    figure = channel_worth({"relu1": lost}, {"relu1": [True, False, False, False]})
    texts, ax = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "3", "0", "2"]
    alive, dead = ax.collections[1:]
    np.testing.assert_allclose(alive.get_offsets(), [(0, 5), (1, 1), (3, -1)])
    np.testing.assert_allclose(dead.get_offsets(), [(2, 0)])
    assert [to_hex(colour) for colour in alive.get_facecolors()] == [BLUE, GREY, ORANGE]
    np.testing.assert_allclose(ax.collections[0].get_segments()[0], [(0, 2), (0, 8)])
    assert texts_of(texts) == ["relu1", "1 of 4 channels worth something alone, 1 dead (crosses)"]


def test_channels_told_from_chance_are_those_of_the_test_where_there_is_one():
    lost = [interval(0.01, 0.002, 0.02), interval(0.05, 0.02, 0.08), interval(-0.03, -0.06, 0.01)]
    figure = channel_worth({"relu1": lost}, told={"relu1": [False, True, True]})
    texts, ax = figure.axes
    seen = [to_hex(colour) for colour in ax.collections[1].get_facecolors()]
    assert seen == [BLUE, GREY, ORANGE]
    assert texts_of(texts)[1] == "1 of 3 channels worth something alone"


def test_layers_are_compared_on_one_axis():
    figure = channel_worth({"a": losses(3), "b": [interval(0.5, 0.4, 0.6)]})
    assert len({ax.get_ylim() for ax in figure.axes[1:]}) == 1
    assert figure.axes[1].get_ylim()[1] > 60


def test_probes_are_drawn_in_the_order_of_the_layers_and_named_at_the_end():
    runs = {"trained": run(LAYERS, 0.04), "untrained": run(LAYERS, 0.01)}
    runs["trained"]["fc1"] = interval(0.5)
    ax = probe_curve(runs, {"chance": 0.1, "unknown": NAN}).axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == LAYERS
    values = [one.value for one in runs["trained"].values()]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), values)
    assert texts_of(ax) == ["trained", "untrained", "chance"]
    places = [text.get_position()[1] for text in ax.texts]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: channel_grid(draw(3, 4)), "finite"),
        (lambda: channel_grid(np.full((3, 4, 4), NAN)), "finite"),
        (lambda: channel_grid(draw(3, 4, 4), dead=[True]), "one `dead` each"),
        (lambda: filters(draw(3, 3, 3, 4)), r"\(C, kh, kw, 3\)"),
        (lambda: filters(np.full((1, 3, 3, 3), NAN)), "finite"),
        (lambda: exciting(coloured(2, 8), [[0, 1]], np.zeros((1, 2)), ["a"]), r"\(k, m, 4\)"),
        (lambda: exciting(coloured(2, 8), [[2]], [[[0, 0, 1, 1]]], ["a"]), "the 2 images"),
        (lambda: exciting(coloured(2, 8), [[1]], [[[0, 0, 1, 9]]], ["a"]), "within images"),
        (lambda: exciting(coloured(2, 8), [[-1]], [[[0, 0, 1, 1]]], ["a"]), "no channel has"),
        (lambda: fields_on(coloured(1, 8)[0], {}), "no field"),
        (lambda: fields_on(coloured(1, 8)[0], {"a": (0, 0, 0, 4)}), "within images"),
        (lambda: channel_worth({}), "no channel"),
        (lambda: channel_worth({"a": losses(3)}, {"a": [True]}), "'a' has 3 channels"),
        (lambda: probe_curve({}), "same layers"),
        (lambda: probe_curve({"a": run("xy", 0), "b": run("yx", 0)}), "same layers"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_frames_of_live_maps_are_thin():
    picture = sheet(channel_grid(np.ones((1, 6, 6)), "a"))[HEAD:]
    frame = (picture == rgb(RULE)).all(-1)
    assert frame[len(picture) // 2].sum() == 2
