"""Image files to uint8 pixels of one size, on all cores."""

import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from .progress import progress

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

_BATCH = 128
_BIG = 1 << 18  # bytes: beyond this PIL wins, as it can decode a JPEG at a fraction of its size


class Decoded(NamedTuple):
    """Pixels uint8 (N, side, side, 3) of what could be read, and what is known of each file."""

    images: torch.Tensor
    rows: list[int]  # which of the files asked for these are
    sizes: list[tuple[int, int, int]]  # width, height, bytes of each file
    hashes: list[str]  # of each file's bytes
    unreadable: list[str]  # "name (reason)"


def decode(data: bytes, side: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """One image as uint8 (side, side, 3), and the width and height it had.

    The shorter side is resized to `side` and the centre cut out. Transparency is laid over
    white, and the orientation a camera noted is applied. Raises whatever the decoder raises.
    """
    pixels, size = _pixels(data, side)
    return _square(pixels, side).permute(1, 2, 0), size


def decode_files(
    read: Callable[[str], bytes],
    names: Sequence[str],
    side: int,
    what: str,
    say: Callable[[str], None] = print,
) -> Decoded:
    """Decode many files, in order; those that cannot be read are left out and listed."""
    images = torch.empty(len(names), side, side, 3, dtype=torch.uint8)
    advance = progress(f"decoding {what}", len(names), say=say)
    found: list[tuple | str] = []

    def work(first: int) -> list[tuple | str]:
        batch = names[first : first + _BATCH]
        return [_into(images[first + i], read, name, side) for i, name in enumerate(batch)]

    with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
        # Said for each image: torchvision would like to hand its decoders over to torchcodec.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torchvision")
        for batch in pool.map(work, range(0, len(names), _BATCH)):
            found += batch
            advance(len(batch))
    rows = [row for row, item in enumerate(found) if isinstance(item, tuple)]
    return Decoded(
        images if len(rows) == len(names) else images[rows],
        rows,
        [found[row][0] for row in rows],
        [found[row][1] for row in rows],
        [item for item in found if isinstance(item, str)],
    )


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode in RGB: 16-bit grey scaled, transparency laid over white.

    Raises ValueError for floating-point pixels, whose range nothing tells.
    """
    if image.mode.startswith("I"):  # 16-bit grey, which PIL would clip to white
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((deep.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _into(place: torch.Tensor, read: Callable[[str], bytes], name: str, side: int) -> tuple | str:
    try:
        data = read(name)
        pixels, size = decode(data, side)
    except Exception as error:  # every decoder has errors of its own, and all mean unreadable
        return f"{name} ({_reason(error)})"
    place.copy_(pixels)
    return (*size, len(data)), blake2b(data, digest_size=16).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def _pixels(data: bytes, side: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """uint8 (3, H, W), and the width and height of the file."""
    # Here, since it takes two seconds, and drawn images need none of it.
    import torchvision.io

    if data[:2] == b"\xff\xd8" and len(data) < _BIG and hasattr(torchvision.io, "decode_jpeg"):
        try:
            pixels = torchvision.io.decode_jpeg(
                torch.frombuffer(bytearray(data), dtype=torch.uint8),
                mode=torchvision.io.ImageReadMode.RGB,
                apply_exif_orientation=True,
            )
            return pixels, (pixels.shape[2], pixels.shape[1])
        except RuntimeError:
            pass  # PIL reads some that torchvision does not
    return _pixels_by_pil(data, side)


def _pixels_by_pil(data: bytes, side: int) -> tuple[torch.Tensor, tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        size = image.size[::-1] if turned else image.size
        if image.mode in ("RGB", "L"):
            image.draft(None, (2 * side, 2 * side))
        image = as_rgb(ImageOps.exif_transpose(image))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1), size


def _square(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Shorter side resized to `side`, then the centre."""
    height, width = pixels.shape[1:]
    if min(height, width) != side:
        scale = side / min(height, width)
        size = (max(side, round(height * scale)), max(side, round(width * scale)))
        pixels = F.interpolate(pixels[None], size=size, mode="bilinear", antialias=True)[0]
    top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
    return pixels[:, top : top + side, left : left + side]
