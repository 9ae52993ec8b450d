"""Where words begin and end: CTC puts the first letter of a word late and the last one early, so the sound is asked.

    level of the word   the 90th percentile over its frames            floor   the 10th percentile, 5 s on both sides
    threshold(a) = floor + a (level − floor)                           in dB, every 10 ms
    end                 after the last letter, where the level falls below threshold(END) for QUIET seconds
    interval            from where it falls below threshold(EARLY) to where it does below threshold(LATE), ± MARGIN

Where there is no such pause before the next word begins, the word ends there, at the latest FARTHEST after its last
letter; and where a word is not RANGE dB above the floor, nothing is changed. A beginning is an end in the sound played
backwards, steeper, and changed only where there is a pause. The numbers were chosen with clips of the bundled model's
training data, joined with pauses (tests/benchmarks/boundaries.py): nine of ten bounds are in their intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xlsr_ref.text.transcript import Span

END, EARLY, LATE = 0.1, 0.2, 0.05
MARGIN = 0.03  # seconds
START_MARGIN = 0.007
QUIET = 0.1
FARTHEST = 0.4
AROUND = 5.0
RANGE = 10.0  # dB


class Ending(NamedTuple):
    """Of a word: its ``end`` and the 90 % interval in seconds, and whether a ``pause`` follows it."""

    end: float
    low: float
    high: float
    pause: bool


def word_ends(words: Sequence[Span], levels: np.ndarray, step: float) -> list[Ending | None]:
    """Where each of ``words`` ends, by the ``levels`` (n,) of the recording in dB, ``step`` seconds apart; None where
    the sound does not tell."""
    starts = [word.start for word in words[1:]] + [len(levels) * step]
    return [_ending(word, following, levels, step) for word, following in zip(words, starts)]


class Beginning(NamedTuple):
    """Of a word: its ``start`` and the 90 % interval in seconds."""

    start: float
    low: float
    high: float


def word_starts(words: Sequence[Span], levels: np.ndarray, step: float) -> list[Beginning | None]:
    """Where each of ``words`` begins, as :func:`word_ends` has it; None also where no pause stands before the word."""
    whole, narrower = len(levels) * step, MARGIN - START_MARGIN
    backwards = [replace(word, start=whole - word.end, end=whole - word.start) for word in reversed(words)]
    endings = reversed(word_ends(backwards, levels[::-1], step))
    return [
        Beginning(whole - one.end, whole - one.high + narrower, whole - one.low - narrower)
        if one is not None and one.pause
        else None
        for one in endings
    ]


def _ending(word: Span, following: float, levels: np.ndarray, step: float) -> Ending | None:
    n, around = len(levels), round(AROUND / step)
    start = round(word.start / step)
    last = min(max(round(word.end / step), start + 1), n)
    if start >= last:
        return None
    level = float(np.percentile(levels[start:last], 90))
    floor = float(np.percentile(levels[max(0, start - around) : last + around], 10))
    if level - floor < RANGE:
        return None
    stop = min(round(following / step), n, last + round(FARTHEST / step))
    fell = [_falls(levels[last:stop], floor + share * (level - floor), round(QUIET / step))
            for share in (END, EARLY, LATE)]  # fmt: skip
    (end, pause), (early, _), (late, _) = fell
    low, high = (last + early) * step - MARGIN, (last + late) * step + MARGIN
    found = (last + end - (0.5 if pause else 0.0)) * step  # it fell somewhere in the last loud one
    return Ending(max(found, word.end), max(low, 0.0), high, pause)


def _falls(levels: np.ndarray, threshold: float, quiet: int) -> tuple[int, bool]:
    """After how many of ``levels`` they fall below ``threshold`` for so many ``quiet`` ones, and whether they do."""
    end = 0
    for i, one in enumerate(levels.tolist()):
        if one > threshold:
            end = i + 1
        elif i + 1 - end >= quiet:
            return end, True
    return end, False
