"""Hearing: a recording becomes logits, in one piece or chunk by chunk.

    1. once through it   its length, and the mean and variance that it is normalised with
    2. short             its samples were held meanwhile: the network takes them all
       long              it is read again, in the chunks of chunks.py, and is never whole in memory

A model whose first layer is normalised over time needs that layer's moments of the whole recording: they are taken in
a pass of their own, before the first chunk.
Letters: L samples, T frames, V tokens.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from xlsr_ref import audio
from xlsr_ref.audio import Scale
from xlsr_ref.chunks import Chunking, chunks, cut, first_pass
from xlsr_ref.errors import AudioError
from xlsr_ref.ops import threads
from xlsr_ref.wav2vec2.feature_encoder import first_moments

if TYPE_CHECKING:
    from xlsr_ref.model import Model

Source = str | os.PathLike[str]
Recording = Source | np.ndarray | bytes | bytearray | memoryview | IO[bytes] | Mapping[str, Any]  # see :func:`taken`
Pieces = Callable[[], Iterable[np.ndarray]]  # a recording, piece by piece, as often as it is called
Part = tuple[slice, np.ndarray]  # frames of the recording, and their logits (T', V)
Progress = Callable[[float, float], None]  # is told the seconds of a recording that are done, and all of them

PIECE = 2**20  # bytes of a file object that are read at once
STATISTICS_ROWS = 4096  # of the first convolution, made at once where only group norm's statistics are wanted


@contextmanager
def taken(recording: Recording, sampling_rate: int | None) -> Iterator[tuple[Source | np.ndarray, int | None]]:
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


def hear(
    model: Model, recording: Source | np.ndarray, sampling_rate: int | None, how: Chunking
) -> tuple[float, Iterator[Part]]:
    """The seconds of a ``recording``, and its logits, part after part, as they are computed.

    ``recording`` and ``sampling_rate`` are those of `Model.transcribe`. Raises AudioError.
    """
    pieces, rate = pieces_of(model, recording, sampling_rate), model.preprocessor.sampling_rate
    scale, short = first_pass(pieces(), how.above * rate)
    parts = in_chunks(model, pieces, scale, how) if short is None else _in_one_piece(model, short)
    return scale.samples / rate, parts


def reported(parts: Iterator[Part], model: Model, seconds: float, progress: Progress | None) -> Iterator[Part]:
    """The same parts; after each, ``progress`` is told the seconds that are done and all ``seconds``."""
    for frames, logits in parts:
        yield frames, logits
        if progress is not None:
            progress(min(frames.stop * model.seconds_per_frame, seconds), seconds)


def pieces_of(model: Model, recording: Source | np.ndarray, sampling_rate: int | None) -> Pieces:
    """The samples of a ``recording``, mono and at the model's rate. Raises AudioError."""
    rate = model.preprocessor.sampling_rate
    if isinstance(recording, np.ndarray):
        waveform = audio.from_array(recording, sampling_rate, rate, model.dtype)
        return lambda: [waveform]
    return lambda: audio.pieces(recording, rate, model.dtype)


def in_chunks(model: Model, pieces: Pieces, scale: Scale, how: Chunking) -> Iterator[Part]:
    """Each chunk's own frames and their logits. Raises AudioError."""
    c, p = model.config, model.network.base["feature_extractor"]
    model.require_a_frame(scale.samples)

    def heard(parts: Sequence[slice]) -> Iterator[np.ndarray]:
        for x in cut(pieces(), parts):
            yield audio.rescale(x, scale) if model.preprocessor.do_normalize else x

    plan = chunks(scale.samples, how.size, how.context, c.conv_kernel, c.conv_stride)
    over = None
    if c.feat_extract_norm == "group" and len(plan) > 1:  # its statistics are those of the whole recording
        rows = chunks(scale.samples, STATISTICS_ROWS, 0, c.conv_kernel[:1], c.conv_stride[:1])
        with threads.computing(model.threads):
            over = first_moments(heard([row.samples for row in rows]), p, c)
    for chunk, x in zip(plan, heard([chunk.samples for chunk in plan])):
        logits, _ = model.network.forward(x, keep=False, over=over)
        yield chunk.frames, logits[chunk.own]


def _in_one_piece(model: Model, waveform: np.ndarray) -> Iterator[Part]:
    logits, _ = model.network.forward(model.normalised(waveform), keep=False)
    yield slice(0, len(logits)), logits
