"""How the commands speak: results to the standard output, all else to the standard error, an error in one line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import one_line, plain, shown, whole_number

if TYPE_CHECKING:
    from xlsr_ref.cli.recordings import Recording


class ReaderLeft(Exception):
    """The reader of our standard output has closed it, as ``| head -1`` does. Not an error."""


class WrongUsage(Exception):
    """What argparse cannot see by itself."""


def layout(prog: str) -> argparse.HelpFormatter:
    """Texts stay as they are written, and options get their own column."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)


class Parser(argparse.ArgumentParser):
    """A parser that shows what it was given without control characters."""

    _intermixing = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.register("type", int, whole)  # of every option with type=int

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Positional arguments may stand on both sides of options: FILE --format srt TEXT."""
        if self._subparsers is not None or self._intermixing:
            return super().parse_known_args(args, namespace)
        self._intermixing = True  # what is called here calls this method again
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixing = False

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(plain(message), file)


def whole(text: str) -> int:
    """The whole number that was typed. Raises argparse.ArgumentTypeError."""
    number = whole_number(text.removeprefix("-"))
    if number is None:
        raise argparse.ArgumentTypeError(f"invalid int value: {text[:80]!r}: give at most 18 digits")
    return -number if text.startswith("-") else number


STYLE: dict[str, Any] = {"formatter_class": layout, "allow_abbrev": False}  # of every command's parser


def speak_utf8() -> None:
    """UTF-8 in every locale and code page. Stray bytes of a file name, which it lacks, become \\udc80, as in JSON."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there is none, or another object stands in for it
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def say(text: str, painted: bool = False) -> None:
    """Write to the standard output, now, without control characters, whatever ``text`` was made of.

    A text that is ``painted`` was made plain by its caller, and then coloured for a terminal. Raises ReaderLeft where
    its reader has closed it, XlsrError when it cannot be written.
    """
    if not text and sys.stdout is None:
        return
    if sys.stdout is None:  # closed before we began
        raise XlsrError("the standard output is closed: open it, or give --output DIR")
    try:
        sys.stdout.write(text if painted else plain(text))
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # nor let Python try again at the end with what is left in the buffer
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL
            raise ReaderLeft from None
        raise XlsrError(f"the standard output cannot be written: {error.strerror or error}") from None


def complain(message: str) -> None:
    """One line on the standard error, without control characters."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"xlsr-ref: {one_line(' '.join(message.split()))}", file=sys.stderr, flush=True)


_quiet = False


def hush(quiet: bool) -> None:
    """From now on only errors are told, or all again."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Are only errors told?"""
    return _quiet


def note(message: str) -> None:
    """One line on the standard error about what is going on, unless the user asked for quiet."""
    if not _quiet:
        complain(message)


def status_line(text: str) -> None:
    """What is going on, on one line of a terminal that the next one replaces; "" leaves it empty."""
    if _quiet:
        return
    with suppress(OSError, ValueError):
        if sys.stderr is not None and sys.stderr.isatty():
            print(f"\r\x1b[K{one_line(text)}", end="", file=sys.stderr, flush=True)


def show_warning(message: Warning | str, *where: Any) -> None:
    note(f"warning: {message}")


def about(recording: Recording, error: Exception) -> str:
    """``NAME: what is wrong``, once: some messages begin with the file's name already, some cannot know it."""

    message = sentence(error).removeprefix(f"{shown(recording.path)}: ")
    return f"{shown(recording.name)}: {message}"


def sentence(error: BaseException) -> str:
    """What went wrong and what to do, as one line."""
    if isinstance(error, MemoryError):
        too_large = f" for {error}" if str(error) else ""
        too_large = too_large.replace("for Unable to allocate", "for")  # as NumPy begins
        return f"not enough memory{too_large}: give a shorter --chunk, or use a smaller model"
    if isinstance(error, XlsrError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"{error}: pip install it, and see xlsr-ref doctor"
    if isinstance(error, OSError) and error.strerror:
        from xlsr_ref.untrusted import shown

        return f"{shown(error.filename)}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error} (XLSR_REF_TRACEBACK=1 shows where)"
