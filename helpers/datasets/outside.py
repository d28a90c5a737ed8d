"""Images of no trained class: photographs as the known set has them, noise and blanks."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files as files_of
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..settings import Settings
from .cifar10 import cifar10_place
from .decode import as_rgb, decode_files
from .files import Files, files_in, stamp
from .folders import class_folders
from .imageset import ImageSet
from .known import catdog_place, whales_places
from .listing import Listing, cached_listing

NAME = "unknown photographs"

_SHIPPED = {
    "astronaut": ("skimage", "data", "astronaut.png"),
    "coffee": ("skimage", "data", "coffee.png"),
    "cat": ("skimage", "data", "chelsea.png"),
    "China": ("sklearn", "datasets", "images", "china.jpg"),
    "flower": ("sklearn", "datasets", "images", "flower.jpg"),
}
_SAMPLE = 200  # files whose JPEG quality is looked at


class Form(NamedTuple):
    """What the files of a set of photographs are like, whatever is on them."""

    short: int  # pixels of the shorter side
    square: bool
    quality: int | None  # of JPEG files, 1..100 as libjpeg counts; None where they are lossless

    def __str__(self) -> str:
        kept = "lossless" if self.quality is None else f"JPEG of quality {self.quality}"
        return f"{'square, ' if self.square else ''}shorter side {self.short} px, {kept}"


def photographs(
    known: ImageSet, settings: Settings, say: Callable[[str], None] = print
) -> ImageSet | None:
    """The photographs of no known class in ``settings.data_dir``, None where there are none.

    Looked for as ``unknown.zip`` or a folder ``unknown``; the classes are its folders. Resolution
    and compression alone could tell them from `known`, which are images of
    ``settings.dataset``. So each is first brought to the form of those (`form_of`), by
    resampling and a new encoding (a small one is enlarged), and then decoded to their size like
    any other file. Colours and sharpness stay what they are: a baseline says how much they tell.
    """
    place = next((p for p in _places(settings.data_dir) if p.exists()), None)
    if place is None:
        return None
    form, side = form_of(known, settings), known.images.shape[1]
    make = lambda: _listing(place, form)  # noqa: E731
    # "over white": what older caches show below transparent pixels is not that.
    stamps = (stamp(place), str(form), "over white")
    return cached_listing("unknown", stamps, make, side, settings.cache_dir, say)


def form_of(known: ImageSet, settings: Settings) -> Form:
    """What most of the files are like that `known`, images of ``settings.dataset``, come from.

    Medians, of the JPEG quality over at most 200 files. Images without files, such as
    scenes, are lossless squares of their own size.
    """
    if "path" not in known.table:
        return Form(known.images.shape[1], True, None)
    sizes = known.table[["width", "height"]]
    square = (sizes["width"] == sizes["height"]).mean() > 0.5
    return Form(int(sizes.min(axis=1).median()), bool(square), _typical_quality(known, settings))


def jpeg_quality(data: bytes) -> int | None:
    """The quality 1..100 at which libjpeg would have encoded this file; None if it is no JPEG.

    The one whose table of luminance divisors is nearest: other encoders have other tables.
    """
    with Image.open(io.BytesIO(data)) as image:
        tables = getattr(image, "quantization", None)
    if not tables:
        return None
    return 1 + int(np.abs(_luminance_tables() - np.array(tables[0])).sum(1).argmin())


def shipped(side: int) -> dict[str, Tensor]:
    """Photographs that come with scikit-image and scikit-learn: uint8 (side, side, 3), by name.

    Astronaut, coffee, cat, China and flower, those of them that are installed: nothing is
    downloaded. Shrunk and cut as every other file is.
    """
    names = list(_SHIPPED)
    found = decode_files(_shipped_file, names, side, "photographs that ship")
    return {names[row]: image for row, image in zip(found.rows, found.images, strict=True)}


def noise(count: int, side: int, seed: int = 0) -> Tensor:
    """Images without a structure: uint8 (count, side, side, 3), each number drawn from 0..255."""
    return _drawn((count, side, side, 3), seed)


def blank(count: int, side: int, seed: int = 0) -> Tensor:
    """Images of one colour each, drawn from all: uint8 (count, side, side, 3)."""
    return _drawn((count, 1, 1, 3), seed).expand(-1, side, side, -1).contiguous()


def _shipped_file(name: str) -> bytes:
    package, *place = _SHIPPED[name]
    return files_of(package).joinpath(*place).read_bytes()


def _drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def _places(data_dir: Path) -> tuple[Path, ...]:
    return data_dir / "unknown.zip", data_dir / "unknown"


def _listing(place: Path, form: Form) -> Listing:
    """As `place` has them, but each file read in another form."""
    files = files_in(place)
    listing = class_folders(files, NAME)
    remade = replace(files, read=lambda name: _remade(files.read(name), form))
    return replace(listing, files=remade, notes=(*listing.notes, f"all brought to: {form}"))


def _remade(data: bytes, form: Form) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        whole = as_rgb(ImageOps.exif_transpose(image))
    size = (form.short, form.short) if form.square else _scaled(whole.size, form.short)
    # Squares are cut before they are encoded, as those of the known set were.
    brought = ImageOps.fit(whole, size, Image.Resampling.LANCZOS)
    return _encoded(brought, form.quality)


def _scaled(size: tuple[int, int], short: int) -> tuple[int, int]:
    return tuple(max(short, round(length * short / min(size))) for length in size)


def _encoded(image: Image.Image, quality: int | None) -> bytes:
    out = io.BytesIO()
    if quality is None:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()


def _typical_quality(known: ImageSet, settings: Settings) -> int | None:
    read = _known_files(settings).read
    paths = known.table["path"].iloc[:: -(-len(known) // _SAMPLE)]
    found = [jpeg_quality(read(path)) for path in paths]
    lossy = [quality for quality in found if quality is not None]
    return int(np.median(lossy)) if 2 * len(lossy) > len(found) else None


def _known_files(settings: Settings) -> Files:
    """Where the paths lead that the table of ``settings.dataset`` has."""
    kind, _, path = settings.dataset.partition(":")
    if kind == "catdog":
        return files_in(*catdog_place(settings.data_dir))
    if kind == "cifar10":
        return files_in(*cifar10_place(settings.data_dir)[:2])
    if kind == "whales":
        return files_in(whales_places(settings.data_dir)[1])
    place = Path(path)
    plain = kind == "csv" and place.suffix.lower() != ".zip"
    return files_in(place.parent if plain else place)


@cache
def _luminance_tables() -> np.ndarray:
    """The divisors of each quality: (100, 64), in the order in which PIL has them."""
    files = (_encoded(Image.new("RGB", (8, 8)), quality) for quality in range(1, 101))
    return np.array([Image.open(io.BytesIO(file)).quantization[0] for file in files])
