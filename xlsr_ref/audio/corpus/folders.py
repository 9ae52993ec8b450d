"""Corpora as folders: Common Voice, LibriSpeech, an audiofolder of Hugging Face, Kaldi, and recordings beside texts.

    Common Voice   clips/ and tables train, dev, test with client_id, path, sentence
    LibriSpeech    SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt: an id and the text, beside ID.flac
    audiofolder    metadata as CSV or JSON lines, in the folder or in one for each split, with file_name
    Kaldi          wav.scp, text, and utt2spk, segments, utt2lang where they are; in the folder or in one for each split
    pairs          NAME.wav beside NAME.txt

No command in a wav.scp is run: such a line is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlsr_ref.audio.corpus.entry import (
    UNKNOWN_LANGUAGE,
    Entry,
    Source,
    first_words,
    is_file,
    natural,
    numbered_lines,
    split_of,
)
from xlsr_ref.audio.corpus.table import entry_of, json_rows, named_rows
from xlsr_ref.audio.suffixes import audio_beside
from xlsr_ref.errors import ManifestError
from xlsr_ref.untrusted import LONGEST_LINE, listed, read_text, shown

COMMON_VOICE = ("train", "dev", "test")
METADATA = ("metadata.jsonl", "metadata.csv")
UPWARDS = 4  # folders above a wav.scp: its paths begin where Kaldi's scripts were started


def is_common_voice(folder: Path) -> bool:
    return (folder / "clips").is_dir() and any(is_file(folder / f"{name}.tsv") for name in COMMON_VOICE)


def common_voice(folder: Path, tiers: Sequence[str] = ()) -> Source:
    """The clips of train, dev and test. The language is the table's locale, or else the folder's name."""
    notes: list[str] = []
    entries: list[Entry] = []
    for split in COMMON_VOICE:
        table = folder / f"{split}.tsv"
        for place, row in named_rows(table, notes) if is_file(table) else ():
            entry = entry_of((f"{table.name}, {place}", row), folder / "clips", shown(table))
            lang = folder.resolve().name if entry.lang == UNKNOWN_LANGUAGE else entry.lang
            entries.append(entry._replace(split=split, lang=lang))
    others = sorted(one.name for one in folder.glob("*.tsv") if one.stem not in COMMON_VOICE)
    if others:
        notes.append(f"not read: {listed(others)}")
    return Source("Common Voice", entries, [], notes)


def is_librispeech(folder: Path) -> bool:
    return next(folder.glob("**/*.trans.txt"), None) is not None


def librispeech(folder: Path, tiers: Sequence[str] = ()) -> Source:
    """The utterances of all ``*.trans.txt``. The split is the first folder, where there are several; in English."""
    entries, left_out = [], []
    for table in sorted(folder.glob("**/*.trans.txt"), key=natural):
        inside = table.relative_to(folder).parts
        split = inside[0] if len(inside) > 3 else split_of(folder.resolve().name) if len(inside) == 3 else ""
        for place, line in numbered_lines(table):
            name, _, text = line.strip().partition(" ")
            found = next(audio_beside(table.parent / f"{name}.none"), None)
            if found is None:
                left_out.append((place, f"there is no recording {shown(name)} beside {table.name}"))
                continue
            entries.append(Entry(place, found, text.strip(), "en", name.split("-")[0], split))
    return Source("LibriSpeech", entries, left_out, [])


def _metadata(folder: Path) -> list[tuple[str, Path]]:
    """The tables of an audiofolder with their splits."""
    own = [("", folder / name) for name in METADATA if is_file(folder / name)]
    inside = [(split_of(one.name), one / name) for one in sorted(folder.iterdir()) if one.is_dir() for name in METADATA]
    return own or [(split, path) for split, path in inside if is_file(path)]


def is_audiofolder(folder: Path) -> bool:
    return bool(_metadata(folder))


def audiofolder(folder: Path, tiers: Sequence[str] = ()) -> Source:
    """The recordings of each table of metadata. A split is a column, or the folder that table and recordings are in."""
    notes: list[str] = []
    entries: list[Entry] = []
    for split, path in _metadata(folder):
        rows = json_rows(path) if path.suffix == ".jsonl" else named_rows(path, notes)
        for place, row in rows:
            within = path.relative_to(folder)
            entry = entry_of((f"{within}, {place}", row), path.parent, shown(path))
            parts = Path(row.get("file_name", "")).parts
            by_folder = split or (split_of(parts[0]) if len(parts) > 1 and split_of(parts[0]) in COMMON_VOICE else "")
            entries.append(entry._replace(split=entry.split or by_folder))
    return Source("an audiofolder", entries, [], notes)


def _kaldi_folders(folder: Path) -> list[tuple[str, Path]]:
    if is_file(folder / "wav.scp"):
        return [("", folder)]
    return [(split_of(one.name), one) for one in sorted(folder.iterdir()) if is_file(one / "wav.scp")]


def is_kaldi(folder: Path) -> bool:
    return bool(_kaldi_folders(folder))


def kaldi(folder: Path, tiers: Sequence[str] = ()) -> Source:
    """The utterances of wav.scp, or of segments. Raises ManifestError for a command in place of a file."""
    entries: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    for split, own in _kaldi_folders(folder):
        files = {name: first_words(own / name) if is_file(own / name) else {}
                 for name in ("text", "utt2spk", "utt2lang", "segments")}  # fmt: skip
        recordings = {key: _of_scp(own, key, value) for key, value in first_words(own / "wav.scp").items()}
        if is_file(own / "segments"):
            parts = {key: _segment(own, key, value, recordings) for key, value in files["segments"].items()}
        else:
            parts = {key: (path, 0.0, None) for key, path in recordings.items()}
        for key, (path, start, end) in parts.items():
            place = f"{split}/{key}" if split else key
            if files["text"] and key not in files["text"]:
                left_out.append((place, "it has no line in the file text"))
                continue
            speaker, lang = files["utt2spk"].get(key, ""), files["utt2lang"].get(key, UNKNOWN_LANGUAGE)
            entries.append(Entry(place, path, files["text"].get(key, ""), lang, speaker, split, start, end))
        extra = [key for key in files["text"] if key not in parts]
        left_out += [(key, "it has a text but no recording") for key in extra]
    return Source("Kaldi", entries, left_out, [])


def _of_scp(folder: Path, key: str, value: str) -> Path:
    """The file that a line of wav.scp names, looked for in its folder, those above, and where the command runs."""
    if value.endswith("|") or value.startswith("|"):
        raise ManifestError(
            f"{shown(folder / 'wav.scp')}: {shown(key)} is a command, {shown(value, 60)}, which is not run here: "
            "write its output into a file and name that"
        )
    places = [folder, *list(folder.resolve().parents)[:UPWARDS], Path.cwd()]
    return next((place / value for place in places if is_file(place / value)), folder / value)


def _segment(folder: Path, key: str, value: str, recordings: dict[str, Path]) -> tuple[Path, float, float | None]:
    place = f"{shown(folder / 'segments')}: {shown(key)}"
    parts = value.split()
    try:
        recording, start, end = parts[0], float(parts[1]), float(parts[2])
    except (IndexError, ValueError):
        raise ManifestError(f"{place}: expected a recording and two times, found {shown(value, 60)}") from None
    if recording not in recordings:
        raise ManifestError(f"{place}: its recording {shown(recording)} is not in wav.scp")
    return recordings[recording], start, None if end == -1 else end


def is_pairs(folder: Path) -> bool:
    return any(next(audio_beside(text), None) for text in folder.glob("**/*.txt"))


def pairs(folder: Path, tiers: Sequence[str] = ()) -> Source:
    """Each text file with a recording of its name beside it: all of it is what is said there."""
    entries, left_out = [], []
    for text in sorted(folder.glob("**/*.txt"), key=natural):
        place, found = str(text.relative_to(folder)), list(audio_beside(text))
        if not found:
            left_out.append((place, "there is no recording of this name beside it"))
        elif len(found) > 1:
            left_out.append((place, f"there are several recordings of this name: {listed(p.name for p in found)}"))
        else:
            said = read_text(text, ManifestError, LONGEST_LINE)
            entries.append(Entry(place, found[0], said.strip()))
    return Source("recordings beside texts", entries, left_out, [])
