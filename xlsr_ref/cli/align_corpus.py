"""``xlsr-ref align`` over a corpus: recordings beside texts, or any other layout; one result for each recording.

The clips of a recording, such as the annotations of an .eaf, are aligned one by one and come into one result, with a
tier of utterances. Texts are prepared as --text asks; the result has the words as they were written.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xlsr_ref.cli.apart import require_apart
from xlsr_ref.cli.item import Item, keyed
from xlsr_ref.cli.many import Results, check_many, has_result, progress, sound_of, to_do, work
from xlsr_ref.cli.options import load_model
from xlsr_ref.cli.say import WrongUsage, complain, sentence
from xlsr_ref.cli.sources import failed_of, open_raw_source, place_of, preparation
from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import shown

if TYPE_CHECKING:
    from xlsr_ref.audio.manifest import Clip
    from xlsr_ref.text.preparation import Preparation
    from xlsr_ref.text.transcript import Transcript

SUFFIXES = {"textgrid": ".TextGrid", "eaf": ".eaf", "json": ".json", "srt": ".srt", "vtt": ".vtt", "ctm": ".ctm"}


class Aligned(NamedTuple):
    """What came of a recording."""

    transcript: Transcript
    failed: list[str]  # a line for each clip that could not be aligned


class Own(NamedTuple):
    """What the result of an item needs."""

    words: list[tuple[str, int]]  # as they were written, and how many words each became; those of all clips
    lines: list[str]  # the utterances, as they were written
    target: Path | None


def run_corpus(arguments: argparse.Namespace) -> int:
    """Align every recording of the corpus that stands in the place of AUDIO."""
    from xlsr_ref.cli.recordings import Recording, targets

    check_many(arguments, has_files=arguments.output is not None)
    if arguments.output is None and arguments.results is None:
        raise WrongUsage("a corpus has several results: give --output DIR, or --results FILE")
    corpus = open_raw_source(arguments.audio, arguments)
    how, refused = preparation(arguments), 0
    by_path: dict[Path, list[tuple[Clip, Prepared]]] = {}
    for clip in sorted(corpus.clips, key=lambda one: one.start):
        prepared = prepared_lines(clip, how)
        if prepared is None:
            refused += 1
        else:
            by_path.setdefault(clip.path, []).append((clip._replace(text=prepared.text), prepared))
    if refused:
        complain(f"{refused} of {len(corpus.clips)} texts are left out for their numerals, or since nothing is in them")
    top = Path(arguments.audio) if os.path.isdir(arguments.audio) else Path(arguments.audio).parent
    recordings = [Recording(path, str(path), place_of(own[0][0], top, whole=True)) for path, own in by_path.items()]
    places = targets(recordings, arguments.output, SUFFIXES[arguments.format])
    require_apart([*places, arguments.results], [*by_path, arguments.audio, arguments.model])
    failed = failed_of(corpus) > 0
    with Results(arguments) as results:
        items = keyed(_named(one.name, by_path[one.path], place) for one, place in zip(recordings, places))
        items = to_do(items, partial(_is_done, results), arguments.skip_existing)
        failed |= bool(items) and _align_each(arguments, items, results)
    return int(failed)


def _named(name: str, own: list[tuple[Clip, Prepared]], target: Path | None) -> tuple[str, tuple[Clip, ...], Own]:
    words = [word for _, prepared in own for word in prepared.words]
    lines = [line for clip, prepared in own for line in prepared.utterances(clip)]
    return name, tuple(clip for clip, _ in own), Own(words, lines, target)


class Prepared(NamedTuple):
    """A clip's text."""

    text: str  # prepared, line by line
    words: list[tuple[str, int]]  # as they were written, and how many words each became
    lines: list[str]  # as they were written, those in which words are left

    def utterances(self, clip: Clip) -> list[str]:
        """What the utterances are called: the lines, or all of a part with a single one."""
        return self.lines if len(self.lines) > 1 or clip.is_part else []


