"""Figures of what layers keep: feature maps, filters, and what a channel sees and is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle
from PIL import Image

from .agreement import DASHES, END_PIXELS, LEADER, MARK, last_finite, name_ends
from .density import paper
from .images import LARGEST_TILE, as_pixels, canvas, number, resized, rgb, tile, tile_side
from .maps import axes_at, blank
from .signatures import BOLD, EDGE, GAP, LINE, NOTE_SIZE, group_rows, paste, white, write
from .style import (
    BLUE,
    DIVERGING,
    GREY,
    INK,
    NO_BREAK,
    ORANGE,
    RED,
    ROOM,
    NotebookFigure,
    class_colour,
    mix,
    percent_axis,
    shorten,
    text_width,
)

ACROSS, MARGIN, LARGEST = 16, 2, 72
HEAD, BAR, BAR_TALL, BAR_PIXELS = 42, 120, 9, 230
RULE = mix(GREY, 0.55, "white")
CONTEXT, OUTLINE = 32, 4
IMAGE, FIELD_LINE, FIELD_WIDTH = 352, 22, 2.2
SIZE, LEFT, TALL = 9.5, 72, 170
CHANNEL_SIZE, CROWDED_SIZE, FEW, MOST_NAMED = 7.5, 6.5, 48, 64
WORTH = ["value", "low", "high"]
PROBE_TALL, NAME_PIXELS, SLANT = 280, 100, 35

# Steep at first: on one scale for a layer most numbers are small.
STEPS = (
    (0, "#f7f9fb"),
    (0.15, mix(BLUE, 0.4, "white")),
    (0.45, mix(BLUE, 0.25, "black")),
    (1, INK),
)
FROM_ZERO = LinearSegmentedColormap.from_list("white-blue-ink", STEPS)

Box = tuple[int, int, int, int]


def channel_grid(maps, name: str = "", dead=None, columns: int = ACROSS) -> NotebookFigure:
    """The feature maps of a layer for one image, `columns` in a row, on one colour scale.

    maps: (C, h, w), channel k at row k // columns; dead: (C,) bool, framed in red, the channels
    that are the same for every image. The scale begins at zero, or lies about it where there are
    numbers below. How many maps are uniform, for this image and for all, is counted above.
    """
    maps = np.asarray(maps, dtype=np.float32)
    if maps.ndim != 3 or 0 in maps.shape or not np.isfinite(maps).all():
        raise ValueError(f"feature maps must be a finite (C, h, w), not shape {maps.shape}")
    known = dead is not None
    dead = np.asarray(dead, dtype=bool) if known else np.zeros(len(maps), dtype=bool)
    if dead.shape != maps.shape[:1]:
        raise ValueError(f"{len(maps)} maps need one `dead` each, not shape {dead.shape}")
    scale, colours = _scale(maps)
    columns = min(columns, len(maps))
    enlarged = _enlarged(maps, _room(columns))
    shades = _bytes(colours(scale(enlarged))[..., :3])
    picture = _framed(shades, [RED if one else RULE for one in dead], columns)
    figure, ax = _headed(picture, name, _counted(maps, dead if known else None))
    _colour_bar(ax, scale, colours)
    return figure


def _room(columns: int) -> int:
    return max(1, min(ROOM // columns - 2 * MARGIN - 2, LARGEST))


def _scale(maps: np.ndarray) -> tuple[Normalize, Colormap]:
    """A scale from zero on, or about zero, and its colours."""
    most = float(np.abs(maps).max()) or 1.0
    if maps.min() < 0:
        return Normalize(-most, most), DIVERGING
    return Normalize(0, most), FROM_ZERO


def _bytes(shades: np.ndarray) -> np.ndarray:
    return np.rint(255 * shades).astype(np.uint8)


def _enlarged(maps: np.ndarray, room: int) -> np.ndarray:
    """Maps at most `room` wide: by a whole factor, or smoothly where there is none above 1."""
    height, width = maps.shape[1:3]
    factor = room // width
    if factor > 1:
        return maps.repeat(factor, axis=1).repeat(factor, axis=2)
    size, smooth = (room, max(1, round(height * room / width))), Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(one).resize(size, smooth)) for one in maps])


def _framed(pixels: np.ndarray, colours: Sequence[str], columns: int) -> np.ndarray:
    """One picture of pictures in rows, each in a thin frame, a thicker one where red."""
    framed = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for picture, colour in zip(framed, colours, strict=True):
        picture[[0, -1]] = picture[:, [0, -1]] = rgb(colour)
    thick = [RED if colour == RED else None for colour in colours]
    tall, wide = np.array(framed.shape[1:3]) + 2 * MARGIN
    picture = tile(framed, columns, MARGIN, colours=thick)
    cells = picture.reshape(-1, tall, columns, wide, 3)
    cells[:, [0, -1]] = cells[:, :, :, [0, -1]] = 255
    return picture


def _counted(maps: np.ndarray, dead: np.ndarray | None) -> str:
    text = f"{len(maps)} maps of {maps.shape[1]}×{maps.shape[2]}"
    uniform = (maps.max((1, 2)) == maps.min((1, 2))).sum()
    if maps[0].size > 1:
        text += f", {uniform or 'none'} uniform for this image"
    if dead is None:
        return text
    framed = " (red frames)" if dead.any() else ""
    return f"{text}, {dead.sum() or 'none'} for every image{framed}"


def _headed(picture: np.ndarray, name: str, note: str) -> tuple[NotebookFigure, Axes]:
    """A figure of the page's width: a bold line, a note below it, then the picture."""
    sheet = white(len(picture) + HEAD, max(ROOM, picture.shape[1]))
    paste(sheet, picture, 0, HEAD)
    figure, ax = canvas(sheet, photographs=False)
    room = ROOM - BAR_PIXELS
    write(ax, shorten(name, SIZE, room / BOLD), 2, LINE * 0.8, weight="bold")
    write(ax, shorten(note, NOTE_SIZE, room), 2, LINE * 1.9, NOTE_SIZE, color=GREY)
    return figure, ax


