"""What a recording may be: a path, an array, the bytes of a file, an open file, or a dictionary of array and rate."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from typing import IO, Any

import numpy as np

from xlsr_ref.errors import AudioError

Source = str | os.PathLike[str]
Recording = Source | np.ndarray | bytes | bytearray | memoryview | IO[bytes] | Mapping[str, Any]  # see as_source

PIECE = 2**20  # bytes of a file object that are read at once


@contextmanager
def as_source(recording: Recording, sampling_rate: int | None) -> Iterator[tuple[Source | np.ndarray, int | None]]:
    """A ``recording`` as a path or an array, and its sampling rate, as long as the block lasts.

    It may be a path; an array with its ``sampling_rate``; {"array": …, "sampling_rate": …}, as the package datasets
    gives them; or the bytes of a file, or a file that is open for reading bytes. Raises AudioError.
    """
    if isinstance(recording, Mapping):
        yield _of_mapping(recording, sampling_rate)
    elif isinstance(recording, str | os.PathLike | np.ndarray):
        yield recording, sampling_rate
    elif isinstance(recording, bytes | bytearray | memoryview) or callable(getattr(recording, "read", None)):
        with tempfile.TemporaryDirectory(prefix="xlsr_ref-") as folder:
            path = Path(folder, "recording")
            name = _spool(recording, path)
            try:
                yield path, sampling_rate
            except AudioError as error:
                raise AudioError(str(error).replace(str(path), name)) from None
    else:
        raise AudioError(not_a_recording(recording))


def not_a_recording(value: Any) -> str:
    """What is wrong with something that is no recording."""
    said = f"a recording is a path or an array, not {type(value).__name__}"
    of_numbers = isinstance(value, Sequence) and len(value) > 0 and isinstance(value[0], Number | Sequence)
    return f"{said}: for a list of samples give numpy.asarray(it), with its sampling_rate" if of_numbers else said


def _of_mapping(recording: Mapping[str, Any], sampling_rate: int | None) -> tuple[np.ndarray, int]:
    lacking = [key for key in ("array", "sampling_rate") if key not in recording]
    if lacking:
        raise AudioError(f"a recording as a dictionary needs 'array' and 'sampling_rate': it has no {lacking[0]!r}")
    own = recording["sampling_rate"]
    if sampling_rate is not None and sampling_rate != own:
        raise AudioError(f"the recording says sampling_rate={own!r}, the call {sampling_rate!r}: leave out the second")
    return np.asanyarray(recording["array"]), own


def _spool(recording: Any, path: Path) -> str:
    """Write the bytes of a recording into ``path``: a decoder goes over them several times. How to call it."""
    name = "the bytes"
    with open(path, "wb") as file:
        if not callable(getattr(recording, "read", None)):
            file.write(recording)
            return name
        name = str(getattr(recording, "name", "the file object"))
        while piece := recording.read(PIECE):
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise AudioError(f"{name} gives {type(piece).__name__}, not bytes: open it in binary mode, 'rb'")
            file.write(piece)
    return name if name.isprintable() else ascii(name)
