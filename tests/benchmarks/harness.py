"""What a row of the benchmark is, and how it is measured.

Ours and the peer's run in one process, in turn, several times; medians are compared, and what both
return is compared too. All on the CPU, on all cores.

`limit_ratio` is our time over the least time that this machine could do it in: the bytes that must
be moved by the speed at which it copies, or the multiply-adds that must be done by the rate at
which it multiplies matrices, or convolves, in the same precision, whichever takes longer. Inputs
and results count once, what lies between does not; a logarithm counts as one multiply-add, though
no machine takes so little for one. It is a yardstick and no bound: a library that needs fewer
multiply-adds than are counted (Winograd's convolutions do), or a machine that was slower for a
moment, gives less than 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from helpers.series.timing import timed
from tests.benchmarks.machine import Limits, in_words, peak_of

# Turns of a row: at least, at most, and the seconds after which no more are begun.
LEAST, MOST, SECONDS = 3, 7, 5.0
# The same seconds for sizes that only show growth, where one turn is enough.
GROWTH_SECONDS = 1.0


class Missing(RuntimeError):
    """Raised by a row that lacks something it needs; says what."""


class Checked(NamedTuple):
    """How far two results are apart, and what else there is to say of them."""

    error: float
    note: str = ""


class Case(NamedTuple):
    """A row at one size.

    ours        what `helpers` does
    peers       readies the same by what one would use instead, by setting; the fastest one counts
    check       compares what ours and a peer returned; without peers, None stands for the peer's
    moved       bytes that must be read or written
    operations  multiply-adds that must be done
    double      whether they are done in float64
    share       of the work that the peers are given; their time is scaled up by it
    """

    ours: Callable[[], Any]
    peers: Callable[[], dict[str, Callable[[], Any]]]
    check: Callable[[Any, Any], Checked]
    moved: float
    operations: float = 0
    double: bool = False
    share: float = 1.0


class Row(NamedTuple):
    """What is compared with what.

    what        in words, {} for the size
    make        a case of a size
    sizes       in `unit`; the last is the row's own, the others show how the time grows
    tolerance   the error from which on the row has failed
    ratio       how many times faster ours is to be, at least
    seconds     how long ours is to take, at most
    small       the size at which memory is measured, where it is the same for all and the last
                takes long
    """

    name: str
    what: str
    peer: str
    package: str
    make: Callable[[int], Case]
    sizes: tuple[int, ...]
    unit: str
    tolerance: float
    ratio: float | None = None
    seconds: float | None = None
    small: int | None = None


def measure(row: Row, limits: Limits) -> dict:
    """All that is measured of a row, as it stands in build/bench.json."""
    known = {
        "name": row.name,
        "what": row.what.format(f"{row.sizes[-1]:,}"),
        "peer": f"{row.peer} {version(row.package)}",
    }
    known |= {"unit": row.unit, "sizes": list(row.sizes), "tolerance": row.tolerance}
    known |= {"ratio_aim": row.ratio, "seconds_aim": row.seconds, "machine": in_words()}
    try:
        return known | _measured(row, limits)
    except Missing as missing:
        return known | dict.fromkeys(MEASURED) | {"note": str(missing)}


MEASURED = ("ours_s", "peer_s", "ratio", "error", "limit_ratio", "peak_mib", "slope", "seconds")


def failed(row: dict) -> bool:
    """Whether ours and the peer's differ by more than the row allows, or by no number."""
    return row["error"] is not None and not row["error"] <= row["tolerance"]


def missed(row: dict) -> bool:
    """Whether ours was slower than it is to be."""
    ratio, seconds = row["ratio_aim"], row["seconds_aim"]
    slow = ratio is not None and row["ratio"] is not None and row["ratio"] < ratio
    return slow or (seconds is not None and row["ours_s"] is not None and row["ours_s"] > seconds)


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float | None:
    """Of log time over log size: 1 where twice the size takes twice the time."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def in_turn(
    calls: dict[str, Callable[[], Any]], least: int = LEAST, most_seconds: float = SECONDS
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each call in each turn, and what each returned in the first."""
    seconds, returned = {name: [] for name in calls}, {}
    began, turns = time.perf_counter(), 0
    while turns < least or (turns < MOST and time.perf_counter() - began < most_seconds):
        for name, call in calls.items():
            made, taken = timed(call)
            seconds[name].append(taken)
            returned.setdefault(name, made)
            del made
        turns += 1
    return seconds, returned


def quartiles(seconds: Sequence[float]) -> list[float]:
    """The middle half: [lower, upper]."""
    return np.percentile(seconds, (25, 75)).tolist()


def _measured(row: Row, limits: Limits) -> dict:
    # Smaller sizes first: they warm up what the row's own size uses.
    smaller = [float(np.median(_alone(row.make(size)))) for size in row.sizes[:-1]]
    case = row.make(row.sizes[-1])
    peers = case.peers()
    found = _against_peers(case, peers) if peers else _once(case)
    seconds = [*smaller, found["ours_s"]]
    least = limits.seconds(case.moved, case.operations, case.double)
    more = {"limit_ratio": found["ours_s"] / least, "slope": slope(row.sizes, seconds)}
    return found | more | {"seconds": seconds, "peak_mib": peak_of(row.make.__module__, row.name)}


def _alone(case: Case) -> list[float]:
    return in_turn({"ours": case.ours}, 1, GROWTH_SECONDS)[0]["ours"]


def _once(case: Case) -> dict:
    """Of what takes too long to be repeated and has no peer."""
    made, taken = timed(case.ours)
    return {"ours_s": taken, "peer_s": None, "ratio": None, **case.check(made, None)._asdict()}


def _against_peers(case: Case, peers: dict[str, Callable[[], Any]]) -> dict:
    seconds, returned = in_turn({"ours": case.ours, **peers})
    ours, made = seconds.pop("ours"), returned.pop("ours")
    checks = {name: case.check(made, other) for name, other in returned.items()}
    theirs = {name: [one / case.share for one in taken] for name, taken in seconds.items()}
    setting = min(theirs, key=lambda name: np.median(theirs[name]))
    ours_s, peer_s = float(np.median(ours)), float(np.median(theirs[setting]))
    worst = max((check.error for check in checks.values()), key=lambda e: math.inf if e != e else e)
    return {
        "ours_s": ours_s,
        "ours_quartiles": quartiles(ours),
        "peer_s": peer_s,
        "peer_quartiles": quartiles(theirs[setting]),
        "ratio": peer_s / ours_s,
        "error": worst,
        "note": checks[setting].note,
        "setting": setting,
        "peer_share": case.share,
        "turns": len(ours),
    }
