"""Generated scenes: images whose truth is known.

A coloured object of one of ten shapes, in three families, stands before one of five kinds of
background. Its shape is its class; all else is drawn without regard to it, but for the variants:

- *plain*: as said.
- *shortcut*: for training sets. The background gives the class away: each class has one of its own,
  shared with one class of another family. Test on *plain*: the same index shows the same object.
- *no-families*: ten classes of the same square tile, told apart by codes of which any two are
  equally far apart, and of which a share of the cells is wrong. No clustering of them is right.
"""

from functools import cache
from pathlib import Path

import torch

from .imageset import ImageSet, digest
from .scene_attributes import BACKGROUNDS, attributes, table
from .scene_painting import paint
from .scene_shapes import FAMILIES, HELD_OUT, SHAPES, TILES, family_labels

__all__ = ["BACKGROUNDS", "FAMILIES", "HELD_OUT", "SHAPES", "VARIANTS", "family_labels", "scenes"]

VARIANTS = ("plain", "shortcut", "no-families")


def scenes(
    count: int,
    size: int = 32,
    seed: int = 0,
    first: int = 0,
    variant: str = "plain",
    held_out: bool = False,
    views: int = 1,
    device: torch.device | str = "cpu",
) -> ImageSet:
    """Images `first` up to `first + count` of the endless series that `seed` starts.

    Images are size x size pixels. Classes take turns, so that ten images in a row show all ten.
    An image depends on its index and on the other arguments, but not on `count` and `first`: a
    shorter series begins a longer one. With `held_out`, the six shapes beyond the ten stand where
    the ten would. With `views` above 1, so many images in a row show one individual: the same
    shape, colour, texture and size in other places, before other backgrounds.

    `device` is where they are painted; they come back on the CPU. Two devices differ by a grey
    level at most. The table's x, y (from the upper left) and size (the radius of the disc of the
    same area) are in image widths, its angles in degrees, clockwise. Raises ValueError for a size
    under 16, a variant that is not, and numbers that are no counts.
    """
    _check_counts(count=(count, 1), size=(size, 16), first=(first, 0), views=(views, 1))
    _check_choice(variant, held_out, seed)
    classes, shapes = _cast(variant, held_out)
    index = torch.arange(first, first + count)
    individual = index // views
    labels = individual % len(classes)
    drawn = attributes(index, individual, labels, seed, variant)
    images, masks = paint(drawn, shapes, size, seed, device)
    return ImageSet(
        images=images,
        labels=labels,
        classes=classes,
        table=table(drawn, individual, views, shapes),
        name=f"scenes, {variant}{', held-out shapes' if held_out else ''}",
        key=digest(_source(), count, size, seed, first, variant, held_out, views),
        masks=masks,
    )


def _cast(variant: str, held_out: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes, and the shapes that show them."""
    if variant == "no-families":
        return TILES, ("tile",)
    shapes = sum(HELD_OUT.values(), ()) if held_out else SHAPES
    return shapes, shapes


@cache
def _source() -> str:
    """The text of the generator, line ends and folder left out: what the key says was run."""
    rooms = sorted(Path(__file__).parent.glob("scene*.py"))
    return digest(*(room.read_text(encoding="utf-8") for room in rooms))


def _check_counts(**counts: tuple[int, int]) -> None:
    for name, (value, least) in counts.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def _check_choice(variant: str, held_out: bool, seed: int) -> None:
    if variant not in VARIANTS:
        raise ValueError(f"scenes have no variant {variant!r}: choose from {', '.join(VARIANTS)}.")
    if held_out and variant != "plain":
        raise ValueError(f"held-out shapes exist in the plain variant only, not in {variant!r}.")
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must be a whole number of 64 bits, not {seed!r}.")
