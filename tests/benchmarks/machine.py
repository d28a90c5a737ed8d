"""What this machine is and can do, and how much memory something takes on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn.functional import conv2d

from helpers.datasets.decode import cores
from helpers.series.timing import timed
from helpers.settings import ROOT

COPIED = 1 << 26  # numbers of four bytes, far more than caches hold
SIDE = 2048
TRIES = 5


class Limits(NamedTuple):
    """What this machine was measured to do, by all its cores."""

    moved: float  # bytes read and written in a second, by copying
    single: float  # multiply-adds in a second, float32
    double: float  # and float64

    def seconds(self, moved: float, operations: float, double: bool) -> float:
        """The least time for so many bytes and multiply-adds."""
        return max(moved / self.moved, operations / (self.double if double else self.single))


def measure_limits() -> Limits:
    """Copy, multiply matrices and convolve, several times each; the best counts."""
    source, target = torch.zeros(COPIED), torch.zeros(COPIED)
    moved = 2 * 4 * COPIED / _best(lambda: target.copy_(source))
    # One library alone would not do: on some machines torch's products have half the speed of its
    # convolutions, or less.
    single = max(_multiplied(torch.float32), _convolved())
    return Limits(moved, single, _multiplied(torch.float64))


def in_words() -> str:
    """Processor, cores, system and versions; nothing that tells whose machine it is."""
    where = f"{_processor()}, {cores()} cores, {platform.system()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    threads = torch.get_num_threads()
    return f"{where}; Python {platform.python_version()}, {packages}, {threads} threads"


def peak_of(module: str, name: str) -> float:
    """MiB that ours of a row takes at its peak beyond imports and data, in a fresh process."""
    # Else what was freed is kept for later, and hides what is taken then.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", "tests.benchmarks.memory", module, name]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout.split()[-1])


def high_water(reset: bool = False) -> float:
    """MiB of memory that this process has taken at most, since the last `reset` where there is one.

    Only Linux can reset it: elsewhere what making the data took hides as much of what comes later.
    """
    if platform.system() == "Linux":
        if reset:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    import resource

    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return taken / 2**20 if platform.system() == "Darwin" else taken / 2**10


def _best(call) -> float:
    return min(timed(call)[1] for _ in range(TRIES))


def _multiplied(dtype: torch.dtype) -> float:
    square = torch.ones(SIDE, SIDE, dtype=dtype)
    return SIDE**3 / min(_best(lambda x=x: x @ x) for x in (square, square.numpy()))


@torch.inference_mode()
def _convolved() -> float:
    """By 3x3 convolutions wide enough to be bound by nothing but arithmetic."""
    images, side, channels = 64, 16, 256
    layout = {"memory_format": torch.channels_last}
    maps = torch.ones(images, channels, side, side).to(**layout)
    kernels = torch.ones(channels, channels, 3, 3).to(**layout)
    places = images * side**2
    return places * 9 * channels**2 / _best(lambda: conv2d(maps, kernels, padding="same"))


def _processor() -> str:
    if platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    known = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", known.read_text() if known.exists() else "")
    return names[0] if names else platform.machine()
