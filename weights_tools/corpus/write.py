"""A list and its sound files, as every corpus of this project is laid out: 16 kHz, mono, 16 bits.

    asterisk.tsv               path, lang, speaker, seconds, split, text, with tabs between them
    asterisk/en/…              the recordings: FLAC where nothing shall be lost, Ogg Vorbis for training

The split of a text is decided by the text itself, so that a text is in one split only, whoever builds the corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.signal import resample_poly

from xlsr_ref.files import write_whole

RATE = 16000
COLUMNS = ("path", "lang", "speaker", "seconds", "split", "text")
BLOCK = 4096  # samples: libsndfile's Vorbis encoder fails on long blocks


class Row(NamedTuple):
    """A clip of a corpus, and its sound (L,) at 16 kHz."""

    path: str  # its suffix says the format
    lang: str
    speaker: str
    split: str
    text: str
    sound: np.ndarray


def split_of(lang: str, text: str) -> str:
    """By SHA-1 of "v1|lang|text" modulo 100: below 10 test, below 20 dev, else train."""
    bucket = int(hashlib.sha1(f"v1|{lang}|{text}".encode()).hexdigest(), 16) % 100
    return "test" if bucket < 10 else "dev" if bucket < 20 else "train"


def at_16_khz(sound: np.ndarray, rate: int) -> np.ndarray:
    """``sound`` (L,) or (L, channels) at ``rate`` Hz, as (L',) at 16 kHz."""
    mono = sound.mean(axis=1) if sound.ndim == 2 else sound
    shared = gcd(rate, RATE)
    return mono if rate == RATE else resample_poly(mono, RATE // shared, rate // shared)


def trimmed(sound: np.ndarray, threshold: float = 0.02, margin: int = 1600) -> np.ndarray:
    """``sound`` without the silence around it but for a tenth of a second, its peak at one half; (0,) of silence."""
    peak = float(np.abs(sound).max(initial=0.0))
    loud = np.flatnonzero(np.abs(sound) > threshold * peak)
    if peak < 1e-3 or not len(loud):
        return sound[:0]
    return sound[max(0, loud[0] - margin) : loud[-1] + margin] / peak * 0.5


def write(rows: Iterable[Row], folder: Path, name: str) -> tuple[int, float]:
    """Write the sounds below ``folder`` and then the list ``name``; how many clips and seconds. Raises ValueError."""
    lines, seconds = ["\t".join(COLUMNS)], 0.0
    for row in rows:
        place = folder / row.path
        place.parent.mkdir(parents=True, exist_ok=True)
        _write_sound(place, row.sound)
        duration = len(row.sound) / RATE
        seconds += duration
        lines.append("\t".join([row.path, row.lang, row.speaker, f"{duration:.3f}", row.split, row.text]))
    if len(lines) == 1:
        raise ValueError(f"no clip for {name} was found in the files that were given")
    write_whole(folder / name, "\n".join(lines) + "\n")
    return len(lines) - 1, seconds


def _write_sound(place: Path, sound: np.ndarray) -> None:
    if place.suffix == ".flac":
        soundfile.write(place, sound, RATE, format="FLAC", subtype="PCM_16")
        return
    with soundfile.SoundFile(place, "w", RATE, 1, format="OGG", subtype="VORBIS") as file:
        for begin in range(0, len(sound), BLOCK):
            file.write(sound[begin : begin + BLOCK])
