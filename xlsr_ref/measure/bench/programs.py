"""The programs that are compared, each as a worker of turns.py.

    python -m xlsr_ref.measure.bench.programs NAME FOLDER THREADS

All do the same work with the same weights in float32: waveforms go in, normalising is included, scores come out.
Several waveforms are a list for ours, which makes words of them. The peers run as weights_tools/peers.py, by the same
arguments: nothing of theirs is imported here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref import audio
from xlsr_ref.measure.bench import machine, stages, turns
from xlsr_ref.measure.bench.turns import Job
from xlsr_ref.model.networks import read_settings

OURS, OURS_INT8, PEAK, EXPORT = "xlsr_ref", "xlsr_ref-int8", "peak", "export"  # the last writes the graph of a peer
INT8 = "-int8"  # what the names of programs with rounded weights end with
CLONE = "weights_tools"  # what is in the clone and not in an installed package
THEIRS = f"{CLONE}.peers"  # the module that runs the programs of others
AT_LEAST = 0.25  # seconds of one turn: short runs are repeated, and their median is taken
SAMPLED = 256  # scores by which the programs are held against each other
TO_THE_END = ExitStack()  # what a worker holds open for as long as it lives

Run = Callable[[list[np.ndarray]], tuple[Any, dict[str, float]]]  # waveforms → scores or None, seconds by stage


class Peer(NamedTuple):
    """A program of others."""

    packages: tuple[str, ...]
    to_export: tuple[str, ...] = ()  # what else it takes to make its graph


PEERS = {
    "torch": Peer(("torch", "transformers")),
    "torch-eager": Peer(("torch", "transformers")),
    "onnxruntime": Peer(("onnxruntime",), ("onnx", "torch", "transformers")),
    "onnxruntime-int8": Peer(("onnxruntime",), ("onnx", "torch", "transformers")),
    "openvino": Peer(("openvino",), ("onnx", "torch", "transformers")),
}


def missing(packages: Sequence[str]) -> list[str]:
    """Those that are not installed."""
    return [package for package in packages if find_spec(package) is None]


# --- what they are given ---------------------------------------------------------------------------------------------


class Workload(NamedTuple):
    """What each program is to work on."""

    kind: str  # "noise"; "short", the bundled clip that is nearest to 3 s; "clips", those of 2 to 4 s, repeated to 64
    seconds: float = 0.0  # of noise

    @property
    def name(self) -> str:
        """How tables call it."""
        named = {"short": "a clip of 3 s", "clips": "64 clips of 2 to 4 s"}
        return named.get(self.kind, f"{self.seconds:g} s of audio")


@lru_cache(maxsize=1)
def waveforms(workload: Workload, rate: int) -> list[np.ndarray]:
    """What a workload consists of: each (samples,), float32, at ``rate`` Hz."""
    if workload.kind == "noise":
        return [0.1 * np.random.default_rng(0).standard_normal(round(workload.seconds * rate), np.float32)]
    from xlsr_ref.audio import bundled_clips

    clips = [audio.read(clip.path, rate) for clip in bundled_clips()]
    if workload.kind == "short":
        return [min(clips, key=lambda clip: abs(len(clip) - 3 * rate))]
    long_enough = [clip for clip in clips if 2 * rate <= len(clip) <= 4 * rate]
    return [long_enough[i % len(long_enough)] for i in range(64)]


# --- our program -----------------------------------------------------------------------------------------------------


def ours(folder: str, weights: str | None = None) -> Run:
    """This package on the model in ``folder``; several waveforms are transcribed as one list."""
    import xlsr_ref

    model = xlsr_ref.load(folder, weights=weights)
    spent = TO_THE_END.enter_context(stages.watch(stages.functions_of(model.config)))

    def run(given: list[np.ndarray]) -> tuple[Any, dict[str, float]]:
        if len(given) > 1:
            model.transcribe(given, model.preprocessor.sampling_rate)
            return None, {}
        spent.update(dict.fromkeys(spent, 0.0))
        scores, _ = model.forward(given[0], model.preprocessor.sampling_rate, keep=False)
        return scores, dict(spent)

    return run


# --- as workers ------------------------------------------------------------------------------------------------------


def worker(name: str, folder: str, threads: int, graph: str = "") -> turns.Worker:
    """A process that runs program ``name``; its lines are :class:`Workload` in JSON. Raises turns.Stopped."""
    environment = {"XLSR_REF_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    module = THEIRS if name in PEERS or name == EXPORT else __name__
    return turns.Worker(["-P", "-m", module, name, folder, str(threads), graph], environment)


def job_of(program: Run, rate: int) -> Job:
    """A job for turns.serve: the seconds of the median run and of its stages, all runs, memory, some of the scores."""
    last = ""

    def job(line: str) -> dict[str, Any]:
        nonlocal last
        given = waveforms(Workload(*json.loads(line)), rate)
        if line != last:
            machine.forget_peak_memory()
            last = line
        runs, middle, (scores, spent) = turns.timed(lambda: program(given), AT_LEAST)
        answer = {"seconds": runs[middle], "runs": runs, "memory": machine.peak_memory(), "stages": spent}
        if scores is not None:
            flat = scores.reshape(-1)
            answer["scores"] = flat[np.linspace(0, len(flat) - 1, SAMPLED).astype(int)].tolist()
        return answer

    return job


def prepare(name: str, folder: str, threads: int) -> Job:
    """The job of a worker: this package, or the peak of the machine."""
    if name == PEAK:
        return machine.peak(threads)
    weights = "int8" if name == OURS_INT8 else None
    return job_of(ours(folder, weights), read_settings(folder)[1].sampling_rate)


if __name__ == "__main__":
    turns.serve(partial(prepare, sys.argv[1], sys.argv[2], int(sys.argv[3])))
