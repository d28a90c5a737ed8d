"""Makes the book: HTML pages of notebooks as they were last run, to be read without a network."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

PAGES = ("conf.py", "index.md")


def series(folder: Path) -> list[Path]:
    """Return the numbered notebooks in `folder`, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def latest(notebooks: list[Path], executed: Path) -> list[Path]:
    """Return for each notebook its copy in the folder `executed`, where that one is newer."""
    pairs = [(path, executed / path.name) for path in notebooks]
    return [copy if copy.exists() and is_newer(copy, path) else path for path, copy in pairs]


def is_newer(one: Path, other: Path) -> bool:
    return one.stat().st_mtime >= other.stat().st_mtime


def build_book(notebooks: list[Path], pages: Path, out: Path) -> Path:
    """Build the book of `notebooks` in the folder `out`; return its index.html.

    Nothing is run. `pages` is the folder of conf.py and index.md. A book that was in `out` goes
    once the new one is whole. Raises FileNotFoundError where there are no notebooks, and
    RuntimeError with Sphinx's own words where it fails.
    """
    if not notebooks:
        raise FileNotFoundError(f"No notebooks in {pages}: there is nothing to make a book of.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="book-") as scratch:
        source, html = Path(scratch, "source"), Path(scratch, "html")
        source.mkdir()
        for path in [*(pages / name for name in PAGES), *notebooks]:
            shutil.copy(path, source)
        sphinx(source, html)
        shutil.rmtree(out, ignore_errors=True)
        html.rename(out)
    return out / "index.html"


def sphinx(source: Path, html: Path) -> None:
    """Turn the folder `source` into pages; what Sphinx warns of is shown."""
    from sphinx.cmd.build import build_main

    said = io.StringIO()
    with redirect_stderr(said):
        doctrees = html.with_name("doctrees")
        code = build_main(["-q", "-b", "html", "-d", str(doctrees), str(source), str(html)])
    text = said.getvalue().replace(f"{source}/", "").strip()
    if code:
        raise RuntimeError(f"Sphinx could not make the book:\n{text}")
    if text:
        print(text, file=sys.stderr)
