"""Figures of images placed on a plane, such as t-SNE maps, coloured by class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .style import (
    DPI,
    WIDTH,
    NotebookFigure,
    bare,
    class_colour,
    mix,
    panels,
    shorten,
    text_width,
)

MOST_POINTS = 3000
MOST_NAMES, MOST_NAMES_BESIDE = 30, 12
MOST_STEPS = 500
NAME_SIZE, LEGEND_SIZE = 9, 9
NAME_PIXELS, LEGEND_PIXELS = 110, 200
HALO = (withStroke(linewidth=3, foreground="white"),)


def class_maps(maps: Mapping[str, object], labels, names: Sequence[str]) -> NotebookFigure:
    """Maps of the same images side by side, three in a row, each point in its class's colour.

    maps: title to places (N, 2); labels: (N,) indices into `names`. The classes are named
    below, up to twelve also at their medians. Of many images the same 3,000 are drawn in each map.
    """
    if not maps:
        raise ValueError("there is no map to draw")
    columns = min(3, len(maps)) if len(maps) != 4 else 2
    rows = -(-len(maps) // columns)
    side = min(4.2, WIDTH / columns)
    width = side * columns
    entries, across = _legend_entries(names, width)
    below = 0.22 * -(-len(names) // across) + 0.1
    figure, axes = panels(columns, rows, side + 0.36 + below / rows, width, squeeze=False)
    for ax, (title, points) in zip(axes.flat, maps.items(), strict=False):
        scatter(ax, points, labels, names)
        ax.set_box_aspect(1)
        if len(names) <= MOST_NAMES_BESIDE:
            name_classes(ax, points, labels, names, int(0.95 * side * DPI))
        ax.set_title(shorten(title, 10.5, 0.9 * side * DPI))
    for ax in axes.flat[len(maps) :]:
        ax.set_visible(False)
    _legend(figure, entries, across)
    return figure


def scatter(ax: Axes, points, labels, names: Sequence[str]) -> None:
    """Draw a map into `ax`: equal scales, no ticks, at most 3,000 points in mixed order."""
    points, labels = checked(points, labels, names)
    # Mixed, so that no class lies on top of the others.
    drawn = np.random.default_rng(0).permutation(len(points))[:MOST_POINTS]
    colours = [class_colour(int(label)) for label in labels[drawn]]
    size = float(np.clip(9_000 / max(len(drawn), 1), 4, 30))
    ax.scatter(*points[drawn].T, s=size, c=colours, linewidths=0, antialiased=False)
    bare(ax).set_aspect("equal", adjustable="datalim")


def checked(points, labels, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 2) and labels (N,) as arrays; ValueError where they are not that."""
    points, labels = np.asarray(points, dtype=float), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"a map is (N, 2), not {points.shape}")
    if labels.shape != (len(points),):
        raise ValueError(f"{len(points)} points need as many labels, not {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"labels must be indices of the {len(names)} classes")
    return points, labels


def _legend_entries(names: Sequence[str], width: float) -> tuple[list[str], int]:
    """Names as the legend shows them, and in how many columns of about equal length."""
    texts = [shorten(name, LEGEND_SIZE, LEGEND_PIXELS) for name in names]
    room = max(text_width(text, LEGEND_SIZE) for text in texts) + 40
    most = max(1, min(len(names), int((width * DPI - 20) // room)))
    return texts, -(-len(names) // -(-len(names) // most))


def _legend(figure: Figure, texts: Sequence[str], columns: int) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=7, color=class_colour(index))
        for index in range(len(texts))
    ]
    options = {"fontsize": LEGEND_SIZE, "handletextpad": 0.2, "columnspacing": 1.2}
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, **options)


def name_classes(ax: Axes, points, labels, names: Sequence[str], side: int) -> None:
    """Write each class's name at its median, moved as little as keeps names apart.

    `side`: of the square axes, in pixels. More than 30 classes are not named.
    """
    points, labels = checked(points, labels, names)
    present = [index for index in range(len(names)) if (labels == index).any()]
    if not present or len(present) > MOST_NAMES:
        return
    _fix_square(ax, points)
    low, span = np.array([ax.get_xlim()[0], ax.get_ylim()[0]]), np.ptp(ax.get_xlim())
    medians = np.array([np.median(points[labels == index], axis=0) for index in present])
    size = NAME_SIZE if len(present) <= 12 else NAME_SIZE - 1.5
    texts = [shorten(names[index], size, NAME_PIXELS) for index in present]
    boxes = np.array([(text_width(text, size) + 8, 1.75 * size) for text in texts])
    places = apart((medians - low) / span * side, boxes, (side, side))
    for index, text, place in zip(present, texts, places / side, strict=True):
        colour = mix(class_colour(index), 0.5, "black")
        style = {"size": size, "weight": "bold", "color": colour, "path_effects": HALO}
        ax.text(*place, text, ha="center", va="center", transform=ax.transAxes, **style)


def _fix_square(ax: Axes, points: np.ndarray) -> None:
    """Limits that hold all points in a square, so that places in it are known before drawing."""
    middle, half = (points.max(0) + points.min(0)) / 2, 0.53 * np.ptp(points, axis=0).max() or 1
    ax.set(xlim=middle[0] + np.array((-half, half)), ylim=middle[1] + np.array((-half, half)))


def apart(centres, sizes, room) -> np.ndarray:
    """Centres (K, 2) of boxes with `sizes` (K, 2), pushed apart until none overlap, within `room`.

    Pixels; `room` is (width, height). Where there is too little room some overlap remains.
    """
    placed, sizes, room = (np.array(part, dtype=float) for part in (centres, sizes, room))
    reach, half = (sizes[:, None] + sizes) / 2, np.minimum(sizes, room) / 2
    # Boxes at one place have no direction to be pushed in: the later one goes up.
    order = np.sign(np.subtract.outer(np.arange(len(placed)), np.arange(len(placed))))[..., None]
    for _ in range(MOST_STEPS):
        placed = np.clip(placed, half, room - half)
        between = placed[:, None] - placed
        overlap = reach - np.abs(between)
        overlap[(overlap <= 0.01).any(-1) | (order[..., 0] == 0)] = 0
        if not overlap.any():
            break
        shallow = overlap == overlap.min(-1, keepdims=True)
        towards = np.where(between == 0, order, np.sign(between))
        placed = placed + 0.5 * (overlap * shallow * towards).sum(1)
    return np.clip(placed, half, room - half)


def blank(width: float, height: float) -> NotebookFigure:
    """An empty figure of that many pixels, for axes at known places."""
    return NotebookFigure(figsize=(width / DPI, height / DPI), dpi=DPI)


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels from the left and from the top of `figure`."""
    wide, tall = figure.get_size_inches() * DPI
    place = (left / wide, 1 - (top + height) / tall, width / wide, height / tall)
    return figure.add_axes(place)
