"""Packs the series for where there is no network: files, packages, and what a quick run keeps.

What `./run` would fetch is fetched here, and what it would compute in the quick profile on scenes
is computed here, in a cache of its own, so that nobody's images can get into a pack.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from helpers.datasets.cifar10 import ARCHIVE, SHA256
from helpers.datasets.download import sha256_of
from helpers.series import book, runner
from helpers.settings import Settings

WHEELS = "wheels"
MADE_FOR = "made-for"
SUMS = "SHA256SUMS"
START = "START.txt"
CACHE = "data/cache"
AT_ONCE = 10
ROOM = {"Linux": 6e9}  # bytes; on Linux torch brings CUDA's libraries with it
ROOM_ELSEWHERE = 3e9
MATTERS = ("constraints.txt", "data/", "helpers/", "notebooks/")  # to what a run leaves behind

# What a copy of the repository without git's list has of its own, as against a reader's files.
FILES = (
    *(".gitignore", "CITATION.cff", "LICENSE", "README.md", "constraints.txt", "environment.yml"),
    *("pyproject.toml", "requirements.txt", "run", ".ci/**/*", "helpers/**/*", "notebooks/**/*"),
    *("tests/**/*", "data/README.md", "data/human_*", "data/checkpoints/**/*"),
)
NOT_FILES = {"__pycache__", ".ipynb_checkpoints"}

START_TEXT = """\
Second Look, for {machine}, without a network.

Each machine needs Python {python} with venv, and free disk: {packed:.1f} GB for this folder,
and for what is installed from it as much as README.md says.

1. Copy this folder to the machine's own disk: it cannot be run on a stick.
2. In the copy, in a terminal:

       sh run 00

   The first call installs the packages from the folder wheels, which takes some minutes, and then
   runs notebook 00. `sh run lab` opens all notebooks, `sh run --help` lists the rest.

Whether a copy is whole:  sha256sum -c --quiet {sums}    (macOS: shasum -a 256 -c --quiet {sums})
"""


def pack(root: Path, folder: Path, settings: Settings, say: Callable[[str], None] = print) -> None:
    """Make `folder` a copy of the repository at `root` that sets up and runs without a network.

    A second call goes on where the first was broken off, and brings an old pack up to date. Raises
    ValueError where `folder` is `root`, holds anything else or has been used, and RuntimeError
    where the disk is too full, a package cannot be fetched or a notebook fails.
    """
    check_folder(root, folder)
    check_room(folder)
    files, wanted = repository_files(root), packages(root)
    (folder / WHEELS).mkdir(parents=True, exist_ok=True)
    (folder / START).write_text("This pack is not complete: make it again.\n", encoding="utf-8")
    remove_old(folder)
    copy(root, folder, files)
    say(f"repository: {len(files)} files, {in_words(size(folder / name for name in files))}")
    packed = [*files, *copy_cifar10(settings, folder, say)]
    packed += fetch_wheels(wanted, folder / WHEELS, say)
    packed += copy_cache(quick_cache(root, files, settings, say), folder)
    whole = size(folder / name for name in packed)
    (folder / START).write_text(start_text(whole), encoding="utf-8")
    write_sums(folder, [*packed, START])
    say(f"Pack: {folder}, {in_words(whole)}; {START} in it says how to use it.")


def check_folder(root: Path, folder: Path) -> None:
    if folder.resolve() == root.resolve():  # a pack packs too, and would first remove its own files
        raise ValueError(f"{folder} is what is to be packed: name another folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / START).exists():
        raise ValueError(f"{folder} holds something else: name a folder that is not there yet.")
    if (folder / ".venv").exists():  # what its users have written would be lost, or travel on
        raise ValueError(f"{folder} has been used: name a folder that is not there yet.")


def check_room(folder: Path) -> None:
    place = next(place for place in (folder, *folder.parents) if place.exists())
    needed = ROOM.get(platform.system(), ROOM_ELSEWHERE) - size(files_in(folder))
    free = shutil.disk_usage(place).free
    if free < needed:
        raise RuntimeError(
            f"The disk is too full: a pack needs {in_words(needed)} more and {in_words(free)} are "
            f"free in {place}. Make room there, or name a folder on another disk."
        )


def repository_files(root: Path) -> list[str]:
    """The files of the project, relative to `root`: git's, or by our own list where it has none."""
    if (root / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
        if listed.returncode == 0:
            return sorted(name for name in listed.stdout.split("\0") if (root / name).is_file())
    return sorted(own_files(root))


def own_files(root: Path) -> Iterator[str]:
    for pattern in FILES:
        for path in root.glob(pattern):
            if path.is_file() and not NOT_FILES & set(path.parts):
                yield path.relative_to(root).as_posix()


def remove_old(folder: Path) -> None:
    """Remove what an older pack has written, but for what is dear to fetch."""
    sums = folder / SUMS
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.exists() else []
    for name in [line.split("  ", 1)[1] for line in lines]:
        if not name.startswith(f"{WHEELS}/") and name not in (START, f"data/{ARCHIVE}"):
            (folder / name).unlink(missing_ok=True)
    sums.unlink(missing_ok=True)


def copy(source: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        # What is there may not be writable, as it was where it came from.
        (folder / name).unlink(missing_ok=True)
        shutil.copyfile(source / name, folder / name)
        with suppress(PermissionError):  # the file systems of sticks have no modes
            shutil.copymode(source / name, folder / name)


def packages(root: Path) -> set[tuple[str, str]]:
    """Name and version of each package that a pack of the repository at `root` brings.

    Raises RuntimeError where one is not installed here.
    """
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if line and not line.startswith("#")]
    # With uv, `run` installs in seconds what takes pip minutes. It may lie outside of .venv.
    return installed([*required, "uv"] if find_spec("uv") else required)


def fetch_wheels(
    wanted: set[tuple[str, str]], folder: Path, say: Callable[[str], None]
) -> list[str]:
    """Fetch a wheel of each of these packages, by name and version, into `folder`.

    Those that are there already are not fetched again; returns their names, with the folder.
    """
    made_for = f"{python_version()} {platform.system()} {platform.machine()}\n"
    mark = folder / MADE_FOR
    if mark.exists() and mark.read_text(encoding="ascii") != made_for:
        # Wheels of the same names and versions, and of no use here.
        shutil.rmtree(folder)
        folder.mkdir()
    mark.unlink(missing_ok=True)
    have = wheels_in(folder)
    for package, path in have.items():
        if package not in wanted:
            path.unlink()
    missing = sorted(wanted - have.keys())
    for first in range(0, len(missing), AT_ONCE):
        done = len(wanted) - len(missing) + first
        say(f"wheels: {done} of {len(wanted)}, {in_words(size(files_in(folder)))}")
        download([f"{name}=={version}" for name, version in missing[first:][:AT_ONCE]], folder)
    mark.write_text(made_for, encoding="ascii")
    say(f"wheels: all {len(wanted)}, {in_words(size(files_in(folder)))}")
    return [f"{WHEELS}/{path.name}" for path in (*wheels_in(folder).values(), mark)]


def installed(requirements: list[str]) -> set[tuple[str, str]]:
    """Name and version of each package that these requirements have brought to this Python."""
    found, seen, todo = set(), set(), [(Requirement(line), "") for line in requirements]
    while todo:
        wanted, extra = todo.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        for part in {"", *wanted.extras} - {part for other, part in seen if other == name}:
            seen.add((name, part))
            there = _distribution(name)
            found.add((name, str(Version(there.version))))
            todo += [(Requirement(line), part) for line in there.requires or []]
    return found


def _distribution(name: str):
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise RuntimeError(
            f"{name} is not installed: {sys.executable} -m pip install {name}"
        ) from None


def wheels_in(folder: Path) -> dict[tuple[str, str], Path]:
    """The whole wheels in `folder` by name and version; what was cut short goes."""
    found = {}
    for path in sorted(folder.glob("*.whl")):
        if not zipfile.is_zipfile(path):
            path.unlink()
            continue
        name, version, *_ = parse_wheel_filename(path.name)
        found[name, str(version)] = path
    return found


def download(packages: list[str], folder: Path) -> None:
    """Fetch wheels as pip is set up to; RuntimeError with its own words where it cannot."""
    # Without pip's own cache, which would keep as much again in the home folder.
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "-d", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, "--progress-bar", "off"]
    done = subprocess.run([*command, *packages], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"{done.stderr.strip()}\nThe wheels could not all be fetched; see above, then run this "
            "again: what is there is kept."
        )


