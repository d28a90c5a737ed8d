"""Figures of how groups of images form and change, and of what sets them apart."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex, to_rgba
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from scipy.special import stdtrit

from .agreement import LABEL, LEADER, epoch_axis, name_ends, within
from .images import canvas, number
from .maps import axes_at, blank, checked, scatter
from .matrices import MISSING
from .signatures import class_key, key_height
from .style import (
    ANGLE,
    DIVERGING,
    GREY,
    ROOM,
    SLOPE,
    NotebookFigure,
    bare,
    class_colour,
    mix,
    percent_axis,
    shorten,
    text_on,
    text_width,
)

EDGE = 10
SIZE, TITLE_SIZE, SCALE_SIZE = 9.5, 10.5, 9
NAME_PIXELS, COLUMN_PIXELS, END_PIXELS = 190, 150, 190
MOST_MAPS, ACROSS, MOST_POINTS, TITLE = 8, 4, 2000, 26
AREA, BELOW, BETWEEN_AREAS = 230, 48, 62
BLOCK, BETWEEN, TALL = 14, 6, 340
THIN = 0.02
CELL, WIDEST_CELL = 28, 160


def evolution(maps, labels, names: Sequence[str], epochs) -> NotebookFigure:
    """Maps of the same images at several points of training, on one scale, in class colours.

    maps: (E, N, 2), aligned; labels: (N,) indices into `names`; epochs: (E,). Of more than eight
    points eight are drawn, evenly spread from the first to the last; of many images the same
    2,000 in each. Each map began as the one before: that neighbours stay is no finding.
    """
    maps, epochs = np.asarray(maps, dtype=float), np.asarray(epochs, dtype=float)
    if maps.ndim != 3 or epochs.shape != maps.shape[:1] or not len(maps):
        raise ValueError(f"maps are (E, N, 2) with E epochs, not {maps.shape} and {epochs.shape}")
    labels = checked(maps[0], labels, names)[1]
    points = np.linspace(0, len(maps) - 1, min(len(maps), MOST_MAPS)).round().astype(int)
    drawn = np.random.default_rng(0).permutation(len(labels))[:MOST_POINTS]
    maps, labels = maps[np.ix_(points, drawn)], labels[drawn]
    shown = np.unique(labels)
    step = (ROOM - EDGE) // ACROSS
    key = (step + TITLE - EDGE) * -(-len(points) // ACROSS)
    height = key + key_height(names, shown, ROOM - 2 * EDGE)
    figure, sheet = canvas(np.full((height, ROOM, 3), 255, np.uint8), photographs=False)
    limits = _square(maps)
    for place, (epoch, positions) in enumerate(zip(epochs[points], maps, strict=True)):
        left, top = EDGE + place % ACROSS * step, TITLE + place // ACROSS * (step + TITLE - EDGE)
        ax = axes_at(figure, left, top, step - EDGE, step - EDGE)
        scatter(ax, positions, labels, names)
        ax.set(xlim=limits[0], ylim=limits[1])
        sheet.text(left, top - TITLE / 2, _epoch(epoch), size=TITLE_SIZE, va="center_baseline")
    class_key(sheet, names, shown, EDGE, key, ROOM - 2 * EDGE)
    return figure


def _square(maps: np.ndarray) -> np.ndarray:
    """Limits (2, 2) of the smallest square, with a margin, that holds all points of all maps."""
    points = maps.reshape(-1, 2)
    middle, half = (points.max(0) + points.min(0)) / 2, 0.52 * np.ptp(points, axis=0).max() or 1
    return middle[:, None] + np.array((-half, half))


def _epoch(epoch: float) -> str:
    return "untrained" if epoch == 0 else f"epoch {epoch:g}"


def stacked_shares(epochs, parts: Mapping[str, object], ylabel: str) -> NotebookFigure:
    """Shares of a whole by epoch: means over training seeds stacked above, one by one below.

    epochs: (E,); parts: name to shares 0..1 (S, E) or (E,). A negative mean (a commonality may be
    one) is stacked below zero. The bands below are 95 % t-intervals over the S seeds; none for
    S = 1.
    """
    epochs = np.asarray(epochs, dtype=float)
    runs = [_shares(name, values, len(epochs)) for name, values in parts.items()]
    if not runs:
        raise ValueError("there is no part to draw")
    means = np.array([values.mean(axis=0) for values in runs])
    texts = [shorten(name, SIZE, END_PIXELS) for name in parts]
    width = ROOM - 72 - LEADER - 20 - int(max(text_width(text, SIZE) for text in texts))
    figure = blank(ROOM, TITLE + 2 * AREA + BETWEEN_AREAS + BELOW)
    upper = axes_at(figure, 72, TITLE, width, AREA)
    lower = axes_at(figure, 72, TITLE + AREA + BETWEEN_AREAS, width, AREA)
    for ax, title in ((upper, "Stacked means"), (lower, f"One by one{_seeds(runs)}")):
        epoch_axis(ax, epochs)
        ax.set(ylabel=ylabel, title=title)
        percent_axis(ax.yaxis)
        ax.grid(axis="y")
    lower.set_xlabel("epoch")
    middles = _stack(upper, epochs, means)
    for index, values in enumerate(runs):
        _band(lower, epochs, values, class_colour(index))
    for ax, ends in ((upper, middles), (lower, means[:, -1])):
        ax.axhline(0, color=GREY, linewidth=0.8)
        colours = [mix(class_colour(index), 0.3, "black") for index in range(len(texts))]
        name_ends(ax, list(zip(ends, texts, colours, strict=True)), AREA)
    return figure


def _shares(name: str, values, count: int) -> np.ndarray:
    values = np.atleast_2d(np.asarray(values, dtype=float))
    if values.ndim != 2 or values.shape[1] != count:
        raise ValueError(f"{name!r} needs a share for each of the {count} epochs")
    return values


def _seeds(runs) -> str:
    fewest = min(map(len, runs))
    return f", mean and 95 % interval over {fewest} training seeds" if fewest > 1 else ""


def _stack(ax: Axes, epochs: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Draw areas, first part lowest; give the middle of each at the last epoch."""
    scale = ax.xaxis.get_transform()
    places = scale.transform(epochs)
    finer = np.union1d(places, list(_crossings(places, means)))
    fine = np.array([np.interp(finer, places, mean) for mean in means])
    x, middles = scale.inverted().transform(finer), np.zeros(len(means))
    for sign in (1, -1):
        thick = sign * np.maximum(sign * fine, 0)
        # A part that is not known leaves a gap, and those above it where they are.
        tops = np.nan_to_num(thick).cumsum(axis=0)
        for index, (top, part) in enumerate(zip(tops, thick, strict=True)):
            colour = mix(class_colour(index), 0.25, "white")
            ax.fill_between(x, top - part, top, color=colour, linewidth=0)
        reached = thick[:, -1] != 0
        middles[reached] = (tops - thick / 2)[reached, -1]
    middles[~np.isfinite(means[:, -1])] = np.nan
    return middles


