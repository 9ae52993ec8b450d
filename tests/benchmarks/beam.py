"""Beam search on 30 s of scores (1499 frames, 32 labels), width 100, beside two other decoders where installed.

    pip install ctc-beam-decoder fast-ctc-decode
    python tests/benchmarks/beam.py --rounds 7

Three kinds of scores: peaked, as a trained network puts them out (3 labels a frame above the threshold), unsure (9) and
flat (27). All decoders take turns; a row has the fastest of the rounds in ms, and in brackets its CPU time.
Same width and threshold for all; ctc-beam-decoder prunes as we do, fast-ctc-decode knows no pruning by score, no space
and no language model. The language model is an ARPA 3-gram of about 100,000 n-grams over made-up words. "greedy" is the
best label of each frame.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.search.arpa import write_arpa
from xlsr_ref.text.search.beam import beam_search, search
from xlsr_ref.text.search.fusion import fuse
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.labels import make_labels
from xlsr_ref.text.search.lm import read_lm

FRAMES, LABELS, WIDTH, TOKEN_MIN = 1499, 32, 100, -5.0
WRITTEN = ["", " ", *"abcdefghijklmnopqrstuvwxyz'-éè"]


def scores(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Log-probabilities (T, V) in float32: peaked, unsure, flat."""
    peaks = np.zeros(FRAMES, int)
    at = 0
    while (at := at + int(rng.integers(3, 6))) < FRAMES:
        peaks[at] = rng.integers(1, LABELS)
    peaked = rng.normal(0, 2, (FRAMES, LABELS))
    peaked[np.arange(FRAMES), peaks] += 9
    drawn = {"peaked": peaked, "unsure": rng.normal(0, 3, (FRAMES, LABELS)), "flat": rng.normal(0, 1, (FRAMES, LABELS))}
    return {name: log_softmax(logits).astype(np.float32) for name, logits in drawn.items()}


def arpa(rng: np.random.Generator, folder: Path) -> tuple[Path, list[str], int]:
    """A 3-gram of some 100,000 n-grams, its words, and how many n-grams there are."""
    words = sorted({"".join(rng.choice(list("etaoinshrdlu"), rng.integers(1, 7))) for _ in range(6000)})
    ranks = np.minimum(rng.zipf(1.3, 140_000) - 1, len(words) - 1)
    lengths = rng.integers(3, 12, 22_000)
    cuts = np.cumsum(lengths)[np.cumsum(lengths) < len(ranks)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = train([[words[rank] for rank in part] for part in np.split(ranks, cuts)], 3)
    path = folder / "lm.arpa"
    path.write_text("".join(write_arpa(model)), encoding="utf-8")
    known = [word for word in model.vocabulary if not word.startswith("<")]
    return path, known, sum(len(grams.words) for grams in model.orders)


def decoders(path: Path, known: list[str]) -> dict[str, Callable[[np.ndarray], object]]:
    """Each takes log-probabilities (T, V)."""
    labels = make_labels(WRITTEN)
    alone = search(labels, width=WIDTH, token_min=TOKEN_MIN)
    with_lm = search(labels, fuse(labels, read_lm(path)), width=WIDTH, token_min=TOKEN_MIN)
    found: dict[str, Callable[[np.ndarray], object]] = {
        "greedy": lambda y: [key for key, _ in itertools.groupby(y.argmax(axis=1).tolist()) if key],
        "ours": lambda y: beam_search(y, alone),
        "ours, 3-gram": lambda y: beam_search(y, with_lm),
    }
    try:
        from ctc_beam_decoder import build_ctcdecoder
    except ImportError as error:
        print(f"without ctc-beam-decoder: {error}")
    else:
        peer, peer_lm = build_ctcdecoder(WRITTEN), build_ctcdecoder(WRITTEN, str(path), known)
        how = {"beam_width": WIDTH, "token_min_logp": TOKEN_MIN}
        found["ctc-beam-decoder"] = lambda y: peer.decode_beams(y, **how)
        found["ctc-beam-decoder, 3-gram"] = lambda y: peer_lm.decode_beams(y, **how)
    try:
        import fast_ctc_decode
    except ImportError as error:
        print(f"without fast-ctc-decode: {error}")
    else:
        alphabet = "-" + "".join(chr(0x4E00 + label) for label in range(1, LABELS))
        cut = float(np.exp(TOKEN_MIN))
        found["fast-ctc-decode"] = lambda y: fast_ctc_decode.beam_search(np.exp(y), alphabet, WIDTH, cut)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    given = scores(rng)
    with tempfile.TemporaryDirectory() as folder:
        path, known, grams = arpa(rng, Path(folder))
        all_decoders = decoders(path, known)
    print(f"{grams} n-grams, {len(known)} words; {FRAMES} × {LABELS}, width {WIDTH}\n")
    print(f"{'':26}" + "".join(f"{name:>22}" for name in given))
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for decode in all_decoders.values():
        decode(given["peaked"])  # compiles, and warms up
    for _ in range(rounds):
        for (kind, y), (name, decode) in itertools.product(given.items(), all_decoders.items()):
            wall, cpu = time.perf_counter(), time.process_time()
            decode(y)
            took = 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)
            best[name, kind] = min(best.get((name, kind), took), took)
    for name in all_decoders:
        print(f"{name:26}" + "".join("{:12.1f} ({:7.1f})".format(*best[name, kind]) for kind in given))
    print("\nms, and in brackets ms of CPU")


if __name__ == "__main__":
    main()
