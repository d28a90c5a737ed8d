"""Figures of attention: maps over their images, how large they are, and whether they are true."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.ndimage import binary_dilation

from .agreement import DASHES, name_samples, value_of
from .density import paper
from .images import as_pixels, canvas, number, resized, rgb, tile
from .maps import axes_at, blank
from .matrices import MISSING
from .signatures import (
    EDGE,
    GAP,
    LINE,
    NAME_PIXELS,
    NAME_SIZE,
    NOTE_SIZE,
    paste,
    white,
    wrapped,
    write,
)
from .style import (
    BLUE,
    GREY,
    INK,
    LUMA,
    ORANGE,
    PALE,
    ROOM,
    NotebookFigure,
    class_colour,
    mix,
    percent,
    percent_axis,
    shorten,
    spread,
    text_width,
)

COLOURS = matplotlib.colormaps["plasma"]
# Opacity by strength: none at zero, so that what speaks for nothing stays grey.
OPACITY, BEND = 0.7, 0.7
CONSTANT = 1e-6
NO_MAP = "no map"
LARGEST, MARGIN, SPARE, MOST, MOST_LINES, TALLEST = 192, 2, 20, 10, 3, 900
# A whole factor keeps pixels square, if it does not leave more of the room than this unused.
WASTE = 0.2
BAR, BAR_TALL, FOOT = 90, 9, 26
STRIP, POINTS, SPREAD, RIGHT = 58, 400, 0.36, 120
CELL, WIDEST_CELL, BREAK, ROW_PIXELS = 30, 150, 14, 230
TALL, LEFT, HEAD, SAMPLE, END_PIXELS, NUMBER, NAME_LINE = 260, 82, 32, 24, 130, 50, 17


def overlay_grid(
    images, maps, titles: Sequence[str] = (), columns: int = 8, outline=None
) -> NotebookFigure:
    """Images in grey under their attention, `columns` in a row.

    images: uint8 or float 0..1 (N, H, W, 3); maps: (N, H, W), of which what is above zero is
    drawn, each from zero (grey) to its own maximum (yellow): colours compare places of an image,
    not images. A map that is not finite, or flat above zero, points nowhere: its image stands
    bare, in its own colours, and is marked "no map". titles: a text for each, in up to three
    lines below it; outline: masks (N, H, W) bool, whose contours are drawn.
    """
    pixels, maps = _checked(images, maps)
    if len(titles) not in (0, len(pixels)):
        raise ValueError(f"{len(titles)} titles for {len(pixels)} images")
    columns = min(columns, len(pixels))
    room = ROOM // columns
    tiles = _laid(pixels, maps, room - 2 * MARGIN, outline)
    tall, wide = tiles.shape[1] + 2 * MARGIN, tiles.shape[2] + 2 * MARGIN
    step = min(room, wide + SPARE) if titles else wide
    lines = [wrapped(title, NOTE_SIZE, step - 4, MOST_LINES) for title in titles]
    below = LINE * max(map(len, lines), default=0) + (6 if lines else 0)
    places = [(k % columns * step, k // columns * (tall + below)) for k in range(len(pixels))]
    bottom = places[-1][1] + tall + below
    sheet, side = white(bottom + FOOT, ROOM), (step - wide) // 2 + MARGIN
    for picture, (x, y) in zip(tiles, places, strict=True):
        paste(sheet, picture, x + side, y + MARGIN)
    figure, ax = canvas(sheet)
    for (x, y), texts in zip(places, lines, strict=False):
        _centred(ax, texts, x + step / 2, y + tall)
    for k in np.flatnonzero(~_pointing(maps)):
        _mark(ax, places[k][0] + side, places[k][1] + MARGIN)
    _key(ax, bottom, side)
    return figure


def overlay_rows(images, rows: Mapping[str, object], titles: Sequence[str] = ()) -> NotebookFigure:
    """The same images under several attentions: a row for each, below the images themselves.

    images: uint8 or float 0..1 (N, H, W, 3); rows: method or net to maps (N, H, W), drawn as in
    `overlay_grid`; titles: a text for each image, in up to three lines above it. At most ten rows
    and ten images.
    """
    if not 0 < len(rows) <= MOST or len(images) > MOST:
        raise ValueError(f"{len(rows)} rows of {len(images)} images: give 1 to {MOST} of each")
    if len(titles) not in (0, len(images)):
        raise ValueError(f"{len(titles)} titles for {len(images)} images")
    checked = {name: _checked(images, maps)[1] for name, maps in rows.items()}
    names = [wrapped(name, NAME_SIZE, NAME_PIXELS, 2) for name in ("image", *rows)]
    left = EDGE + int(max(text_width(text, NAME_SIZE) for lines in names for text in lines)) + GAP
    room = min((ROOM - left) // len(images), TALLEST // len(names)) - 2 * MARGIN
    pixels = as_pixels(images)
    strips = [_enlarged(pixels, room), *(_laid(pixels, maps, room) for maps in checked.values())]
    tall, wide = strips[0].shape[1] + 2 * MARGIN, strips[0].shape[2] + 2 * MARGIN
    lines = [wrapped(title, NOTE_SIZE, wide - 4, MOST_LINES) for title in titles]
    top = LINE * max(map(len, lines), default=0) + 4
    picture = tile(np.concatenate(strips), len(pixels), MARGIN)
    sheet = white(top + len(picture) + FOOT, ROOM)
    paste(sheet, picture, left, top)
    figure, ax = canvas(sheet)
    lefts = left + wide * np.arange(len(pixels))
    for x, texts in zip(lefts, lines, strict=False):
        _centred(ax, texts, x + wide / 2, top - 4 - LINE * len(texts))
    for row, texts in enumerate(names):
        middle = top + tall * (row + 0.5) - LINE * (len(texts) - 1) / 2
        for place, text in enumerate(texts):
            write(ax, text, left - GAP, middle + LINE * place, ha="right")
    for row, maps in enumerate(checked.values(), 1):
        for x in lefts[~_pointing(maps)]:
            _mark(ax, x + MARGIN, top + tall * row + MARGIN)
    _key(ax, top + len(picture), left)
    return figure


def _checked(images, maps) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and what of their maps is above zero, NaN where it is not finite."""
    pixels, maps = as_pixels(images), np.asarray(maps, dtype=np.float32)
    if maps.shape != pixels.shape[:3]:
        raise ValueError(f"images {pixels.shape} need maps {pixels.shape[:3]}, not {maps.shape}")
    return pixels, np.where(np.isfinite(maps), np.maximum(maps, 0), np.nan)


