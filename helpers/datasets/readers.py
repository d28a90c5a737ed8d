"""Anybody's images: a folder for each class, or a CSV that names files; plain or zipped."""

from collections.abc import Callable
from pathlib import Path

from .files import files_in, stamp
from .folders import class_folders
from .imageset import ImageSet
from .listing import Listing, cached_listing
from .tables import csv_listing, read_table


def folder_images(
    place: Path, side: int, cache_dir: Path, say: Callable[[str], None] = print
) -> ImageSet:
    """Images in class folders under `place`, a folder or zip, as `class_folders` finds them."""
    return cached_listing(
        "folder", (stamp(place),), lambda: class_folders(files_in(place)), side, cache_dir, say
    )


def csv_images(
    place: Path, side: int, cache_dir: Path, say: Callable[[str], None] = print
) -> ImageSet:
    """Images named in a CSV file, or in the CSV inside a zip, as `csv_listing` finds them."""
    zipped = place.suffix.lower() == ".zip"
    stamps = (stamp(place), "" if zipped else stamp(place.parent))
    make = _zipped_listing if zipped else _plain_listing
    return cached_listing("csv", stamps, lambda: make(place), side, cache_dir, say)


def _plain_listing(place: Path) -> Listing:
    files = files_in(place.parent)
    return csv_listing(files, read_table(place.read_bytes(), place), place)


def _zipped_listing(place: Path) -> Listing:
    files = files_in(place)
    tables = [name for name in files.names if name.lower().endswith(".csv")]
    reasons = []
    for name in tables:
        try:
            table = read_table(files.read(name), place / name)
            return csv_listing(files, table, place / name, place.stem)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(" ".join(reasons) or f"{place} holds no CSV file.")
