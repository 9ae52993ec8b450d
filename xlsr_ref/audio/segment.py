"""A part of a long recording, and how long a recording is: for corpora whose clips are cut from files by times.

    start, end  →  the file's own samples from round(start · rate) to round(end · rate)  →  resample.py, like a file

libsndfile jumps to the part, and begins LEAD seconds before it: decoders of MP3, Vorbis and Opus need what comes before
a sample. What ffmpeg decodes is read from the beginning. Letters: L samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from xlsr_ref.audio import sndfile
from xlsr_ref.audio.array import mono, require_finite
from xlsr_ref.audio.ffmpeg import is_for_ffmpeg
from xlsr_ref.audio.manifest import Clip
from xlsr_ref.audio.read import BLOCK, blocks, read
from xlsr_ref.audio.resample import check_rate, float_type, resample_pieces
from xlsr_ref.errors import AudioError
from xlsr_ref.untrusted import shown

LEAD = 1.0  # seconds
UNKNOWN = 1 << 62  # frames: a FLAC that was written to a pipe does not say
SEEKS = ("WAV", "WAVEX", "W64", "RF64", "FLAC", "AIFF", "AU", "CAF", "OGG", "MP3")  # formats in which a jump is exact


def read_clip(clip: Clip, sampling_rate: int, dtype: Any = "float32") -> np.ndarray:
    """The samples (L,) of a clip, mono and at ``sampling_rate`` Hz. Raises AudioError, naming the file."""
    if not clip.is_part:
        return read(clip.path, sampling_rate, dtype)
    target, stream = check_rate(sampling_rate), _part(clip, dtype)
    first, rate = next(stream)
    return np.concatenate(list(resample_pieces(chain([first], (piece for piece, _ in stream)), rate, target)))


def as_recording(clip: Clip, sampling_rate: int) -> Any:
    """A clip as `Model.transcribe` takes it: the path of a whole file, or the samples of a part with their rate."""
    if not clip.is_part:
        return clip.path
    return {"array": read_clip(clip, sampling_rate), "sampling_rate": sampling_rate}


def seconds_of(path: str | os.PathLike[str]) -> float:
    """How long the recording in ``path`` is, by what its decoder finds. Raises AudioError, naming the file."""
    name = shown(path)
    if not is_for_ffmpeg(path) and os.path.isfile(path) and os.path.getsize(path):
        try:
            with sndfile.opened(path) as stream:
                if 0 < stream.frames < UNKNOWN and stream.format != "RAW":
                    return stream.frames / check_rate(stream.samplerate, f"{name}: the sampling rate in its header")
        except (RuntimeError, TypeError, OSError):
            pass  # blocks says what is wrong
    return sum(len(piece) / rate for piece, rate in blocks(path))


def _part(clip: Clip, dtype: Any) -> Iterator[tuple[np.ndarray, int]]:
    """The samples of a part, piece by piece, and the file's own rate. Raises AudioError."""
    name, found = shown(clip.path), False
    for piece, rate, at in _from(clip, dtype):
        first = round(clip.start * rate) - at
        stop = len(piece) if clip.end is None else round(clip.end * rate) - at
        own = piece[max(first, 0) : max(stop, 0)]
        if len(own):
            found = True
            yield own, rate
        if stop <= len(piece) and clip.end is not None:
            break
    if not found:
        raise AudioError(f"{name}: has no sound from {clip.start:g} s on: the times are not of this recording")


def _from(clip: Clip, dtype: Any) -> Iterator[tuple[np.ndarray, int, int]]:
    """Pieces (n,) of the file, its rate, and the number of each piece's first sample, from before the part on."""
    name, at = shown(clip.path), 0
    if is_for_ffmpeg(clip.path) or not os.path.isfile(clip.path):
        for piece, rate in blocks(clip.path, dtype):
            yield piece, rate, at
            at += len(piece)
        return
    try:
        with sndfile.opened(clip.path) as stream:
            rate = check_rate(stream.samplerate, f"{name}: the sampling rate in its header")
            if stream.format in SEEKS:
                at = min(max(0, round((clip.start - LEAD) * rate)), stream.frames)
                with sndfile.silence():
                    stream.seek(at)
            while at < stream.frames:
                with sndfile.silence():
                    piece = stream.read(max(1, BLOCK // stream.channels), dtype="float64", always_2d=True)
                if len(piece) == 0:
                    break
                require_finite(piece, rate, f"{name}: ", at)
                yield mono(piece).astype(float_type(dtype)), rate, at
                at += len(piece)
    except (RuntimeError, TypeError, OSError) as error:
        reason = " ".join(getattr(error, "error_string", str(error)).split())
        raise AudioError(f"{name}: is not audio that libsndfile can read, or is damaged ({reason})") from None
