"""Which files are images of what, before any is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from .cache import cached
from .decode import SUFFIXES, decode_files
from .files import Files, natural
from .imageset import ImageSet, digest

VERSION = 1  # raised when the same files would give other pixels: caches of the old are left alone


@dataclass(frozen=True)
class Listing:
    """Labelled image files: `table` has the columns path and class_name, and part where known.

    ``part`` is "train", "validation" or "test", as the files say; further columns are kept.
    """

    files: Files
    table: pd.DataFrame
    name: str
    notes: tuple[str, ...] = ()


def is_image(name: str) -> bool:
    """Whether a file name looks like that of an image."""
    return name.lower().endswith(SUFFIXES)


def read_listing(
    listing: Listing,
    side: int,
    say: Callable[[str], None] = print,
    classes: tuple[str, ...] | None = None,
) -> ImageSet:
    """Decode what is listed to side x side; what cannot be read is left out, with a note.

    The key comes from the bytes of the files and their labels, so it is the same wherever and
    however they lie. Raises ValueError where not one image can be read.
    """
    table, notes = listing.table, listing.notes
    found = decode_files(listing.files.read, list(table["path"]), side, listing.name, say)
    for news in notes_on(("unreadable files, left out", found.unreadable)):
        notes = (*notes, news)
        say(f"{listing.name}: {news}")
    if not found.rows:
        raise ValueError(
            f"none of the {len(table)} images in {listing.files.place} can be read, "
            f"such as {found.unreadable[0]}: check that they are images."
        )
    table = table.iloc[found.rows].reset_index(drop=True)
    sizes = pd.DataFrame(found.sizes, columns=["width", "height", "bytes"])
    classes = classes or tuple(sorted(table["class_name"].unique(), key=natural))
    labels = torch.tensor([classes.index(name) for name in table["class_name"]])
    return ImageSet(
        images=found.images,
        labels=labels,
        classes=classes,
        table=pd.concat([table.drop(columns="class_name"), sizes], axis=1),
        name=listing.name,
        key=digest(VERSION, found.hashes, labels, classes, side),
        notes=notes,
    )


def cached_listing(
    kind: str,
    stamps: Sequence[str],
    make: Callable[[], Listing],
    side: int,
    cache_dir: Path,
    say: Callable[[str], None] = print,
) -> ImageSet:
    """The images of the listing that `make` gives, decoded once for these stamps and side."""
    name = f"{kind}-{side}-{digest(VERSION, *stamps)}"
    return cached(cache_dir, name, lambda: read_listing(make(), side, say))


def notes_on(*found: tuple[str, list[str]], most: int = 5) -> tuple[str, ...]:
    """A note on each kind of file of which there are any: how many, and the first of them."""
    return tuple(
        f"{what}: {len(names)} ({', '.join(names[:most])}{' …' if len(names) > most else ''})"
        for what, names in found
        if names
    )
