"""How long does a forward pass take, beside torch's?

    python tests/benchmarks/forward.py 10                  # seconds of audio; several lengths may be given
    python tests/benchmarks/forward.py 10 --folder /tmp/full --rounds 9 --threads 2 --attention eager

A model of XLSR-53's size with random weights, float32, one utterance. Each program lives in a process of its own and
they take turns: one computes while the other sleeps on its pipe. So neither's idle threads spin on the other's cores,
and a slow minute of the machine hits both. Not a test: README.md beside this file says how to read the figures.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

RATE = 16000
PAUSE = 0.5  # seconds between two runs: idle threads spin for a while before they sleep

FULL_SIZE = {
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}


def make_model(folder: Path) -> None:
    """Write a model of XLSR-53's size as transformers initialises it."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(53)
    Wav2Vec2ForCTC(Wav2Vec2Config(**FULL_SIZE)).save_pretrained(folder)


# --- the two programs, each in its process ---------------------------------------------------------------------------


def ours(folder: Path, threads: int, attention: str) -> Callable[[np.ndarray], object]:
    os.environ["XLSR_REF_THREADS"] = str(threads)
    import xlsr_ref

    model = xlsr_ref.load(folder)
    return lambda waveform: model.logits(waveform, RATE)


def theirs(folder: Path, threads: int, attention: str) -> Callable[[np.ndarray], object]:
    import torch
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = Wav2Vec2ForCTC.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()
    extractor = Wav2Vec2FeatureExtractor()

    def forward(waveform: np.ndarray) -> object:
        (normalised,) = extractor.zero_mean_unit_var_norm([waveform], None)
        with torch.inference_mode():
            return model(torch.from_numpy(normalised)[None]).logits

    return forward


PROGRAMS = {"xlsr_ref": ours, "torch": theirs}


def work(program: str, folder: Path, threads: int, attention: str) -> None:
    """Answer each line on stdin, a number of seconds of audio, with the seconds that its forward pass took."""
    answer = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is not an answer
    forward = PROGRAMS[program](folder, threads, attention)
    rng = np.random.default_rng(0)
    print("ready", file=answer, flush=True)
    for line in sys.stdin:
        waveform = (0.1 * rng.standard_normal(round(float(line) * RATE))).astype(np.float32)
        start = time.perf_counter()
        forward(waveform)
        print(time.perf_counter() - start, file=answer, flush=True)


# --- who takes turns -------------------------------------------------------------------------------------------------


class Worker:
    """One program in its own process."""

    def __init__(self, program: str, args: argparse.Namespace, folder: Path) -> None:
        command = [sys.executable, __file__, "0", "--worker", program, "--folder", str(folder)]
        command += ["--threads", str(args.threads), "--attention", args.attention]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate()  # closes stdin: the worker's loop ends

    def seconds(self, audio: float) -> float:
        assert self.process.stdin is not None
        time.sleep(PAUSE)
        print(audio, file=self.process.stdin, flush=True)
        return float(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker stopped with status {self.process.wait()}: its message is above")
        return line


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


def compare(args: argparse.Namespace, folder: Path) -> None:
    print(machine(args.threads), flush=True)
    with ExitStack() as stack:
        workers = {program: stack.enter_context(Worker(program, args, folder)) for program in PROGRAMS}
        for audio in args.seconds:
            for worker in workers.values():
                worker.seconds(audio)  # warm up: compile, map the file, fill the pools
            times: dict[str, list[float]] = {program: [] for program in workers}
            for turn in range(args.rounds):
                order = list(workers) if turn % 2 == 0 else list(workers)[::-1]
                for program in order:
                    times[program].append(workers[program].seconds(audio))
            report(audio, times, args.attention)


def report(audio: float, times: dict[str, list[float]], attention: str) -> None:
    print(f"\n{audio:g} s of audio, {len(times['torch'])} rounds, torch with {attention} attention")
    for program, seconds in times.items():
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"  {program:9} median {median:6.2f} s   ({spread})   {audio / median:5.2f} x real time")
    ratios = [mine / yours for mine, yours in zip(times["xlsr_ref"], times["torch"])]
    of_medians = statistics.median(times["xlsr_ref"]) / statistics.median(times["torch"])
    print(f"  xlsr_ref / torch: medians {of_medians:.2f}, single rounds {min(ratios):.2f} to {max(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", type=float, nargs="+", help="lengths of audio")
    parser.add_argument("--folder", type=Path, help="a model's folder; a full-size one is made there if it is missing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for both (default: %(default)s)")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa", help="torch's (default: %(default)s)")
    parser.add_argument("--worker", choices=PROGRAMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.folder, args.threads, args.attention)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "config.json").exists():
            make_model(folder)
        compare(args, folder)


if __name__ == "__main__":
    main()
