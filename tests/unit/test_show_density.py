"""Figures of density, rejection and doubted images: the right number in its place, and readable."""

from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text

from helpers.show.agreement import MARK
from helpers.show.density import density_curves, logit_histograms, magnitude, score_histograms
from helpers.show.galleries import causes, error_gallery, strip
from helpers.show.images import rgb
from helpers.show.rejection import coverage_band, detection_matrix, risk_coverage
from helpers.show.style import NO_BREAK, NotebookFigure, apply_style, class_colour, encode
from tests.unit.reading import assert_readable, shown_texts

NAN = float("nan")
TWO = ["cats", "dogs"]
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
WHALES = [f"long_finned_whale_of_the_ocean_{index}" for index in range(23)]
SETS = ["other animals", "vehicles", "photographs", "noise", "blank"]
GRID = np.linspace(-9, 9, 61)


@pytest.fixture(autouse=True)
def look():
    with matplotlib.rc_context():
        apply_style()
        yield


def logits(names, n: int = 300):
    labels = np.arange(n) % len(names)
    values = np.random.default_rng(0).normal(-2, 2, (n, len(names)))
    values[np.arange(n), labels] += 6
    return values, labels


def scores(names):
    values, labels = logits(names)
    odds = np.exp(values)
    return odds / odds.sum(1, keepdims=True), labels


def bells(names):
    middles = np.linspace(-3, 3, len(names))
    return np.exp(-((GRID[:, None] - middles) ** 2) / 8) / 5


