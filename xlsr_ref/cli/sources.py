"""Corpora on the command line: their options, how they are opened, and what is told of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xlsr_ref.cli.say import complain, note
from xlsr_ref.untrusted import shown

if TYPE_CHECKING:
    from xlsr_ref.audio.corpus import Corpus, Measure
    from xlsr_ref.audio.manifest import Clip
    from xlsr_ref.cli.recordings import Recording
    from xlsr_ref.text.preparation import Preparation


def add_source_options(p: argparse.ArgumentParser, shown_in_help: bool = True) -> None:
    """--text and --tier: of every command that reads a corpus with its texts."""
    text = "prepare texts: nfc,lower,no-punctuation,no-numerals…" if shown_in_help else argparse.SUPPRESS
    p.add_argument("--text", metavar="STEPS", dest="preparation", default="", help=text)
    add_tier(p, shown_in_help)


def add_tier(p: argparse.ArgumentParser, shown_in_help: bool = True) -> None:
    text = "tier of a TextGrid or .eaf file that has the text" if shown_in_help else argparse.SUPPRESS
    p.add_argument("--tier", metavar="NAME", action="append", default=[], dest="tiers", help=text)


def preparation(arguments: argparse.Namespace) -> Preparation:
    """What --text asks for. Raises XlsrError."""
    from xlsr_ref.text.preparation import preparation_of

    return preparation_of(arguments.preparation)


def open_source(
    name: str, arguments: argparse.Namespace, split: str | None = None, measure: Measure = True, texts: bool = True
) -> Corpus:
    """The corpus that an argument names, its texts prepared; what was left out or is odd is told. Raises XlsrError."""
    from xlsr_ref.training.sources import prepared_corpus, summary

    corpus = prepared_corpus(name, preparation(arguments) if texts else None, arguments.tiers, measure, split)
    for line in corpus.notes if texts else ():
        note(f"{shown(name)}: {line}")
    if corpus.left_out:
        complain(f"{shown(name)}: {summary(corpus.left_out)}")
    return corpus


def open_raw_source(name: str, arguments: argparse.Namespace) -> Corpus:
    """As `open_source`, with the texts as they are."""
    return open_source(name, argparse.Namespace(preparation="", tiers=arguments.tiers))


def failed_of(corpus: Corpus) -> int:
    """How many clips were left out for another reason than what the user asked for."""
    from xlsr_ref.training.sources import NUMERALS

    return sum(one.why != NUMERALS for one in corpus.left_out)


def listed_recordings(corpus: Corpus, source: str) -> Iterator[Recording]:
    """The clips of a corpus as recordings; the results keep the folders below the source's own."""
    from xlsr_ref.cli.recordings import Recording

    top = Path(source) if os.path.isdir(source) else Path(source).parent
    for clip in corpus.clips:
        yield Recording(clip.path, name_of(clip), place_of(clip, top), clip if clip.is_part else None)


def name_of(clip: Clip) -> str:
    """How a clip is called: its path, and its times where it is a part of a file."""
    until = "" if clip.end is None else f"{clip.end:.2f}"
    return f"{clip.path}:{clip.start:.2f}-{until}" if clip.is_part else str(clip.path)


def place_of(clip: Clip, top: Path, whole: bool = False) -> Path:
    """Where the result of a clip belongs, below another folder and without a suffix. ``whole``: of the clip's file."""
    path = Path(os.path.relpath(clip.path, top))
    place = path if ".." not in path.parts and not path.is_absolute() else Path(clip.path.name)
    place = place.with_suffix("")
    if not clip.is_part or whole:
        return place
    until = "" if clip.end is None else f"{clip.end:.2f}"
    return place.with_name(f"{place.name}_{clip.start:.2f}-{until}")
