"""Running, saving and searching notebooks."""

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from helpers.series import runner
from helpers.settings import Settings

new_code, new_output = nbformat.v4.new_code_cell, nbformat.v4.new_output

WHERE = """\
import os, sys
import helpers
print(sys.executable, os.getcwd(), os.environ["SECOND_LOOK_SEED"], sep="\\n")"""

UNTIL_SEEN = """\
import time
from pathlib import Path
end = time.monotonic() + 60
while not Path("seen").exists() and time.monotonic() < end:
    time.sleep(0.05)"""


def write(path: Path, *cells) -> Path:
    notebook = nbformat.v4.new_notebook(cells=list(cells), metadata={"who": "ann", "widgets": {}})
    nbformat.write(notebook, path)
    return path


def read(path: Path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A notebook that ran: where it lies, where its executed copy lies, and what was said."""
    folder = tmp_path_factory.mktemp("ran")
    path = write(
        folder / "07_sample.ipynb",
        nbformat.v4.new_markdown_cell("# What runs?"),
        new_code(WHERE, metadata={"tags": ["kept"], "execution": {"iopub.status.busy": "then"}}),
        new_code(UNTIL_SEEN),
        new_code("6 * 7"),
    )
    said = []

    def say(line):
        said.append(line)
        if line.startswith("07_sample: cell 2 of 3, "):
            (folder / "seen").touch()

    wrong = folder / "kernels" / "python3"
    wrong.mkdir(parents=True)
    (wrong / "kernel.json").write_text('{"argv": ["no-such-python"], "display_name": "wrong"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setattr(runner, "HEARTBEAT_SECONDS", 0.1)
        good = runner.run_notebook(path, folder / "out" / path.name, Settings(seed=7), say)
    assert good
    return path, folder / "out" / path.name, said


def test_cells_run_in_order_with_this_python_in_the_notebooks_folder_and_its_settings(ran):
    path, out, _ = ran
    cells = runner.code_cells(read(out))
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    assert cells[0].outputs[0].text.split("\n")[:3] == [sys.executable, str(path.parent), "7"]
    assert cells[2].outputs[0].data["text/plain"] == "42"


def test_the_notebook_itself_is_left_alone(ran):
    assert all(cell.execution_count is None for cell in runner.code_cells(read(ran[0])))


def test_a_heartbeat_names_the_cell_and_the_end_is_said(ran):
    said = ran[2]
    assert any(line.startswith("07_sample: cell 2 of 3, ") for line in said[:-1])
    assert said[-1].startswith("07_sample: cell 3 of 3, ")
    assert said[-1].endswith(" s: done")


def test_nothing_in_a_saved_notebook_says_who_ran_it_and_when(ran):
    notebook = read(ran[1])
    assert notebook.metadata == {"kernelspec": runner.KERNEL, "language_info": runner.LANGUAGE}
    assert [cell.id for cell in notebook.cells] == [f"cell-{n:03d}" for n in range(4)]
    assert [cell.metadata for cell in notebook.cells] == [{}, {"tags": ["kept"]}, {}, {}]


def test_saving_twice_gives_the_same_bytes_and_leaves_no_other_file(tmp_path):
    first, second = tmp_path / "first.ipynb", tmp_path / "second.ipynb"
    for path in (first, second):
        runner.save(nbformat.v4.new_notebook(cells=[new_code("1")]), path)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_a_failing_cell_is_said_and_what_follows_it_shows_no_old_output(tmp_path, settings):
    old = new_code("2", execution_count=3, outputs=[new_output("stream", text="old")])
    path = write(tmp_path / "08_bad.ipynb", new_code("1"), new_code("1 / 0"), old)
    said = []
    assert not runner.run_notebook(path, tmp_path / "out.ipynb", settings, said.append)
    assert said[-1].startswith("08_bad: cell 2 of 3, ")
    assert said[-1].endswith("ZeroDivisionError: division by zero")
    cells = read(tmp_path / "out.ipynb").cells
    assert [output.ename for output in cells[1].outputs] == ["ZeroDivisionError"]
    assert cells[2].outputs == []
    assert cells[2].execution_count is None


def test_a_kernel_that_dies_is_a_failure_and_not_an_error(tmp_path, settings):
    path = write(tmp_path / "dies.ipynb", new_code("import os; os._exit(1)"))
    said = []
    assert not runner.run_notebook(path, tmp_path / "out.ipynb", settings, said.append)
    assert "the kernel died" in said[-1]


def test_ctrl_c_stops_the_run_and_leaves_no_kernel(tmp_path, settings):
    interrupt = (
        "import os, signal, time\n"
        "open('pid', 'w').write(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(60)"
    )
    path = write(tmp_path / "stopped.ipynb", new_code(interrupt))
    with pytest.raises(KeyboardInterrupt):
        runner.run_notebook(path, tmp_path / "out.ipynb", settings, print)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not (tmp_path / "out.ipynb").exists()


def test_the_heartbeat_ends_with_its_block(monkeypatch):
    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.01)
    beat, before = threading.Event(), threading.active_count()
    with runner.heartbeat(beat.set):
        assert beat.wait(30)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (80, "1 min 20 s"), (3700, "1 h 1 min")],
)
def test_durations_read_well(seconds, text):
    assert runner.duration(seconds) == text


def test_the_environment_has_the_settings_and_finds_helpers(settings, monkeypatch):
    monkeypatch.setenv("SECOND_LOOK_SEED", "1")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    given = runner.environment(replace(settings, seed=5))
    assert given["SECOND_LOOK_SEED"] == "5"
    assert given["PYTHONPATH"].split(os.pathsep) == [str(runner.ROOT), "elsewhere"]


ROOTS = ["/check/repo/main", "/home/ann/second-look", "/r", "/srv/a b/repo", "/workspaces/main"]

MACHINE_PATHS = [
    "/home/ann/data",
    "/root/.cache/torch",
    "/Users/ann/x",
    "/kaggle/input/whales",
    "/content/drive",
    "/tmp/x",
    "/var/folders/zz",
    "/opt/conda/lib/python3.11",
    "/usr/lib",
    "/mnt",
    "/workspaces/main",
    "/workspace/repo",
    r"C:\Users\ann",
    r"C:\\Users\\ann",
]

AROUND = ["{}", "read '{}'", 'File "{}", line 3', "<td>{}</td>", "PATH={}:x", "\x1b[0;32m{}\x1b[0m"]

NO_MACHINE_PATHS = [
    "https://example.org/home/ann",
    "http://127.0.0.1:8888/tmp/x",
    "../shared/data",
    "a/usr/b",
    "data/tmp/x ./tmp/x ~/opt/x */opt/x",
    "1/2 and 3 /4",
    "<tmp>x</tmp> <var>n</var>",
    "/homeward /optimal /various",
    "<img src='data:image/png;base64,iVBORw0KGgo+/tmp/+/opt/A=='>",
    "accuracy/loss, n/a, images/s",
]


def shown(text: str):
    output = new_output("stream", text=text)
    return nbformat.v4.new_notebook(cells=[new_code("1", outputs=[output])])


@pytest.fixture(params=ROOTS)
def root(request, monkeypatch):
    monkeypatch.setattr(runner, "ROOT", Path(request.param))
    return request.param


@pytest.mark.parametrize("around", AROUND)
def test_paths_of_machines_are_found_wherever_the_repository_lies(root, around):
    for path in MACHINE_PATHS:
        found = runner.machine_paths(shown(around.format(path)))
        assert [number for number, _ in found] == [1], path
        assert found[0][1] == path


@pytest.mark.parametrize("around", AROUND)
def test_the_repository_itself_is_found_wherever_it_lies(root, around):
    for path in (root, f"{root}/helpers/settings.py"):
        assert [at for at, _ in runner.machine_paths(shown(around.format(path)))] == [1]


@pytest.mark.parametrize("text", NO_MACHINE_PATHS)
def test_what_is_no_path_of_a_machine_is_left_alone(root, text):
    assert runner.machine_paths(shown(text)) == []


def test_a_repository_elsewhere_does_not_hide_in_a_longer_name(monkeypatch):
    monkeypatch.setattr(runner, "ROOT", Path("/check/repo"))
    assert runner.machine_paths(shown("my/check/repo /check/repository ../check/repo")) == []


def test_paths_are_found_after_a_written_out_line_end_and_in_file_addresses():
    assert runner.machine_paths(shown(r"'a\n/home/ann'")) == [(1, "/home/ann")]
    assert runner.machine_paths(shown("file:///home/ann")) == [(1, "/home/ann")]


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", name="stderr", text="/tmp/x"),
        new_output("error", ename="E", evalue="/tmp/x", traceback=[]),
        new_output("error", ename="E", evalue="", traceback=["at", "/tmp/x"]),
        new_output("execute_result", {"text/plain": "/tmp/x"}),
        new_output("display_data", {"text/html": "<b>/tmp/x</b>"}),
        new_output("display_data", {"text/markdown": "`/tmp/x`"}),
    ],
)
def test_every_kind_of_text_is_searched_and_the_cell_is_named(output):
    cells = [nbformat.v4.new_markdown_cell("/tmp/x"), new_code("1"), new_code("", outputs=[])]
    notebook = nbformat.v4.new_notebook(cells=[*cells, new_code("2", outputs=[output])])
    assert runner.machine_paths(notebook) == [(2, "/tmp/x")]


def test_pictures_are_not_searched():
    output = new_output("display_data", {"image/png": " /tmp/x "})
    notebook = nbformat.v4.new_notebook(cells=[new_code("1", outputs=[output])])
    assert runner.machine_paths(notebook) == []
