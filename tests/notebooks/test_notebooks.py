"""What every committed notebook keeps to, and that each of these checks can fail."""

import copy
import os
import re
import statistics
import subprocess
import sys

import nbformat
import pytest

from helpers.series import book, runner
from helpers.settings import ROOT

NOTEBOOKS = book.series(ROOT / "notebooks")
LARGEST_BYTES = 999_999
LONGEST_CELL = 25
MEDIAN_CELL = 6
CHECKED = "# NBVAL_CHECK_OUTPUT"
CHECKED_CELLS = 3
VERDICTS = re.compile(r"\b(held|failed|undecided|not re-run)\b")


def read(path):
    return nbformat.read(path, as_version=4)


def lines(cell) -> int:
    return len(cell.source.splitlines())


def shown(cell) -> str:
    return "".join(text for output in cell.outputs for text in runner.texts(output))


def section(notebook, heading: str) -> list:
    """The cells from a second-level heading to the next; AssertionError if there is none."""
    cells, inside = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            inside = bool(re.search(rf"^## {heading}\s*$", cell.source, re.MULTILINE))
        if inside:
            cells.append(cell)
    assert cells, f"no heading '## {heading}'"
    return cells


# The checks


def is_valid(notebook):
    nbformat.validate(notebook)


def is_small(notebook):
    assert len(nbformat.writes(notebook).encode()) <= LARGEST_BYTES


def has_our_kernel(notebook):
    assert notebook.metadata.kernelspec.name == runner.KERNEL["name"]


def was_run_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in runner.code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def has_no_errors(notebook):
    kinds = {output.output_type for cell in runner.code_cells(notebook) for output in cell.outputs}
    assert "error" not in kinds


def excuses_no_error(notebook):
    assert not any("raises-exception" in cell.metadata.get("tags", ()) for cell in notebook.cells)


def has_short_cells(notebook):
    assert max(map(lines, runner.code_cells(notebook))) <= LONGEST_CELL


def has_mostly_very_short_cells(notebook):
    assert statistics.median(map(lines, runner.code_cells(notebook))) <= MEDIAN_CELL


def has_checked_outputs(notebook):
    checked = [cell for cell in runner.code_cells(notebook) if CHECKED in cell.source.splitlines()]
    assert len([cell for cell in checked if shown(cell).strip()]) >= CHECKED_CELLS


def opens_with_a_title(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source)


def asks_a_question(notebook):
    assert any("?" in cell.source for cell in notebook.cells[:2])


def says_what_held(notebook):
    cells = section(notebook, "What held")
    tables = [shown(cell) for cell in cells if cell.cell_type == "code"]
    assert any("<table" in table and VERDICTS.search(table) for table in tables)


def has_exercises(notebook):
    section(notebook, "Exercises")


def shows_no_machine(notebook):
    assert runner.machine_paths(notebook) == []


CHECKS = [
    is_valid,
    is_small,
    has_our_kernel,
    was_run_top_to_bottom,
    has_no_errors,
    excuses_no_error,
    has_short_cells,
    has_mostly_very_short_cells,
    has_checked_outputs,
    opens_with_a_title,
    asks_a_question,
    says_what_held,
    shows_no_machine,
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", CHECKS)
def test_every_notebook(path, check):
    check(read(path))


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_every_notebook_after_the_first_has_exercises(path):
    has_exercises(read(path))


def test_notebooks_are_numbered_from_00_without_gaps():
    numbers = [int(path.name[:2]) for path in NOTEBOOKS]
    assert numbers == list(range(len(numbers)))


# The same checks on a notebook that keeps to everything, and on copies that each break one thing


def code(source: str, *outputs, count: int):
    return nbformat.v4.new_code_cell(source, execution_count=count, outputs=list(outputs))


def printed(text: str):
    return nbformat.v4.new_output("stream", text=text)


@pytest.fixture
def good():
    table = "<table><tr><td>A claim</td><td>held</td></tr></table>"
    table = nbformat.v4.new_output("execute_result", {"text/html": table}, execution_count=4)
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Training: is the number true?"),
            *(code(f"{CHECKED}\nprint({n})", printed(f"{n}\n"), count=n) for n in (1, 2, 3)),
            nbformat.v4.new_markdown_cell("Some words.\n\n## What held"),
            code("what_held(outcomes)", table, count=4),
            nbformat.v4.new_markdown_cell("## Exercises"),
        ]
    )
    return runner.normalised(notebook)


