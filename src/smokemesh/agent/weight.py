"""Keeps the agent small: glibc holds on to freed memory, an agent that runs for months must not.

Two settings of malloc (mallopt(3)) do it: few arenas, so that each thread does not grow its own heap, and a threshold
above which memory goes back to the kernel at once. Where the C library is another, nothing is changed.
"""

import ctypes
from typing import Final

#: malloc.h
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8


def keep_small() -> None:
    """Set malloc's limits. Call before threads are started."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 2)
        libc.mallopt(M_MMAP_THRESHOLD, 128 * 1024)


def give_back() -> None:
    """Return freed memory to the kernel, after something large was thrown away."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
