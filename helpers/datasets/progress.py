"""Progress of long work, as plain lines that read well in a saved notebook."""

import time
from collections.abc import Callable


def progress(
    what: str,
    total: float,
    unit: str = "images",
    every: float = 2.0,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[float], None]:
    """A function to call with how much more is done, which says how far the work has come.

    It says nothing about work shorter than `every` seconds, then a line each time that the time
    spent has doubled, and a last line once `total` is reached if it ever said one.
    """
    began, due = clock(), every
    done, told = 0.0, False

    def advance(more: float) -> None:
        nonlocal done, due, told
        done += more
        spent, finished = clock() - began, done >= total
        if (told and finished) or spent >= due:
            left = "" if finished else f", {spent * (total / done - 1):.0f} s left"
            say(f"{what}: {done:,.0f} of {total:,.0f} {unit} in {spent:.0f} s{left}")
            due, told = 2 * spent, not finished

    return advance
