"""Programs that take turns: each lives in a process of its own and computes while the others sleep on their pipes.

So no program's idle threads spin on another's cores, and a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

PAUSE = 0.5  # seconds between two runs: idle threads spin for a while before they sleep


def serve(job: Callable[[str], object]) -> None:
    """In a worker: answer each line on stdin with the seconds that ``job`` took on it."""
    answer = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is not an answer
    print("ready", file=answer, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        job(line.strip())
        print(time.perf_counter() - start, file=answer, flush=True)


class Worker:
    """A process that runs ``arguments`` and serves."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()  # closes stdin: the worker's loop ends

    def seconds(self, line: str) -> float:
        assert self.process.stdin is not None
        time.sleep(PAUSE)
        print(line, file=self.process.stdin, flush=True)
        return float(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker stopped with status {self.process.wait()}: its message is above")
        return line


def compare(commands: dict[str, Sequence[str]], lines: Iterable[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each program on each line: ``rounds`` runs, in changing order, after one that is not counted."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(command)) for name, command in commands.items()}
        times: dict[str, dict[str, list[float]]] = {}
        for line in lines:
            for worker in workers.values():
                worker.seconds(line)  # warm up: compile, map the file, fill the pools
            times[line] = {name: [] for name in workers}
            for turn in range(rounds):
                for name in list(workers)[:: 1 if turn % 2 == 0 else -1]:
                    times[line][name].append(workers[name].seconds(line))
    return times


def report(times: dict[str, list[float]], audio: float) -> None:
    """Medians, spreads and the ratio of the first program to the second; ``audio`` is in seconds."""
    for program, seconds in times.items():
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"  {program:9} median {median:6.2f} s   ({spread})   {audio / median:5.2f} x real time")
    mine, yours = times.values()
    ratios = [a / b for a, b in zip(mine, yours)]
    of_medians = statistics.median(mine) / statistics.median(yours)
    print(f"  {' / '.join(times)}: medians {of_medians:.2f}, single rounds {min(ratios):.2f} to {max(ratios):.2f}")


def machine(threads: int) -> str:
    from threadpoolctl import threadpool_info

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    blas = [f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}" for pool in threadpool_info()]
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "torch", "transformers"))
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    cores = f"{model}, {os.cpu_count()} cores, {threads} threads{load}"
    return "\n".join([cores, platform.platform(), ", ".join([packages, *blas])])
