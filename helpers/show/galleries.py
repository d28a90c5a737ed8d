"""Figures of images that are doubted: those from outside, those misread, those rejected."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from .images import as_pixels, canvas, resized, rgb, tile, tile_side
from .maps import axes_at
from .signatures import (
    BOLD,
    EDGE,
    GAP,
    LINE,
    NAME_PIXELS,
    NAME_SIZE,
    NOTE_SIZE,
    class_key,
    key_height,
    paste,
    row_of,
    white,
    wrapped,
    write,
)
from .style import (
    BLUE,
    GREY,
    NO_BREAK,
    ROOM,
    NotebookFigure,
    class_colour,
    mix,
    percent_axis,
    percent_range,
    shorten,
    text_width,
)

ACROSS, COLUMN, WORDS, MOST_LINES, GUTTER = 8, 180, 140, 3, 6
PICTURE, BARS = 72, 170
TILE, FRAME, TAKEN, TILE_ROWS, HEAD = 64, 3, 6, 2, 120


def strip(images, rows: Sequence[Mapping[str, str]]) -> NotebookFigure:
    """Images side by side, a small table of words below: a row for each kind of word.

    images: uint8 or float 0..1 (m, H, W, 3); rows: for each image, kind of word (such as "image",
    "logits", "density") to the words. The first kind stands in bold; long words take up to three
    lines, and more than eight images a second band.
    """
    pixels = as_pixels(images)
    if len(rows) != len(pixels):
        raise ValueError(f"{len(rows)} tables of words for {len(pixels)} images")
    kinds = list(dict.fromkeys(kind for row in rows for kind in row))
    widest = max((text_width(kind, NOTE_SIZE) for kind in kinds), default=0)
    left, across = EDGE + int(min(WORDS, widest)) + GAP, min(len(pixels), ACROSS)
    wide = min((ROOM - left) // across, COLUMN)
    pixels = resized(pixels, tile_side(pixels, wide - GUTTER))
    words = [[_words(row, kind, wide, kind == kinds[0]) for kind in kinds] for row in rows]
    heights = [4 + LINE * max(map(len, column)) for column in zip(*words, strict=True)]
    tops = pixels.shape[1] + 10 + np.cumsum([0, *heights])
    step = int(tops[-1]) + GAP
    sheet = white(step * -(-len(pixels) // across), left + wide * across)
    places = [(left + wide * (k % across), step * (k // across)) for k in range(len(pixels))]
    for image, (x, y) in zip(pixels, places, strict=True):
        paste(sheet, image, x + (wide - image.shape[1]) // 2, y + 4)
    figure, ax = canvas(sheet)
    for row, (x, y) in zip(words, places, strict=True):
        _table(ax, row, x + wide / 2, y + tops)
    for y in range(0, len(sheet), step):
        _kinds(ax, kinds, left - GAP, y + tops)
    return figure


def _words(row: Mapping[str, str], kind: str, wide: int, bold: bool) -> list[str]:
    room = (wide - 2 * GUTTER) / (BOLD if bold else 1)
    return wrapped(row.get(kind, ""), NOTE_SIZE, room, MOST_LINES)


def _table(ax: Axes, cells: Sequence[Sequence[str]], centre: float, tops) -> None:
    for row, (lines, top) in enumerate(zip(cells, tops, strict=False)):
        for place, line in enumerate(lines):
            look = {"ha": "center", "weight": "normal" if row else "bold"}
            write(ax, line, centre, top + LINE * (place + 0.5), NOTE_SIZE, **look)


def _kinds(ax: Axes, kinds: Sequence[str], right: float, tops) -> None:
    for kind, top in zip(kinds, tops, strict=False):
        text = shorten(kind, NOTE_SIZE, WORDS)
        write(ax, text, right, top + LINE / 2, NOTE_SIZE, ha="right", color=GREY)


def error_gallery(
    images,
    labels,
    predicted,
    confidence,
    names: Sequence[str],
    bands: Sequence[float] = (0.5, 0.6, 0.7, 1.0),
) -> NotebookFigure:
    """The images that the net got wrong, by how sure it was: the surest band on top.

    images: uint8 or float 0..1 (N, H, W, 3), of which those with `predicted` (N,) other than
    `labels` (N,) are shown; confidence: (N,) 0..1; bands: rising bounds, widened where a misread
    image lies beyond. A frame has the colour of the true class, the bar below it that of the
    class it was taken for. Of a full band the surest are shown.
    """
    labels, predicted, confidence = map(np.asarray, (labels, predicted, confidence))
    if not len(images) == len(labels) == len(predicted) == len(confidence):
        raise ValueError("images, labels, predicted and confidence must be of one length")
    wrong = np.flatnonzero(labels != predicted)
    edges = _edges(bands, confidence[wrong])
    bounds = list(pairwise(edges))[::-1]
    rows = [wrong[_within(confidence[wrong], low, high, edges[-1])] for low, high in bounds]
    tiles = [_tiles(np.asarray(images), row, labels, predicted, confidence) for row in rows]
    texts = [
        (f"{100 * low:g} to {100 * high:g}{NO_BREAK}%", _count(len(row), len(cells)))
        for (low, high), row, cells in zip(bounds, rows, tiles, strict=True)
    ]
    return _bands(tiles, texts, names, np.unique([labels[wrong], predicted[wrong]]))


def _edges(bands: Sequence[float], confidence: np.ndarray) -> list[float]:
    edges = list(map(float, bands))
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"bands must be two or more rising bounds, not {tuple(bands)}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidence must lie between 0 and 1")
    below, above = (confidence < edges[0]).any(), (confidence > edges[-1]).any()
    return [*([0.0] if below else []), *edges, *([1.0] if above else [])]


def _within(values: np.ndarray, low: float, high: float, last: float) -> np.ndarray:
    """Where values lie in [low, high), with `high` too in the last band."""
    return (values >= low) & ((values <= high) if high == last else (values < high))


def _tiles(images: np.ndarray, row: np.ndarray, labels, predicted, confidence) -> np.ndarray:
    """The surest images of a band in their frames, (m, h, w, 3), in order of their classes."""
    tall = tile_side(images, TILE)
    wide = max(1, round(images.shape[2] * tall / images.shape[1]))
    height, width = tall + 2 * FRAME, wide + 2 * FRAME
    most = TILE_ROWS * ((ROOM - EDGE - HEAD - GAP) // (width + GUTTER))
    row = row[np.argsort(-confidence[row], kind="stable")[:most]]
    row = row[np.lexsort((-confidence[row], predicted[row], labels[row]))]
    shape = len(row), height + 2 + TAKEN + GUTTER, width + GUTTER, 3
    cells = np.full(shape, 255, np.uint8)
    for cell, own, other in zip(cells, labels[row], predicted[row], strict=True):
        cell[:height, :width] = rgb(class_colour(int(own)))
        cell[height + 2 : height + 2 + TAKEN, :width] = rgb(class_colour(int(other)))
    if len(row):
        pixels = resized(as_pixels(images[row]), tall)
        cells[:, FRAME : FRAME + tall, FRAME : FRAME + wide] = pixels
    return cells


def _count(all_of_them: int, shown: int) -> str:
    if shown < all_of_them:
        return f"{shown} of {all_of_them:,} misread"
    return f"{all_of_them or 'none'} misread"


def _bands(tiles, texts, names: Sequence[str], shown) -> NotebookFigure:
    """Rows of tiles below each other, with two lines of text at the left and a key beneath."""
    left = EDGE + HEAD + GAP
    strips = [
        tile(cells, _across(cells, left), 0) if len(cells) else white(1, 1) for cells in tiles
    ]
    tops = np.cumsum([4, *(max(len(strip), 2 * LINE) + GAP for strip in strips)])
    key = key_height(names, shown, ROOM - 2 * EDGE) if len(shown) else 0
    sheet = white(tops[-1] + key + LINE + 4, ROOM)
    for strip, top in zip(strips, tops, strict=False):
        paste(sheet, strip, left, top)
    figure, ax = canvas(sheet)
    for lines, top in zip(texts, tops, strict=False):
        for place, line in enumerate(lines):
            look = {"size": NOTE_SIZE} if place else {"weight": "bold"}
            write(ax, line, left - GAP, top + LINE * (place + 0.7), ha="right", **look)
    if len(shown):
        note = "frame: the true class; bar below it: the class it was taken for"
        write(ax, note, EDGE, tops[-1] + LINE / 2, NOTE_SIZE, color=GREY)
        class_key(ax, names, shown, EDGE, tops[-1] + LINE + 2, ROOM - 2 * EDGE)
    return figure


def _across(cells: np.ndarray, left: int) -> int:
    return min(len(cells), (ROOM - left) // cells.shape[2])


def causes(
    shares: Mapping[str, object], pictures: Mapping[str, object] | None = None
) -> NotebookFigure:
    """Why images were rejected: the share of each cause with its interval, and some of its images.

    shares: cause to interval (`value`, `low`, `high`, 0..1; NaN bounds are not drawn); pictures:
    cause to images (m, H, W, 3), of which as many are shown as fit into a row. A cause without
    pictures has its bar alone.
    """
    if not shares:
        raise ValueError("there is no cause to draw")
    strips = {cause: _strip(images) for cause, images in (pictures or {}).items() if len(images)}
    step = max((len(strip) for strip in strips.values()), default=2 * LINE + 8) + 10
    texts = [wrapped(cause, NAME_SIZE, NAME_PIXELS / BOLD, 2) for cause in shares]
    sheet = white(step * len(shares) + 44, ROOM)
    left = EDGE + NAME_PIXELS + GAP
    for row, cause in enumerate(shares):
        if cause in strips:
            paste(sheet, strips[cause], left + BARS + GAP, row * step + 5)
    figure, ax = canvas(sheet, photographs=bool(strips))
    wide = BARS if strips else ROOM - left - 2 * GAP
    bars = axes_at(figure, left, 0, wide, step * len(shares))
    for row, (lines, interval) in enumerate(zip(texts, shares.values(), strict=True)):
        middle = (row + 0.5) * step - LINE * len(lines) / 2
        for place, line in enumerate(lines):
            write(ax, line, left - GAP, middle + LINE * place, ha="right", weight="bold")
        number = percent_range(interval)
        write(ax, number, left - GAP, middle + LINE * len(lines), NOTE_SIZE, ha="right")
        _bar(bars, row, interval)
    most = np.nanmax([0.01, *(bound for i in shares.values() for bound in (i.value, i.high))])
    bars.set(xlim=(0, 1.05 * most), ylim=(len(shares) - 0.5, -0.5), yticks=[])
    bars.set_xlabel("of the images rejected", size=NOTE_SIZE)
    percent_axis(bars.xaxis)
    bars.tick_params(labelsize=NOTE_SIZE)
    return figure


def _strip(images) -> np.ndarray:
    pixels = as_pixels(images)
    room = ROOM - EDGE - NAME_PIXELS - 2 * GAP - BARS - EDGE
    return row_of(pixels[: room // PICTURE], PICTURE, 2)


def _bar(ax: Axes, row: int, interval) -> None:
    ax.barh(row, interval.value, height=0.42, color=mix(BLUE, 0.35, "white"))
    ax.plot((interval.low, interval.high), (row, row), color=mix(BLUE, 0.5, "black"), linewidth=2.5)
