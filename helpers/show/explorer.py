"""A map that shows the images themselves, to walk through: in a notebook, and as one HTML file.

`image_map` takes arrays and gives an `Explorer`. As the last expression of a cell it shows a
static map first, which every viewer of notebooks can show, and then the map to explore in a frame.
`explorer.js` beside this file draws it. A page holds all that it needs and fetches nothing. For up
to 30 classes it has a confusion matrix too, whose cells open their images.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from PIL import Image

from .images import as_pixels, resized, rgb, tile
from .maps import axes_at, blank, checked
from .style import BLUE, DPI, ORANGE, ROOM, NotebookFigure, bare, class_colour, shorten

SHEET = 1024
BLOCK = 16
"""Sides of JPEG's blocks: tiles of whole blocks do not run into each other."""
SIZES = [
    *((side, quality) for side in (96, 64, 48, 32) for quality in (90, 80, 70)),
    *((32, quality) for quality in (60, 50, 40, 30)),
    *((16, quality) for quality in (80, 60, 40, 20)),
]
"""Side and JPEG quality of a thumbnail, from the best; the first that fits is taken."""
BYTES_PER_IMAGE, LEAST_LIMIT = 500, 5_000_000
RAMP = [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0.12, 0.95, 16))]
OUTCOMES = [ORANGE, BLUE]
CELLS = 1024
FRAME_HEIGHT = 640
STATIC_SIDE, STATIC_CELL, STATIC_NAMES = 640, 26, 26
EDGE = 6

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
</head>
<body>
<noscript>This map of images needs JavaScript.</noscript>
<script type="application/json" id="payload">{payload}</script>
{sheets}
<script>
{code}</script>
</body>
</html>
"""
# Sandboxed: it can neither reach the page around it nor be mistaken for a part of it.
FRAME = (
    '<iframe sandbox="allow-scripts" title="{title}" srcdoc="{page}" loading="lazy" '
    'style="box-sizing: border-box; width: 100%; height: {height}px; border: 1px solid #cfd5da">'
    "</iframe>"
)


@dataclass(frozen=True, eq=False)
class Explorer:
    """What `image_map` made: `html(path)` exports it, `thin()` makes it small for a notebook.

    N images, of which `number` (N,) says where they were among those given; E points of training,
    or 1 where something holds at all of them. `neighbours` (N, k) may hold N: none.
    """

    images: np.ndarray
    maps: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    clusters: np.ndarray | None
    neighbours: np.ndarray
    number: np.ndarray
    names: tuple[str, ...]
    epochs: tuple[str, ...]
    title: str
    total: int
    limit_bytes: int

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def page(self) -> str:
        """The whole page; thumbnails are as large and as good as `limit_bytes` lets them be.

        Raises ValueError where even the smallest do not fit.
        """
        for side, quality in _sizes(self.images, self.limit_bytes):
            page = _page(self, side, quality)
            # A frame holds the page with its quotes escaped, and is a little larger.
            if len(self._framed(page)) <= self.limit_bytes:
                return page
        raise ValueError(
            f"{len(self):,} images do not fit into {self.limit_bytes:,} bytes: "
            "show fewer, with thin(images_at_most), or allow more, with limit_bytes"
        )

    def html(self, path: str | Path) -> Path:
        """Write the page, to be opened in any browser without a network; return its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.page, encoding="utf-8")
        return path

    def frame(self) -> str:
        """The page in an inline frame, as wide as what it is put into, for other HTML."""
        return self._framed(self.page)

    def _framed(self, page: str) -> str:
        return FRAME.format(title=_heading(self), page=escape(page), height=FRAME_HEIGHT)

    def static(self) -> NotebookFigure:
        """The map at the last point of training as a picture: see `static_map`."""
        return static_map(self.images, self.maps[-1], self.labels[-1], self.names, self.title)

    def thin(self, images_at_most: int = 600, limit_bytes: int = 350_000) -> "Explorer":
        """A sample that is small enough for a notebook.

        Half are spread evenly over the map, the others are nearest images of these; an image then
        names those of its nearest that are still there. All that is drawn says that it is a sample.
        """
        if images_at_most < 1:
            raise ValueError(f"images_at_most must be at least 1, not {images_at_most}")
        rows = _sample(self.neighbours, min(images_at_most, len(self)))
        return replace(_taken(self, rows), limit_bytes=limit_bytes)

    # Two outputs: where the frame is stripped or not trusted, the picture stays.
    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.static())
        display({"text/html": self.frame(), "text/plain": repr(self)}, raw=True)

    def __repr__(self) -> str:
        sample = f", of {self.total:,}" if self.total > len(self) else ""
        return f"<Explorer of {len(self):,} images{sample}>"


