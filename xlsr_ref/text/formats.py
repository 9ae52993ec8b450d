"""The formats a transcript is written in: text, json, tsv, srt, vtt, textgrid, ctm; of an alignment eaf, too.

Each function returns the content of one whole file. Seconds are rounded to milliseconds, scores to four digits.
Praat's TextGrid stands in textgrid.py, ELAN's file in eaf.py. ctm is what NIST's scoring tools read: recording,
channel, start, length, word.
Subtitles: words are gathered into cues of at most two lines of 42 characters and at most six seconds; a pause of more
than 0.8 seconds begins a new cue, also inside a word: what a model writes as one word may be two with a pause between
them and no space. So does a line of the text that was aligned. A cue stays for at least 0.8 seconds where the next one
and the recording's end leave room.
Of silence an srt file has one empty cue, since players refuse a file of no bytes; a vtt file has its first line.
In json a word that holds such a pause has it as `pause`, its start and end; of several the longest.
SubRip (srt) has no official text; WebVTT is at https://www.w3.org/TR/webvtt1.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path

from xlsr_ref.errors import XlsrError
from xlsr_ref.text.eaf import eaf
from xlsr_ref.text.textgrid import textgrid
from xlsr_ref.text.transcript import Span, Transcript

FORMATS = ("text", "json", "srt", "vtt", "tsv", "textgrid", "ctm")
OF_ALIGNMENTS = ("textgrid", "eaf", "json", "srt", "vtt", "ctm")

COLUMNS = ("start", "end", "text", "score")

LINE = 42  # characters
LINES = 2
CUE = 6.0  # seconds
PAUSE = 0.8  # seconds
SHOWN = 0.8  # seconds that a cue stays at least
NOTHING = "1\n00:00:00,000 --> {}\n\u200b\n"  # a zero-width space: an empty text would end the cue's own block


def format_transcript(transcript: Transcript, name: str, recording: str = "recording") -> str:
    """One recording's ``transcript`` in the format ``name``. ``recording`` is what ctm calls it.

    Raises XlsrError for a name that is not in FORMATS.
    """
    match name:
        case "text":
            return transcript.text + "\n"
        case "json":
            return _json(transcript_object(transcript))
        case "tsv":
            return _table([COLUMNS, *_rows(transcript)])
        case "srt":
            return _srt(transcript)
        case "vtt":
            return _vtt(transcript)
        case "textgrid":
            return textgrid(transcript, transcript.duration or 0.0)
        case "ctm":
            return _ctm(transcript, recording)
    raise XlsrError(f"the format {name!r} is not known: choose one of {', '.join(FORMATS)}")


def format_transcripts(named: Sequence[tuple[str, Transcript]], name: str) -> str:
    """The transcripts of several recordings, each with its recording's name, in one file.

    text: `name<TAB>text` lines. json: an array of objects with a `file`. tsv: a first column `file`.
    Raises XlsrError for srt, vtt and textgrid, which need a file for each recording.
    """
    match name:
        case "text":
            return _table([file, transcript.text] for file, transcript in named)
        case "json":
            return _json([{"file": file} | transcript_object(transcript) for file, transcript in named])
        case "tsv":
            rows = ([file, *row] for file, transcript in named for row in _rows(transcript))
            return _table([["file", *COLUMNS], *rows])
        case "ctm":
            return "".join(_ctm(transcript, file) for file, transcript in named)
        case "srt" | "vtt" | "textgrid":
            raise XlsrError(f"{name} holds one recording: write several into a folder, one file for each")
    raise XlsrError(f"the format {name!r} is not known: choose one of {', '.join(FORMATS)}")


def format_alignment(transcript: Transcript, name: str, recording: str, duration: float, parts: str) -> str:
    """An aligned ``transcript`` in one of OF_ALIGNMENTS.

    ``recording`` is the name of its file, ``duration`` where TextGrid ends, in seconds, and ``parts`` what the
    characters are called there. Raises XlsrError for another name.
    """
    if name not in OF_ALIGNMENTS:
        raise XlsrError(f"the format {name!r} is not known: choose one of {', '.join(OF_ALIGNMENTS)}")
    match name:
        case "textgrid":
            return textgrid(transcript, duration, parts)
        case "eaf":
            return eaf(transcript, recording, parts)
        case "ctm":
            return _ctm(transcript, Path(recording).stem)
    return format_transcript(transcript, name)


def _ctm(transcript: Transcript, recording: str) -> str:
    """One line per word, with spaces between the fields: a name or a word that has some gets underscores."""
    called = "_".join(recording.split()) or "recording"
    return "".join(
        f"{called} 1 {word.start:.3f} {word.end - word.start:.3f} {'_'.join(word.text.split())} {word.score:.4f}\n"
        for word in transcript.words
    )


# --- json and tables --------------------------------------------------------------------------------------------------


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def transcript_object(transcript: Transcript) -> dict:
    """A transcript as JSON has it."""

    def objects(spans: Iterable[Span]) -> list[dict]:
        return [
            {"text": span.text, "start": round(span.start, 3), "end": round(span.end, 3), "score": round(span.score, 4)}
            for span in spans
        ]

    score = None if transcript.score is None else round(transcript.score, 4)
    words = objects(transcript.words)
    for word, letters in zip(words, _letters(transcript)):
        pauses = [(after.start - before.end, before.end, after.start) for before, after in pairwise(letters)]
        longest, start, end = max(pauses, default=(0.0, 0.0, 0.0))
        if longest > PAUSE:
            word["pause"] = [round(start, 3), round(end, 3)]
    check = transcript.check
    for word, one in zip(words, check.words if check is not None else ()):
        word["said"] = round(one.said, 4)
        word["start_interval"], word["end_interval"] = ([round(t, 3) for t in both] for both in (one.start, one.end))
    found = {"text": transcript.text, "score": score, "words": words, "chars": objects(transcript.chars)}
    if transcript.utterances:
        found["utterances"] = objects(transcript.utterances)
    if check is not None:
        found |= {"other": objects(check.other), "doubts": objects(check.doubts)}
    return found


def _rows(transcript: Transcript) -> Iterator[list[str]]:
    """One row per word, under COLUMNS."""
    for word in transcript.words:
        yield [f"{word.start:.3f}", f"{word.end:.3f}", word.text, f"{word.score:.4f}"]


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Lines of fields with tabs between them; a tab or a line end inside a field becomes a space."""
    return "".join("\t".join(" ".join(field.splitlines()).replace("\t", " ") for field in row) + "\n" for row in rows)


