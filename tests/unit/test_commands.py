"""The commands of ./run, on small series of their own."""

import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from helpers.series import book, commands
from helpers.settings import ROOT

PROFILE = "import os; os.environ['SECOND_LOOK_PROFILE'] + os.environ['SECOND_LOOK_DATASET']"


class Ran(NamedTuple):
    """What a command left: the repository it ran in, its exit code, and what it said."""

    root: Path
    code: int
    said: str


def write(path: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}?")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def outputs(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    return str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])


def repository(root: Path) -> Path:
    """A repository with a notebook that fails and one that shows the settings and a path."""
    (root / "notebooks").mkdir()
    for name in book.PAGES:
        shutil.copy(ROOT / "notebooks" / name, root / "notebooks")
    write(root / "notebooks" / "00_bad.ipynb", "1 / 0")
    write(root / "notebooks" / "01_good.ipynb", PROFILE, "'/home/ann'")
    return root


def run(root: Path, *arguments: str, **environment: str) -> Ran:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as said:
        for name in [name for name in os.environ if name.startswith("SECOND_LOOK_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(f"SECOND_LOOK_{name}", value)
        with redirect_stderr(said):
            code = commands.main(list(arguments), root)
    return Ran(root, code, said.getvalue())


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Ran:
    return run(repository(tmp_path_factory.mktemp("series")))


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory) -> Ran:
    root = repository(tmp_path_factory.mktemp("notebooks"))
    return run(root, "notebooks", DATASET="digits", PROFILE="quick")


pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API")


def test_the_series_goes_on_after_a_failure_and_the_exit_code_tells(series):
    assert series.code == 1
    assert "00_bad: cell 1 of 1, " in series.said
    assert "ZeroDivisionError: division by zero" in series.said
    assert "01_good: cell 2 of 2, " in series.said
    assert series.said.endswith("Failed: 00_bad\n")


def test_the_series_leaves_executed_notebooks_and_the_book_of_them(series):
    executed = series.root / "build" / "notebooks"
    assert "ZeroDivisionError" in outputs(executed / "00_bad.ipynb")
    assert "quickscenes" in outputs(executed / "01_good.ipynb")
    page = series.root / "build" / "book" / "01_good.html"
    assert "quickscenes" in page.read_text(encoding="utf-8")
    assert str(executed) in series.said
    assert str(page.with_name("index.html")) in series.said


def test_the_series_leaves_the_notebooks_alone(series):
    assert outputs(series.root / "notebooks" / "01_good.ipynb") == "[[], []]"


def test_notebooks_are_saved_in_place_in_the_full_profile(notebooks):
    saved = notebooks.root / "notebooks" / "01_good.ipynb"
    assert "fulldigits" in outputs(saved)
    assert "dataset digits, full profile, seed 0" in notebooks.said
    executed = notebooks.root / "build" / "notebooks" / "01_good.ipynb"
    assert saved.read_bytes() == executed.read_bytes()


def test_a_notebook_that_failed_is_not_saved(notebooks):
    assert notebooks.code == 1
    assert notebooks.said.endswith("Failed, and not saved: 00_bad\n")
    assert outputs(notebooks.root / "notebooks" / "00_bad.ipynb") == "[[]]"


def test_a_path_of_this_machine_in_a_saved_notebook_is_said(notebooks):
    assert "01_good: cell 2 shows a path of this machine: /home/ann\n" in notebooks.said


@pytest.mark.parametrize(
    ("arguments", "command", "rest"),
    [
        ([], commands.series, []),
        (["01", "2"], commands.series, ["01", "2"]),
        (["series", "01"], commands.series, ["01"]),
        (["notebooks"], commands.notebooks, []),
        (["test", "-k", "a or b", "-x"], commands.test, ["-k", "a or b", "-x"]),
        (["lab", "--no-browser"], commands.lab, ["--no-browser"]),
        (["student", "01"], commands.student, ["01"]),
        (["pack", "a folder"], commands.pack, ["a folder"]),
    ],
)
def test_what_a_line_means(arguments, command, rest):
    assert commands.read(arguments) == (command, rest)


@pytest.mark.parametrize("arguments", [["tset"], ["book", "01"], ["series", "--fast"]])
def test_what_means_nothing_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        commands.read(arguments)
    assert stopped.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_notebooks_are_chosen_by_number_in_their_own_order(tmp_path):
    root = repository(tmp_path)
    paths = book.series(root / "notebooks")
    assert commands.chosen(root, []) == paths
    assert commands.chosen(root, ["1", "00"]) == paths
    assert commands.chosen(root, ["01"]) == paths[1:]


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["09"], {}, "There is no notebook 09; there are: 00_bad, 01_good."),
        (["01"], {"PROFILE": "slow"}, "SECOND_LOOK_PROFILE is 'slow'"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(tmp_path, arguments, environment, words):
    ran = run(repository(tmp_path), *arguments, **environment)
    assert ran.code == 2
    assert words in ran.said
    assert "Traceback" not in ran.said


def test_the_students_notebooks_are_written_where_it_says(tmp_path):
    ran = run(repository(tmp_path), "student", "1")
    assert ran.code == 0
    folder = tmp_path / "build" / "student"
    assert [path.name for path in folder.glob("*.ipynb")] == ["01_good.ipynb"]
    assert str(folder) in ran.said


def test_a_pack_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "a file").touch()
    ran = run(repository(tmp_path), "pack", str(tmp_path / "a file"))
    assert ran.code == 2
    assert "a file" in ran.said
    assert "Traceback" not in ran.said


