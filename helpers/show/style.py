"""How the pictures of the series look, and how a notebook shows them.

A notebook calls `apply_style()` once. Every figure function of this wing returns a
`NotebookFigure`: make it the last expression of a cell and it is shown once, as a small file.
(Two figures in one cell: `display(first, second)`.) It is never registered with pyplot, so there
is nothing to close and nothing leaks.
"""

from base64 import b64encode
from bisect import bisect_right
from collections.abc import Sequence
from io import BytesIO
from math import cos, isnan, radians, sin

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from PIL import Image

PALETTE = tuple(map(to_hex, matplotlib.color_sequences["petroff10"]))
BLUE, ORANGE, RED = PALETTE[:3]
GREY, INK, PALE, FAINT = "#7f868d", "#23282d", "#e9edf0", "#f6f7f8"
SEQUENTIAL = "Blues"
DIVERGING = LinearSegmentedColormap.from_list("orange-blue", [ORANGE, "#f4f6f7", BLUE])

DPI = 100
WIDTH = 9.5
ROOM = int(WIDTH * DPI)
"""Pixels across a notebook."""
LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue weigh in how bright a colour is."""
ANGLE = 60
SLOPE = cos(radians(ANGLE)), sin(radians(ANGLE))
"""How names above columns slant, and how far one goes to the right and up for each pixel."""
NO_BREAK = "\N{NO-BREAK SPACE}"
JPEG_QUALITY = 75

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "savefig.facecolor": "white",
    "savefig.dpi": "figure",
}


def apply_style() -> None:
    """Set matplotlib's defaults to the look of the series; once, at the top of a notebook."""
    matplotlib.rcParams.update(STYLE)


class NotebookFigure(Figure):
    """A matplotlib Figure that a notebook shows once and stores small.

    `photographs` says that it holds pictures, which a palette would flatten: then it is stored
    as JPEG, otherwise as PNG with at most 256 colours.
    """

    def __init__(self, *arguments, photographs: bool = False, **options):
        super().__init__(*arguments, **options)
        self.photographs = photographs

    def draw(self, renderer) -> None:
        # Classes may have dollars in their names. As a setting ("text.parse_math") this would
        # spoil the labels of logarithmic axes, which are mathematics.
        for text in self.findobj(Text):
            if "$" in text.get_text() and "mathdefault" not in text.get_text():
                text.set_parse_math(False)
        super().draw(renderer)

    # Takes precedence over the formatter that the inline backend registers for every Figure,
    # which would store a second, unquantised copy.
    def _ipython_display_(self) -> None:
        from IPython.display import display

        mime, data = encode(self)
        display({mime: b64encode(data).decode(), "text/plain": repr(self)}, raw=True)