def _colour_bar(ax: Axes, scale: Normalize, colours: Colormap) -> None:
    right = ROOM - 44
    left, top = right - BAR, LINE * 1.9 - BAR_TALL / 2
    shades = colours(np.linspace(0, 1, BAR))[None]
    limits = ax.axis()
    ax.imshow(shades, extent=(left, right, top + BAR_TALL, top), aspect="auto", zorder=2)
    ax.axis(limits)
    look = {"size": NOTE_SIZE, "color": GREY}
    write(ax, _short(scale.vmin), left - 6, LINE * 1.9, ha="right", **look)
    write(ax, _short(scale.vmax), right + 6, LINE * 1.9, **look)


def _short(value: float) -> str:
    """Three digits or so, none for a zero."""
    digits = 0 if value == 0 else max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return number(value, min(digits, 4)) if abs(value) >= 1e-3 or not value else f"{value:.0e}"


def filters(weights, name: str = "", columns: int = ACROSS) -> NotebookFigure:
    """Filters that read colours, as small pictures on one scale: grey is zero.

    weights: (C, kh, kw, 3), signed. A filter is brightest, and reddest, where it wants light, and
    red light; the largest weight of any filter has the full colour.
    """
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 4 or weights.shape[3] != 3 or 0 in weights.shape:
        raise ValueError(f"filters must be (C, kh, kw, 3), not {weights.shape}")
    most = np.abs(weights).max() or 1.0
    if not np.isfinite(most):
        raise ValueError("filters must be finite numbers")
    columns = min(columns, len(weights))
    pixels = _bytes(0.5 + weights / (2 * most))
    side = tile_side(pixels, _room(columns))
    picture = _framed(resized(pixels, side), [RULE] * len(pixels), columns)
    count, height, width = weights.shape[:3]
    note = f"{count} filters of {height}×{width}; grey is 0, full colour {_short(most)} either way"
    return _headed(picture, name, note)[0]


