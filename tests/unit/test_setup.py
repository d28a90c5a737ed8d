"""The `run` script, on a machine of stand-ins, and the agreement of the files it installs from.

The stand-ins for Python and uv write down what they are asked, install a line of text, and can be
told through files in the folder `machine` to be old, to fail or to hang.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from helpers.series.commands import COMMANDS
from helpers.settings import ROOT

SHELL = shutil.which("sh")
TOOLS = [
    "awk",
    "cat",
    "cksum",
    "cp",
    "date",
    "dirname",
    "du",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "uname",
]

PYTHON = """\
#!/bin/sh
machine={machine}
version=$(cat "$machine/version")
case "$*" in
*version_info*) echo "$version" ;;
--version) echo "Python $version.1" ;;
*ensurepip*) [ ! -f "$machine/no-venv" ] ;;
*fcntl*) exec {python} "$@" ;;
"-m venv .venv")
    echo venv >>"$machine/log"
    mkdir -p .venv/bin ".venv/lib/python$version/site-packages"
    cp "$0" .venv/bin/python ;;
"-m pip install "*uv)
    echo "pip gets uv" >>"$machine/log"
    [ -f "$machine/no-uv" ] || cp "$machine/uv" .venv/bin/uv
    [ ! -f "$machine/no-uv" ] ;;
"-m pip install "*) exec "$machine/install" pip "$@" ;;
"-P -m helpers"*) shift 3; echo "helpers in $PWD: $*" ;;
*) echo "unforeseen: $*" >&2; exit 3 ;;
esac
"""
UV = """\
#!/bin/sh
exec {machine}/install uv "$@"
"""
INSTALL = """\
#!/bin/sh
machine={machine}
echo "$*" >>"$machine/log"
echo half >.venv/package
[ ! -f "$machine/slow" ] || sleep 60
[ ! -f "$machine/fails" ] || exit 2
echo " + package==1"
echo whole >.venv/package
"""


class Checkout(NamedTuple):
    """A checkout with nothing in it but what `run` needs, and the machine it is on."""

    folder: Path
    machine: Path

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [SHELL, self.folder / "run", *arguments],
            env=self.environment(),
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [SHELL, self.folder / "run", *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.machine / "bin")}

    def tell(self, name: str, text: str = "") -> None:
        (self.machine / name).write_text(text)

    def program(self, name: str, text: str) -> None:
        path = self.machine / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def asked(self) -> list[str]:
        log = self.machine / "log"
        return log.read_text().splitlines() if log.exists() else []

    def installed(self) -> str:
        return (self.folder / ".venv" / "package").read_text().strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout, in a path with a space, on a machine with Python 3.12 and uv."""
    made = Checkout(tmp_path / "second look", tmp_path / "machine")
    (made.folder / "tests").mkdir(parents=True)
    (made.machine / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "run", made.folder)
    for name in ("requirements.txt", "constraints.txt", "tests/requirements.txt"):
        shutil.copy(ROOT / name, made.folder / name)
    for tool in TOOLS:
        (made.machine / "bin" / tool).symlink_to(shutil.which(tool))
    made.tell("version", "3.12")
    names = {"machine": f"'{made.machine}'", "python": f"'{sys.executable}'"}
    made.program("python3", PYTHON.format(**names))
    made.program("uv", UV.format(**names))
    for name, text in {"uv": UV, "install": INSTALL}.items():
        made.tell(name, text.format(**names))
        (made.machine / name).chmod(0o755)
    made.program(
        "df",
        "#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted on\n"
        "echo /dev/a disk 99999999 9 88888888 1% /\n",
    )
    return made


def one_line(done: subprocess.CompletedProcess) -> str:
    """Return what a run that failed says: one line, of `run` itself."""
    assert done.returncode == 1
    assert done.stderr.startswith("run: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def wait_for(happened) -> None:
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.01)
    pytest.fail("waited in vain")


BASE = "-r requirements.txt -c constraints.txt"


def test_the_first_call_installs_and_the_second_does_not(checkout: Checkout):
    first = checkout.run("series", "a b")
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith(f"helpers in {checkout.folder}: series a b\n")
    assert "package==1" not in first.stdout
    command = "uv pip install --python .venv/bin/python --compile-bytecode"
    assert checkout.asked() == ["venv", f"{command} {BASE}"]
    second = checkout.run()
    assert second.stdout == f"helpers in {checkout.folder}: \n"
    assert len(checkout.asked()) == 2


