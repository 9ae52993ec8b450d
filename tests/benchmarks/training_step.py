"""How long does a training step take, beside torch's? Forward, CTC loss and backward over 16 clips, without an update.

    python tests/benchmarks/training_step.py --rounds 7

The bundled model in float32; clips of 2 to 4 s of noise with 10 to 30 targets. Ours takes a list, each clip with
its own length; transformers takes one padded batch with an attention mask. Not a test: see README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from xlsr_ref.bench import table, turns  # noqa: E402
from xlsr_ref.bench.machine import describe  # noqa: E402

RATE, CLIPS = 16000, 16
FOLDER = ROOT / "xlsr_ref" / "data" / "small-ctc"
Clips = list[tuple[np.ndarray, np.ndarray]]


def make_clips() -> Clips:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2 * RATE, 4 * RATE, CLIPS)
    return [
        (rng.standard_normal(n).astype(np.float32), rng.integers(1, 78, int(rng.integers(10, 31)))) for n in lengths
    ]


def ours(threads: int) -> Callable[[Clips], object]:
    os.environ["XLSR_REF_THREADS"] = str(threads)
    import xlsr_ref

    model = xlsr_ref.load(FOLDER)
    return lambda clips: model.ctc_losses([x for x, _ in clips], RATE, [labels for _, labels in clips])


def theirs(threads: int) -> Callable[[Clips], object]:
    import torch
    from transformers import Wav2Vec2ForCTC

    torch.set_num_threads(threads)
    model = Wav2Vec2ForCTC.from_pretrained(
        FOLDER, dtype=torch.float32
    ).eval()  # eval: no dropout, gradients all the same

    def step(clips: Clips) -> None:
        longest, most = (max(len(pair[i]) for pair in clips) for i in (0, 1))
        x, mask = torch.zeros(len(clips), longest), torch.zeros(len(clips), longest, dtype=torch.long)
        labels = torch.full((len(clips), most), -100)
        for i, (waveform, targets) in enumerate(clips):
            x[i, : len(waveform)], mask[i, : len(waveform)] = torch.from_numpy(waveform), 1
            labels[i, : len(targets)] = torch.from_numpy(targets)
        model.zero_grad()
        model(x, attention_mask=mask, labels=labels).loss.backward()

    return step


PROGRAMS = {"xlsr_ref": ours, "torch": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for both (default: %(default)s)")
    parser.add_argument("--worker", choices=PROGRAMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    clips = make_clips()
    if args.worker:
        turns.serve(lambda: job(PROGRAMS[args.worker](args.threads), clips))
        return
    about = describe(["numpy", "numba", "torch", "transformers"])
    print("\n".join(table.machine(about, args.threads)), flush=True)
    with ExitStack() as open_workers:
        workers = {
            name: open_workers.enter_context(turns.Worker([__file__, "--worker", name, "--threads", str(args.threads)]))
            for name in PROGRAMS
        }
        answers = turns.take_turns(workers, "step", args.rounds)
    audio = sum(len(x) for x, _ in clips) / RATE
    print(f"\n{CLIPS} clips, {audio:.1f} s of audio, {args.rounds} rounds\n")
    seconds = {name: [answer["seconds"] for answer in found[1:]] for name, found in answers.items()}
    print("\n".join(table.programs(seconds, audio)))


def job(step: Callable[[Clips], object], clips: Clips) -> turns.Job:
    return lambda line: {"seconds": turns.timed(lambda: step(clips))[0][0]}


if __name__ == "__main__":
    main()
