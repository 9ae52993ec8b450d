"""A recording in a file becomes samples: (L,) floats in [−1, 1), one channel, at the rate that is asked for.

    file → libsndfile (sndfile.py) or ffmpeg (ffmpeg.py) → mean of the channels → resample.py

A file is read in pieces, so that a long one is never whole in memory unless :func:`read` asks for it.
Letters: L samples.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from xlsr_ref.audio import sndfile
from xlsr_ref.audio.array import mono, require_finite
from xlsr_ref.audio.ffmpeg import decoded, is_for_ffmpeg
from xlsr_ref.audio.resample import check_rate, float_type, resample_pieces
from xlsr_ref.errors import AudioError
from xlsr_ref.untrusted import shown

BLOCK = 1 << 18  # values decoded at a time: memory follows what a file holds, never what its header promises


def read(path: str | os.PathLike[str], sampling_rate: int, dtype: Any = "float32") -> np.ndarray:
    """The recording in ``path`` as (L,) mono samples at ``sampling_rate`` Hz, in float32 or float64.

    Any format that libsndfile knows, or, where that program is installed, ffmpeg; any rate, any channel count.
    Raises AudioError, naming the file.
    An MP3 of varying bit rate that lacks its Xing header is read only as far as libsndfile guesses it to be long.
    """
    held: list[np.ndarray] = []
    try:
        held.extend(pieces(path, sampling_rate, dtype))
        return np.concatenate(held)
    except MemoryError:
        seconds = sum(map(len, held)) / sampling_rate
        raise MemoryError(f"{shown(path)}, a recording of at least {seconds:,.0f} s") from None


def pieces(path: str | os.PathLike[str], sampling_rate: int, dtype: Any = "float32") -> Iterator[np.ndarray]:
    """The samples of :func:`read`, piece by piece, each (n,); at least one comes. Raises AudioError, see blocks."""
    target, stream = check_rate(sampling_rate), blocks(path, dtype)
    first, rate = next(stream)
    yield from resample_pieces(chain([first], (piece for piece, _ in stream)), rate, target)


def blocks(path: str | os.PathLike[str], dtype: Any = "float32") -> Iterator[tuple[np.ndarray, int]]:
    """The recording in ``path``, piece by piece: (n,) mono samples, and the file's own rate in Hz.

    At least one piece comes. Raises AudioError, at the latest after the last piece, if the file is not whole.
    """
    name = shown(path)
    _require_a_file(path, name)
    numbers, done = float_type(dtype), 0
    if is_for_ffmpeg(path):
        yield from _blocks_of_ffmpeg(path, name, numbers)
        return
    trouble = "is not audio that libsndfile can read"
    try:
        with sndfile.opened(path) as stream:
            trouble = "is cut short or damaged"
            rate = check_rate(stream.samplerate, f"{name}: the sampling rate in its header")
            if stream.format == "RAW":  # libsndfile takes any text for raw samples if it is called x.au or x.vox
                raise AudioError(f"{name}: is not audio, whatever its name says")
            at_once = max(1, BLOCK // stream.channels)
            while (todo := min(at_once, stream.frames - done)) > 0:
                with sndfile.silence():
                    piece = stream.read(todo, dtype="float64", always_2d=True)  # (n, channels), integers in [-1, 1)
                if len(piece) == 0:
                    break
                require_finite(piece, rate, f"{name}: ", done)
                done += len(piece)
                yield mono(piece).astype(numbers), rate
            missing = sndfile.missing(path, stream, done)
    except (RuntimeError, TypeError, OSError) as error:  # soundfile's own errors are RuntimeErrors
        reason = " ".join(getattr(error, "error_string", str(error)).split())
        raise AudioError(f"{name}: {trouble} ({reason})") from None
    if missing:
        raise AudioError(f"{name}: is cut short or damaged: {missing}")
    if done == 0:
        raise AudioError(f"{name}: holds no samples")


def _blocks_of_ffmpeg(path: str | os.PathLike[str], name: str, numbers: Any) -> Iterator[tuple[np.ndarray, int]]:
    """What :func:`blocks` gives, for a file that libsndfile does not read."""
    done = 0
    for piece, header_rate in decoded(path, name, BLOCK):
        rate = check_rate(header_rate, f"{name}: the sampling rate in its header")
        require_finite(piece, rate, f"{name}: ", done)
        done += len(piece)
        yield mono(piece).astype(numbers), rate
    if done == 0:
        raise AudioError(f"{name}: holds no samples")


def _require_a_file(path: str | os.PathLike[str], name: str) -> None:
    try:
        status = os.stat(path)
    except (OSError, ValueError, TypeError) as error:  # ValueError: a NUL in the name
        raise AudioError(f"{name}: cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(f"{name}: is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{name}: is not a regular file; save the recording to one first")
    if status.st_size == 0:
        raise AudioError(f"{name}: is empty (0 bytes)")
