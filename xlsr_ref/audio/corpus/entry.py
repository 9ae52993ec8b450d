"""What a list or an annotation says of one clip, before it is compared with the recording."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.errors import ManifestError
from xlsr_ref.untrusted import read_text, shown

UNKNOWN_LANGUAGE = "und"  # as BCP 47 calls it
SPLITS = {"validation": "dev", "valid": "dev", "val": "dev", "training": "train", "testing": "test"}


class Entry(NamedTuple):
    """One line of a list, or one annotation."""

    place: str  # where it stands, to name it by
    path: Path
    text: str
    lang: str = UNKNOWN_LANGUAGE
    speaker: str = ""  # "": not known
    split: str = ""  # "": the layout knows no splits, and the clip is of any
    start: float = 0.0  # seconds
    end: float | None = None
    seconds: float | None = None  # as the list says; it is checked, never believed
    tier: str = ""  # of an annotation


class Source(NamedTuple):
    """What was found, in its own order, and what its user should know."""

    layout: str
    entries: list[Entry]
    left_out: list[tuple[str, str]]  # what has no recording: where it stands, and why
    notes: list[str]


Reader = Callable[[Path, Sequence[str]], Source]  # of a path; and the names of tiers, for annotations


def split_of(name: str) -> str:
    """What a folder or a file of that name is used for; "validation" is dev."""
    return SPLITS.get(name.lower(), name)


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line of a text that is not empty, and where it stands: "text, line 3". Raises ManifestError."""
    text = read_text(path, ManifestError, pipes=True)
    if "\0" in text:
        raise ManifestError(f"{shown(path)}: has null bytes: this is no text")
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines would cut at rarer characters as well
        if line.strip():
            yield f"{shown(path.name)}, line {number}", line.removesuffix("\r")


def first_words(path: Path) -> dict[str, str]:
    """The lines of one of Kaldi's files: the first word, and what follows. Raises ManifestError for a word twice."""
    found: dict[str, str] = {}
    for place, line in numbered_lines(path):
        key, _, rest = line.strip().partition(" ") if "\t" not in line else line.strip().partition("\t")
        if key in found:
            raise ManifestError(f"{shown(path.parent)}: {place}: {shown(key)} stands there twice: remove one")
        found[key] = rest.strip()
    return found


def is_file(path: Path) -> bool:
    """Is there such a file? False, too, for names that no file can have."""
    return os.path.isfile(path)


def natural(path: Path) -> list[object]:
    """Sorts clip-2 before clip-10."""
    return [int(part) if part.isdigit() and part.isascii() else part for part in re.split(r"(\d+)", str(path))]
