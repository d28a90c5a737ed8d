"""Figures of images in rows: the typical ones of each group, and the nearest of each image."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .images import as_pixels, canvas, resized, rgb, tile, tile_side
from .style import INK, ROOM, NotebookFigure, class_colour, shorten, text_width

EDGE, GAP = 10, 14
NAME_SIZE, NOTE_SIZE, KEY_SIZE = 9.5, 8.5, 9
NAME_PIXELS, CAPTION_PIXELS, KEY_PIXELS = 190, 118, 200
LINE, BOLD = 15, 1.1
LARGEST, SMALLEST, TALLEST = 96, 40, 680
FRAME = 3


def group_rows(
    images, typical, names: Sequence[str], notes: Sequence[str] | None = None
) -> NotebookFigure:
    """A row for each group of images: its name, a note below it, and its typical images.

    images: uint8 or float 0..1 (N, H, W, 3); typical: (k, m) indices of images, most typical
    first, -1 where a group has fewer; names, notes: a short text for each of the k groups.
    """
    typical = _indices(typical, len(names), len(images))
    notes = [""] * len(names) if notes is None else notes
    texts = [
        [shorten(name, NAME_SIZE, NAME_PIXELS / BOLD), *wrapped(note, NOTE_SIZE, NAME_PIXELS, 2)]
        for name, note in zip(names, notes, strict=True)
    ]
    left = EDGE + _widest(texts) + GAP
    strips = _strips(images, typical, (ROOM - left) // typical.shape[1])
    step = max(_tallest(strips), LINE * max(map(len, texts))) + 8
    sheet = white(step * len(names) + 4, ROOM)
    for row, strip in enumerate(strips):
        paste(sheet, strip, left, 4 + row * step)
    figure, ax = canvas(sheet)
    for row, lines in enumerate(texts):
        _lines(ax, lines, left - GAP, 4 + (row + 0.5) * step - 2)
    return figure


def neighbour_rows(
    images, queries, neighbours, labels, names: Sequence[str], captions: Sequence[str] | None = None
) -> NotebookFigure:
    """A row for each query: a caption, the image itself in a dark frame, then its neighbours.

    images: uint8 or float 0..1 (N, H, W, 3); queries: (Q,) and neighbours: (Q, m) indices of
    images, -1 for none; labels: (N,) indices into `names`, whose colours frame the images.
    """
    queries = _indices(np.asarray(queries).reshape(-1, 1), len(queries), len(images), least=0)
    neighbours = _indices(neighbours, len(queries), len(images))
    labels = _labels(labels, len(images), names)
    captions = [""] * len(queries) if captions is None else captions
    room = (ROOM - EDGE - CAPTION_PIXELS - 3 * GAP) // (1 + neighbours.shape[1])
    rows = np.hstack([queries, neighbours])
    strips = _strips(images, rows, room, labels)
    tall, side = _tallest(strips), strips[0].shape[1] // (rows[0] >= 0).sum()
    step = tall + 10
    texts = [wrapped(text, NOTE_SIZE, CAPTION_PIXELS, max(1, tall // LINE)) for text in captions]
    left = EDGE + _widest(texts) + GAP
    shown = np.unique(labels[rows[rows >= 0]])
    key = key_height(names, shown, ROOM - 2 * EDGE)
    sheet = white(step * len(rows) + key + 4, ROOM)
    for row, strip in enumerate(strips):
        top = 5 + row * step
        paste(sheet, _framed(strip[:, :side]), left - 2, top - 2)
        paste(sheet, strip[:, side:], left + side + GAP, top)
    figure, ax = canvas(sheet)
    for row, lines in enumerate(texts):
        _lines(ax, lines, left - GAP, 5 + row * step + tall / 2, bold=False)
    class_key(ax, names, shown, EDGE, step * len(rows) + 4, ROOM - 2 * EDGE)
    return figure


def wrapped(text: str, size: float, pixels: float, most: int) -> list[str]:
    """`text` in at most `most` lines of that many pixels at `size` points, the last one cut."""
    lines: list[str] = []
    for paragraph in str(text).splitlines():
        lines.append("")
        # At spaces alone: numbers and their units are held together by other ones.
        for word in paragraph.split(" "):
            longer = f"{lines[-1]} {word}".strip(" ")
            if lines[-1] and text_width(longer, size) > pixels:
                lines.append(word)
            else:
                lines[-1] = longer
    kept = [*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines
    return [shorten(line, size, pixels) for line in kept]


def key_height(names: Sequence[str], shown, width: int) -> int:
    """How many pixels tall `class_key` is."""
    _, _, across = _key_plan(names, shown, width)
    return (LINE + 4) * -(-len(shown) // across) + 6


def class_key(ax: Axes, names: Sequence[str], shown, left: float, top: float, width: int) -> None:
    """Name the colours of the classes `shown` in an axes of pixels, in even columns."""
    texts, step, across = _key_plan(names, shown, width)
    for place, (index, text) in enumerate(zip(shown, texts, strict=True)):
        x, y = left + place % across * step, top + 3 + (LINE + 4) * (place // across)
        patch = Rectangle((x, y + 4), 11, 11, color=class_colour(int(index)), linewidth=0)
        ax.add_patch(patch)
        write(ax, text, x + 17, y + 10, size=KEY_SIZE)


def _key_plan(names, shown, width: int) -> tuple[list[str], int, int]:
    texts = [shorten(names[index], KEY_SIZE, KEY_PIXELS) for index in shown]
    step = int(max((text_width(text, KEY_SIZE) for text in texts), default=0)) + 34
    most = max(1, width // step)
    return texts, step, -(-len(texts) // -(-len(texts) // most))


def _indices(table, rows: int, count: int, least: int = -1) -> np.ndarray:
    table = np.asarray(table)
    if table.ndim != 2 or len(table) != rows or 0 in table.shape:
        raise ValueError(f"{rows} rows need indices ({rows}, m), not shape {table.shape}")
    if not np.issubdtype(table.dtype, np.integer) or table.min() < least or table.max() >= count:
        raise ValueError(f"indices of {count} images must be whole numbers from {least} on")
    return table


def _labels(labels, count: int, names: Sequence[str]) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"{count} images need as many labels, not shape {labels.shape}")
    if count and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"labels must be indices of the {len(names)} classes")
    return labels


def _strips(images, table: np.ndarray, room: int, labels=None) -> list[np.ndarray]:
    """A picture for each row of indices, each image at most `room` pixels wide."""
    room = min(room, max(SMALLEST, TALLEST // len(table)), LARGEST)
    return [_row_strip(images, row[row >= 0], room, labels) for row in table]


def _row_strip(images, row: np.ndarray, room: int, labels) -> np.ndarray:
    if not len(row):
        return white(1, 1)
    pixels = as_pixels(np.asarray(images)[row])
    return row_of(pixels, room, 2) if labels is None else framed_row(pixels, room, labels[row])


def row_of(pixels: np.ndarray, room: int, margin: int, colours=None) -> np.ndarray:
    """One picture of images in a row, each at most `room` pixels wide with its frame."""
    pixels = resized(pixels, tile_side(pixels, room - 2 * margin))
    return tile(pixels, len(pixels), margin, colours=colours)


def framed_row(pixels: np.ndarray, room: int, labels) -> np.ndarray:
    """The same, each framed in the colour of its class, with a white line between frames."""
    if len(labels) != len(pixels):
        raise ValueError(f"{len(labels)} labels for {len(pixels)} images")
    strip = row_of(pixels, room, FRAME, [class_colour(int(index)) for index in labels])
    strip[[0, -1]] = 255
    strip.reshape(len(strip), len(pixels), -1, 3)[:, :, [0, -1]] = 255
    return strip


def _framed(picture: np.ndarray) -> np.ndarray:
    """With two dark pixels around it."""
    framed = np.empty((picture.shape[0] + 4, picture.shape[1] + 4, 3), np.uint8)
    framed[:] = rgb(INK)
    framed[2:-2, 2:-2] = picture
    return framed


def white(height: int, width: int) -> np.ndarray:
    """An empty picture."""
    return np.full((height, width, 3), 255, np.uint8)


def paste(sheet: np.ndarray, picture: np.ndarray, left: int, top: int) -> None:
    """Put a picture into a larger one."""
    height, width = picture.shape[:2]
    sheet[top : top + height, left : left + width] = picture


def _tallest(strips: Sequence[np.ndarray]) -> int:
    """The height of the tallest picture."""
    return max(len(strip) for strip in strips)


def _widest(texts: Sequence[Sequence[str]]) -> int:
    """Of lines whose first is bold, about a tenth wider."""
    widths = [BOLD * text_width(line, NAME_SIZE) for lines in texts for line in lines[:1]]
    widths += [text_width(line, NOTE_SIZE) for lines in texts for line in lines[1:]]
    return int(min(NAME_PIXELS, max(widths, default=0)))


def _lines(ax: Axes, lines: Sequence[str], right: float, middle: float, bold: bool = True) -> None:
    for row, line in enumerate(lines):
        first = bold and row == 0
        look = {"weight": "bold", "size": NAME_SIZE} if first else {"size": NOTE_SIZE}
        write(ax, line, right, middle + LINE * (row - (len(lines) - 1) / 2), ha="right", **look)


def write(ax: Axes, text: str, x: float, y: float, size: float = NAME_SIZE, **look) -> None:
    """One line of text, centred at height `y`."""
    ax.text(x, y, text, size=size, va="center_baseline", **look)
