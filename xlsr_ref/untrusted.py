"""Files that nobody has checked, and what is shown of them. Every reader of text, JSON, TOML and lines is here.

    which     regular files: a pipe is never waited for, unless the caller allows pipes, and no device is read
    how much  bytes of a file, of a line and of what a packed file unpacks to; depth of nesting; digits of a number
    what      UTF-8, with or without a byte order mark; JSON as the standard has it: no NaN, no key twice

What breaks a rule raises the caller's own error, in one sentence. Whatever comes from a file, a path, a model or
another person's code is shown without control characters: `plain` for text of many lines, `one_line` for a part of a
line, `shown` for a file name.
"""

from __future__ import annotations

import os
import re
import reprlib
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any, TypeVar

from xlsr_ref.errors import XlsrError

LONGEST_JSON = 2**24  # bytes; a config has 2,000 and a large model's safetensors header 60,000
LONGEST_TOML = 2**18
LONGEST_TEXT = 2**28  # of a text that is read as a whole, such as a manifest
LONGEST_LINE = 2**20  # of a text that is read by lines
DEEPEST, DEEPEST_TOML = 100, 32  # objects and lists within each other
MOST_DIGITS = 300  # of a whole number; any such number fits a float64
MOST_DOTS = 500  # in what may be a key of TOML
MOST_EMPTY = 100_000  # lines in a row
UNPACKED = 50, 2**24  # a packed file unpacks to at most so many times its size, or to so many bytes

Name = str | os.PathLike[str]  # of a file
T = TypeVar("T")
Fault = Callable[[str], XlsrError | ValueError]  # makes the error to raise; usually its class


# --- what is shown ---------------------------------------------------------------------------------------------------

