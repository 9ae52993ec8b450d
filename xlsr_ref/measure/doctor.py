"""What this machine offers: each part that the package stands on, its version, and whether it works here.

Every check does something tiny with its part (multiplies, compiles, resamples, reads a sound back) and says in one line
what it found. A check that fails says in the same line what to do. No check needs another one to pass, and this file
imports nothing but the standard library at the top: the doctor must be able to come where something is missing.

    ok    it works
    slow  the package works without it, only slower, or with fewer file formats
    FAIL  something that the package needs is missing or broken
"""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Check(NamedTuple):
    """One line of the report."""

    part: str  # what was looked at: "NumPy"
    state: str  # "ok", "slow" or "FAIL"
    found: str  # one line: the version and what was tried, or what is wrong and what to do


class Slow(Exception):
    """Raised by a check that found something which costs speed or comfort only."""


def examine() -> Iterator[Check]:
    """Run all checks, one after the other; a check never raises, it reports."""
    for part, check, advice in CHECKS:
        try:
            yield Check(part, "ok", check())
        except Slow as finding:
            yield Check(part, "slow", _one_line(finding))
        except Exception as error:
            yield Check(part, "FAIL", f"{_one_line(error)}: {advice}" if advice else _one_line(error))


def _one_line(error: Exception) -> str:
    """The first line of an error's message that says something, with the error's type where the message is empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")


# --- the checks: each returns what it found, or raises ---------------------------------------------------------------


def _python() -> str:
    bits = 8 * struct.calcsize("P")
    version = f"{platform.python_version()}, {bits} bit, {sys.executable}"
    if sys.version_info < (3, 11):  # noqa: UP036 (run from a clone, by an older Python than pip would accept)
        raise RuntimeError(version)
    return version


def _system() -> str:
    return f"{platform.platform()}, {platform.machine()}"


def _numpy() -> str:
    import numpy as np

    if int(np.__version__.split(".")[0]) < 2:
        raise RuntimeError(f"version {np.__version__} is older than 2.0")
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    if (a @ a.T)[2, 2] != 366:  # 8² + 9² + 10² + 11²
        raise RuntimeError(f"version {np.__version__} multiplies wrongly")
    return f"{np.__version__}, multiplies"


def _blas() -> str:
    """The library behind NumPy's ``@``, as threadpoolctl sees it, or as NumPy was built where it cannot be seen."""
    import numpy as np
    import threadpoolctl

    a = np.ones((64, 64), dtype=np.float32)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        if (a @ a)[0, 0] != 64:
            raise RuntimeError("multiplies wrongly with one thread")
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        raise Slow(f"{built['name']} {built.get('version', '')}: threadpoolctl cannot set its threads")
    # SciPy may bring a second copy of OpenBLAS: every one is named.
    return "; ".join(f"{p['internal_api']} {p['version']}, {_count(p['num_threads'], 'thread')}" for p in pools)


def _numba() -> str:
    import warnings

    try:
        import numba
    except ImportError as error:
        raise Slow(f"{_one_line(error)}; the NumPy twins run instead: pip install numba") from None
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise Slow(f"{numba.__version__}, switched off by NUMBA_DISABLE_JIT; unset it for speed")

    def total(n):
        running = 0.0
        for i in range(n):
            running += i
        return running

    with warnings.catch_warnings():
        warnings.simplefilter("error", numba.core.errors.NumbaWarning)  # it fell back
        if numba.njit(nogil=True, error_model="numpy")(total)(101) != 5050:
            raise RuntimeError(f"version {numba.__version__} adds wrongly")
    return f"{numba.__version__}, compiles"


def _backend() -> str:
    import warnings

    asked = os.environ.get("XLSR_REF_BACKEND")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Numba is missing has its own line
        from xlsr_ref.ops import backend

        kept = backend.cache_folder() if backend.BACKEND == "numba" else None
    line = f"{backend.BACKEND} ({'XLSR_REF_BACKEND=' + asked if asked else 'XLSR_REF_BACKEND is not set'})"
    if backend.BACKEND == "numba" and kept is None:
        raise Slow(f"{line}, compiles at each start: set NUMBA_CACHE_DIR to a folder that can be written to")
    return line if kept is None else f"{line}, compiled kernels are kept in {kept}"