def encode(figure: Figure) -> tuple[str, bytes]:
    """The MIME type and the bytes of the small file that stands for `figure` in a notebook."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", pil_kwargs={"compress_level": 1})
    picture = Image.open(drawn).convert("RGB")
    small = BytesIO()
    if getattr(figure, "photographs", False):
        picture.save(small, "JPEG", quality=JPEG_QUALITY, optimize=True)
        return "image/jpeg", small.getvalue()
    palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(small, "PNG", optimize=True)
    return "image/png", small.getvalue()


def panels(columns: int = 1, rows: int = 1, height: float = 3.2, width: float = WIDTH, **options):
    """A figure with a grid of axes, as (figure, axes); sizes in inches, `height` of one row.

    `axes` is one Axes for 1 x 1, otherwise an array of them; `options` go to `Figure.subplots`.
    """
    figure = NotebookFigure(figsize=(width, height * rows), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def bare(ax: Axes) -> Axes:
    """Take ticks and frame away, for axes that hold a picture."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def class_colour(index: int) -> str:
    """The colour of class `index`, the same in every figure: ten colours that colour-blind people
    can tell apart (Petroff 2021), then ten darker, then ten lighter ones, then again.
    """
    shades = ((0.0, "black"), (0.45, "black"), (0.5, "white"))
    return mix(PALETTE[index % 10], *shades[index // 10 % 3])


def mix(colour: str, share: float, other: str) -> str:
    """`colour` with a `share` (0..1) of `other` in it, as "#rrggbb"."""
    return to_hex((1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other)))


def text_on(colour) -> str:
    """The text colour, dark or white, that is readable on `colour`."""
    return INK if np.dot(to_rgb(colour), LUMA) > 0.5 else "white"


def percent(share: float, digits: int = 1) -> str:
    """0.697 as "69.7 %", with a no-break space; "n/a" for NaN."""
    return "n/a" if isnan(share) else f"{100 * share:.{digits}f}{NO_BREAK}%"


def percent_range(interval, digits: int = 1) -> str:
    """An interval with `value`, `low` and `high` in 0..1 as "69.7 % [69.3, 70.2]".

    Without the bracket where the bounds are NaN (one value has no interval).
    """
    value = percent(interval.value, digits)
    if isnan(interval.low) or isnan(interval.high):
        return value
    low, high = (f"{100 * bound:.{digits}f}" for bound in (interval.low, interval.high))
    return f"{value}{NO_BREAK}[{low},{NO_BREAK}{high}]"


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in points of a percent, signed: -0.058 as "−5.8"; "n/a" for NaN."""
    if isnan(difference):
        return "n/a"
    return f"{100 * difference:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def points_range(interval, digits: int = 1) -> str:
    """An interval of a difference as "−5.8 [−6.4, −5.2]", in percentage points.

    Without the bracket where it has no bounds.
    """
    value, low, high = (points(x, digits) for x in (interval.value, interval.low, interval.high))
    if isnan(interval.low) or isnan(interval.high):
        return value
    return f"{value}{NO_BREAK}[{low},{NO_BREAK}{high}]"


def direction(interval, words: Sequence[str] = ("more", "less", "no clear difference")) -> str:
    """Which of three words an interval of a difference calls for: above 0, below 0, or across it.

    Also the last where it has no bounds.
    """
    more, less, neither = words
    return more if interval.low > 0 else less if interval.high < 0 else neither


def percent_axis(axis) -> None:
    """Label an axis that runs from 0 to 1 in percent: `percent_axis(ax.yaxis)`."""
    axis.set_major_formatter(lambda share, _: f"{100 * share:.6g}{NO_BREAK}%")


def count_axis(axis, most: int = 7) -> None:
    """Label an axis with at most `most` whole numbers, thousands set apart: 12,000."""
    steps = (1, 2, 2.5, 5, 10)
    axis.set_major_locator(MaxNLocator(most - 1, steps=steps, integer=True, min_n_ticks=1))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def say(text: str) -> None:
    """Show a generated Markdown sentence in a notebook; print it anywhere else."""
    from IPython import get_ipython
    from IPython.display import Markdown, display

    if get_ipython() is None:
        print(text)
    else:
        display(Markdown(text))


def text_width(text: str, size: float) -> float:
    """How many pixels wide `text` is at `size` points."""
    font = get_font(findfont("DejaVu Sans"))
    font.set_size(size, DPI)
    font.set_text(text)
    return font.get_width_height()[0] / 64


def shorten(text: str, size: float, pixels: float) -> str:
    """`text`, cut with an ellipsis so that it is at most `pixels` wide at `size` points."""
    if text_width(text, size) <= pixels:
        return text
    lengths = range(len(text))
    kept = bisect_right(lengths, pixels, key=lambda n: text_width(text[:n] + "…", size)) - 1
    return text[: max(kept, 0)].rstrip(" _-") + "…"


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Move positions as little as is needed for neighbours to be `gap` apart, in the same order.

    For labels at the ends of lines: clusters that overlap are merged and centred on their mean.
    """
    positions = np.asarray(positions, dtype=float)
    order = np.argsort(positions, kind="stable")
    # Taking the k-th position down by k gaps turns "at least a gap apart" into "non-decreasing",
    # which pooling adjacent violators solves.
    ranks = gap * np.arange(len(positions))
    blocks: list[tuple[float, int]] = []
    for value in positions[order] - ranks:
        size = 1
        while blocks and blocks[-1][0] > value:
            mean, members = blocks.pop()
            value, size = (mean * members + value * size) / (members + size), members + size
        blocks.append((value, size))
    moved = np.empty(len(positions))
    moved[order] = np.repeat([b[0] for b in blocks], [b[1] for b in blocks]) + ranks
    return moved
