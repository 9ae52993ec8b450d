"""A transcript: the text, and where in the recording each word and each character was heard.

Times are seconds from the start of the recording. A score is the model's own confidence, from 0 to 1; it is not the
probability of being right, because networks trained with CTC are far too sure of themselves.
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
    """``text``, its ``words``, and its ``chars`` (one span per token written; those between words are spaces)."""

    text: str
    words: tuple[Span, ...]
    chars: tuple[Span, ...]

    def __str__(self) -> str:
        return self.text
