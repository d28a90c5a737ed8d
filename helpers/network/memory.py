"""How the C library treats memory that a net has done with."""

import ctypes
import platform
from functools import cache

# Numbers of glibc's options, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Bytes. Larger blocks, such as whole sets of images, still go back to the system at once.
_LARGE = 2**28
_KEPT = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Have glibc keep freed blocks for the next batch, in this process and to its end.

    It gives them back to the system otherwise, and a batch's activations are fetched anew, page by
    page, which took up to half of the time of a training on the CPU. Does nothing where the C
    library is another.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
