"""Word boundaries against those that are known by construction: clips joined with pauses between them.

    python tests/benchmarks/boundaries.py CORPUS [--lists asterisk,fsdd] [--split test] [--minutes 5]

Each clip is cut where it is 40 dB below its loudest 10 ms, so its first word begins and its last word ends with it.
Clips are joined into recordings of half a minute, with pauses of 0.2 to 1 s and noise 35 dB below the speech throughout.
Prints the median error of the beginnings and ends (|estimate − truth|), the mean signed one, and how many truths lie in
the 90 % intervals of `align(check=True)`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2])]

import xlsr_ref  # noqa: E402
from xlsr_ref import audio  # noqa: E402
from xlsr_ref.audio.manifest import read_manifest  # noqa: E402

RATE, BLOCK = 16000, 160
LONG = 30.0  # seconds of a recording


class Joined(NamedTuple):
    x: np.ndarray  # (L,)
    text: str
    bounds: list[tuple[int, int, float, float]]  # number of the first and the last word of each clip, and their times


def trimmed(x: np.ndarray, below: float = 40.0) -> np.ndarray:
    """A clip without what is more than so many dB below its loudest 10 ms at both ends."""
    levels = np.square(x[: len(x) // BLOCK * BLOCK].reshape(-1, BLOCK)).mean(axis=1)
    loud = np.flatnonzero(levels > levels.max() * 10 ** (-below / 10))
    return x[loud[0] * BLOCK : (loud[-1] + 1) * BLOCK]


def joined(corpus: Path, lists: list[str], split: str, minutes: float, rng: np.random.Generator) -> list[Joined]:
    """Recordings of clips with pauses, each of one list and one language."""
    groups: dict[tuple[str, str], list] = {}
    for name in lists:
        for clip in read_manifest(corpus / f"{name}.tsv"):
            if clip.split == split and clip.text:
                groups.setdefault((name, clip.lang), []).append(clip)
    recordings = []
    for clips in groups.values():
        order, total = list(rng.permutation(len(clips))), 0.0
        while order and total < 60 * minutes / len(groups):
            parts: list[np.ndarray] = [np.zeros(int(0.3 * RATE))]
            texts, bounds, words = [], [], 0
            while order and sum(map(len, parts)) < LONG * RATE:
                clip = clips[order.pop()]
                x = trimmed(audio.read(clip.path, RATE, "float64"))
                x = 0.1 * x / np.sqrt(np.square(x).mean())
                start = sum(map(len, parts)) / RATE
                count = len(clip.text.split())
                bounds.append((words, words + count - 1, start, start + len(x) / RATE))
                words += count
                texts.append(clip.text)
                parts += [x, np.zeros(int(rng.uniform(0.2, 1.0) * RATE))]
            x = np.concatenate(parts)
            x += 0.1 * 10 ** (-35 / 20) * rng.standard_normal(len(x))
            recordings.append(Joined(x.astype(np.float32), " ".join(texts), bounds))
            total += len(x) / RATE
    return recordings


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("corpus", type=Path)
    p.add_argument("--lists", default="asterisk,fsdd")
    p.add_argument("--split", default="test")
    p.add_argument("--minutes", type=float, default=5.0)
    p.add_argument("--label-prior", type=float, default=0.0)
    a = p.parse_args()
    model = xlsr_ref.load()
    recordings = joined(a.corpus, a.lists.split(","), a.split, a.minutes, np.random.default_rng(0))
    off: dict[str, list[float]] = {"start": [], "end": []}
    inside: dict[str, list[bool]] = {"start": [], "end": []}
    for one in recordings:
        aligned = model.align(one.x, one.text, RATE, check=True, label_prior=a.label_prior)
        for first, last, start, end in one.bounds:
            for what, word, truth in (("start", first, start), ("end", last, end)):
                off[what].append(getattr(aligned.words[word], what) - truth)
                low, high = getattr(aligned.check.words[word], what)
                inside[what].append(low <= truth <= high)
    minutes = sum(len(one.x) for one in recordings) / RATE / 60
    found = {
        what: {
            "median error": round(float(np.median(np.abs(off[what]))), 3),
            "mean": round(float(np.mean(off[what])), 3),
            "inside": round(float(np.mean(inside[what])), 3),
        }
        for what in off
    }
    print(json.dumps({"split": a.split, "minutes": round(minutes, 1), "clips": len(off["start"]), **found}))


if __name__ == "__main__":
    main()
