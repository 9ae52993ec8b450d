"""Audio in, text out: logits, then the best path or a beam search, then words with their times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from xlsr_ref.audio.chunks import Chunking
from xlsr_ref.errors import AudioError
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.recording_logits import Progress, recording_logits, reported
from xlsr_ref.model.search import wanted_search
from xlsr_ref.model.source import Recording, Source, as_source, not_a_recording
from xlsr_ref.ops import threads
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.greedy import best_path, spell
from xlsr_ref.text.search.beam import feed, start
from xlsr_ref.text.search.hypotheses import hypotheses
from xlsr_ref.text.search.kenlm_file import KenLM
from xlsr_ref.text.search.lm import LanguageModel
from xlsr_ref.text.search.lm_files import Opened
from xlsr_ref.text.search.nbest import transcript_of
from xlsr_ref.text.search.state import Search
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.transcript import Transcript

NBEST = 10  # alternatives in a transcript of the beam search


def transcribe(
    model: Parts,
    recording: Recording | Sequence[Recording],
    sampling_rate: int | None = None,
    *,
    chunk_seconds: float | None = None,
    stride_seconds: float | None = None,
    beam: int | Search | None = None,
    lm: Source | LanguageModel | KenLM | Opened | None = None,
    hotwords: Mapping[str, float] | Collection[str] = (),
    progress: Progress | None = None,
) -> Any:
    """The words of a recording, with their times in seconds and a confidence.

    ``recording`` is the path of a sound file, or an array (L,) or (L, channels) with its ``sampling_rate`` in Hz;
    any rate, it is resampled. It may also be {"array": …, "sampling_rate": …}, the bytes of a file, or a file that
    is open for reading them. A list of recordings gives a list of transcripts, one
    recording a :class:`Transcript`: lists run side by side, each at its own length, with the same result as one by one.
    What is longer than 60 s is computed in chunks (chunks.py says how), and a file is then never whole in memory.
    ``chunk_seconds`` cuts all recordings into chunks of this length, and 0 cuts none; of each chunk
    ``stride_seconds`` on each side are context. By default 30 s, and a sixth of the chunk.
    ``beam`` searches for the likeliest text among so many instead of taking each frame's best token; ``lm`` (a file
    or folder, see text/search/lm_files.py) and ``hotwords`` help it choose, with a beam of 100 unless told.
    ``beam=model.search(…)`` has all settings. ``progress`` is called after each chunk of a single recording, with
    the seconds that are done and all of them.
    Raises AudioError for what cannot be read and CannotTranscribeError for a model without a head or a vocabulary,
    DecodingError and LanguageModelError for settings and files of the search that cannot be used.
    """
    tokenizer = model.require_tokenizer()
    search = wanted_search(model, beam, lm, hotwords)
    how = model.chunking(chunk_seconds, stride_seconds)
    if not isinstance(recording, Sequence) or isinstance(recording, str | bytes | bytearray | memoryview):
        return _transcribe_one(model, recording, sampling_rate, how, tokenizer, search, progress)
    if len(recording) and isinstance(recording[0], int | float | np.number):
        raise AudioError(not_a_recording(recording))
    transcripts: dict[int, Transcript] = {}

    def one(i: int, item: Recording) -> None:
        transcripts[i] = _transcribe_one(model, item, sampling_rate, how, tokenizer, search)

    with threads.computing(model.threads):
        threads.run(partial(one, i, item) for i, item in enumerate(recording))
    return [transcripts[i] for i in range(len(recording))]


def _transcribe_one(
    model: Parts,
    recording: Recording,
    sampling_rate: int | None,
    how: Chunking,
    tokenizer: Tokenizer,
    search: Search | None,
    progress: Progress | None = None,
) -> Transcript:
    with as_source(recording, sampling_rate) as (source, rate):
        seconds, parts = recording_logits(model, source, rate, how)
        parts = reported(parts, model, seconds, progress)
        if search is None:
            paths = [best_path(logits, frames.start) for frames, logits in parts]
            best, probability = map(np.concatenate, zip(*paths))
            return spell(best, probability, tokenizer, model.seconds_per_frame, seconds)
        state = start(search)
        for _, logits in parts:
            state = feed(search, state, log_softmax(logits))
    nbest = hypotheses(search, state, NBEST)
    return transcript_of(nbest, search.labels, tokenizer, model.seconds_per_frame, seconds)
