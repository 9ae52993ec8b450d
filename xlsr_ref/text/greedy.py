"""Greedy (best-path) CTC decoding: at every frame take the likeliest token, then collapse the path into a text.

    B(path):  1. merge repeats   a a - a b b  ->  a - a b        Graves et al. 2006, §3.1; `-` is the blank
              2. drop blanks     a - a b      ->  a a b

In this order: a blank between two equal tokens is what keeps a double letter double. [E, E] reads "E", [E, -, E] reads
"EE". The blank is the tokenizer's pad token, whatever its id.
A run of equal tokens covers frames first … last; frame t covers t · seconds_per_frame to (t + 1) · seconds_per_frame,
where seconds_per_frame = hop / rate (0.02 for the released models). CTC puts a token where the network is sure of it,
often late and for one frame: these times say when a word is spoken, not exactly where its sound begins and ends.
Letters: T frames, V entries of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import CannotTranscribeError
from xlsr_ref.text.confidence import of_token, of_tokens
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.transcript import Span, Transcript
from xlsr_ref.unmasked import refuse_masked


class Run(NamedTuple):
    """A token that survived the collapse, and the frames ``first`` to ``stop`` - 1 in which it was the likeliest."""

    token: str
    first: int
    stop: int


def greedy(
    logits: np.ndarray, tokenizer: Tokenizer, seconds_per_frame: float, duration: float | None = None
) -> Transcript:
    """Read ``logits`` (T, V), unnormalised, as text with times in seconds; no span ends after ``duration``.

    Scores are those of text/confidence.py. Raises CannotTranscribeError when a frame has no likeliest token (NaN or
    infinite logits).
    """
    refuse_masked(logits, "logits", CannotTranscribeError)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise CannotTranscribeError(f"logits must have the shape (frames, entries), not {logits.shape}")
    return spell(*best_path(logits), tokenizer, seconds_per_frame, duration)


def spell(
    best: np.ndarray,
    probability: np.ndarray,
    tokenizer: Tokenizer,
    seconds_per_frame: float,
    duration: float | None = None,
) -> Transcript:
    """The second half of :func:`greedy`, from what :func:`best_path` found (T,), (T,). A long recording's logits need
    not be kept for it."""
    limit = math.inf if duration is None else duration
    runs = collapse([tokenizer.token(entry) for entry in best], tokenizer.pad_token)

    def span(part: list[Run]) -> Span:
        text = tokenizer.spelled(run.token for run in part)
        start, end = (min(frame * seconds_per_frame, limit) for frame in (part[0].first, part[-1].stop))
        return Span(text, start, end, of_tokens([of_token(probability[run.first : run.stop]) for run in part]))

    chars = tuple(span([run]) for run in runs)
    return Transcript(
        text=tokenizer.join(run.token for run in runs),
        words=tuple(span(word) for word in split_words(runs, tokenizer)),
        chars=chars,
        score=of_tokens([char.score for char in chars]) if chars else None,
        duration=duration,
    )


def best_path(logits: np.ndarray, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest entry of every frame (T,) and its softmax probability (T,), in float64.

    ``first`` is the number of frames that came before these, for the message of CannotTranscribeError.
    """
    best = logits.argmax(axis=1)
    peak = logits.max(axis=1, keepdims=True).astype(np.float64)  # (T, 1)
    if not np.isfinite(peak).all():
        frame = first + int(np.flatnonzero(~np.isfinite(peak))[0])
        raise CannotTranscribeError(f"the logits of frame {frame} are NaN or infinite: check the weights and the audio")
    return best, 1 / np.exp(logits - peak).sum(axis=1)  # exp(peak - peak) = 1: the numerator of the likeliest


def collapse(path: Sequence[str], blank: str | None) -> list[Run]:
    """The map B: merge repeats, then drop blanks."""
    runs, frame = [], 0
    for token, repeats in groupby(path):  # one group per run of equal tokens
        first, frame = frame, frame + len(list(repeats))
        if token != blank:
            runs.append(Run(token, first, frame))
    return runs


def split_words(runs: Sequence[Run], tokenizer: Tokenizer) -> list[list[Run]]:
    """Cut the runs at every token that stands between words.

    Those are the word delimiter and a token that is itself a space. A vocabulary with neither, as for languages that
    are written without spaces, makes the whole recording one word; one of phonemes makes each phoneme a word.
    """
    if tokenizer.each_is_a_word:
        return [[run] for run in runs]
    groups = groupby(runs, key=lambda run: tokenizer.divides(run.token))
    return [list(word) for is_space, word in groups if not is_space]
