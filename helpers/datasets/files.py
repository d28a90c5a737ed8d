"""Files in a folder or inside a zip, read in the same way and in an order of our own."""

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from os import scandir
from pathlib import Path, PurePosixPath

CACHE_SIGNATURE = "8a477f597d28d172789f06886806bc55"
"""Marks a folder as a cache (https://bford.info/cachedir/), which nothing reads as data."""

_ZIP_TAIL = 1 << 23


@dataclass(frozen=True)
class Files:
    """The files of one place: `names` are relative to it, with "/" between folders."""

    place: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]


def files_in(place: Path, only: tuple[str, ...] = ()) -> Files:
    """What lies in a folder or zip, in natural order (2 before 10).

    Hidden files and caches are left out, and with `only` all but these folders. Raises
    FileNotFoundError where there is no such place and ValueError for a file that is not a zip.
    """
    if place.is_dir():
        found = (name for name, _, _ in _walk(place, only))
        return Files(place, _ordered(found), lambda name: (place / name).read_bytes())
    archive = _open_zip(place)
    found = (item.filename for item in archive.infolist() if not item.is_dir())
    kept = (name for name in found if not only or name.split("/")[0] in only)
    return Files(place, _ordered(kept), archive.read)


def stamp(place: Path, only: tuple[str, ...] = ()) -> str:
    """What tells that a folder or file has changed, without reading all of it.

    For a folder the names, sizes and times of all files in it; for a file its size and its end,
    where a zip keeps the checksum of each member.
    """
    found = blake2b(digest_size=16)
    if place.is_dir():
        found.update(repr((str(place.resolve()), sorted(_walk(place, only)))).encode())
        return found.hexdigest()
    with _existing(place).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _ZIP_TAIL))
        found.update(repr((size, only)).encode())
        found.update(file.read())
    return found.hexdigest()


def natural(name: str) -> tuple:
    """A sort key that puts 2 before 10, the same under every locale."""
    pieces = re.split(r"(\d+)", name)
    return tuple((int(piece), piece) if i % 2 else piece for i, piece in enumerate(pieces))


def _ordered(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted((name for name in names if not _hidden(name)), key=natural))


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _walk(place: Path, only: tuple[str, ...] = (), base: str = "") -> Iterator[tuple]:
    if (place / "CACHEDIR.TAG").is_file():
        return
    with scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(".") or (only and not base and entry.name not in only):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), only, f"{base}{entry.name}/")
            elif entry.is_file():
                info = entry.stat()
                yield f"{base}{entry.name}", info.st_size, info.st_mtime_ns


def _open_zip(place: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(_existing(place))
    except zipfile.BadZipFile as error:
        raise ValueError(f"{place} is neither a folder nor a zip that can be read.") from error


def _existing(place: Path) -> Path:
    if not place.exists():
        raise FileNotFoundError(f"there is no {place}: check the path.")
    return place
