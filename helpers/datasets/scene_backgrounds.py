"""The five kinds of background of generated scenes, painted like cut paper, layer over layer.

Coordinates run from -1 to 1, x to the right and y downwards; a canvas is float (N, 3, H, W) on
0..1. A painter takes a `Dealer` of the images' draws, the coordinates and the width of a pixel, so
that the same scene can be painted at any size.
"""

import math
from collections.abc import Callable, Sequence

import torch

from .scene_draws import Dealer, pixel_noise

Tensor = torch.Tensor
PALETTES = {
    "sky": (  # top, middle, bottom, shade, sun
        "#2f7fd0 #79b6ea #d8effb #b9d3ea #fff1c4",
        "#5a8cd6 #a5c6ef #ffe1cc #c9c4de #fff1c4",
        "#5263ab #c78db4 #ffc79c #c993b0 #fff1c4",
        "#1f97c2 #78cddd #e6f8ee #acd9de #fff1c4",
    ),
    "sea": (  # top, low, far, near, sun
        "#6fb4ea #e3f3fb #4fa9cf #0d4f8b #fff6da",
        "#7fcbe6 #f2fbf4 #5fd0cf #0b6f8f #fff6da",
        "#7f8fd0 #ffcfa6 #b58fc4 #34407f #fff0c4",
        "#8fa6b8 #e6ebec #7f9fb0 #2c4a60 #f6f4ea",
    ),
    "grass": (  # top, low, hill, far, near, petal
        "#8cc7ee #eef8f4 #8fbf8a #b8d86a #2f7d3a #ffffff",
        "#9fcdf0 #fff4d8 #a9c77c #d5d968 #4f8a2c #ffd84d",
        "#f0b9a0 #fff0cf #b0b27a #cfcf72 #5b7a34 #ff9fb6",
        "#a7d3dd #f3f9ea #7fb39a #98cf7f #1f6b4a #f6e7ff",
    ),
    "sand": (  # top, low, far, near, sun
        "#9fd0ea #fdf1d8 #f3d9a4 #d9a35c #fff3cf",
        "#f2b79a #ffeccb #f0c49a #c9824f #fff0c0",
        "#c9d9e6 #fbf5e6 #efe0bd #cdb384 #ffffff",
        "#b99ccf #ffd9b8 #e8b3a0 #a8646a #ffe7b8",
    ),
    "night": (  # top, middle, low, hill, moon
        "#0b1033 #202e6b #5c5aa0 #141a3f #f4efd6",
        "#071a2c #12405c #3f8590 #0a2233 #f2f6e6",
        "#1a0f33 #47266b #a35a8c #1f1238 #ffe9c9",
        "#0d1626 #1f3a5f #8a7f9e #101c30 #f6efe2",
    ),
}


def rgb(*colours: str) -> Tensor:
    """Hex colours to (S, 3) on 0..1."""
    return torch.tensor([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in colours])


def cover(distance: Tensor, softness: float | Tensor) -> Tensor:
    """How much of a pixel is inside: 1 well below distance 0, 0 well above it."""
    return (0.5 - distance / softness).clamp(0, 1)


def lay(canvas: Tensor, colour: Tensor, share: Tensor) -> None:
    """Paint a colour (N, 3, 1, 1) or (N, 3, H, W) over the canvas, where `share` (N, H, W) is 1."""
    canvas.lerp_(colour.expand_as(canvas), share[:, None].expand_as(canvas))


def pick(deal: Dealer, palettes: Sequence[str]) -> list[Tensor]:
    """One palette for each image: its colours, each (N, 3, 1, 1)."""
    choice = deal(0, len(palettes)).long().flatten()
    table = torch.stack([rgb(*palette.split()) for palette in palettes]).to(choice.device)
    return [colour[:, :, None, None] for colour in table[choice].unbind(1)]


def _gradient(
    x: Tensor, y: Tensor, top: Tensor, middle: Tensor, bottom: Tensor, end: Tensor | float
) -> Tensor:
    """A sky: three colours from the upper edge down to `end`, (N, 3, H, W)."""
    down = ((y + 1) / (end + 1)).clamp(0, 1)[:, None]
    upper, lower = (down * 2).clamp(max=1), (down * 2 - 1).clamp(min=0)
    column = top + (middle - top) * upper + (bottom - middle) * lower
    return column.repeat(1, 1, 1, x.shape[2])