def prepared_lines(clip: Clip, how: Preparation) -> Prepared | None:
    """The clip's text prepared. None where a numeral is refused, or nothing is left."""
    from xlsr_ref.text.preparation import prepare_text

    done: list[str] = []
    words, lines = [], []
    for line in filter(str.strip, clip.text.splitlines()):
        prepared, _ = prepare_text(line, how, clip.lang)
        if prepared is None:
            return None
        for word in line.split():
            alone, _ = prepare_text(word, how, clip.lang)
            words.append((word, len((alone or "").split())))
        if prepared.strip():
            done.append(prepared)
            lines.append(" ".join(line.split()))
    return Prepared("\n".join(done), words, lines) if done else None


def ready_model(arguments: argparse.Namespace) -> tuple[Any, dict]:
    """The model and the settings of `Model.align` for all recordings."""
    model = load_model(arguments)
    model.chunking(arguments.chunk, arguments.stride)  # wrong lengths are not the recording's
    how = {"chunk_seconds": arguments.chunk, "stride_seconds": arguments.stride, "phonemes": arguments.phonemes}
    return model, how | check_options(arguments)


def check_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What --check and --label-prior mean to `Model.align`."""
    return ({"check": True} if arguments.check else {}) | (
        {"label_prior": arguments.label_prior} if arguments.label_prior else {}
    )


def aligned(model: Any, how: dict, clips: tuple[Clip, ...]) -> Any:
    """The alignment of the clips of one recording. A clip that fails does not stop the others.

    Raises what `Model.align` raises where there is no other clip.
    """
    from xlsr_ref.audio.segment import seconds_of
    from xlsr_ref.text.merge import joined, shifted
    from xlsr_ref.text.transcript import Span

    if len(clips) == 1 and not clips[0].is_part:
        return Aligned(model.align(sound_of(model, clips[0]), clips[0].text, **how), [])
    parts, failed = [], []
    for clip in clips:
        try:
            part = shifted(model.align(sound_of(model, clip), clip.text, **how), clip.start)
        except XlsrError as error:
            failed.append(f"from {clip.start:.2f} s on: {error}")
            continue
        end = clip.end if clip.end is not None else part.words[-1].end
        whole = Span(" ".join(clip.text.split()), clip.start, end, part.score or 0.0)
        parts.append(part if part.utterances else replace(part, utterances=(whole,)))
    if not parts:
        raise XlsrError(failed[0])
    return Aligned(joined(parts, seconds_of(clips[0].path)), failed)


def _is_done(results: Results, item: Item) -> bool:
    return not results.lacks(item) and (item.own.target is None or has_result(item.own.target))


def _align_each(arguments: argparse.Namespace, items: Sequence[Item], results: Results) -> bool:
    """Write the alignment of each recording; whether one failed."""
    from xlsr_ref.files import write_whole
    from xlsr_ref.text.check import line_of
    from xlsr_ref.text.formats import format_alignment
    from xlsr_ref.text.merge import with_original_words
    from xlsr_ref.untrusted import plain

    failed, opened = False, ready_model(arguments)
    tokenizer = opened[0].tokenizer
    kind = "phones" if tokenizer is not None and tokenizer.files.phonemes is not None else "characters"

    def deliver(item: Item, result: Any) -> None:
        nonlocal failed
        path = item.clips[0].path
        problems = []
        if isinstance(result, XlsrError | OSError | MemoryError):
            problems = [sentence(result).removeprefix(f"{shown(path)}: ")]
        elif isinstance(result, Exception):
            raise result
        else:
            problems = result.failed
            transcript = with_original_words(result.transcript, item.own.words, item.own.lines)
            if item.own.target is not None:
                duration = transcript.duration or 0.0
                content = format_alignment(transcript, arguments.format, path.name, duration, kind)
                write_whole(item.own.target, plain(content))
            results.add(item, transcript)
            for doubt in transcript.check.doubts if transcript.check is not None else ():
                with aside():
                    complain(f"{shown(path)}: {line_of(doubt)}")
        failed |= bool(problems)
        with aside():
            for line in problems:
                complain(f"{shown(path)}: {line}")
        tick(item)

    with progress(items) as (tick, aside):
        work(arguments, items, aligned, ready_model, opened, deliver, in_order=False)
    return failed
