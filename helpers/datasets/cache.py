"""Image sets kept on disk as uint8 arrays, so that each is decoded once."""

import json
import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .files import CACHE_SIGNATURE
from .imageset import ImageSet

_ARRAYS = ("images", "labels", "masks")
_TAG = f"Signature: {CACHE_SIGNATURE}\n# What is deleted here is made again when asked for.\n"


def cached(folder: Path, name: str, make: Callable[[], ImageSet]) -> ImageSet:
    """The set kept as `name` under `folder`, made and kept first where it is not there.

    A copy that is damaged is made again. Two processes may ask at once: the set appears whole
    or not at all. Raises OSError where the folder cannot be written.
    """
    place = folder / name
    if place.is_dir():
        try:
            return _read(place)
        except (OSError, ValueError, KeyError):
            _remove(place)
    _write(place, make())
    return _read(place)


def _read(place: Path) -> ImageSet:
    card = json.loads((place / "card.json").read_text(encoding="utf-8"))
    for file, checksum in card["checksums"].items():
        if _checksum(place / file) != checksum:
            raise ValueError(f"{place / file} is damaged.")
    arrays = {what: _array(place / f"{what}.npy") for what in card["arrays"]}
    return ImageSet(
        classes=tuple(card["classes"]),
        table=pd.read_parquet(place / "table.parquet"),
        name=card["name"],
        key=card["key"],
        notes=tuple(card["notes"]),
        **arrays,
    )


def _array(file: Path) -> torch.Tensor:
    # Copy on write: torch takes no read-only arrays, and a changed pixel must not reach the disk.
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def _checksum(file: Path) -> int:
    return zlib.crc32(np.memmap(file, dtype=np.uint8, mode="r"))


def _write(place: Path, made: ImageSet) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        (place.parent / "CACHEDIR.TAG").write_text(_TAG, encoding="ascii")
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".making-") as folder:
            whole = Path(folder) / "set"
            whole.mkdir()
            _fill(whole, made)
            _appear(whole, place)
    except OSError as error:
        raise OSError(
            f"{place.parent} cannot be written ({error.strerror or error}): make room there, "
            "or make it writable."
        ) from error


def _appear(whole: Path, place: Path) -> None:
    try:
        os.rename(whole, place)
    except OSError:
        if not place.is_dir():  # otherwise another process was first, with the same
            raise


def _remove(place: Path) -> None:
    with (
        suppress(FileNotFoundError),
        tempfile.TemporaryDirectory(dir=place.parent, prefix=".damaged-") as folder,
    ):
        os.rename(place, Path(folder) / "set")


def _fill(folder: Path, made: ImageSet) -> None:
    arrays = [what for what in _ARRAYS if getattr(made, what) is not None]
    for what in arrays:
        np.save(folder / f"{what}.npy", getattr(made, what).cpu().contiguous().numpy())
    made.table.to_parquet(folder / "table.parquet")
    card = {
        "name": made.name,
        "key": made.key,
        "classes": made.classes,
        "notes": made.notes,
        "arrays": arrays,
        "checksums": {file.name: _checksum(file) for file in sorted(folder.iterdir())},
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1), encoding="utf-8")
