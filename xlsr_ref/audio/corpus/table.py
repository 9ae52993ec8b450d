"""Tables of recordings: two columns without a first line, or columns by name, with tabs or commas between them.

    clips/one.mp3<TAB>what is said        file_name,transcription          {"file_name": "one.mp3", "text": "…"}
    two columns                           metadata of an audiofolder       JSON lines

A table with tabs has no quotes, but a field that stands in quotation marks as a whole, with those inside doubled, as
spreadsheets write it, is taken out of them. A table with commas or semicolons is CSV as in RFC 4180.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from xlsr_ref.audio.corpus.entry import UNKNOWN_LANGUAGE, Entry, Source, is_file, split_of
from xlsr_ref.errors import ManifestError
from xlsr_ref.untrusted import LONGEST_LINE, listed, opened, parse_json, read_text, shown, text_lines

NAMES = {  # of columns, in the order in which they are looked for
    "path": ("path", "file_name", "audio_filepath", "audio_path", "wav_filename", "filename", "file", "audio", "wav"),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text", "normalised_text"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk"),
    "lang": ("lang", "language", "locale"),
    "split": ("split", "subset"),
    "seconds": ("seconds", "duration"),
    "start": ("start", "offset"),
    "end": ("end",),
}
Row = tuple[str, dict[str, str]]  # where it stands, and its fields by column


def read_table(path: Path, tiers: Sequence[str] = ()) -> Source:
    """The recordings of a table; paths are relative to its folder. Raises ManifestError."""
    notes: list[str] = []
    name, clips = shown(path), path.parent / "clips"
    if path.suffix.lower() == ".jsonl":
        return Source("JSON lines", [entry_of(row, path.parent, name) for row in json_rows(path)], [], notes)
    of_common_voice = "client_id" in header_of(path) and clips.is_dir()
    entries = [entry_of(row, clips if of_common_voice else path.parent, name) for row in named_rows(path, notes)]
    if of_common_voice:
        entries = [entry._replace(split=entry.split or path.stem) for entry in entries]
    return Source("a table of Common Voice" if of_common_voice else "a table", entries, [], notes)


def entry_of(row: Row, folder: Path, name: str) -> Entry:
    """A row of a table as an entry. Raises ManifestError where it has no path, or times that are no numbers."""
    place, fields = row
    found = {what: next((fields[c] for c in columns if c in fields), "") for what, columns in NAMES.items()}
    if not found["path"]:
        raise ManifestError(f"{name}: {place}: has no path of a recording")
    start, end, seconds = (_seconds(found[what], name, place, what) for what in ("start", "end", "seconds"))
    if end is None and start is not None and seconds is not None:
        end = start + seconds  # an offset with a duration
    return Entry(
        place, folder / found["path"], found["text"], found["lang"] or UNKNOWN_LANGUAGE, found["speaker"],
        split_of(found["split"]), start or 0.0, end, seconds,
    )  # fmt: skip


def _seconds(text: str, name: str, place: str, what: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise ManifestError(f"{name}: {place}: {what} is {shown(text)}: it must be a number of seconds")
    return number


def header_of(path: Path) -> list[str]:
    """The fields of a table's first line. Raises ManifestError."""
    _, fields = next(_lines(path, []), ("", [""]))
    return fields


def named_rows(path: Path, notes: list[str]) -> Iterator[Row]:
    """The rows of a table, with or without a first line that names the columns. Raises ManifestError."""
    lines = _lines(path, notes)
    place, header = next(lines, ("", [""]))
    has_names = {"path", "text"} <= {what for what, names in NAMES.items() if set(names) & set(header)}
    if not has_names:
        if len(header) != 2 or not is_file(path.parent / header[0]):
            raise ManifestError(
                f"{shown(path)}: its first line names no columns for a recording and its text, and is no recording "
                f"and a text; found {listed(header)}: name the columns path and text"
            )
        yield place, dict(zip(("path", "text"), header))
        header = ["path", "text"]
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ManifestError(f"{shown(path)}: names the column {shown(twice[0])} twice")
    for place, fields in lines:
        if len(fields) != len(header):
            raise ManifestError(f"{shown(path)}: {place}: has {len(fields)} columns, but the first has {len(header)}")
        yield place, dict(zip(header, fields))


def _lines(path: Path, notes: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The fields of each line that is not empty, and where it stands."""
    text = read_text(path, lambda problem: ManifestError(f"{problem}: give a table of recordings"), pipes=True)
    if "\0" in text:
        raise ManifestError(f"{shown(path)}: has null bytes: give a table of recordings")
    first = text.split("\n", 1)[0]
    if "\t" in first or path.suffix.lower() == ".tsv":
        yield from _with_tabs(text, notes)
        return
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",",
                      strict=True)  # fmt: skip
    try:
        for fields in rows:
            if any(map(str.strip, fields)):
                yield f"line {rows.line_num}", fields
    except csv.Error as error:
        raise ManifestError(f"{shown(path)}: line {rows.line_num}: is not CSV: {error}") from None


def _with_tabs(text: str, notes: list[str]) -> Iterator[tuple[str, list[str]]]:
    quoted = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            raw = line.removesuffix("\r").split("\t")
            fields = [_unquoted(field) for field in raw]
            quoted += fields != raw
            yield f"line {number}", fields
    if quoted:
        notes.append(f"{quoted} lines have fields in quotation marks, which were taken off")


def _unquoted(field: str) -> str:
    """A field without the quotation marks around it, where those inside are doubled."""
    if len(field) < 2 or not (field[0] == field[-1] == '"'):
        return field
    inside = field[1:-1]
    return field if '"' in inside.replace('""', "") else inside.replace('""', '"')


def json_rows(path: Path) -> Iterator[Row]:
    """The objects of a file of JSON lines, with their values as text. Raises ManifestError."""
    with opened(path, ManifestError) as file:
        for number, line in text_lines(file, shown(path), ManifestError):
            if line.strip():
                found = parse_json(line.encode()[:LONGEST_LINE], f"{shown(path)}, line {number},", ManifestError)
                simple = {key: value for key, value in found.items() if isinstance(value, str | int | float)}
                yield f"line {number}", {key: str(value) for key, value in simple.items()}
