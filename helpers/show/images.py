"""Images side by side, and small matrices with their numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from .style import DIVERGING, DPI, INK, ROOM, NotebookFigure, bare, shorten, text_on

LARGEST_TILE = 128
CAPTION = 8.5
LINE = 15


def mosaic(
    images,
    columns: int = 10,
    titles: Sequence[str] | None = None,
    colours: Sequence[str | None] | None = None,
) -> NotebookFigure:
    """Images in rows of `columns`, image k at row k // columns: thousands in one picture.

    images: uint8 or float 0..1, (N, H, W, 3) or (N, H, W). `titles`, one for each image, are
    written beneath it, in as many lines as they have, cut where they are too long; `colours` frame
    the images (None: no frame). Small images are enlarged by a whole factor, pixels left square.
    """
    pixels = as_pixels(images)
    _same_length("titles", titles, pixels)
    _same_length("colours", colours, pixels)
    columns = min(columns, len(pixels))
    margin = 4 if colours is not None else 1 if columns > 24 else 2
    pixels = resized(pixels, tile_side(pixels, ROOM // columns - 2 * margin))
    titles = [] if titles is None else [str(title).splitlines() for title in titles]
    below = LINE * max(map(len, titles), default=0) + (4 if titles else 0)
    figure, ax = canvas(tile(pixels, columns, margin, below, colours))
    _captions(ax, titles, columns, below, np.array(pixels.shape[1:3]) + 2 * margin)
    return figure


def _captions(ax: Axes, titles, columns: int, below: int, size: np.ndarray) -> None:
    height, width = size
    for k, lines in enumerate(titles):
        x, y = (k % columns + 0.5) * width, (k // columns) * (height + below) + height
        for line, text in enumerate(lines):
            text, place = shorten(text, CAPTION, width - 4), y + LINE * (line + 0.5)
            ax.text(x, place, text, size=CAPTION, ha="center", va="center")


def as_pixels(images) -> np.ndarray:
    """Images as uint8 (N, H, W, 3), from uint8 or float 0..1, in colour or grey.

    Raises ValueError for no image, for another shape, and for values that are no pixels.
    """
    pixels = np.asarray(images)
    if pixels.ndim == 3:
        pixels = np.repeat(pixels[..., None], 3, axis=3)
    if pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
        raise ValueError(f"images must be (N, H, W, 3) or (N, H, W), not {np.shape(images)}")
    if pixels.dtype == np.uint8:
        return pixels
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError("images must be uint8, or float between 0 and 1 without NaN")
    return np.rint(pixels * np.float32(255)).astype(np.uint8)


def tile_side(pixels: np.ndarray, room: int) -> int:
    """The height at which images fit into tiles `room` pixels wide: a multiple where they grow."""
    height, width = pixels.shape[1:3]
    factor = min(room, LARGEST_TILE) / width
    return height * int(factor) if factor >= 1 else max(1, int(height * room / width))


def resized(pixels: np.ndarray, height: int) -> np.ndarray:
    """Images at another height, shape kept: whole factors repeat pixels, others interpolate."""
    old_height, old_width = pixels.shape[1:3]
    if height % old_height == 0:
        factor = height // old_height
        return pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    size = max(1, round(old_width * height / old_height)), height
    resize = Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(image).resize(size, resize)) for image in pixels])


def tile(
    pixels: np.ndarray, columns: int, margin: int = 1, below: int = 0, colours=None
) -> np.ndarray:
    """One uint8 picture of images in rows of `columns`, each with `margin` pixels around it (in
    its colour, where it has one) and `below` white pixels beneath.
    """
    count, height, width = pixels.shape[:3]
    tall, wide, rows = height + 2 * margin, width + 2 * margin, -(-count // columns)
    cells = np.full((rows * columns, tall + below, wide, 3), 255, np.uint8)
    for k, colour in enumerate(colours or []):
        cells[k, :tall] = rgb(colour or "white")
    cells[:count, margin : margin + height, margin : margin + width] = pixels
    grid = cells.reshape(rows, columns, tall + below, wide, 3).swapaxes(1, 2)
    return grid.reshape(rows * (tall + below), columns * wide, 3)


def rgb(colour) -> np.ndarray:
    """A matplotlib colour as three uint8."""
    return np.rint(255 * np.array(to_rgb(colour))).astype(np.uint8)


def canvas(picture: np.ndarray, photographs: bool = True) -> tuple[NotebookFigure, Axes]:
    """A figure of exactly the picture's pixels, and axes in its pixel coordinates (y downwards)."""
    height, width = picture.shape[:2]
    size = width / DPI, height / DPI
    figure = NotebookFigure(figsize=size, dpi=DPI, photographs=photographs)
    ax = bare(figure.add_axes((0, 0, 1, 1)))
    extent = (0, width, height, 0)
    ax.imshow(picture, interpolation="nearest", extent=extent, aspect="auto")
    return figure, ax


def number_grid(
    ax: Axes,
    array,
    title: str = "",
    window: tuple[int, int, int, int] | None = None,
) -> Axes:
    """A small matrix with its numbers in coloured cells: blue above zero, orange below.

    array: (H, W), its largest absolute value in the full colour, NaN cells empty; `window` (row,
    column, height, width) is outlined.
    """
    array = np.asarray(array, dtype=float)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a number grid needs a matrix, not shape {array.shape}")
    limit = np.nanmax(np.abs(array), initial=0) or 1
    colours = DIVERGING(Normalize(-limit, limit)(array))
    ax.imshow(np.where(np.isnan(array)[..., None], 1, colours))
    digits = _digits(array)
    for (row, column), value in np.ndenumerate(array):
        if not np.isnan(value):
            shade = text_on(colours[row, column, :3])
            text = number(value, digits)
            ax.text(column, row, text, ha="center", va="center", color=shade)
    _rule(ax, *array.shape)
    if window is not None:
        _outline(ax, *window)
    ax.set_title(title, loc="center")
    return bare(ax)


def _digits(array: np.ndarray) -> int:
    """Decimals: none for whole numbers, else as many as leave three figures of the largest."""
    finite = array[np.isfinite(array)]
    largest = np.abs(finite).max(initial=0)
    return 0 if (finite == np.rint(finite)).all() or largest >= 100 else 1 + (largest < 10)


def number(value: float, digits: int = 0) -> str:
    """A number with a true minus sign, and none before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _rule(ax: Axes, rows: int, columns: int) -> None:
    ax.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="white", linewidth=1.5)
    ax.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="white", linewidth=1.5)


def _outline(ax: Axes, row: int, column: int, height: int, width: int) -> None:
    corner = (column - 0.5, row - 0.5)
    frame = Rectangle(corner, width, height, fill=False, edgecolor=INK, linewidth=2.5, zorder=5)
    ax.add_patch(frame).set_clip_on(False)


def _same_length(name: str, values, pixels: np.ndarray) -> None:
    if values is not None and len(values) != len(pixels):
        raise ValueError(f"{len(values)} {name} for {len(pixels)} images")
