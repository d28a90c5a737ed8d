"""Figures of one image: why it was misread, and everything about it on a card."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .images import LARGEST_TILE, as_pixels, canvas
from .maps import axes_at
from .signatures import (
    BOLD,
    EDGE,
    FRAME,
    GAP,
    LINE,
    NAME_PIXELS,
    NAME_SIZE,
    NOTE_SIZE,
    framed_row,
    paste,
    row_of,
    white,
    wrapped,
    write,
)
from .style import (
    GREY,
    PALE,
    ROOM,
    NotebookFigure,
    bare,
    class_colour,
    mix,
    percent,
    shorten,
    text_width,
)

ALONE_FRAME, MISREAD_LEFT = 4, 236
HEAD, TITLE, BETWEEN = 2 * LINE + 12, LINE + 4, 8
NEAREST, MAP, MOST_MAPS = 70, 58, 16
MOST_BARS, BAR, BARS_WIDTH = 10, 18, 330
RULE = mix(GREY, 0.5, "white")

Strip = tuple[str, np.ndarray]


def misread(
    image, label: int, predicted: int, own, other, names: Sequence[str], notes: Sequence[str] = ()
) -> NotebookFigure:
    """An image that the net got wrong, beside the nearest of its own class and of the other.

    image: (H, W, 3); label, predicted: indices into `names`; own, other: (m, H, W, 3), the images
    nearest to it in its own class and in the one it was taken for; notes: lines below the image.
    """
    alone = _alone(image, class_colour(label))
    right, wrong = (shorten(names[index], NAME_SIZE, NAME_PIXELS) for index in (label, predicted))
    room = (ROOM - EDGE - MISREAD_LEFT) // max(len(own), len(other), 1)
    strips = [
        (f"nearest of its own class, {right}", _one_class(own, label, room)),
        (f"nearest of the class it was taken for, {wrong}", _one_class(other, predicted, room)),
    ]
    lines = [line for note in notes for line in wrapped(note, NOTE_SIZE, MISREAD_LEFT - 30, 3)]
    below = HEAD + len(alone) + LINE
    height = max(_height(strips), below + LINE * len(lines))
    sheet = white(height, ROOM)
    paste(sheet, alone, EDGE, HEAD)
    figure, ax = _with_strips(sheet, strips, MISREAD_LEFT, 0)
    _headline(ax, right, shorten(f"taken for {wrong}", NAME_SIZE, MISREAD_LEFT - 2 * EDGE))
    for row, line in enumerate(lines):
        write(ax, line, EDGE, below + LINE * row, size=NOTE_SIZE)
    return figure


def image_card(
    image,
    scores,
    names: Sequence[str],
    label: int,
    neighbours,
    neighbour_labels=None,
    maps: Mapping[str, object] | None = None,
) -> NotebookFigure:
    """Everything about one image: scores, nearest images, feature maps.

    image: uint8 or float 0..1 (H, W, 3); scores: (C,) in 0..1; label: index into the C `names`;
    neighbours: (m, H, W, 3) with m at least 1, nearest first, framed in the colours of their
    classes where `neighbour_labels` (m,) are given; maps: layer to (channels, h, w), in grey from
    the layer's least to its largest value, the 16 channels of largest mean where there are more.
    Raises ValueError for other shapes and for scores that are not finite.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (len(names),) or not np.isfinite(scores).all():
        found = f"these have shape {scores.shape}"
        raise ValueError(f"{len(names)} classes need as many scores, all finite: {found}")
    alone = _alone(image, class_colour(label))
    strips = [_nearest(neighbours, neighbour_labels)]
    strips += [_layer(name, values) for name, values in (maps or {}).items()]
    shown = _bars_shown(scores, label)
    top = HEAD + max(len(alone), BAR * len(shown)) + BETWEEN
    sheet = white(top + _height(strips), ROOM)
    paste(sheet, alone, EDGE, HEAD)
    figure, ax = _with_strips(sheet, strips, EDGE, top)
    _bars(figure, EDGE + alone.shape[1] + 2 * GAP, scores, shown, names, label)
    predicted = int(np.argmax(scores))
    right, said = (shorten(names[index], NAME_SIZE, NAME_PIXELS) for index in (label, predicted))
    _headline(ax, right, f"read as {said}, {percent(scores[predicted])}")
    return figure


