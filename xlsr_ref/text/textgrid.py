"""TextGrid: the file in which Praat, the phoneticians' program, keeps what is said when.

    a tier       a row of intervals, one beside the other without gaps, from 0 to the end of the recording
    an interval  from xmin to xmax seconds, longer than nothing, with a text; silence has the text ""

Two tiers: the words, and below them their characters or phonemes; above them the utterances, where there are some,
and at the bottom the doubts of an alignment that was checked. Written in Praat's long form, in UTF-8; a quotation
mark in a text is doubled, and an end begins the next interval with the very same digits.
Where: Praat's manual, "TextGrid file formats", https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xlsr_ref.text.transcript import Span, Transcript

DIGITS = 6  # after the point: microseconds


def textgrid(transcript: Transcript, duration: float, parts: str = "characters") -> str:
    """The TextGrid of ``transcript``, for a recording of ``duration`` seconds; ``parts`` names the second tier."""
    end = max([round(duration, DIGITS), *(round(span.end, DIGITS) for span in transcript.words)])
    letters = [char for char in transcript.chars if char.text.strip()]
    utterances = [("utterances", _tiled(transcript.utterances, end))] if transcript.utterances else []
    tiers = [*utterances, ("words", _tiled(transcript.words, end)), (parts, _tiled(letters, end))]
    if transcript.check is not None:
        tiers.append(("doubts", _tiled(transcript.check.doubts, end)))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {_number(end)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for i, (name, intervals) in enumerate(tiers, start=1):
        lines += [
            f"    item [{i}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {_number(end)}",
            f"        intervals: size = {len(intervals)}",
        ]
        for j, (start, stop, text) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{j}]:",
                f"            xmin = {_number(start)}",
                f"            xmax = {_number(stop)}",
                f"            text = {_quoted(text)}",
            ]
    return "\n".join(lines) + "\n"


def _tiled(spans: Iterable[Span], end: float) -> Sequence[tuple[float, float, str]]:
    """The spans, and empty intervals where there are none; together they reach from 0 to ``end``."""
    intervals = []
    reached = 0.0
    for span in spans:
        start, stop = max(round(span.start, DIGITS), reached), round(span.end, DIGITS)
        if stop <= start:
            continue
        if start > reached:
            intervals.append((reached, start, ""))
        intervals.append((start, stop, span.text))
        reached = stop
    if end > reached:
        intervals.append((reached, end, ""))
    return intervals


def _number(seconds: float) -> str:
    return f"{seconds:.{DIGITS}f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', '""') + '"'
