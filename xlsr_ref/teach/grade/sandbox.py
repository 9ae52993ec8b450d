"""Checking a function in a process of its own, with limits of time and memory.

The process is :mod:`child`. A file without a name, which the process maps into its memory, carries the request there
and the answer back: whatever the function prints, closes or deletes, it cannot be mistaken for an answer, nor lost. If
no answer comes, how the process ended says why: its time was over, its memory, a signal. Where no process can be
started the function is checked here, and a note says so.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import exchange
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.definition import Exercise
from xlsr_ref.teach.grade.judge import judge
from xlsr_ref.teach.grade.transfer import CannotUnpack, PackedFunction, pack, pack_file, unpack
from xlsr_ref.teach.grade.verdict import Verdict

SECONDS, MEMORY_MB = 5.0, 1024  # a function's own: the start of Python comes on top
START = 30.0  # seconds that Python may take to start, on a machine that has much else to do
LATE = 5.0  # seconds after the limit in which the process ends itself, unless it is stopped (SIGSTOP)
POLL = 0.01  # seconds
RUNS = "runs to its end"  # the property that a function lacks whose process does not come back
OWN = "own work"  # the property that a function lacks which asks the library for the answer


def run(
    name: str,
    source: str | None,
    function: Callable | None,
    *,
    seed: int | None = None,
    seconds: float = SECONDS,
    memory_mb: float = MEMORY_MB,
    path: str = "solution.py",
) -> Verdict:
    """Check ``function``, or the function ``name`` of the text ``source`` of the file ``path``, against the exercise.

    ``seconds`` and ``memory_mb`` (MiB) are what the function may take beyond the start of Python. The same ``seed``
    gives the same numbers; without one they are new each time, and a note says which. Raises ExerciseError for an
    unknown exercise, for limits that are none, and for a text that does not run.
    """
    if exchange.inside_child:
        return Verdict(name, True, (), notes=("grade() was called while a file was being graded: nothing was checked",))
    task = find(name)
    if not (seconds > 0 and memory_mb > 0):
        raise ExerciseError(f"limits of {seconds:g} s and {memory_mb:g} MB: both must be above 0")
    if source is not None:
        packed: PackedFunction | None = pack_file(name, source, path)
    elif not callable(function):
        return failed(name, f"is {type(function).__name__}, which cannot be called: give the function itself")
    else:
        packed = pack(function)
    seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    if packed is None:
        why = "its source cannot be read, and without cloudpickle it cannot be sent to another process"
        return _in_process(task, function, seed, why)
    request = {
        "exercise": name,
        "function": packed,
        "seed": seed,
        "seconds": seconds,
        "memory_mb": memory_mb,
        "path": [os.path.abspath(place) for place in sys.path],
    }
    try:
        status, answer, crash = _process(request, seconds)
    except (OSError, NotImplementedError) as error:  # as in a browser, or where no more processes are allowed
        why = f"no process can be started here ({error})"
        return _in_process(task, function if source is None else packed, seed, why)
    if answer is None:
        return failed(name, _why_it_ended(status, crash, packed, seconds, memory_mb))
    if "refused" in answer:
        return Verdict(name, False, ((OWN, False, answer["refused"]),), notes=(f"seed {seed}",))
    if "broken" in answer:
        if function is None:
            raise ExerciseError(answer["broken"])
        return _in_process(task, function, seed, f"elsewhere it does not run ({answer['broken']})")
    if "stopped" in answer:
        return failed(name, f"stopped the check: {answer['stopped']}", *answer["notes"])
    return Verdict.from_dict(answer["verdict"]).noted(f"seed {seed}", *answer["notes"])


def failed(name: str, what: str, *notes: str) -> Verdict:
    """The verdict on a function of which nothing can be said but how it ended."""
    return Verdict(name, False, ((RUNS, False, what),), notes=notes)


def _in_process(task: Exercise, function: Any, seed: int, why: str) -> Verdict:
    if isinstance(function, PackedFunction):
        try:
            function = unpack(function)
        except CannotUnpack as error:
            raise ExerciseError(str(error)) from None
    verdict = judge(task, function, np.random.default_rng(seed))
    return verdict.noted(f"seed {seed}", f"checked in this process, without limits of time and memory: {why}")


# --- the process ------------------------------------------------------------------------------------------------------


def _process(request: dict[str, Any], seconds: float) -> tuple[int | None, dict[str, Any] | None, str]:
    """Run the child to its end: its exit status (None: it was ended from here), its answer, and what a crash left."""
    with tempfile.TemporaryFile(buffering=0) as file, tempfile.TemporaryFile() as crash:
        request_file = exchange.RequestFile(file, json.dumps(request))
        status = _run(request_file, crash, seconds)
        crash.seek(0)
        return status, request_file.answer(), crash.read().decode("utf-8", "replace")


def _run(request: exchange.RequestFile, crash: IO[bytes], seconds: float) -> int | None:
    if not sys.executable:
        raise OSError("the path of Python itself is not known")
    root = str(Path(__file__).parents[3])
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # the NumPy twins start without Numba, and one thread's processor time is no more than the time on the clock
    environment = os.environ | one | {"XLSR_REF_BACKEND": "numpy", "PYTHONPATH": paths}
    command = [sys.executable, "-P", "-m", "xlsr_ref.teach.grade.child"]
    process = subprocess.Popen(
        command,
        stdin=request.file,
        stdout=subprocess.DEVNULL,
        stderr=crash,
        env=environment,
        start_new_session=True,  # Ctrl-C is for us; and a group that can be ended as a whole
    )
    try:
        end = time.monotonic() + START
        while process.poll() is None and not request.begun() and time.monotonic() < end:
            time.sleep(POLL)
        return process.wait(seconds + LATE)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also after Ctrl-C
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def _why_it_ended(status: int | None, crash: str, packed: PackedFunction, seconds: float, memory_mb: float) -> str:
    """What the function did, in plain words, where its process ended without an answer."""
    place = _place(crash, packed)
    ended = {-getattr(signal, name): words for name, words in SIGNALS.items() if hasattr(signal, name)}
    if status is None or "Timeout (" in crash or status == -getattr(signal, "SIGXCPU", 0) != 0:
        return f"did not come to an end within {seconds:g} s{place}"
    if status == exchange.OUT_OF_MEMORY or "MemoryError" in crash:
        return f"took more than {memory_mb:g} MB of memory{place}"
    if status == exchange.PYTHON_BROKEN:
        return "broke Python itself: it changed modules or built-in functions that others need"
    if status in ended:
        return f"{ended[status]}{place}"
    fatal = re.search(r"(?:Fatal Python error|Windows fatal exception): (.*)", crash)
    if fatal:
        return f"crashed Python: {fatal[1]}{place}"
    if status < 0:
        return f"ended Python with signal {-status}{place}"
    if "Error" in crash:
        return f"could not be checked: {crash.strip().splitlines()[-1]}"
    return f"ended Python itself, with exit status {status}: return a value instead of calling exit"


SIGNALS = {
    "SIGSEGV": "crashed Python: it touched memory that is not there (segmentation fault)",
    "SIGBUS": "crashed Python: it touched memory that is not there (bus error)",
    "SIGABRT": "crashed Python (abort)",
    "SIGILL": "crashed Python (illegal instruction)",
    "SIGFPE": "crashed Python (division by zero in compiled code)",
    "SIGKILL": "was ended by the system, most likely for the memory it took",
    "SIGTERM": "ended its own process with a signal",
    "SIGALRM": "ended its own process with an alarm",
    "SIGINT": "interrupted its own process",
}


def _place(crash: str, packed: PackedFunction) -> str:
    """Where the function was, from the traceback that Python's fault handler left: the innermost line of its text."""
    for file, number in re.findall(r'File "(.*)", line (\d+)', crash):
        if file == packed.where:
            line = int(number)
            text = packed.pieces[-1].splitlines() if packed.kind in ("file", "source") else []
            said = f": {text[line - 1].strip()}" if 0 < line <= len(text) else ""
            return f"; it was in line {line}{said}"
    return ""
