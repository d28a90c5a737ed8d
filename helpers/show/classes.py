"""Figures about classes: what is in them, how well each is recognised, which are confused."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .images import as_pixels, canvas, resized, rgb, tile, tile_side
from .style import (
    ANGLE,
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    ROOM,
    SLOPE,
    NotebookFigure,
    class_colour,
    count_axis,
    mix,
    panels,
    percent,
    percent_axis,
    percent_range,
    shorten,
    text_on,
    text_width,
)

NAME_SIZE = 9.5
NAME_PIXELS = 190
MOST_CLASSES_WITH_IMAGES = 12
MOST_BARS = 10
MOST_PANELS = 9
SLANTED_PIXELS = 150
ROW = 0.28
UNITS = {
    "brightness": "mean of all channels, 0 to 255",
    "contrast": "deviation over pixels and channels",
    "width": "pixels",
    "height": "pixels",
    "bytes": "bytes of the file",
    "hue": "degrees",
    "rotation": "degrees, clockwise",
    "size": "radius, in image widths",
    "x": "image widths from the left",
    "y": "image widths from the top",
}
"""Of columns that tables of images have, and of two that are measured on their pixels."""


def class_gallery(images, labels, classes: Sequence[str], per_class: int = 8) -> NotebookFigure:
    """A row for each class: its name, its colour, and its first `per_class` images.

    images: uint8 or float 0..1 (N, H, W, 3); labels: (N,) indices into `classes`. A class with
    fewer images has a shorter row.
    """
    pixels, labels = as_pixels(images), np.asarray(labels)
    if len(labels) != len(pixels):
        raise ValueError(f"{len(labels)} labels for {len(pixels)} images")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f"labels must be indices of the {len(classes)} classes")
    rows = [np.flatnonzero(labels == index)[:per_class] for index in range(len(classes))]
    room = int(min(96, max(40, 680 / len(classes))))
    pixels = resized(pixels[np.concatenate(rows)], tile_side(pixels, room))
    return _gallery(pixels, [len(row) for row in rows], classes, per_class)


def _gallery(pixels, counts, classes, per_class) -> NotebookFigure:
    tall, wide = pixels.shape[1] + 4, pixels.shape[2] + 4
    left = _name_room(classes) + 14
    picture = np.full((tall * len(classes), left + wide * per_class, 3), 255, np.uint8)
    first = 0
    for index, count in enumerate(counts):
        top = index * tall
        picture[top + 2 : top + tall - 2, left - 8 : left - 2] = rgb(class_colour(index))
        if count:
            strip = tile(pixels[first : first + count], count, margin=2)
            picture[top : top + tall, left : left + wide * count] = strip
        first += count
    figure, ax = canvas(picture)
    _names_beside(ax, classes, left - 16, tall, 0)
    return figure


def _name_room(names: Sequence[str]) -> int:
    return int(min(NAME_PIXELS, max(text_width(name, NAME_SIZE) for name in names))) + 8


def _names_beside(ax: Axes, names, right: float, step: float, top: float) -> None:
    for index, name in enumerate(names):
        text = shorten(name, NAME_SIZE, NAME_PIXELS)
        y = top + (index + 0.5) * step
        ax.text(right, y, text, size=NAME_SIZE, ha="right", va="center")


def class_counts(counts: Mapping[str, pd.Series]) -> NotebookFigure:
    """How many images each class has in each part, as stacked bars with their total.

    counts: part ("train", "test", ...) to a Series of counts by class name. The largest class is
    on top; classes of one size keep their order. A class missing in a part counts 0 there.
    """
    names = list(dict.fromkeys(name for series in counts.values() for name in series.index))
    if not names:
        raise ValueError("there is no class to count")
    table = pd.DataFrame({part: s.reindex(names, fill_value=0) for part, s in counts.items()})
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    figure, ax = panels(1, height=0.9 + ROW * len(table))
    left = np.zeros(len(table))
    for index, part in enumerate(table):
        colour = mix(BLUE, min(0.3 * index, 0.85), "white")
        ax.barh(range(len(table)), table[part], left=left, height=0.72, color=colour, label=part)
        left += table[part].to_numpy()
    for row, total in enumerate(left):
        ax.annotate(f"{total:,.0f}", (total, row), (5, 0), textcoords="offset points", va="center")
    _class_rows(ax, table.index)
    ax.set(xlabel="images", xlim=(0, 1.08 * max(left.max(), 1)))
    count_axis(ax.xaxis)
    figure.legend(loc="outside upper left", ncols=len(table.columns))
    return figure


def _class_rows(ax: Axes, names) -> None:
    ax.set_yticks(range(len(names)), [shorten(str(n), NAME_SIZE, NAME_PIXELS) for n in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def class_accuracy(names: Sequence[str], intervals, overall: float | None = None) -> NotebookFigure:
    """Each class's accuracy with its interval, best on top, and its number.

    intervals: one for each class, with `value`, `low` and `high` in 0..1; a class whose value is
    NaN (no image) comes last, with no dot. `overall` is drawn as a line.
    """
    _one_for_each(names, intervals)
    values = np.array([interval.value for interval in intervals])
    figure, ax = panels(1, height=0.9 + ROW * len(names))
    order = np.argsort(-values, kind="stable")
    for row, index in enumerate(order):
        interval, colour = intervals[index], class_colour(int(index))
        ax.plot((interval.low, interval.high), (row, row), color=colour, linewidth=3, alpha=0.55)
        ax.plot(interval.value, row, "o", color=colour, markersize=7)
        _beside(ax, row, percent_range(interval))
    bounds = [bound for i in intervals for bound in (i.value, i.low, i.high)]
    _accuracy_axis(ax, [*bounds, *([] if overall is None else [overall])])
    _class_rows(ax, [names[index] for index in order])
    _overall(ax, overall)
    return figure


def _one_for_each(names, intervals) -> None:
    if not len(names) or len(names) != len(intervals):
        raise ValueError(f"{len(intervals)} intervals for {len(names)} classes")


def _beside(ax: Axes, row: int, text: str) -> None:
    place = ax.get_yaxis_transform()
    ax.text(1.015, row, text, transform=place, va="center", color=INK, size=NAME_SIZE)


def _accuracy_axis(ax: Axes, values) -> None:
    """From the tens below the lowest value to the highest, a little beyond; grid for the eye."""
    values = [value for value in values if not isnan(value)] or [0, 1]
    low, high = np.floor(10 * min(values)) / 10, max(values)
    margin = 0.02 * (high - low) + 0.002
    ax.set(xlim=(low - margin, high + margin), xlabel="accuracy")
    ax.grid(axis="x")
    percent_axis(ax.xaxis)


def _overall(ax: Axes, overall: float | None) -> None:
    if overall is not None:
        ax.axvline(overall, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        text = f"all classes {percent(overall)}"
        place = ax.get_xaxis_transform()
        ax.text(overall, 1.01, text, transform=place, ha="center", va="bottom", color=GREY, size=9)


def error_examples(images, labels, predicted, confidence=None) -> dict[tuple[int, int], np.ndarray]:
    """One misread image for each (true, predicted) that occurs: the first, or where `confidence`
    (N,) is given the most confident.
    """
    pixels = as_pixels(images)
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    order = np.flatnonzero(labels != predicted)
    if confidence is not None:
        order = order[np.argsort(-np.asarray(confidence)[order], kind="stable")]
    # The last to be written wins, so the one that is wanted goes last.
    return {(int(labels[row]), int(predicted[row])): pixels[row] for row in order[::-1]}


def confusion_with_images(
    matrix, classes: Sequence[str], examples: Mapping[tuple[int, int], np.ndarray] | None = None
) -> NotebookFigure:
    """The confusion matrix with a misread image in each cell that has errors (deepViz, 2013).

    matrix: (C, C) counts, rows true, columns predicted; examples: (true, predicted) to an image,
    as `error_examples` picks them. Blue: what share of the row was read rightly; orange: where
    the rest went, in shades of their own, since errors are rare. Beyond 12 classes the cells are
    too small for images; a note says so.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (len(classes),) * 2 or not len(classes):
        raise ValueError(f"{len(classes)} classes need a square matrix, not shape {matrix.shape}")
    pictured = len(classes) <= MOST_CLASSES_WITH_IMAGES
    examples = examples if pictured and examples else {}
    grid, shades = _confusion_grid(classes, foot=0 if pictured else 26), _confusion_shades(matrix)
    picture = _confusion_picture(matrix, examples, grid, shades)
    figure, ax = canvas(picture, photographs=bool(examples))
    _confusion_counts(ax, matrix, examples, shades, grid)
    _confusion_names(ax, classes, grid)
    if not pictured:
        note = f"{len(classes)} classes: images are shown for up to {MOST_CLASSES_WITH_IMAGES}."
        ax.text(grid.left, len(picture) - 11, note, size=NAME_SIZE, color=GREY, va="center")
    return figure


