"""From a recording to logits: in one piece, or chunk by chunk.

    1. once through it   its length, and the mean and variance that it is normalised with
    2. short             its samples were held meanwhile: the network takes them all
       long              it is read again, in the chunks of chunks.py, and is never whole in memory

A model whose first layer is normalised over time needs that layer's moments of the whole recording: they are taken in
a pass of their own, before the first chunk. A model that takes log-mel features has those of the whole recording in
memory, half as many numbers as samples, and its chunks are cut from them.
Letters: L samples, T frames, V tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from xlsr_ref import audio
from xlsr_ref.audio import Preprocessor, Scale
from xlsr_ref.audio.chunks import Chunking, chunks, cut, first_pass
from xlsr_ref.audio.log_mel import LogMel
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.source import Source
from xlsr_ref.ops import threads
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.feature_encoder import first_moments

Pieces = Callable[[], Iterable[np.ndarray]]  # a recording, piece by piece, as often as it is called
Part = tuple[slice, np.ndarray]  # frames of the recording, and their logits (T', V)
Progress = Callable[[float, float], None]  # is told the seconds of a recording that are done, and all of them

STATISTICS_ROWS = 4096  # of the first convolution, made at once where only group norm's statistics are wanted


def recording_logits(
    model: Parts, recording: Source | np.ndarray, sampling_rate: int | None, how: Chunking
) -> tuple[float, Iterator[Part]]:
    """The seconds of a ``recording``, and its logits, part after part, as they are computed.

    ``recording`` and ``sampling_rate`` are those of `Model.transcribe`. Raises AudioError.
    """
    pieces, rate = pieces_of(model, recording, sampling_rate), model.preprocessor.sampling_rate
    scale, short = first_pass(pieces(), how.above * rate)
    parts = in_chunks(model, pieces, scale, how) if short is None else _in_one_piece(model, short)
    return scale.samples / rate, parts


def reported(parts: Iterator[Part], model: Parts, seconds: float, progress: Progress | None) -> Iterator[Part]:
    """The same parts; after each, ``progress`` is told the seconds that are done and all ``seconds``."""
    for frames, logits in parts:
        yield frames, logits
        if progress is not None:
            progress(min(frames.stop * model.seconds_per_frame, seconds), seconds)


def pieces_of(model: Parts, recording: Source | np.ndarray, sampling_rate: int | None) -> Pieces:
    """The samples of a ``recording``, mono and at the model's rate. Raises AudioError."""
    rate = model.preprocessor.sampling_rate
    if isinstance(recording, np.ndarray):
        waveform = audio.from_array(recording, sampling_rate, rate, model.dtype)
        return lambda: [waveform]
    return lambda: audio.pieces(recording, rate, model.dtype)


def in_chunks(model: Parts, pieces: Pieces, scale: Scale, how: Chunking) -> Iterator[Part]:
    """Each chunk's own frames and their logits. Raises AudioError."""
    model.require_a_frame(scale.samples)
    if isinstance(model.preprocessor, LogMel):
        return _of_features(model, model.preprocessor.features(pieces(), scale.samples, model.dtype), how)
    return _of_samples(model, pieces, scale, how)


def _of_features(model: Parts, features: np.ndarray, how: Chunking) -> Iterator[Part]:
    """The chunks of a network that takes ``features`` (T, F): those of the whole recording are in memory."""
    for chunk in chunks(len(features), how.size, how.context, (1,), (1,)):
        logits, _ = model.network.forward(features[chunk.samples], keep=False)
        yield chunk.frames, logits[chunk.own]


def _of_samples(model: Parts, pieces: Pieces, scale: Scale, how: Chunking) -> Iterator[Part]:
    """The chunks of a network that takes samples, read as they are needed."""
    c, p, preprocessor = model.config, model.network.base["feature_extractor"], model.preprocessor
    assert isinstance(c, Config)
    assert isinstance(preprocessor, Preprocessor)

    def normalised(parts: Sequence[slice]) -> Iterator[np.ndarray]:
        for x in cut(pieces(), parts):
            yield audio.rescale(x, scale) if preprocessor.do_normalize else x

    plan = chunks(scale.samples, how.size, how.context, c.conv_kernel, c.conv_stride)
    options: dict[str, Any] = {}
    if c.feat_extract_norm == "group" and len(plan) > 1:  # its statistics are those of the whole recording
        rows = chunks(scale.samples, STATISTICS_ROWS, 0, c.conv_kernel[:1], c.conv_stride[:1])
        with threads.computing(model.threads):
            options["stats"] = first_moments(normalised([row.samples for row in rows]), p, c)
    for chunk, x in zip(plan, normalised([chunk.samples for chunk in plan])):
        logits, _ = model.network.forward(x, keep=False, **options)
        yield chunk.frames, logits[chunk.own]


def _in_one_piece(model: Parts, waveform: np.ndarray) -> Iterator[Part]:
    logits, _ = model.network.forward(model.normalised(waveform), keep=False)
    yield slice(0, len(logits)), logits


def logits(
    model: Parts,
    waveform: np.ndarray,
    sampling_rate: int,
    *,
    chunk_seconds: float | None = None,
    stride_seconds: float | None = None,
) -> np.ndarray:
    """Unnormalised log-probabilities (T, V) of ``waveform`` (L,), at the model's rate.

    In one piece, unless ``chunk_seconds`` asks for chunks: see :meth:`transcribe`. Raises AudioError, and
    CannotTranscribeError where the model has no lm_head.
    """
    model.require_ctc_head()
    how = model.chunking(0 if chunk_seconds is None else chunk_seconds, stride_seconds)
    x, c = model.mono(waveform, sampling_rate), model.config
    if how.size == 0:
        return model.network.forward(model.normalised(x), keep=False)[0]
    T, V = c.frames(len(x)), len(model.params["lm_head"]["weight"])
    logits = np.empty((T, V), model.dtype)
    for frames, own in in_chunks(model, lambda: [x], audio.measure([x]), how):
        logits[frames] = own
    return logits