def _pointing(maps: np.ndarray) -> np.ndarray:
    """Which maps say anything: (N,) bool."""
    low, high = maps.min((1, 2)), maps.max((1, 2))
    # Comparisons with NaN are false.
    return high - low > CONSTANT * high


def _laid(pixels: np.ndarray, maps: np.ndarray, room: int, outline=None) -> np.ndarray:
    """Images at most `room` wide under their maps; those without one as they are."""
    large = _enlarged(pixels, room)
    size, known = large.shape[1:3], _pointing(maps)
    strengths = _smooth(maps[known] / maps[known].max((1, 2), keepdims=True), size)
    large[known] = painted((large[known] @ LUMA)[..., None], strengths)
    if outline is not None:
        _contours(large, _masks(outline, pixels.shape[:3]))
    return large


def painted(grey: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Grey (..., 1) under the colours of strengths (...) in 0..1: uint8 (..., 3)."""
    opacity = OPACITY * strengths[..., None] ** BEND
    return np.rint((1 - opacity) * grey + opacity * 255 * COLOURS(strengths)[..., :3]).astype("u1")


def _enlarged(pixels: np.ndarray, room: int) -> np.ndarray:
    """Images at most `room` wide: by a whole factor where it nearly fills the room."""
    height, width = pixels.shape[1:3]
    factor = max(1, min(room, LARGEST)) / width
    if int(factor) >= (1 - WASTE) * factor:
        factor = int(factor)
    return resized(pixels, max(1, round(height * factor))).copy()


def _smooth(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values (N, h, w) at another size, bilinear: float32 (N, H, W)."""
    grown = np.empty((len(values), *size), np.float32)
    for one, value in zip(grown, values.astype(np.float32), strict=True):
        one[:] = Image.fromarray(value).resize(size[::-1], Image.Resampling.BILINEAR)
    return grown.clip(0, 1)


def _masks(outline, shape: tuple[int, ...]) -> np.ndarray:
    masks = np.asarray(outline)
    if masks.shape != shape or masks.dtype != bool:
        raise ValueError(f"outline must be bool {shape}, not {masks.dtype} {masks.shape}")
    return masks


def _contours(pictures: np.ndarray, masks: np.ndarray) -> None:
    """Draw the outer rim of each mask: a white line between dark ones."""
    masks = _smooth(masks, pictures.shape[1:3]) > 0.5
    for picture, mask in zip(pictures, masks, strict=True):
        white_line = binary_dilation(mask) & ~mask
        picture[binary_dilation(white_line) & ~white_line] = rgb(INK)
        picture[white_line] = 255


def _centred(ax: Axes, lines: Sequence[str], centre: float, top: float) -> None:
    for row, text in enumerate(lines):
        write(ax, text, centre, top + LINE * (row + 0.5), NOTE_SIZE, ha="center")


def _mark(ax: Axes, x: float, y: float) -> None:
    box = {"facecolor": INK, "edgecolor": "none", "pad": 2}
    write(ax, NO_MAP, x + 4, y + 9, NOTE_SIZE - 1, color="white", bbox=box)


def _key(ax: Axes, top: float, left: float) -> None:
    """What the colours mean, below the picture."""
    middle, zero = top + FOOT / 2 + 2, left + text_width("0", NOTE_SIZE) + 8
    shades = painted(np.full((1, BAR, 1), 150.0), np.linspace(0, 1, BAR)[None])
    limits = ax.axis()
    extent = (zero, zero + BAR, middle + BAR_TALL / 2, middle - BAR_TALL / 2)
    ax.imshow(shades, extent=extent, aspect="auto", zorder=2)
    ax.axis(limits)
    look = {"size": NOTE_SIZE, "color": GREY}
    write(ax, "0", left, middle, **look)
    write(ax, "each map's own maximum", zero + BAR + 6, middle, **look)


def areas(groups: Mapping[str, object], xlabel: str) -> NotebookFigure:
    """How attention areas are spread in each group of images: points, quartiles and median.

    groups: name to areas (n,), shares in 0..1; NaN, for images without a map, are left out and
    counted beside n. Of many images 400 are drawn as points, those of a row apart at random.
    """
    values = {name: _areas(name, group) for name, group in groups.items()}
    if not any(len(known) for known, _ in values.values()):
        raise ValueError("there is no area to draw: every group is empty, or all NaN")
    texts = [
        [*wrapped(name, NAME_SIZE, NAME_PIXELS, 2), _counted(*group)]
        for name, group in values.items()
    ]
    left = EDGE + int(max(text_width(text, NAME_SIZE) for lines in texts for text in lines)) + GAP
    figure = blank(ROOM, 8 + STRIP * len(values) + 50)
    ax = axes_at(figure, left, 8, ROOM - left - RIGHT, STRIP * len(values))
    ax.set(ylim=(len(values) - 0.5, -0.5), xlabel=xlabel, yticks=[])
    sheet = paper(figure)
    for row, (lines, (known, _)) in enumerate(zip(texts, values.values(), strict=True)):
        middle = 8 + STRIP * (row + 0.5)
        _named(sheet, lines, left - GAP, middle)
        if len(known):
            _strip(ax, row, known)
            text = f"median {percent(float(np.median(known)))}"
            write(sheet, text, ROOM - RIGHT + GAP, middle, NOTE_SIZE)
    ax.spines["left"].set_visible(False)
    percent_axis(ax.xaxis)
    ax.grid(axis="x")
    return figure


def _areas(name: str, values) -> tuple[np.ndarray, int]:
    """The areas that are there, and how many are not."""
    values = np.asarray(values, dtype=float)
    known = values[~np.isnan(values)]
    # Of single precision, the entropy of an even map may be above 1 by rounding.
    if values.ndim != 1 or (known.size and not (known.min() >= 0 and known.max() <= 1 + 1e-5)):
        raise ValueError(f"{name!r} needs areas (n,) between 0 and 1, or NaN")
    return known, len(values) - len(known)


def _named(ax: Axes, lines: Sequence[str], right: float, middle: float) -> None:
    """A name in one or two lines, a note below it."""
    for place, text in enumerate(lines, 1):
        look = {"size": NOTE_SIZE, "color": GREY} if place == len(lines) else {"size": NAME_SIZE}
        y = middle + (LINE + 1) * (place - (len(lines) + 1) / 2)
        write(ax, text, right, y, ha="right", **look)


def _counted(known: np.ndarray, missing: int) -> str:
    return f"n = {len(known):,}" + (f", {missing:,} without a map" if missing else "")


def _strip(ax: Axes, row: int, known: np.ndarray) -> None:
    rng = np.random.default_rng(row)
    shown = rng.permutation(known)[:POINTS]
    places = row + rng.uniform(-SPREAD, SPREAD, len(shown))
    ax.scatter(shown, places, s=5, color=mix(BLUE, 0.55, "white"), linewidths=0, zorder=1)
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    dark = mix(BLUE, 0.55, "black")
    corner = (low, row - 0.24)
    box = Rectangle(corner, high - low, 0.48, facecolor="none", edgecolor=dark, linewidth=1.8)
    ax.add_patch(box).set_zorder(2)
    ax.vlines(middle, row - 0.24, row + 0.24, color=dark, linewidth=3.6, zorder=3)


def truth_table(
    table: Mapping[str, Mapping[str, object]],
    controls: Sequence[str],
    lower: Sequence[str] = (),
) -> NotebookFigure:
    """How true the maps of each method are, a row each by several measures; controls below a rule.

    table: method or control to measure to interval (`value`, `low`, `high`; without bounds the
    value alone, a NaN value or a missing measure is "n/a"); controls: the names of those rows of
    `table` that know nothing of the net; lower: the measures that are better when smaller. Blue
    is better than the best control, orange worse, where the interval leaves its value out. The
    best of a column is framed, controls too, as is what is equal to it to three decimals.
    """
    measures = list(dict.fromkeys(measure for row in table.values() for measure in row))
    unknown = [*(set(controls) - set(table)), *(set(lower) - set(measures))]
    if not measures or unknown:
        raise ValueError(f"the table has no {unknown[0]!r}" if unknown else "the table is empty")
    methods = [name for name in table if name not in controls]
    names = [*methods, *controls]
    left = EDGE + int(min(ROW_PIXELS, max(text_width(name, NAME_SIZE) for name in names))) + GAP
    wide = min((ROOM - left - EDGE) // len(measures), WIDEST_CELL)
    heads = [_head(measure, measure in lower, wide) for measure in measures]
    top, gap = LINE * max(map(len, heads)) + 12, BREAK if methods and controls else 0
    figure = blank(left + wide * len(measures) + EDGE, top + CELL * len(names) + gap + EDGE)
    sheet = paper(figure)
    tops = [top + CELL * row + (gap if row >= len(methods) else 0) for row in range(len(names))]
    if gap:
        rule = tops[len(methods)] - gap / 2
        sheet.plot((EDGE, left + wide * len(measures)), (rule, rule), color=GREY, linewidth=1)
    for name, y in zip(names, tops, strict=True):
        text = shorten(name, NAME_SIZE, ROW_PIXELS)
        write(sheet, text, left - 10, y + CELL / 2, ha="right")
    for column, (measure, lines) in enumerate(zip(measures, heads, strict=True)):
        x, entries = left + wide * column, [table[name].get(measure) for name in names]
        _centred(sheet, lines, x + wide / 2, top - 6 - LINE * len(lines))
        _column(sheet, entries, len(methods), (x, wide), tops, -1 if measure in lower else 1)
    return figure


def _head(measure: str, lower: bool, wide: int) -> list[str]:
    return [*wrapped(measure, NOTE_SIZE, wide - 6, 2), *(["(lower is better)"] if lower else [])]


def _column(sheet: Axes, entries, methods: int, place, tops, sign: int) -> None:
    """The cells of one measure; `sign` is 1 where more is better, -1 where less is."""
    x, wide = place
    values = sign * np.array([value_of(entry) for entry in entries])
    known = values[np.isfinite(values)]
    best = np.round(values, 3) == np.round(known.max(initial=-np.inf), 3)
    controls = values[methods:][np.isfinite(values[methods:])]
    bar = controls.max() if len(controls) else np.nan
    for row, (entry, y) in enumerate(zip(entries, tops, strict=True)):
        # Controls are not judged by themselves.
        colour = _verdict(entry, bar if row < methods else np.nan, sign)
        sheet.add_patch(Rectangle((x + 1, y + 1), wide - 2, CELL - 2, color=colour, linewidth=0))
        look = {"ha": "center", "weight": "bold" if best[row] else "normal"}
        write(sheet, _with_half_width(entry), x + wide / 2, y + CELL / 2, **look)
        if best[row]:
            frame = {"fill": False, "edgecolor": INK, "linewidth": 1.8}
            sheet.add_patch(Rectangle((x + 2, y + 2), wide - 4, CELL - 4, **frame))


def _verdict(interval, bar: float, sign: int) -> str:
    """Blue, orange or neither, for an interval beyond, below or about what the controls reach."""
    if np.isnan(value_of(interval)):
        return MISSING
    low, high = sorted((sign * interval.low, sign * interval.high))
    # Comparisons with NaN are false.
    shade = BLUE if low > bar else ORANGE if high < bar else None
    return mix(shade, 0.68, "white") if shade else PALE


def _with_half_width(interval) -> str:
    if not np.isfinite(value_of(interval)):
        return "n/a"
    half = (interval.high - interval.low) / 2
    value = number(interval.value, 3)
    return f"{value} ± {half:.3f}" if np.isfinite(half) else value


def curves_beside(
    curves: Mapping[str, Mapping[str, object]], shares, ylabel: str = "score"
) -> NotebookFigure:
    """Mean score by the share of pixels deleted, or inserted: a line for each kind of map.

    curves: title of a panel ("" for none) to at most ten names, each to scores (S + 1,), or to
    (N, S + 1) of which the mean over images is drawn, those with NaN left out; shares: (S + 1,) in
    0..1. Panels have one scale. All lines end at one point: their names stand at the right with
    the areas under them, in the order of these.
    """
    shares = np.asarray(shares, dtype=float)
    means = {
        title: {name: _mean(name, scores, shares) for name, scores in lines.items()}
        for title, lines in curves.items()
    }
    if not means or not all(0 < len(lines) <= MOST for lines in means.values()):
        raise ValueError(f"give 1 to {MOST} curves for each panel: more are not told apart")
    texts = [text_width(name, NAME_SIZE) for lines in means.values() for name in lines]
    ends = SAMPLE + min(END_PIXELS, max(texts)) + NUMBER
    step, top = ROOM // len(means), HEAD if any(means) else 12
    figure = blank(ROOM, top + TALL + 50)
    every = np.concatenate([mean for lines in means.values() for mean in lines.values()])
    high = every[np.isfinite(every)].max(initial=0)
    for k, (title, lines) in enumerate(means.items()):
        ax = axes_at(figure, LEFT + k * step, top, step - LEFT - ends - EDGE, TALL)
        ax.set(xlim=(0, 1), ylim=(0, 1.06 * high or 1), title=title, xlabel="pixels replaced")
        _curves(ax, shares, lines, ends)
    figure.axes[0].set_ylabel(ylabel)
    return figure


def _mean(name: str, scores, shares: np.ndarray) -> np.ndarray:
    """The mean over images, where there are several, of those that have scores."""
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    if shares.ndim != 1 or scores.ndim != 2 or scores.shape[1] != len(shares):
        raise ValueError(f"{name!r} needs (N, {len(shares)}) scores, not {scores.shape}")
    known = scores[np.isfinite(scores).all(1)]
    return known.mean(0) if len(known) else np.full(len(shares), np.nan)


def _curves(ax: Axes, shares: np.ndarray, lines: Mapping[str, np.ndarray], ends: float) -> None:
    """Lines, and beside samples of them their names and areas, within `ends` pixels."""
    looks = {name: _look(index) for index, name in enumerate(lines)}
    sums = {name: float(np.trapezoid(mean, shares)) for name, mean in lines.items()}
    drawn = sorted((name for name in lines if np.isfinite(sums[name])), key=sums.get)
    for name in drawn:
        ax.plot(shares, lines[name], **looks[name])
    box = ax.get_position()
    wide, step = box.width * ROOM, NAME_LINE / TALL
    places = spread([lines[name].mean() / ax.get_ylim()[1] for name in drawn], step)
    named = [(name, looks[name]) for name in drawn]
    name_samples(ax, named, places, (8, SAMPLE + 2), END_PIXELS)
    look = {"size": NAME_SIZE, "ha": "right", "va": "center", "transform": ax.transAxes}
    for name, place in zip(drawn, places, strict=True):
        ax.text(1 + ends / wide, place, f"{sums[name]:.2f}", **look)
    if drawn:
        top = max(places) + step
        ax.text(1 + ends / wide, top, "area", color=GREY, **look | {"size": NOTE_SIZE})
    ax.set_xticks(np.linspace(0, 1, 6 if wide > 400 else 3))
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    ax.grid(axis="y")


def _look(index: int) -> dict:
    """Colour and dashes; the second five are dashed, for colours that are nearer then."""
    dashes = "-" if index < MOST // 2 else DASHES
    return {"color": class_colour(index), "linestyle": dashes, "linewidth": 1.8}
