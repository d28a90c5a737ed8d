"""Random changes to a batch of images that leave its classes alone, as tensor code.

Batches are float (N, 3, H, W) in 0..1, left as they are; a new batch comes back. Every image draws
for itself, from a CPU generator whatever the device, so that all devices see the same changes.
"""

import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

GREY = 0.5


def augment(images: Tensor, spec: Sequence[str], generator: Generator) -> Tensor:
    """Apply the changes named in `spec`, such as ("flip", "shift2", "cutout8"), in that order.

    "flip" mirrors, "shift2" moves by up to 2 pixels, "cutout8" hides a square of 8 pixels,
    "crop80" enlarges a part of at least 80 % of the area, "rotate20" turns by up to 20 degrees,
    "shear10" shears by up to 10 degrees and scales by 0.8 to 1.2, "light40" changes brightness,
    contrast and saturation by up to 40 %. Raises ValueError for any other name.
    """
    for change in changes(spec):
        images = change(images, generator)
    return images


def changes(spec: Sequence[str]) -> list[Callable[[Tensor, Generator], Tensor]]:
    """The functions that the names in `spec` stand for. Raises ValueError as `augment`."""
    if isinstance(spec, str):
        raise ValueError(f"the augmentations are a tuple of names, not the string {spec!r}")
    return [_change(name) for name in spec]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror half of the images, left for right."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    rows = chosen.nonzero().squeeze(1).to(images.device)
    flipped = images.clone()
    flipped[rows] = images[rows].flip(3)
    return flipped


def shift(images: Tensor, generator: Generator, pixels: int) -> Tensor:
    """Move each image by up to `pixels` in both directions; the edges are filled by reflection.

    Raises ValueError where the images are too small to be moved so far.
    """
    height, width = images.shape[2:]
    if pixels >= min(height, width):
        raise ValueError(f"images of {height}x{width} px cannot be shifted by {pixels} px")
    down, right = torch.randint(2 * pixels + 1, (2, len(images)), generator=generator)
    padded = F.pad(images, (pixels,) * 4, mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    rows = torch.arange(len(images), device=images.device)
    return windows[rows, :, down.to(images.device), right.to(images.device)]


def cutout(images: Tensor, generator: Generator, size: int) -> Tensor:
    """Paint a grey square of `size` pixels over each image (DeVries and Taylor 2017).

    The square's centre may be any pixel, so that it can reach beyond the edge.
    """
    covered = []
    for length in images.shape[2:]:
        first = torch.randint(length, (len(images), 1), generator=generator) - size // 2
        pixel = torch.arange(length)
        covered.append(((pixel >= first) & (pixel < first + size)).to(images.device))
    square = covered[0][:, None, :, None] & covered[1][:, None, None, :]
    return images.clone().masked_fill_(square, GREY)


def crop(images: Tensor, generator: Generator, least: int) -> Tensor:
    """Enlarge a random part of each image, of `least` to 100 % of its area, to the whole.

    The part's width is 3/4 to 4/3 of its height, as in torchvision's RandomResizedCrop, as far as
    the image allows it.
    """
    if not 0 < least <= 100:
        raise ValueError(f"crop takes a share of the area from 1 to 100 %, not {least}")
    area = _uniform(images, generator, least / 100, 1)
    ratio = _uniform(images, generator, math.log(3 / 4), math.log(4 / 3)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    right = _uniform(images, generator, -1, 1) * (1 - width)
    down = _uniform(images, generator, -1, 1) * (1 - height)
    none = torch.zeros_like(area)
    return _warp(images, (width, none, right), (none, height, down))


def rotate(images: Tensor, generator: Generator, degrees: int) -> Tensor:
    """Turn each image about its centre by up to `degrees` to either side; corners become black."""
    turn = _uniform(images, generator, -degrees, degrees).deg2rad()
    # In units of half the image's width and height, which may differ.
    stretch, none = images.shape[2] / images.shape[3], torch.zeros_like(turn)
    across, along = -turn.sin() * stretch, turn.sin() / stretch
    return _warp(images, (turn.cos(), across, none), (along, turn.cos(), none))


def shear(images: Tensor, generator: Generator, degrees: int) -> Tensor:
    """Shear each image along its rows by up to `degrees` and scale it by 0.8 to 1.2."""
    slant = _uniform(images, generator, -degrees, degrees).deg2rad().tan()
    scale = 1 / _uniform(images, generator, 0.8, 1.2)
    none = torch.zeros_like(slant)
    across = slant * scale * images.shape[2] / images.shape[3]
    return _warp(images, (scale, across, none), (none, scale, none))


def light(images: Tensor, generator: Generator, percent: int) -> Tensor:
    """Change brightness, contrast and saturation of each image, each by up to `percent`."""
    low, high = 1 - percent / 100, 1 + percent / 100
    factors = [_uniform(images, generator, low, high).to(images.device) for _ in range(3)]
    bright, contrast, colour = (factor[:, None, None, None] for factor in factors)
    images = images * bright
    grey = images.mean(1, keepdim=True)
    images = grey + colour * (images - grey)
    middle = grey.mean((2, 3), keepdim=True)
    return (middle + contrast * (images - middle)).clamp_(0, 1)


def _uniform(images, generator, low, high):
    """A number from `low` to `high` for each image, on the CPU."""
    return low + (high - low) * torch.rand(len(images), generator=generator)


def _warp(images, first, second):
    """Images read at A p for each of their points p in -1..1: A has these rows of three entries."""
    matrices = torch.stack([torch.stack(row, 1) for row in (first, second)], 1)
    places = F.affine_grid(matrices.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, places.to(images.dtype), align_corners=False)


def _change(name):
    """The function of (images, generator) that `name` stands for."""
    if name == "flip":
        return flip
    match = re.fullmatch(r"([a-z]+)([1-9]\d*)", name)
    if not match or match[1] not in _CHANGES:
        raise ValueError(
            f"there is no augmentation {name!r}; there are: flip, shiftN and cutoutN (N in "
            "pixels), cropN (in % of the area), rotateN and shearN (in degrees), lightN (in %)"
        )
    change, amount = _CHANGES[match[1]], int(match[2])
    return lambda images, generator: change(images, generator, amount)


_CHANGES = {
    "shift": shift,
    "cutout": cutout,
    "crop": crop,
    "rotate": rotate,
    "shear": shear,
    "light": light,
}