# --- subtitles --------------------------------------------------------------------------------------------------------


def _srt(transcript: Transcript) -> str:
    blocks = []
    for number, (start, end, lines) in enumerate(_timed(transcript), start=1):
        text = "\n".join(lines).replace("-->", "→")  # srt cannot escape the arrow of its own time line
        blocks.append(f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n")
    return "\n".join(blocks) or NOTHING.format(_clock(max(transcript.duration or 0.0, SHOWN), ","))


def _vtt(transcript: Transcript) -> str:
    blocks = ["WEBVTT\n"]
    for start, end, lines in _timed(transcript):
        text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    """hours:minutes:seconds and milliseconds. Rounded before it is cut up, so that no second is the sixtieth."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{milliseconds:03}"


def _timed(transcript: Transcript) -> Iterator[tuple[float, float, list[str]]]:
    """Each cue's start and end, and its lines. A cue that would be too short for the eye stays longer, but not into the
    next one or beyond the recording; then it comes earlier, where the one before leaves room."""
    cues, before = _cues(transcript), 0.0
    for words, following in zip_longest(cues, cues[1:]):
        start, end = words[0].start, words[-1].end
        limit = following[0].start if following else max(transcript.duration or math.inf, end)
        end = max(end, min(start + SHOWN, limit))
        start = min(start, max(before, end - SHOWN))
        before = end
        yield start, end, _lines(words)


def _cues(transcript: Transcript) -> list[list[Span]]:
    """The words, gathered into cues."""
    cues: list[list[Span]] = []
    begins = {one.start for one in transcript.utterances}  # a sentence of the text begins a cue
    for word in _short_words(transcript):
        cue = cues[-1] if cues and word.start not in begins else []
        in_time = cue and word.start - cue[-1].end <= PAUSE and word.end - cue[0].start <= CUE
        if in_time and len(_lines([*cue, word])) <= LINES:
            cue.append(word)
        else:
            cues.append([word])
    return cues


def _lines(words: Sequence[Span]) -> list[str]:
    text = " ".join(word.text for word in words)
    return textwrap.wrap(" ".join(text.split()), LINE, break_long_words=False, break_on_hyphens=False)


def _short_words(transcript: Transcript) -> Iterator[Span]:
    """The words; one that holds a pause, or is too long for a line or a cue (a language written without spaces), comes
    in parts."""
    for word, letters in zip(transcript.words, _letters(transcript)):
        if not word.text.strip():
            continue
        paused = any(after.start - before.end > PAUSE for before, after in pairwise(letters))
        if not letters or not (paused or len(word.text) > LINE or word.end - word.start > CUE):
            yield word
            continue
        parts = [letters[0]]
        for char in letters[1:]:
            longer = Span(parts[-1].text + char.text, parts[-1].start, char.end, word.score)
            fits = len(longer.text) <= LINE and longer.end - longer.start <= CUE
            if fits and char.start - parts[-1].end <= PAUSE:
                parts[-1] = longer
            else:
                parts.append(char)
        yield from parts


def _letters(transcript: Transcript) -> Iterator[list[Span]]:
    """The characters of each word, by their times: both stand in the order of time."""
    chars, at = transcript.chars, 0
    for word in transcript.words:
        while at < len(chars) and chars[at].start < word.start:
            at += 1
        first = at
        while at < len(chars) and chars[at].end <= word.end:
            at += 1
        yield list(chars[first:at])
