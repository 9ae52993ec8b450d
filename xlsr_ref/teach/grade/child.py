"""The program that checks one function, in a process of its own: ``python -m xlsr_ref.teach.grade.child < REQUEST``.

The file (exchange.py) holds the request and takes the answer. In between the process gives up what the function could
harm: input and output go nowhere, memory, processor time and the size of files are limited where the system can do so,
no other process may be started, and a watchdog ends the process when the time is over and notes the line it was in.
Processes are refused at Python's own ways to start one, that of multiprocessing included, and at C's functions for it
where ctypes looks them up. All this holds against accidents. It does not stop somebody who wants to get out:
compiled code that starts processes by itself is not seen.
"""

from __future__ import annotations

import faulthandler
import json
import math
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from xlsr_ref.teach.grade import exchange

FILE_SIZE = 64 << 20  # bytes: the largest file that the function may write
PROCESSES = {  # of Python's audit events
    *("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "os.spawn", "os.startfile", "os.startfile/2"),
    *("subprocess.Popen", "pty.spawn", "_winapi.CreateProcess"),
}
C_PROCESSES = re.compile(
    r"v?fork|_?fork1?|forkpty|clone3?|__clone|syscall|w?system|_?w?popen|(f?exec|posix_spawn|_w?exec).*|"
    r"_w?spawn.*|(Create|Shell)(Process|Execute).*|WinExec"
)


def main() -> None:
    """Check the function, write the answer, end the process: no thread of the function's runs on."""
    mapped = exchange.MappedRequest(0)
    request = json.loads(mapped.request())
    import numpy as np  # all that is heavy comes before the limits

    from xlsr_ref.teach.grade import answers, transfer
    from xlsr_ref.teach.grade.catalogue import find
    from xlsr_ref.teach.grade.judge import judge_prepared, prepare

    task, packed = find(request["exercise"]), transfer.PackedFunction(*request["function"])
    questions = prepare(task, np.random.default_rng(request["seed"]))
    exchange.inside_child = True
    sys.path.extend(folder for folder in request["path"] if folder not in sys.path)

    crash = silence()
    notes = limit(request["seconds"], request["memory_mb"])
    faulthandler.enable(crash)
    faulthandler.dump_traceback_later(request["seconds"], exit=True, file=crash)
    sys.addaudithook(refuse_events)
    refuse_processes()
    answers.begin(task)
    mapped.begin()
    me = os.getpid()
    try:
        try:
            verdict = judge_prepared(task, transfer.unpack(packed), questions)
            answer: dict[str, Any] = {"verdict": verdict.to_dict()}
        except transfer.CannotUnpack as error:
            answer = {"broken": str(error)}
        except BaseException as error:
            answer = {"stopped": transfer.happened(error, packed)}
        if answers.used():
            answer = {"refused": answers.REFUSED.format(answers.used())}
        if os.getpid() == me:
            faulthandler.cancel_dump_traceback_later()
            mapped.answer(json.dumps(answer | {"notes": notes}))
    except MemoryError:
        os._exit(exchange.OUT_OF_MEMORY)
    except BaseException:
        os._exit(exchange.PYTHON_BROKEN)
    os._exit(0)


NO_PROCESS = "the grader lets no function start a process"


def silence() -> int:
    """Nothing comes in, nothing gets out. Returns where a crash may still be described."""
    crash = os.dup(2)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    return crash


def limit(seconds: float, memory_mb: float) -> list[str]:
    """Set the limits of this process, from here on. Returns a note for each that this system has not."""
    try:
        import resource
    except ImportError:
        return ["this system sets no limit to memory, only to time"]
    cpu = math.ceil(time.process_time() + seconds) + 1
    for what, value in ((resource.RLIMIT_CPU, cpu), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, FILE_SIZE)):
        with suppress(ValueError, OSError):  # lower already
            resource.setrlimit(what, (value, value + (what == resource.RLIMIT_CPU)))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + int(memory_mb * (1 << 20))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (OSError, ValueError):
        return ["this system sets no limit to memory, only to time"]
    return []


def refuse_events(event: str, arguments: tuple) -> None:
    """An audit hook: the function starts no process and ends none but its own."""
    if event in PROCESSES:
        raise PermissionError(NO_PROCESS)
    if event == "ctypes.dlsym" and C_PROCESSES.fullmatch(str(arguments[1])):
        raise PermissionError(NO_PROCESS)
    if event in ("os.kill", "os.killpg") and arguments[0] not in (os.getpid(), 0):
        raise PermissionError("the grader lets no function send signals to other processes")


def refuse_processes() -> None:
    """Close the way by which multiprocessing starts processes, of which Python's audit events say nothing."""
    with suppress(ImportError):
        import _posixsubprocess

        def fork_exec(*_: object) -> int:
            raise PermissionError(NO_PROCESS)

        _posixsubprocess.fork_exec = fork_exec


if __name__ == "__main__":
    main()