class _Grid(NamedTuple):
    """Pixels: the borders of a grid of cells, and the width and height of a cell."""

    left: int
    top: int
    right: int
    foot: int
    wide: int
    tall: int
    slanted: bool

    @property
    def side(self) -> int:
        """Of the image in a cell."""
        return self.tall - 6

    def cell(self, picture: np.ndarray, row: int, column: int) -> np.ndarray:
        y, x = self.top + row * self.tall, self.left + column * self.wide
        return picture[y + 1 : y + self.tall - 1, x + 1 : x + self.wide - 1]

    def middle(self, row: float, column: float) -> tuple[float, float]:
        return self.left + (column + 0.5) * self.wide, self.top + (row + 0.5) * self.tall


def _confusion_grid(classes, foot: int) -> _Grid:
    """Names above the columns stand upright, or slanted where one is wider than its cell."""
    left, room = _name_room(classes) + 22, ROOM
    longest = max(text_width(name, NAME_SIZE) for name in classes)
    wide = int(min(160, (room - left) / len(classes)))
    if longest <= wide - 4:
        return _Grid(left, 40, 0, foot, wide, max(16, int(0.66 * wide)), slanted=False)
    longest = min(longest, SLANTED_PIXELS)
    top, right = int(SLOPE[1] * longest) + 36, int(SLOPE[0] * longest)
    wide = max(16, int((room - left - right) / len(classes)))
    return _Grid(left, top, right, foot, wide, max(16, int(0.66 * wide)), slanted=True)


