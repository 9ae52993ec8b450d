"""Which recordings the arguments of a command mean, and where their results are written.

A folder stands for all audio files in it and below, sorted; ``-`` for the standard input; no argument for the clips
that come with the package. Results keep the sub folders of a folder, and no two of them share a place.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.audio.clips import bundled_clips
from xlsr_ref.audio.manifest import Clip
from xlsr_ref.audio.suffixes import is_audio
from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import shown

LISTS = (".tsv", ".csv", ".jsonl", ".textgrid", ".eaf")  # how the names of files end that list recordings
NAMED = 5  # files in a line


class Recording(NamedTuple):
    """One input."""

    path: Path
    name: str  # to call it by
    place: Path  # of its result under --output, without the suffix
    part: Clip | None = None  # where it is a part of the file

    def clip(self) -> Clip:
        """What is computed: the part, or the whole file."""
        return self.part or Clip(self.path, "", "", 0.0, "", "")


def find(
    arguments: Sequence[str], cleanup: ExitStack, of_list: Callable[[str], list[Recording]] | None = None
) -> tuple[list[Recording], bool, list[str]]:
    """The recordings that the arguments mean; whether they may be several; a line for each argument that means none.

    ``of_list`` gives the recordings that a list names, such as a table or a TextGrid.
    """
    if not arguments:
        clips = bundled_clips()
        return [Recording(clip.path, clip.name, Path(clip.name).with_suffix("")) for clip in clips], True, []
    recordings: list[Recording] = []
    problems: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if not argument:
            problems.append("'': an empty name; give a file or a folder")
        elif argument == "-":
            recordings.append(Recording(_spool_stdin(cleanup), "standard input", Path("stdin")))
        elif of_list is not None and is_list(argument):
            recordings += of_list(argument)
        elif os.path.isdir(argument):
            files = sorted(_audio_files(path, problems))
            if not files:
                problems.append(f"{shown(path)}: no audio files in this folder; name them one by one if there are some")
            recordings += [Recording(path / file, str(path / file), file.with_suffix("")) for file in files]
        else:
            recordings.append(Recording(path, argument, Path(path.stem)))
    first = arguments[0]
    return recordings, len(arguments) > 1 or os.path.isdir(first) or is_list(first), problems


def _audio_files(folder: Path, problems: list[str]) -> Iterator[Path]:
    """Audio files in ``folder`` and below, relative to it; not the hidden ones, such as macOS's ``._talk.wav``."""

    def unreadable(error: OSError) -> None:
        problems.append(f"{shown(error.filename)}: {error.strerror}")

    for here, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if is_audio(name) and not name.startswith("."):
                yield Path(here, name).relative_to(folder)


def is_list(argument: str) -> bool:
    """Is that a file that lists recordings?"""
    return argument.lower().endswith(LISTS) and not os.path.isdir(argument)


def passed_over(arguments: Sequence[str]) -> Iterator[str]:
    """A line for each folder among the arguments of :func:`find` that has files which do not stand for recordings."""
    for argument in filter(os.path.isdir, arguments):
        others = []
        for here, folders, files in os.walk(argument):
            folders[:] = [name for name in folders if not name.startswith(".")]
            others += [
                Path(here, name).relative_to(argument) for name in files if name[0] != "." and not is_audio(name)
            ]
        if others:
            named = ", ".join(shown(name) for name in sorted(others)[:NAMED])
            more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
            count = "1 file is" if len(others) == 1 else f"{len(others)} files are"
            yield f"{shown(argument)}: {count} passed over, not named like audio: {named}{more}"


def missing(recordings: Sequence[Recording]) -> list[str]:
    """A line for each recording that is not there: told before anything heavy begins."""
    return [f"{shown(one.name)}: cannot be opened ({why})" for one in recordings if (why := _why_not(one.path))]


def is_there(recording: Recording) -> bool:
    """Does the file exist?"""
    return not _why_not(recording.path)


def _why_not(path: Path) -> str:
    try:
        os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return str(getattr(error, "strerror", None) or error)
    return ""


def _spool_stdin(cleanup: ExitStack) -> Path:
    """The standard input as a file that goes when ``cleanup`` ends: a decoder may have to seek.

    On Linux the file has no name in any folder and goes with this process, however that ends; elsewhere it has one.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise XlsrError("- reads the standard input, but nothing is piped into it")
    nameless = cleanup.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - cleanup closes it
    path = Path(f"/proc/{os.getpid()}/fd/{nameless.fileno()}")
    if path.exists() and os.path.samestat(path.stat(), os.fstat(nameless.fileno())):
        shutil.copyfileobj(sys.stdin.buffer, nameless)
        nameless.flush()
        return path
    folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="xlsr-ref-"))
    path = Path(folder, "stdin")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def targets(recordings: Sequence[Recording], output: str | None, suffix: str) -> Sequence[Path | None]:
    """Where each result goes. Of two that want the same place the second becomes ``name-2``, and so on."""
    if output is None:
        return [None] * len(recordings)
    folder = Path(output)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise XlsrError(f"{shown(folder)}: is a file; give --output a folder")
    taken: set[str] = set()
    targets = []
    for recording in recordings:
        number, place = 1, recording.place
        while (key := unicodedata.normalize("NFC", str(place)).casefold()) in taken:  # as macOS and Windows compare
            number += 1
            place = recording.place.with_name(f"{recording.place.name}-{number}")
        taken.add(key)
        target = folder / place.with_name(place.name + suffix)
        targets.append(target)
    return targets


def renamed(recordings: Sequence[Recording], targets: Sequence[Path | None]) -> Iterator[str]:
    """A line for each recording whose result cannot have its name, since another one's has it."""
    for recording, target in zip(recordings, targets):
        if target is not None and target.stem != recording.place.name:
            yield f"{shown(recording.name)}: another recording has this name, too: its result goes to {shown(target)}"
