"""The look, what a notebook stores, mosaics and number grids."""

import io
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from helpers.show import style
from helpers.show.images import as_pixels, canvas, mosaic, number, number_grid, resized, tile

SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        style.apply_style()
        yield


def drawn(figure) -> np.ndarray:
    stored = io.BytesIO()
    figure.savefig(stored, format="png")
    return np.asarray(Image.open(stored).convert("RGB"))


def solid(levels, height=4, width=4) -> np.ndarray:
    levels = np.asarray(levels, np.uint8)[:, None, None, None]
    return np.broadcast_to(levels, (len(levels), height, width, 3)).copy()


def curve():
    figure, ax = style.panels(1)
    for index in range(10):
        ax.plot(np.arange(20), np.arange(20) * index, color=style.class_colour(index))
    return figure


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(0.697, 1, "69.7"), (0.69749, 2, "69.75"), (1, 0, "100"), (0, 1, "0.0"), (-0.012, 1, "-1.2")],
)
def test_percent(share, digits, text):
    assert style.percent(share, digits) == f"{text}{SPACE}%"


def test_percent_of_nothing_is_said():
    assert style.percent(float("nan")) == "n/a"


def test_percent_range_shows_bounds_and_leaves_missing_ones_out():
    interval = SimpleNamespace(value=0.6972, low=0.693, high=0.7018)
    assert style.percent_range(interval) == f"69.7{SPACE}%{SPACE}[69.3,{SPACE}70.2]"
    single = SimpleNamespace(value=0.6972, low=float("nan"), high=float("nan"))
    assert style.percent_range(single) == f"69.7{SPACE}%"


def test_class_colours_are_fixed_and_differ():
    first = [style.class_colour(index) for index in range(10)]
    assert first == list(style.PALETTE)
    assert first[:3] == ["#3f90da", "#ffa90e", "#bd1f01"]
    assert len({style.class_colour(index) for index in range(30)}) == 30


def test_text_on_a_colour_stands_out():
    assert style.text_on("white") == style.INK
    assert style.text_on("#102040") == "white"


def test_say_prints_outside_a_notebook(capsys):
    style.say("Accuracy **69.7 %**")
    assert capsys.readouterr().out == "Accuracy **69.7 %**\n"


def test_plots_are_stored_as_palette_png_of_the_same_size_and_colours():
    figure = curve()
    mime, data = style.encode(figure)
    stored, exact = Image.open(io.BytesIO(data)), drawn(figure)
    assert (mime, stored.format, stored.mode) == ("image/png", "PNG", "P")
    assert stored.size == (950, 320) == exact.shape[1::-1]
    difference = np.asarray(stored.convert("RGB")).astype(int) - exact
    assert np.abs(difference).max() <= 16
    assert len(data) < 30_000


def test_photographs_are_stored_as_jpeg():
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    figure = mosaic(noise, columns=20)
    mime, data = style.encode(figure)
    exact = drawn(figure)
    assert mime == "image/jpeg"
    assert Image.open(io.BytesIO(data)).size == exact.shape[1::-1]
    assert len(data) < exact.nbytes / 3


def test_a_notebook_shows_a_figure_once(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    formatter = DisplayFormatter()
    png = formatter.formatters["image/png"]
    png.for_type(Figure, lambda figure: b"a second copy, as the inline backend makes one")
    assert formatter.format(curve()) == ({}, {})
    assert [sorted(data) for data in shown] == [["image/png", "text/plain"]]


def test_figures_are_not_kept_by_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    style.encode(curve())
    assert plt.get_fignums() == before


@given(st.lists(st.floats(0, 1), max_size=12))
def test_spread_keeps_the_order_the_gap_and_the_mean(positions):
    moved = style.spread(positions, 0.1)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) >= 0.1 - 1e-9).all()
    assert moved.sum() == pytest.approx(sum(positions), abs=1e-9)


def test_spread_leaves_what_is_far_apart():
    np.testing.assert_allclose(style.spread([0.9, 0.1, 0.5], 0.1), [0.9, 0.1, 0.5])


def test_shorten_fits_and_keeps_what_fits():
    name = "short_finned_pilot_whale"
    assert style.shorten("cat", 9, 100) == "cat"
    cut = style.shorten(name, 9, 80)
    assert cut.endswith("…")
    assert name.startswith(cut[:-1])
    assert style.text_width(cut, 9) <= 80


def test_tile_puts_image_k_at_row_k_over_columns():
    picture = tile(solid(range(10, 80, 10)), columns=3, margin=1)
    assert picture.shape == (18, 18, 3)
    centres = picture[3::6, 3::6, 0]
    np.testing.assert_array_equal(centres, [[10, 20, 30], [40, 50, 60], [70, 255, 255]])


def test_tile_frames_only_the_images_that_have_a_colour():
    picture = tile(solid([10, 20]), columns=2, margin=1, below=3, colours=[None, "#ff0000"])
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[0, 6].tolist() == [255, 0, 0]
    assert (picture[6:] == 255).all()


