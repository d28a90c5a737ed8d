"""Class folders: images by the folder they lie in."""

from pathlib import Path, PurePosixPath

import pandas as pd

from .files import Files
from .listing import Listing, is_image, notes_on

PARTS = {
    "train": ("train", "training", "train_set", "training_set"),
    "validation": ("val", "valid", "validation", "dev", "val_set", "validation_set"),
    "test": ("test", "testing", "test_set"),
}
"""What folders and the split column of a CSV call the parts of a dataset."""

PART_OF = {alias: part for part, aliases in PARTS.items() for alias in aliases}


def class_folders(files: Files, name: str = "") -> Listing:
    """Images by the folder they lie in: ``<class>/**``, ``train/<class>/**`` or the like.

    A folder that holds everything is looked into. Other files, and images outside the class
    folders, are left out with a note. Raises ValueError where no image is left, and for a name
    that is not UTF-8.
    """
    _check_names(files)
    images = [path for path in files.names if is_image(path)]
    others = [path for path in files.names if not is_image(path)]
    found = _levels({path: PurePosixPath(path).parts for path in images})
    loose = [path for path in images if path not in found]
    if not found:
        raise ValueError(
            f"{files.place} holds no images in class folders: it needs a folder for each class, "
            f"with images in it (it has {len(images)} images and {len(others)} other files)."
        )
    rows = [(path, part, class_name) for path, (part, class_name) in found.items()]
    table = pd.DataFrame(rows, columns=["path", "part", "class_name"])
    if not table["part"].any():
        table = table.drop(columns="part")
    notes = notes_on(
        ("other files, left out", others), ("images in no class folder, left out", loose)
    )
    return Listing(files, table, name or _name(files.place), notes)


def _check_names(files: Files) -> None:
    for name in files.names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{files.place} has a name that is not UTF-8, {name!a}: rename it."
            ) from None


def _name(place: Path) -> str:
    return place.name if place.is_dir() else place.stem


def _levels(parts_of: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, str]]:
    """For each path in a class folder, its part ("" where there are none) and its class."""
    levels = _unwrapped(parts_of)
    tops = {parts[0].lower() for parts in levels.values() if len(parts) > 1}
    if not ("train" in map(PART_OF.get, tops) and tops <= set(PART_OF)):
        return {path: ("", parts[0]) for path, parts in levels.items() if len(parts) > 1}
    found = {}
    for part in PARTS:
        inside = {
            path: parts[1:]
            for path, parts in levels.items()
            if PART_OF.get(parts[0].lower()) == part
        }
        inside = _unwrapped(inside)
        found |= {path: (part, rest[0]) for path, rest in inside.items() if len(rest) > 1}
    return found


def _unwrapped(parts_of: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Without the folders that hold everything, as long as folders are left in them."""
    while len({parts[0] for parts in parts_of.values()}) == 1 and all(
        len(parts) > 2 for parts in parts_of.values()
    ):
        parts_of = {path: parts[1:] for path, parts in parts_of.items()}
    return parts_of
