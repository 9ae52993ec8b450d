"""Write safetensors piece by piece: a tensor goes from its file to the new one without ever being whole in memory.

    8 bytes     N
    N bytes     JSON: each tensor's dtype, shape, and where it begins and ends; spaces up to a multiple of 8
    the rest    the tensors, those of larger numbers first, so that each is aligned

The same bytes as the safetensors library writes. What is written appears whole, under its name, or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from weights_tools.errors import CheckpointError, shown
from weights_tools.tensors import DTYPES, FLOATS, Tensor
from xlsr_ref import files

LARGEST = {"float16": 65504.0, "bfloat16": 3.3895314e38, "float32": 3.4028235e38}
BUFFER = 2**18  # bytes; larger ones are slower, and so is asking the system to copy from file to file
STORED = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


class Source(Protocol):
    """What can be written: a Tensor, or one that is computed on the way."""

    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...
    def pieces(self) -> Iterator[np.ndarray]: ...


class Converted:
    """A tensor of floats in another dtype, rounded to the nearest. What the new dtype cannot hold is refused."""

    def __init__(self, source: Source, dtype: str, name: str) -> None:
        self.source, self.dtype, self.name = source, dtype, name
        self.shape = source.shape
        self.nbytes = source.nbytes // DTYPES[source.dtype].itemsize * DTYPES[dtype].itemsize

    def pieces(self) -> Iterator[np.ndarray]:
        for piece in self.source.pieces():
            values = to_float(piece)
            found = from_float(values, self.dtype)
            if self.dtype in ("F16", "BF16", "F32"):
                back = to_float(found)
                lost = np.isfinite(values) & ~np.isfinite(back)
                if lost.any():
                    raise CheckpointError(
                        f"{shown(self.name)} reaches {np.abs(values[lost]).max():g}, beyond {self.dtype}"
                    )
            yield found


class Computed:
    """A tensor that was computed: it is in memory."""

    def __init__(self, array: np.ndarray, dtype: str) -> None:
        self.array, self.dtype, self.shape, self.nbytes = array, dtype, array.shape, array.nbytes

    def pieces(self) -> Iterator[np.ndarray]:
        yield self.array.reshape(-1)


def to_float(array: np.ndarray) -> np.ndarray:
    """Floats that NumPy computes with: a bfloat16 is the upper half of a float32; all others stay as they are."""
    if array.dtype == DTYPES["BF16"]:
        return (np.ascontiguousarray(array)["BF16"].astype(np.uint32) << 16).view(np.float32)
    return array


def from_float(values: np.ndarray, dtype: str) -> np.ndarray:
    """float16, 32 or 64 as ``dtype``, rounded to nearest, ties to even."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype != "BF16":
            return values.astype(DTYPES[dtype])
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        nan = (bits & 0x7FFFFFFF) > 0x7F800000
        return np.where(nan, bits >> 16 | 0x40, rounded).astype("<u2").view(DTYPES["BF16"])


def in_dtype(source: Source, dtype: str, name: str) -> Source:
    """``source`` as "float32", "float16" or "bfloat16"; itself where it is that, or holds no floats."""
    wanted = STORED[dtype]
    return Converted(source, wanted, name) if source.dtype in FLOATS and source.dtype != wanted else source


def write_safetensors(path: Path, sources: Mapping[str, Source]) -> None:
    """Write ``sources`` under their names. Raises CheckpointError or OSError; then the file is not whole."""
    order = sorted(sources, key=lambda name: (-DTYPES[sources[name].dtype].itemsize, name))
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}  # the mark that older transformers insist on
    end = 0
    for name in order:
        source = sources[name]
        if source.dtype == "C128":
            raise CheckpointError(f"{shown(name)} is complex128, which safetensors does not have")
        begin, end = end, end + source.nbytes
        header[name] = {"dtype": source.dtype, "shape": list(source.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb", buffering=0) as file:
        _write(file, len(text).to_bytes(8, "little") + text)
        for name in order:
            source = sources[name]
            if isinstance(source, Tensor) and source.contiguous:
                _copy(source, file)
                continue
            for piece in source.pieces():
                _write(file, np.ascontiguousarray(piece).view(np.uint8).data)


def _write(file: IO[bytes], content: bytes | memoryview) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _copy(tensor: Tensor, file: IO[bytes]) -> None:
    """A tensor's bytes from its file, through a buffer that stays in the processor's cache."""
    buffer = memoryview(bytearray(BUFFER))
    left = tensor.nbytes
    with open(tensor.storage.path, "rb", buffering=0) as source:
        source.seek(tensor.offset)
        while left:
            got = source.readinto(buffer[: min(left, BUFFER)])
            if not got:
                raise CheckpointError(f"{shown(tensor.storage.path)} has become shorter while it was read")
            _write(file, buffer[:got])
            left -= got


def require_free(target: Path) -> None:
    """Raise CheckpointError where a new folder ``target`` cannot be made."""
    if os.path.lexists(target):
        raise CheckpointError(f"{shown(target)} is there already: give a new name, or remove it first")
    if not target.parent.is_dir():
        raise CheckpointError(f"{shown(target)} cannot be made: there is no folder {shown(target.parent)}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise CheckpointError(f"{shown(target)} cannot be made: {shown(target.parent)} may not be written to")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``target`` when all went well and disappears when it did not."""
    require_free(target)
    try:
        with files.whole_folder(target) as unfinished:
            yield unfinished
    except FileExistsError:
        raise CheckpointError(f"{shown(target)} has appeared meanwhile: nothing was written over it") from None
    except OSError as problem:
        raise CheckpointError(f"{shown(target)} cannot be written: {problem.strerror or problem}") from None
