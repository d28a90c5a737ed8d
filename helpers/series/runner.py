"""Runs notebooks, says where it is, and saves them the same way on every machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.settings import ROOT, Settings

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
CELL_METADATA = ("tags", "jupyter", "mystnb")
HEARTBEAT_SECONDS = 20
TRACEBACK_LINES = 12

COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
NOT_PATHS = re.compile(r"https?://[^\s\"'<>)]+|data:[\w+.-]+/[\w+.-]+;base64,[\w+/=]+")
MACHINE_FOLDERS = (
    r"/(?:home|root|Users|Volumes|private|kaggle|content|tmp|var|opt|usr|mnt|media|srv|work\w*)",
    r"[A-Za-z]:\\+Users",
)
# Not inside a longer path or word, nor a closing tag; a written-out \n may come before it.
PATH_BEGINS = r"(?:(?<![\w./~*<-])|(?<=\\[nrt])|(?<=file://))"
PATH_ENDS = r"(?![\w-])[^\s\"'`<>()\[\],;:]*"


def run_notebook(
    path: Path, out: Path, settings: Settings, say: Callable[[str], None] = print
) -> bool:
    """Run the notebook at `path` in its own folder, save it at `out`, and say how it went.

    The kernel is this interpreter's. Returns whether every cell ran; where one failed, `out`
    holds the notebook up to its error, and the end of the traceback is said.
    """
    notebook = emptied(nbformat.read(path, as_version=4))
    progress = Progress(path.stem, len(code_cells(notebook)))
    with heartbeat(lambda: say(str(progress))):
        problem = execute(notebook, path.parent, settings, progress)
    save(notebook, out)
    say(f"{progress}: {problem}" if problem else f"{progress}: done")
    return not problem


class Progress:
    """Which cell of a notebook runs, and how long the notebook has been running."""

    def __init__(self, name: str, cells: int):
        self.name, self.cells, self.cell = name, cells, 0
        self.stopped = False
        self.started = time.monotonic()

    def __str__(self) -> str:
        elapsed = duration(time.monotonic() - self.started)
        return f"{self.name}: cell {self.cell} of {self.cells}, {elapsed}"


def duration(seconds: float) -> str:
    """Return 80 as "1 min 20 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` from a thread, every `HEARTBEAT_SECONDS` until the block ends."""
    over = threading.Event()

    def beats():
        while not over.wait(HEARTBEAT_SECONDS):
            beat()

    thread = threading.Thread(target=beats, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def execute(notebook: NotebookNode, folder: Path, settings: Settings, progress: Progress) -> str:
    """Run the cells in place; return what went wrong, which is nothing where all ran."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    client = client_for(notebook, folder, progress)
    try:
        asyncio.run(client.async_execute(env=environment(settings), cleanup_kc=True))
    except CellExecutionError as error:
        return f"failed\n{tail(error.traceback)}"
    except (asyncio.CancelledError, DeadKernelError):
        if progress.stopped:
            raise KeyboardInterrupt from None
        return "failed: the kernel died, often for lack of memory"
    return ""


def client_for(notebook: NotebookNode, folder: Path, progress: Progress):
    """Return what runs `notebook` in `folder`, keeps `progress` and can be stopped by Ctrl-C."""
    from nbclient import NotebookClient

    numbers = {id(cell): number for number, cell in enumerate(code_cells(notebook), 1)}

    def at_cell(cell, cell_index):
        progress.cell = numbers[id(cell)]

    # nbclient's own handlers end one notebook as if its kernel had died.
    def heed_interrupts(notebook):
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, task)

    def stop(task):
        progress.stopped, client.shutdown_kernel = True, "immediate"
        task.cancel()

    client = NotebookClient(
        notebook,
        km=own_kernel(),
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_notebook_start=heed_interrupts,
        on_cell_execute=at_cell,
    )
    return client


def own_kernel():
    """Return a manager of kernels of this interpreter.

    No folder is searched: a `python3` kernel that somebody registered may be another Python.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager

    return AsyncKernelManager(
        kernel_name=KERNEL["name"],
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
        transport_encryption="auto",
    )


def environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with `settings` in it and `helpers` to be found."""
    folders = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(folder for folder in folders if folder)
    return {**os.environ, **settings.environment(), "PYTHONPATH": path}


def tail(traceback: str) -> str:
    lines = COLOUR_CODES.sub("", traceback).rstrip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-TRACEBACK_LINES:])


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that run, in order: the first is the one that gets `[1]`."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def emptied(notebook: NotebookNode) -> NotebookNode:
    # An error ends the run: without this, the cells after it would show an earlier run's outputs.
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def save(notebook: NotebookNode, out: Path) -> None:
    """Write the notebook, normalised, at `out`; nobody ever sees half of it there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    nbformat.write(normalised(notebook), part)
    os.replace(part, out)


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook, changed in place, with nothing in it that says who ran it and when."""
    notebook.nbformat_minor = 5
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        kept = {key: cell.metadata[key] for key in CELL_METADATA if key in cell.metadata}
        cell.metadata = NotebookNode(kept)
    nbformat.validate(notebook)
    return notebook


def machine_paths(notebook: NotebookNode) -> list[tuple[int, str]]:
    """Return (cell number, path) for each absolute path of a machine in a text output.

    Cells are numbered as they run. Addresses on the web and relative paths are none.
    """
    pattern = machine_path_pattern()
    return [
        (number, found.group())
        for number, cell in enumerate(code_cells(notebook), 1)
        for output in cell.outputs
        for text in texts(output)
        for found in pattern.finditer(NOT_PATHS.sub("", COLOUR_CODES.sub("", text)))
    ]


def machine_path_pattern() -> re.Pattern[str]:
    # This repository may lie anywhere, so its own place is looked for by name.
    folders = "|".join([re.escape(str(ROOT)), *MACHINE_FOLDERS])
    return re.compile(f"{PATH_BEGINS}(?:{folders}){PATH_ENDS}")


def texts(output: NotebookNode) -> list[str]:
    """Return what is written in an output: streams, errors and text of any kind, no pictures."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [output.evalue, *output.traceback]
    return [text for kind, text in output.data.items() if kind.startswith("text/")]
