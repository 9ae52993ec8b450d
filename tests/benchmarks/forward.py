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
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import turns

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

RATE = 16000

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
        forward, rng = PROGRAMS[args.worker](args.folder, args.threads, args.attention), np.random.default_rng(0)
        turns.serve(lambda line: forward((0.1 * rng.standard_normal(round(float(line) * RATE))).astype(np.float32)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "config.json").exists():
            make_model(folder)
        options = ["--folder", str(folder), "--threads", str(args.threads), "--attention", args.attention]
        print(turns.machine(args.threads), flush=True)
        commands = {program: [__file__, "0", "--worker", program, *options] for program in PROGRAMS}
        for audio, times in turns.compare(commands, map(str, args.seconds), args.rounds).items():
            print(f"\n{float(audio):g} s of audio, {args.rounds} rounds, torch with {args.attention} attention")
            turns.report(times, float(audio))


if __name__ == "__main__":
    main()