@pytest.mark.parametrize("rest", [[], ["a folder"]])
def test_a_pack_goes_where_it_was_told(tmp_path, monkeypatch, rest):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(commands.packing, "pack", lambda *given: asked.append(given[:2]))
    assert run(tmp_path / "root", "pack", *rest).code == 0
    default = tmp_path / "root" / "build" / "pack" / "second-look"
    assert asked == [(tmp_path / "root", tmp_path / "a folder" if rest else default)]


def test_setup_names_the_versions(tmp_path):
    ran = run(tmp_path, "setup", DEVICE="cpu")
    assert ran.code == 0
    assert "torchvision" in ran.said
    assert "Ready" in ran.said


CHECKED = """\
import os


def test_settings():
    assert os.environ["SECOND_LOOK_DATASET"] == "scenes"
    assert os.environ["SECOND_LOOK_PROFILE"] == "quick"
    assert os.environ["SECOND_LOOK_SEED"] == "0"
    assert os.path.isabs(os.environ["SECOND_LOOK_DATA_DIR"])
    assert os.path.basename(os.environ["SECOND_LOOK_DATA_DIR"]) == "there"


def test_never():
    assert  not os.environ
"""


def test_tests_run_on_scenes_whatever_is_set_and_the_table_tells_what_failed(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(CHECKED)
    asked = {"DATASET": "cifar10", "PROFILE": "full", "SEED": "3", "DATA_DIR": "there"}
    ran = run(tmp_path, "test", "-k", "settings or never", "tests/test_it.py", **asked)
    assert ran.said.splitlines() == ["lint    passed", "format  failed", "tests   failed"]
    assert ran.code == 1
    said = capfd.readouterr().out
    assert "1 failed, 1 passed" in said
    assert "FAILED tests/test_it.py::test_never" in said


def test_pytest_gets_every_test_and_notebook_unless_some_are_named(tmp_path):
    root = repository(tmp_path)
    everything = commands.pytest_arguments(root, ["-x"])
    expected = [str(root / "tests"), *map(str, book.series(root / "notebooks"))]
    assert everything[:3] == expected
    assert everything[-1] == "-x"
    assert "--nbval-lax" in everything
    assert commands.pytest_arguments(root, ["notebooks/00_bad.ipynb"])[-1].startswith("notebooks/")
    assert str(root / "tests") not in commands.pytest_arguments(root, ["tests/unit"])
