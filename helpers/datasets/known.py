"""Two photograph sets as Kaggle lays them out, or as one zip, and the digits of scikit-learn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

from .files import Files, files_in, stamp
from .folders import class_folders
from .imageset import ImageSet, digest
from .listing import Listing, cached_listing
from .tables import csv_listing, read_table

MISSPELT = {"bottlenose_dolpin": "bottlenose_dolphin", "kiler_whale": "killer_whale"}
"""Species of happy-whale-and-dolphin as its train.csv has them, and as they are."""

_WHALES_SMALL = "jpeg-happywhale-128x128/train_images-128-128"


def digits() -> ImageSet:
    """The 1,797 handwritten digits of scikit-learn, grey, 32x32 instead of their 8x8.

    Each pixel becomes 4x4 by bilinear interpolation, and its 17 levels 0..255. They are the test
    set of Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI (1998).
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] * (255 / 16)
    grey = F.interpolate(small, size=32, mode="bilinear").round().byte()
    labels = torch.from_numpy(found.target).long()
    return ImageSet(
        images=grey.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous(),
        labels=labels,
        classes=tuple("0123456789"),
        table=pd.DataFrame({"row": range(len(labels))}),
        name="digits",
        key=digest("digits", small, labels, 32),
    )


def catdog(
    data_dir: Path, side: int, cache_dir: Path, say: Callable[[str], None] = print
) -> ImageSet:
    """Photographs of cats and dogs (Kaggle's tongpython/cat-and-dog), its own test set apart.

    Looks in `data_dir` for ``catdog.zip``, for a folder ``catdog`` or ``cat-and-dog``, and for
    ``training_set`` and ``test_set`` themselves. Raises FileNotFoundError where there is none.
    """
    place, only = catdog_place(data_dir)
    make = lambda: class_folders(files_in(place, only), "cats and dogs")  # noqa: E731
    return cached_listing("catdog", (stamp(place, only),), make, side, cache_dir, say)


def catdog_place(data_dir: Path) -> tuple[Path, tuple[str, ...]]:
    """Where the cats and dogs lie, and which folders of that place matter; as `catdog` raises."""
    for name in ("catdog.zip", "cat-and-dog.zip", "catdog", "cat-and-dog"):
        if (data_dir / name).exists():
            return data_dir / name, ()
    if (data_dir / "training_set").is_dir():
        return data_dir, ("training_set", "test_set")
    raise FileNotFoundError(_missing("cats and dogs", data_dir, "catdog.zip or training_set"))


def whales(
    data_dir: Path, side: int, cache_dir: Path, say: Callable[[str], None] = print
) -> ImageSet:
    """Whales and dolphins (Kaggle's happy-whale-and-dolphin), misspelt species merged.

    The table has individual and, where a ``provenance.csv`` guesses it, individual_guess; None
    is no individual. Looks in `data_dir` for ``whales.zip``, a folder ``whales``, and Kaggle's
    folders, with the photographs at 128x128 (jpeg-happywhale-128x128) before the large ones.
    Raises FileNotFoundError where there is none.
    """
    tables, images = whales_places(data_dir)
    stamps = (stamp(tables), stamp(images))
    return cached_listing("whales", stamps, lambda: _whales(tables, images), side, cache_dir, say)


def whales_places(data_dir: Path) -> tuple[Path, Path]:
    """Where train.csv lies and where the photographs do."""
    for name in ("whales.zip", "whales"):
        if (data_dir / name).exists():
            return data_dir / name, data_dir / name
    contest = data_dir / "happy-whale-and-dolphin"
    for images in (data_dir / _WHALES_SMALL, contest / "train_images"):
        if (contest / "train.csv").is_file() and images.is_dir():
            return contest / "train.csv", images
    raise FileNotFoundError(_missing("whales", data_dir, "whales.zip or happy-whale-and-dolphin"))


def _whales(tables: Path, images: Path) -> Listing:
    files = files_in(images)
    together = tables == images
    source = tables / "train.csv" if together else tables
    data = _member(files, "train.csv") if together else tables.read_bytes()
    listing = csv_listing(files, read_table(data, source), source, "whales")
    if "provenance.csv" in files.names:
        guesses = read_table(files.read("provenance.csv"), images / "provenance.csv")
        listing = _with_guesses(listing, guesses)
    return _merged(listing)


def _member(files: Files, name: str) -> bytes:
    if name not in files.names:
        raise FileNotFoundError(f"{files.place} holds no {name}: it needs image and species.")
    return files.read(name)


def _with_guesses(listing: Listing, provenance: pd.DataFrame) -> Listing:
    guesses = dict(zip(provenance["image"], provenance["inferred_individual_id"], strict=True))
    names = [Path(path).name for path in listing.table["path"]]
    guess = pd.Series([guesses.get(name) or None for name in names], dtype=object)
    return replace(listing, table=listing.table.assign(individual_guess=guess))


def _merged(listing: Listing) -> Listing:
    species = listing.table["class_name"]
    merged = tuple(
        f"{wrong} merged with {right}: {int((species == wrong).sum())} images"
        for wrong, right in MISSPELT.items()
        if (species == wrong).any()
    )
    table = listing.table.assign(class_name=species.replace(MISSPELT))
    return replace(listing, table=table, notes=listing.notes + merged)


def _missing(what: str, data_dir: Path, names: str) -> str:
    return (
        f"there are no {what} in {data_dir} (it has no {names}): put them there, or set "
        "SECOND_LOOK_DATA_DIR to the folder where they lie; data/README.md says where to get them."
    )
