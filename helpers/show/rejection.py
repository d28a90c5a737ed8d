"""Figures of what is rejected, and of what that costs."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .agreement import DASHES, MARK, name_samples, value_of
from .density import paper
from .maps import axes_at, blank
from .matrices import MISSING
from .signatures import EDGE, GAP, LINE, NAME_PIXELS, NAME_SIZE, NOTE_SIZE, wrapped, write
from .style import (
    BLUE,
    DIVERGING,
    GREY,
    INK,
    ROOM,
    NotebookFigure,
    class_colour,
    mix,
    percent,
    percent_axis,
    shorten,
    spread,
    text_on,
    text_width,
)

MOST_LINES, TALL, LEFT, END_PIXELS = 5, 320, 72, 230
EARLY = 0.05
BAND_PIXELS = 260
CELL, WIDEST_CELL, CELL_SIZE, SMALL = 40, 130, 10, 8
ROW = 25

Curve = tuple[object, object]


def risk_coverage(
    curves: Mapping[str, Curve], best: Curve | None = None, chance: float | None = None
) -> NotebookFigure:
    """The share of errors among the images kept, by how many are kept; names at the right.

    curves: at most five scores to (coverage (N,), risk (N,)), both 0..1; best: the curve of a
    score that puts all errors last; chance: the error rate, which a score that knows nothing has
    throughout. Names stand in the order of the lines' mean heights. Risks of the first twentieth
    kept may leave the top of the axes: they rest on few images.
    """
    if not 0 < len(curves) <= MOST_LINES:
        raise ValueError(
            f"give 1 to {MOST_LINES} curves, not {len(curves)}: more are not told apart"
        )
    lines = [
        (name, *_curve(name, curve), _look(k)) for k, (name, curve) in enumerate(curves.items())
    ]
    plain = {"color": INK, "linewidth": 1.2}
    if best is not None:
        lines.append(("best possible", *_curve("best", best), plain | {"linestyle": ":"}))
    if chance is not None:
        flat = np.array([0.0, 1.0]), np.full(2, float(chance))
        lines.append(("by chance", *flat, plain | {"linestyle": DASHES}))
    longest = max(text_width(name, NAME_SIZE) for name, *_ in lines)
    figure = blank(ROOM, TALL + 70)
    ax = axes_at(figure, LEFT, 16, ROOM - LEFT - 44 - min(longest, END_PIXELS), TALL)
    for _, coverage, risk, look in lines:
        ax.plot(coverage, risk, **look)
    top = max(risk[coverage >= EARLY].max(initial=0) for _, coverage, risk, _ in lines)
    ax.set(xlim=(0, 1), ylim=(0, 1.06 * top or 1), xlabel="images kept", ylabel="errors among them")
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    ax.grid(axis="y")
    _ends(ax, lines)
    return figure


def _curve(name: str, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    coverage, risk = (np.asarray(part, dtype=float) for part in curve)
    if coverage.ndim != 1 or coverage.shape != risk.shape or not len(coverage):
        raise ValueError(f"{name!r} needs coverage and risk (N,), not {np.shape(curve[0])}")
    return coverage, risk


def _look(index: int) -> dict:
    """Colour and dashes, so that lines differ in both."""
    dashes = ("-", (0, (7, 2)), (0, (7, 2, 1.5, 2)), (0, (2.5, 1.5)), (0, (1.2, 1.2)))[index]
    return {"color": class_colour(index), "linestyle": dashes, "linewidth": 2}


def _ends(ax: Axes, lines) -> None:
    """Names beside samples of their lines, in the order of these, the lowest first."""
    ordered = sorted(lines, key=lambda line: _area(*line[1:3]))
    low, high = ax.get_ylim()
    ends = [(line[2][-1] - low) / (high - low) for line in ordered]
    places = spread(np.maximum.accumulate(ends), 19 / TALL)
    places -= max(0, places[-1] - 1)
    name_samples(ax, [(name, look) for name, *_, look in ordered], places, (10, 34), END_PIXELS)


def _area(coverage: np.ndarray, risk: np.ndarray) -> float:
    """The mean height between the first twentieth and the end."""
    return float(np.interp(np.linspace(EARLY, 1, 200), coverage, risk).mean())


def detection_matrix(values: Mapping[str, Mapping[str, object]]) -> NotebookFigure:
    """How well each score (row) tells each unknown set (column): blue above chance, orange below.

    values: score to unknown set to the interval of its AUROC (`value`, `low`, `high`; NaN bounds
    are not written, a NaN value or a missing set is "n/a"). The best of a column, and
    what is equal to it to three decimals, is framed and bold.
    """
    sets = list(dict.fromkeys(name for row in values.values() for name in row))
    if not sets:
        raise ValueError("there is no value to draw")
    table = np.array([[value_of(row.get(name)) for name in sets] for row in values.values()])
    left = EDGE + int(min(NAME_PIXELS, max(text_width(name, NAME_SIZE) for name in values))) + GAP
    wide = min((ROOM - left - EDGE) // len(sets), WIDEST_CELL)
    heads = [wrapped(name, NAME_SIZE, wide - 6, 3) for name in sets]
    top = LINE * max(map(len, heads)) + LINE + 14
    figure = blank(left + wide * len(sets) + EDGE, top + CELL * len(values) + EDGE)
    sheet = paper(figure)
    said = "AUROC: higher is better, 0.5 is chance; framed: the best of a column"
    short = text_width(said, NAME_SIZE) > left + wide * len(sets) - EDGE
    write(sheet, "AUROC" if short else said, EDGE, LINE / 2 + 4, color=GREY)
    for column, lines in enumerate(heads):
        for row, line in enumerate(lines):
            y = top - 8 - LINE * (len(lines) - row - 0.5)
            write(sheet, line, left + wide * (column + 0.5), y, ha="center")
    best = _best(table)
    for row, (name, entries) in enumerate(values.items()):
        y = top + CELL * row
        write(sheet, shorten(name, NAME_SIZE, NAME_PIXELS), left - 10, y + CELL / 2, ha="right")
        for column, unknown in enumerate(sets):
            place = left + wide * column, y, wide
            _cell(sheet, entries.get(unknown), place, best[row, column])
    for row, column in np.argwhere(best):
        corner = left + wide * column + 2, top + CELL * row + 2
        sheet.add_patch(Rectangle(corner, wide - 4, CELL - 4, fill=False, ec=INK, linewidth=2))
    return figure


def _best(table: np.ndarray) -> np.ndarray:
    """Which values are the largest of their column, as far as three decimals tell."""
    shown = np.where(np.isnan(table), -np.inf, np.round(table, 3))
    return (shown == shown.max(0)) & np.isfinite(shown)


def _cell(sheet: Axes, interval, place: tuple[float, float, float], best: bool) -> None:
    x, y, wide = place
    value, middle = value_of(interval), y + CELL / 2
    colour = MISSING if np.isnan(value) else DIVERGING(value)[:3]
    sheet.add_patch(Rectangle((x + 1, y + 1), wide - 2, CELL - 2, color=colour, linewidth=0))
    bounded = interval is not None and np.isfinite((value, interval.low, interval.high)).all()
    look = {"ha": "center", "color": text_on(colour)}
    text, weight = "n/a" if np.isnan(value) else f"{value:.3f}", "bold" if best else "normal"
    write(sheet, text, x + wide / 2, middle - 7 * bounded, CELL_SIZE, weight=weight, **look)
    if bounded:
        bounds = f"{interval.low:.3f}–{interval.high:.3f}"
        size = SMALL * min(1, (wide - 18) / text_width(bounds, SMALL))
        write(sheet, bounds, x + wide / 2, middle + 9, size, **look)


def coverage_band(
    measured: Mapping[str, float],
    band: tuple[float, float] | Mapping[str, tuple[float, float]],
    nominal: float,
    xlabel: str = "good images rejected",
) -> NotebookFigure:
    """Shares that were rejected, against what was promised and the band that chance allows.

    measured: name to share (NaN: "n/a"); band: (low, high) for all rows, or name to its own;
    nominal: the share promised. What lies outside its band is orange.
    """
    if not measured:
        raise ValueError("there is no share to draw")
    bands = band if isinstance(band, Mapping) else dict.fromkeys(measured, band)
    left = 24 + int(min(BAND_PIXELS, max(text_width(name, NAME_SIZE) for name in measured)))
    figure = blank(ROOM, 32 + ROW * len(measured) + 50)
    ax = axes_at(figure, left, 32, ROOM - left - 150, ROW * len(measured))
    most = np.nanmax([nominal, *measured.values(), *(bands[name][1] for name in measured)])
    ax.set(xlim=(0, 1.08 * most), ylim=(len(measured) - 0.5, -0.5), xlabel=xlabel, yticks=[])
    for row, (name, share) in enumerate(measured.items()):
        _share(ax, row, name, share, bands[name])
    ax.axvline(nominal, color=MARK, linewidth=1.2, linestyle=DASHES)
    flag = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "size": NOTE_SIZE}
    ax.annotate(
        f"promised: {percent(nominal, 0)}", (nominal, 1), (0, 5), color=MARK, ha="center", **flag
    )
    ax.spines["left"].set_visible(False)
    percent_axis(ax.xaxis)
    return figure


def _share(ax: Axes, row: int, name: str, share: float, band: tuple[float, float]) -> None:
    low, high = band
    outside = share < low or share > high
    ax.fill_between((low, high), row - 0.5, row + 0.5, color=mix(BLUE, 0.8, "white"), linewidth=0)
    ax.plot(share, row, "D" if outside else "o", color=MARK if outside else BLUE, markersize=7)
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
    text, look = shorten(name, NAME_SIZE, BAND_PIXELS), {"va": "center_baseline", "size": NAME_SIZE}
    ax.annotate(text, (0, row), (-8, 0), ha="right", **look, **place)
    note = f"{percent(share)}, outside" if outside else percent(share)
    ax.annotate(note, (1, row), (10, 0), color=MARK if outside else INK, **look, **place)
