"""What `./run` can do: run the series, make the book, save notebooks, open the lab, test, bench.

Each command is a function from the repository's root and the rest of the line to an exit code.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import nbformat

from helpers.series import book, runner
from helpers.series import pack as packing
from helpers.series import student as handouts
from helpers.settings import ROOT, Settings, read_settings

Command = Callable[[Path, list[str]], int]

NOT_FOR_TESTS = ("SECOND_LOOK_DATASET", "SECOND_LOOK_PROFILE", "SECOND_LOOK_SEED")
CELL_SECONDS = 1800

say = functools.partial(print, flush=True)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Run one command; return 0, or 1 where something failed, or 2 where it cannot be done."""
    command, rest = read(arguments)
    try:
        return command(root, rest)
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def read(arguments: list[str]) -> tuple[Command, list[str]]:
    """Return the command, which is the series where none is named, and what follows it."""
    if not arguments or arguments[0].isdigit():
        arguments = ["series", *arguments]
    parser = argparse.ArgumentParser(prog="./run", allow_abbrev=False)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        what = command.__doc__.splitlines()[0]
        added = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
        if command is pack:
            added.add_argument("folder", nargs="?", metavar="FOLDER", help="a new folder")
        if command in (series, notebooks, student):
            added.add_argument("numbers", nargs="*", metavar="NN", help="like 01; all if none")
    name = parser.parse_known_args(arguments)[0].name
    if COMMANDS[name] not in (lab, test, bench):
        parser.parse_args(arguments)
    return COMMANDS[name], arguments[1:]


def series(root: Path, numbers: list[str]) -> int:
    """Run the notebooks, leave them in build/notebooks/, and make the book."""
    settings = read_settings()
    paths = chosen(root, numbers)
    say(f"{', '.join(path.stem for path in paths)}: {in_words(settings)}")
    failed = [path.stem for path in paths if not run(path, root, settings)]
    say(f"Executed notebooks: {executed(root)}")
    make_book(root, [])
    if failed:
        say(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


def notebooks(root: Path, numbers: list[str]) -> int:
    """Run the notebooks in the full profile and save those that succeed in place."""
    settings = replace(read_settings(), profile="full")
    paths = chosen(root, numbers)
    say(f"{', '.join(path.stem for path in paths)}: {in_words(settings)}")
    failed = [path.stem for path in paths if not run_in_place(path, root, settings)]
    if failed:
        say(f"Failed, and not saved: {', '.join(failed)}")
    fill_in(root)
    return 1 if failed else 0


def fill_in(root: Path) -> None:
    from helpers.series import front_page

    for page in front_page.write(root):
        say(f"Written: {page}")


def make_book(root: Path, _: list[str]) -> int:
    """Make the book of the notebooks as they were last run, without running them."""
    pages = root / "notebooks"
    newest = book.latest(book.series(pages), executed(root))
    say(f"Book: {book.build_book(newest, pages, root / 'build' / 'book')}")
    return 0


def lab(root: Path, arguments: list[str]) -> int:
    """Open the notebooks in JupyterLab; the rest of the line is passed on to it."""
    return module(["jupyterlab", *arguments], root / "notebooks", read_settings())


def student(root: Path, numbers: list[str]) -> int:
    """Write the notebooks without solutions and outputs into build/student/."""
    folder = root / "build" / "student"
    for path in chosen(root, numbers):
        say(handouts.write(path, folder))
    say(f"For students: {folder}; ./run lab ../build/student opens them.")
    return 0


def pack(root: Path, arguments: list[str]) -> int:
    """Write all that a machine without a network needs into a folder, by default in build/pack/."""
    place = arguments[0] if arguments else root / "build" / "pack" / "second-look"
    packing.pack(root, Path(place).absolute(), read_settings(), say)
    return 0


def setup(root: Path, _: list[str]) -> int:
    """Say which versions are installed, and that they work together."""
    import torchvision  # noqa: F401  fails where it was built for another torch

    packages = ("torch", "torchvision", "fastai", "numpy")
    listed = ", ".join(f"{name} {version(name)}" for name in packages)
    say(f"Python {platform.python_version()}, {listed}, device {read_settings().device}")
    say("Ready: ./run runs the series, ./run lab opens the notebooks.")
    return 0


def test(root: Path, arguments: list[str]) -> int:
    """Check style and run all tests; the rest of the line is passed on to pytest."""
    environ = {name: value for name, value in os.environ.items() if name not in NOT_FOR_TESTS}
    settings = read_settings(environ)
    steps = {
        "lint": ["ruff", "check"],
        "format": ["ruff", "format", "--check"],
        "tests": ["pytest", *pytest_arguments(root, arguments)],
    }
    passed = {name: module(step, root, settings) == 0 for name, step in steps.items()}
    for name, good in passed.items():
        say(f"{name:8}{'passed' if good else 'failed'}")
    return 0 if all(passed.values()) else 1


def bench(root: Path, arguments: list[str]) -> int:
    """Time helpers against what else one would use; --only NAME for a row, --readme to save all."""
    return module(["tests.benchmarks", *arguments], root, read_settings())


COMMANDS: dict[str, Command] = {
    "series": series,
    "notebooks": notebooks,
    "book": make_book,
    "lab": lab,
    "student": student,
    "pack": pack,
    "setup": setup,
    "test": test,
    "bench": bench,
}


def pytest_arguments(root: Path, arguments: list[str]) -> list[str]:
    """Return what pytest gets: every test and notebook, unless `arguments` name some."""
    nbval = ["--nbval-lax", "--nbval-kernel-name", runner.KERNEL["name"]]
    seconds = ["--nbval-cell-timeout", str(CELL_SECONDS)]
    if any(argument.startswith(("tests/", "notebooks/")) for argument in arguments):
        return [*nbval, *seconds, *arguments]
    paths = [root / "tests", *book.series(root / "notebooks")]
    return [*map(str, paths), *nbval, *seconds, *arguments]


def chosen(root: Path, numbers: list[str]) -> list[Path]:
    """Return the notebooks with these numbers, or all; ValueError for a number that has none."""
    paths = book.series(root / "notebooks")
    names = ", ".join(path.stem for path in paths) or "none"
    for number in numbers:
        if not any(has_number(path, number) for path in paths):
            raise ValueError(f"There is no notebook {number}; there are: {names}.")
    if not paths:
        raise FileNotFoundError(f"There are no notebooks in {root / 'notebooks'}.")
    return [path for path in paths if not numbers or any(has_number(path, n) for n in numbers)]


def has_number(path: Path, number: str) -> bool:
    return path.name.startswith(f"{number.zfill(2)}_")


def executed(root: Path) -> Path:
    return root / "build" / "notebooks"


def in_words(settings: Settings) -> str:
    dataset, profile, seed = settings.dataset, settings.profile, settings.seed
    return f"dataset {dataset}, {profile} profile, seed {seed}, device {settings.device}"


def run(path: Path, root: Path, settings: Settings) -> bool:
    return runner.run_notebook(path, executed(root) / path.name, settings, say)


def run_in_place(path: Path, root: Path, settings: Settings) -> bool:
    if not run(path, root, settings):
        return False
    copy = executed(root) / path.name
    for cell, found in runner.machine_paths(nbformat.read(copy, as_version=4)):
        say(f"{path.stem}: cell {cell} shows a path of this machine: {found}")
    shutil.copy(copy, path)
    return True


def module(command: list[str], folder: Path, settings: Settings) -> int:
    """Run a module of this Python as a command, in `folder` and with `settings`."""
    environment = runner.environment(settings)
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # It was stopped too, and may have something to ask or to say first.
        process.wait()
        raise
