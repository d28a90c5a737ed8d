"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(make: Callable, *arguments, **options) -> tuple[object, float]:
    """What `make(*arguments, **options)` returns, and the seconds it took."""
    start = time.perf_counter()
    made = make(*arguments, **options)
    return made, time.perf_counter() - start
