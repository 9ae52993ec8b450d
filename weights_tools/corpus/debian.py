"""The files inside a Debian package, without dpkg: an ar archive that holds a tar archive, data.tar.xz.

ar: the line `!<arch>`, then for each member 60 bytes of header (16 of name, 10 of size from byte 48) and its bytes,
padded to an even number. Where: deb(5), ar(5).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

MAGIC, HEADER = b"!<arch>\n", 60


def files_of(package: Path) -> Iterator[tuple[str, bytes]]:
    """The (path, content) of each plain file, paths as "usr/share/…". Raises ValueError for what is no such package."""
    with tarfile.open(fileobj=io.BytesIO(_data_of(package)), mode="r:*") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name.removeprefix("./"), content.read()


def _data_of(package: Path) -> bytes:
    """The bytes of data.tar, compressed as they are."""
    with open(package, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{package} is no Debian package: give a .deb file")
        while len(header := file.read(HEADER)) == HEADER:
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                return file.read(size)
            file.seek(size + size % 2, 1)
    raise ValueError(f"{package} has no data.tar: the file is cut off, download it again")