def _glow(canvas: Tensor, x: Tensor, y: Tensor, colour: Tensor, radius: float) -> None:
    """A sun or a moon in its halo; x and y run from its centre."""
    distance = torch.hypot(x, y)
    lay(canvas, colour, 0.55 * torch.exp(-distance / (3 * radius)))
    lay(canvas, 0.4 * colour + 0.6, cover(distance - radius, 0.05))


def _ridge(
    canvas: Tensor,
    below: Tensor,
    crest: Tensor,
    foot: Tensor,
    softness: float | Tensor,
    depth: float = 0.25,
    shadow: float = 0.2,
) -> None:
    """A sheet that covers all that lies below its edge, with a soft shadow on what is behind it."""
    canvas.mul_(1 - shadow * torch.exp(below.clamp(max=0) / 0.07)[:, None])
    share = (below / depth).clamp(0, 1)[:, None]
    lay(canvas, crest + (foot - crest) * share, cover(-below, softness))


def _swell(deal: Dealer, x: Tensor, frequency: float, height: float) -> Tensor:
    """Rolling ground: two waves in random phase, (N, 1, W)."""
    slow = torch.sin(x * frequency + deal(0, 2 * math.pi))
    quick = torch.sin(x * frequency * 2.3 + deal(0, 2 * math.pi))
    return height * (slow + 0.35 * quick)


def _triangle_wave(turns: Tensor) -> Tensor:
    return 2 * (turns - turns.round()).abs()


def _blades(deal: Dealer, x: Tensor, frequency: float, height: float) -> Tensor:
    """Pointed blades side by side, some taller than others, (N, 1, W)."""
    tall = _triangle_wave(x * frequency + deal()) - 0.25
    short = _triangle_wave(x * frequency * 1.37 + deal()) * 0.75
    gust = 0.7 + 0.3 * torch.sin(x * frequency * 0.6 + deal(0, 2 * math.pi))
    return height * gust * torch.maximum(tall, short)


def _cloud(deal: Dealer, x: Tensor, y: Tensor, width: Tensor) -> Tensor:
    """Signed distance to five puffs on a flat base, in units of the cloud's width."""
    x, y = (x - deal(-1, 1)) / width, y / width
    place = torch.linspace(-0.7, 0.7, 5, device=x.device)[:, None, None]
    place = place + deal.several(5, -0.1, 0.1)
    radius = (0.5 - 0.4 * place**2) * deal.several(5, 0.75, 1.1)
    puffs = torch.hypot(x[:, None] - place, y[:, None] + 0.1) - radius
    return torch.maximum(puffs.amin(1), y - 0.12)


