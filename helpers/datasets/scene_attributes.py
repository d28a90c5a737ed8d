"""What stands in each generated scene: drawn for every image, and told in a table.

An object's identity (colour, texture, size) is drawn from the number of the individual, its view
(place, turn, background, clutter, light, noise) from the index of the image.
"""

import math

import pandas as pd
import torch

from .scene_backgrounds import BACKGROUNDS as _PAINTERS
from .scene_draws import keys, named, uniform
from .scene_shapes import CODES, FAMILY_OF

Tensor = torch.Tensor
BACKGROUNDS: tuple[str, ...] = tuple(_PAINTERS)
TEXTURES = ("plain", "stripes", "dots")
COLOURS = {  # hue in degrees, saturation, value
    "red": (4, 0.74, 0.88),
    "orange": (27, 0.80, 0.95),
    "yellow": (46, 0.73, 0.97),
    "green": (113, 0.56, 0.68),
    "teal": (176, 0.70, 0.66),
    "blue": (214, 0.72, 0.85),
    "purple": (266, 0.55, 0.78),
    "pink": (334, 0.46, 0.93),
}
RADIUS = (0.33, 0.57)  # of the disc of the object's area, in half widths of the image
TILE_RADIUS = (0.60, 0.75)
TURN = math.radians(25)
TILE_TURN = math.radians(8)
REACH = 1.6  # of the farthest tips, in radii: what keeps objects inside the frame
STRAY = 0.28  # how far from the middle an object may be, in half widths
MOST_CLUTTER = 5
NOISE = (0.0, 0.06)
FLIPPED = 0.17  # the share of a tile's cells that show the wrong bit


def attributes(
    index: Tensor, individual: Tensor, labels: Tensor, seed: int, variant: str
) -> dict[str, Tensor]:
    """What is painted for each image: (N, ...) tensors by name, in half widths and radians."""
    tiles = variant == "no-families"
    drawn = _identity(keys(seed, "identity", individual), TILE_RADIUS if tiles else RADIUS)
    drawn |= _view(keys(seed, "view", index), drawn["radius"], TILE_TURN if tiles else TURN)
    drawn |= {"index": index, "shape": labels}
    if variant == "shortcut":
        drawn["background"] = labels % len(BACKGROUNDS)
    if tiles:
        drawn |= _tile(keys(seed, "code", individual), labels, drawn["colour"])
    return drawn


def _between(draw: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    return low + (high - low) * draw


def _choice(draw: Tensor, number: int) -> Tensor:
    return (draw * number).long()


def _identity(key: Tensor, radius: tuple[float, float]) -> dict[str, Tensor]:
    names = ("colour", "hue", "pale", "texture", "slant", "frequency", "accent", "radius")
    draw = named(key, names)
    palette = torch.tensor(list(COLOURS.values()))
    kind, texture = _choice(draw["colour"], len(COLOURS)), _choice(draw["texture"], len(TEXTURES))
    hue, saturation, value = palette[kind].unbind(1)
    hue = (hue + _between(draw["hue"], -9, 9)) % 360
    saturation = saturation * _between(draw["pale"], 0.8, 1.1)
    colour = _rgb(hue, saturation, value)
    towards = torch.where(draw["accent"] < 0.6, 1.0, 0.15)[:, None]
    return {
        "colour_kind": kind,
        "hue": hue,
        "texture": texture,
        "colour": colour,
        "accent": torch.lerp(colour, towards.expand_as(colour), 0.6),
        "patterned": (texture > 0).float(),
        "dots": (texture == 2).float(),
        "slant": draw["slant"] * math.pi,
        "frequency": _between(draw["frequency"], 5.5, 8.5),
        "radius": _between(draw["radius"], *radius),
    }


def _view(key: Tensor, radius: Tensor, turn: float) -> dict[str, Tensor]:
    draw = named(key, ("x", "y", "rotation", "background", "clutter", "light", "noise"))
    room = (1 - REACH * radius).clamp(0.05, STRAY)
    return {
        "x": _between(draw["x"], -room, room),
        "y": _between(draw["y"], -room, room),
        "rotation": _between(draw["rotation"], -turn, turn),
        "background": _choice(draw["background"], len(BACKGROUNDS)),
        "clutter": _choice(draw["clutter"], MOST_CLUTTER + 1),
        "light": _between(draw["light"], 0.82, 1.08),
        "noise": _between(draw["noise"], *NOISE),
    }


def _tile(key: Tensor, labels: Tensor, colour: Tensor) -> dict[str, Tensor]:
    """A tile with its code, some of its cells flipped, and a sixteenth cell that says nothing."""
    draws = uniform(key, 16)
    printed = torch.tensor(CODES)[labels] ^ (draws[:, :15] < FLIPPED).long()
    idle = (draws[:, 15:] < 0.4).long()
    none = torch.zeros_like(labels)
    lit = 0.4 * colour + 0.6
    return {"shape": none, "texture": none, "accent": lit, "code": torch.cat([printed, idle], 1)}


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Hue in degrees, saturation and value on 0..1, to (N, 3) on 0..1."""
    sector = (torch.tensor([5.0, 3.0, 1.0]) + hue[:, None] / 60) % 6
    dip = torch.minimum(sector, 4 - sector).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * dip)


def table(
    drawn: dict[str, Tensor], individual: Tensor, views: int, shapes: tuple[str, ...]
) -> pd.DataFrame:
    """A row for each image; places and sizes in image widths, angles in degrees."""

    def word(names: tuple[str, ...], which: str) -> list[str]:
        return [names[k] for k in drawn[which].tolist()]

    shape = word(shapes, "shape")
    return pd.DataFrame(
        {
            "index": drawn["index"],
            "individual": individual,
            "view": drawn["index"] % views,
            "shape": shape,
            "family": [FAMILY_OF.get(name, "none") for name in shape],
            "background": word(BACKGROUNDS, "background"),
            "colour": word(tuple(COLOURS), "colour_kind"),
            "hue": drawn["hue"],
            "texture": word(TEXTURES, "texture"),
            "size": drawn["radius"] / 2,
            "x": (drawn["x"] + 1) / 2,
            "y": (drawn["y"] + 1) / 2,
            "rotation": drawn["rotation"].rad2deg(),
            "clutter": drawn["clutter"],
            "light": drawn["light"],
            "noise": drawn["noise"],
        }
    )
