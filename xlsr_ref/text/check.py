"""What is wrong with an alignment, in words: text that was not said, and sound that the text lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xlsr_ref.text.transcript import Span, WordCheck

UNSAID = 0.5  # a word whose probability is below this was probably not said


def doubts_of(words: Sequence[Span], checks: Sequence[WordCheck], other: Sequence[Span]) -> tuple[Span, ...]:
    """What is wrong, as sentences with their times: words that were not said, and sound that is not in the text.

    Other sound in the place of words that were not said is told with them: something else was said there, or the model
    misheard.
    """
    doubts, told = [], set()
    for run in _unsaid(checks):
        start, end = words[run[0]].start, words[run[-1]].end
        inside = [i for i, one in enumerate(other) if _within(one, start, end)]
        told.update(inside)
        heard = f", heard was “{' '.join(other[i].text for i in inside)}”" if inside else ""
        text = f"“{' '.join(words[j].text for j in run)}” was probably not said{heard}"
        doubts.append(Span(text, start, end, 1 - sum(checks[j].said for j in run) / len(run)))
    for i, one in enumerate(other):
        if i not in told:
            doubts.append(Span(f"speech that the text lacks, heard as “{one.text}”", one.start, one.end, one.score))
    return tuple(sorted(doubts, key=lambda one: one.start))


def _unsaid(checks: Sequence[WordCheck]) -> Iterator[list[int]]:
    """Each run of words that were probably not said."""
    run: list[int] = []
    for i, one in enumerate(checks):
        if one.said < UNSAID:
            run.append(i)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _within(one: Span, start: float, end: float) -> bool:
    """Does at least half of a stretch lie between these times?"""
    return min(one.end, end) - max(one.start, start) >= 0.5 * (one.end - one.start)


def line_of(doubt: Span) -> str:
    """A doubt as a line to read: 12.4–15.1 s: …"""
    return f"{doubt.start:.1f}–{doubt.end:.1f} s: {doubt.text}"
