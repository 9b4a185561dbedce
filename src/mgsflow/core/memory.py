"""How the C library returns memory to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # of mallopt, glibc's malloc.h


def return_large_blocks() -> None:
    """Return blocks of 1 MB and more to the system as soon as they are free.

    By default glibc raises this limit to the size of the block freed last, up to 32 MB. Images of
    about 12 MB then come from the heaps of several threads, whose gaps add up to a quarter more
    memory as a job goes on. Without glibc this function has no effect.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)
