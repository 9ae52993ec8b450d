"""Freed memory stays with the process, so that the next array finds it ready.

A forward pass makes and drops arrays of some megabytes thousands of times. By default glibc hands such memory back to
the system when it is freed, and the system fills every page with zeros before it gives it out again: up to a tenth of
the time on Linux. Here arrays of up to 32 MB come from the heap, and up to 64 unused MB stay there: enough
for a pass over half a minute to find all it needs, and little beside what ten minutes in one piece take at most.
"""

from __future__ import annotations

import ctypes
import sys

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
