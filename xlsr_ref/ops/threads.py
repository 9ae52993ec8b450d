"""One pool of threads for the whole package, and BLAS held to one thread while the pool works.

Two pools compete: idle BLAS workers spin on the cores that the other pool needs. So there is one, work is cut into
pieces, and every piece calls BLAS or a kernel on one thread. Pieces are cut by the shape of the arrays alone, never
by the number of threads, and each writes its own part of the result: any number of threads gives the same bits.

`XLSR_REF_THREADS` sets the number of threads; without it there are as many as cores that this process may use.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import whole_number

Task = Callable[[], Any]
Result = TypeVar("Result")

# multiplications: a quarter of a millisecond of one core, where to wake another takes a tenth
WORTH_SHARING = 1 << 23


def run(tasks: Iterable[Task], work: float = math.inf) -> None:
    """Call every task once, side by side on the pool. After an exception no other task starts; it is raised when those
    under way have stopped.

    Called from inside a task it runs its tasks one after the other: the cores are already busy. So it does where all
    the tasks together are little ``work``, multiplications or the like, which handing them round would cost.
    """
    if getattr(_here, "inside_a_task", False):  # BLAS is held to one thread already
        for task in tasks:
            task()
        return
    with one_blas_thread():
        if _alone(work):
            _run_pending(deque(tasks))
            return
        cores = count()
        pending = deque(tasks)
        helpers = min(cores, len(pending)) - 1
        if helpers < 1:  # its own parts may be shared
            for task in pending:
                task()
            return
        pool = _get_pool(helpers)
        shares = [pool.submit(_run_pending, pending) for _ in range(helpers)]
        try:
            _run_pending(pending)
        finally:  # a share that has not begun, because others keep the pool busy, has nothing left to do
            errors = [share.exception() for share in shares if not share.cancel()]
        for error in errors:
            if error is not None:
                raise error


def run_blocks(task: Callable[[slice], Any], length: int, at_most: int, work: float) -> None:
    """Call ``task`` as :func:`run` does for the :func:`blocks` of ``range(length)``, or for all of it at once where
    nobody shares it. Every element's result must be the same for any blocks.
    """
    if _alone(work):
        task(slice(0, length))
    else:
        run((partial(task, block) for block in blocks(length, at_most)), work)


def run_in_order(tasks: Iterable[Callable[[], Result]], take: Callable[[Result], None]) -> None:
    """Call every task as :func:`run` does, and hand what they return to ``take``, one by one in the order of the tasks.

    So sums over tasks have the same bits for any number of threads. A result waits only for those before it.
    """
    waiting: dict[int, Result] = {}
    taken, lock = 0, threading.Lock()

    def one(number: int, task: Callable[[], Result]) -> None:
        nonlocal taken
        result = task()
        with lock:
            waiting[number] = result
            while taken in waiting:
                take(waiting.pop(taken))
                taken += 1

    run(partial(one, number, task) for number, task in enumerate(tasks))


def blocks(length: int, at_most: int) -> list[slice]:
    """Cut ``range(length)`` into the fewest blocks of at most ``at_most``, all nearly equal. Depends on shapes only."""
    if length <= at_most:
        return [slice(0, length)]
    n = max(1, math.ceil(length / at_most))
    edges = [length * i // n for i in range(n + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def count() -> int:
    """The number of threads that :func:`run` uses when this thread calls it."""
    return getattr(_here, "count", None) or _default_count()


@contextmanager
def use(threads: int | None) -> Iterator[None]:
    """Use another number of threads inside a `with` block, in what this thread calls; None changes nothing.

    Raises ValueError for fewer than one.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    before = getattr(_here, "count", None)
    _here.count = threads or before
    try:
        yield
    finally:
        _here.count = before


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread. The first to come in saves the caller's setting and the last to leave restores it."""
    global _holders, _limiter
    with _lock:
        _holders += 1
        if _holders == 1:
            _clear_controlling_thread()
            _limiter = _get_controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _restore_blas()


@contextmanager
def computing(threads: int | None) -> Iterator[None]:
    """Compute on so many threads (None: the default), with BLAS held to one: for a whole pass, or a batch of them."""
    with use(threads), one_blas_thread():
        yield


# --- the state of the pool --------------------------------------------------------------------------------------------

_lock = threading.Lock()
_here = threading.local()  # .inside_a_task: does this thread work through tasks?  .count: set by use()
_pool: tuple[int, ThreadPoolExecutor] | None = None
_controller: Any = None
_limiter: Any = None
_holders = 0


def _alone(work: float) -> bool:
    """Are tasks of so much ``work`` for the calling thread alone?"""
    return getattr(_here, "inside_a_task", False) or work < WORTH_SHARING or count() == 1


def _run_pending(pending: deque[Task]) -> None:
    _here.inside_a_task = True
    try:
        while True:
            try:
                task = pending.popleft()
            except IndexError:
                return
            task()
    except BaseException:
        pending.clear()
        raise
    finally:
        _here.inside_a_task = False


def _default_count() -> int:
    asked = os.environ.get("XLSR_REF_THREADS", "")
    if asked:
        number = whole_number(asked)
        if not number:
            raise XlsrError(f"XLSR_REF_THREADS is {asked[:80]!r}: set it to a whole number of at least 1")
        return number
    if hasattr(os, "sched_getaffinity"):  # Linux: the cores that this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _get_pool(helpers: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None or _pool[0] < helpers:
            _pool = (helpers, ThreadPoolExecutor(helpers, "xlsr_ref", _one_blas_thread_in_a_worker))
        return _pool[1]


def _get_controller() -> Any:
    global _controller
    if _controller is None:
        from threadpoolctl import ThreadpoolController

        _controller = ThreadpoolController()
    return _controller


def _restore_blas() -> None:
    _clear_controlling_thread()
    _limiter.restore_original_limits()
    _clear_controlling_thread()


def _clear_controlling_thread() -> None:
    """threadpoolctl lets only the thread that first set OpenBLAS set it again, and ignores other threads silently.

    Here the last thread to leave restores what the first one saved, and they may differ.
    """
    for library in _get_controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):  # newer versions of threadpoolctl
            library.clear_controlling_thread(force=True)


def _one_blas_thread_in_a_worker() -> None:
    """A BLAS built on OpenMP has one limit for each of our threads; other builds have one for all."""
    for library in _get_controller().lib_controllers:
        if library.user_api == "blas" and getattr(library, "threading_layer", "") == "openmp":
            library.set_num_threads(1)


def _after_fork() -> None:
    """A forked child has none of its parent's threads, so it restores the BLAS limit that one of them held."""
    global _lock, _pool, _holders
    _lock, _pool = threading.Lock(), None
    _here.inside_a_task = False
    if _holders:
        _holders = 0
        _restore_blas()


if hasattr(os, "register_at_fork"):  # POSIX
    os.register_at_fork(after_in_child=_after_fork)
