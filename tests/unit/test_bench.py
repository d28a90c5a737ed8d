"""The benchmark's harness, on small rows of its own."""

import json
import math
import subprocess
import sys

import pytest
from PIL import Image

from helpers.settings import ROOT
from tests.benchmarks import __main__ as bench
from tests.benchmarks import harness, machine, report
from tests.benchmarks.harness import Case, Checked, Missing, Row

LIMITS = machine.Limits(moved=100.0, single=10.0, double=5.0)


class Clock:
    """Time that passes only where a call says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, *seconds: float, returns=1.0):
        """A call that takes these seconds in turn, then the last of them again and again."""
        left = list(seconds)

        def call():
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return returns

        return call


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(harness.time, "perf_counter", clock)
    monkeypatch.setattr(harness, "peak_of", lambda module, name: 12.0)
    return clock


def apart(a: float, b: float) -> Checked:
    return Checked(abs(a - b), f"{a} and {b}")


def row(clock: Clock, name="a row", theirs=1.0, per_item=0.01, **options) -> Row:
    """Ours takes `per_item` seconds for each, a peer a second, another two; ours returns 1."""

    def make(size: int) -> Case:
        def peers():
            return {"slow": clock.takes(2.0), "fast": clock.takes(1.0, returns=theirs)}

        return Case(clock.takes(per_item * size), peers, apart, moved=10.0)

    given = {"sizes": (10, 20, 40), "unit": "things", "tolerance": 1e-3} | options
    return Row(name, "What it does", "a peer", "pytest", make, **given)


def test_medians_of_the_best_setting_are_compared(clock):
    found = harness.measure(row(clock, ratio=2.0), LIMITS)
    assert found["ours_s"] == pytest.approx(0.4)
    assert found["ours_quartiles"] == pytest.approx([0.4, 0.4])
    assert (found["peer_s"], found["setting"]) == (pytest.approx(1.0), "fast")
    assert found["ratio"] == pytest.approx(2.5)
    assert found["error"] == 0
    assert found["peak_mib"] == 12
    assert found["limit_ratio"] == pytest.approx(4)  # 10 bytes at 100 a second
    assert not harness.missed(found)
    assert not harness.failed(found)


def test_calls_take_turns_and_the_median_is_of_all_of_them(clock):
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    assert len(harness.in_turn(calls)[0]["a"]) == harness.MOST
    assert order[:4] == ["a", "b", "a", "b"]
    seconds, _ = harness.in_turn({"a": clock.takes(1, 100, 2)})
    assert seconds["a"][: harness.LEAST] == [1, 100, 2]
    assert len(seconds["a"]) == harness.LEAST
    assert harness.quartiles([1, 2, 3, 4, 5]) == [2, 4]


def test_the_time_of_a_part_is_scaled(clock):
    whole = row(clock)
    part = whole._replace(make=lambda size: whole.make(size)._replace(share=0.1))
    assert harness.measure(part, LIMITS)["peer_s"] == pytest.approx(10)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_slope_is_the_power_of_growth(power):
    sizes = [100, 300, 1000]
    found = harness.slope(sizes, [5 * size**power for size in sizes])
    assert found == pytest.approx(power, abs=1e-9)
    assert harness.slope([18], [60.0]) is None


def test_growth_is_over_all_sizes(clock):
    found = harness.measure(row(clock), LIMITS)
    assert found["seconds"] == pytest.approx([0.1, 0.2, 0.4])
    assert found["slope"] == pytest.approx(1)


def test_the_limit_is_what_takes_longer():
    assert LIMITS.seconds(moved=200, operations=10, double=False) == 2
    assert LIMITS.seconds(moved=200, operations=30, double=False) == 3
    assert LIMITS.seconds(moved=200, operations=30, double=True) == 6


def test_of_what_has_no_peer_the_aim_is_its_own_time(clock):
    def make(size):
        return Case(clock.takes(61.0), dict, lambda made, _: Checked(0.0, "63 %"), moved=1.0)

    alone = row(clock)._replace(make=make, sizes=(18,), seconds=60.0)
    found = harness.measure(alone, LIMITS)
    assert clock.now == 61, "it is too long to be repeated"
    assert (found["ours_s"], found["peer_s"], found["ratio"]) == (61, None, None)
    assert harness.missed(found)
    assert "60 s, missed" in report.screen_table([found])
    assert found["note"] == "63 %"


def bench_of(tmp_path, rows, *arguments) -> int:
    return bench.main(list(arguments), rows, tmp_path)


@pytest.fixture
def limits(monkeypatch):
    monkeypatch.setattr(bench, "measure_limits", lambda: LIMITS)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("theirs", [1.1, math.nan])
def test_another_result_than_the_peers_is_a_failure(clock, tmp_path, capsys, theirs):
    rows = [row(clock, "good"), row(clock, "bad", theirs)]
    assert bench_of(tmp_path, rows) == 1
    said = capsys.readouterr().out
    assert said.endswith("Failed, as the difference is too large: bad\n")
    assert said.count("more than 0.001") == 1
    assert bench_of(tmp_path, rows[:1]) == 0


@pytest.mark.usefixtures("limits")
def test_the_worst_of_all_peers_counts(clock, tmp_path):
    def make(size):
        peers = {"fast": clock.takes(1.0), "slow": clock.takes(2.0, returns=3.0)}
        return Case(clock.takes(1.0), lambda: peers, apart, moved=1.0)

    assert bench_of(tmp_path, [row(clock)._replace(make=make)]) == 1


@pytest.mark.usefixtures("limits")
def test_what_was_measured_is_kept_as_a_list_of_rows(clock, tmp_path, capsys):
    assert bench_of(tmp_path, [row(clock, "one"), row(clock, "another")]) == 0
    kept = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert [each["name"] for each in kept] == ["one", "another"]
    asked = {"name", "peer", "ours_s", "peer_s", "ratio", "error", "limit_ratio", "peak_mib"}
    assert all(asked <= set(each) for each in kept)
    assert "another  0.4 s (0.4–0.4)  1 s (1–1)  2.5" in capsys.readouterr().out
    width, height = Image.open(tmp_path / "build" / "bench.png").size
    assert width > height > 100


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("name", "names"),
    [("one", ["one"]), ("o", ["one", "two"]), ("two", ["two"]), ("tw", ["two"])],
)
def test_only_selects(clock, tmp_path, name, names):
    rows = [row(clock, "one"), row(clock, "two"), row(clock, "THREE")]
    assert bench_of(tmp_path, rows, "--only", name) == 0
    kept = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert [each["name"] for each in kept] == names


@pytest.mark.usefixtures("limits")
def test_a_row_measured_alone_leaves_the_others_as_they_were(clock, tmp_path):
    names = ("one", "two", "three")
    rows = [row(clock, name) for name in names]
    bench_of(tmp_path, rows)
    file = tmp_path / "build" / "bench.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps([{**each, "ours_s": -1.0} for each in before]))
    bench_of(tmp_path, rows, "--only", "two")
    kept = json.loads(file.read_text())
    assert [each["name"] for each in kept] == list(names)
    assert [each["ours_s"] == -1.0 for each in kept] == [True, False, True]


def test_an_exact_name_is_no_part_of_another():
    rows = [Row(name, "", "", "", None, (1,), "", 0.0) for name in ("CAM", "raw CAM")]
    assert [row.name for row in bench.chosen(rows, "CAM")] == ["CAM"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "three"], "There is no row 'three'; there are: one, two."),
        (["--only", "one", "--readme"], "--readme shows every row: leave --only out."),
    ],
)
def test_what_cannot_be_done_is_a_sentence(clock, tmp_path, capsys, arguments, words):
    rows = [row(clock, "one"), row(clock, "two")]
    assert bench_of(tmp_path, rows, *arguments) == 2
    assert capsys.readouterr().err == f"{words}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("limits")
def test_what_lacks_its_data_says_so_and_is_no_failure(clock, tmp_path, capsys):
    def make(size):
        raise Missing("needs CIFAR-10")

    rows = [row(clock, "photographs")._replace(make=make, seconds=60.0), row(clock, "there")]
    assert bench_of(tmp_path, rows) == 0
    said = capsys.readouterr().out
    assert "needs CIFAR-10" in said
    assert "missed" not in said
    kept = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert [each["ours_s"] is None for each in kept] == [True, False]


README = "# Title\n\n<!-- bench -->\nold\n<!-- /bench -->\n\n## After\n"


@pytest.mark.usefixtures("limits")
def test_the_readme_is_written_only_when_asked(clock, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README)
    (tmp_path / "tests" / "benchmarks").mkdir(parents=True)
    rows = [row(clock, ratio=2.0), row(clock, "another", ratio=3.0)]
    assert bench_of(tmp_path, rows) == 0
    assert readme.read_text() == README
    assert bench_of(tmp_path, rows, "--readme") == 0
    text = readme.read_text()
    assert text.startswith("# Title\n\n<!-- bench -->\nMeasured on: ")
    assert text.endswith("\n<!-- /bench -->\n\n## After\n")
    assert "old" not in text
    lines = [line for line in text.splitlines() if line.startswith("| What")]
    assert len(lines) == 2
    assert "| 2.5 | 2 |" in lines[0]
    assert "| 2.5 | 3, missed |" in lines[1]
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert (tmp_path / bench.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert f"]({bench.PICTURE})" in text


def test_a_large_ratio_is_written_out(clock):
    found = harness.measure(row(clock), LIMITS)
    assert report.cells(found | {"ratio": 1294.4})[2] == "1,290"
    assert report.cells(found | {"ratio": 0.75249})[2] == "0.752"


@pytest.mark.parametrize(
    ("text", "words"),
    [("# Title\n", "README.md has no <!-- bench -->"), ("<!-- bench -->\n", "come in pairs")],
)
def test_a_readme_without_a_place_for_the_table_is_said_before_anything_is_measured(
    clock, tmp_path, capsys, text, words
):
    (tmp_path / "README.md").write_text(text)
    assert bench_of(tmp_path, [row(clock)], "--readme") == 2
    assert words in capsys.readouterr().err
    assert clock.now == 0


TAKES_80 = """
from tests.benchmarks import memory
from tests.benchmarks.harness import Case, Row

def make(size):
    data = bytes(size << 20)
    return Case(lambda: (data, bytearray(b"x") * (2 * size << 20)), dict, None, moved=1.0)

print(memory.taken_by(Row("", "", "", "", make, (1, 40), "", 0.0)))
"""


def test_memory_is_that_of_ours_beyond_its_data():
    # In a process of its own, as in the bench: one that has trained nets keeps what it freed.
    said = subprocess.check_output([sys.executable, "-c", TAKES_80], cwd=ROOT, text=True)
    assert float(said) == pytest.approx(80, abs=15)


def test_the_machine_in_words_tells_what_it_is_and_not_whose():
    words = machine.in_words()
    assert "cores" in words
    assert "torch 2" in words
    assert machine.platform.node() not in words.split()
    assert "/" not in words.replace("w/", "")