# C0 without tab and line feed, DEL, C1, the line and paragraph separators, and what turns the direction of writing.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    r"""``text`` with each control character but tab and line feed spelled out as \u001b: valid in JSON as well."""
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: object) -> str:
    """``text`` as a part of one line, without any control character."""
    return plain(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def shown(path: object, most: int = 5000) -> str:
    """A file name, or another name, that cannot break the line; quoted where it is odd, cut where it is long."""
    text = os.fsdecode(path) if isinstance(path, bytes | os.PathLike) else str(path)
    keep = min(most, 300) // 3
    text = text if len(text) <= most else f"{text[: 2 * keep]}…{text[-keep:]}"
    return text if text and text.isprintable() else ascii(text)


def brief(value: object) -> str:
    """Something that stands in a file, such as a tensor's name: as ``shown``, but never long."""
    return shown(value if isinstance(value, str | bytes) else reprlib.repr(value), 160)


def listed(names: Iterable[object], most: int = 8) -> str:
    """The first ``most`` names, none of them long, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(brief, names[:most])) + more


def model_folder(folder: str | Path, error: type[XlsrError]) -> Path:
    """``folder`` as a Path. Raises ``error`` when it is not a folder."""
    path = Path(folder)
    if not os.path.isdir(path):
        found = "a file, not a model folder" if os.path.exists(path) else "not there; give the folder of a model"
        raise error(f"{shown(path)} is {found}")
    snapshots = path / "snapshots"
    if snapshots.is_dir() and not os.path.lexists(path / "config.json"):  # the Hub cache's folder of a repository
        newest = max(snapshots.iterdir(), key=lambda one: one.stat().st_mtime, default=snapshots / "REVISION")
        raise error(f"{shown(path)} is a repository in the Hub's cache: give {shown(newest)}")
    return path


# --- bytes -----------------------------------------------------------------------------------------------------------


def open_regular(path: Name, error: Fault, pipes: bool = False) -> IO[bytes]:
    """The file ``path``, open for reading; a pipe as well where ``pipes``. Raises ``error`` for whatever else it is."""
    _require_regular(_ask(lambda: os.stat(path), path, error), path, error, pipes)  # opening a device can do something
    waiting = 0 if pipes else getattr(os, "O_NONBLOCK", 0)
    quiet = getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = _ask(lambda: os.open(path, os.O_RDONLY | waiting | quiet), path, error)
    try:
        _require_regular(os.fstat(descriptor), path, error, pipes)  # it may have been replaced since
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _ask(what: Callable[[], T], path: Name, error: Fault) -> T:
    """What the system says of ``path``. Raises ``error``."""
    try:
        return what()
    except FileNotFoundError:
        raise error(f"{shown(path)} is missing") from None
    except (OSError, ValueError) as problem:  # ValueError: a name with a zero in it
        raise error(f"{shown(path)} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None


def _require_regular(found: os.stat_result, path: Name, error: Fault, pipes: bool) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise error(f"{shown(path)} is a folder, not a regular file")
    if not (stat.S_ISREG(found.st_mode) or (pipes and (stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode)))):
        raise error(f"{shown(path)} is not a regular file")


def read_bytes(path: Name, error: Fault, most: int = LONGEST_TEXT, pipes: bool = False) -> bytes:
    """All bytes of a file. Raises ``error`` where there are more than ``most``."""
    with open_regular(path, error, pipes) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
        except OSError as problem:
            raise error(f"{shown(path)} cannot be read: {problem.strerror or problem}") from None
        except MemoryError:
            raise error(f"{shown(path)} has {size:,} bytes, for which there is not enough memory") from None
    size = max(size, len(data))
    if size > most:
        raise error(f"{shown(path)} has {size:,} bytes, more than any such file needs ({most:,})")
    return data


def unpacked(file: IO[bytes], what: str, error: Fault) -> IO[bytes]:
    """``file``, which is packed by gzip, unpacked while it is read. Raises ``error`` for one that never ends."""
    times, least = UNPACKED
    packed = os.fstat(file.fileno())
    most = max(least, times * packed.st_size) if stat.S_ISREG(packed.st_mode) else least * times
    return BufferedReader(_Unpacked(file, what, error, most))


class _Unpacked(RawIOBase):
    """The bytes in a packed file, counted."""

    def __init__(self, file: IO[bytes], what: str, error: Fault, most: int) -> None:
        import gzip  # late, as json and tomllib: every command starts with this file

        self.file, self.what, self.error, self.left = gzip.GzipFile(fileobj=file), what, error, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import gzip
        import zlib

        try:
            data = self.file.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise self.error(f"{self.what}: the packed file ends early or is damaged: copy it again") from None
        self.left -= len(data)
        if self.left < 0:
            raise self.error(f"{self.what}: the packed file unpacks to far more than its size: unpack it yourself")
        buffer[: len(data)] = data
        return len(data)


# --- text ------------------------------------------------------------------------------------------------------------


def decode(data: bytes, what: str, error: Fault) -> str:
    """UTF-8 text; a byte order mark is passed over. Raises ``error``, with the place, for bytes that are none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        found = f"byte {problem.start:,} is {problem.object[problem.start]:#04x}"
        raise error(f"{what} is not UTF-8 text: {found}") from None


def read_text(path: Name, error: Fault, most: int = LONGEST_TEXT, pipes: bool = False) -> str:
    """The text in a file. Raises ``error``."""
    return decode(read_bytes(path, error, most, pipes), shown(path), error)


def lines(file: IO[bytes], what: str, error: Fault) -> Iterator[tuple[int, bytes]]:
    """The lines of an open file with their numbers, from 1; the first without a byte order mark.

    Raises ``error`` for a line that does not end within LONGEST_LINE bytes, and for too many empty ones in a row.
    """
    number = empty = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise error(f"{what}, line {number}: it has more than {LONGEST_LINE:,} bytes: this is no such text")
        empty = empty + 1 if line.isspace() else 0
        if empty > MOST_EMPTY:
            raise error(
                f"{what}, line {number}: more than {MOST_EMPTY:,} lines in a row are empty: this is no such text"
            )
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def text_lines(file: IO[bytes], what: str, error: Fault) -> Iterator[tuple[int, str]]:
    """The lines of an open file of UTF-8 text with their numbers, each with its end. Raises ``error``."""
    for number, line in lines(file, what, error):
        if b"\0" in line:
            raise error(f"{what}, line {number}: this is no text: it has null bytes")
        yield number, decode(line, f"{what}, line {number}:", error)


@contextmanager
def opened(path: Name, error: Fault) -> Iterator[IO[bytes]]:
    """A file that somebody named, a pipe as well; a packed one is unpacked. Raises ``error``, also while it is read."""
    with open_regular(path, error, pipes=True) as file:
        try:
            is_packed = file.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]  # a pipe cannot be wound back
            yield unpacked(file, shown(path), error) if is_packed else file
        except OSError as problem:
            raise error(f"{shown(path)} cannot be read: {problem.strerror or problem}") from None


