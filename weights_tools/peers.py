"""The programs of others that `xlsr-ref bench` runs beside ours: transformers on torch, and ONNX Runtime.

    python -m weights_tools.peers NAME FOLDER THREADS GRAPH         as a worker of xlsr_ref/measure/bench/turns.py

Each takes a folder and a number of threads, opens the model in float32 and returns a function: normalised waveforms
(samples,) go in; of one the scores (frames, tokens) come out, of several None. torch pads batches of 8 and takes each
frame's best token; ONNX Runtime, whose graph has no mask, takes one after the other.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.audio import Preprocessor
from xlsr_ref.measure.bench.programs import EXPORT, INT8, Run, job_of
from xlsr_ref.measure.bench.turns import Job, serve

BATCH = 8  # clips that torch pads to one length
OPSET = 17  # of the ONNX graph

Compute = Callable[[list[np.ndarray]], Any]


def opened(folder: str, attention: str) -> Any:
    """transformers' model of ``folder`` in float32, by the class that its config names."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config = transformers.Wav2Vec2Config.from_pretrained(folder)
    kind = getattr(transformers, (config.architectures or ["Wav2Vec2ForCTC"])[0])
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


def torch(folder: str, threads: int, graph: str, attention: str = "sdpa") -> Compute:
    """transformers' model of ``folder`` on torch; there is no ``graph``."""
    import torch

    torch.set_num_threads(threads)
    model = opened(folder, attention)
    masked = model.config.feat_extract_norm == "layer"  # the others were trained without a mask

    def compute(given: list[np.ndarray]) -> Any:
        with torch.inference_mode():
            if len(given) == 1:
                return model(torch.from_numpy(given[0])[None])[0][0].numpy()
            for start in range(0, len(given), BATCH):
                batch = given[start : start + BATCH]
                longest = max(map(len, batch))
                x, mask = torch.zeros(len(batch), longest), torch.zeros(len(batch), longest, dtype=torch.long)
                for i, waveform in enumerate(batch):
                    x[i, : len(waveform)], mask[i, : len(waveform)] = torch.from_numpy(waveform), 1
                model(x, attention_mask=mask if masked else None)[0].argmax(-1)
        return None

    return compute


def onnxruntime(folder: str, threads: int, graph: str) -> Compute:
    """The file ``graph`` that :func:`export` wrote, in ONNX Runtime; the folder is not needed any more."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def compute(given: list[np.ndarray]) -> Any:
        scores = [session.run(None, {"waveform": one[None]})[0][0] for one in given]
        return scores[0] if len(scores) == 1 else None

    return compute


def openvino(folder: str, threads: int, graph: str) -> Compute:
    """The file ``graph`` that :func:`export` wrote, in OpenVINO, in float32."""
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(graph, "CPU", settings)

    def compute(given: list[np.ndarray]) -> Any:
        scores = [compiled({"waveform": one[None]})[0][0] for one in given]
        return scores[0] if len(scores) == 1 else None

    return compute


def export_int8(folder: str, graph: Path, samples: int) -> None:
    """The graph of :func:`export` with the matrices of all products as int8, quantised as ONNX Runtime does it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = graph.with_name(graph.name.replace(INT8, ""))
    if not exact.exists():
        export(folder, exact, samples)
    unfinished = graph.with_name(f"unfinished-{graph.name}")
    quantize_dynamic(exact, unfinished, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    os.replace(unfinished, graph)


def export(folder: str, graph: Path, samples: int) -> None:
    """Write the model of ``folder`` as an ONNX graph of float32 for any length; it is traced with ``samples``."""
    import torch

    model = opened(folder, "sdpa")

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, waveform: Any) -> Any:
            return self.model(waveform)[0]

    graph.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=graph.parent, prefix=".unfinished-") as unfinished, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Scores(),
            (torch.zeros(1, samples),),
            str(Path(unfinished) / graph.name),
            input_names=["waveform"],
            output_names=["scores"],
            dynamic_axes={"waveform": {1: "samples"}, "scores": {1: "frames"}},
            opset_version=OPSET,
            dynamo=False,
        )
        for part in sorted(Path(unfinished).iterdir(), key=lambda path: path.name == graph.name):
            os.replace(part, graph.with_name(part.name))  # the graph last: a large one has its weights beside it


PROGRAMS: dict[str, Callable[[str, int, str], Compute]] = {
    "torch": torch,
    "torch-eager": partial(torch, attention="eager"),
    "onnxruntime": onnxruntime,
    "onnxruntime-int8": onnxruntime,
    "openvino": openvino,
}


def program(name: str, folder: str, threads: int, graph: str) -> Run:
    """A program of PROGRAMS as the benchmark runs it: normalising is part of its time."""
    compute, preprocessor = PROGRAMS[name](folder, threads, graph), Preprocessor.from_folder(folder)

    def run(given: list[np.ndarray]) -> tuple[Any, dict[str, float]]:
        return compute([preprocessor.normalised(one) for one in given]), {}

    return run


def prepare(name: str, folder: str, threads: int, graph: str) -> Job:
    """The job of a worker: a program, or the export of the ``graph`` that ONNX Runtime runs, which has no answers."""
    rate = Preprocessor.from_folder(folder).sampling_rate
    if name == EXPORT:
        (export_int8 if graph.endswith(f"{INT8}.onnx") else export)(folder, Path(graph), 5 * rate)
        return lambda line: {}
    return job_of(program(name, folder, threads, graph), rate)


if __name__ == "__main__":
    serve(partial(prepare, sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
