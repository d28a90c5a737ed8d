"""Paint generated scenes: a background, clutter, the object with its shadow and light, grain.

Edges are smoothed by how much of a pixel the signed distance says is covered, so that every pixel
is computed once, at any size.
"""

import math
from collections.abc import Iterator

import torch

from .scene_backgrounds import BACKGROUNDS, cover, lay, pick
from .scene_draws import Dealer, keys, pixel_noise
from .scene_shapes import distance

Tensor = torch.Tensor
Scenes = dict[str, Tensor]  # what is drawn for each image: (N, ...) tensors
PIXELS = 1 << 18  # painted at once: what keeps memory flat, and the working set in the cache
CLUTTER = "#f7e7c6 #c98f5a #7d8c99 #e57f6f #8fb96b #6fa8c9 #b08cc9 #f2c14e"
SHADOW = 0.05  # how far shadows fall to the right; and 1.4 times as far down


def paint(
    scenes: Scenes, shapes: tuple[str, ...], size: int, seed: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Pictures uint8 (N, size, size, 3) and masks of their objects, bool (N, size, size)."""
    total = len(scenes["index"])
    images = torch.empty(total, size, size, 3, dtype=torch.uint8)
    masks = torch.empty(total, size, size, dtype=torch.bool)
    for rows in torch.arange(total).split(max(1, PIXELS // size**2)):
        part = {name: values[rows].to(device) for name, values in scenes.items()}
        images[rows], masks[rows] = _paint_some(part, shapes, size, seed)
    return images, masks


def _paint_some(
    scenes: Scenes, shapes: tuple[str, ...], size: int, seed: int
) -> tuple[Tensor, Tensor]:
    index = scenes["index"]
    steps = (torch.arange(size, device=index.device) + 0.5) * (2 / size) - 1
    x, y, pixel = steps[None, None, :], steps[None, :, None], 2 / size
    canvas = torch.empty(len(index), 3, size, size, device=index.device)
    for kind, rows in _groups(scenes["background"]):
        painter = list(BACKGROUNDS.values())[kind]
        canvas[rows] = painter(Dealer(keys(seed, "backdrop", index[rows])), x, y, pixel)
    _scatter_clutter(canvas, scenes, Dealer(keys(seed, "clutter", index)), x, y, pixel)
    near, shifted = _distances(scenes, shapes, x, y)
    _place(canvas, near, shifted, _coat(scenes, x, y, pixel), pixel)
    return _develop(canvas, scenes, keys(seed, "grain", index)), near < 0


def _groups(kinds: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each kind that occurs, with the rows where it does."""
    return ((kind, (kinds == kind).nonzero()[:, 0]) for kind in kinds.unique().tolist())


def _wide(values: Tensor) -> Tensor:
    """(N,) to (N, 1, 1), (N, 3) to (N, 3, 1, 1): broadcast over pixels."""
    return values[..., None, None]


def _turned(scenes: Scenes, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in the object's own frame, in units of its radius."""
    x, y = x - _wide(scenes["x"]), y - _wide(scenes["y"])
    cosine = _wide(scenes["rotation"].cos() / scenes["radius"])
    sine = _wide(scenes["rotation"].sin() / scenes["radius"])
    return x * cosine + y * sine, y * cosine - x * sine


def _distances(
    scenes: Scenes, shapes: tuple[str, ...], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Distance to the object, and to the object moved to where its shadow is: (N, H, W) each."""
    near, shifted = (torch.empty(len(scenes["x"]), y.shape[1], x.shape[2]).to(x) for _ in range(2))
    for kind, rows in _groups(scenes["shape"]):
        some = {name: values[rows] for name, values in scenes.items()}
        radius = _wide(some["radius"])
        near[rows] = distance(shapes[kind], *_turned(some, x, y)) * radius
        moved = _turned(some, x - SHADOW, y - 1.4 * SHADOW)
        shifted[rows] = distance(shapes[kind], *moved) * radius
    return near, shifted


def _place(canvas: Tensor, near: Tensor, shifted: Tensor, colour: Tensor, pixel: float) -> None:
    """Lay a lit thing and its shadow on the canvas.

    The difference between the two distances is the slope of the distance along the light: large
    on the sides that face it. So the shadow pays for the light.
    """
    shadow = (0.5 - shifted / 0.16).clamp(0, 1)
    canvas.mul_(1 - (0.42 * shadow * shadow)[:, None])
    facing = (shifted - near) / (1.7 * SHADOW)
    rim = torch.exp(near.clamp(max=0) / 0.07)
    lit = colour * (1 + 0.28 * facing * rim)[:, None]
    lit += (0.1 * facing.clamp(min=0) * rim)[:, None]
    lay(canvas, lit, cover(near, pixel))


def _coat(scenes: Scenes, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """The object's colour at every pixel, (N, 3, H, W): plain, patterned, or a tile's code."""
    across, down = _turned(scenes, x, y)
    if "code" in scenes:
        accent = _windows(scenes["code"], across, down, pixel / _wide(scenes["radius"]))
    else:
        accent = _pattern(scenes, across, down, pixel)
    colour, second = _wide(scenes["colour"]), _wide(scenes["accent"])
    return torch.lerp(colour, second, accent[:, None])


def _pattern(scenes: Scenes, across: Tensor, down: Tensor, pixel: float) -> Tensor:
    """Where the second colour is: 0 everywhere for plain, soft-edged stripes or dots."""
    frequency, slant = scenes["frequency"], scenes["slant"]
    cosine, sine = _wide(slant.cos() * frequency), _wide(slant.sin() * frequency)
    wave = torch.cos(across * cosine + down * sine)
    dots = _wide(scenes["dots"])
    wave = wave * torch.cos((down * cosine - across * sine) * dots) - 0.45 * dots
    softness = _wide(frequency / scenes["radius"]) * pixel + 0.1
    return cover(-wave, softness) * _wide(scenes["patterned"])


def _windows(code: Tensor, across: Tensor, down: Tensor, pixel: Tensor) -> Tensor:
    """Sixteen cells in a square, in the second colour where their bit is 1: (N, 16) bits."""
    column, row = (((axis + 0.76) / 0.38).floor().clamp(0, 3) for axis in (across, down))
    bits = code.gather(1, (row * 4 + column).long().flatten(1)).reshape(across.shape)
    east = (across + 0.57 - 0.38 * column).abs() - 0.15
    south = (down + 0.57 - 0.38 * row).abs() - 0.15
    inside = cover(torch.maximum(east, south), pixel.clamp(max=0.08))  # 0 where cells meet
    return bits * inside


def _scatter_clutter(
    canvas: Tensor, scenes: Scenes, deal: Dealer, x: Tensor, y: Tensor, pixel: float
) -> None:
    """Pebbles, paper scraps and balls, behind the object."""
    for piece in range(int(scenes["clutter"].max())):
        shown = _wide((scenes["clutter"] > piece).float())
        colour = pick(deal, CLUTTER.split())[0] * deal(0.8, 1.1)[:, None]
        near = _pebble(deal, x, y) + 9 * (1 - shown)  # an absent one is far away
        shadow = (0.5 - (near - 0.03) / 0.12).clamp(0, 1)
        canvas.mul_(1 - (0.25 * shadow * shadow)[:, None])
        lay(canvas, colour, cover(near, pixel))


def _pebble(deal: Dealer, x: Tensor, y: Tensor) -> Tensor:
    """Distance to a box at any place and angle, its corners rounded more or less or to a ball."""
    east, south = x - deal(-1, 1), y - deal(-1, 1)
    half, turn = deal(0.05, 0.12), deal(0, math.pi)
    length, breadth, corner = half * deal(0, 0.6), half * deal(0, 0.5), half * deal(0.3, 0.8)
    across = (east * turn.cos() + south * turn.sin()).abs() - length
    down = (south * turn.cos() - east * turn.sin()).abs() - breadth
    return torch.hypot(across.clamp(min=0), down.clamp(min=0)) - corner


def _develop(canvas: Tensor, scenes: Scenes, key: Tensor) -> Tensor:
    """Daylight, film grain (finer in larger prints), and 8 bits: uint8 (N, H, W, 3)."""
    grain = pixel_noise(key, *canvas.shape[2:]) * _wide(scenes["noise"])
    grain *= math.sqrt(32 / canvas.shape[3])
    canvas.mul_(_wide(scenes["light"])[:, None]).add_(grain[:, None])
    return canvas.mul_(255).add_(0.5).clamp_(0, 255).byte().permute(0, 2, 3, 1)
