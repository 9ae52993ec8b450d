"""Sentences that were not said, and speech that is not in the text: how often `align(check=True)` finds them.

    python tests/benchmarks/sentences.py CORPUS [--split test] [--recordings 60]

Each recording is four clips of one language and list with pauses between them, as in boundaries.py. It is aligned three
times: with its own text; with a sentence more, from the other split, between two of them; with one sentence less. A
sentence counts as found where more than half of its words are said with less than even odds, and missing text where
`other` covers more than half of its stretch. False alarms are the same of sentences that were said and are in the text.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2])]

from boundaries import RATE, trimmed  # noqa: E402

import xlsr_ref  # noqa: E402
from xlsr_ref import audio  # noqa: E402
from xlsr_ref.audio.manifest import read_manifest  # noqa: E402
from xlsr_ref.text.transcript import Check  # noqa: E402

CLIPS, WORDS = 4, 4  # of a recording; words of a sentence at least


def doubted(check: Check, first: int, count: int) -> bool:
    """Was this sentence probably not said?"""
    return bool(np.mean([one.said < 0.5 for one in check.words[first : first + count]]) > 0.5)


def covered(check: Check, start: float, end: float) -> bool:
    """Does `other` say that the text lacks this stretch?"""
    inside = sum(max(0.0, min(one.end, end) - max(one.start, start)) for one in check.other)
    return inside > 0.5 * (end - start)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("corpus", type=Path)
    p.add_argument("--split", default="test")
    p.add_argument("--recordings", type=int, default=60)
    a = p.parse_args()
    rng, model = np.random.default_rng(0), xlsr_ref.load()
    clips = [one for one in read_manifest(a.corpus / "asterisk.tsv") if one.text and len(one.text.split()) >= WORDS]
    names = (
        "said",
        "doubted though said",
        "extra",
        "extra found",
        "other though in the text",
        "missing",
        "missing found",
    )
    counts = dict.fromkeys(names, 0)
    for _ in range(a.recordings):
        lang = str(rng.choice(sorted({one.lang for one in clips})))
        own = [one for one in clips if one.lang == lang and one.split == a.split]
        extra = str(rng.choice([one.text for one in clips if one.lang == lang and one.split == "train"]))
        chosen = [own[i] for i in rng.choice(len(own), CLIPS, replace=False)]
        parts, times, texts = [np.zeros(RATE // 3)], [], [one.text for one in chosen]
        for one in chosen:
            x = trimmed(audio.read(one.path, RATE, "float64"))
            start = sum(map(len, parts)) / RATE
            times.append((start, start + len(x) / RATE))
            parts += [0.1 * x / np.sqrt(np.square(x).mean()), np.zeros(int(rng.uniform(0.2, 1.0) * RATE))]
        x = np.concatenate(parts)
        x = (x + 0.1 * 10 ** (-35 / 20) * rng.standard_normal(len(x))).astype(np.float32)
        lengths = [len(text.split()) for text in texts]
        firsts = np.cumsum([0, *lengths])
        check = model.align(x, "\n".join(texts), RATE, check=True).check
        counts["said"] += CLIPS
        counts["doubted though said"] += sum(doubted(check, f, n) for f, n in zip(firsts, lengths))
        counts["other though in the text"] += sum(covered(check, *stretch) for stretch in times)
        more = [*texts[:2], extra, *texts[2:]]
        check = model.align(x, "\n".join(more), RATE, check=True).check
        counts["extra"] += 1
        counts["extra found"] += doubted(check, firsts[2], len(extra.split()))
        check = model.align(x, "\n".join([*texts[:1], *texts[2:]]), RATE, check=True).check
        counts["missing"] += 1
        counts["missing found"] += covered(check, *times[1])
    print(json.dumps({"split": a.split, **{name: int(value) for name, value in counts.items()}}))


if __name__ == "__main__":
    main()
