"""A transcript: the text, and where in the recording each word and each character was heard.

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
class Transcript:
    """``text``, its ``words``, its ``chars`` (one span per token written; those between words are spaces), the
    confidence ``score`` of the whole (None where there is nothing to be sure of), and the recording's ``duration`` in
    seconds (None where it is not known)."""

    text: str
    words: tuple[Span, ...]
    chars: tuple[Span, ...]
    score: float | None = None
    duration: float | None = None

    def __str__(self) -> str:
        return self.text