def solid(count: int, side: int = 16) -> np.ndarray:
    """Images of one colour each, (k, 7, 200) for image k, so that each is known again."""
    images = np.full((count, side, side, 3), (0, 7, 200), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    return images


def interval(value, low=NAN, high=NAN):
    return SimpleNamespace(value=value, low=low, high=high)


def curve(power: float, n: int = 200):
    coverage = np.arange(1, n + 1) / n
    return coverage, 0.1 * coverage**power


def intervals(names):
    values = np.random.default_rng(1).uniform(0.02, 0.98, len(names))
    return {name: interval(v, v - 0.02, v + 0.02) for name, v in zip(names, values, strict=True)}


def errors(names, n: int = 240):
    labels = np.arange(n) % len(names)
    return solid(n), labels, (labels + 1) % len(names), np.linspace(0.3, 1, n), names


FIGURES = {
    "logits": lambda names: logit_histograms(*logits(names), names),
    "scores": lambda names: score_histograms(*scores(names), names),
    "density": lambda names: density_curves(
        GRID, bells(names), names, {n: np.linspace(-8, 8, len(names)) for n in names[:6]}
    ),
    "density alone": lambda names: density_curves(GRID, bells(names), names),
    "magnitude": lambda names: magnitude({name: logits(TEN)[0] for name in names[:3]}),
    "strip": lambda names: strip(solid(len(names)), [dict.fromkeys(names[:6], n) for n in names]),
    "errors": lambda names: error_gallery(*errors(names)),
    "risk": lambda names: risk_coverage(
        {name: curve(k + 1) for k, name in enumerate(names[:5])}, curve(9), 0.1
    ),
    "matrix": lambda names: detection_matrix({name: intervals(names[:10]) for name in names[:14]}),
    "band": lambda names: coverage_band(
        {name: 0.01 * k for k, name in enumerate(names)}, (0.03, 0.07), 0.05
    ),
    "causes": lambda names: causes(intervals(names[:4]), {names[0]: solid(20), names[1]: []}),
    "causes alone": lambda names: causes(intervals(names[:4])),
}


@pytest.mark.parametrize("names", [TWO, TEN, WHALES], ids=["2", "10", "23 long"])
@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_figure_is_readable(draw, names):
    figure = draw(names)
    assert_readable(figure)
    assert isinstance(figure, NotebookFigure)
    assert figure.bbox.width <= 950
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_figure_is_small(draw):
    assert len(encode(draw(TEN))[1]) < 90_000


def words(figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in shown_texts(figure)]


def test_histograms_hold_the_shares_of_own_and_other_images():
    values = np.array([[0.0, 9], [1, 9], [10, 9], [10, 0]])
    figure = logit_histograms(values, [0, 0, 1, 1], TWO)
    filled = [p for p in figure.axes[0].patches if isinstance(p, StepPatch) and p.get_fill()]
    shares = {to_hex(p.get_facecolor()): p.get_data().values for p in filled}
    own, other = shares[class_colour(0)], shares[class_colour(1)]
    assert own.sum() == pytest.approx(1)
    assert (own[0], own[5], own[-1]) == (0.5, 0.5, 0)
    assert (other[0], other[-1]) == (0, 1)


def test_of_many_classes_all_others_are_a_line():
    figure = logit_histograms(*logits(TEN), TEN)
    for index, ax in enumerate(figure.axes[:10]):
        filled = [to_hex(p.get_facecolor()) for p in ax.patches if p.get_fill()]
        assert filled == [class_colour(index)]
    assert "23 classes" in " ".join(words(logit_histograms(*logits(WHALES), WHALES)))


def test_a_class_without_images_and_equal_logits_are_drawn():
    figure = score_histograms(np.full((3, 2), 0.5), [0, 0, 0], TWO)
    assert_readable(figure)
    assert_readable(logit_histograms(np.zeros((3, 2)), [0, 0, 0], TWO))


@pytest.mark.parametrize(
    ("values", "labels", "said"),
    [
        (np.zeros((3, 3)), [0, 0, 0], "2 classes"),
        (np.zeros((3, 2)), [0, 0], "as many labels"),
        (np.zeros((3, 2)), [0, 1, 2], "indices"),
        (np.array([[0, NAN]]), [0], "finite"),
    ],
)
def test_histograms_refuse_what_does_not_fit(values, labels, said):
    with pytest.raises(ValueError, match=said):
        logit_histograms(values, labels, TWO)


def test_density_curves_and_their_marks_share_one_axis():
    figure = density_curves(GRID, bells(TEN), TEN, {"lake": np.arange(10.0), "face": -12.0})
    _, curves, rug = figure.axes
    np.testing.assert_array_equal(curves.lines[3].get_ydata(), bells(TEN)[:, 3])
    lake, face = (dots.get_offsets() for dots in rug.collections)
    np.testing.assert_array_equal(lake, [[x, 0] for x in range(10)])
    np.testing.assert_array_equal(face, [[-12, 1]])
    colours = [to_hex(c) for c in rug.collections[0].get_facecolors()]
    assert colours == [class_colour(k) for k in range(10)]
    assert rug.get_xlim() == curves.get_xlim() == (-12, 9)
    assert curves.get_ylim()[0] == 0


def test_density_curves_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(G, 10\)"):
        density_curves(GRID, bells(TWO), TEN)
    with pytest.raises(ValueError, match="one logit or 10"):
        density_curves(GRID, bells(TEN), TEN, {"lake": [1, 2]})


def test_magnitude_counts_both_bounds_in_and_rises_to_one():
    figure = magnitude({"test": [[-1.0, 2], [-7, 8]], "other": [[0.0, 0]]})
    assert any(f"test: 50{NO_BREAK}% from 2 to 7" in text for text in words(figure))
    assert any(f"other: 0{NO_BREAK}%" in text for text in words(figure))
    x, y = figure.axes[0].lines[0].get_data()
    assert np.interp(1.5, x, y) == pytest.approx(1 / 6)
    assert (x[-1], y[-1]) == (figure.axes[0].get_xlim()[1], 1)
    with pytest.raises(ValueError, match="finite"):
        magnitude({"test": [[NAN, 1]]})


def picture(figure) -> np.ndarray:
    FigureCanvasAgg(figure)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def middles(drawn: np.ndarray, colour) -> np.ndarray:
    """The mean place (x, y) of the pixels of a colour."""
    return np.argwhere((drawn == colour).all(-1)).mean(0)[::-1]


def test_words_stand_below_their_own_image():
    rows = [{"image": f"number {k}", "density": f"0.{k}"} for k in range(9)]
    figure = strip(solid(9), rows)
    drawn = picture(figure)
    placed = {text.get_text(): text for text in figure.findobj(Text)}
    for k in range(9):
        x, y = middles(drawn, (k, 7, 200))
        for text in (placed[f"number {k}"], placed[f"0.{k}"]):
            box = text.get_window_extent()
            assert (box.x0 + box.x1) / 2 == pytest.approx(x, abs=3)
            assert 0 < len(drawn) - box.y1 - y < 110
    assert placed["number 0"].get_weight() == "bold" != placed["0.0"].get_weight()


def test_a_strip_without_a_word_and_one_that_does_not_fit():
    assert_readable(strip(solid(2), [{"a": "b"}, {}]))
    assert strip(solid(2), [{}, {}]).bbox.height > 0
    with pytest.raises(ValueError, match="1 tables of words for 2 images"):
        strip(solid(2), [{}])


def test_a_gallery_holds_the_misread_images_and_no_other():
    labels, predicted = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    figure = error_gallery(solid(4), labels, predicted, np.full(4, 0.65), TWO)
    drawn = picture(figure)
    found = {k for k in range(4) if (drawn == (k, 7, 200)).all(-1).any()}
    assert found == {1, 2}
    x, y = np.rint(middles(drawn, (1, 7, 200))).astype(int)
    column = [tuple(pixel) for pixel in drawn[y : y + 50, x]]
    frame, bar = tuple(rgb(class_colour(1))), tuple(rgb(class_colour(0)))
    assert frame in column
    assert bar in column
    assert column.index(frame) < column.index(bar)


def counts(figure) -> dict[str, str]:
    """Band to what is said of it."""
    texts = [text.replace(NO_BREAK, " ") for text in words(figure)]
    return {a: b for a, b in pairwise(texts) if " to " in a}


def test_bands_hold_their_lower_bound_and_the_last_one_both():
    confidence = np.array([0.5, 0.6, 0.6, 0.69, 0.7, 1.0])
    figure = error_gallery(solid(6), np.zeros(6, int), np.ones(6, int), confidence, TWO)
    said = {"70 to 100 %": "2 misread", "60 to 70 %": "3 misread", "50 to 60 %": "1 misread"}
    assert counts(figure) == said
    figure = error_gallery(solid(1), [0], [1], np.array([0.2]), TWO)
    assert counts(figure)["0 to 50 %"] == "1 misread"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_every_misread_image_is_in_one_band(confidence):
    n = len(confidence)
    figure = error_gallery(solid(n), np.zeros(n, int), np.ones(n, int), confidence, TWO, (0.4, 0.8))
    found = [said.split()[0] for said in counts(figure).values()]
    assert sum(int(count) for count in found if count != "none") == n


def test_of_a_full_band_the_surest_are_shown():
    n = 60
    figure = error_gallery(
        solid(n), np.zeros(n, int), np.ones(n, int), np.linspace(0.71, 1, n), TWO
    )
    shown = int(counts(figure)["70 to 100 %"].removesuffix(" of 60 misread"))
    drawn = picture(figure)
    found = [k for k in range(n) if (drawn == (k, 7, 200)).all(-1).any()]
    assert found == list(range(n - shown, n))


def test_galleries_of_no_error_and_of_what_does_not_fit():
    figure = error_gallery(solid(2), [0, 1], [0, 1], [0.9, 0.8], TWO)
    assert set(counts(figure).values()) == {"none misread"}
    with pytest.raises(ValueError, match="one length"):
        error_gallery(solid(2), [0], [1], [0.9], TWO)
    with pytest.raises(ValueError, match="rising"):
        error_gallery(solid(1), [0], [1], [0.9], TWO, (0.7, 0.5))
    with pytest.raises(ValueError, match="between 0 and 1"):
        error_gallery(solid(1), [0], [1], [NAN], TWO)


def test_names_of_risk_curves_stand_in_the_order_of_the_lines():
    figure = risk_coverage({"good": curve(4), "bad": curve(0.5), "fair": curve(2)}, curve(20), 0.1)
    heights = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert sorted(heights, key=heights.get) == ["best possible", "good", "fair", "bad", "by chance"]


def test_few_images_kept_do_not_stretch_the_axis_of_risk():
    coverage, risk = curve(1)
    risk[0] = 1
    figure = risk_coverage({"density": (coverage, risk)})
    assert figure.axes[0].get_ylim()[1] == pytest.approx(0.106)
    assert risk_coverage({"density": (coverage, 0 * risk)}).axes[0].get_ylim() == (0, 1)


def test_risk_curves_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="1 to 5"):
        risk_coverage(dict.fromkeys("abcdef", curve(1)))
    with pytest.raises(ValueError, match="'a' needs coverage and risk"):
        risk_coverage({"a": ([0.5, 1], [0.1])})


