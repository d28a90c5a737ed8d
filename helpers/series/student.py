"""Notebooks for students: the exercises without their solutions, and nothing run yet."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.datasets.download import sha256_of
from helpers.series import runner

SOLUTION = "<details><summary>Solution</summary>"
HIDDEN = "hide-input"
CHECK = re.compile(r"^\s*exercises\.check_", re.MULTILINE)


def write(path: Path, folder: Path) -> str:
    """Write the student's copy of the notebook at `path` into `folder`; return what to say of it.

    A copy that somebody has worked in is left as it is. Raises ValueError where a solution is not
    as they are elsewhere: a folded text, then a hidden cell that checks it.
    """
    out = folder / path.name
    if out.exists() and worked_in(out):
        return f"{path.stem}: left, since somebody has worked in it; delete it to get a new one"
    notebook = runner.emptied(nbformat.read(path, as_version=4))
    whole = len(notebook.cells)
    notebook.cells = without_solutions(notebook.cells, path.stem)
    runner.save(notebook, out)
    mark = mark_of(out)
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(sha256_of(out))
    return f"{path.stem}: {(whole - len(notebook.cells)) // 2} solutions left out"


def worked_in(path: Path) -> bool:
    mark = mark_of(path)
    return not mark.exists() or mark.read_text() != sha256_of(path)


def mark_of(path: Path) -> Path:
    """Where the sha256 of the copy at `path` is kept as it was written."""
    return path.parent / ".as-written" / path.stem


def without_solutions(cells: list[NotebookNode], name: str) -> list[NotebookNode]:
    """The cells without the folded solutions and the hidden cells after them, which check these."""
    told = [cell.cell_type == "markdown" and cell.source.startswith(SOLUTION) for cell in cells]
    checked = [is_hidden(cell) and bool(CHECK.search(cell.source)) for cell in cells]
    pairs = zip([*checked, False], [False, *told], strict=True)
    wrong = [number for number, (check, text_before) in enumerate(pairs, 1) if check != text_before]
    if wrong:
        raise ValueError(
            f"{name}: cell {wrong[0]} breaks the form of a solution: a text that begins "
            f"{SOLUTION}, then a cell with the tag {HIDDEN} that calls a check of exercises."
        )
    return [cell for i, cell in enumerate(cells) if not (told[i] or checked[i])]


def is_hidden(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and HIDDEN in cell.metadata.get("tags", [])
