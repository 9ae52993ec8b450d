"""Sound that comes while it is spoken: samples in, the text so far out.

    samples ─ resample.py ─ a window of chunks.py as soon as it is full ─ network ─ logits of its own frames ─ decoder
                                                                                  └ of its right context: only ahead

The windows, and which frames count, are those of `transcribe` with the same `chunk_seconds` and `stride_seconds`. One
thing differs: `transcribe` normalises with the mean and the variance of the whole recording, which nobody knows yet.
Here they are those of all that was heard up to the end of the window, or a `scale` that is given. With the recording's
own scale, and a network without group norm, logits and text are those of `transcribe` to the bit.
Letters: L samples, T frames, V tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from xlsr_ref import audio
from xlsr_ref.audio import Preprocessor, Scale
from xlsr_ref.audio.chunks import Chunk, Chunking, chunk_at
from xlsr_ref.audio.resample import Resampler
from xlsr_ref.audio.scale import Sums
from xlsr_ref.errors import AudioError
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.search import wanted_search
from xlsr_ref.model.source import Source
from xlsr_ref.text.search.kenlm_file import KenLM
from xlsr_ref.text.search.lm import LanguageModel
from xlsr_ref.text.search.lm_files import Opened
from xlsr_ref.text.search.so_far import Decoder, PathSoFar, SearchSoFar
from xlsr_ref.text.search.state import Search
from xlsr_ref.text.transcript import Transcript

CHUNK, STRIDE = 6.0, 2.0  # seconds of a window, and of context on each side of what counts
NBEST = 10  # alternatives in the transcript after a beam search


class SoFar(NamedTuple):
    """What was understood until now."""

    text: str  # all of it; what comes after ``final`` may still change
    final: str  # the beginning of ``text`` that does not change any more
    seconds: float  # of sound whose frames were decoded for good


class Stream:
    """Made by :meth:`Model.stream`. ``context`` is how many seconds of sound a frame waits for on its right before it
    counts, and ``latency`` how many at most: the last frame of a window waits for its context, the first one for the
    rest of the window too."""

    def __init__(
        self, model: Parts, sampling_rate: int | None, how: Chunking, decoder: Decoder, scale: Scale | None
    ) -> None:
        rate, c = model.preprocessor.sampling_rate, model.config
        self.sampling_rate = rate if sampling_rate is None else sampling_rate  # Hz, of what is fed
        self._model, self._how, self._decoder, self._scale = model, how, decoder, scale
        self._resampler = Resampler(self.sampling_rate, rate, fewest=c.hop)
        self.context = (how.context * c.hop + c.receptive_field) / rate + self._resampler.delay
        self.latency = ((how.size - how.context) * c.hop + c.receptive_field) / rate + self._resampler.delay
        self._held = np.empty(0, model.dtype)
        self._begin = self._frame = 0  # the first sample that is held; the first frame of the window that comes next
        self._sums = Sums(0, 0.0, 0.0)
        self._ahead: np.ndarray | None = None  # logits of the last window's right context
        self._decoded = 0  # frames
        self._finished = False

    def feed(self, samples: np.ndarray) -> SoFar:
        """The next ``samples`` (n,) or (n, channels), n may be 0; they become text when a window is full.

        Raises AudioError for what is no sound, and after :meth:`finish`; and CannotTranscribeError where the
        network gives NaN.
        """
        if self._finished:
            raise AudioError("the stream is finished: begin another one with model.stream(…)")
        if np.size(samples):
            rate = self.sampling_rate
            self._hear(self._resampler.feed(audio.from_array(samples, rate, rate, self._model.dtype)))
        while self._model.config.frames(self._total) > self._frame + self._how.size:
            self._compute(last=False)
        return self.so_far()

    def finish(self) -> Transcript:
        """What was said in all: no more sound comes. Raises AudioError for less than one frame of sound."""
        self.feed(np.empty(0))
        self._hear(self._resampler.finish())
        self._model.require_a_frame(self._total)
        while self._model.config.frames(self._total) > self._frame + self._how.size:
            self._compute(last=False)
        self._compute(last=True)
        self._finished = True
        rate = self._model.preprocessor.sampling_rate
        return self._decoder.transcript(self._total / rate, self._model.seconds_per_frame, NBEST)

    def so_far(self) -> SoFar:
        """The text until now."""
        if self._decoded == 0:
            return SoFar("", "", 0.0)
        seconds = self._decoded * self._model.seconds_per_frame
        return SoFar(self._decoder.text(self._ahead), self._decoder.final(), seconds)

    @property
    def _total(self) -> int:
        """Samples at the model's rate, until now."""
        return self._begin + len(self._held)

    def _hear(self, x: np.ndarray) -> None:
        self._held = np.concatenate([self._held, x.astype(self._model.dtype, copy=False)])

    def _compute(self, last: bool) -> None:
        """The next window, of which all samples are there."""
        c, how = self._model.config, self._how
        T = c.frames(self._total)
        chunk = chunk_at(self._frame, T, self._total, how.size, how.context, c.hop, c.receptive_field)
        x = self._normalised(chunk)
        logits, _ = self._model.network.forward(x, keep=False)
        self._decoder.add(logits[chunk.own])
        self._decoded = chunk.frames.stop
        self._ahead = None if last else logits[chunk.own.stop :]
        if not last:
            self._frame += how.size - 2 * how.context
            unneeded = self._frame * c.hop - self._begin
            self._held, self._begin = self._held[unneeded:], self._begin + unneeded

    def _normalised(self, chunk: Chunk) -> np.ndarray:
        """The samples of a window as the network takes them. Log-mel features are normalised over the window."""
        x = self._held[chunk.samples.start - self._begin : chunk.samples.stop - self._begin]
        preprocessor = self._model.preprocessor
        if not isinstance(preprocessor, Preprocessor):
            return preprocessor.normalised(x)
        if not preprocessor.do_normalize:
            return x
        new = self._sums.samples - chunk.samples.start  # what comes after this was not in a window before
        self._sums = self._sums.joined(x[max(new, 0) :])
        return audio.rescale(x, self._scale or self._sums.scale())