def image_map(
    images,
    maps,
    labels,
    predicted,
    confidence,
    names: Sequence[str],
    neighbours=None,
    clusters=None,
    epochs: Sequence | None = None,
    title: str = "",
    limit_bytes: int | None = None,
) -> Explorer:
    """Images at their places on a map, with what the net says about each, to be explored.

    images: uint8 or float 0..1, (N, H, W, 3); maps: (N, 2), or (E, N, 2) for E points of training,
    named by `epochs` (numbers or text), the last shown first. labels: (N,) indices into `names`.
    predicted, confidence (0..1) and clusters (numbers from 0): (N,), or (E, N) with one row for
    each map. neighbours: (N, k) indices of the nearest images, -1 for none. limit_bytes: of the
    page; by itself 500 for each image, and 5 MB for fewer than 10,000. Raises ValueError where
    these disagree.
    """
    pixels, places = as_pixels(images), _maps(maps, len(images))
    length, points = len(pixels), len(places)

    def rows(name, values, most=None):
        return _series(name, values, (points, length), most)

    truth = rows("labels", np.asarray(labels).reshape(1, -1), len(names))
    guesses = rows("predicted", predicted, len(names))
    explorer = Explorer(
        images=pixels,
        maps=places,
        labels=truth,
        predicted=guesses,
        confidence=_shares(rows("confidence", confidence)),
        right=guesses == truth,
        clusters=None if clusters is None else rows("clusters", clusters, 65_535),
        neighbours=_neighbours(neighbours, length),
        number=np.arange(length),
        names=tuple(map(str, names)),
        epochs=_epochs(epochs, points),
        title=str(title),
        total=length,
        limit_bytes=limit_bytes or max(LEAST_LIMIT, BYTES_PER_IMAGE * length),
    )
    # Images that lie together come into the same sprite sheets, so that a closer look needs few.
    return _taken(explorer, _z_order(places[-1]))


def _maps(maps, length: int) -> np.ndarray:
    """Maps as float64 (E, N, 2)."""
    places = np.asarray(maps, dtype=float)
    places = places[None] if places.ndim == 2 else places
    if places.ndim != 3 or places.shape[1:] != (length, 2) or not len(places):
        found = np.shape(maps)
        raise ValueError(f"maps of {length} images are (N, 2) or (E, N, 2), not {found}")
    if not np.isfinite(places).all():
        raise ValueError("every image needs a finite place on every map")
    return places


def _series(name: str, values, shape: tuple[int, int], most: int | None) -> np.ndarray:
    """Values as (E, N) or (1, N); whole numbers in 0..most-1 where `most` is given."""
    rows = np.atleast_2d(np.asarray(values))
    if rows.shape not in (shape, (1, shape[1])):
        found = np.shape(values)
        raise ValueError(f"{name} must be (N,) or (E, N) with E, N = {shape}, not {found}")
    if most is None:
        return rows
    if rows.dtype.kind not in "iub" or not 0 <= rows.min() <= rows.max() < most:
        raise ValueError(f"{name} must be whole numbers from 0 to {most - 1}")
    return rows.astype(np.int64)


def _shares(values: np.ndarray) -> np.ndarray:
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("confidence must lie between 0 and 1, without NaN")
    return values


def _neighbours(indices, length: int) -> np.ndarray:
    """Indices (N, k) with `length` for none."""
    if indices is None:
        return np.empty((length, 0), np.int64)
    indices = np.asarray(indices)
    if indices.ndim != 2 or len(indices) != length or indices.dtype.kind not in "iu":
        raise ValueError(f"neighbours must be whole numbers ({length}, k), not {indices.shape}")
    if indices.size and not -1 <= indices.min() <= indices.max() < length:
        raise ValueError(f"neighbours must be indices of the {length} images, or -1 for none")
    return np.where(indices < 0, length, indices)


def _epochs(epochs: Sequence | None, points: int) -> tuple[str, ...]:
    if epochs is None:
        return tuple(f"{point + 1} of {points}" for point in range(points))
    if len(epochs) != points:
        raise ValueError(f"{points} maps need as many epochs, not {len(epochs)}")
    return tuple(epoch if isinstance(epoch, str) else f"{float(epoch):g}" for epoch in epochs)


def _z_order(points: np.ndarray) -> np.ndarray:
    """Rows (N,) along a curve that keeps near what is near on the plane (Morton 1966)."""
    cells = np.floor(_unit(points) * (CELLS - 1)).astype(np.int64)
    bits = range(CELLS.bit_length() - 1)
    keys = sum((cells[:, axis] >> bit & 1) << 2 * bit + axis for axis in (0, 1) for bit in bits)
    return np.argsort(keys, kind="stable")