def test_a_mosaic_draws_every_pixel_as_a_square_of_its_own_colour():
    images = np.random.default_rng(0).integers(0, 255, (7, 8, 8, 3), np.uint8)
    figure = mosaic(images, columns=4)
    expected = tile(resized(images, 128), 4, margin=2)
    np.testing.assert_array_equal(drawn(figure), expected)
    np.testing.assert_array_equal(expected[2:130:16, 2:130:16], images[0])


@pytest.mark.parametrize("width", [101, 203, 953])
def test_a_canvas_has_exactly_its_pixels(width):
    picture = np.random.default_rng(0).integers(0, 255, (57, width, 3), np.uint8)
    np.testing.assert_array_equal(drawn(canvas(picture)[0]), picture)


def test_captions_stand_beneath_their_images():
    figure = mosaic(solid(range(6), 32, 32), columns=3, titles=[f"{k}\nline" for k in range(6)])
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    bottom = figure.bbox.height
    assert places["0"][0] < places["1"][0] < places["2"][0]
    assert places["3"][0] == places["0"][0]
    assert 132 < places["0"][1] < bottom / 2 < places["3"][1] < bottom
    assert figure.axes[0].texts[1].get_position()[1] > places["0"][1]


def test_large_images_shrink_to_the_notebook():
    assert mosaic(solid(range(12), 224, 300), columns=12).bbox.width <= 950
    assert resized(solid([7], 100, 200), 25).shape == (1, 25, 50, 3)


def test_pixels_from_floats_and_grey():
    grey = as_pixels(np.array([[[0.0, 0.5], [1.0, 0.2]]]))
    assert grey.shape == (1, 2, 2, 3)
    assert grey[0, :, :, 1].tolist() == [[0, 128], [255, 51]]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((5, 3, 32, 32), np.uint8),
        np.full((1, 4, 4, 3), np.nan),
        np.full((1, 4, 4, 3), 200.0),
    ],
)
def test_what_is_no_image_is_refused(images):
    with pytest.raises(ValueError, match="images must be"):
        mosaic(images)


def test_titles_must_be_one_for_each_image():
    with pytest.raises(ValueError, match="3 titles for 2 images"):
        mosaic(solid([1, 2]), titles=["a", "b", "c"])


def test_number_grid_writes_each_number_in_its_cell():
    figure, ax = style.panels(1)
    number_grid(ax, [[1, -2, 3], [4, 5, np.nan]], window=(0, 1, 2, 2))
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    minus = "\N{MINUS SIGN}2"
    assert texts == {(0, 0): "1", (1, 0): minus, (2, 0): "3", (0, 1): "4", (1, 1): "5"}
    frame = ax.patches[0]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, -0.5), 2, 2)
    assert figure.axes == [ax]


def test_number_grid_colours_by_sign():
    _, ax = style.panels(1)
    number_grid(ax, [[-2.0, 0.0, 2.0]])
    colours = ax.images[0].get_array()[0, :, :3]
    np.testing.assert_allclose(colours[0], to_rgb(style.ORANGE), atol=0.01)
    np.testing.assert_allclose(colours[2], to_rgb(style.BLUE), atol=0.01)


def test_dollars_in_names_are_no_mathematics_and_logarithmic_axes_keep_theirs():
    figure, (names, powers) = style.panels(2)
    names.set_title("5$ and 10$")
    names.set_yticks([0, 1], ["a$^_$", "$%$"])
    powers.set(yscale="log", ylim=(1, 1000))
    style.encode(figure)
    read = {text.get_text(): text.get_parse_math() for text in figure.findobj(Text)}
    assert not any(read[name] for name in ("5$ and 10$", "a$^_$", "$%$"))
    assert read["$\\mathdefault{10^{2}}$"]


def test_numbers_have_no_negative_zero():
    assert number(-0.004, 2) == "0.00"
    assert number(-0.016, 2) == "\N{MINUS SIGN}0.02"


def test_number_grid_refuses_what_is_no_matrix():
    _, ax = style.panels(1)
    with pytest.raises(ValueError, match="needs a matrix"):
        number_grid(ax, [1, 2, 3])


def test_differences_are_signed_points_with_a_true_minus():
    assert [style.points(x) for x in (0.006, -0.058)] == ["+0.6", "\N{MINUS SIGN}5.8"]
    interval = SimpleNamespace(value=0.091, low=-0.085, high=0.096)
    assert style.points_range(interval) == f"+9.1{SPACE}[\N{MINUS SIGN}8.5,{SPACE}+9.6]"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.2, "more"),
        (-0.2, -0.01, "less"),
        (-0.1, 0.1, "no clear difference"),
        (0, 0.1, "no clear difference"),
        (-0.1, 0, "no clear difference"),
        (0, 0, "no clear difference"),
        (float("nan"), float("nan"), "no clear difference"),
    ],
)
def test_a_word_for_a_difference_is_clear_only_where_the_interval_is(low, high, word):
    interval = SimpleNamespace(value=(low + high) / 2, low=low, high=high)
    assert style.direction(interval) == word
    words = {"more": "above", "less": "below", "no clear difference": "level"}
    assert style.direction(interval, list(words.values())) == words[word]