def exciting(
    images, indices, fields, names: Sequence[str], notes: Sequence[str] | None = None
) -> NotebookFigure:
    """A row for each channel: its name, a note, and the images that excite it most.

    images: uint8 or float 0..1 (N, H, W, 3); indices: (k, m) of images, strongest first, -1 for
    none; fields: (k, m, 4), what the channel saw of each where it rose highest: top, left, bottom,
    right in pixels, outlined. Of images larger than the field's surroundings a part is shown.
    """
    images, indices, fields = map(np.asarray, (images, indices, fields))
    if indices.ndim != 2 or fields.shape != (*indices.shape, 4):
        raise ValueError(f"indices {indices.shape} must be (k, m), fields (k, m, 4)")
    if indices.size and indices.max() >= len(images):
        raise ValueError(f"indices must be those of the {len(images)} images")
    _check_fields(fields[indices >= 0], images.shape[1:3])
    shown = indices[indices >= 0]
    if not len(shown):
        raise ValueError("no channel has an image that excites it")
    order = np.full(indices.shape, -1)
    order[indices >= 0] = np.arange(len(shown))
    crops = _crops(as_pixels(images[shown]), fields[indices >= 0])
    return group_rows(crops, order, names, notes)


def _check_fields(fields: np.ndarray, size: tuple[int, int]) -> None:
    top, left, bottom, right = fields.T
    fits = (top >= 0) & (left >= 0) & (bottom <= size[0]) & (right <= size[1])
    if not (fits & (top < bottom) & (left < right)).all():
        raise ValueError(f"fields must be top, left, bottom, right within images of {size}")


