"""Alignments of parts of a recording become one alignment of all of it, and lines of a text become utterances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from xlsr_ref.text.check import doubts_of
from xlsr_ref.text.confidence import of_tokens
from xlsr_ref.text.transcript import Check, Span, Transcript, WordCheck


def shifted(transcript: Transcript, seconds: float) -> Transcript:
    """The same transcript, of a recording that begins so many seconds before this one."""

    def later(spans: Sequence[Span]) -> tuple[Span, ...]:
        return tuple(Span(one.text, one.start + seconds, one.end + seconds, one.score) for one in spans)

    def interval(one: tuple[float, float]) -> tuple[float, float]:
        return one[0] + seconds, one[1] + seconds

    check = transcript.check
    if check is not None:
        words = tuple(WordCheck(one.said, interval(one.start), interval(one.end)) for one in check.words)
        check = Check(words, later(check.other), later(check.doubts))
    return replace(
        transcript,
        words=later(transcript.words),
        chars=later(transcript.chars),
        utterances=later(transcript.utterances),
        check=check,
    )


def joined(parts: Sequence[Transcript], duration: float | None) -> Transcript:
    """One transcript of the ``parts`` of a recording of ``duration`` seconds, whose times are the recording's."""
    ordered = sorted(parts, key=lambda part: part.words[0].start if part.words else 0.0)
    scores = [part.score for part in ordered if part.score is not None]
    checks = [part.check for part in ordered if part.check is not None]
    check = Check(
        tuple(word for one in checks for word in one.words),
        tuple(span for one in checks for span in one.other),
        tuple(span for one in checks for span in one.doubts),
    )
    return Transcript(
        text="\n".join(part.text for part in ordered),
        words=tuple(word for part in ordered for word in part.words),
        chars=tuple(char for part in ordered for char in part.chars),
        score=of_tokens(scores) if scores else None,
        duration=duration,
        utterances=tuple(one for part in ordered for one in part.utterances),
        check=check if len(checks) == len(ordered) else None,
    )


def with_utterances(transcript: Transcript, lines: Sequence[tuple[str, int]]) -> Transcript:
    """The transcript with its utterances: each of the ``lines`` with the number of its words, in order.

    An utterance reaches from its first word to its last.
    """
    return replace(transcript, utterances=tuple(_utterances(transcript.words, lines)))


def _utterances(words: Sequence[Span], lines: Sequence[tuple[str, int]]) -> Iterator[Span]:
    at = 0
    for text, count in lines:
        own = words[at : at + count]
        at += count
        if own:
            yield Span(text, own[0].start, own[-1].end, of_tokens([word.score for word in own]))


def with_original_words(
    transcript: Transcript, words: Sequence[tuple[str, int]], lines: Sequence[str] = ()
) -> Transcript:
    """The transcript with its words as they were before their preparation, each with how many words it became.

    ``lines`` are the utterances as they were. A word that became nothing is left out. Where the numbers do not fit, the
    transcript stays as it is.
    """
    if sum(count for _, count in words) != len(transcript.words):
        return transcript
    spans, checks, at = [], [], 0
    for text, count in words:
        own = transcript.words[at : at + count]
        if own:
            spans.append(Span(text, own[0].start, own[-1].end, of_tokens([word.score for word in own])))
        if own and transcript.check is not None:
            each = transcript.check.words[at : at + count]
            checks.append(WordCheck(sum(one.said for one in each) / count, each[0].start, each[-1].end))
        at += count
    check = transcript.check
    if check is not None:
        check = Check(tuple(checks), check.other, doubts_of(spans, checks, check.other))
    utterances = transcript.utterances
    if len(lines) == len(utterances):
        utterances = tuple(replace(one, text=line) for one, line in zip(utterances, lines))
    text = " ".join(text for text, _ in words)
    return replace(transcript, text=text, words=tuple(spans), utterances=utterances, check=check)
