"""Which loops run: Numba's compiled kernels, or the NumPy twins that specify them.

`XLSR_REF_BACKEND=numpy` asks for the twins. They also run, after one warning, where Numba cannot be imported. Under
`NUMBA_DISABLE_JIT=1` the kernels stay plain Python functions: a debugger can step through them.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from xlsr_ref.errors import XlsrError

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

        return numba.njit(nogil=True, cache=True, error_model="numpy", **options)(loop)

    return decorate


def on_compilation(say: Callable[[], Any]) -> None:
    """Call ``say`` once, when the first kernel has to be compiled: on a new machine, or after a change.

    Afterwards kernels come from the cache on disk and nothing is said. Who asks last is told.
    """
    global _listener
    if BACKEND == "numpy":
        return
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, _: Any) -> None:
            _forget_listener()
            say()

        def on_end(self, _: Any) -> None:
            pass

    _forget_listener()
    _listener = Listener()
    event.register("numba:compile", _listener)


_listener: Any = None  # of compilation, while it has heard of none


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
