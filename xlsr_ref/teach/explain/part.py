"""A part of a recording, read no further than its end: hours need not be in memory for a page of seconds."""

from __future__ import annotations

import os

import numpy as np

from xlsr_ref import audio
from xlsr_ref.errors import AudioError


def part_of(path: str | os.PathLike[str], rate: int, start: float, seconds: float) -> tuple[np.ndarray, bool]:
    """The samples (L,) float32 at ``rate`` Hz from ``start`` on, at most ``seconds`` of them, and whether more follow.

    Raises AudioError for what cannot be read, and where the recording ends before ``start``.
    """
    first, last, done = round(start * rate), round((start + seconds) * rate), 0
    kept: list[np.ndarray] = []
    for piece in audio.pieces(path, rate):
        kept.append(piece[max(0, first - done) : max(0, last - done)])
        done += len(piece)
        if done > last:
            break
    part = np.concatenate(kept)
    if len(part) == 0:
        raise AudioError(f"the recording is {done / rate:.2f} s long: it has nothing from {start:g} s on")
    return part, done > last
