"""Random changes to a batch of images that leave its classes alone, as tensor code.

Batches are float (N, 3, H, W) in 0..1, left as they are; a new batch comes back. Every image draws
for itself, from a CPU generator whatever the device, so that all devices see the same changes.
"""

import re
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

GREY = 0.5


def augment(images: Tensor, spec: Sequence[str], generator: Generator) -> Tensor:
    """Apply the changes named in `spec`, such as ("flip", "shift2", "cutout8"), in that order.

    "flip" mirrors, "shift2" moves by up to 2 pixels, "cutout8" hides a square of 8 pixels.
    Raises ValueError for any other name.
    """
    if isinstance(spec, str):
        raise ValueError(f"the augmentations are a tuple of names, not the string {spec!r}")
    for name in spec:
        images = _change(name)(images, generator)
    return images


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


def _change(name):
    """The function of (images, generator) that `name` stands for."""
    if name == "flip":
        return flip
    match = re.fullmatch(r"(shift|cutout)([1-9]\d*)", name)
    if not match:
        raise ValueError(
            f"there is no augmentation {name!r}; there are: flip, shiftN, cutoutN (N in pixels)"
        )
    change, amount = (shift, cutout)[match[1] == "cutout"], int(match[2])
    return lambda images, generator: change(images, generator, amount)
