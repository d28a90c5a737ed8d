"""What a photograph's colours, its sharpness and the size of its file tell, without its content."""

import io

import torch
from PIL import Image
from torch import Tensor

from .subcategories import BLOCK, image_features

# Columns of `file_statistics`.
STATISTICS = (
    "red",
    "green",
    "blue",
    "red spread",
    "green spread",
    "blue spread",
    "saturation",
    "edge density",
    "bytes per pixel",
)
# Of the JPEG whose size is taken, as libjpeg counts.
QUALITY = 75


def file_statistics(images: Tensor) -> Tensor:
    """Nine numbers of each of `images`, uint8 (N, H, W, 3), named `STATISTICS`: (N, 9) float64.

    A baseline: what rejects unknown images by these alone has not looked at what is on them. Mean
    and standard deviation of the three channels, as shares of full scale, and mean saturation and
    edge density, all 0..1 (`image_features`); bytes per pixel of a JPEG of quality 75 made of the
    image as it is here, with its header: to compare at one size only. Brightness is a sum of three
    columns, so it is left out. Units differ: standardise before distances that heed them. Raises
    ValueError as `image_features` does.
    """
    found = image_features(images)
    means = [found[name] for name in ("red", "green", "blue")]
    others = [found[name] for name in ("saturation", "edge density")]
    columns = [*means, *_spreads(images).unbind(1), *others, _bytes_per_pixel(images)]
    return torch.stack(columns, 1)


def _spreads(images: Tensor) -> Tensor:
    """Standard deviation of each channel over pixels: (N, 3)."""
    blocks = (block.flatten(1, 2).double() / 255 for block in images.split(BLOCK))
    return torch.cat([block.std(1, correction=0) for block in blocks])


def _bytes_per_pixel(images: Tensor) -> Tensor:
    sizes = [_jpeg_bytes(pixels) for pixels in images.cpu().numpy()]
    pixels = images.shape[1] * images.shape[2]
    return torch.tensor(sizes, dtype=torch.float64, device=images.device) / pixels


def _jpeg_bytes(pixels) -> int:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return out.tell()
