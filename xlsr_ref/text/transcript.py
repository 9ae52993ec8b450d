"""A transcript: the text, and where in the recording each word and each character stands.

Times are seconds from the start of the recording. A score is the model's own confidence, from 0 to 1, and not the
probability of being right: confidence.py says how it is made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A stretch of text between ``start`` and ``end`` (seconds), with the confidence ``score`` (0 to 1)."""

    text: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class Alternative:
    """A text that a beam search found: ``score`` = ``acoustic`` + ``language``, natural logarithms, and its share of
    ``probability`` among the alternatives that were kept."""

    text: str
    score: float
    acoustic: float
    language: float
    probability: float


@dataclass(frozen=True)
class WordCheck:
    """Of one word: how probable it is that it was ``said`` there, and the 90 % intervals, in seconds, of where it
    begins (``start``) and ends (``end``)."""

    said: float
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True)
class Check:
    """Of an alignment: one of ``words`` for each of its words; ``other``, the stretches of sound that the text lacks,
    with what was heard there and how probable they are; ``doubts``, what is wrong in words, in the order of time."""

    words: tuple[WordCheck, ...]
    other: tuple[Span, ...]
    doubts: tuple[Span, ...]


@dataclass(frozen=True)
class Transcript:
    """``text``, its ``words``, its ``chars`` (one span per token written; those between words are spaces), the
    confidence ``score`` of the whole (None where there is nothing to be sure of), and the recording's ``duration`` in
    seconds (None where it is not known).

    After a beam search ``alternatives`` are the best texts, the transcript's own first, and ``word_confidence`` has for
    each word the probability of the alternatives that have it, too (text/search/nbest.py). ``utterances`` are those of
    an alignment whose text had several lines, or whose recording is cut into parts; ``check`` is that of an alignment
    that was checked (text/check.py).
    """

    text: str
    words: tuple[Span, ...]
    chars: tuple[Span, ...]
    score: float | None = None
    duration: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    word_confidence: tuple[float, ...] = ()
    utterances: tuple[Span, ...] = ()
    check: Check | None = None

    def __str__(self) -> str:
        return self.text