def _product() -> str:
    """Multiply by the packed product where there is one, and in eight bits."""
    try:
        import numpy as np

        from xlsr_ref.ops import int8, int8_kernel, micro_kernel
        from xlsr_ref.ops.product import product
    except Exception as error:  # what is missing, or set wrongly, has a line of its own
        raise Slow(f"cannot be tried: {_one_line(error)}") from None
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    weight, scale = int8.quantize_per_channel(a)
    (y,) = int8.int8_linears(a, [{"weight": weight, "weight_scale": scale, "bias": np.zeros(3, np.float32)}])
    if product(a, a)[2, 2] != 366 or abs(y[2, 2] - 366) > 12:
        raise RuntimeError("multiplies wrongly")
    line = f"float32 {micro_kernel.described()}; int8 {int8_kernel.described()}"
    if not micro_kernel.BLOCKS:
        raise Slow(line)
    return line


def _threads() -> str:
    from xlsr_ref.ops import threads

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{threads.count()} used, {usable} of {os.cpu_count()} cores open to this process"


def _scipy() -> str:
    import numpy as np
    import scipy
    from scipy.signal import resample_poly

    if len(resample_poly(np.ones(30), 1, 3)) != 10:
        raise RuntimeError(f"version {scipy.__version__} resamples wrongly")
    return f"{scipy.__version__}, resamples"


def _soundfile() -> str:
    """Write a short tone in every format and read it back."""
    from io import BytesIO

    import numpy as np
    import soundfile

    tone = np.sin(np.arange(4800) / 10) / 2
    library = f"{soundfile.__version__} with {soundfile.__libsndfile_version__}"
    reads, fails = [], []
    formats = [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
    for container, codec in formats:
        memory = BytesIO()
        try:
            soundfile.write(memory, tone, 48000, format=container, subtype=codec)
            memory.seek(0)
            if not len(soundfile.read(memory)[0]):
                raise RuntimeError("nothing came back")
            reads.append(codec or container)
        except Exception:
            fails.append(codec or container)
    if "WAV" in fails:
        raise RuntimeError(f"{library} cannot write and read a WAV file")
    if fails:
        raise Slow(f"{library} reads {', '.join(reads)}, not {', '.join(fails)}: pip install --upgrade soundfile")
    return f"{library}, reads {', '.join(reads)}"


def _ffmpeg() -> str:
    """Ask the program for its version, and for the decoders of what phones and browsers record."""
    import shutil
    import subprocess

    program = shutil.which("ffmpeg")
    if program is None:
        raise Slow("is not installed: m4a, aac, mp4, webm and wma need it; your system's packages have it")
    ask = [program, "-hide_banner", "-loglevel", "error"]
    try:
        version, decoders = (
            subprocess.run([*ask, of], capture_output=True, text=True, errors="replace", timeout=20, check=True).stdout
            for of in ("-version", "-decoders")
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Slow(f"{program} does not run ({_one_line(error)}): install it again") from None
    names = {line.split()[1] for line in decoders.splitlines() if len(line.split()) > 1}
    fails = [name for name in ("aac", "opus", "vorbis", "wmav2") if name not in names]
    said = " ".join(version.split()[2:3])  # ffmpeg version 7.1
    if fails:
        raise Slow(f"{said}, does not decode {', '.join(fails)}: install one that does")
    return f"{said}, decodes aac, opus, vorbis, wma"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


CHECKS: list[tuple[str, Callable[[], str], str]] = [
    ("Python", _python, "install Python 3.11 or newer"),
    ("system", _system, "report this line"),
    ("NumPy", _numpy, "pip install --force-reinstall 'numpy>=2.0'"),
    ("BLAS", _blas, "pip install --force-reinstall numpy threadpoolctl"),
    ("Numba", _numba, "set XLSR_REF_BACKEND=numpy to go on without it, or NUMBA_CACHE_DIR to a folder it may write"),
    ("backend", _backend, ""),
    ("product", _product, "report this line"),
    ("threads", _threads, ""),
    ("SciPy", _scipy, "pip install --force-reinstall scipy"),
    ("soundfile", _soundfile, "pip install --force-reinstall soundfile (on Linux it may need the package libsndfile1)"),
    ("ffmpeg", _ffmpeg, ""),
]
