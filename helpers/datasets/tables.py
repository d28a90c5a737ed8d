"""Tables: images and classes as a CSV names them."""

import io
from pathlib import Path, PurePosixPath

import pandas as pd

from .files import Files
from .folders import PART_OF
from .listing import Listing, notes_on

COLUMNS = {
    "path": ("image", "path", "file", "filename"),
    "class_name": ("class", "species", "label_name", "label"),
    "part": ("split", "part"),
    "individual": ("individual_id", "individual"),
}
"""What CSVs call the columns of a listing: the first two are needed."""

_ENDINGS = ("", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


def csv_listing(files: Files, table: pd.DataFrame, source: Path, name: str = "") -> Listing:
    """Images and classes as a table of texts names them, in its order (see `COLUMNS`).

    Paths are looked for as they are, under ``images/``, and in any folder where only one file is
    called so; an ending may be missing. Rows without a file or a class are left out with a note,
    as are further rows of a file, such as one for each box on it. Raises ValueError where a column
    is missing or no row is left.
    """
    table = named_columns(table, source)
    known = _by_name(files)
    paths = [_resolved(path, files, known) for path in table["path"]]
    lost = [asked for asked, path in zip(table["path"], paths, strict=True) if path is None]
    unnamed = list(table["path"][table["class_name"] == ""])
    table = table.assign(path=paths)
    table = table[table["path"].notna() & (table["class_name"] != "")]
    again = table["path"].duplicated()
    notes = notes_on(
        ("named but not there", lost),
        ("without a class, left out", unnamed),
        ("named more than once, the first row kept", list(table["path"][again].unique())),
    )
    table = table[~again].reset_index(drop=True)
    if table.empty:
        raise ValueError(
            f"{source} names no image with a class that is there ({'; '.join(notes)}): "
            f"its paths start at {files.place}."
        )
    return Listing(files, table, name or source.stem, notes)


def read_table(data: bytes, source: Path) -> pd.DataFrame:
    """A CSV as texts, an empty one where there is nothing."""
    try:
        return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{source} cannot be read as a CSV in UTF-8 ({error}).") from error


def named_columns(table: pd.DataFrame, source: Path) -> pd.DataFrame:
    """The columns of a listing, by the names it has for them."""
    there = {column.strip().lower(): column for column in reversed(table.columns)}
    found = {}
    for column, aliases in COLUMNS.items():
        alias = next((alias for alias in aliases if alias in there), None)
        if alias is not None:
            found[column] = table[there[alias]].str.strip()
        elif column in ("path", "class_name"):
            raise ValueError(
                f"{source} has no column {', '.join(aliases[:-1])} or {aliases[-1]}: "
                f"it has {', '.join(table.columns)}."
            )
    if "part" in found:
        found["part"] = _known_parts(found["part"], source)
    if "individual" in found:
        found["individual"] = found["individual"].where(found["individual"] != "", None)
    return pd.DataFrame(found)


def _known_parts(column: pd.Series, source: Path) -> pd.Series:
    unknown = sorted(set(column.str.lower()) - set(PART_OF))
    if unknown:
        raise ValueError(f"{source} has the split {unknown[0]!r}: use train, validation and test.")
    return column.str.lower().map(PART_OF)


def _by_name(files: Files) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in files.names:
        found.setdefault(PurePosixPath(path).name, []).append(path)
    return found


def _resolved(asked: str, files: Files, known: dict[str, list[str]]) -> str | None:
    asked = asked.replace("\\", "/").removeprefix("./")
    for ending in _ENDINGS:
        path = asked + ending
        same = known.get(PurePosixPath(path).name, [])
        fits = [one for one in same if one == path or one.endswith(f"/{path}")]
        direct = [one for one in (path, f"images/{path}") if one in same]
        if direct or len(fits) == 1:
            return (direct or fits)[0]
    return None
