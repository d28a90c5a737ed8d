"""Downloads that go on where they were broken off, and are what they should be."""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from .progress import progress

_PIECE = 1 << 18
_MEGA = 1e6


def download(
    urls: Sequence[str],
    place: Path,
    sha256: str,
    say: Callable[[str], None] = print,
    patience: float = 20.0,
) -> Path:
    """The file with this sha256 at `place`, from the first of the urls that gives it.

    What came before a connection broke is kept beside it and not asked for again. `patience` is
    how many seconds a server may be silent. Raises FileNotFoundError, with what each url said,
    where none gives the file; one with another sha256 is deleted.
    """
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    reasons = []
    for url in urls:
        try:
            say(f"downloading {url}")
            _fetch_all(url, part, say, patience)
            _verify(part, sha256)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
        else:
            os.replace(part, place)
            return place
    raise FileNotFoundError(f"{place.name} cannot be downloaded ({'; '.join(reasons)})")


def sha256_of(place: Path) -> str:
    """The sha256 of a file, in hex."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_all(url: str, part: Path, say: Callable[[str], None], patience: float) -> None:
    """Fetch, and fetch on after a broken connection as long as that brings something."""
    while True:
        have = _size(part)
        try:
            return _fetch(url, part, say, patience)
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "code", None) == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None  # nothing is left to fetch
            if _size(part) <= have:
                raise


def _fetch(url: str, part: Path, say: Callable[[str], None], patience: float) -> None:
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=patience) as answer:
        have = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = answer.headers["Content-Length"]
        if length is None:
            raise ValueError("it does not say how long the file is")
        total = have + int(length)
        advance = progress(part.stem, total / _MEGA, "MB", say=say)
        with part.open("ab" if have else "wb") as file:
            advance(have / _MEGA)
            while piece := answer.read(_PIECE):
                file.write(piece)
                advance(len(piece) / _MEGA)
    if _size(part) < total:
        raise ConnectionError(f"broken off after {_size(part)} of {total} bytes")


def _verify(part: Path, sha256: str) -> None:
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise ValueError(f"its sha256 is {found} and not {sha256}, so it was deleted")


def _size(place: Path) -> int:
    return place.stat().st_size if place.exists() else 0
