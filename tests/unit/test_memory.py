"""Freed memory is kept for the next batch."""

import platform
import subprocess
import sys

import pytest

# Page faults of a block that is made and freed again and again.
FAULTS = """
import resource
from helpers.network.memory import keep_freed_memory

if {keep}:
    keep_freed_memory()
    keep_freed_memory()
for turn in range(11):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray({size})
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool, size: int) -> int:
    code = FAULTS.format(keep=keep, size=size)
    return int(subprocess.check_output([sys.executable, "-c", code], text=True))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_batchs_memory_is_used_again_and_that_of_a_whole_set_goes_back():
    batch, whole = 100 * 2**20, 300 * 2**20
    kept = faults(keep=True, size=batch)
    assert kept < faults(keep=False, size=batch) / 5
    assert kept < faults(keep=True, size=whole) / 5