def whole_number(text: str | bytes) -> int | None:
    """The whole number from 0 up that ``text`` spells in at most 18 ASCII digits; None where it spells none."""
    text = text.decode("latin1") if isinstance(text, bytes) else text
    text = text.strip()
    return int(text) if 0 < len(text) <= 18 and text.isascii() and text.isdigit() else None


# --- JSON and TOML ---------------------------------------------------------------------------------------------------


def read_json(path: Name, error: Fault, finite: bool = True) -> dict[str, Any]:
    """The JSON object in a file. Raises ``error`` with one line, whatever the file holds."""
    return parse_json(read_bytes(path, error, LONGEST_JSON), shown(path), error, finite)


def parse_json(text: bytes, what: str, error: Fault, finite: bool = True) -> dict[str, Any]:
    """The JSON object that ``text`` spells. Stricter than json.loads, as the standard is: no NaN, no key twice.

    With ``finite=False`` NaN and Infinity are read, as Python's json writes them into a run's own files.
    """
    import json

    string = decode(text, what, error)
    if _depth(string) > DEEPEST:
        raise error(f"{what} is nested too deeply, in more than {DEEPEST} levels")
    try:
        numbers: Any = {"parse_constant": _no_constant, "parse_float": _finite} if finite else {"parse_constant": float}
        found = json.loads(string, object_pairs_hook=_once, parse_int=_whole, **numbers)
        if "\\u" in string:
            json.dumps(found, ensure_ascii=False).encode()  # fails on half a surrogate pair, which nothing can print
    except UnicodeError:
        raise error(f"{what} is not UTF-8 text: it has half of a surrogate pair") from None
    except RecursionError:
        raise error(f"{what} is nested too deeply") from None
    except ValueError as problem:
        raise error(f"{what} is not valid JSON: {problem}") from None
    if not isinstance(found, dict):
        raise error(f"{what} must hold a JSON object, found {reprlib.repr(found)}")
    return found


def read_toml(path: Name, error: Fault) -> dict[str, Any]:
    """The table in a TOML file. Raises ``error``."""
    import tomllib

    text, what = read_text(path, error, LONGEST_TOML), shown(path)
    parts = re.split(r"([=,\[\]{}\n])", text)  # tomllib needs memory by the square of a dotted key's length
    if any(key.count(".") >= MOST_DOTS and after in "=]" for key, after in zip(parts[::2], parts[1::2])):
        raise error(f"{what} is nested too deeply, in more than {DEEPEST_TOML} levels")
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise error(f"{what} is nested too deeply") from None
    except ValueError as problem:  # TOMLDecodeError is one, and int() of very many digits raises another
        problem_is = str(problem) if isinstance(problem, tomllib.TOMLDecodeError) else "a number has too many digits"
        raise error(f"{what} is not TOML: {problem_is[:200]}") from None
    _require_small(found, what, error)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {reprlib.repr(twice)} stands twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int | float:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number has {len(digits):,} digits")
    return -0.0 if digits == "-0" else int(digits)  # a minus zero is a float


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {reprlib.repr(digits)} is too large")
    return number


def _depth(text: str) -> int:
    """How deeply the brackets of a JSON text are nested; brackets in strings do not count."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0  # it cannot be too deep
    deepest = depth = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _require_small(found: dict[str, Any], what: str, error: Fault) -> None:
    """Raise ``error`` for a table of TOML that is too deep, or has a whole number of too many digits."""
    todo: list[tuple[Any, int]] = [(found, 1)]
    while todo:
        value, depth = todo.pop()
        if depth > DEEPEST_TOML:
            raise error(f"{what} is nested too deeply, in more than {DEEPEST_TOML} levels")
        if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            raise error(f"{what} has a whole number of more than {MOST_DIGITS} digits")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        todo += [(one, depth + 1) for one in inner]