def sky(deal: Dealer, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Blue or evening sky, a sun, four clouds."""
    top, middle, bottom, shade, sun = pick(deal, PALETTES["sky"])
    canvas = _gradient(x, y, top, middle, bottom, 1)
    _glow(canvas, x - deal(-0.9, 0.9), y - deal(-0.9, -0.3), sun, 0.13)
    for height in (0.75, 0.35, -0.1, -0.6):
        up = y - height - deal(-0.15, 0.15)
        width = deal(0.25, 0.4) * (1.25 - 0.75 * height)
        inside = _cloud(deal, x, up, width)
        white = shade + (1 - shade) * (0.25 - 1.6 * up / width).clamp(0, 1)[:, None]
        lay(canvas, white, 0.92 * cover(inside * width, pixel + 0.015))
    return canvas


def sea(deal: Dealer, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """A horizon with a low sun, and seven rows of waves that come nearer."""
    top, low, far, near, sun = pick(deal, PALETTES["sea"])
    horizon = deal(-0.6, -0.3)
    canvas = _gradient(x, y, top, (top + low) / 2, low, horizon)
    _glow(canvas, x - deal(-0.8, 0.8), y - horizon + deal(0, 0.2), sun, 0.14)
    rows = 7
    for row in range(rows):
        share = row / rows
        turns = x * (4.2 - 2.8 * share) + deal()
        wave = (0.015 + 0.11 * share) * (1 - _triangle_wave(turns)) ** 1.7
        below = y - horizon - (1 - horizon) * share**1.35 + wave * min(row, 1)
        crest = far + (near - far) * share
        _ridge(canvas, below, crest * 0.8 + low * 0.2, crest * 0.82, pixel + 0.01, 0.22, 0.16)
        foam = cover((below - 0.02).abs() - 0.006 - 0.012 * share, pixel + 0.01)
        lay(canvas, 0.35 * crest + 0.65, foam * (0.15 + 0.6 * share) * min(row, 1))
    return canvas


def grass(deal: Dealer, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """A far hill and seven rows of blades that come nearer, with flowers between them."""
    top, low, hill, far, near, petal = pick(deal, PALETTES["grass"])
    horizon = deal(-0.7, -0.45)
    canvas = _gradient(x, y, top, (top + low) / 2, low, horizon)
    hills = y - horizon - _swell(deal, x, 2.2, 0.07)
    _ridge(canvas, hills, hill * 0.7 + low * 0.3, hill, pixel + 0.01)
    rows = 7
    for row in range(rows):
        share = row / (rows - 1)
        ground = horizon + 0.12 + (0.9 - horizon) * share**1.2 + _swell(deal, x, 1.7, 0.03)
        blades = _blades(deal, x, 7.5 - 3.5 * share, 0.1 + 0.16 * share)
        tip = far + (near - far) * share
        steep = pixel * (1 + 2.5 * share) + 0.01
        _ridge(canvas, y - ground + blades, tip * 0.9 + low * 0.1, tip * 0.72, steep, 0.3, 0.14)
        if row:
            away = torch.hypot(x - deal(-1, 1), y - ground + deal(0, 0.12)) - 0.022 - 0.035 * share
            lay(canvas, petal, cover(away, pixel + 0.01))
            lay(canvas, petal * 0.75, cover(away + 0.015 + 0.02 * share, pixel + 0.01))
    return canvas


def sand(deal: Dealer, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Four dunes with ripples and grain under a pale sky."""
    top, low, far, near, sun = pick(deal, PALETTES["sand"])
    horizon = deal(-0.65, -0.35)
    canvas = _gradient(x, y, top, (top + low) / 2, low, horizon)
    _glow(canvas, x - deal(-0.9, 0.9), y - deal(-0.95, -0.6), sun, 0.13)
    grain = pixel_noise(deal.key, y.shape[1], x.shape[2])
    for row in range(4):
        share = row / 3
        crest = horizon + (0.85 - horizon) * share**1.2 + _swell(deal, x, 2.6 - share, 0.1)
        below = y - crest
        lit = far + (near - far) * (0.75 * share)
        ripple = torch.sin(below * (75 - 40 * share) + 2 * torch.sin(x * 3 + deal(0, 6.28)))
        tone = 1 + (0.035 + 0.02 * share) * ripple + 0.04 * grain
        sheet = lit + (near * (1.02 - 0.2 * share) - lit) * (below / 0.5).clamp(0, 1)[:, None]
        canvas.mul_(1 - 0.22 * torch.exp(below.clamp(max=0) / 0.07)[:, None])
        lay(canvas, sheet * tone[:, None], cover(-below, pixel + 0.01))
    return canvas


def _stars(deal: Dealer, x: Tensor, y: Tensor, pixel: float, cells: int = 8) -> Tensor:
    """One star in each cell of a grid, away from the cell's edge, from faint to bright."""
    across = ((x + 1) * (cells / 2)).long().flatten()
    down = ((y + 1) * (cells / 2)).long().flatten()

    def spread(low: float, high: float) -> Tensor:
        drawn = deal.several(cells * cells, low, high).reshape(-1, cells, cells)
        return drawn[:, down[:, None], across]

    east = x - ((across + spread(0.25, 0.75)) * (2 / cells) - 1)
    south = y - ((down[:, None] + spread(0.25, 0.75)) * (2 / cells) - 1)
    size = spread(0, 1) ** 3
    return (0.35 + 0.65 * size) * cover(
        torch.hypot(east, south) - 0.008 - 0.02 * size, pixel + 0.01
    )


def night(deal: Dealer, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Stars, a moon, and the outlines of two wooded hills."""
    top, middle, low, hill, moon = pick(deal, PALETTES["night"])
    canvas = _gradient(x, y, top, middle, low, 1)
    lay(canvas, moon, _stars(deal, x, y, pixel))
    _glow(canvas, x - deal(-0.85, 0.85), y - deal(-0.85, -0.25), moon, 0.12)
    for row in range(2):
        ground = 0.55 + 0.22 * row + _swell(deal, x, 2.4, 0.07)
        trees = _blades(deal, x, 5.5 - 2 * row, 0.2 + 0.1 * row)
        colour = hill + (low - hill) * (0.3 - 0.25 * row)
        _ridge(canvas, y - ground + trees, colour, hill, pixel * 2 + 0.01, 0.5, 0)
    return canvas


BACKGROUNDS: dict[str, Callable[[Dealer, Tensor, Tensor, float], Tensor]] = {
    "sky": sky,
    "sea": sea,
    "grass": grass,
    "sand": sand,
    "night": night,
}