def quick_cache(
    root: Path, files: list[str], settings: Settings, say: Callable[[str], None]
) -> Path:
    """The folder of what the notebooks keep in the quick profile on scenes, run where need be.

    They see no other data than what ships. Raises RuntimeError where one fails.
    """
    cache = root / "build" / "pack-cache"
    mark = cache.with_name("pack-cache.txt")
    now = digest(root, [name for name in files if name.startswith(MATTERS)])
    before = mark.read_text() if mark.exists() else ""
    if before != f"{now} done":
        if before != now:
            shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        mark.write_text(now)
        run_series(root, replace(Settings(), device=settings.device, cache_dir=cache), say)
        mark.write_text(f"{now} done")
    say(f"cache: {in_words(size(files_in(cache)))}")
    return cache


def run_series(root: Path, settings: Settings, say: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        alone = replace(settings, data_dir=Path(scratch))
        for path in book.series(root / "notebooks"):
            if not runner.run_notebook(path, Path(scratch, path.name), alone, say):
                raise RuntimeError(f"{path.stem} failed; see above. What is done is kept.")


def digest(root: Path, names: list[str]) -> str:
    lines = [f"{name} {sha256_of(root / name)}" for name in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def copy_cache(cache: Path, folder: Path) -> list[str]:
    """Put the cache into the pack in place of what is there; returns the names of its files."""
    shutil.rmtree(folder / CACHE, ignore_errors=True)
    names = [path.relative_to(cache).as_posix() for path in files_in(cache)]
    copy(cache, folder / CACHE, names)
    return [f"{CACHE}/{name}" for name in names]


def copy_cifar10(settings: Settings, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Take the official archive along where it lies among the data or in the cache."""
    to = folder / "data"
    for place in (to, settings.data_dir, settings.cache_dir):
        if (place / ARCHIVE).exists() and sha256_of(place / ARCHIVE) == SHA256:
            if place != to:
                copy(place, to, [ARCHIVE])
            say(f"CIFAR-10: {in_words(size([to / ARCHIVE]))}")
            return [f"data/{ARCHIVE}"]
    say(
        f"CIFAR-10: not in the pack, as the official {ARCHIVE} is neither in {settings.data_dir} "
        f"nor in {settings.cache_dir}"
    )
    (to / ARCHIVE).unlink(missing_ok=True)
    return []


def start_text(packed: int) -> str:
    """What START.txt says of a pack of so many bytes."""
    return START_TEXT.format(
        machine=f"{platform.system()} {platform.machine()}",
        python=python_version(),
        packed=packed / 1e9,
        sums=SUMS,
    )


def write_sums(folder: Path, names: list[str]) -> None:
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def python_version() -> str:
    return "{}.{}".format(*sys.version_info[:2])


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def in_words(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
