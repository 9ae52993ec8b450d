"""From a file or a folder to clips: the layout is told by its files, and every clip is compared with its recording.

    layout ─ entries ─ recordings that are there ─ measured ─ no clip twice, none beyond its recording ─ clips

A clip that cannot be used is left out with its reason; what makes the whole corpus doubtful is refused. Durations are
measured: a length that a list gives is compared with them and never used.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from xlsr_ref.audio.corpus import annotation, folders, table
from xlsr_ref.audio.corpus.entry import Entry, Reader, Source, is_file
from xlsr_ref.audio.manifest import Clip, is_manifest, read_manifest
from xlsr_ref.audio.segment import seconds_of
from xlsr_ref.errors import AudioError, ManifestError
from xlsr_ref.untrusted import listed, shown

SLACK = 0.1, 0.02  # seconds, and share of the length: how far a list may be wrong
PAST = 0.05  # seconds that an annotation may end after its recording

LAYOUTS: tuple[tuple[str, Callable[[Path], bool], Reader], ...] = (  # of folders, told by files that only they have
    ("Common Voice", folders.is_common_voice, folders.common_voice),
    ("Kaldi", folders.is_kaldi, folders.kaldi),
    ("LibriSpeech", folders.is_librispeech, folders.librispeech),
    ("an audiofolder", folders.is_audiofolder, folders.audiofolder),
)
LOOSE: tuple[tuple[Callable[[Path], bool], Reader], ...] = (  # where no list stands in the folder
    (annotation.is_annotated, annotation.annotated),
    (folders.is_pairs, folders.pairs),
)
KNOWN = (
    "Common Voice (clips/ and train.tsv), LibriSpeech (*.trans.txt), an audiofolder (metadata.csv or .jsonl), Kaldi "
    "(wav.scp), annotations (.TextGrid, .eaf) or recordings beside .txt files"
)


class LeftOut(NamedTuple):
    """A clip that cannot be used."""

    name: str
    why: str


class Corpus(NamedTuple):
    """What was understood of a source."""

    layout: str
    clips: list[Clip]
    left_out: list[LeftOut]
    notes: list[str]  # what the user should know, a line each


def open_corpus(
    path: str | os.PathLike[str], *, tiers: Sequence[str] = (), measure: Measure = True, split: str | None = None
) -> Corpus:
    """The clips of a corpus, in its order; at least one.

    ``path`` is a list (ours, CSV, TSV, JSON lines), an annotation (.TextGrid, .eaf), or a folder of one of the layouts
    of this folder. ``tiers`` are those of annotations that hold what is said. With a ``split`` only its clips are
    looked at, and those of a layout without splits. Without ``measure`` the lengths in one of our own lists are taken
    as they are; with "parts" only clips that are parts of a recording are compared with it, and a whole recording is
    not opened: its seconds are those of its list, or 0. Raises ManifestError for what is no such source, for a list
    that cannot be read, and where no clip is left.
    """
    path = Path(path)
    source = read_source(path, tiers, split)
    if split is not None:
        source = _of_split(source, split)
    checked = _Checked(source, measure or source.layout != OWN)
    corpus = Corpus(source.layout, checked.clips, checked.left_out, [*source.notes, *checked.notes()])
    if not corpus.clips:
        first = f", {shown(corpus.left_out[0].name)} the first: {corpus.left_out[0].why}" if corpus.left_out else ""
        raise ManifestError(f"{shown(path)}: no clip can be used, {len(corpus.left_out)} were left out{first}")
    return corpus


OWN = "a list of xlsr-ref"
Measure = bool | Literal["parts"]


def read_source(path: Path, tiers: Sequence[str] = (), split: str | None = None) -> Source:
    """What the files of a corpus say, not yet compared with the recordings. Raises ManifestError."""
    if not os.path.isdir(path):
        if annotation.is_annotation(path):
            return annotation.annotation_of(path, tiers)
        if path.suffix.lower() != ".jsonl" and is_manifest(path):
            return _own_list(path, split)
        return table.read_table(path, tiers)
    found = [(name, read) for name, is_such, read in LAYOUTS if is_such(path)]
    if len(found) > 1:
        raise ManifestError(f"{shown(path)}: could be {' or '.join(name for name, _ in found)}: name its list itself")
    for _, read in found:
        return read(path, tiers)
    for is_such, read in LOOSE:
        if is_such(path):
            return read(path, tiers)
    raise ManifestError(f"{shown(path)}: is none of the layouts that are known: {KNOWN}")


def _own_list(path: Path, split: str | None) -> Source:
    """A list of ours: it was written for this package, so a clip that is not there is an error."""
    entries = [Entry(f"clip {i}", *_fields(clip)) for i, clip in enumerate(read_manifest(path, split=split), start=1)]
    return Source(OWN, entries, [], [])


def _of_split(source: Source, split: str) -> Source:
    """Only the entries of a split. Raises ManifestError for none."""
    entries = [entry for entry in source.entries if entry.split in ("", split)]
    if source.entries and not entries:
        named = listed(sorted({entry.split for entry in source.entries}), 10)
        raise ManifestError(f"no clip belongs to the split {shown(split)}, only to {named}")
    return source._replace(entries=entries)


def _fields(clip: Clip) -> tuple:
    return clip.path, clip.text, clip.lang, clip.speaker, clip.split, clip.start, clip.end, clip.seconds


class _Checked:
    """The entries of a source, compared with their recordings and with each other."""

    def __init__(self, source: Source, measure: Measure) -> None:
        self.measure, self.own = measure, source.layout == OWN
        self.clips: list[Clip] = []
        self.left_out = [LeftOut(*one) for one in source.left_out]
        self.wrong: list[str] = []  # where a list gives another length
        self._lengths: dict[Path, float | str] = {}  # of a file, or what is wrong with it
        self._seen: dict[tuple, Entry] = {}
        crossing = _crossing(source.entries)
        for entry in source.entries:
            why = crossing.get(id(entry)) or self._why_not(entry)
            if why:
                self.left_out.append(LeftOut(f"{entry.place}: {shown(entry.path.name)}", why))
            else:
                self.clips.append(self._clip(entry))

    def _why_not(self, entry: Entry) -> str:
        """The reason for which a clip cannot be used; "" where there is none. Raises ManifestError."""
        if not is_file(entry.path):
            return f"there is no file {shown(entry.path)}"
        key = os.path.normpath(entry.path), entry.start, entry.end
        if before := self._seen.get(key):
            if before.split != entry.split:
                raise ManifestError(
                    f"{shown(entry.path)}: is in {shown(before.split)} ({before.place}) and in {shown(entry.split)} "
                    f"({entry.place}): remove it from one"
                )
            return f"it stands there twice{', with another text' if before.text != entry.text else ''}: {before.place}"
        self._seen[key] = entry
        length = self._length(entry)
        if isinstance(length, str):
            return length
        if entry.end is not None and not 0 <= entry.start < entry.end:
            return f"it reaches from {entry.start:g} to {entry.end:g} s"
        if max(entry.start, entry.end or 0.0) > length + PAST:
            return f"it reaches from {entry.start:g} to {entry.end or length:g} s, and its recording has {length:.2f} s"
        return ""

    def _length(self, entry: Entry) -> float | str:
        """The length of the entry's file in seconds, measured once, or what is wrong with it."""
        if not self._measures(entry):
            return float("inf")
        if entry.path not in self._lengths:
            try:
                self._lengths[entry.path] = seconds_of(entry.path)
            except AudioError as error:
                self._lengths[entry.path] = str(error).removeprefix(f"{shown(entry.path)}: ")
        return self._lengths[entry.path]

    def _measures(self, entry: Entry) -> bool:
        is_part = entry.start > 0 or entry.end is not None
        return is_part if self.measure == "parts" else self.measure

    def _clip(self, entry: Entry) -> Clip:
        seconds, length = entry.seconds, self._length(entry)
        if self._measures(entry):
            assert isinstance(length, float)
            measured = (length if entry.end is None else min(entry.end, length)) - entry.start
            if seconds is not None and abs(seconds - measured) > SLACK[0] + SLACK[1] * measured:
                self.wrong.append(f"{shown(entry.path.name)} has {measured:.2f} s, not {seconds:g} s")
                seconds = None
            # within the slack, ours stay as they are
            seconds = measured if seconds is None or not self.own else seconds
        return Clip(
            entry.path, entry.lang, entry.speaker, seconds or 0.0, entry.split, entry.text, entry.start, entry.end
        )

    def notes(self) -> Iterator[str]:
        """What the user should know of the corpus as a whole."""
        if self.wrong:
            n = len(self.wrong)
            yield f"{_count(n, 'length')} in the list {_are(n)} wrong and measured: {listed(self.wrong, 3)}"
        splits = defaultdict(set)
        for clip in self.clips:
            if clip.speaker:
                splits[clip.speaker].add(clip.split)
        shared = {name: found for name, found in splits.items() if "train" in found and len(found) > 1}
        if shared:
            name, n = next(iter(shared)), len(shared)
            where = listed(sorted(shared[name] - {"train"}))
            yield (
                f"{_count(n, 'speaker')} of train {_are(n)} in {where}, too ({shown(name, 40)}): the error rates there "
                "will be too low for other voices"
            )


