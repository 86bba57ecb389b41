"""Memory of a training: what it held at most, and freed memory kept for the next batch."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> None:
    """Tell glibc's malloc not to hand freed blocks back to the kernel; elsewhere do nothing.

    A training step on a CPU allocates and frees tens of megabytes; returning them costs more
    than the arithmetic (a third of a PaiNN step on two cores). Call it before threads start.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_ARENA_MAX, 1)
        library.mallopt(_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def peak_memory() -> float:
    """Return the most memory in MB that this process has held, on the GPU where it uses one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