def _alone(image, colour: str) -> np.ndarray:
    room = LARGEST_TILE + 2 * ALONE_FRAME
    return row_of(as_pixels(np.asarray(image)[None]), room, ALONE_FRAME, [colour])


def _one_class(images, index: int, room: int) -> np.ndarray:
    if not len(images):
        return white(1, 1)
    pixels = as_pixels(images)
    return framed_row(pixels, room, [index] * len(pixels))


def _nearest(neighbours, labels) -> Strip:
    pixels = as_pixels(neighbours)
    room = min((ROOM - 2 * EDGE) // len(pixels), NEAREST)
    if labels is None:
        return "nearest images", row_of(pixels, room, FRAME)
    return "nearest images", framed_row(pixels, room, labels)


def _layer(name: str, maps) -> Strip:
    maps = np.asarray(maps, dtype=float)
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(f"feature maps of {name!r} must be (channels, h, w), not {maps.shape}")
    count, height, width = maps.shape
    kept = np.argsort(-maps.mean((1, 2)), kind="stable")[:MOST_MAPS]
    which = f"{count}" if count <= MOST_MAPS else f"the {MOST_MAPS} strongest of {count}"
    grey = (maps[kept] - maps.min()) / (np.ptp(maps) or 1)
    title = shorten(f"{name}: {which} maps of {height}×{width}", NOTE_SIZE, ROOM - 2 * EDGE)
    return title, row_of(as_pixels(grey), MAP, 1, [RULE] * len(kept))


def _height(strips: Sequence[Strip]) -> int:
    return sum(TITLE + len(picture) + BETWEEN for _, picture in strips)


def _with_strips(sheet: np.ndarray, strips: Sequence[Strip], left: int, top: int):
    """The figure of `sheet` with pictures below each other from `top` on, a title above each."""
    tops = [top + _height(strips[:row]) for row in range(len(strips))]
    for (_, picture), place in zip(strips, tops, strict=True):
        paste(sheet, picture, left, place + TITLE)
    figure, ax = canvas(sheet)
    for (title, _), place in zip(strips, tops, strict=True):
        write(ax, title, left + 2, place + TITLE / 2, size=NOTE_SIZE)
    return figure, ax


def _headline(ax: Axes, right: str, said: str) -> None:
    write(ax, right, EDGE, LINE, weight="bold")
    write(ax, said, EDGE, 2 * LINE + 1)


def _bars_shown(scores: np.ndarray, label: int) -> np.ndarray:
    """The classes of the largest scores, best first, and the image's own as the last if lower."""
    best = np.argsort(-scores, kind="stable")[:MOST_BARS]
    return best if label in best else np.append(best[:-1], label)


def _bars(figure: Figure, left: float, scores, shown, names: Sequence[str], label: int) -> None:
    texts = [shorten(names[index], NAME_SIZE, NAME_PIXELS / BOLD) for index in shown]
    left += BOLD * max(text_width(text, NAME_SIZE) for text in texts)
    ax = bare(axes_at(figure, left, HEAD, BARS_WIDTH, BAR * len(shown)))
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5))
    ax.barh(range(len(shown)), 1, height=0.7, color=PALE)
    ax.barh(range(len(shown)), scores[shown], 0.7, color=[class_colour(int(k)) for k in shown])
    for row, (index, text) in enumerate(zip(shown, texts, strict=True)):
        weight = "bold" if index == label else "normal"
        write(ax, text, -6 / BARS_WIDTH, row, ha="right", weight=weight)
        write(ax, percent(scores[index]), 1 + 6 / BARS_WIDTH, row, size=NOTE_SIZE, color=GREY)
