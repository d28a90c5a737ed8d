"""Figures of classes compared with classes: heatmaps, with the tree and the clusters of classes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram

from .maps import axes_at, blank, name_classes, scatter
from .style import (
    ANGLE,
    DPI,
    FAINT,
    GREY,
    INK,
    ROOM,
    SEQUENTIAL,
    SLOPE,
    NotebookFigure,
    bare,
    class_colour,
    mix,
    shorten,
    text_on,
    text_width,
)

MOST_CLASSES_WITH_VALUES = 12
NAME_SIZE, NAME_PIXELS = 9.5, 150
TITLE_SIZE = 10.5
MARGIN, TITLE, FOOT = 10, 34, 58
TREE, SWATCH, TOP = 110, 12, 44
LARGEST_CELL, LEAST_NAMED = 48, 9
FEW_SIDE, MAP_SIDE = 200, 420
SELF, MISSING = FAINT, mix(GREY, 0.5, "white")


def divergence_map(
    matrix,
    names: Sequence[str],
    tree=None,
    clusters=None,
    title: str = "",
    unit: str = "bits",
) -> NotebookFigure:
    """How far each class is from each other one: the darker, the farther; numbers where they fit.

    matrix: (C, C) in `unit`, its diagonal left pale, NaN grey; tree: a linkage (C - 1, 4) as scipy
    has it, drawn at the left with heights in `unit`, which also orders the classes; clusters: (C,)
    labels, outlined. Without a tree the classes stand in order of cluster, or as given.
    """
    matrix = _square(matrix, names)
    plan = _plan(names, tree is not None, ROOM)
    width = min(ROOM, text_width(title, TITLE_SIZE) + 3 * MARGIN)
    figure = blank(max(plan.width, width), plan.height)
    _draw(figure, plan, matrix, names, tree, clusters, title, unit)
    return figure


def side_by_side(
    matrix,
    tree,
    points,
    labels,
    names: Sequence[str],
    clusters=None,
    titles: tuple[str, str] = ("", ""),
    unit: str = "bits",
) -> NotebookFigure:
    """Two answers to "which classes are alike": `divergence_map` left, a map of the images right.

    points: places (N, 2) of images, such as t-SNE's; labels: (N,) indices into `names`. A class
    has one colour in both; on the map its name stands at its median.
    """
    matrix = _square(matrix, names)
    plan = _plan(names, tree is not None, int(0.6 * ROOM))
    left = max(plan.width, ROOM // 3) + MARGIN
    side = min(ROOM - left - MARGIN, MAP_SIDE)
    top = max(TITLE, plan.top + plan.side - side)
    figure = blank(left + side + MARGIN, max(plan.height, top + side + MARGIN))
    _draw(
        figure, plan, matrix, names, tree, clusters, shorten(titles[0], TITLE_SIZE, left - 30), unit
    )
    ax = axes_at(figure, left, top, side, side)
    scatter(ax, points, labels, names)
    name_classes(ax, points, labels, names, side)
    _title(figure, left, shorten(titles[1], TITLE_SIZE, side))
    return figure


def in_words(names: Sequence[str], clusters) -> str:
    """Clusters (C,) of classes as "cat + dog; ship"."""
    labels = np.asarray(clusters)
    members = [[names[k] for k in np.flatnonzero(labels == label)] for label in np.unique(labels)]
    return "; ".join(" + ".join(each) for each in members)


def matrices_beside(
    matrices: Mapping[str, object],
    names: Sequence[str],
    order=None,
    unit: str = "bits",
    limits: tuple[float, float] | None = None,
) -> NotebookFigure:
    """Two to four matrices of the same classes in the same order, as heatmaps without numbers.

    matrices: title to (C, C); order: (C,) indices of classes, from the first row to the last (as
    given); limits: the ends of their scale of colours, where they are not the least and the largest
    number. Diagonals are left pale.
    """
    if not matrices:
        raise ValueError("there is no matrix to draw")
    order = np.arange(len(names)) if order is None else np.asarray(order)
    if sorted(order.tolist()) != list(range(len(names))):
        raise ValueError(f"order must hold each of the {len(names)} classes once")
    drawn = [_square(matrix, names)[np.ix_(order, order)] for matrix in matrices.values()]
    columns = 2 if len(drawn) == 4 else min(3, len(drawn))
    grid = _beside_plan(names, columns)
    rows = -(-len(drawn) // columns)
    foot = MARGIN + rows * grid.down
    figure, scale = blank(ROOM, foot + 48), _scale(drawn, limits)
    for index, (title, matrix) in enumerate(zip(matrices, drawn, strict=True)):
        row, column = divmod(index, columns)
        left, top = grid.left + column * grid.step, TOP + row * grid.down
        ax = axes_at(figure, left, top, grid.side, grid.side)
        _heat(ax, matrix, scale, grid.cell)
        _swatches(ax, order, grid.cell, rows="left")
        _title(figure, left, shorten(title, TITLE_SIZE, grid.step - 10), top - SWATCH - 12)
        if column == 0:
            _row_names(ax, [names[k] for k in order], grid.size, grid.cell, "left")
    _bar(figure, grid.left, foot, min(300, grid.side), scale, unit)
    return figure


class _BesidePlan(NamedTuple):
    """Pixels: the first heatmap's left edge, the side of one, the ways to the next, and a cell."""

    left: int
    side: int
    step: int
    down: int
    cell: float
    size: float