def test_the_tests_have_requirements_of_their_own(checkout: Checkout):
    checkout.run()
    checkout.run("test")
    assert checkout.asked()[2].endswith(f"{BASE} -r tests/requirements.txt")
    checkout.run("test")
    checkout.run()
    assert len(checkout.asked()) == 3


@pytest.mark.parametrize(
    ("changed", "command", "again"),
    [
        ("requirements.txt", "series", True),
        ("constraints.txt", "series", True),
        ("constraints.txt", "test", True),
        ("tests/requirements.txt", "test", True),
        ("tests/requirements.txt", "series", False),
    ],
)
def test_changed_requirements_are_installed(checkout, changed: str, command: str, again: bool):
    checkout.run("test")
    with (checkout.folder / changed).open("a") as file:
        file.write("another\n")
    checkout.run(command)
    installs = [line for line in checkout.asked() if line.startswith("uv")]
    assert len(installs) == 1 + again
    assert checkout.asked().count("venv") == 1


def test_the_callers_folder_is_kept(checkout: Checkout, tmp_path: Path):
    assert f"helpers in {tmp_path}: lab" in checkout.run("lab", cwd=tmp_path).stdout


def test_helpers_are_found_from_any_folder(checkout: Checkout):
    checkout.run()
    packages = checkout.folder / ".venv" / "lib" / "python3.12" / "site-packages"
    line = (packages / "second_look.pth").read_text().strip()
    assert (packages / line).resolve() == checkout.folder.resolve()


def test_an_interruption_is_mended(checkout: Checkout):
    checkout.tell("slow")
    cut = checkout.start()
    wait_for(lambda: (checkout.folder / ".venv" / "package").exists())
    os.killpg(cut.pid, signal.SIGKILL)
    cut.communicate()
    (checkout.machine / "slow").unlink()
    assert checkout.installed() == "half"
    assert checkout.run().returncode == 0
    assert checkout.installed() == "whole"
    assert checkout.asked().count("venv") == 2  # nothing of the half is kept


def test_an_interrupted_update_is_mended(checkout: Checkout):
    checkout.run("test")
    checkout.tell("slow")
    (checkout.folder / "tests" / "requirements.txt").write_text("another\n")
    cut = checkout.start("test")
    wait_for(lambda: checkout.installed() == "half")
    os.killpg(cut.pid, signal.SIGKILL)
    cut.communicate()
    (checkout.machine / "slow").unlink()
    checkout.run()  # whose requirements have not changed
    assert checkout.installed() == "whole"


CUT_SHORT = """\
#!/bin/sh
[ -d "$2" ] || exec {rm} "$@"
{rm} "$2/unfinished"
kill -9 $PPID
"""


def test_a_removal_that_is_cut_short_is_mended(checkout: Checkout):
    checkout.run()
    (checkout.folder / ".venv" / "unfinished").touch()
    checkout.program("rm", CUT_SHORT.format(rm=shutil.which("rm")))
    assert checkout.run().returncode == 128 + signal.SIGKILL
    checkout.program("rm", f'#!/bin/sh\nexec {shutil.which("rm")} "$@"\n')
    checkout.run()
    assert checkout.asked().count("venv") == 2
    assert not (checkout.folder / "build" / "discarded").exists()


def test_a_failure_says_so_and_the_next_call_tries_again(checkout: Checkout):
    checkout.tell("fails")
    assert "could not be installed" in one_line(checkout.run())
    assert [line.split()[0] for line in checkout.asked()] == ["venv", "uv", "pip"]
    (checkout.machine / "fails").unlink()
    assert checkout.run().returncode == 0
    assert checkout.asked().count("venv") == 1


def test_without_uv_pip_gets_it(checkout: Checkout):
    (checkout.machine / "bin" / "uv").unlink()
    checkout.run()
    assert checkout.asked()[1] == "pip gets uv"
    assert checkout.asked()[2].startswith("uv pip install")


def test_where_uv_does_not_exist_pip_installs(checkout: Checkout):
    (checkout.machine / "bin" / "uv").unlink()
    checkout.tell("no-uv")
    assert checkout.run().returncode == 0
    assert checkout.asked()[2].endswith(f"-m pip install --progress-bar off {BASE}")
    assert checkout.installed() == "whole"


def packed(checkout: Checkout, python: str = "3.12", machine: str = "") -> Checkout:
    """The checkout as a pack with wheels for that Python, and for this machine if for no other."""
    here = subprocess.check_output(["uname", "-sm"], text=True).strip()
    (checkout.folder / "wheels").mkdir()
    (checkout.folder / "wheels" / "made-for").write_text(f"{python} {machine or here}\n")
    return checkout


