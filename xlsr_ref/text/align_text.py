"""A text laid over a recording: when each of its words and characters, or phonemes, is spoken, and how sure that is.

    "ten of clubs"  →  t e n | o f | c l u b s  →  text/align.py  →  frames  →  seconds

The words are those of the text, with the vocabulary's delimiter between them where it has one. A word that is only "*"
is a wildcard: it stands for whatever is said there, a frame or more, and takes the silence beside it, too. Its score
is 1 and means nothing. What the vocabulary cannot spell is refused, never left out.
Frame t covers t · seconds_per_frame to (t + 1) · seconds_per_frame. Letters: T frames, V tokens, S targets.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np

from xlsr_ref.errors import AlignmentError
from xlsr_ref.ops.lattice import frames_needed
from xlsr_ref.text.align import WILDCARD, Placed, align
from xlsr_ref.text.confidence import of_tokens
from xlsr_ref.text.tokenizer import STAR, Tokenizer, Word
from xlsr_ref.text.transcript import Span, Transcript


def align_words(
    log_probs: np.ndarray,
    words: Sequence[Word],
    tokenizer: Tokenizer,
    seconds_per_frame: float,
    duration: float | None = None,
) -> Transcript:
    """Where ``words``, of ``tokenizer.words_of(text)``, stand in ``log_probs`` (T, V); times in seconds.

    No span ends after ``duration``. Words have the spelling of the text, characters that of the vocabulary; scores are
    those of text/confidence.py, without wildcards. Raises AlignmentError for no words, for tokens that are not in the
    vocabulary, by name, and for more than the frames can hold; ObjectiveError for what is no log-probability.
    """
    blank = tokenizer.pad_id
    if blank is None:
        raise AlignmentError("the vocabulary has no pad token, which is the blank of CTC: nothing can be aligned")
    targets, owner = _targets(words, tokenizer, entries=log_probs.shape[1] if log_probs.ndim == 2 else 0)
    needed, T = frames_needed(targets), len(log_probs)
    if needed > T:
        raise AlignmentError(
            f"the text needs {needed} frames ({len(targets)} characters and {needed - len(targets)} blanks between "
            f"equal ones), but the recording has {T}, {T * seconds_per_frame:.2f} s: give the text of this recording"
        )
    placed = align(log_probs, targets, blank).spans
    limit = math.inf if duration is None else duration

    def span(text: str, part: Sequence[Placed]) -> Span:
        start, end = (min(frame * seconds_per_frame, limit) for frame in (part[0].first, part[-1].stop))
        return Span(text, start, end, of_tokens([one.score for one in part]))

    def written(one: Placed) -> str:
        return STAR if one.target == WILDCARD else tokenizer.spelled([tokenizer.token(one.target)])

    parts: list[list[Placed]] = [[] for _ in words]
    for one, i in zip(placed, owner):
        if i is not None:
            parts[i].append(one)
    spelled = [one.score for one in placed if one.target != WILDCARD]
    return Transcript(
        text=" ".join(word.text for word in words),
        words=tuple(span(word.text, part) for word, part in zip(words, parts)),
        chars=tuple(span(written(one), [one]) for one in placed),
        score=of_tokens(spelled) if spelled else None,
        duration=duration,
    )


def words_to_align(text: str, tokenizer: Tokenizer, entries: int, phonemes: bool = False) -> list[Word]:
    """The words of ``text``, as a network with ``entries`` outputs spells them. Raises AlignmentError where it cannot.

    A text in Unicode's NFD, where an é is an e and an accent, is taken in NFC where only so it can be spelled.
    """
    words, composed = tokenizer.words_of(text, phonemes), unicodedata.normalize("NFC", text)
    try:
        check_words(words, tokenizer, entries)
    except AlignmentError:
        if composed == text:
            raise
        words = tokenizer.words_of(composed, phonemes)
        check_words(words, tokenizer, entries)
    return words


def check_words(words: Sequence[Word], tokenizer: Tokenizer, entries: int) -> None:
    """Raise AlignmentError for words that a network with ``entries`` outputs cannot spell, before it has to run."""
    _targets(words, tokenizer, entries)


def _targets(words: Sequence[Word], tokenizer: Tokenizer, entries: int) -> tuple[list[int], list[int | None]]:
    """The ids (S,) of all words and of the delimiters between them, and the word that each belongs to."""
    if not words:
        raise AlignmentError("the text is empty: give what is said in the recording")
    delimiter = tokenizer.delimiter_id
    targets: list[int] = []
    owner: list[int | None] = []
    unknown: dict[str, int] = {}  # token -> how often
    for i, word in enumerate(words):
        if i and delimiter is not None and delimiter < entries:
            targets.append(delimiter)
            owner.append(None)
        for token in word.tokens:
            number = WILDCARD if word.text == STAR else tokenizer.id_of(token)
            if number is None or number == tokenizer.pad_id or number >= entries:
                unknown[token] = unknown.get(token, 0) + 1
                continue
            targets.append(number)
            owner.append(i)
    if unknown:
        raise AlignmentError(_unknown(unknown, tokenizer))
    return targets, owner


def _unknown(unknown: dict[str, int], tokenizer: Tokenizer) -> str:
    named = [f"{token!r}" + (f" ({n} times)" if n > 1 else "") for token, n in list(unknown.items())[:10]]
    more = f" and {len(unknown) - 10} others" if len(unknown) > 10 else ""
    cases = {
        "lower case": [one for one in unknown if tokenizer.id_of(one.lower()) is not None],
        "upper case": [one for one in unknown if tokenizer.id_of(one.upper()) is not None],
    }
    case, known = max(cases.items(), key=lambda item: len(item[1]))
    advice = [f"write the text in {case}"] if known else []
    if len(known) < len(unknown):
        advice.append(f"leave out what it lacks, or put a {STAR} in place of a word")
    return f"the vocabulary has no {', '.join(named)}{more}: {'; '.join(advice)}"