def _crossings(places: np.ndarray, means: np.ndarray) -> Iterator[float]:
    """Where a mean changes its sign between two points: there its area leaves one side."""
    for mean in means:
        for k in np.flatnonzero(mean[:-1] * mean[1:] < 0):
            share = mean[k] / (mean[k] - mean[k + 1])
            yield places[k] + share * (places[k + 1] - places[k])


def _band(ax: Axes, epochs: np.ndarray, values: np.ndarray, colour: str) -> None:
    mean, count = values.mean(axis=0), len(values)
    ax.plot(epochs, mean, color=colour, linewidth=2.2)
    if count > 1:
        half = stdtrit(count - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(count)
        ax.fill_between(epochs, mean - half, mean + half, color=colour, alpha=0.25, linewidth=0)


def flows(
    before,
    after,
    names_before: Sequence[str],
    names_after: Sequence[str],
    titles: tuple[str, str] = ("before", "after"),
) -> NotebookFigure:
    """Which images moved from which group to which: a ribbon as thick as there are images.

    before, after: (N,) indices into `names_before` and `names_after`, of the same images. Ribbons
    have the colour of the group they leave, in full where they end in one of the same name, paler
    where they do not, and faint where they are less than 2 % of the images too. A group on the
    right has the colour of the one of its name on the left, pale grey where there is none.
    """
    counts = _counts(before, after, len(names_before), len(names_after))
    sides = ((names_before, counts.sum(1)), (names_after, counts.sum(0)))
    texts = [[_counted(*group) for group in zip(*side, strict=True)] for side in sides]
    tall = max(TALL, LABEL * max(counts.shape))
    scale = (tall - BETWEEN * (max(counts.shape) - 1)) / counts.sum()
    lefts = [int(max(text_width(text, SIZE) for text in side)) + EDGE + 8 for side in texts]
    figure, ax = canvas(np.full((tall + 44, ROOM, 3), 255, np.uint8), photographs=False)
    columns = (lefts[0], ROOM - lefts[1] - BLOCK)
    tops = [_tops(size * scale, 34, tall) for _, size in sides]
    stays = np.array([[name == other for other in names_after] for name in names_before])
    paleness = np.where(stays, 0.1, np.where(counts < THIN * counts.sum(), 0.9, 0.55))
    # The palest lowest, so that what stays is seen.
    ribbons = _ribbons(counts * scale, *tops)
    for i, j, *heights in sorted(ribbons, key=lambda ribbon: -paleness[ribbon[:2]]):
        path = _ribbon(columns[0] + BLOCK, columns[1], *heights)
        colour = mix(class_colour(i), paleness[i, j], "white")
        ax.add_patch(PathPatch(path, color=colour, linewidth=0))
    left = [class_colour(i) for i in range(len(names_before))]
    right = [left[column.argmax()] if column.any() else MISSING for column in stays.T]
    for side, align, colours in ((0, "right", left), (1, "left", right)):
        heights = sides[side][1] * scale
        _blocks(ax, columns[side], tops[side], heights, texts[side], align, colours)
        x = columns[side] + (BLOCK if side == 0 else 0)
        ax.text(x, 16, titles[side], size=TITLE_SIZE, ha=align, va="center_baseline")
    return figure


def _counts(before, after, rows: int, columns: int) -> np.ndarray:
    before, after = np.asarray(before), np.asarray(after)
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise ValueError(f"before and after are groups (N,), not {before.shape}, {after.shape}")
    for side, count in ((before, rows), (after, columns)):
        if not 0 <= side.min() <= side.max() < count:
            raise ValueError(f"groups must be indices of the {count} names")
    counts = np.zeros((rows, columns))
    np.add.at(counts, (before, after), 1)
    return counts


def _counted(name: str, count: float) -> str:
    return f"{shorten(name, SIZE, NAME_PIXELS)}  {count:,.0f}"


def _tops(heights: np.ndarray, top: float, tall: float) -> np.ndarray:
    """Where blocks of these heights begin, one below the other and centred in `tall` pixels."""
    free = tall - heights.sum() - BETWEEN * (len(heights) - 1)
    return top + free / 2 + np.cumsum(heights + BETWEEN) - heights - BETWEEN


def _ribbons(heights: np.ndarray, left: np.ndarray, right: np.ndarray) -> list[tuple]:
    """(i, j, top left, top right, thickness) of each move, the thickest first, so drawn below."""
    starts = left[:, None] + heights.cumsum(1) - heights
    ends = right + heights.cumsum(0) - heights
    moves = [(i, j, starts[i, j], ends[i, j], heights[i, j]) for i, j in np.argwhere(heights)]
    return sorted(moves, key=lambda move: -move[-1])


def _ribbon(x0: float, x1: float, start: float, end: float, thick: float) -> Path:
    middle = (x0 + x1) / 2
    there = [(x0, start), (middle, start), (middle, end), (x1, end)]
    back = [(x, y + thick) for x, y in reversed(there)]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    return Path([*there, *back, there[0]], codes)


def _blocks(ax: Axes, left: float, tops, heights, texts, align: str, colours) -> None:
    x = left - 6 if align == "right" else left + BLOCK + 6
    places = within(tops + heights / 2, tops[0], tops[-1] + heights[-1])
    for index, (top, height, place) in enumerate(zip(tops, heights, places, strict=True)):
        ax.add_patch(Rectangle((left, top), BLOCK, height, color=colours[index], linewidth=0))
        ax.text(x, place, texts[index], size=SIZE, ha=align, va="center_baseline")


def effects(table) -> NotebookFigure:
    """How far each group differs from all others in each feature: Cliff's delta in coloured cells.

    table: groups (rows) by features (columns) as a DataFrame or what makes one, -1..1; blue where
    the group has more than the others, orange where less, grey where the number is NaN.
    """
    table = pd.DataFrame(table)
    deltas = table.to_numpy(dtype=float)
    if not deltas.size or (np.abs(deltas) > 1).any():
        raise ValueError("effects need a table of groups by features, its numbers within -1..1")
    names, features = ([str(name) for name in part] for part in (table.index, table.columns))
    names = [shorten(name, SIZE, NAME_PIXELS) for name in names]
    features = [shorten(name, SIZE, COLUMN_PIXELS) for name in features]
    left = EDGE + int(max(text_width(name, SIZE) for name in names)) + 10
    longest = max(text_width(name, SIZE) for name in features)
    cell = min(WIDEST_CELL, (ROOM - left - SLOPE[0] * longest) / len(features))
    slanted = longest > cell - 8
    top = 16 + int(SLOPE[1] * longest if slanted else LABEL)
    figure = blank(ROOM, top + CELL * len(names) + 62)
    ax = axes_at(figure, left, top, cell * len(features), CELL * len(names))
    shades = DIVERGING(Normalize(-1, 1)(deltas))
    shades[np.isnan(deltas)] = to_rgba(MISSING)
    bare(ax).imshow(shades, aspect="auto", interpolation="nearest")
    _ruled(ax, *deltas.shape)
    _deltas(ax, deltas, shades, cell)
    _effect_names(ax, names, features, cell, slanted)
    _scale(figure, max(left, 50), top + CELL * len(names) + 10)
    return figure


def _ruled(ax: Axes, rows: int, columns: int) -> None:
    ax.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="white", linewidth=1)
    ax.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="white", linewidth=1)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))