def _crops(pixels: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Each image about its field, enlarged, the field outlined: uint8 (m, h, w, 3)."""
    size = np.array(pixels.shape[1:3])
    sides = np.maximum(2 * (fields[:, 2:] - fields[:, :2]), CONTEXT).max(0)
    sides = np.minimum(size, max(sides))
    middles = (fields[:, :2] + fields[:, 2:]) // 2
    corners = np.clip(middles - sides // 2, 0, size - sides)
    crops = np.stack(
        [
            image[top : top + sides[0], left : left + sides[1]]
            for image, (top, left) in zip(pixels, corners, strict=True)
        ]
    )
    large = resized(crops, tile_side(crops, LARGEST_TILE))
    factors = np.array(large.shape[1:3]) / sides
    boxes = np.rint((fields.reshape(-1, 2, 2) - corners[:, None]) * factors).astype(int)
    for picture, (first, last) in zip(large, boxes, strict=True):
        _outline(picture, first, last)
    return large


def _outline(picture: np.ndarray, first: np.ndarray, last: np.ndarray) -> None:
    """A frame around a box (two corners), just outside of it where the picture goes on."""
    size = np.array(picture.shape[:2])
    outer = _slices(np.maximum(0, first - OUTLINE), last + OUTLINE)
    inner = _slices(np.maximum(OUTLINE, first), np.minimum(size - OUTLINE, last))
    inside = picture[inner].copy()
    picture[outer] = rgb(ORANGE)
    picture[inner] = inside


def _slices(first: np.ndarray, last: np.ndarray) -> tuple[slice, slice]:
    return slice(first[0], last[0]), slice(first[1], last[1])


def fields_on(image, fields: Mapping[str, Box]) -> NotebookFigure:
    """What a cell of each layer sees of an image, outlined on it, and how large that is.

    image: uint8 or float 0..1 (H, W, 3); fields: layer to top, left, bottom, right in pixels, the
    last two excluded. Layers that see the same stand in one line.
    """
    pixels = as_pixels(np.asarray(image)[None])
    if not fields:
        raise ValueError("there is no field to draw")
    _check_fields(np.array([list(map(int, box)) for box in fields.values()]), pixels.shape[1:3])
    seen: dict[Box, list[str]] = {}
    for name, box in fields.items():
        seen.setdefault(tuple(map(int, box)), []).append(name)
    picture = resized(pixels, _tall(pixels))[0]
    sheet = white(max(len(picture), FIELD_LINE * len(seen)) + 2 * EDGE, ROOM)
    paste(sheet, picture, EDGE, EDGE)
    figure, ax = canvas(sheet)
    colours = {box: class_colour(row) for row, box in enumerate(seen)}
    # The smaller lie on the larger.
    for box in sorted(seen, key=_area, reverse=True):
        _box(ax, box, len(picture) / pixels.shape[1], colours[box])
    for row, (box, names) in enumerate(seen.items()):
        place = EDGE + picture.shape[1] + 2 * GAP, EDGE + FIELD_LINE * (row + 0.5)
        _field_line(ax, *place, colours[box], names, box)
    return figure


def _field_line(ax: Axes, left: float, middle: float, colour: str, names, box: Box) -> None:
    ax.add_patch(Rectangle((left, middle - 6), 12, 12, color=colour, linewidth=0))
    size = f": {box[2] - box[0]}×{box[3] - box[1]}{NO_BREAK}px"
    room = ROOM - EDGE - left - 20 - text_width(size, SIZE)
    write(ax, shorten(", ".join(names), SIZE, room) + size, left + 20, middle)


def _area(box: Box) -> int:
    top, left, bottom, right = box
    return (bottom - top) * (right - left)


def _tall(pixels: np.ndarray) -> int:
    height, width = pixels.shape[1:3]
    factor = IMAGE / max(height, width)
    return height * int(factor) if factor >= 1 else max(1, int(height * factor))


def _box(ax: Axes, box: Box, factor: float, colour: str) -> None:
    top, left, bottom, right = (factor * side + EDGE for side in box)
    look = {"fill": False, "joinstyle": "miter"}
    place = (left, top), right - left, bottom - top
    # A white line within, so that the frame is seen on any image.
    ax.add_patch(Rectangle(*place, edgecolor="white", linewidth=FIELD_WIDTH + 1.6, **look))
    ax.add_patch(Rectangle(*place, edgecolor=colour, linewidth=FIELD_WIDTH, **look))


def channel_worth(
    lost: Mapping[str, Sequence], dead: Mapping | None = None, told: Mapping | None = None
) -> NotebookFigure:
    """Accuracy lost when a channel is silenced, with its interval: a row for each layer.

    lost: layer to an interval (`value`, `low`, `high`, in shares) for each channel; dead: layer to
    (C,) bool, drawn as crosses; told: layer to (C,) bool, the channels that a test tells from
    chance, by default those whose interval leaves zero out. Of these the blue ones are worth
    something, and without the orange ones the network is better. Channels stand in the order of
    what they are worth.
    """
    if not lost or not all(len(intervals) for intervals in lost.values()):
        raise ValueError("there is no channel to draw")
    step = TALL + HEAD + LINE
    figure = blank(ROOM, step * len(lost) + 2 * LINE)
    texts, limits = paper(figure), _worth_limits(lost)
    for row, (name, intervals) in enumerate(lost.items()):
        table = _worth_table(name, intervals, dead or {}, told or {})
        ax = axes_at(figure, LEFT, HEAD + row * step, ROOM - LEFT - EDGE, TALL)
        ax.set_ylim(limits)
        _worth(ax, table)
        _worth_title(texts, name, table, row * step)
    ax.set_xlabel("channel, by what it is worth")
    return figure


def _worth_limits(lost: Mapping[str, Sequence]) -> tuple[float, float]:
    bounds = 100 * np.array([[i.value, i.low, i.high] for each in lost.values() for i in each])
    low, high = min(0, np.nanmin(bounds)), max(0, np.nanmax(bounds))
    margin = 0.06 * (high - low) or 1
    return low - margin, high + margin


def _worth_table(name: str, intervals: Sequence, dead: Mapping, told: Mapping) -> pd.DataFrame:
    """A row for each channel, in points, the one that is worth most first."""
    table = pd.DataFrame([[i.value, i.low, i.high] for i in intervals], columns=WORTH) * 100
    # Comparisons with NaN are false: without bounds nothing is told from chance.
    beyond = (table.low > 0) | (table.high < 0)
    for column, given in (
        ("dead", dead.get(name, ~beyond & False)),
        ("told", told.get(name, beyond)),
    ):
        given = np.asarray(given, dtype=bool)
        if given.shape != (len(table),):
            raise ValueError(f"{name!r} has {len(table)} channels, `{column}` {given.shape}")
        table[column] = given
    return table.sort_values("value", ascending=False, kind="stable")


def _worth(ax: Axes, table: pd.DataFrame) -> None:
    places, dead = np.arange(len(table)), table.dead.to_numpy()
    signed = np.where(table.told, np.sign(table.value), 0)
    colours = np.array([(GREY, BLUE, ORANGE)[int(sign)] for sign in signed])
    bars = {"colors": [mix(colour, 0.5, "white") for colour in colours]}
    bars["linewidths"] = min(4, 0.5 * (ROOM - LEFT) / len(table))
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.vlines(places, table.low, table.high, **bars)
    ax.scatter(places[~dead], table.value[~dead], s=18, c=colours[~dead], zorder=3)
    ax.scatter(places[dead], table.value[dead], s=26, c=INK, marker="x", zorder=3)
    size = CHANNEL_SIZE if len(table) <= FEW else CROWDED_SIZE
    named = len(table) <= MOST_NAMED
    ax.set_xticks(places if named else [], table.index if named else [], size=size)
    ax.set(xlim=(-0.8, len(table) - 0.2), ylabel="accuracy lost, points")
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="y")


def _worth_title(ax: Axes, name: str, table: pd.DataFrame, top: float) -> None:
    worth, dead = (table.told & (table.value > 0)).sum(), table.dead.sum()
    text = f"{worth or 'none'} of {len(table)} channels worth something alone"
    text += f", {dead} dead (crosses)" if dead else ""
    name, middle = shorten(name, SIZE, ROOM / 3), top + HEAD - 18
    write(ax, name, LEFT, middle, weight="bold")
    write(ax, text, LEFT + BOLD * text_width(name, SIZE) + GAP, middle, NOTE_SIZE)


def probe_curve(
    runs: Mapping[str, Mapping],
    marks: Mapping[str, float] | None = None,
    ylabel: str = "accuracy of a linear probe",
    shares: bool = True,
) -> NotebookFigure:
    """A number by layer, with intervals: a line for each run, named at its end.

    runs: such as "trained" and "untrained", to layer to interval (`value`, `low`, `high`), in the
    order of the layers, the same in each; marks: name to a level to compare with (chance, the
    network itself); shares: 0..1, written in percent.
    """
    layers = list(next(iter(runs.values()), ()))
    if not layers or any(list(run) != layers for run in runs.values()):
        raise ValueError("a probe curve needs runs, each with the same layers in the same order")
    marks = {name: level for name, level in (marks or {}).items() if np.isfinite(level)}
    longest = max(text_width(name, SIZE) for name in (*runs, *marks))
    ax = _layer_axes(layers, ROOM - LEFT - EDGE - LEADER - GAP - min(END_PIXELS, longest))
    colours = map(class_colour, range(len(runs)))
    ends = [
        _run(ax, run.values(), name, colour)
        for (name, run), colour in zip(runs.items(), colours, strict=True)
    ]
    for name, level in marks.items():
        ax.axhline(level, color=MARK, linewidth=1.2, linestyle=DASHES, zorder=1)
        ends.append((level, name, MARK))
    ax.set(xlabel="layer", ylabel=ylabel)
    if shares:
        percent_axis(ax.yaxis)
    ax.grid(axis="y")
    name_ends(ax, ends, PROBE_TALL)
    return ax.figure


def _layer_axes(layers: Sequence[str], width: float) -> Axes:
    """Axes of a new figure with the names of layers below them, slanted where they are long."""
    # Cut at the beginning: the end of a layer's name tells more.
    texts = [shorten(layer[::-1], SIZE, NAME_PIXELS)[::-1] for layer in layers]
    longest = max(text_width(text, SIZE) for text in texts)
    slanted = longest > width / len(layers) - 6
    figure = blank(ROOM, PROBE_TALL + 60 + (0.6 * longest if slanted else 0))
    ax = axes_at(figure, LEFT, 16, width, PROBE_TALL)
    slant = {"rotation": SLANT, "rotation_mode": "anchor", "ha": "right"} if slanted else {}
    ax.set_xticks(range(len(layers)), texts, **slant)
    ax.set_xlim(-0.3, len(layers) - 0.7)
    return ax


def _run(ax: Axes, intervals, name: str, colour: str) -> tuple[float, str, str]:
    values, low, high = np.array([[i.value, i.low, i.high] for i in intervals]).T
    places = np.arange(len(values))
    ax.vlines(places, low, high, color=mix(colour, 0.4, "white"), linewidth=4)
    ax.plot(places, values, "o-", color=colour, markersize=5)
    return last_finite(values), name, mix(colour, 0.3, "black")
