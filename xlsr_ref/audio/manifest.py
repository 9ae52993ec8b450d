"""A manifest: the list of a corpus's recordings, with what is said in each. For training and for measuring errors.

    path            lang  speaker  seconds  split  text       the first line names the columns, in any order
    en/hello.flac   en    anna     1.064    train  hello      a line per recording: tabs between columns, no quotes

The file is UTF-8. `path` is relative to the manifest's own folder unless another root is given. `split` is what a
recording is used for: train, dev, test or any other name; empty for all uses. Columns `start` and `end` may be there:
seconds, of a clip that is a part of a longer file; empty for a whole file. More columns are not read. Empty lines are
passed over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.errors import ManifestError
from xlsr_ref.untrusted import read_text, shown

COLUMNS = ("path", "lang", "speaker", "seconds", "split", "text")
OF_A_PART = ("start", "end")  # columns that may be missing


class Clip(NamedTuple):
    """One recording of a corpus: a file, or what stands in it from ``start`` to ``end``, in seconds."""

    path: Path
    lang: str
    speaker: str
    seconds: float
    split: str
    text: str  # what is said in it; may be empty
    start: float = 0.0
    end: float | None = None  # None: to the end of the file

    @property
    def is_part(self) -> bool:
        """Is it a part of a file?"""
        return self.start > 0 or self.end is not None

    @property
    def stretch(self) -> tuple[str, float, float | None]:
        """What two clips share if they are the same stretch of the same recording."""
        return os.path.realpath(self.path), self.start, self.end


def read_manifest(
    path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None, split: str | None = None
) -> list[Clip]:
    """The clips of the manifest ``path``, in its order; at least one. Only those of ``split``, where that is given.

    ``root`` is the folder that the clips' paths are relative to; None for the manifest's own. Raises ManifestError
    for a file that cannot be read, a column that is missing, a line that does not fit the columns, a recording that is
    not there, and where no clip is left. The message has the number of the line.
    """
    path = Path(path)
    folder = path.parent if root is None else Path(root)
    lines = _lines(path)
    _, header = next(lines, (0, [""]))
    where = _columns(path, header)
    clips, splits = [], set()
    for number, fields in lines:
        if len(fields) != len(header):
            raise ManifestError(
                f"{shown(path)}, line {number}: has {len(fields)} columns, but the first line names {len(header)}"
            )
        row = {name: fields[at] for name, at in where.items()}
        splits.add(row["split"])
        if split is None or row["split"] in ("", split):  # without one a clip is of any
            clips.append(_clip(row, folder, f"{shown(path)}, line {number}"))
    if not splits:
        raise ManifestError(f"{shown(path)}: has a first line but no recordings")
    if not clips:
        named = ", ".join(sorted(map(shown, splits))[:10])
        raise ManifestError(f"{shown(path)}: has no recording of the split {shown(split or '')}, only of {named}")
    return clips


def is_manifest(path: str | os.PathLike[str]) -> bool:
    """Does the first line of a file name all columns, with tabs between them? Raises ManifestError for no text."""
    _, header = next(_lines(Path(path)), (0, [""]))
    return set(COLUMNS) <= set(header)


def read_columns(path: str | os.PathLike[str], names: Sequence[str], *, split: str | None = None) -> list[list[str]]:
    """What stands in the columns ``names`` for each clip that :func:`read_manifest` gives, in the same order.

    Raises ManifestError for a column that the manifest lacks.
    """
    path = Path(path)
    lines = _lines(path)
    _, header = next(lines, (0, [""]))
    for name in names:
        if name not in header:
            raise ManifestError(f"{shown(path)}: has no column {shown(name)}, only {', '.join(map(shown, header))}")
    places, of_split = [header.index(name) for name in names], _columns(path, header)["split"]
    return [[fields[at] for at in places] for _, fields in lines if split is None or fields[of_split] in ("", split)]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line that is not empty; the first is 1."""
    text = read_text(path, lambda problem: ManifestError(f"{problem}: give a table of recordings"), pipes=True)
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines would cut at rarer characters as well
        if line.strip():
            yield number, line.removesuffix("\r").split("\t")


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Where each of COLUMNS stands."""
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ManifestError(
            f"{shown(path)}, line 1: has no column {', '.join(missing)}; the first line names the columns, "
            f"with tabs between them: {', '.join(COLUMNS)}"
        )
    known = [name for name in (*COLUMNS, *OF_A_PART) if name in header]
    twice = [name for name in known if header.count(name) > 1]
    if twice:
        raise ManifestError(f"{shown(path)}, line 1: names the column {twice[0]} twice")
    return {name: header.index(name) for name in known}


def _clip(row: dict[str, str], folder: Path, place: str) -> Clip:
    seconds = _number(row["seconds"])
    if not 0 < seconds < math.inf:
        raise ManifestError(f"{place}: seconds is {shown(row['seconds'])}: it must be a number above 0")
    if not row["path"]:
        raise ManifestError(f"{place}: the path is empty")
    recording = folder / row["path"]
    if not os.path.isfile(recording):  # False, too, for names that no file can have
        raise ManifestError(f"{place}: there is no file {shown(recording)}")
    first, last = row.get("start", ""), row.get("end", "")
    start, end = _number(first) if first else 0.0, _number(last) if last else None
    if not 0 <= start < (math.inf if end is None else end) or end == math.inf:
        raise ManifestError(
            f"{place}: the part from {shown(first)} to {shown(last)} s: its end must come after its start"
        )
    return Clip(recording, row["lang"], row["speaker"], seconds, row["split"], row["text"], start, end)


def _number(text: str) -> float:
    """The number that is written there; NaN where none is."""
    try:
        return float(text)
    except ValueError:
        return math.nan
