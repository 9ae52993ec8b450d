"""Programs that take turns: each lives in a process of its own and computes while the others sleep on their pipes.

So no program's idle threads spin on another's cores, and a slow minute of the machine hits all of them. A worker reads
a line, does what it asks for, and answers with one line of JSON. It ends when its pipe is closed, however that came.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xlsr_ref.errors import XlsrError

PAUSE = 0.5  # seconds before each turn: idle threads spin for a while before they sleep
MOST_RUNS = 50  # of one turn

Job = Callable[[str], dict[str, Any]]


class Stopped(XlsrError):
    """A worker has ended, or could not do what it was asked."""


# --- in the worker ---------------------------------------------------------------------------------------------------


def serve(prepare: Callable[[], Job]) -> None:
    """Say how long ``prepare`` took; then answer each line on stdin with what the job that it returned makes of it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not an answer
    start = time.perf_counter()
    job = None

    def answer(work: Callable[[], dict[str, Any]]) -> None:
        try:
            said = work()
        except Exception as error:
            traceback.print_exc()
            said = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        print(json.dumps(said), file=answers, flush=True)

    def opened() -> dict[str, Any]:
        nonlocal job
        job = prepare()
        return {"opened": time.perf_counter() - start}

    answer(opened)
    for line in sys.stdin if job is not None else ():
        answer(lambda line=line: job(line.strip()))  # type: ignore[misc]


def timed(run: Callable[[], Any], at_least: float = 0.0) -> tuple[list[float], int, Any]:
    """Call ``run`` until it has taken ``at_least`` seconds: the seconds of each call, which one is the median, and its
    result. One call of a few milliseconds would say more about the scheduler than about the program."""
    seconds: list[float] = []
    results = []
    while not seconds or (sum(seconds) < at_least and len(seconds) < MOST_RUNS):
        start = time.perf_counter()
        results.append(run())
        seconds.append(time.perf_counter() - start)
    middle = sorted(range(len(seconds)), key=seconds.__getitem__)[(len(seconds) - 1) // 2]
    return seconds, middle, results[middle]


# --- in the process that asks ----------------------------------------------------------------------------------------


class Worker:
    """A Python process that runs ``arguments`` and serves. Ctrl-C does not reach it: whoever asks ends it."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        here = str(Path(__file__).resolve().parents[3])  # the worker shall import this very package
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        self._said = None if os.environ.get("XLSR_REF_TRACEBACK") else tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            self.opened: float = self._read()["opened"]  # seconds
        except BaseException:
            self.close(at_once=True)
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(at_once=kind is not None)

    def ask(self, line: str) -> dict[str, Any]:
        """The answer to ``line``, after a pause. Raises Stopped."""
        assert self._process.stdin is not None
        time.sleep(PAUSE)
        with suppress(OSError):  # it has ended: there is nothing to read either
            print(line, file=self._process.stdin, flush=True)
        return self._read()

    def close(self, at_once: bool = False) -> None:
        """End the process: its loop ends when stdin is closed, unless it must end ``at_once``."""
        if at_once:
            self._process.kill()
        try:
            self._process.communicate(timeout=10)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        if self._said is not None:
            self._said.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Stopped(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Stopped(answer["error"])
        return answer

    def _last_words(self) -> str:
        status = self._process.wait()
        if status == -9:
            return "the system ended it, which it does when memory runs out"
        last = ""
        if self._said is not None:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").split("\n")
            last = next((f": {line.strip()[:300]}" for line in reversed(lines) if line.strip()), "")
        return f"it stopped with status {status}{last}"


def take_turns(
    workers: dict[str, Worker],
    line: str,
    rounds: int,
    lost: Callable[[str, Stopped], None] | None = None,
    status: Callable[[str], None] = lambda text: None,
) -> dict[str, list[dict[str, Any]]]:
    """Each worker's answers to ``line``: one that is not to be counted, then ``rounds`` more, in changing order.

    The first run compiles, maps files and fills pools. Of a worker that stops ``lost`` is told; if that does not raise,
    the others go on, here and from now on, without it. ``status`` is told who is at work.
    """
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for turn in range(1 + rounds):
        for name in list(workers)[:: 1 if turn % 2 == 0 else -1]:
            status(f"round {turn} of {rounds}, {name}" if turn else f"before the first round, {name}")
            try:
                answers[name].append(workers[name].ask(line))
            except Stopped as error:
                if lost is None:
                    raise Stopped(f"{name}: {error}") from None
                lost(name, error)
                workers.pop(name).close(at_once=True)
                del answers[name]
    return answers
