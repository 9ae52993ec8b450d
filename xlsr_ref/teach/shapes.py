"""What a forward pass keeps: every array of a cache or of stages, with its dotted name, shape, dtype and size.

    memory = Σ over arrays, but bytes that several of them hold in common once

A cache holds references: the input of one step is the output of another, and a reshaped array is the same memory. Such
an array is marked with the name of the one above that it shares with. 1 MB is 10⁶ bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from xlsr_ref.teach.table import Shown, Table


@dataclass(frozen=True)
class ArrayRow:
    """One array."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int  # of all its elements
    shared: str = ""  # the array above that has (some of) the same memory, or "parameter"


@dataclass(frozen=True, repr=False)
class Shapes(Shown):
    """The arrays in the order in which they are met, and the ``bytes`` of memory that they take together."""

    rows: tuple[ArrayRow, ...]
    bytes: int  # what is shared counted once, parameters not at all

    def table(self) -> Table:
        rows = [
            (row.name, str(row.shape), row.dtype, _megabytes(row.bytes), f"shared: {row.shared}" if row.shared else "")
            for row in self.rows
        ]
        shared = sum(bool(row.shared) for row in self.rows)
        note = f"{len(self.rows)} arrays, {shared} of them shared: {_megabytes(self.bytes)} MB in memory"
        return Table(("name", "shape", "dtype", "MB", ""), rows, numbers=(3,), notes=(note,))


def shapes(kept: Any, parameters: Mapping[str, Any] | None = None) -> Shapes:
    """Every array in ``kept``: a cache, stages, or any nesting of named tuples, dicts, lists and tuples.

    With ``parameters`` (``model.params``) the arrays that are parts of them are marked so and not counted.
    """
    known = [byte_bounds(array) for _, array in arrays(parameters or {})]
    seen: list[tuple[str, int, int]] = []
    rows = []
    for name, array in arrays(kept):
        low, high = byte_bounds(array)
        shared = ""
        if array.nbytes and any(low < above and below < high for below, above in known):
            shared = "parameter"
        elif array.nbytes:
            shared = next((other for other, below, above in seen if low < above and below < high), "")
            seen.append((name, low, high))
        rows.append(ArrayRow(name, array.shape, array.dtype.name, array.nbytes, shared))
    sizes = {row.name: row.bytes for row in rows}
    return Shapes(tuple(rows), _memory([(low, high, sizes[name]) for name, low, high in seen]))


def arrays(kept: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The arrays in ``kept`` with their dotted names, in order; numbers, flags and None are passed over."""
    if isinstance(kept, np.ndarray):
        yield name or "array", kept
        return
    inner: Any = ()
    if isinstance(kept, Mapping):
        inner = kept.items()
    elif hasattr(kept, "_fields"):  # a named tuple
        inner = zip(kept._fields, kept)
    elif isinstance(kept, list | tuple):
        inner = enumerate(kept)
    for key, value in inner:
        yield from arrays(value, f"{name}.{key}" if name else str(key))


def _memory(ranges: list[tuple[int, int, int]]) -> int:
    """Bytes of all ranges (low, high, bytes of the array): of those that overlap, what they cover together.

    An array that is a slice of another's columns covers more than it has; alone it counts with what it has.
    """
    total = covered = own = 0
    end = 0
    for low, high, size in sorted(ranges):
        if low >= end:
            total += min(covered, own)
            covered = own = 0
            end = low
        covered += max(0, high - max(low, end))
        own += size
        end = max(end, high)
    return total + min(covered, own)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.3f}"
