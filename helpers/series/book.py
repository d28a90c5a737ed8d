"""Makes the book: HTML pages of notebooks as they were last run, to be read without a network."""

from __future__ import annotations

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

PAGES = ("conf.py", "book.css", "index.md")

LINK = re.compile(r"\[`(\w+)`\]\(notebooks/\1\.ipynb\)")

# The theme has its icons as a font too; this script would load 1.5 MB more on every page.
ICONS = "scripts/fontawesome.js"

# Of what the theme and MathJax bring along, no page asks for these.
UNUSED = ("locales", "scripts/*.map", "styles/*.map", "mathjax/*")
USED = ("tex-chtml.js", "input", "output")


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

    Nothing is run. `pages` is the folder of PAGES and of any more in Markdown. A book that was in
    `out` goes once the new one is whole. Raises FileNotFoundError where there are no notebooks, and
    RuntimeError with Sphinx's own words where it fails.
    """
    if not notebooks:
        raise FileNotFoundError(f"No notebooks in {pages}: there is nothing to make a book of.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="book-") as scratch:
        source, html = Path(scratch, "source"), Path(scratch, "html")
        source.mkdir()
        for path in [*(pages / name for name in PAGES), *pages.glob("*.md"), *notebooks]:
            shutil.copyfile(path, source / path.name)
        fill_index(source / "index.md")
        sphinx(source, html)
        lighten(html / "_static")
        if out.exists():
            out.rename(Path(scratch, "before"))
        html.rename(out)
    return out / "index.html"


def fill_index(index: Path) -> None:
    """Put into the index what it shows of the notebooks beside it."""
    from helpers.series import front_page

    makers = front_page.BLOCKS | {"picture": show_picture}
    sections = {name: f"\n{or_why_not(make, index.parent)}\n" for name, make in makers.items()}
    text = front_page.filled(index.read_text(encoding="utf-8"), sections)
    index.write_text(by_title(text, index.parent), encoding="utf-8")


def show_picture(folder: Path) -> str:
    from helpers.series import front_page

    (folder / Path(front_page.PICTURE).name).write_bytes(front_page.picture(folder))
    return front_page.shown_picture(folder)


def or_why_not(make: Callable[[Path], str], folder: Path) -> str:
    # A run of some notebooks, or one in which some failed, has its book too.
    try:
        return make(folder)
    except FileNotFoundError:
        return ""
    except ValueError as error:
        return f"*{error}*"


def by_title(text: str, folder: Path) -> str:
    """`text` with the titles of notebooks in its links, less the lines on those not in `folder`."""
    lines = text.splitlines(keepends=True)
    there = {path.stem for path in series(folder)}
    return "".join(LINK.sub(r"[](\1.ipynb)", x) for x in lines if there.issuperset(LINK.findall(x)))


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


def lighten(static: Path) -> None:
    """Take out of the book's files those that no page asks for."""
    (static / ICONS).write_text("")
    for path in [path for pattern in UNUSED for path in static.glob(pattern)]:
        if path.is_dir() and path.name not in USED:
            shutil.rmtree(path)
        elif path.name not in USED:
            path.unlink()
