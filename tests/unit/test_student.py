"""The students' notebooks: of the real ones no solution is left, and all else is."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from helpers.series import book, student
from helpers.settings import ROOT

NOTEBOOKS = book.series(ROOT / "notebooks")
EXERCISE = re.compile(r"^\*\*\d+\.\*\* ★", re.MULTILINE)
COMMENTED = re.compile(r"^# exercises\.check_", re.MULTILINE)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "student"
    for path in NOTEBOOKS:
        student.write(path, folder)
    return folder


def cells(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def solutions(path: Path) -> list:
    """The cells that are to go: each folded text and the one after it."""
    whole = cells(path)
    starts = [i for i, cell in enumerate(whole) if "<summary>Solution" in cell.source]
    return [whole[i + step] for i in starts for step in (0, 1)]


def names(sources: list[str], context: type) -> set[str]:
    code = "\n".join(line for source in sources for line in source.splitlines() if line[:1] != "%")
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    return {node.id for node in found if isinstance(node.ctx, context)}


def code(found: list) -> list[str]:
    return [cell.source for cell in found if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestOfEachNotebook:
    def test_nothing_of_a_solution_is_left(self, written, path):
        left = "\n".join(cell.source for cell in cells(written / path.name))
        left = left.replace("# exercises.", "# ")  # the student's own call of the check
        lines = {line.strip() for cell in solutions(path) for line in cell.source.splitlines()}
        telling = {line for line in lines if len(line) > 12 and line != "# NBVAL_CHECK_OUTPUT"}
        assert len(telling) >= 6
        assert [line for line in telling if line in left] == []

    def test_all_other_cells_are_left_as_they_were(self, written, path):
        gone = [cell.source for cell in solutions(path)]
        stayed = [cell for cell in cells(path) if cell.source not in gone]
        now = cells(written / path.name)
        assert code(now) == code(stayed)
        assert [student.is_hidden(cell) for cell in now] == list(map(student.is_hidden, stayed))
        assert any(map(student.is_hidden, now))

    def test_every_exercise_is_left_with_its_check(self, written, path):
        before, now = (
            "\n".join(cell.source for cell in cells(p)) for p in (path, written / path.name)
        )
        assert len(EXERCISE.findall(now)) == len(EXERCISE.findall(before)) >= 3
        assert len(COMMENTED.findall(now)) == len(EXERCISE.findall(now))
        assert not re.search(r"^\s*exercises\.check_", now, re.MULTILINE)

    def test_it_is_valid_and_not_run(self, written, path):
        notebook = nbformat.read(written / path.name, as_version=4)
        nbformat.validate(notebook)
        found = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in found)

    def test_no_cell_that_is_left_needs_one_that_is_gone(self, written, path):
        gone, now = code(solutions(path)), code(cells(written / path.name))
        lost = names(gone, ast.Store) - names(now, ast.Store)
        assert not lost & names(now, ast.Load)


def notebook(path: Path, *found) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(found)), path)
    return path


TEXT = nbformat.v4.new_markdown_cell(f"{student.SOLUTION}\n\n42\n\n</details>")
CHECKS = nbformat.v4.new_code_cell("exercises.check_it(42)", metadata={"tags": ["hide-input"]})
ANOTHER = nbformat.v4.new_code_cell("exercises.check_it(41)", metadata={"tags": ["hide-input"]})
SENTENCE = nbformat.v4.new_code_cell("say(42)", metadata={"tags": ["hide-input"]})


@pytest.mark.parametrize(
    ("found", "number"),
    [
        ([SENTENCE, TEXT], 3),
        ([TEXT, SENTENCE], 2),
        ([SENTENCE, CHECKS], 2),
        ([TEXT, CHECKS, SENTENCE, ANOTHER], 4),
    ],
)
def test_a_solution_of_another_form_is_not_handed_out(tmp_path, found, number):
    path = notebook(tmp_path / "notebooks" / "01_it.ipynb", *found)
    with pytest.raises(ValueError, match=f"01_it: cell {number} breaks the form"):
        student.write(path, tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_a_copy_that_somebody_works_in_is_left_and_any_other_is_made_again(tmp_path):
    path = notebook(tmp_path / "notebooks" / "01_it.ipynb", SENTENCE, TEXT, CHECKS)
    out = tmp_path / "student" / path.name
    assert "1 solutions left out" in student.write(path, out.parent)
    notebook(path, SENTENCE)
    student.write(path, out.parent)
    mine = nbformat.read(out, as_version=4)
    assert len(mine.cells) == 1
    mine.cells[0].source = "my answer"
    nbformat.write(mine, out)
    assert "somebody has worked in it" in student.write(path, out.parent)
    assert cells(out)[0].source == "my answer"
