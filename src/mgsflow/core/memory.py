"""How the C library hands memory back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # of mallopt, glibc's malloc.h


def return_large_blocks() -> None:
    """Have blocks from 1 MB on returned to the system as soon as they are free.

    glibc raises this limit by itself to the size of what was freed last, up to 32 MB: images of
    some 12 MB then come from heaps of several threads, whose holes add up to a quarter more memory
    the longer a job runs. Elsewhere than with glibc it does nothing.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)