def strip(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def skip_a_number(notebook):
    notebook.cells[2].execution_count = 7


def break_the_format(notebook):
    notebook.cells[1].outputs[0].name = 3


def grow(notebook):
    notebook.cells[1].outputs[0].text = "x" * 1_000_000


def change_kernel(notebook):
    notebook.metadata.kernelspec["name"] = "mine"


def fail(notebook):
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    notebook.cells[3].outputs.append(error)


def excuse_an_error(notebook):
    notebook.cells[1].metadata["tags"] = ["raises-exception"]


def lengthen_a_cell(notebook):
    notebook.cells[5].source += "\n1" * LONGEST_CELL


def lengthen_every_cell(notebook):
    for cell in runner.code_cells(notebook):
        cell.source += "\n1" * MEDIAN_CELL


def check_less(notebook):
    notebook.cells[1].source = "print(1)"


def check_nothing(notebook):
    notebook.cells[1].outputs = []


def drop_the_title(notebook):
    notebook.cells[0].source = "Is the number true?"


def drop_the_question(notebook):
    notebook.cells[0].source = "# Training"


def drop_what_held(notebook):
    notebook.cells[4].source = "## What we liked"


def drop_the_table(notebook):
    notebook.cells[5].outputs = [printed("<Table> held")]


def drop_the_verdict(notebook):
    notebook.cells[5].outputs[0].data["text/html"] = "<table><tr><td>withheld</td></tr></table>"


def drop_the_exercises(notebook):
    notebook.cells[6].source = "### Exercises"


def show_a_path(notebook):
    notebook.cells[1].outputs[0].text = f"{ROOT}/helpers"


@pytest.mark.parametrize("check", [*CHECKS, has_exercises])
def test_a_good_notebook_keeps_to_everything(good, check):
    check(good)


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (strip, was_run_top_to_bottom),
        (strip, has_checked_outputs),
        (strip, says_what_held),
        (skip_a_number, was_run_top_to_bottom),
        (break_the_format, is_valid),
        (grow, is_small),
        (change_kernel, has_our_kernel),
        (fail, has_no_errors),
        (excuse_an_error, excuses_no_error),
        (lengthen_a_cell, has_short_cells),
        (lengthen_every_cell, has_mostly_very_short_cells),
        (check_less, has_checked_outputs),
        (check_nothing, has_checked_outputs),
        (drop_the_title, opens_with_a_title),
        (drop_the_question, asks_a_question),
        (drop_what_held, says_what_held),
        (drop_the_table, says_what_held),
        (drop_the_verdict, says_what_held),
        (drop_the_exercises, has_exercises),
        (show_a_path, shows_no_machine),
    ],
)
def test_a_spoilt_notebook_is_found(good, spoil, check):
    spoilt = copy.deepcopy(good)
    spoil(spoilt)
    with pytest.raises((AssertionError, nbformat.ValidationError)):
        check(spoilt)


def test_nbval_goes_red_where_a_checked_output_is_corrupted(tmp_path):
    cells = [
        code("x = 6 * 7", count=1),
        code(f"{CHECKED}\nprint(x)", printed("42\n"), count=2),
        code(f"{CHECKED}\nprint(x)", printed("43\n"), count=3),
        code("print(x)", printed("43\n"), count=4),
    ]
    runner.save(nbformat.v4.new_notebook(cells=cells), tmp_path / "00_tiny.ipynb")
    command = [sys.executable, "-m", "pytest", "-rA", "--nbval-lax", "00_tiny.ipynb"]
    done = subprocess.run(
        [*command, "--nbval-kernel-name", runner.KERNEL["name"]],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    verdicts = re.findall(r"^(PASSED|FAILED) 00_tiny.ipynb::Cell (\d)", done.stdout, re.MULTILINE)
    assert {int(cell): verdict for verdict, cell in verdicts} == {
        0: "PASSED",
        1: "PASSED",
        2: "FAILED",
        3: "PASSED",
    }
