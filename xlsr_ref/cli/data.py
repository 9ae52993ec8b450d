"""``xlsr-ref data``: what is understood of a corpus, and the list that the other commands read."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli.options import add_quiet, clock
from xlsr_ref.cli.say import STYLE, say
from xlsr_ref.cli.sources import add_source_options, failed_of, preparation
from xlsr_ref.errors import ManifestError, XlsrError

if TYPE_CHECKING:
    from xlsr_ref.audio.corpus import Corpus
    from xlsr_ref.audio.manifest import Clip

SHOWN = 20  # clips that were left out


def add(commands: Any) -> None:
    p = commands.add_parser(
        "data",
        usage="xlsr-ref data [options] SOURCE",
        description="Show what a corpus holds: clips, hours (measured), speakers, characters, and what was\n"
        "left out and why. SOURCE is a folder (Common Voice, LibriSpeech, Kaldi, a Hugging Face\n"
        "audiofolder, or recordings beside .txt files), a list (TSV, CSV, JSON lines), or a\n"
        "TextGrid or ELAN .eaf file, whose annotations become clips.",
        epilog="examples:\n"
        "  xlsr-ref data cv-corpus/fy-NL -o fy.tsv --text nfc,lower,no-punctuation\n"
        "  xlsr-ref data field.eaf --tier tx@A -o field.tsv",
        **STYLE,
    )
    p.add_argument("source", metavar="SOURCE", help="the corpus")
    p.add_argument("-o", "--output", metavar="FILE", help="write the list of clips that other commands read")
    p.add_argument("--split", metavar="NAME", help="only this split (default: all)")
    add_source_options(p)
    add_quiet(p)
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the corpus, print what it is, write the list."""
    from xlsr_ref.cli.apart import require_apart
    from xlsr_ref.files import write_whole
    from xlsr_ref.training.sources import prepared_corpus
    from xlsr_ref.untrusted import shown

    if not arguments.source:
        raise XlsrError("SOURCE is an empty name: give a folder or a list")
    if arguments.output is not None and os.path.isdir(arguments.output):
        raise XlsrError(f"{shown(arguments.output)}: is a folder; give --output a file")
    corpus = prepared_corpus(
        arguments.source, preparation(arguments), arguments.tiers, split=arguments.split, measure=True
    )
    say("".join(f"{line}\n" for line in report(corpus)))
    if arguments.output is not None:
        require_apart([arguments.output], [clip.path for clip in corpus.clips])
        write_whole(Path(arguments.output), table_of(corpus.clips, Path(arguments.output)))
    return int(failed_of(corpus) > 0)


def report(corpus: Corpus) -> Iterator[str]:
    """What is known of a corpus, in lines to read."""
    from xlsr_ref.text.preparation import characters

    yield f"{corpus.layout}: {_clips(corpus.clips)}"
    rows = [["split", "clips", "time", "shortest", "longest", "speakers", "languages"]]
    for split in sorted({clip.split for clip in corpus.clips}):
        own = [clip for clip in corpus.clips if clip.split == split]
        seconds = [clip.seconds for clip in own]
        lengths = [f"{min(seconds):.2f} s", f"{max(seconds):.2f} s"]
        languages = ", ".join(sorted({clip.lang for clip in own}))
        rows.append([split or "(none)", str(len(own)), clock(sum(seconds)), *lengths, _speakers(own), languages])
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
    yield f"characters: {characters(Counter(''.join(clip.text for clip in corpus.clips))) or 'none'}"
    yield from corpus.notes
    if corpus.left_out:
        yield f"left out: {len(corpus.left_out)}"
        yield from (f"  {one.name}: {one.why}" for one in corpus.left_out[:SHOWN])
        if len(corpus.left_out) > SHOWN:
            yield f"  and {len(corpus.left_out) - SHOWN} more"


def _clips(clips: Sequence[Clip]) -> str:
    seconds = sum(clip.seconds for clip in clips)
    return f"{len(clips)} clips, {seconds / 3600:.2f} hours, speakers: {_speakers(clips)}"


def _speakers(clips: Sequence[Clip]) -> str:
    return str(len({clip.speaker for clip in clips if clip.speaker}) or "not known")


def table_of(clips: Sequence[Clip], target: Path) -> str:
    """The clips as one of our own lists, whose paths are relative to it where they stand below it."""
    from xlsr_ref.audio.manifest import COLUMNS, OF_A_PART

    parts = any(clip.is_part for clip in clips)
    lines = ["\t".join([*COLUMNS, *(OF_A_PART if parts else ())])]
    for clip in clips:
        path = _path_from(clip.path, target.parent)
        row = [path, clip.lang, clip.speaker, f"{max(clip.seconds, 1e-3):.3f}", clip.split, " ".join(clip.text.split())]
        end = "" if clip.end is None else f"{clip.end:.3f}"
        lines.append("\t".join([*row, *([f"{clip.start:.3f}", end] if parts else ())]))
    return "\n".join(lines) + "\n"


def _path_from(path: Path, folder: Path) -> str:
    """A path as it stands in a list in ``folder``. Raises ManifestError for one that no list can hold."""
    from xlsr_ref.untrusted import shown

    absolute, top = os.path.abspath(path), os.path.abspath(folder)
    inside = absolute.startswith(os.path.join(top, ""))
    name = Path(os.path.relpath(absolute, top)).as_posix() if inside else absolute
    if any(c in name for c in "\t\n\r"):
        raise ManifestError(f"{shown(path)}: has a tab or a line end in its name, which no list can hold: rename it")
    return name
