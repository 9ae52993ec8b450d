"""Which files are recordings, by how their names end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlsr_ref.audio.ffmpeg import SUFFIXES as FFMPEG_SUFFIXES

# What libsndfile reads, by its usual suffixes. Not here: headerless samples, and MATLAB's files, seldom sound.
AUDIO_SUFFIXES = {
    ".wav", ".wave", ".w64", ".rf64", ".bwf", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mp1", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc", ".avr", ".htk", ".iff", ".svx", ".8svx", ".paf", ".pvf",
    ".sd2", ".sds", ".sf", ".ircam", ".wve", ".xi",
}  # fmt: skip


def is_audio(name: str) -> bool:
    """Is that how the name of a recording ends?"""
    return Path(name).suffix.lower() in AUDIO_SUFFIXES | FFMPEG_SUFFIXES


def audio_beside(path: Path) -> Iterator[Path]:
    """The recordings in the folder of ``path`` that have its name with another suffix; libsndfile's formats first."""
    beside = [one for one in path.parent.iterdir() if one.stem == path.stem and is_audio(one.name)]
    yield from sorted(beside, key=lambda one: (one.suffix.lower() not in AUDIO_SUFFIXES, one.name))