def test_a_pack_is_installed_from_its_wheels_alone(checkout: Checkout):
    assert packed(checkout).run().returncode == 0
    assert checkout.asked()[1].endswith(f"--compile-bytecode --no-index --find-links wheels {BASE}")


def test_a_pack_gives_pip_the_same_and_uv_comes_from_it(checkout: Checkout):
    (checkout.machine / "bin" / "uv").unlink()
    python = checkout.machine / "bin" / "python3"
    python.write_text(python.read_text().replace('echo "pip gets uv"', 'echo "$*"'))
    checkout.tell("no-uv")
    assert packed(checkout).run().returncode == 0
    offline = "--no-index --find-links wheels"
    assert checkout.asked()[1].endswith(f"install -qq --only-binary :all: {offline} uv")
    assert checkout.asked()[2].endswith(f"--progress-bar off {offline} {BASE}")


def test_what_the_tests_need_is_not_in_a_pack_and_may_be_fetched(checkout: Checkout):
    packed(checkout).run("test")
    assert "--compile-bytecode --find-links wheels -r" in checkout.asked()[1]


def test_a_pack_asks_for_the_python_that_its_wheels_are_for(checkout: Checkout):
    said = one_line(packed(checkout, python="3.11").run())
    assert "wheels are for Python 3.11; found: Python 3.12.1. Install Python 3.11" in said
    assert not (checkout.folder / ".venv").exists()


def test_a_pack_finds_its_python_beside_another(checkout: Checkout):
    python = (checkout.machine / "bin" / "python3").read_text()
    checkout.program("python3.11", python)
    checkout.program("python3", "#!/bin/sh\necho 3.12\n")
    checkout.tell("version", "3.11")
    assert packed(checkout, python="3.11").run().returncode == 0
    assert (checkout.folder / ".venv" / "lib" / "python3.11").is_dir()


def test_a_pack_for_other_machines_says_so(checkout: Checkout):
    said = one_line(packed(checkout, machine="Plan9 vax").run())
    assert "wheels are for Plan9 vax, and this is" in said
    assert checkout.asked() == []


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_an_unfit_python_is_named(checkout: Checkout, version: str):
    checkout.tell("version", version)
    said = one_line(checkout.run())
    assert "Python 3.11, 3.12 or 3.13 is needed" in said
    assert f"found: Python {version}.1" in said
    assert not (checkout.folder / ".venv").exists()


def test_without_python_it_says_what_is_needed(checkout: Checkout):
    (checkout.machine / "bin" / "python3").unlink()
    assert "found: none" in one_line(checkout.run())


def test_another_python_will_do(checkout: Checkout):
    bin_folder = checkout.machine / "bin"
    (bin_folder / "python3").rename(bin_folder / "python3.12")
    checkout.program("python3", "#!/bin/sh\necho 3.14\n")
    checkout.program("python3.13", "#!/bin/sh\necho python3.13: command not found >&2\nexit 127\n")
    done = checkout.run()
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_python_without_venv_is_named(checkout: Checkout):
    checkout.tell("no-venv")
    assert "python3 has no venv" in one_line(checkout.run())


def test_a_full_disk_is_seen_before_anything_is_made(checkout: Checkout):
    checkout.program("df", "#!/bin/sh\necho /dev/a disk 99999999 9 2222222 99% /\n")
    said = one_line(checkout.run())
    assert re.search(r"too full: set-up needs [37] GB more and 2 GB are free", said)
    assert not (checkout.folder / ".venv").exists()


def test_what_is_installed_needs_no_room_again(checkout: Checkout):
    checkout.run()
    checkout.program("df", "#!/bin/sh\necho /dev/a disk 99999999 9 2222222 99% /\n")
    checkout.program("du", "#!/bin/sh\necho 7000000 .venv\n")
    assert checkout.run("test").returncode == 0


def test_a_disk_that_fills_up_is_named(checkout: Checkout):
    checkout.program("du", "#!/bin/sh\necho 7340032 .venv\n")
    checkout.program("df", "#!/bin/sh\necho /dev/a disk 99999999 9 1000 100% /\n")
    checkout.tell("fails")
    assert "too full" in one_line(checkout.run())


@pytest.mark.parametrize("version", ["", "3.13"], ids=["gone", "another"])
def test_an_environment_whose_python_is_gone_is_made_again(checkout: Checkout, version: str):
    checkout.run()
    if version:
        checkout.tell("version", version)
    else:
        (checkout.folder / ".venv" / "bin" / "python").unlink()
    assert checkout.run().returncode == 0
    assert checkout.asked().count("venv") == 2


HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_waits_until_the_first_is_gone(checkout: Checkout):
    build = checkout.folder / "build"
    build.mkdir()
    command = [sys.executable, "-c", HOLD, build / "setup.lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        waiting = checkout.start()
        first = waiting.stdout.readline()
        before = checkout.asked()
        holder.kill()  # and its lock with it
    assert "Another run is setting up" in first
    assert before == []
    assert "helpers in" in waiting.communicate(timeout=30)[0]
    assert checkout.installed() == "whole"


def test_two_runs_at_once_install_once(checkout: Checkout):
    runs = [checkout.start(), checkout.start()]
    outputs = [run.communicate(timeout=30)[0] for run in runs]
    assert all("helpers in" in output for output in outputs)
    assert len(checkout.asked()) == 2


def test_help_installs_nothing_and_lists_the_commands(checkout: Checkout):
    said = checkout.run("--help").stdout
    assert checkout.asked() == []
    assert set(re.findall(r"^  (\w+)", said, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_the_scripts_are_good_in_every_shell_there_is(script: str):
    assert os.access(ROOT / script, os.X_OK)
    for shell in filter(shutil.which, ("sh", "dash", "bash", "ksh", "busybox")):
        applet = ["sh"] if shell == "busybox" else []
        subprocess.run([shell, *applet, "-n", ROOT / script], check=True)


@pytest.mark.parametrize("data", [True, False])
def test_ci_runs_the_tests_on_the_data_beside_the_checkout(tmp_path: Path, data: bool):
    folder = tmp_path / "a checkout"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    (folder / "run").write_text('#!/bin/sh\necho "$PWD|$*|${SECOND_LOOK_DATA_DIR-unset}"\n')
    (folder / "run").chmod(0o755)
    shared = tmp_path / "shared" / "data"
    if data:
        shared.mkdir(parents=True)
    command = [SHELL, folder / ".ci" / "run"]
    environment = {"PATH": os.environ["PATH"]}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert said.stdout == f"{folder}|test|{shared if data else 'unset'}\n"


def requirements(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


DIRECT = [*requirements("requirements.txt"), *requirements("tests/requirements.txt")]
PYTHONS = ("3.11", "3.12", "3.13")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_every_requirement_is_pinned_once_and_within_its_bounds(python: str, system: str):
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": system,
        "os_name": "posix",
    }
    pins: dict[str, list[str]] = {}
    for pin in requirements("constraints.txt"):
        if pin.marker is None or pin.marker.evaluate(machine):
            pins.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier))
    assert all(len(versions) == 1 and versions[0].startswith("==") for versions in pins.values())
    for wanted in DIRECT:
        [version] = pins[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version.removeprefix("==")), wanted


def test_no_requirement_is_listed_twice():
    names = [canonicalize_name(requirement.name) for requirement in DIRECT]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt", "constraints.txt"])
def test_no_file_says_where_packages_come_from(name: str):
    assert all(requirement.url is None for requirement in requirements(name))
    assert "--" not in (ROOT / name).read_text()


def test_pyproject_takes_its_requirements_from_the_files():
    assert set(PROJECT["project"]["dynamic"]) == {"dependencies", "optional-dependencies"}
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"] == {"file": ["requirements.txt"]}
    assert dynamic["optional-dependencies"] == {"tests": {"file": ["tests/requirements.txt"]}}


def test_all_files_name_the_same_pythons():
    wanted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert [minor for minor in range(40) if f"3.{minor}" in wanted] == [11, 12, 13]
    conda = re.search(r"- python(\S+)", (ROOT / "environment.yml").read_text())[1]
    assert SpecifierSet(conda) == wanted
    assert f"{' | '.join(PYTHONS)})" in (ROOT / "run").read_text()
    for name in ("run", "README.md"):
        assert "Python 3.11, 3.12 or 3.13" in (ROOT / name).read_text()
    lowest = PROJECT["tool"]["ruff"]["target-version"]
    assert lowest == "py" + PYTHONS[0].replace(".", "")


def test_conda_installs_the_same_through_pip():
    pip = re.findall(r"^ +- (-.*)$", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    assert pip == [
        "-r requirements.txt",
        "-r tests/requirements.txt",
        "-c constraints.txt",
        "-e .",
    ]


def test_the_readme_names_the_room_that_run_asks_for():
    linux, elsewhere = re.findall(r"gigabytes=(\d)", (ROOT / "run").read_text())
    readme = (ROOT / "README.md").read_text()
    assert f"{linux} GB on Linux" in readme
    assert f"{elsewhere} GB elsewhere" in readme