def notes_on_texts(clips: Sequence[Clip]) -> Iterator[str]:
    """What the user should know of the texts of a corpus."""
    decomposed = sum(not unicodedata.is_normalized("NFC", clip.text) for clip in clips)
    if decomposed:
        yield (
            f"{_count(decomposed, 'text')} {_are(decomposed)} not in Unicode's NFC, where an é is one character: "
            "--text nfc, or text.unicode in a recipe, composes them"
        )
    empty = sum(not clip.text.strip() for clip in clips)
    if empty:
        yield f"{_count(empty, 'clip')} {'has' if empty == 1 else 'have'} no text"


def _crossing(entries: Sequence[Entry]) -> dict[int, str]:
    """The annotations of different tiers that overlap: two people speak at once, and neither can be learnt from."""
    by_file: dict[Path, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.tier and entry.end is not None:
            by_file[entry.path].append(entry)
    found: dict[int, str] = {}
    for own in by_file.values():
        latest: Entry | None = None
        for entry in sorted(own, key=lambda one: one.start):
            if latest is not None and latest.tier != entry.tier and entry.start < (latest.end or 0.0) - 1e-6:
                found[id(entry)] = f"it overlaps {latest.place}: two voices at once"
                found[id(latest)] = f"it overlaps {entry.place}: two voices at once"
            if latest is None or (entry.end or 0.0) > (latest.end or 0.0):
                latest = entry
    return found


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"
