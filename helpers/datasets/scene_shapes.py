"""The shapes of generated scenes, as signed distance functions, and the families they come from.

A signed distance is negative inside a shape, positive outside and about Euclidean near its edge.
The formulas follow Inigo Quilez, https://iquilezles.org/articles/distfunctions2d. The members of a
family are one geometry: *round* ones are made of circles, *angular* ones are convex with straight
sides, *armed* ones reach out from a centre. All shapes cover the area of the disc of radius 1, so
that size gives no class away.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import torch

Tensor = torch.Tensor
ROUNDING = 0.06  # radius of every corner


def disc(x: Tensor, y: Tensor) -> Tensor:
    """A full circle."""
    return torch.hypot(x, y) - 1


def ring(x: Tensor, y: Tensor, hole: float = 0.5) -> Tensor:
    """A circle with a round hole."""
    middle, half = (1 + hole) / 2, (1 - hole) / 2
    return (torch.hypot(x, y) - middle).abs() - half


def ellipse(x: Tensor, y: Tensor, height: float = 0.56) -> Tensor:
    """First-order distance: the implicit function over the length of its gradient."""
    level = torch.hypot(x, y / height)
    slope = torch.hypot(x, y / height**2)
    return level * (level - 1) / slope.clamp(min=1e-4)


def crescent(x: Tensor, y: Tensor) -> Tensor:
    """A circle with a circle bitten out of its right side."""
    x = x - 0.28  # its centre of mass to the origin
    bite = torch.hypot(x - 0.5, y + 0.1) - 0.72
    return torch.maximum(torch.hypot(x, y) - 1, -bite)


def capsule(x: Tensor, y: Tensor, half: float = 0.75) -> Tensor:
    """A bar with round ends."""
    return torch.hypot((x.abs() - half).clamp(min=0), y) - 0.5


def drop(x: Tensor, y: Tensor, length: float = 1.6, tip: float = 0.1) -> Tensor:
    """A large circle and a small one above it in one skin (Quilez's uneven capsule)."""
    sine = (1 - tip) / length
    cosine = math.sqrt(1 - sine**2)
    x, y = x.abs(), 0.17 - y
    side = x * cosine + y * sine
    along = y * cosine - x * sine
    cone = side - 1
    head = torch.hypot(x, y) - 1
    point = torch.hypot(x, y - length) - tip
    return torch.where(along < 0, head, torch.where(along > length * cosine, point, cone))


def box(x: Tensor, y: Tensor, width: float = 1, height: float = 1) -> Tensor:
    """A rectangle."""
    across, down = x.abs() - width, y.abs() - height
    outside = torch.hypot(across.clamp(min=0), down.clamp(min=0))
    return outside + torch.maximum(across, down).clamp(max=0)


def _fold(x: Tensor, y: Tensor, sectors: int) -> tuple[Tensor, Tensor]:
    """Turn every point into the half-sector that starts straight up: n-fold symmetry for free."""
    angle = torch.atan2(x, -y) / (2 * math.pi / sectors)
    angle = (angle - angle.round()).abs() * (2 * math.pi / sectors)
    radius = torch.hypot(x, y)
    return radius * angle.cos(), radius * angle.sin()


def star(x: Tensor, y: Tensor, points: int, valley: float) -> Tensor:
    """Tips at radius 1, valleys at radius `valley`; cos(pi / points) makes a regular polygon."""
    along, aside = _fold(x, y, points)
    edge_x = valley * math.cos(math.pi / points) - 1
    edge_y = valley * math.sin(math.pi / points)
    from_tip = along - 1
    share = (from_tip * edge_x + aside * edge_y) / (edge_x**2 + edge_y**2)
    share = share.clamp(0, 1)
    distance = torch.hypot(from_tip - share * edge_x, aside - share * edge_y)
    return torch.where(from_tip * edge_y - aside * edge_x < 0, -distance, distance)


def polygon(x: Tensor, y: Tensor, sides: int) -> Tensor:
    """A regular polygon, a corner up."""
    return star(x, y, sides, math.cos(math.pi / sides))


def arms(x: Tensor, y: Tensor, count: int, half_width: float) -> Tensor:
    """Straight arms from a centre, one of them up."""
    along, aside = _fold(x, y, count)
    beyond, beside = along - 1, aside - half_width
    outside = torch.hypot(beyond.clamp(min=0), beside.clamp(min=0))
    return outside + torch.maximum(beyond, beside).clamp(max=0)


Distance = Callable[[Tensor, Tensor], Tensor]
# Name: the distance, and the scale at which, its corners rounded, it covers an area of pi.
_SHAPES: dict[str, tuple[Distance, float]] = {
    "disc": (disc, 0.94),
    "ring": (ring, 1.041),
    "ellipse": (ellipse, 1.251),
    "crescent": (crescent, 1.208),
    "triangle": (partial(polygon, sides=3), 1.437),
    "square": (box, 0.826),
    "pentagon": (partial(polygon, sides=5), 1.076),
    "cross": (partial(arms, count=4, half_width=0.28), 1.157),
    "star": (partial(star, points=5, valley=0.46), 1.378),
    "sparkle": (partial(star, points=4, valley=0.4), 1.508),
    "capsule": (capsule, 1.093),
    "drop": (drop, 0.871),
    "rectangle": (partial(box, width=1.5, height=0.8), 0.753),
    "hexagon": (partial(polygon, sides=6), 1.031),
    "propeller": (partial(arms, count=3, half_width=0.28), 1.299),
    "burst": (partial(star, points=8, valley=0.6), 1.182),
    "tile": (box, 0.826),
}


FAMILIES: dict[str, tuple[str, ...]] = {
    "round": ("disc", "ring", "ellipse", "crescent"),
    "angular": ("triangle", "square", "pentagon"),
    "armed": ("cross", "star", "sparkle"),
}
HELD_OUT: dict[str, tuple[str, ...]] = {
    "round": ("capsule", "drop"),
    "angular": ("rectangle", "hexagon"),
    "armed": ("propeller", "burst"),
}
SHAPES: tuple[str, ...] = tuple(shape for family in FAMILIES.values() for shape in family)
FAMILY_OF: dict[str, str] = {
    shape: family for family in FAMILIES for shape in (*FAMILIES[family], *HELD_OUT[family])
}


def distance(shape: str, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to a shape of the unit disc's area, corners rounded, centred on 0.

    x to the right and y downwards, in units of that disc's radius.
    """
    formula, scale = _SHAPES[shape]
    return formula(x / scale, y / scale) * scale - ROUNDING


def _splits() -> list[list[int]]:
    """The ten ways to split six points into two threes, each as 15 bits, one for a pair of points.

    A pair's bit is 1 where both points are on the same side.
    """
    halves = [{0, *others} for others in combinations(range(1, 6), 2)]
    pairs = list(combinations(range(6), 2))
    return [[int((a in half) == (b in half)) for a, b in pairs] for half in halves]


# The classes of the variant without families. Any two of the ten codes differ in 8 of 15 cells, and
# the permutations of the six points carry every pair of codes into every other pair (they act
# doubly transitively on the ten splits). So where cells are flipped at random, at one rate, the
# best classifier there can be confuses every pair of classes equally often, by symmetry.
CODES: tuple[tuple[int, ...], ...] = tuple(map(tuple, _splits()))
TILES: tuple[str, ...] = tuple(f"tile {letter}" for letter in "ABCDEFGHIJ")


def family_labels(classes: Sequence[str]) -> list[int]:
    """The number of each class' family: what clustering the classes should find.

    Held-out shapes have the numbers of their families; tiles are one family, number 0.
    Raises ValueError for a class that no scene shows.
    """
    number = {family: place for place, family in enumerate(FAMILIES)}
    known = {shape: number[family] for shape, family in FAMILY_OF.items()}
    known |= dict.fromkeys(TILES, 0)
    strangers = [name for name in classes if name not in known]
    if strangers:
        raise ValueError(f"no family is known for {strangers[0]!r}: the shapes are {list(known)}")
    return [known[name] for name in classes]
