"""The directory of a zip file: where each entry's bytes begin and end. Nothing is ever unpacked.

    entry      30 bytes "PK\\3\\4" …, its name, padding, then its bytes as they are
    …
    directory  46 bytes "PK\\1\\2" … for each entry: its name, its size, where it stands
    end        22 bytes "PK\\5\\6" …: how many entries, where the directory stands (zip64: "PK\\6\\6" for large files)

torch stores every entry as it is, so its bytes can be mapped. A compressed entry, which a zip bomb needs, is refused;
so are names that lead out of a folder, links, entries twice or over one another, and any that reach outside the file.
Python's zipfile would be less strict: it makes an object of every entry before they can be counted, does not hold their
number against the directory's, passes over bytes before the first entry, cuts names at a zero byte and guesses the
encoding of others. Where: PKWARE's APPNOTE.TXT, 4.3.
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief

MOST_ENTRIES = 100_000  # a large model has 500
LARGEST_DIRECTORY = 2**25
LINK = 0o120000  # the file type of a symbolic link, in the upper half of the external attributes


class Entry(NamedTuple):
    """The bytes of one entry: ``size`` of them at ``offset``."""

    offset: int
    size: int


def read_zip_directory(data: np.ndarray, what: str) -> dict[str, Entry]:
    """Name → where it stands, in the directory's order, for the bytes ``data`` of a zip file.

    Raises WeightsError for anything that torch does not write; ``what`` begins each message.
    """
    try:
        return _entries(data)
    except WeightsError as error:
        raise WeightsError(f"{what}: {error}") from None
    except struct.error:
        raise WeightsError(f"{what}: the zip file's directory is cut short or damaged") from None


def _entries(data: np.ndarray) -> dict[str, Entry]:
    count, size, offset, end = _end(data)
    if count > MOST_ENTRIES or size > LARGEST_DIRECTORY:
        raise WeightsError(f"the zip file has {count:,} entries, more than any checkpoint: refused")
    if offset + size > end:
        raise WeightsError("the zip file's directory reaches outside the file: it is cut short or damaged")
    directory = data[offset : offset + size].tobytes()
    found: dict[str, Entry] = {}
    begins: list[tuple[int, int, str]] = []
    at = 0
    for _ in range(count):
        fields = struct.unpack_from("<4sxBxxHHxxxxxxxxIIHHHHxxII", directory, at)
        mark, system, flags, method, packed, unpacked, n, e, c, disk, outside, header = fields
        if mark != b"PK\1\2" or at + 46 + n + e + c > len(directory):
            raise WeightsError("the zip file's directory is cut short or damaged")
        name = _name(directory[at + 46 : at + 46 + n])
        extra = directory[at + 46 + n : at + 46 + n + e]
        unpacked, packed, header = _large(extra, [unpacked, packed, header])
        at += 46 + n + e + c
        if method != 0 or packed != unpacked:
            raise WeightsError(f"the zip entry {brief(name)} is compressed, which torch never does: refused")
        if flags & 0x2041:
            raise WeightsError(f"the zip entry {brief(name)} is encrypted: refused")
        if system == 3 and (outside >> 16) & 0o170000 == LINK:
            raise WeightsError(f"the zip entry {brief(name)} is a link: refused")
        if disk or name in found:
            raise WeightsError(f"the zip entry {brief(name)} stands there twice or on another disk: refused")
        begin = _begin(data, header, name, offset)
        if begin + unpacked > offset:
            raise WeightsError(f"the zip entry {brief(name)} of {unpacked:,} bytes reaches outside the file: refused")
        found[name] = Entry(begin, unpacked)
        begins.append((header, begin + unpacked, name))
    begins.sort()
    for (_, last, _), (header, _, name) in pairwise(begins):
        if header < last:
            raise WeightsError(f"the zip entry {brief(name)} lies over another: refused")
    return found


def _end(data: np.ndarray) -> tuple[int, int, int, int]:
    """Number of entries, size and offset of the directory, and where its end record begins."""
    tail = data[-(22 + 0xFFFF) :].tobytes()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        raise WeightsError("the zip file has no directory at its end: it is cut short; get it again")
    _, disk, start, here, count, size, offset, _ = struct.unpack_from("<4sHHHHIIH", tail, at)
    end = len(data) - len(tail) + at
    locator = tail[at - 20 : at] if at >= 20 else b""
    if locator[:4] == b"PK\6\7":
        _, _, place, _ = struct.unpack("<4sIQI", locator)
        if place > len(data) - 56:
            raise WeightsError("the zip64 directory reaches outside the file: it is cut short or damaged")
        record = struct.unpack("<4sQHHIIQQQQ", data[place : place + 56].tobytes())
        mark, _, _, _, disk, start, here, count, size, offset = record
        if mark != b"PK\6\6":
            raise WeightsError("the zip64 directory is damaged")
        end = place
    if disk or start or here != count:
        raise WeightsError("the zip file is one part of several: refused")
    return count, size, offset, end


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise WeightsError(f"the zip entry {brief(raw)} has a name that is not UTF-8: refused") from None
    parts = name.split("/")
    if not name or "\0" in name or "\\" in name or re.match(r"[A-Za-z]:", name) or ".." in parts or not parts[0]:
        raise WeightsError(f"the zip entry {brief(name)} has a name that leads out of its folder: refused")
    return name


def _large(extra: bytes, sizes: list[int]) -> list[int]:
    """The sizes, with those that did not fit into 32 bits taken from the zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            values = [v[0] for v in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
            for i, size in enumerate(sizes):
                if size == 0xFFFFFFFF:
                    if not values:
                        raise WeightsError("the zip64 field of an entry is cut short or damaged")
                    sizes[i] = values.pop(0)
            return sizes
        at += 4 + length
    return sizes


def _begin(data: np.ndarray, header: int, name: str, end: int) -> int:
    """Where the entry's bytes begin: after its own header, which must name it, too."""
    if header + 30 > end:
        raise WeightsError(f"the zip entry {brief(name)} begins outside the file: refused")
    local = data[header : header + 30].tobytes()
    n, e = struct.unpack_from("<HH", local, 26)
    if local[:4] != b"PK\3\4" or data[header + 30 : header + 30 + n].tobytes() != name.encode():
        raise WeightsError(f"the zip entry {brief(name)} is not where the directory says: it is damaged")
    return header + 30 + n + e
