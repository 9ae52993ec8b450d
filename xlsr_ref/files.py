"""Whole files and folders out: what is written appears complete under its name, or not at all.

    .NAME.RANDOM.unfinished   made beside NAME, which must not exist → written → on the disk → renamed to NAME

A process that is killed leaves at most such a hidden file, never half of NAME. No two writers share one: its name is
random, and it is made with O_EXCL. A link that leads to NAME stays a link; a file that is replaced hands its mode and,
where that is allowed, its owner on. Devices, pipes and descriptors such as /dev/stdout are written into. Everything
here but `write_whole` and `Lines` raises OSError; who calls it says which of the package's errors that is.

`Lines` is the one file that grows: results of a long work, a line each, as they come. A line that was cut short by a
kill is taken off when the work goes on, and one process at a time holds the file.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import shown

UNFINISHED = ".unfinished"  # how the name of whatever is not whole yet ends
HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # of a file that another process holds
LINKS = 40  # on the way to a file: more are a circle, as for Linux


def write_whole(path: str | Path, content: str | bytes, error: type[XlsrError] = XlsrError) -> None:
    """Write a file that appears whole or not at all, with the folders that it needs. Raises ``error``.

    What is no regular file is written into and never replaced. Text is UTF-8.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    try:
        if _is_special(path):
            _write_into(path, data)
            return
        Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, open(unfinished, "r+b") as file:
            file.write(data)
    except OSError as problem:
        raise error(f"{shown(path)} cannot be written: {problem.strerror or problem}") from None


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """The name of an empty file to write, which takes the place of ``path`` when all went well, and else goes.

    Raises FileExistsError where ``path`` is no regular file.
    """
    if _is_special(path):
        raise FileExistsError(0, "it is not a regular file")
    place = Path(os.path.realpath(path))  # a link stays one
    old = place.stat() if place.exists() else None
    if old is not None and not os.access(place, os.W_OK):
        raise PermissionError(0, "it may not be written to")
    unfinished = _new_file(place)
    try:
        usual = unfinished.stat()
        yield unfinished
        _finish(unfinished, usual if old is None else old)
        os.replace(unfinished, place)
        to_disk(place.parent)
    finally:
        with suppress(OSError):
            unfinished.unlink()


@contextmanager
def whole_folder(target: str | Path, replace: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes ``target`` when all went well, and else goes.

    With ``replace`` it takes the place of a folder of that name, and a link to one stays; without it what is there, or
    has appeared meanwhile, stays as it is and an OSError is raised. The folder above ``target`` must be there.
    """
    target = Path(os.path.realpath(target)) if replace else Path(target)
    if not replace:
        _require_free(target)
    unfinished = _beside(target)
    unfinished.mkdir()
    try:
        yield unfinished
        for here, _, files in os.walk(unfinished):
            for name in files:
                to_disk(Path(here, name))
            to_disk(Path(here))
        if replace and target.is_dir():
            _exchange(unfinished, target)
        else:
            _require_free(target)
            os.rename(unfinished, target)  # fails where files are there: nothing is lost
        to_disk(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


class Lines:
    """A file of lines that grows while this process holds it. Raises ``error`` where it cannot be written, or is held
    by another process. Close it, or use it in a `with` block."""

    def __init__(self, path: str | Path, error: type[XlsrError] = XlsrError) -> None:
        self.path, self._error = Path(path), error
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")  # noqa: SIM115 - close() does
        except OSError as problem:
            raise error(f"{shown(path)} cannot be written: {problem.strerror or problem}") from None
        try:
            hold(self._file)
            self._cut_off_half_a_line()
        except OSError as problem:
            self.close()
            why = "another process writes into it: wait for that" if problem.errno in HELD else problem.strerror
            raise error(f"{shown(path)} cannot be written: {why or problem}") from None

    def add(self, line: str) -> None:
        """One more line, which is in the file when this returns."""
        try:
            self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")
            self._file.flush()
        except OSError as problem:
            raise self._error(f"{shown(self.path)} cannot be written: {problem.strerror or problem}") from None

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut_off_half_a_line(self) -> None:
        end = self._file.seek(0, os.SEEK_END)
        whole = end
        while whole:
            first = max(0, whole - 2**16)
            self._file.seek(first)
            at = self._file.read(whole - first).rfind(b"\n")
            whole = first + at + 1
            if at >= 0:
                break
        if whole < end:
            self._file.truncate(whole)


def hold(file: IO[Any]) -> None:
    """Hold an open file until it is closed, however that ends. Raises OSError, one of HELD, if another process does.

    Nothing is held where the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in HELD:
            raise


def leftovers(target: str | Path) -> list[Path]:
    """What writers of ``target`` that were killed have left beside it; also, what those at work are writing."""
    target = Path(target)
    head = _head(target)
    try:
        entries = sorted(target.parent.iterdir())
    except OSError:
        return []
    return [path for path in entries if path.name.startswith(head) and path.suffix == UNFINISHED]


def to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk. Raises OSError for a file."""
    folder = path.is_dir()
    with suppress(*([OSError] if folder else [])):  # Windows opens no folders, and some file systems sync none
        handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def descriptor(path: str | Path) -> int | None:
    """The number of the open descriptor that ``path`` names, as /dev/stdout and /dev/fd/3 do; None of a file."""
    ours = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")}
    for _ in range(LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder or ".")
        if folder in ours and name.isdecimal():
            return int(name)
        path = os.path.join(folder, name)
        if not os.path.islink(path):
            return None
        path = os.path.join(folder, os.readlink(path))
    return None


# --- details ---------------------------------------------------------------------------------------------------------


def _head(place: Path) -> str:
    """How the name of the unfinished one begins: short, so that a long name does not become too long."""
    return f".{place.name[:40]}."


def _beside(place: Path) -> Path:
    """A name in the same folder, hence on the same disk, that no other process has."""
    return place.with_name(f"{_head(place)}{secrets.token_hex(8)}{UNFINISHED}")


def _new_file(place: Path) -> Path:
    """A new, empty file beside ``place``, with the usual mode. O_EXCL follows no link, even one that leads nowhere."""
    unfinished = _beside(place)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(unfinished, flags, 0o666))
    return unfinished


def _finish(unfinished: Path, like: os.stat_result) -> None:
    """The mode and the owner of ``like``, and all of it to the disk."""
    handle = os.open(unfinished, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        if hasattr(os, "fchown"):  # POSIX
            own = os.fstat(handle)
            if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
                with suppress(OSError):  # only root gives files away
                    os.fchown(handle, like.st_uid, like.st_gid)
            os.fchmod(handle, stat.S_IMODE(like.st_mode) & 0o777)
        os.fsync(handle)
    finally:
        os.close(handle)


def _require_free(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(0, "it is there already")


def _exchange(unfinished: Path, target: Path) -> None:
    """``unfinished`` in the place of the folder ``target``, which comes back if that fails."""
    old = _beside(target)
    os.rename(target, old)
    try:
        os.rename(unfinished, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_special(path: str | Path) -> bool:
    """Is there something under this name that must be written into, not replaced?"""
    return descriptor(path) is not None or (os.path.exists(path) and not os.path.isfile(path))


def _write_into(path: str | Path, data: bytes) -> None:
    """Into a device, a pipe or an open descriptor, where its position is: at the end, if it was opened to append."""
    number = descriptor(path)
    if number == 1 and sys.stdout is not None:
        sys.stdout.flush()  # what was printed before comes first
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0)) if number is None else os.dup(number)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)