def framed(figure) -> list[str]:
    """The values in frames, from top to bottom."""
    figure.draw_without_rendering()
    frames = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and not p.get_fill()]
    inside = [
        text
        for frame in frames
        for text in figure.axes[0].texts
        if frame.get_bbox().contains(*text.get_position())
    ]
    assert {text.get_weight() for text in inside if "–" not in text.get_text()} <= {"bold"}
    return sorted(text.get_text() for text in inside)


def test_the_best_of_a_column_and_its_equals_are_framed():
    values = {
        "density": {"noise": interval(0.8), "blank": interval(NAN)},
        "energy": {"noise": interval(0.90001), "blank": interval(NAN)},
        "entropy": {"noise": interval(0.9)},
    }
    figure = detection_matrix(values)
    assert framed(figure) == ["0.900", "0.900"]
    assert words(figure).count("n/a") == 3


def test_a_matrix_has_its_numbers_in_its_cells_and_orange_below_chance():
    rows = {"density": {"noise": interval(0.2, 0.1, 0.3)}, "energy": {"noise": interval(0.7)}}
    figure = detection_matrix(rows)
    placed = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert abs(placed["0.200"][1] - placed["density"][1]) < 10
    assert abs(placed["0.100–0.300"][1] - placed["density"][1]) < 10
    assert placed["0.700"][1] == placed["energy"][1]
    cells = [p.get_facecolor() for p in figure.axes[0].patches if p.get_fill()]
    below, above = cells[0], cells[1]
    assert below[0] > below[2]
    assert above[0] < above[2]
    with pytest.raises(ValueError, match="no value"):
        detection_matrix({})


