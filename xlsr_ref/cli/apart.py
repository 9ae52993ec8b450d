"""No command writes over what it reads: one check for all, before anything is computed.

`check` compares what the line of the command names; a command that finds further files, those of a folder or of a
manifest, hands them to `require_apart` once it knows them. Two names are one file when device and inode agree, so
links, hard links and other spellings are seen through.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from xlsr_ref.errors import XlsrError
from xlsr_ref.files import descriptor
from xlsr_ref.untrusted import shown

# How the options and arguments of all commands are called that name files or folders.
READ = (
    "audio", "checkpoint", "corpus", "data", "dictionary", "file", "files", "first", "lm", "manifests", "model",
    "recipe", "second", "source", "text_file",
)  # fmt: skip
WRITTEN = ("json_file", "out", "output", "plot_file", "results", "target")
MODEL_FILES = (".json", ".safetensors", ".bin", ".pt", ".msgpack", ".arpa", ".txt", ".gz")  # of a model's folder

Identity = tuple[int, int] | str


def check(arguments: argparse.Namespace) -> None:
    """Raises XlsrError where the line names one file as what is read and what is written, or twice to write."""
    named = vars(arguments)
    outputs = [value for name in WRITTEN for value in _values(named.get(name))]
    require_apart(outputs, [value for name in READ for value in _values(named.get(name))])
    places = [place for place in map(_identity, outputs) if place is not None]
    if len(set(places)) < len(places):
        raise XlsrError(f"{shown(outputs[0])} would be written twice: give the results different names")


def require_apart(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Raises XlsrError for an output that is one of the inputs, or a file of a model's folder among them.

    A folder of recordings counts by its name alone: results may lie beside the recordings. None and "" are nothing.
    """
    taken = {one for path in inputs if path for one in _identities(path)}
    for path in outputs:
        if path and not os.path.isdir(path) and _identity(path) in taken - {None}:
            raise XlsrError(f"{shown(path)}: is read here and would be replaced; give the result another name")


def _values(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def _identities(path: str | Path) -> Iterator[Identity | None]:
    """Of an input, with the files of a folder that a model or a language model may be loaded from."""
    if path == "-":
        with suppress(OSError, ValueError, AttributeError):
            yield _of_file(os.fstat(sys.stdin.fileno()))
        return
    yield _identity(path)
    with suppress(OSError):
        for here in (Path(path), Path(path, "language_model")):
            for file in os.scandir(here) if here.is_dir() else ():
                if file.name.endswith(MODEL_FILES):
                    yield _identity(file.path)


def _identity(path: str | Path) -> Identity | None:
    """Device and inode of a file; of what is not there yet, where it will be; None of a pipe, a device or a folder."""
    if "\0" in str(path):  # a name that cannot be: its reader says so
        return None
    with suppress(OSError):
        number = descriptor(path)
        return _of_file(os.stat(path) if number is None else os.fstat(number))
    return os.path.realpath(path)


def _of_file(status: os.stat_result) -> Identity | None:
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
