"""The front page: README.md and the teachers' page, filled in from the committed notebooks.

`python -m helpers.series.front_page` writes the front page's picture, and what stands between
`<!-- name -->` and `<!-- /name -->` in the pages; sections of other names it leaves alone.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import nbformat

from helpers.series import book
from helpers.series.claims import CLAIMS, FAILED, HELD, NOT_RE_RUN, UNDECIDED
from helpers.series.plan import MINUTES, QUESTIONS
from helpers.settings import ROOT

PAGES = ("README.md", "notebooks/teaching.md")
PICTURE = "notebooks/front.jpeg"

# The cell whose figure is the picture: a misread image, and what the net finds like it.
PICTURED = ("03_image_signatures", "why(*horse)")

# The call that shows a notebook's claims. One of the reader's own need not have it.
JUDGED = "what_held(outcomes"

VERDICTS = (HELD, FAILED, UNDECIDED, NOT_RE_RUN)


def what_held_table(folder: Path) -> str:
    """In Markdown, each notebook in `folder`: its question, what failed, its claims and minutes.

    Links are from the repository's root. A notebook that saved no claims has none here.
    """
    by_notebook = {path.stem: held_if_any(path) for path in book.series(folder)}
    rows = []
    for name, claims in by_notebook.items():
        # A notebook of the reader's own has none.
        minutes = ", ".join(f"{number:g}" for number in MINUTES.get(name, ()))
        rows.append([link(name), asked(name, first_failed(claims)), counts(claims), minutes])
    every = counts([claim for claims in by_notebook.values() for claim in claims])
    head = ["notebook", "asks", "claims", "minutes"]
    return markdown(head, [*rows, ["all", "", every, ""]])


def claims_table(folder: Path) -> str:
    """In Markdown, every claim of the notebooks in `folder`: what was measured, and its verdict.

    Links are from the repository's root. Raises ValueError where a notebook has no such table.
    """
    columns = ["claim", "post", "measured", "holds if", "verdict"]
    rows = [
        [link(name), *(row[column] for column in columns)]
        for name, rows in held_in(folder).items()
        for row in rows
    ]
    return markdown(["notebook", *columns], rows)


def held_in(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of each notebook's What held table, by the name of the notebook."""
    return {path.stem: held(path) for path in judged(folder)}


def judged(folder: Path) -> list[Path]:
    """The numbered notebooks in `folder` that judge claims."""
    return [path for path in book.series(folder) if JUDGED in path.read_text(encoding="utf-8")]


def held_if_any(path: Path) -> list[dict[str, str]]:
    try:
        return held(path)
    except ValueError:
        return []


