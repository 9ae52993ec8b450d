"""Long recordings with annotations: Praat's TextGrid and ELAN's .eaf. A clip is what one annotation covers.

Both have tiers, rows of annotations in time. Which tier holds what is said must be named where several have texts.
A TextGrid's recording has its name and stands beside it; an .eaf names its own, and one of its name comes first.
An .eaf is XML: one with a document type, where entities could be declared, is refused.
Where: Praat's manual, "TextGrid file formats"; the ELAN Annotation Format, version 3.0.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from xlsr_ref.audio.corpus.entry import UNKNOWN_LANGUAGE, Entry, Source, is_file, natural
from xlsr_ref.audio.suffixes import audio_beside, is_audio
from xlsr_ref.errors import ManifestError
from xlsr_ref.untrusted import decode, listed, read_bytes, shown

SUFFIXES = (".textgrid", ".eaf")


class Part(NamedTuple):
    """One annotation."""

    start: float | None  # seconds; None: ELAN was not told
    end: float | None
    text: str


class Tier(NamedTuple):
    """A row of annotations."""

    name: str
    speaker: str
    lang: str
    parts: list[Part]


def is_annotation(path: Path) -> bool:
    """Is that how the name of a TextGrid or an .eaf ends?"""
    return path.suffix.lower() in SUFFIXES


def is_annotated(folder: Path) -> bool:
    """Are there annotations in the folder?"""
    return any(map(is_annotation, folder.glob("**/*")))


def annotated(folder: Path, tiers: Sequence[str] = ()) -> Source:
    """The annotations of all files in the folder and below. Raises ManifestError."""
    together = Source("annotations", [], [], [])
    for path in sorted(filter(is_annotation, folder.glob("**/*")), key=natural):
        one = annotation_of(path, tiers)
        together.entries.extend(one.entries)
        together.left_out.extend(one.left_out)
        together.notes.extend(one.notes)
    return together


def annotation_of(path: Path, tiers: Sequence[str] = ()) -> Source:
    """What one file annotates. Raises ManifestError for one that cannot be read, and where a tier must be named."""
    is_elan = path.suffix.lower() == ".eaf"
    found, media = _read_elan(path) if is_elan else (_read_textgrid(path), [])
    recording = next((one for one in [*audio_beside(path), *media] if is_file(one)), None)
    if recording is None:
        return Source("annotations", [], [(path.name, "its recording is not there: no sound of its name")], [])
    entries, left_out = [], []
    for tier in _chosen(path, found, tiers):
        for number, part in enumerate(tier.parts, start=1):
            at = f"number {number}" if part.start is None else f"at {part.start:g} s"
            place = f"{path.name}, tier {shown(tier.name)}, {at}"
            if not part.text.strip():
                continue
            if part.start is None or part.end is None:
                left_out.append((place, "its times are not set"))
                continue
            speaker = tier.speaker if is_elan else ""
            entries.append(Entry(place, recording, part.text.strip(), tier.lang, speaker, "", part.start, part.end,
                                 tier=tier.name))  # fmt: skip
        _require_order(path, tier)
    return Source("annotations", entries, left_out, [])


def _chosen(path: Path, found: list[Tier], tiers: Sequence[str]) -> list[Tier]:
    """The tiers that are named, or the only one with texts. Raises ManifestError."""
    with_texts = [tier for tier in found if any(part.text.strip() for part in tier.parts)]
    if not tiers:
        if len(with_texts) > 1:
            raise ManifestError(
                f"{shown(path)}: several tiers have texts, {listed(tier.name for tier in with_texts)}: "
                "name those with what is said by --tier, or data.tiers in a recipe"
            )
        return with_texts
    chosen = [tier for tier in found if tier.name in tiers]
    if not chosen:
        raise ManifestError(
            f"{shown(path)}: has no tier {listed(tiers)}, only {listed(tier.name for tier in found) or 'none'}"
        )
    return chosen


def _require_order(path: Path, tier: Tier) -> None:
    """Raises ManifestError for a tier whose annotations overlap each other."""
    times = sorted((part.start, part.end) for part in tier.parts
                   if part.text.strip() and part.start is not None and part.end is not None)  # fmt: skip
    for (_, end), (start, _) in pairwise(times):
        if start < end - 1e-6:
            raise ManifestError(
                f"{shown(path)}: in the tier {shown(tier.name)} two annotations overlap from {start:g} to {end:g} s: "
                "mend that in the file"
            )


# --- TextGrid ---------------------------------------------------------------------------------------------------------

# What Praat reads of a text file: numbers, texts and flags that stand free; names, "=" and "[1]:" are passed over.
TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)%?(?!\S)|(?<!\S)(<exists>|<absent>)|![^\n]*'
)


def _read_textgrid(path: Path) -> list[Tier]:
    """The interval tiers of a TextGrid, in its long or its short form."""
    data = read_bytes(path, ManifestError)
    if data.startswith(b"ooBinaryFile"):
        raise ManifestError(f"{shown(path)}: is a binary TextGrid: save it in Praat as a text file")
    utf_16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = data.decode("utf-16", "replace") if utf_16 else decode(data, shown(path), ManifestError)
    values = _tokens(text)
    try:
        if next(values) != "ooTextFile" or next(values) != "TextGrid":
            raise ManifestError(f"{shown(path)}: is not a TextGrid, whatever its name says")
        next(values), next(values)  # where it begins and ends
        flag = next(values)
        count = int(next(values)) if flag == "<exists>" else 0
        return [tier for tier in [_tier(values) for _ in range(count)] if tier is not None]
    except (StopIteration, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ManifestError):
            raise
        raise ManifestError(f"{shown(path)}: the TextGrid ends early or is damaged: save it again") from None


def _tokens(text: str) -> Iterator[Any]:
    for match in TOKEN.finditer(text):
        string, number, flag = match.groups()
        if string is not None:
            yield string.replace('""', '"')
        elif number is not None:
            yield float(number)
        elif flag is not None:
            yield flag


def _tier(values: Iterator[Any]) -> Tier | None:
    kind, name, _, _, count = [next(values) for _ in range(5)]
    if kind == "IntervalTier":
        parts = [Part(float(next(values)), float(next(values)), str(next(values))) for _ in range(int(count))]
        return Tier(str(name), "", UNKNOWN_LANGUAGE, parts)
    for _ in range(int(count)):  # points: a time and a mark
        next(values), next(values)
    return None


# --- ELAN -------------------------------------------------------------------------------------------------------------


def _read_elan(path: Path) -> tuple[list[Tier], list[Path]]:
    """The tiers of an .eaf, and the recordings that it names."""
    from xml.etree import ElementTree

    text = decode(read_bytes(path, ManifestError), shown(path), ManifestError)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ManifestError(f"{shown(path)}: has a document type, which no .eaf needs: remove the line <!DOCTYPE …>")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ManifestError(f"{shown(path)}: is not XML: {error}") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ManifestError(f"{shown(path)}: is XML, but not of ELAN: it begins with {shown(root.tag)}")
    media = root.findall("HEADER/MEDIA_DESCRIPTOR")
    if any(one.get("TIME_ORIGIN", "0") not in ("", "0") for one in media):
        raise ManifestError(f"{shown(path)}: its recording begins at another time (TIME_ORIGIN): cut it in ELAN first")
    slots = {slot.get("TIME_SLOT_ID"): _milliseconds(path, slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    times, parents = {}, {}
    for one in root.iter("ALIGNABLE_ANNOTATION"):
        times[one.get("ANNOTATION_ID")] = slots.get(one.get("TIME_SLOT_REF1")), slots.get(one.get("TIME_SLOT_REF2"))
    for one in root.iter("REF_ANNOTATION"):
        parents[one.get("ANNOTATION_ID")] = one.get("ANNOTATION_REF")
    tiers = [_elan_tier(tier, times, parents) for tier in root.findall("TIER")]
    return tiers, [place for one in media for place in _media(path, one)]


def _elan_tier(tier: Any, times: dict, parents: dict) -> Tier:
    """A tier. Annotations that refer to one annotation of another tier have its times, and are joined in order."""
    parts: dict[Any, Part] = {}
    for one in tier.findall("ANNOTATION/*"):
        key = one.get("ANNOTATION_ID")
        for _ in range(len(parents) + 1):  # to the annotation that has times of its own; a circle ends, too
            key = parents.get(key, key)
        start, end = times.get(key, (None, None))
        text = " ".join((one.findtext("ANNOTATION_VALUE") or "").split())
        before = parts[key].text if key in parts else ""
        parts[key] = Part(start, end, f"{before} {text}".strip())
    name = tier.get("TIER_ID") or ""
    return Tier(name, tier.get("PARTICIPANT") or name, tier.get("LANG_REF") or UNKNOWN_LANGUAGE, list(parts.values()))


def _milliseconds(path: Path, text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
        raise ManifestError(f"{shown(path)}: a time is {shown(text, 40)}: expected whole milliseconds")
    return int(text) / 1000


def _media(path: Path, one: Any) -> Iterator[Path]:
    """Where the recording of a MEDIA_DESCRIPTOR may be: by the name in the same folder, then as it is written."""
    for link in filter(None, (one.get("RELATIVE_MEDIA_URL"), one.get("MEDIA_URL"))):
        name = urllib.parse.unquote(link.removeprefix("file://"))
        if "\0" not in name and is_audio(name):
            yield path.parent / re.split(r"[/\\]", name)[-1]
            yield path.parent / name
