"""From the search's texts to a transcript: words with times, what else it might be, and how sure the search is.

    P(text i) = e^(score i) / Σ over the n best texts j of e^(score j)
    confidence of a word = Σ of P over the texts that have the same word at the same time         (overlapping frames)

This is confidence among the texts that were kept, by the scores with the language model in them: 1 where nothing else
came near, however wrong. It says which words have rivals, not how often such words are right; networks trained with CTC
are too sure of themselves, and the n best leave out whatever the search dropped.
Where: Wessel et al. 2001, whose word graphs are n-best lists here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.text.confidence import of_tokens
from xlsr_ref.text.search.hypotheses import Hypothesis, Mark
from xlsr_ref.text.search.labels import Labels
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.transcript import Alternative, Span, Transcript


class Confidence(NamedTuple):
    """How sure the search is, from 0 to 1."""

    utterance: float  # of the best text as a whole
    words: tuple[float, ...]  # of each of its words


def probabilities(hypotheses: Sequence[Hypothesis]) -> np.ndarray:
    """P of each text (n,), among these n; they sum to 1."""
    scores = np.array([one.score for one in hypotheses])
    p = np.exp(scores - scores.max())
    return p / p.sum()


def confidence(hypotheses: Sequence[Hypothesis], labels: Labels) -> Confidence:
    """How sure the search is of the first of ``hypotheses``, best first, and of each word in it."""
    p = probabilities(hypotheses).tolist()
    timed_words = [
        [_TimedWord(_text(word, labels), word[0].first, word[-1].stop) for word in words_of(one, labels)]
        for one in hypotheses
    ]

    def agreement(word: _TimedWord) -> float:
        return sum(share for share, words in zip(p, timed_words) if any(word.is_same(other) for other in words))

    return Confidence(p[0], tuple(min(agreement(word), 1.0) for word in timed_words[0]))


class _TimedWord(NamedTuple):
    """A word and the frames ``first`` to ``stop`` - 1 in which it stands."""

    text: str
    first: int
    stop: int

    def is_same(self, other: _TimedWord) -> bool:
        return self.text == other.text and self.first < other.stop and other.first < self.stop


def words_of(hypothesis: Hypothesis, labels: Labels) -> list[list[Mark]]:
    """Its marks, cut at the spaces."""
    words: list[list[Mark]] = [[]]
    for mark in hypothesis.marks:
        if labels.space[mark.label]:
            words.append([])
        else:
            words[-1].append(mark)
    return [word for word in words if word]


def transcript_of(
    hypotheses: Sequence[Hypothesis],
    labels: Labels,
    tokenizer: Tokenizer,
    seconds_per_frame: float,
    duration: float = math.inf,
) -> Transcript:
    """The first of ``hypotheses`` with times in seconds, none after ``duration``, and all of them as alternatives.

    Scores of spans are those of confidence.py, of a label over its frames and of a word over its labels.
    ``hypotheses`` has at least one.
    """

    def span(part: list[Mark]) -> Span:
        start, end = (min(frame * seconds_per_frame, duration) for frame in (part[0].first, part[-1].stop))
        return Span(_text(part, labels), start, end, of_tokens([mark.score for mark in part]))

    best = hypotheses[0]
    tokens = [[tokenizer.token(mark.label) for mark in one.marks] for one in hypotheses]
    return Transcript(
        text=tokenizer.join(tokens[0]),
        words=tuple(span(word) for word in words_of(best, labels)),
        chars=tuple(span([mark]) for mark in best.marks),
        alternatives=tuple(
            Alternative(tokenizer.join(spelled), one.score, one.acoustic, one.language, p)
            for spelled, one, p in zip(tokens, hypotheses, probabilities(hypotheses).tolist())
        ),
        word_confidence=confidence(hypotheses, labels).words,
    )


def _text(part: Sequence[Mark], labels: Labels) -> str:
    return "".join(labels.written[mark.label] for mark in part)
