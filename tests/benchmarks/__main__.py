"""`./run bench` comes here: measure the rows, show and keep what was found."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from helpers.network.memory import keep_freed_memory
from helpers.network.signatures import write_whole
from helpers.series.front_page import filled
from helpers.settings import ROOT
from tests.benchmarks.harness import Row, failed, measure
from tests.benchmarks.machine import measure_limits
from tests.benchmarks.report import draw_growth, markdown_table, screen_table

PICTURE = "tests/benchmarks/growth.png"
MARK = "<!-- bench -->"

say = partial(print, flush=True)


def main(arguments: list[str], rows: Sequence[Row], root: Path = ROOT) -> int:
    """Return 0, 1 where a result is not the peer's, or 2 for a line that means nothing."""
    asked = read(arguments)
    try:
        wanted = chosen(rows, asked.only)
        if asked.readme:
            check_readme(root / "README.md", wanted, rows)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    keep_freed_memory()  # as notebooks do, for the peers as well
    found = measured(wanted, rows, root / "build")
    say(f"\n{found[0]['machine']}\n\n{screen_table(found)}")
    if asked.readme:
        write_readme(found, root)
    wrong = [row["name"] for row in found if failed(row)]
    if wrong:
        say(f"Failed, as the difference is too large: {', '.join(wrong)}")
    return 1 if wrong else 0


def read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", allow_abbrev=False)
    parser.add_argument("--only", metavar="NAME", help="measure the rows with this in their name")
    parser.add_argument("--readme", action="store_true", help="put table and picture there, too")
    return parser.parse_args(arguments)


def chosen(rows: Sequence[Row], name: str | None) -> list[Row]:
    """The row called `name`, or else all with it in their names; ValueError where there is none."""
    if name is None:
        return list(rows)
    found = [row for row in rows if row.name == name] or [row for row in rows if name in row.name]
    if not found:
        names = ", ".join(row.name for row in rows)
        raise ValueError(f"There is no row {name!r}; there are: {names}.")
    return found


def measured(wanted: Sequence[Row], rows: Sequence[Row], build: Path) -> list[dict]:
    """Measure `wanted`; bench.json and bench.png in `build` keep what other `rows` gave before."""
    build.mkdir(exist_ok=True)
    file = build / "bench.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    by_name, limits = {row["name"]: row for row in before}, measure_limits()
    for number, row in enumerate(wanted, 1):
        say(f"{number} of {len(wanted)}: {row.name}")
        by_name[row.name] = measure(row, limits)
        kept = [by_name[one.name] for one in rows if one.name in by_name]
        write_whole(file, partial(write_json, kept))
    draw_growth(kept, build / "bench.png")
    return [by_name[row.name] for row in wanted]


def write_json(rows: list[dict], file: Path) -> None:
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def check_readme(readme: Path, wanted: Sequence[Row], rows: Sequence[Row]) -> None:
    """Raises ValueError where the table would be of some rows alone, or has no place."""
    if len(wanted) < len(rows):
        raise ValueError("--readme shows every row: leave --only out.")
    text = readme.read_text(encoding="utf-8")
    filled(text, {"bench": ""})  # which says where the end is missing
    if MARK not in text:
        raise ValueError(f"README.md has no {MARK}: put it, and its end, where the table goes.")


def write_readme(found: Sequence[dict], root: Path) -> None:
    readme = root / "README.md"
    shown = f"![Time over size, on logarithmic scales; dashed: in proportion]({PICTURE})"
    section = {"bench": f"\n{markdown_table(found)}\n\n{shown}\n"}
    readme.write_text(filled(readme.read_text(encoding="utf-8"), section), encoding="utf-8")
    shutil.copy(root / "build" / "bench.png", root / PICTURE)
    say(f"Written: README.md, {PICTURE}")


if __name__ == "__main__":
    # Here, since the workers of a DataLoader come by as well.
    from tests.benchmarks.rows import ROWS

    sys.exit(main(sys.argv[1:], ROWS))
