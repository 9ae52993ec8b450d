"""safetensors, the format that holds nothing but numbers: read and written here, piece by piece.

    8 bytes     N, a little-endian integer
    N bytes     JSON: {"lm_head.bias": {"dtype": "F32", "shape": [78], "data_offsets": [0, 312]}, …}, then spaces
    the rest    the tensors' numbers, row by row; offsets count from here and leave no hole

Nothing in it can run and nothing needs copying: a tensor is a part of the mapped file. A lying header is refused before
any tensor is made: all that the safetensors library refuses, and besides what NumPy cannot hold, a name that stands
twice, and a header of more than LONGEST_JSON bytes. What is written are the bytes that the library would write, with
tensors of larger numbers first, so that each is aligned; a tensor goes from its file to the new one without ever being
whole in memory, which the library cannot do.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from xlsr_ref.checkpoint.tensors import (
    DTYPE_NAMES,
    DTYPES,
    MOST_DIMENSIONS,
    MOST_ELEMENTS,
    Flat,
    Storage,
    Tensor,
    Tensors,
    arrays,
    map_file,
)
from xlsr_ref.errors import WeightsError
from xlsr_ref.files import whole_file
from xlsr_ref.untrusted import LONGEST_JSON, brief, parse_json, shown

KNOWN = tuple(name for name in DTYPES if name != "C128")  # which the format does not have
BUFFER = 2**18  # bytes; larger ones are slower, and so is asking the system to copy from file to file


# --- reading ---------------------------------------------------------------------------------------------------------


def read_arrays(path: str | Path) -> Flat:
    """Read-only views of every tensor in the file, by name; bfloat16 has the dtype ``BF16``. Raises WeightsError.

    The file must stay as it is while its views live.
    """
    return arrays(read_safetensors(path))


def read_safetensors(path: str | Path, data: np.ndarray | None = None) -> Tensors:
    """The tensors of a file, by name, in the header's order; ``data`` is the mapped file, if it is mapped already.

    Raises WeightsError for a file that the safetensors library would refuse, for a name that stands twice, and for what
    NumPy cannot hold.
    """
    path, what = Path(path), shown(path)
    data = map_file(path) if data is None else data
    if len(data) < 8:
        raise WeightsError(f"{what} has {len(data)} bytes: it is not a safetensors file")
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > min(LONGEST_JSON, len(data) - 8):
        raise WeightsError(f"{what} is cut short or not safetensors: its header would have {length:,} bytes")
    if data[8:11].tobytes() == b"\xef\xbb\xbf":  # which other JSON may have
        raise WeightsError(f"{what}: the header is not valid JSON for safetensors: it has a byte order mark")
    header = parse_json(data[8 : 8 + length].tobytes(), f"{what}: the header", WeightsError)
    notes = header.pop("__metadata__", None)
    if notes is not None and not (isinstance(notes, dict) and all(isinstance(note, str) for note in notes.values())):
        raise WeightsError(f"{what}: __metadata__ must hold texts only")
    entries = {name: _entry(f"{what}: tensor {brief(name)}", entry) for name, entry in header.items()}
    end = _require_gapless(entries, what)
    if 8 + length + end != len(data):
        found = f"{len(data):,} bytes, but its header promises {8 + length + end:,}: it is cut short or damaged"
        raise WeightsError(f"{what} has {found}")
    return {
        name: Tensor.of(Storage(path, dtype, math.prod(shape), 8 + length + begin), shape)
        for name, (dtype, shape, (begin, _)) in entries.items()
    }


def _entry(what: str, entry: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """One tensor's dtype, shape and (begin, end), from its part of the header."""

    def wholes(value: Any) -> bool:
        return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{what} must have dtype, shape and data_offsets, found {reprlib.repr(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in KNOWN:
        raise WeightsError(f"{what} has the unknown dtype {reprlib.repr(dtype)}; known are {', '.join(KNOWN)}")
    # The sizes of an empty tensor, (0, 10**18, 10**18), multiply to 0 and still must fit NumPy.
    if not wholes(shape) or len(shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in shape) > MOST_ELEMENTS:
        raise WeightsError(f"{what} has the impossible shape {reprlib.repr(shape)}")
    if not wholes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise WeightsError(f"{what} has the impossible data_offsets {reprlib.repr(offsets)}")
    needed, (begin, end) = math.prod(shape) * DTYPES[dtype].itemsize, offsets
    if needed != end - begin:
        found = f"{needed:,} bytes, but its offsets span {end - begin:,}"
        raise WeightsError(f"{what} is {dtype} of shape {tuple(shape)}, {found}")
    return dtype, tuple(shape), (begin, end)


def _require_gapless(entries: Mapping[str, tuple[Any, Any, tuple[int, int]]], what: str) -> int:
    """Where the last tensor ends. Raises WeightsError where one overlaps another, or leaves a hole before it."""
    position = 0
    for name, (_, _, (begin, end)) in sorted(entries.items(), key=lambda item: item[1][2]):
        if begin != position:
            found = "overlaps another" if begin < position else f"leaves {begin - position:,} bytes unused before it"
            raise WeightsError(f"{what}: tensor {brief(name)} {found}: the header lies")
        position = end
    return position


# --- writing ---------------------------------------------------------------------------------------------------------


class Source(Protocol):
    """What can be written: a Tensor, or one that is computed on the way."""

    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...
    def pieces(self) -> Iterator[np.ndarray]: ...


class InMemory:
    """An array as a source; ``dtype`` is its name in safetensors."""

    def __init__(self, array: np.ndarray, dtype: str) -> None:
        self.array, self.dtype, self.shape, self.nbytes = array, dtype, array.shape, array.nbytes

    def pieces(self) -> Iterator[np.ndarray]:
        yield self.array.reshape(-1)


def write_arrays(path: str | Path, flat: Mapping[str, np.ndarray]) -> None:
    """Write float arrays as a safetensors file; it appears whole or not at all. Raises WeightsError."""
    for name, array in flat.items():
        if array.dtype.kind != "f" or array.dtype not in DTYPE_NAMES:
            found = f"{brief(name)} is {array.dtype}"
            raise WeightsError(f"{found}; only float16, float32 and float64 arrays are written")
    write_safetensors(path, {name: InMemory(array, DTYPE_NAMES[array.dtype]) for name, array in flat.items()})


def write_safetensors(path: str | Path, sources: Mapping[str, Source], notes: Mapping[str, str] | None = None) -> None:
    """Write ``sources`` under their names, and ``notes`` in the header; the file appears whole or not at all.

    Raises WeightsError.
    """
    order = sorted(sources, key=lambda name: (-DTYPES[sources[name].dtype].itemsize, name))
    header: dict[str, dict] = {
        "__metadata__": {"format": "pt", **(notes or {})}
    }  # the mark that older transformers insist on
    end = 0
    for name in order:
        source = sources[name]
        if source.dtype not in KNOWN:
            raise WeightsError(f"{brief(name)} is {source.dtype}, which safetensors does not have")
        begin, end = end, end + source.nbytes
        header[name] = {"dtype": source.dtype, "shape": list(source.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    try:
        with whole_file(path) as unfinished, open(unfinished, "r+b", buffering=0) as file:
            _write(file, len(text).to_bytes(8, "little") + text)
            for name in order:
                _write_numbers(file, sources[name])
    except OSError as problem:
        raise WeightsError(f"{shown(path)} cannot be written: {problem.strerror or problem}") from problem


def _write_numbers(file: IO[bytes], source: Source) -> None:
    if isinstance(source, Tensor) and source.contiguous:
        _copy(source, file)
        return
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
                raise WeightsError(f"{shown(tensor.storage.path)} has become shorter while it was read")
            _write(file, buffer[:got])
            left -= got
