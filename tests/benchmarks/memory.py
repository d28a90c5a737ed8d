"""`python -m tests.benchmarks.memory MODULE NAME` prints the MiB that ours of a row takes."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

from tests.benchmarks.harness import Row
from tests.benchmarks.machine import high_water


def taken_by(row: Row) -> float:
    """MiB at the peak of ours, beyond what was taken when it began; run once at a small size."""
    row.make(row.small or row.sizes[0]).ours()
    case = row.make(row.small or row.sizes[-1])
    gc.collect()
    before = high_water(reset=True)
    kept = case.ours()
    peak = high_water() - before
    del kept
    return peak


if __name__ == "__main__":
    rows = {row.name: row for row in import_module(sys.argv[1]).ROWS}
    print(taken_by(rows[sys.argv[2]]))