def _deltas(ax: Axes, deltas: np.ndarray, shades: np.ndarray, cell: float) -> None:
    size = SIZE * min(1, (cell - 5) / text_width("−0.00", SIZE))
    for (row, column), delta in np.ndenumerate(deltas):
        text = "n/a" if np.isnan(delta) else number(delta, 2)
        colour = text_on(to_hex(shades[row, column]))
        ax.text(column, row, text, size=size, ha="center", va="center_baseline", color=colour)


def _effect_names(ax: Axes, names, features, cell: float, slanted: bool) -> None:
    for row, name in enumerate(names):
        ax.text(-0.5 - 6 / cell, row, name, size=SIZE, ha="right", va="center_baseline")
    slant = {"rotation": ANGLE, "rotation_mode": "anchor", "ha": "left"}
    for column, name in enumerate(features):
        look = slant if slanted else {"ha": "center"}
        ax.text(column, -0.5 - 6 / CELL, name, size=SIZE, va="baseline", **look)


def _scale(figure, left: float, top: float) -> None:
    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(scale, cax=axes_at(figure, left, top, 240, 9), orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks([-1, 0, 1], labels=["−1, all less", "0", "1, all more"])
    bar.ax.tick_params(labelsize=SCALE_SIZE)
    bar.set_label("Cliff's delta against all other groups", size=SCALE_SIZE, labelpad=2)
