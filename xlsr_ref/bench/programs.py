"""The programs that are compared, each as a worker of turns.py:  python -m xlsr_ref.bench.programs NAME FOLDER THREADS

All do the same work with the same weights in float32: waveforms go in, normalising is included, scores come out.
Several waveforms are a list for ours, which makes words of them; torch pads batches of 8 and takes each frame's best
token; ONNX Runtime, whose graph has no mask, takes one after the other. The peers' packages are imported here, late.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref import audio
from xlsr_ref.audio import Preprocessor
from xlsr_ref.bench import machine, stages, turns
from xlsr_ref.bench.turns import Job

OURS, PEAK = "xlsr_ref", "peak"
BATCH = 8  # clips that torch pads to one length
AT_LEAST = 0.25  # seconds of one turn: short runs are repeated, and their median is taken
SAMPLED = 256  # scores by which the programs are held against each other
OPSET = 17  # of the ONNX graph
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
        named = {"short": "a clip of 3 s", "clips": "64 clips of 2 to 4 s"}
        return named.get(self.kind, f"{self.seconds:g} s of audio")


@lru_cache(maxsize=1)
def waveforms(workload: Workload, rate: int) -> list[np.ndarray]:
    """What a workload consists of: each (samples,), float32, at ``rate`` Hz."""
    if workload.kind == "noise":
        return [0.1 * np.random.default_rng(0).standard_normal(round(workload.seconds * rate), np.float32)]
    from xlsr_ref.recordings import bundled_clips

    clips = [audio.read(clip.path, rate) for clip in bundled_clips()]
    if workload.kind == "short":
        return [min(clips, key=lambda clip: abs(len(clip) - 3 * rate))]
    long_enough = [clip for clip in clips if 2 * rate <= len(clip) <= 4 * rate]
    return [long_enough[i % len(long_enough)] for i in range(64)]


# --- the programs ----------------------------------------------------------------------------------------------------


def ours(folder: str, threads: int, graph: str) -> Run:
    import xlsr_ref

    model = xlsr_ref.load(folder)
    spent = TO_THE_END.enter_context(stages.watch())

    def run(given: list[np.ndarray]) -> tuple[Any, dict[str, float]]:
        if len(given) > 1:
            model.transcribe(given, model.preprocessor.sampling_rate)
            return None, {}
        spent.update(dict.fromkeys(spent, 0.0))
        scores, _ = model.forward(given[0], model.preprocessor.sampling_rate, keep=False)
        return scores, dict(spent)

    return run


def torch(folder: str, threads: int, graph: str, attention: str = "sdpa") -> Run:
    import torch

    torch.set_num_threads(threads)
    model = _transformers_model(folder, attention)
    preprocessor = Preprocessor.from_folder(folder)
    masked = model.config.feat_extract_norm == "layer"  # the others were trained without a mask

    def run(given: list[np.ndarray]) -> tuple[Any, dict[str, float]]:
        with torch.inference_mode():
            if len(given) == 1:
                return model(torch.from_numpy(_input(given[0], preprocessor))[None])[0][0].numpy(), {}
            for start in range(0, len(given), BATCH):
                batch = [_input(waveform, preprocessor) for waveform in given[start : start + BATCH]]
                longest = max(map(len, batch))
                x, mask = torch.zeros(len(batch), longest), torch.zeros(len(batch), longest, dtype=torch.long)
                for i, waveform in enumerate(batch):
                    x[i, : len(waveform)], mask[i, : len(waveform)] = torch.from_numpy(waveform), 1
                model(x, attention_mask=mask if masked else None)[0].argmax(-1)
        return None, {}

    return run


def onnxruntime(folder: str, threads: int, graph: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    preprocessor = Preprocessor.from_folder(folder)

    def run(given: list[np.ndarray]) -> tuple[Any, dict[str, float]]:
        scores = [session.run(None, {"waveform": _input(one, preprocessor)[None]})[0][0] for one in given]
        return (scores[0] if len(scores) == 1 else None), {}

    return run


def export(folder: str, graph: Path) -> None:
    """Write the model of ``folder`` as an ONNX graph of float32 that takes one waveform of any length."""
    import torch

    model = _transformers_model(folder, "sdpa")

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, waveform: Any) -> Any:
            return self.model(waveform)[0]

    axes = {"waveform": {1: "samples"}, "scores": {1: "frames"}}
    graph.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=graph.parent, prefix=".unfinished-") as unfinished, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Scores(),
            (torch.zeros(1, 5 * Preprocessor.from_folder(folder).sampling_rate),),
            str(Path(unfinished) / graph.name),
            input_names=["waveform"],
            output_names=["scores"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        for part in sorted(Path(unfinished).iterdir(), key=lambda path: path.name == graph.name):
            os.replace(part, graph.with_name(part.name))  # the graph last: a large one has its weights beside it


def _transformers_model(folder: str, attention: str) -> Any:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    kind = transformers.Wav2Vec2Model
    if "Wav2Vec2ForCTC" in (transformers.Wav2Vec2Config.from_pretrained(folder).architectures or ()):
        kind = transformers.Wav2Vec2ForCTC
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


def _input(waveform: np.ndarray, preprocessor: Preprocessor) -> np.ndarray:
    return audio.normalise(waveform) if preprocessor.do_normalize else waveform


PROGRAMS: dict[str, Callable[[str, int, str], Run]] = {
    OURS: ours,
    "torch": torch,
    "torch-eager": partial(torch, attention="eager"),
    "onnxruntime": onnxruntime,
}


# --- as workers ------------------------------------------------------------------------------------------------------


def worker(name: str, folder: str, threads: int, graph: str = "") -> turns.Worker:
    """A process that runs program ``name``; its lines are :class:`Workload` in JSON. Raises turns.Stopped."""
    environment = {"XLSR_REF_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    return turns.Worker(["-P", "-m", __name__, name, folder, str(threads), graph], environment)


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


def prepare(name: str, folder: str, threads: int, graph: str) -> Job:
    if name == PEAK:
        return machine.peak(threads)
    if name == "export":
        export(folder, Path(graph))
        return lambda line: {}
    return job_of(PROGRAMS[name](folder, threads, graph), Preprocessor.from_folder(folder).sampling_rate)


if __name__ == "__main__":
    turns.serve(partial(prepare, sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