def held(path: Path) -> list[dict[str, str]]:
    """The rows of a notebook's What held table as it was saved, by the names of its columns."""
    html = stored(path, JUDGED, "text/html")
    table = ElementTree.fromstring(re.search(r"<table.*</table>", html, re.DOTALL)[0])
    heads, body = ([cells(row) for row in table.find(part)] for part in ("thead", "tbody"))
    # The name of the index stands in a row of its own.
    names = [next(filter(None, column), "") for column in zip(*heads, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in body]


def cells(row: ElementTree.Element) -> list[str]:
    return ["".join(cell.itertext()).strip() for cell in row]


def stored(path: Path, source: str, *kinds: str) -> str:
    """The first output of one of these kinds, of the first cell from that with `source` on.

    Raises ValueError where there is none.
    """
    cells = nbformat.read(path, as_version=4).cells
    start = next((k for k, cell in enumerate(cells) if source in cell.source), len(cells))
    for cell in cells[start:]:
        for output in cell.get("outputs", []):
            for kind in kinds:
                if kind in output.get("data", {}):
                    return output["data"][kind]
    number = path.stem[:2]
    raise ValueError(
        f"{path.name}: no cell with {source!r} has an output; save it by ./run notebooks {number}."
    )


def counts(rows: list[dict[str, str]]) -> str:
    """How many claims have each verdict, in words."""
    given = Counter(map(verdict, rows))
    return ", ".join(f"{given[word]} {word}" for word in VERDICTS if given[word])


def verdict(row: dict[str, str]) -> str:
    return row["verdict"].split(" (")[0]


def first_failed(rows: list[dict[str, str]]) -> dict[str, str] | None:
    """The first claim that failed, a post's before one of ours; None where none did.

    Claims stand in the order in which they were written down, so that nobody picks one.
    """
    failed = [row for row in rows if verdict(row) == FAILED]
    return min(failed, key=lambda row: row["post"] == "us", default=None)


def asked(name: str, failed: dict[str, str] | None) -> str:
    """A notebook's question, and what it found wrong."""
    question = QUESTIONS.get(name, "")
    if failed is None:
        return question
    whose = "ours" if failed["post"] == "us" else failed["post"]
    return f"{question}<br>*Failed: “{failed['claim']}” ({whose})*"


def link(name: str) -> str:
    return f"[`{name}`](notebooks/{name}.ipynb)"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def picture(folder: Path) -> bytes:
    """The front page's picture, as the notebook in `folder` has it."""
    name, source = PICTURED
    return base64.b64decode(stored(folder / f"{name}.ipynb", source, "image/jpeg"))


def shown_picture(folder: Path) -> str:
    """The picture and what the notebook says below it, in Markdown."""
    name, source = PICTURED
    below = stored(folder / f"{name}.ipynb", source, "text/markdown").strip("*\n ")
    alt = (
        "A misread image; beside it those nearest to it, above of its own class, below of the "
        f"class it was taken for. {below}"
    )
    return f"![{alt}]({PICTURE})\n\n*{below} From* {link(name)}"


def measured_on(folder: Path) -> str:
    """The dataset and the profile of the saved notebooks, as their first cells print them."""
    said = [first_words(path) for path in judged(folder)]
    return " and ".join(dict.fromkeys(said))


def first_words(path: Path) -> str:
    code = (cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    printed = "".join(output.get("text", "") for output in next(code).outputs)
    dataset, profile = (
        re.search(rf"^{name} +(.*?):", printed, re.MULTILINE)[1] for name in ("dataset", "profile")
    )
    return f"{dataset.removesuffix(', test')}, {profile} profile"


EXERCISE = re.compile(r"\*\*(\d+)\.\*\* (★+) (\d+) minutes\.\s+(.+?[.?:])(?=\s|$)", re.DOTALL)


def exercises_table(folder: Path) -> str:
    """In Markdown, the exercises of the notebooks in `folder`: how hard, how long, and what.

    Links are from `folder` itself.
    """
    rows = [
        [f"[{path.stem}]({path.name})", number, stars, minutes, " ".join(task.split())]
        for path in book.series(folder)
        for number, stars, minutes, task in EXERCISE.findall(text_of(path))
    ]
    return markdown(["notebook", "exercise", "difficulty", "minutes", "begins"], rows)


def text_of(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def quoted(folder: Path) -> dict[str, str]:
    """What each claim came to, in a sentence, as sections named `claim ID`."""
    ids = {claim.statement: id for id, claim in CLAIMS.items()}
    return {
        f"claim {ids[row['claim']]}": f"“{row['claim']}”: {row['measured']}; holds if "
        f"{row['holds if']}: **{row['verdict']}**."
        for rows in held_in(folder).values()
        for row in rows
        if row["claim"] in ids
    }


BLOCKS = {"picture": shown_picture, "what held": what_held_table, "all claims": claims_table}


def sections(folder: Path) -> dict[str, str]:
    """What the pages take from the notebooks in `folder`, by the name of the section."""
    blocks = {name: make(folder) for name, make in BLOCKS.items()}
    blocks["exercises"] = exercises_table(folder)
    inline = {"measured on": measured_on(folder), **quoted(folder)}
    return {name: f"\n{text}\n" for name, text in blocks.items()} | inline


def filled(text: str, sections: dict[str, str]) -> str:
    """The page `text` with these sections between their marks.

    Raises ValueError for a section that is opened and not closed.
    """
    for name, content in sections.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(start) != text.count(end):
            raise ValueError(f"{start} and {end} must come in pairs")
        marked = re.compile(f"{start}.*?{end}", re.DOTALL)
        text = marked.sub(lambda _, new=f"{start}{content}{end}": new, text)
    return text


def write(root: Path) -> list[Path]:
    """Fill in those of the pages that `root` has, and write their picture; return what changed."""
    pages = [root / page for page in PAGES if (root / page).exists()]
    if not pages:
        return []
    given = sections(root / "notebooks")
    wanted = {page: filled(page.read_text(encoding="utf-8"), given).encode() for page in pages}
    wanted[root / PICTURE] = picture(root / "notebooks")
    changed = [
        path for path, new in wanted.items() if not path.exists() or path.read_bytes() != new
    ]
    for path in changed:
        path.write_bytes(wanted[path])
    return changed


if __name__ == "__main__":
    for path in write(ROOT):
        print(f"Written: {path.relative_to(ROOT)}")
