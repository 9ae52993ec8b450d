"""Which loops run: Numba's compiled kernels, or the NumPy twins that specify them.

`XLSR_REF_BACKEND=numpy` asks for the twins. They also run, after one warning, where Numba cannot be imported. Under
`NUMBA_DISABLE_JIT=1` the kernels stay plain Python functions: a debugger can step through them.
Compiled kernels are kept in the user's cache folder, or in `NUMBA_CACHE_DIR` where that is set.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from xlsr_ref.errors import XlsrError
from xlsr_ref.version import __version__

Function = TypeVar("Function", bound=Callable[..., Any])


def _backend() -> str:
    asked = os.environ.get("XLSR_REF_BACKEND", "numba").lower()
    if asked not in ("numba", "numpy"):
        raise XlsrError(f"XLSR_REF_BACKEND is {asked!r}: set it to numba or numpy")
    if asked == "numba":
        try:
            import numba  # noqa: F401
        except ImportError as error:
            warnings.warn(f"Numba cannot be imported ({error}): the slower NumPy twins run instead", stacklevel=2)
            return "numpy"
    return asked


BACKEND = _backend()


def njit(**options: Any) -> Callable[[Function], Function]:
    """`numba.njit` as every kernel here wants it: without the GIL, cached on disk, and dividing as NumPy does.

    (Numba's own division checks each divisor for zero, which keeps a loop from being vectorised.)
    """

    def decorate(loop: Function) -> Function:
        if BACKEND == "numpy":
            return loop
        import numba

        folder = cache_folder()
        with _cached_in(folder, loop):
            return numba.njit(nogil=True, cache=folder is not None, error_model="numpy", **options)(loop)

    return decorate


def on_compilation(callback: Callable[[], Any]) -> None:
    """Call ``callback`` once, when the first kernel has to be compiled: on a new machine, or after a change.

    Afterwards kernels come from the cache on disk. A second call replaces the first one's ``callback``. It is never
    called without Numba, or where kernels cannot be cached.
    """
    global _listener
    if BACKEND == "numpy" or cache_folder() is None:
        return
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, _: Any) -> None:
            _forget_listener()
            callback()

        def on_end(self, _: Any) -> None:
            pass

    _forget_listener()
    _listener = Listener()
    event.register("numba:compile", _listener)


_listener: Any = None  # registered with Numba until the first compilation


def _forget_listener() -> None:
    global _listener
    if _listener is not None:
        from numba.core import event

        event.unregister("numba:compile", _listener)
        _listener = None


@contextmanager
def lean_start() -> Iterator[None]:
    """Call the process's first kernel inside, and Numba starts without what no kernel here uses: 0.3 s less.

    At its first kernel Numba imports scipy.linalg and cffi, for kernels that call np.dot or C. This is for a process
    that is ours alone: such kernels cannot be compiled in it afterwards.
    """
    unused = ("scipy.linalg", "cffi") if BACKEND == "numba" else ()
    left_out = [name for name in unused if name not in sys.modules]
    for name in left_out:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it fails, which Numba allows for
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


def choose(kernel: Function, twin: Function) -> Function:
    """The function to call: ``kernel``, or its NumPy ``twin`` without Numba. They take the same arguments."""
    return kernel if BACKEND == "numba" else twin


# A sum that may be taken in any order can be taken eight at a time. Only for kernels where NaN and infinity need no
# special care: both still come out as they went in.
REORDER: dict[str, Any] = {"fastmath": {"reassoc", "contract"}}


# --- the cache of compiled kernels ----------------------------------------------------------------------------------

LARGEST_KERNEL = 1 << 20  # bytes, more than one has: a folder that cannot take this much counts as full

_setting = threading.Lock()  # Numba's folder is a global setting, and modules may be imported side by side
_digests: dict[str, str] = {}  # by module and name of a loop: its dependency digest


@functools.cache
def cache_folder() -> Path | None:
    """A writable folder for Numba's cache; None, after one warning, where there is none.

    By default it is one for each version of this package and of Numba in the user's cache folder. Numba makes a folder
    in it for each source folder, so that two installations do not meet, and forgets a kernel whose file has changed.
    """
    import numba

    asked = _numba_config().CACHE_DIR
    try:
        folder = Path(asked) if asked else _user_cache() / "xlsr_ref" / f"{__version__}-numba-{numba.__version__}"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(LARGEST_KERNEL))
        return folder
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home directory
        reason = getattr(error, "strerror", None) or error
        warnings.warn(
            f"compiled kernels cannot be kept ({reason}), so each start compiles them again: set NUMBA_CACHE_DIR to a "
            "folder that can be written to",
            stacklevel=2,
        )
        return None


def _user_cache() -> Path:
    """The system's folder for caches. Raises RuntimeError for a user without a home directory."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    variable, usual = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    named = os.environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else Path.home() / usual


@contextmanager
def _cached_in(folder: Path | None, loop: Callable[..., Any]) -> Iterator[None]:
    """Numba caches what it compiles inside in ``folder``; elsewhere in the process its own setting holds.

    Numba looks at the loop's file alone to see whether a kernel is old. What the loop takes from other files, kernels
    and constants, is compiled into it too, so a loop that does has a folder of its own, named by their contents.
    """
    config, digest = _numba_config(), _dependency_digest(loop)
    if folder is not None and digest:
        folder = folder / digest
    with _setting:
        before = config.CACHE_DIR
        config.CACHE_DIR = before if folder is None else str(folder)
        try:
            yield
        finally:
            config.CACHE_DIR = before


def _numba_config() -> Any:
    """Numba's settings, which it reads from the environment; CACHE_DIR is `NUMBA_CACHE_DIR`."""
    import numba

    return numba.config


def _dependency_digest(loop: Callable[..., Any]) -> str:
    """A digest of the constants that ``loop`` uses and of the files of the kernels that it calls; "" for none.

    A kernel of the loop's own file counts with its own digest.
    """
    lines = []
    for name in sorted(set(loop.__code__.co_names)):
        value = loop.__globals__.get(name)
        kernel = getattr(value, "py_func", None)
        if kernel is not None:
            content = _digests.get(_name(kernel), "")
            if kernel.__code__.co_filename != loop.__code__.co_filename:
                with suppress(OSError):  # it lies in an archive
                    content += hashlib.sha256(Path(kernel.__code__.co_filename).read_bytes()).hexdigest()
        else:
            content = repr(value) if isinstance(value, (bool, int, float, str, tuple)) else ""
        if content:
            lines.append(f"{name} {content}")
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""
    _digests[_name(loop)] = digest
    return digest


def _name(loop: Callable[..., Any]) -> str:
    return f"{loop.__module__}.{loop.__qualname__}"
