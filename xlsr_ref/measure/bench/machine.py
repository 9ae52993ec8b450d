"""What this machine is, what it can do at best, and how much memory a process took.

peak        FLOPs per second of multiply-adds between registers (fma.py); where there is no kernel for them, of a
            float32 matrix product of 2048 × 2048 × 2048, which is what BLAS does best
bandwidth   bytes per second of copying an array that no cache holds; a copied byte is read once and written once
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

from xlsr_ref.measure.bench.fma import fma_peak
from xlsr_ref.measure.bench.turns import Job, timed
from xlsr_ref.ops.micro_kernel import cpu_features, described

SIDE = 2048
FEATURES = {"avx2", "fma", "avx512f", "avx512vnni", "avxvnni", "avx512bf16", "amx-int8", "neon", "dotprod"}
COPIED = 1 << 27  # bytes


def describe(packages: Sequence[str]) -> dict[str, Any]:
    """The processor, the system, the BLAS behind NumPy, the load, and the versions of ``packages`` that are there."""
    import numpy as np  # noqa: F401  (threadpoolctl sees a BLAS only when it is loaded)
    from threadpoolctl import threadpool_info

    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "blas": [
            " ".join(filter(None, (pool["internal_api"], pool["version"], pool.get("architecture")))) for pool in blas
        ],
        "features": sorted(cpu_features() & FEATURES),
        "product": described(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# --- at best ---------------------------------------------------------------------------------------------------------


def peak(threads: int) -> Job:
    """A job for turns.serve: it multiplies and it copies, both on ``threads`` threads. FLOP/s and bytes/s."""
    import numpy as np
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads, user_api="blas")
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIDE, SIDE), np.float32) for _ in range(2))
    product = np.empty_like(a)
    source, target = np.ones(COPIED, np.uint8), np.ones(COPIED, np.uint8)
    edges = [COPIED * i // threads for i in range(threads + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    pool = ThreadPoolExecutor(threads)

    def copy() -> None:
        list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

    def job(line: str) -> dict[str, float]:
        best = fma_peak(threads)
        multiplied = (
            [] if best else [timed(lambda: np.matmul(a, b, out=product))[0][0] for _ in range(4)][1:]
        )  # the first wakes threads
        copied = [timed(copy)[0][0] for _ in range(4)][1:]
        return {
            "flops": best or 2 * SIDE**3 / statistics.median(multiplied),
            "bytes": 2 * COPIED / statistics.median(copied),
        }

    return job


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_memory() -> int | None:
    """The most bytes that this process has had in memory since :func:`forget_peak_memory`, or since it began.

    Python and the libraries are included, and of a mapped file what has been read. None where nobody knows.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def forget_peak_memory() -> None:
    """Start again from what the process holds now. Only Linux can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