def _unit(points: np.ndarray) -> np.ndarray:
    """Points (..., 2) moved and scaled into the unit square, both axes alike, centred."""
    flat = points.reshape(-1, 2)
    low, high = flat.min(0), flat.max(0)
    return (points - (low + high) / 2) / (np.max(high - low) or 1) + 0.5


def _sample(neighbours: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` images at most: half evenly through the order, the rest near to these."""
    length = len(neighbours)
    spread = count if not neighbours.shape[1] or count == length else -(-count // 2)
    seeds = np.unique(np.linspace(0, length - 1, spread).round().astype(np.int64))
    near = neighbours[seeds].T.ravel()
    near = near[(near < length) & ~np.isin(near, seeds)]
    _, first = np.unique(near, return_index=True)
    return np.sort(np.concatenate([seeds, near[np.sort(first)][: count - len(seeds)]]))


def _taken(explorer: Explorer, rows: np.ndarray) -> Explorer:
    """Only these images, in this order; neighbours that are not among them are gone."""
    place = np.full(len(explorer) + 1, len(rows))
    place[rows] = np.arange(len(rows))
    near = place[explorer.neighbours[rows]]
    near = np.take_along_axis(near, np.argsort(near == len(rows), axis=1, kind="stable"), axis=1)
    series = ("maps", "labels", "predicted", "confidence", "right", "clusters")
    kept = {name: getattr(explorer, name) for name in series}
    kept = {name: None if values is None else values[:, rows] for name, values in kept.items()}
    images, number = explorer.images[rows], explorer.number[rows]
    return replace(explorer, images=images, number=number, neighbours=near, **kept)


# ---- The page ----


def _sizes(images: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Sides and qualities to try, from the first that a sheet of them says may fit."""
    largest = max(images.shape[1:3])
    tried = dict.fromkeys((min(side, largest), quality) for side, quality in SIZES)
    tried = [(side, quality) for side, quality in tried]
    sample = images[np.linspace(0, len(images) - 1, min(len(images), 256)).astype(int)]
    for k, (side, quality) in enumerate(tried):
        size = sum(map(len, _sheets(sample, side, quality)))
        if size * len(images) / len(sample) <= limit:
            yield from tried[k:]
            return
    yield tried[-1]


def _page(explorer: Explorer, side: int, quality: int) -> str:
    sheets = _sheets(explorer.images, side, quality)
    payload = json.dumps(_payload(explorer, side), separators=(",", ":"))
    return PAGE.format(
        title=_heading(explorer),
        payload=payload.replace("<", "\\u003c"),
        sheets="\n".join(f'<script type="text/plain" class="sheet">{s}</script>' for s in sheets),
        code=Path(__file__).with_name("explorer.js").read_text(encoding="utf-8"),
    )


def _heading(explorer: Explorer) -> str:
    """The title in ASCII: the page then is the same in every encoding, and its length its size."""
    return escape(explorer.title or "Map of images").encode("ascii", "xmlcharrefreplace").decode()


def _geometry(shape: Sequence[int], side: int) -> dict[str, int]:
    """How thumbnails of images (N, H, W, 3) lie in a sheet, in pixels."""
    height = max(1, side * shape[1] // max(shape[1:3]))
    width = max(1, round(shape[2] * height / shape[1]))
    square = -(-max(height, width) // BLOCK) * BLOCK
    columns = SHEET // square
    return {
        "side": square,
        "width": width,
        "height": height,
        "columns": columns,
        "each": columns * columns,
    }


def _sheets(images: np.ndarray, side: int, quality: int) -> list[str]:
    """Sprite sheets of the images' thumbnails, in their order: JPEG in base64."""
    tiling = _geometry(images.shape, side)
    square, height, each = tiling["side"], tiling["height"], tiling["each"]
    sheets = []
    for start in range(0, len(images), each):
        small = resized(images[start : start + each], height)
        beyond = (0, square - small.shape[1]), (0, square - small.shape[2])
        # Edges are carried on to the end of the block: a step there would ring into the picture.
        cells = np.pad(small, ((0, 0), *beyond, (0, 0)), mode="edge")
        sheets.append(_jpeg(tile(cells, tiling["columns"], margin=0), quality))
    return sheets


def _jpeg(picture: np.ndarray, quality: int) -> str:
    file = BytesIO()
    options = {"quality": quality, "optimize": True, "progressive": True}
    Image.fromarray(picture).save(file, "JPEG", **options)
    return b64encode(file.getvalue()).decode()


def _payload(explorer: Explorer, side: int) -> dict:
    """What explorer.js reads: see `unpack` there."""
    places = np.rint(_unit(explorer.maps) * 65_535)
    arrays = {
        "x": places[..., 0],
        "y": places[..., 1],
        "label": explorer.labels,
        "predicted": explorer.predicted,
        "confidence": np.rint(explorer.confidence * 65_535),
        "right": explorer.right,
        "number": explorer.number[None],
        "neighbours": explorer.neighbours.reshape(1, -1),
    }
    clusters = 0
    if explorer.clusters is not None:
        arrays["cluster"], clusters = explorer.clusters, int(explorer.clusters.max()) + 1
    fixed = {"x": np.uint16, "y": np.uint16, "confidence": np.uint16}
    return {
        "title": explorer.title,
        "names": explorer.names,
        "epochs": explorer.epochs,
        "total": explorer.total,
        "colours": [class_colour(k) for k in range(len(explorer.names))],
        "clusters": [class_colour(k) for k in range(clusters)],
        "outcomes": OUTCOMES,
        "ramp": RAMP,
        "tile": _geometry(explorer.images.shape, side),
        "neighbours": explorer.neighbours.shape[1],
        "arrays": {name: _packed(array, fixed.get(name)) for name, array in arrays.items()},
    }


def _packed(array: np.ndarray, kind=None) -> dict:
    """An array (rows, ...) of whole numbers as base64, in the smallest type that holds it."""
    kind = np.dtype(kind or np.min_scalar_type(int(array.max(initial=0))))
    data = b64encode(array.astype(kind.newbyteorder("<")).tobytes()).decode()
    return {"type": kind.name, "rows": len(array), "data": data}


# ---- The picture of it ----


def static_map(images, points, labels, names: Sequence[str], title: str = "") -> NotebookFigure:
    """The map as a picture: a grid whose cells each show the image nearest to their middle, framed
    in its class's colour.

    images: (N, H, W, 3); points: (N, 2); labels: (N,) indices into `names`.
    """
    pixels = as_pixels(images)
    points, labels = checked(points, labels, names)
    if len(points) != len(pixels):
        raise ValueError(f"{len(pixels)} images need as many points, not {len(points)}")
    across = STATIC_SIDE // STATIC_CELL
    side, top = across * STATIC_CELL, 30 if title else EDGE
    figure = blank(ROOM, side + top + EDGE)
    figure.photographs = True
    ax = bare(axes_at(figure, EDGE, top, side, side))
    ax.imshow(_mosaic(pixels, points, labels, across), interpolation="nearest", aspect="auto")
    ax.set_title(shorten(title, 10.5, 0.93 * ROOM))
    _names(figure, names, labels, EDGE + side + 16, top)
    return figure


def _mosaic(pixels, points, labels, across: int) -> np.ndarray:
    """The picture of `across` x `across` cells, white where there is no image."""
    cells, chosen = _nearest_to_cells(_unit(points), across)
    inner = STATIC_CELL - 2
    height = max(1, inner * pixels.shape[1] // max(pixels.shape[1:3]))
    small = resized(pixels[chosen], height)[:, :inner, :inner]
    size = np.array(small.shape[1:3])
    picture = np.full((across * STATIC_CELL, across * STATIC_CELL, 3), 255, np.uint8)
    for (column, row), image, label in zip(cells, small, labels[chosen], strict=True):
        y, x = np.array((across - 1 - row, column)) * STATIC_CELL + (STATIC_CELL - size) // 2
        picture[y - 1 : y + size[0] + 1, x - 1 : x + size[1] + 1] = rgb(class_colour(int(label)))
        picture[y : y + size[0], x : x + size[1]] = image
    return picture


def _nearest_to_cells(points: np.ndarray, across: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (M, 2) of a grid on the unit square that hold points, and the row of each's nearest."""
    places = np.clip(points * across, 0, across - 1e-9)
    cells = np.floor(places).astype(np.int64)
    away = np.linalg.norm(places - cells - 0.5, axis=1)
    order = np.argsort(away, kind="stable")
    found, first = np.unique(cells[order], axis=0, return_index=True)
    return found, order[first]


def _names(figure, names: Sequence[str], labels, left: float, top: float) -> None:
    """The classes of the map beside it; the most frequent of too many."""
    frequent = np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")
    shown = np.sort(frequent[:STATIC_NAMES])
    texts = [shorten(names[k], 10, ROOM - left - 40) for k in shown]
    handles = [
        Line2D([], [], linestyle="", marker="s", markersize=8, color=class_colour(int(k)))
        for k in shown
    ]
    if len(names) > len(shown):
        texts.append(f"and {len(names) - len(shown)} more")
        handles.append(Line2D([], [], linestyle=""))
    wide, tall = figure.get_size_inches() * DPI
    place = {"loc": "upper left", "bbox_to_anchor": (left / wide, 1 - top / tall)}
    figure.legend(handles, texts, **place, borderaxespad=0, handletextpad=0.3, fontsize=10)
