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

    It says a line at most each `every` seconds, so none at all about work that is shorter, and
    a last line once `total` is reached if it ever said one.
    """
    began = last = clock()
    done, told = 0.0, False

    def advance(more: float) -> None:
        nonlocal done, last, told
        done += more
        now = clock()
        finished = done >= total
        if (told and finished) or now - last >= every:
            left = "" if finished else f", {(now - began) * (total / done - 1):.0f} s left"
            say(f"{what}: {done:,.0f} of {total:,.0f} {unit} in {now - began:.0f} s{left}")
            last, told = now, not finished

    return advance