def stream(
    model: Parts,
    sampling_rate: int | None = None,
    *,
    chunk_seconds: float = CHUNK,
    stride_seconds: float | None = None,
    beam: int | Search | None = None,
    lm: Source | LanguageModel | KenLM | Opened | None = None,
    hotwords: Mapping[str, float] | Collection[str] = (),
    scale: Scale | None = None,
) -> Stream:
    """Transcribe sound while it comes: ``feed(samples)`` gives the text so far and what of it is final, ``finish()``
    the :class:`Transcript` of all.

    ``sampling_rate`` in Hz is that of the samples (None: the model's). A window of ``chunk_seconds`` goes through the
    network when it is full; of it ``stride_seconds`` on each side are context (None: a third of the window). So a
    frame counts after at least ``stride_seconds`` and at most ``chunk_seconds - stride_seconds`` of further sound, 2 to
    4 s by default, and the time to compute; `Stream.context` and `Stream.latency` have both to the sample. A word is
    final when the space after it counts. Before that, the text of the right context is shown, and may change. Each
    second of sound is computed ``chunk_seconds / (chunk_seconds - 2 stride_seconds)`` times, 3 by default.
    ``beam``, ``lm`` and ``hotwords`` are those of `transcribe`. Sound is normalised by what was heard until then, or
    with ``scale``, the `audio.measure` of a whole recording; group norm and log-mel features by the window.
    Raises AudioError for lengths that leave nothing, and for a model with a convolutional adapter, which takes
    recordings in one piece; and what `transcribe` raises for a model or a search that cannot be used.
    """
    tokenizer = model.require_tokenizer()
    search = wanted_search(model, beam, lm, hotwords)
    if stride_seconds is None and isinstance(chunk_seconds, int | float):
        stride_seconds = chunk_seconds * STRIDE / CHUNK
    if model.config.add_adapter:
        raise AudioError("a model with a convolutional adapter takes a recording in one piece: it cannot follow speech")
    how = model.chunking(chunk_seconds, stride_seconds)
    decoder: Decoder = PathSoFar(tokenizer) if search is None else SearchSoFar(search, tokenizer)
    return Stream(model, sampling_rate, how, decoder, scale)
