"""Freed memory stays with the process, so that the next array finds it ready.

A forward pass makes and drops arrays of some megabytes thousands of times. By default glibc hands such memory back to
the system when it is freed, and the system fills every page with zeros before it gives it out again: up to a tenth of
the time on Linux. Here arrays of up to 32 MB come from the heap, and up to 64 unused MB stay there: enough
for a pass over half a minute to find all it needs, and little beside what ten minutes in one piece take at most.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and numbers of mallopt(3)
LARGEST = 32 << 20  # bytes; the most that glibc takes
UNUSED = 64 << 20  # bytes, of each thread's heap


def keep_freed_memory() -> bool:
    """Set both thresholds, once for the whole process. True where that was possible: on Linux with glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, UNUSED))


def give_back_mapped(array: np.ndarray) -> int:
    """Let the system take back the pages of a mapped file that lie within ``array``; the number of bytes given back.

    Whoever reads them again gets them from the file, so this is for what has been copied and is hardly needed again. An
    array that is not mapped, and a system without madvise, keep what they have.
    """
    owner = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    if not isinstance(owner, mmap.mmap) or not hasattr(owner, "madvise") or not array.flags.c_contiguous:
        return 0
    start = array.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages only: their neighbours may be in use
    pages = (start + array.nbytes - first) // mmap.PAGESIZE
    if pages > 0:
        owner.madvise(mmap.MADV_DONTNEED, first, pages * mmap.PAGESIZE)
    return max(0, pages) * mmap.PAGESIZE
