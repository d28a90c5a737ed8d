"""A pack of a small repository, with pip and the notebooks played by stand-ins."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.series import pack
from helpers.settings import ROOT, Settings

WHEEL = "{name}-{version}-py3-none-any.whl"
INSTALLED = {("first", "1.0"), ("second", "2.0"), ("third", "3.0"), ("uv", "4.0")}


class Bench(NamedTuple):
    """A repository, where its pack goes, and what pip and the notebooks were asked."""

    root: Path
    folder: Path
    fetched: list[str]
    runs: list[Settings]
    said: list[str]

    def pack(self) -> None:
        settings = Settings(data_dir=self.root / "data", cache_dir=self.root / "data" / "cache")
        pack.pack(self.root, self.folder, settings, self.said.append)

    def packed(self) -> set[str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in files}


def write(path: Path, text: str = "it") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_wheel(folder: Path, requirement: str) -> Path:
    name, version = requirement.split("==")
    path = folder / WHEEL.format(name=name, version=version)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "")
    return path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch) -> Bench:
    made = Bench(tmp_path / "root", tmp_path / "stick" / "second look", [], [], [])
    for name in ("run", "requirements.txt", "helpers/a.py", "notebooks/00_a.ipynb"):
        write(made.root / name, "# no line that pip would read")
    for name in ("mine/cat.jpg", "data/mine.zip", "data/cache/folder-64-0/images.npy"):
        write(made.root / name)

    def download(packages, folder):
        made.fetched.extend(packages)
        for package in packages:
            make_wheel(folder, package)

    def run(path, out, settings, say):
        made.runs.append(settings)
        write(settings.cache_dir / "trained" / "net" / "weights", path.read_text())
        return True

    monkeypatch.setattr(pack, "installed", lambda _: INSTALLED)
    monkeypatch.setattr(pack, "download", download)
    monkeypatch.setattr(pack.runner, "run_notebook", run)
    return made


WHOLE = {
    *("run", "requirements.txt", "helpers/a.py", "notebooks/00_a.ipynb", "START.txt", "SHA256SUMS"),
    *("data/cache/trained/net/weights", "wheels/made-for"),
    *(f"wheels/{WHEEL.format(name=name, version=version)}" for name, version in INSTALLED),
}


def test_a_pack_holds_the_series_the_wheels_and_a_quick_runs_cache_alone(bench):
    bench.pack()
    assert bench.packed() == WHOLE
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    system, machine = subprocess.check_output(["uname", "-sm"], text=True).split()
    made_for = (bench.folder / "wheels" / "made-for").read_text()
    assert made_for == f"{python} {system} {machine}\n"
    assert f"Python {python} with venv" in (bench.folder / "START.txt").read_text()


def test_the_sums_are_those_of_all_files(bench):
    bench.pack()
    lines = (bench.folder / "SHA256SUMS").read_text().splitlines()
    sums = {name: found for found, name in (line.split("  ", 1) for line in lines)}
    assert set(sums) == WHOLE - {"SHA256SUMS"}
    for name, found in sums.items():
        assert hashlib.sha256((bench.folder / name).read_bytes()).hexdigest() == found


def test_the_notebooks_run_quickly_on_scenes_and_see_nobodys_data(bench):
    bench.pack()
    [settings] = bench.runs
    assert (settings.dataset, settings.profile, settings.seed) == ("scenes", "quick", 0)
    assert not settings.data_dir.is_relative_to(bench.root)
    assert settings.cache_dir == bench.root / "build" / "pack-cache"


def test_what_was_broken_off_goes_on(bench, monkeypatch):
    monkeypatch.setattr(pack, "AT_ONCE", 2)
    fetch = pack.download

    def breaks(packages, folder):
        if bench.fetched:
            make_wheel(folder, packages[0]).write_bytes(b"half")
            raise RuntimeError("the network is gone")
        fetch(packages, folder)

    monkeypatch.setattr(pack, "download", breaks)
    with pytest.raises(RuntimeError, match="the network is gone"):
        bench.pack()
    assert "not complete" in (bench.folder / "START.txt").read_text()
    assert not (bench.folder / "wheels" / "made-for").exists()
    monkeypatch.setattr(pack, "download", fetch)
    bench.pack()
    assert sorted(bench.fetched) == sorted(f"{name}=={version}" for name, version in INSTALLED)
    assert bench.packed() == WHOLE


def test_a_second_pack_is_that_of_the_repository_as_it_is_now(bench, monkeypatch):
    write(bench.root / "helpers" / "old.py")
    bench.pack()
    (bench.root / "helpers" / "old.py").unlink()
    write(bench.folder / "data" / "cache" / "folder-64-0" / "images.npy")  # of a run in the pack
    monkeypatch.setattr(pack, "installed", lambda _: INSTALLED - {("third", "3.0")})
    bench.pack()
    assert bench.packed() == WHOLE - {"wheels/third-3.0-py3-none-any.whl"}
    assert len(bench.fetched) == len(INSTALLED)


def test_the_notebooks_run_again_where_something_has_changed(bench):
    bench.pack()
    write(bench.root / "README.md")
    bench.pack()
    assert len(bench.runs) == 1
    stale = write(bench.root / "build" / "pack-cache" / "stale")
    write(bench.root / "notebooks" / "00_a.ipynb", "another")
    bench.pack()
    assert len(bench.runs) == 2
    assert not stale.exists()
    assert (
        bench.folder / "data" / "cache" / "trained" / "net" / "weights"
    ).read_text() == "another"


def test_a_notebook_that_fails_is_named_and_what_others_kept_stays(bench, monkeypatch):
    write(bench.root / "notebooks" / "01_b.ipynb")
    good = pack.runner.run_notebook
    monkeypatch.setattr(
        pack.runner, "run_notebook", lambda path, *rest: path.stem < "01" and good(path, *rest)
    )
    with pytest.raises(RuntimeError, match="01_b failed"):
        bench.pack()
    kept = write(bench.root / "build" / "pack-cache" / "kept")
    monkeypatch.setattr(pack.runner, "run_notebook", good)
    bench.pack()
    assert kept.exists()
    assert len(bench.runs) == 3


def test_a_folder_with_anything_else_in_it_is_left_alone(bench):
    mine = write(bench.folder / "wheels" / "of_mine-1.0-py3-none-any.whl")
    with pytest.raises(ValueError, match="holds something else"):
        bench.pack()
    assert bench.packed() == {mine.relative_to(bench.folder).as_posix()}


def test_a_pack_that_has_been_used_is_left_alone(bench):
    bench.pack()
    answers = write(bench.folder / "notebooks" / "00_a.ipynb", "a student's")
    write(bench.folder / ".venv" / "pyvenv.cfg")
    with pytest.raises(ValueError, match="has been used"):
        bench.pack()
    assert answers.read_text() == "a student's"


def test_wheels_of_another_python_or_machine_are_not_kept(bench):
    bench.pack()
    write(bench.folder / "wheels" / "made-for", "3.9 Plan9 mips\n")
    write(bench.folder / "wheels" / "made-for-mips.whl")
    bench.pack()
    assert bench.packed() == WHOLE
    assert len(bench.fetched) == 2 * len(INSTALLED)


def test_a_pack_broken_off_while_the_old_one_goes_can_be_made_again(bench, monkeypatch):
    bench.pack()
    unlink = Path.unlink

    def breaks(path, **kind):
        if path.name == "run":
            raise KeyboardInterrupt
        unlink(path, **kind)

    monkeypatch.setattr(Path, "unlink", breaks)
    with pytest.raises(KeyboardInterrupt):
        bench.pack()
    assert "not complete" in (bench.folder / "START.txt").read_text()
    monkeypatch.setattr(Path, "unlink", unlink)
    bench.pack()
    assert bench.packed() == WHOLE


def test_a_read_only_file_is_replaced(bench):
    (bench.root / "run").chmod(0o444)
    bench.pack()
    write(bench.root / "helpers" / "a.py", "new")
    (bench.folder / "SHA256SUMS").unlink()  # nothing says what was written
    bench.pack()
    assert (bench.folder / "helpers" / "a.py").read_text() == "new"


def test_a_pack_does_not_pack_itself(bench):
    bench.pack()
    itself = bench._replace(root=bench.folder, folder=bench.root.parent / "link")
    itself.folder.symlink_to(bench.folder)
    with pytest.raises(ValueError, match="name another folder"):
        itself.pack()
    assert bench.packed() == WHOLE


def test_a_full_disk_is_seen_before_anything_is_written(bench, monkeypatch):
    few = shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda _: few)
    with pytest.raises(RuntimeError, match=r"needs [36]\.0 GB more and 1\.0 GB are free"):
        bench.pack()
    assert not bench.folder.exists()


def test_cifar10_goes_along_where_the_official_archive_lies(bench, monkeypatch):
    archive = write(bench.root / "data" / pack.ARCHIVE)
    bench.pack()  # one that is not the official one does not
    assert bench.packed() == WHOLE
    monkeypatch.setattr(pack, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    bench.pack()
    assert bench.packed() == WHOLE | {f"data/{pack.ARCHIVE}"}
    assert pack.ARCHIVE in (bench.folder / "SHA256SUMS").read_text()
    assert any(re.match("CIFAR-10: not in the pack", line) for line in bench.said)
    archive.unlink()  # dear to fetch: the pack's own is as good
    bench.pack()
    assert bench.packed() == WHOLE | {f"data/{pack.ARCHIVE}"}
    write(bench.folder / "data" / pack.ARCHIVE, "damaged, of the same length"[:2])
    bench.pack()
    assert bench.packed() == WHOLE


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="compares with git's list")
def test_without_git_the_same_files_are_found(tmp_path):
    ours = set(pack.own_files(ROOT))
    assert set(pack.repository_files(ROOT)) <= ours
    assert not any(re.search(r"\.pyc$|^build|^\.venv|^data/cache", name) for name in ours)


def dist(folder: Path, name: str, version: str, *requires: str) -> None:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    write(folder / f"{name}-{version}.dist-info" / "METADATA", "\n".join(lines) + "\n")


def test_what_requirements_brought_is_found_with_extras_and_without_what_is_for_others(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    dist(tmp_path, "top_one", "1.0", "middle[fast]", 'windows_only; sys_platform == "win32"')
    dist(
        tmp_path, "middle", "2.01+cpu", 'quick; extra == "fast"', 'slow; extra == "slow"', "top-one"
    )
    dist(tmp_path, "quick", "3.0")
    found = pack.installed(["middle", "Top_One>=1"])
    assert found == {("top-one", "1.0"), ("middle", "2.1+cpu"), ("quick", "3.0")}


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(RuntimeError, match="no-such-thing is not installed"):
        pack.installed(["no_such_thing"])


def test_pip_fetches_from_where_it_is_set_up_to(tmp_path, monkeypatch):
    shelf, folder = tmp_path / "shelf", tmp_path / "wheels"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "tiny_one-1.0-py3-none-any.whl", "w") as wheel:
        info = "tiny_one-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-one\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    pack.download(["tiny-one==1.0"], folder)
    assert set(pack.wheels_in(folder)) == {("tiny-one", "1.0")}
    with pytest.raises(RuntimeError, match=r"tiny-one==2\.0[\s\S]*run this again"):
        pack.download(["tiny-one==2.0"], folder)