def _confusion_picture(matrix, examples, grid: _Grid, shades) -> np.ndarray:
    height = grid.top + len(matrix) * grid.tall + grid.foot
    width = grid.left + len(matrix) * grid.wide + grid.right
    picture = np.full((height, width, 3), 255, np.uint8)
    for (row, column), count in np.ndenumerate(matrix):
        cell = grid.cell(picture, row, column)
        cell[:] = rgb(shades[row][column])
        if count and row != column and (row, column) in examples:
            image = _square(examples[row, column], grid.side)
            cell[2 : 2 + grid.side, 2 : 2 + grid.side] = image
    return picture


def _confusion_shades(matrix: np.ndarray) -> list[list[str]]:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(shares), dtype=bool)
    most = max(shares[~right].max(initial=0), 1e-9)
    return [
        [_shade(BLUE, share) if i == j else _shade(ORANGE, share / most) for j, share in row]
        for i, row in enumerate(map(enumerate, shares))
    ]


def _shade(colour: str, strength: float) -> str:
    return mix(FAINT, float(strength), colour)


def _square(image, side: int) -> np.ndarray:
    pixels = as_pixels(np.asarray(image)[None])
    least = min(pixels.shape[1:3])
    top, left = (pixels.shape[1] - least) // 2, (pixels.shape[2] - least) // 2
    return resized(pixels[:, top : top + least, left : left + least], side)[0]


