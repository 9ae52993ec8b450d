"""A tensor that is still in its file: where its numbers begin, their dtype, and how they are laid out.

    storage   a run of numbers in a file                          offset, dtype, count
    tensor    a window on one: element (i, j) stands at           first + i · strides[0] + j · strides[1]

Every reader here gives such tensors and reads no number itself, so opening 1.26 GB costs what its header costs. Two
tensors may look at one storage; a transposed tensor is the same numbers with its strides swapped.
dtypes have the names of safetensors.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, shown

# What NumPy lacks is a record of one field that bears its name: nobody can mistake its bits for whole numbers.
BF16 = np.dtype([("BF16", "<u2")])
DTYPES: dict[str, np.dtype] = {
    **{"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": BF16},
    **{f"{sign}{8 * size}": np.dtype(f"<{sign.lower()}{size}") for sign in "IU" for size in (1, 2, 4, 8)},
    **{name: np.dtype([(name, "u1")]) for name in ("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ")},
    **{"BOOL": np.dtype("?"), "C64": np.dtype("<c8"), "C128": np.dtype("<c16")},  # safetensors has no C128
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
FLOATS = ("F64", "F32", "F16", "BF16")

MOST_DIMENSIONS, MOST_ELEMENTS = 64, 2**58  # NumPy's, with elements of up to 16 bytes
MOST_REPEATED = 2**24  # elements of a tensor that repeats those of its storage (a stride of 0)
PIECE = 2**22  # bytes that are read and written at a time


@dataclass(eq=False)
class Storage:
    """``count`` numbers of ``dtype`` at ``offset`` bytes into the file; -1 until the reader knows where."""

    path: Path
    dtype: str
    count: int
    offset: int = -1


@dataclass(frozen=True, eq=False)
class Tensor:
    """A window on a storage; ``first`` and ``strides`` count elements. Raises WeightsError if it looks outside."""

    storage: Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        wholes = (self.first, *self.shape, *self.strides)
        if not all(type(n) is int and n >= 0 for n in wholes) or len(self.shape) != len(self.strides):
            raise WeightsError(f"a tensor has the impossible shape {brief(self.shape)}, strides {brief(self.strides)}")
        if len(self.shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in self.shape) > MOST_ELEMENTS:
            raise WeightsError(f"a tensor has the impossible shape {brief(self.shape)}")
        if self.first + self.extent > self.storage.count:
            found = f"{self.first + self.extent:,} numbers of a storage that has {self.storage.count:,}"
            raise WeightsError(f"a tensor of shape {brief(self.shape)} would need {found}")
        if self.size > max(self.storage.count, MOST_REPEATED):
            found = f"{self.size:,} numbers from a storage of {self.storage.count:,}"
            raise WeightsError(f"a tensor of shape {brief(self.shape)} would make {found}")

    @classmethod
    def of(cls, storage: Storage, shape: tuple[int, ...]) -> Tensor:
        """The whole of a storage, row by row."""
        return cls(storage, 0, shape, row_by_row(shape))

    def transposed(self) -> Tensor:
        """The same numbers with all axes in the opposite order."""
        return Tensor(self.storage, self.first, self.shape[::-1], self.strides[::-1])

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * DTYPES[self.dtype].itemsize

    @property
    def extent(self) -> int:
        """How many elements of the storage it spans, from its first to its last."""
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides)) if self.size else 0

    @property
    def contiguous(self) -> bool:
        """Whether its numbers stand row by row without a gap."""
        expected = row_by_row(self.shape)
        return (
            self.strides == expected
            or self.size == 0
            or all(n == 1 or s == e for n, s, e in zip(self.shape, self.strides, expected))
        )

    @property
    def offset(self) -> int:
        """Where in the file its first number stands, in bytes."""
        return self.storage.offset + self.first * DTYPES[self.dtype].itemsize

    def on(self, data: mmap.mmap | np.ndarray, begin: int = 0) -> np.ndarray:
        """Itself as an array on the file's bytes, of which ``data`` has those from ``begin`` on."""
        dtype = DTYPES[self.dtype]
        if self.size:
            strides = tuple(s * dtype.itemsize for s in self.strides)
            array = np.ndarray(self.shape, dtype, data, self.offset - begin, strides)
        else:
            array = np.empty(self.shape, dtype)
        array.flags.writeable = False
        return array

    def read(self) -> np.ndarray:
        """A copy of its numbers, row by row."""
        dtype = DTYPES[self.dtype]
        with open(self.storage.path, "rb") as file:
            file.seek(self.offset)
            data = np.frombuffer(file.read(self.extent * dtype.itemsize), np.uint8)
        if len(data) < self.extent * dtype.itemsize:
            raise WeightsError(f"{shown(self.storage.path)} has become shorter while it was read")
        return np.ascontiguousarray(self.on(data, self.offset))

    def pieces(self) -> Iterator[np.ndarray]:
        """Its numbers row by row, flat, in pieces of a few MiB. A gapless tensor is never whole in memory."""
        dtype = DTYPES[self.dtype]
        if not self.contiguous:
            flat = self.read().reshape(-1)
            for begin in range(0, len(flat), PIECE // dtype.itemsize):
                yield flat[begin : begin + PIECE // dtype.itemsize]
            return
        with open(self.storage.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            left = self.nbytes
            while left:
                piece = bytearray(min(left, PIECE))
                got, view = 0, memoryview(piece)
                while got < len(piece):
                    more = file.readinto(view[got:])
                    if not more:
                        raise WeightsError(f"{shown(self.storage.path)} has become shorter while it was read")
                    got += more
                left -= got
                yield np.frombuffer(piece, dtype)


Tensors = dict[str, Tensor]
Flat = dict[str, np.ndarray]  # by the whole dotted name


def row_by_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of numbers that stand row by row."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def map_file(path: Path) -> np.memmap:
    """The file's bytes, mapped and read-only. Raises WeightsError for what is no file of at least one byte."""
    try:
        if not os.path.isfile(path):  # a pipe or a device would never end
            raise WeightsError(f"{shown(path)} is {'not a regular file' if os.path.exists(path) else 'missing'}")
        if path.stat().st_size == 0:
            raise WeightsError(f"{shown(path)} is empty: the download or the copy has failed; get it again")
        return np.memmap(path, np.uint8, mode="r")
    except OSError as problem:
        raise WeightsError(f"{shown(path)} cannot be read: {problem.strerror or problem}") from None


def arrays(tensors: Mapping[str, Tensor]) -> Flat:
    """Each tensor as a read-only array: a view of the mapped file, or a copy where its numbers do not stand row by row.

    A file is mapped once. A copy is made so that products with it are the same to the bit as from any other file.
    """
    maps: dict[Path, np.memmap] = {}
    found = {}
    for name, tensor in tensors.items():
        path = tensor.storage.path
        if path not in maps:
            maps[path] = map_file(path)
        try:
            array = tensor.on(maps[path])
        except (TypeError, ValueError):  # NumPy's, for a buffer that ends before the array does
            raise WeightsError(f"{shown(path)} has become shorter while it was read") from None
        if not tensor.contiguous:
            array = np.ascontiguousarray(array)
            array.flags.writeable = False
        found[name] = array
    return found