def test_a_share_outside_its_own_band_is_marked():
    measured = {"cats": 0.03, "dogs": 0.0299, "birds": 0.08, "none": NAN}
    bands = dict.fromkeys(measured, (0.03, 0.07)) | {"birds": (0.01, 0.09)}
    figure = coverage_band(measured, bands, 0.05)
    assert [text for text in words(figure) if "outside" in text] == [f"3.0{NO_BREAK}%, outside"]
    dots = [line for line in figure.axes[0].lines if line.get_marker() in "oD"]
    assert [line.get_color() == MARK for line in dots] == [False, True, False, False]
    assert {"n/a", f"promised: 5{NO_BREAK}%"} <= set(words(figure))
    with pytest.raises(ValueError, match="no share"):
        coverage_band({}, (0, 1), 0.05)


def test_causes_show_their_share_and_their_own_pictures():
    shares = {"unknown": interval(0.6, 0.5, 0.7), "hard": interval(0.1)}
    figure = causes(shares, {"hard": solid(3)[1:], "unknown": solid(1)})
    drawn = picture(figure)
    assert middles(drawn, (0, 7, 200))[1] < middles(drawn, (1, 7, 200))[1]
    bars = figure.axes[1]
    assert [bar.get_width() for bar in bars.patches] == [0.6, 0.1]
    assert f"60.0{NO_BREAK}%{NO_BREAK}[50.0,{NO_BREAK}70.0]" in words(figure)
    assert figure.photographs
    assert not causes(shares).photographs
    with pytest.raises(ValueError, match="no cause"):
        causes({})
