"""Recordings are decoded by libsndfile: how a file is opened, what its header lacks, and silence on the terminal.

A WAV whose writer could not go back (it died, or wrote to a pipe) has sizes of 0 or 0xFFFFFFFF in its header; some
recorders count the header in. Whatever whole samples are there are read, in pieces, and never by what a header claims.
libsndfile and libmpg123 print to C's own stdout and stderr. These streams, not the file descriptors, lead nowhere
while a call lasts: what Python writes, in any thread, is not touched. That needs glibc; elsewhere they print.
"""

from __future__ import annotations

import ctypes
import io
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

UNKNOWN_SIZE = 0x7F000000  # a recorder that writes to a pipe cannot know the length; it promises about 2 GiB or more
HEAD = 1 << 20  # bytes in which a header ends


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A soundfile.SoundFile that reads forward only. Raises what soundfile raises."""
    import soundfile  # late: needs libsndfile, which arrays do not

    with silence():
        stream = soundfile.SoundFile(str(path) if os.name == "nt" else os.fsencode(path))
    try:
        if stream.frames == 0 and stream.format in ("WAV", "WAVEX", "RF64"):
            stream = _filled_in(path, stream)
        # soundfile seeks after each read if it can, and a seek makes the MP3 decoder forget: clicks between blocks.
        stream.seekable = lambda: False
        yield stream
    finally:
        with silence():
            stream.close()


def missing(path: str | os.PathLike[str], stream: Any, done: int) -> str:
    """What a file lacks of what its header promises, in words; '' if it is whole.

    libsndfile corrects a header that promises too much in silence, but says so in its log.
    """
    log = stream.extra_info
    sizes = re.search(r"^ *(data|SSND|BODY|riff|Riff size|Data Size) *: (\d+) \(should be (\d+)\)", log, re.M)
    if sizes and int(sizes[2]) < UNKNOWN_SIZE and not _header_counted_in(sizes, log):
        return f"its header promises {sizes[2]} bytes of data, {sizes[3]} are there"
    if "Junk after the last page" in log:
        return "its last Ogg page is not complete"
    known = stream.frames < 1 << 62  # a FLAC from a pipe does not say
    if stream.format == "MP3":  # a guess from the bit rate, unless there is a Xing or Info header
        with open(path, "rb") as file:
            known = re.search(b"Xing|Info", file.read(HEAD)) is not None
    return f"its header promises {stream.frames} samples, {done} are there" if known and done < stream.frames else ""


def _header_counted_in(sizes: re.Match[str], log: str) -> bool:
    """Whether only the data's size is too large, by no more than the header, and the whole file's size is right."""
    length = re.search(r"^Length : (\d+)", log, re.M)
    right = re.search(r"^RIFF : (\d+)$", log, re.M) is not None  # where it is wrong, the right one follows
    return sizes[1] == "data" and right and length is not None and int(sizes[2]) <= int(length[1])


# --- a header that was never filled in -------------------------------------------------------------------------------


def _filled_in(path: str | os.PathLike[str], stream: Any) -> Any:
    """``stream``, of no samples, or another of the same file with the sizes that its recorder never filled in."""
    import soundfile

    with open(path, "rb") as file:
        head, length = file.read(HEAD), os.fstat(file.fileno()).st_size
    unfilled = re.compile(b"data(?:\xff\xff\xff\xff|\0\0\0\0)" if head[:4] == b"RF64" else b"data\0\0\0\0")
    data = unfilled.search(head, 12)
    if data is None or _are_chunks(head[data.end() :], length - data.end()):
        return stream
    stream.close()
    patches = {0: b"RIFF", data.start() + 4: b"\xff\xff\xff\xff"}  # which means: to the end
    if head[:4] == b"RF64" and (large := head.find(b"ds64", 12, data.start())) > 0:
        patches[large] = b"JUNK"  # the chunk with the sizes of 64 bits, which are 0 as well
    with silence():
        return soundfile.SoundFile(_Patched(path, patches))


def _are_chunks(head: bytes, length: int) -> bool:
    """Whether the ``length`` bytes that begin with ``head`` are chunks of a RIFF file, such as tags, and no samples."""
    at = 0
    while at < length:
        if not re.fullmatch(rb"[ -~]{4}", head[at : at + 4]):
            return False
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
        at += at % 2
    return length <= at <= length + 1


class _Patched(io.FileIO):
    """A file, read only, with other bytes at some places."""

    def __init__(self, path: str | os.PathLike[str], patches: Mapping[int, bytes]) -> None:
        super().__init__(path, "rb")
        self.patches = patches

    def readinto(self, buffer: Any) -> int:
        begin, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        for place, content in self.patches.items():
            for at, byte in enumerate(content, start=place - begin):
                if 0 <= at < count:
                    view[at] = byte
        return count

    def read(self, size: int | None = -1) -> bytes:
        buffer = bytearray(HEAD if size is None or size < 0 else size)
        return bytes(buffer[: self.readinto(buffer)])


# --- silence ---------------------------------------------------------------------------------------------------------

_lock, _inside = threading.Lock(), 0


@contextmanager
def silence() -> Iterator[None]:
    """What C code prints while this lasts goes nowhere; threads may be inside at the same time."""
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _swap()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _swap()


def _swap() -> None:
    """Exchange C's stdout and stderr for streams that lead nowhere, or back. Only glibc lets these be assigned."""
    if not _streams:
        _streams.extend(_find_streams())
    for place, other in _streams:
        place.value, other.value = other.value, place.value


_streams: list[tuple[ctypes.c_void_p, ctypes.c_void_p]] = []  # C's variable, and what it does not hold at the moment


def _find_streams() -> list[tuple[ctypes.c_void_p, ctypes.c_void_p]]:
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - AttributeError elsewhere
        libc.fopen.restype = ctypes.c_void_p
        names = ("stdout", "stderr")
        places = [(ctypes.c_void_p.in_dll(libc, name), libc.fopen(os.devnull.encode(), b"we")) for name in names]
    except (AttributeError, OSError, TypeError, ValueError):
        return []
    return [(place, ctypes.c_void_p(nowhere)) for place, nowhere in places if place.value and nowhere]