def _confusion_counts(ax: Axes, matrix, examples, shades, grid: _Grid) -> None:
    size = next(size for size, wide in ((7, 40), (8, 65), (9, 100), (11, 999)) if grid.wide <= wide)
    for (row, column), count in np.ndenumerate(matrix):
        right = row == column
        x, y = grid.middle(row, column)
        # Beside the image, where there is one.
        x += grid.side / 2 if not right and (row, column) in examples else 0
        if count:
            weight = "bold" if right else "normal"
            colour = text_on(shades[row][column])
            ax.text(x, y, f"{count}", size=size, ha="center", va="center", weight=weight, c=colour)


def _confusion_names(ax: Axes, classes, grid: _Grid) -> None:
    _names_beside(ax, classes, grid.left - 8, grid.tall, grid.top)
    slant = {"rotation": ANGLE, "rotation_mode": "anchor", "ha": "left"}
    for index, name in enumerate(classes):
        text = shorten(name, NAME_SIZE, SLANTED_PIXELS)
        x = grid.middle(0, index)[0] + (4 if grid.slanted else 0)
        how = slant if grid.slanted else {"ha": "center"}
        ax.text(x, grid.top - 6, text, size=NAME_SIZE, va="baseline", **how)
    middle = grid.top + len(classes) * grid.tall / 2
    ax.text(grid.left, 9, "taken for", size=NAME_SIZE, color=GREY, va="center")
    ax.text(8, middle, "true class", size=NAME_SIZE, color=GREY, rotation=90, va="center")


def attributes(table: pd.DataFrame, columns: Sequence[str] | None = None) -> NotebookFigure:
    """How often each value of a table's columns occurs: bars for kinds, histograms for numbers.

    columns: which (the first nine that vary, without names and whole numbers that differ in each
    row, such as paths and indices). Of kinds the ten most frequent are shown. NaN is left out, and
    counted in the title. Columns are named as in the tables of image sets, where `UNITS` says what
    they are in; brightness and contrast, where the table has them, are on the scale of bytes.
    """
    columns = list(columns or [name for name in table if _tells(table[name])][:MOST_PANELS])
    if not columns:
        raise ValueError("no column of the table has several values that recur")
    across = min(3, len(columns))
    figure, axes = panels(across, -(-len(columns) // across), height=2.5, squeeze=False)
    for ax, name in zip(axes.flat, columns, strict=False):
        values = table[name].dropna()
        (_histogram if _measured(values) else _bars)(ax, values)
        missing = len(table) - len(values)
        ax.set_title(f"{name} ({missing:,} unknown)" if missing else str(name))
    for ax in axes.flat[len(columns) :]:
        ax.set_visible(False)
    return figure


def _tells(values: pd.Series) -> bool:
    distinct = values.nunique()
    if not pd.api.types.is_float_dtype(values) and distinct == len(values):
        return False
    return distinct > 1 and (_measured(values) or distinct <= max(30, len(values) // 20))


def _measured(values: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return numeric and values.nunique() > MOST_BARS


def _histogram(ax: Axes, values: pd.Series) -> None:
    ax.hist(values, bins=24, color=BLUE)
    ax.set(xlabel=UNITS.get(values.name, ""), ylabel="images")
    count_axis(ax.yaxis, 5)


def _bars(ax: Axes, values: pd.Series) -> None:
    counts = values.value_counts()
    if not pd.api.types.is_object_dtype(values) and not pd.api.types.is_string_dtype(values):
        counts = counts.sort_index()
    if len(counts) > MOST_BARS:
        ax.set_xlabel(f"images ({MOST_BARS} most frequent of {len(counts)})")
        counts = counts.iloc[:MOST_BARS]
    else:
        ax.set_xlabel("images")
    ax.barh(range(len(counts)), counts, height=0.7, color=BLUE)
    _class_rows(ax, [str(name) for name in counts.index])
    count_axis(ax.xaxis, 5)
