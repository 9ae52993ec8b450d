"""Audio and its text in, times out: when each word and character of a known text is spoken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xlsr_ref.audio.levels import STEP, levels
from xlsr_ref.errors import AlignmentError
from xlsr_ref.model.check import check as check_alignment
from xlsr_ref.model.check import with_label_prior
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.recording_logits import Progress, pieces_of, recording_logits, reported
from xlsr_ref.model.source import Recording, as_source
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.align_text import align_words, words_to_align
from xlsr_ref.text.merge import with_utterances
from xlsr_ref.text.tokenizer import STAR
from xlsr_ref.text.transcript import Span, Transcript, WordCheck
from xlsr_ref.text.word_bounds import Beginning, Ending, word_ends, word_starts


def align(
    model: Parts,
    recording: Recording,
    text: str,
    sampling_rate: int | None = None,
    *,
    phonemes: bool = False,
    chunk_seconds: float | None = None,
    stride_seconds: float | None = None,
    check: bool = False,
    label_prior: float = 0.0,
    progress: Progress | None = None,
) -> Transcript:
    """When each word and character of ``text``, which is what was said in the recording, is spoken.

    ``recording``, ``sampling_rate``, the chunks and ``progress`` are those of :meth:`transcribe`; of the hours of a
    long one only the log-probabilities are kept. Lines of the text become utterances. A word that is only "*" stands
    for anything. A word begins and ends where its sound does (text/word_bounds.py), its characters, and a "*",
    where the network puts them. Where the model writes phonemes, ``text`` goes through the package phonemizer, or is
    itself in ``phonemes`` with spaces between them.
    With ``check`` the transcript's ``check`` says how sure each word and boundary is, and where text and sound differ
    (model/check.py). ``label_prior``, from 0 to 1, divides by that share of the tokens' priors: letters become less
    peaky, and boundaries a little better.
    Raises AudioError, CannotTranscribeError, VocabularyError, and AlignmentError for a text that is empty, too long
    for the recording, or has what the vocabulary cannot spell.
    """
    tokenizer = model.require_tokenizer()
    if not isinstance(text, str):
        raise AlignmentError(f"the text is {type(text).__name__}: give a str, of one recording")
    how = model.chunking(chunk_seconds, stride_seconds)
    if not 0 <= label_prior <= 1:
        raise AlignmentError(f"label_prior is {label_prior!r}: give a share from 0 to 1")
    entries = len(model.params["lm_head"]["weight"])
    words = words_to_align(text, tokenizer, entries, phonemes)  # refused before the work, which may take minutes
    with as_source(recording, sampling_rate) as (source, rate):
        seconds, parts = recording_logits(model, source, rate, how)
        parts = reported(parts, model, seconds, progress)
        log_probs = np.concatenate([log_softmax(logits).astype(model.dtype) for _, logits in parts])
        loudness = levels(pieces_of(model, source, rate)(), model.preprocessor.sampling_rate)
    if label_prior:
        log_probs = with_label_prior(log_probs, label_prior)
    aligned = align_words(log_probs, words, tokenizer, model.seconds_per_frame, seconds)
    if check:
        aligned = replace(aligned, check=check_alignment(log_probs, words, aligned, tokenizer, model.seconds_per_frame))
    aligned = _with_bounds(aligned, loudness)
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return aligned
    return with_utterances(aligned, [(line, len(tokenizer.words_of(line, phonemes))) for line in lines])


def _with_bounds(aligned: Transcript, loudness: np.ndarray) -> Transcript:
    """The alignment with the bounds of its words, and their intervals, as the sound has them. Wildcards stay."""
    starts, endings = word_starts(aligned.words, loudness, STEP), word_ends(aligned.words, loudness, STEP)
    words: list[Span] = []
    for one, first, last in zip(aligned.words, starts, endings):
        start, end = one.start, one.end
        if first is not None and one.text != STAR:
            start = min(start, max(first.start, words[-1].end if words else 0.0))
        if last is not None and one.text != STAR:
            end = max(end, last.end if aligned.duration is None else min(last.end, aligned.duration))
        words.append(replace(one, start=start, end=end))
    aligned = replace(aligned, words=tuple(words))
    if aligned.check is None:
        return aligned
    checks = tuple(map(_checked, aligned.check.words, starts, endings))
    return replace(aligned, check=replace(aligned.check, words=checks))


def _checked(one: WordCheck, first: Beginning | None, last: Ending | None) -> WordCheck:
    """The intervals of a word by the sound where a pause shows them, and by both where none does."""
    if first is not None:
        one = replace(one, start=(max(first.low, 0.0), first.high))
    if last is None:
        return one
    if last.pause:
        return replace(one, end=(last.low, last.high))
    return replace(one, end=(min(one.end[0], last.low), max(one.end[1], last.high)))