def _beside_plan(names: Sequence[str], columns: int) -> _BesidePlan:
    left = MARGIN + int(min(NAME_PIXELS, max(text_width(n, NAME_SIZE) for n in names))) + 22
    step = (ROOM - left - MARGIN) // columns
    side = min(step - 28, 360)
    cell = side / len(names)
    return _BesidePlan(left, side, step, side + 44, cell, _name_size(cell))


class _Plan(NamedTuple):
    """Pixels: the parts of a heatmap from left to right (margin, tree, cells, names) and down."""

    left: int
    cell: int
    count: int
    right: int
    top: int
    foot: int
    size: float

    @property
    def side(self) -> int:
        return self.cell * self.count

    @property
    def width(self) -> int:
        return self.left + self.side + self.right

    @property
    def height(self) -> int:
        return self.top + self.side + self.foot


def _plan(names: Sequence[str], tree: bool, room: int) -> _Plan:
    longest = int(min(NAME_PIXELS, max(text_width(name, NAME_SIZE) for name in names)))
    left = MARGIN + (TREE if tree else 0)
    largest = max(LARGEST_CELL, FEW_SIDE // len(names))
    cell = max(4, min(largest, (room - left - longest - 2 * SWATCH) // len(names)))
    size = _name_size(cell)
    right = longest + SWATCH + MARGIN if size else MARGIN
    top = TITLE + SWATCH + (int(SLOPE[1] * longest) + 8 if size else 0)
    return _Plan(left, cell, len(names), right, top, FOOT, size)


def _name_size(cell: float) -> float:
    """The size of names beside cells of that many pixels: 0 where none is readable."""
    return min(NAME_SIZE, cell / 1.6) if cell >= LEAST_NAMED else 0


def _square(matrix, names: Sequence[str]) -> np.ndarray:
    matrix = np.array(matrix, dtype=float)
    if matrix.shape != (len(names),) * 2 or not len(names):
        raise ValueError(f"{len(names)} classes need a square matrix, not shape {matrix.shape}")
    return matrix


def _order(count: int, tree, clusters) -> np.ndarray:
    if tree is not None:
        tree = np.asarray(tree, dtype=float)
        if tree.shape != (count - 1, 4):
            raise ValueError(f"a tree of {count} classes is ({count - 1}, 4), not {tree.shape}")
        return np.array(dendrogram(tree, no_plot=True)["leaves"]) if count > 1 else np.arange(1)
    return np.arange(count) if clusters is None else np.argsort(clusters, kind="stable")


def _draw(figure, plan: _Plan, matrix, names, tree, clusters, title: str, unit: str) -> None:
    order = _order(len(names), tree, clusters)
    ordered, scale = matrix[np.ix_(order, order)], _scale([matrix])
    ax = axes_at(figure, plan.left, plan.top, plan.side, plan.side)
    shades = _heat(ax, ordered, scale, plan.cell)
    if plan.count <= MOST_CLASSES_WITH_VALUES:
        _values(ax, ordered, shades, plan.cell)
    else:
        said = "" if tree is not None else unit
        _bar(figure, plan.left + 40, plan.top + plan.side + 10, 200, scale, said)
    _swatches(ax, order, plan.cell, rows="right")
    _row_names(ax, [names[k] for k in order], plan.size, plan.cell, "right")
    _column_names(ax, [names[k] for k in order], plan.size, plan.cell)
    if clusters is not None:
        _outline(ax, np.asarray(clusters)[order])
    if tree is not None:
        _tree(axes_at(figure, MARGIN, plan.top, TREE - 4, plan.side), tree, plan.count, unit)
    _title(figure, MARGIN, shorten(title, TITLE_SIZE, ROOM - 2 * MARGIN))


def _title(figure: Figure, left: float, text: str, top: float = 16) -> None:
    wide, tall = figure.get_size_inches() * DPI
    figure.text(left / wide, 1 - top / tall, text, size=TITLE_SIZE, va="center")


def _scale(matrices, limits: tuple[float, float] | None = None) -> ScalarMappable:
    """Colours from the least to the largest number off the diagonals, or between `limits`."""
    if limits:
        return ScalarMappable(Normalize(*limits), _colours())
    off = np.concatenate([m[~np.eye(len(m), dtype=bool)] for m in matrices])
    off = off[np.isfinite(off)]
    low, high = (off.min(), off.max()) if len(off) else (0.0, 1.0)
    return ScalarMappable(Normalize(low, high if high > low else low + 1), _colours())


def _colours() -> Colormap:
    """Without the ends, which hide the frame of a cell and the number in it."""
    return ListedColormap(matplotlib.colormaps[SEQUENTIAL](np.linspace(0.06, 0.92, 256)))


def _heat(ax: Axes, matrix: np.ndarray, scale: ScalarMappable, cell: float) -> np.ndarray:
    shades = scale.to_rgba(matrix)
    shades[~np.isfinite(matrix)] = matplotlib.colors.to_rgba(MISSING)
    shades[np.eye(len(matrix), dtype=bool)] = matplotlib.colors.to_rgba(SELF)
    ax.imshow(shades, aspect="auto", interpolation="nearest")
    bare(ax).autoscale(False)
    if cell >= 12:
        borders = np.arange(len(matrix) + 1) - 0.5
        ax.hlines(borders, -0.5, len(matrix) - 0.5, color="white", linewidth=1)
        ax.vlines(borders, -0.5, len(matrix) - 0.5, color="white", linewidth=1)
    return shades


def _values(ax: Axes, matrix: np.ndarray, shades: np.ndarray, cell: float) -> None:
    off = ~np.eye(len(matrix), dtype=bool)
    digits = _digits(matrix[off])
    texts = {
        (i, j): f"{matrix[i, j]:.{digits}f}" if np.isfinite(matrix[i, j]) else "n/a"
        for i, j in np.argwhere(off)
    }
    widest = max((text_width(text, 9) for text in texts.values()), default=1)
    size = 9 * min(1, (cell - 8) / widest)
    for (i, j), text in texts.items():
        colour = text_on(to_hex(shades[i, j]))
        ax.text(j, i, text, size=size, ha="center", va="center", color=colour)


def _digits(values: np.ndarray) -> int:
    """Decimals that give the largest number two digits that count: 0.62, 4.3, 57."""
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    return int(np.clip(1 - np.floor(np.log10(largest)), 0, 3)) if largest else 0


def _swatches(ax: Axes, order, cell: float, rows: str) -> None:
    thick, count = (SWATCH - 5) / cell, len(order)
    before, after = -0.5 - SWATCH / cell + 2 / cell, count - 0.5 + 3 / cell
    for place, index in enumerate(order):
        colour = class_colour(int(index))
        x = after if rows == "right" else before
        for corner, size in (
            ((x, place - 0.45), (thick, 0.9)),
            ((place - 0.45, before), (0.9, thick)),
        ):
            ax.add_patch(Rectangle(corner, *size, color=colour, linewidth=0, clip_on=False))


def _row_names(ax: Axes, names, size: float, cell: float, where: str) -> None:
    gap = (SWATCH + 2) / cell
    x, align = (len(names) - 0.5 + gap, "left") if where == "right" else (-0.5 - gap, "right")
    for row, name in enumerate(names if size else ()):
        text = shorten(name, size, NAME_PIXELS)
        ax.text(x, row, text, size=size, ha=align, va="center_baseline")


def _column_names(ax: Axes, names, size: float, cell: float) -> None:
    slant = {"rotation": ANGLE, "rotation_mode": "anchor", "ha": "left", "va": "baseline"}
    for column, name in enumerate(names if size else ()):
        text = shorten(name, size, NAME_PIXELS)
        ax.text(column + 5 / cell, -0.5 - (SWATCH + 2) / cell, text, size=size, **slant)


def _outline(ax: Axes, clusters: np.ndarray) -> None:
    """A line around all cells whose two classes are of one cluster.

    Clusters that the order keeps together are blocks on the diagonal; one that it tears apart has
    further blocks off it, so that nothing is drawn that is not so.
    """
    padded = np.pad(clusters[:, None] == clusters, 1)
    rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    line = {"color": INK, "linewidth": 2, "capstyle": "projecting", "clip_on": False}
    ax.hlines(rows - 0.5, columns - 0.5, columns + 0.5, **line)
    rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    ax.vlines(columns - 0.5, rows - 0.5, rows + 0.5, **line)


def _tree(ax: Axes, tree, count: int, unit: str) -> None:
    if count > 1:
        drawn = dendrogram(np.asarray(tree, dtype=float), no_plot=True)
        for leaves, heights in zip(drawn["icoord"], drawn["dcoord"], strict=True):
            ax.plot(heights, np.array(leaves) / 10 - 0.5, color=INK, linewidth=1.2)
    high = np.asarray(tree, dtype=float)[:, 2].max(initial=0) or 1
    ax.set(ylim=(count - 0.5, -0.5), xlim=(1.04 * high, 0), yticks=[])
    ax.set_xlabel(shorten(unit, 8.5, TREE + 30), loc="left", size=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_formatter(lambda height, _: f"{height:g}")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="x", labelsize=8.5)


def _bar(figure, left: float, top: float, width: float, scale: ScalarMappable, unit: str) -> None:
    bar = figure.colorbar(scale, cax=axes_at(figure, left, top, width, 9), orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_label(unit, size=8.5)
    bar.locator = MaxNLocator(4)
    bar.ax.tick_params(labelsize=8.5)
