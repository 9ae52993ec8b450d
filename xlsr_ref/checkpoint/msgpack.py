"""flax_model.msgpack: MessagePack, a binary JSON, in which flax keeps arrays as extensions of type 1.

    82                          a map of 2
      a7 6c 6d 5f 68 65 61 64   a text of 7 bytes, "lm_head"
      …
    c9 00 00 10 0b 01           an extension of 4107 bytes, of type 1: flax's array. In it again MessagePack:
      93 92 20 20               a list of 3: its shape, a list of 2 numbers, (32, 32)
      a7 66 6c 6f 61 74 33 32   "float32"
      c5 10 00 …                4096 bytes, row by row

Only texts are keys here; a tensor's name is the path of keys that leads to it, joined by dots. Nothing aligns the
numbers, and nothing is copied: they are mapped. Lengths that lie end the reading at the end of the file.
Where: the MessagePack specification; flax/serialization.py.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.checkpoint.tensors import DTYPES, Storage, Tensor, Tensors
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, shown

MOST_ITEMS, MOST_IN_ARRAY, DEEPEST = 1_000_000, 100, 100
ARRAY = 1  # flax's extension types: 1 an array, 2 a complex number, 3 a NumPy scalar, packed as an array is
NAMES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"},
    **{f"{sign}int{bits}": f"{'U' if sign else 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class Bytes(NamedTuple):
    """A run of bytes that is left in the file."""

    offset: int
    size: int


class Extension(NamedTuple):
    kind: int
    content: Bytes


def read_msgpack(path: Path, data: np.ndarray) -> Tensors:
    """Every array in the file under its path of keys, "wav2vec2.encoder.layer_norm.scale". Raises WeightsError."""
    what = shown(path)
    try:
        reader = _Reader(data)
        tree = reader.value()
        if reader.at != len(data):
            raise WeightsError(f"{len(data) - reader.at:,} bytes stand after its end: it is damaged")
        if not isinstance(tree, dict):
            raise WeightsError("it is no map of arrays")
        tensors: Tensors = {}
        _collect(tree, "", tensors, path, data)
        return tensors
    except WeightsError as error:
        raise WeightsError(f"{what}: {error}") from None
    except (struct.error, IndexError, UnicodeDecodeError):
        raise WeightsError(f"{what} is cut short or damaged: it is not MessagePack") from None


def _collect(tree: dict, prefix: str, tensors: Tensors, path: Path, data: np.ndarray) -> None:
    if "__msgpack_chunked_array__" in tree:
        raise WeightsError(f"{brief(prefix)} is an array in chunks, as flax writes above 1 GiB: not implemented")
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            _collect(value, name, tensors, path, data)
        elif isinstance(value, Extension) and value.kind == ARRAY:
            try:
                tensors[name] = _array(value.content, path, data)
            except WeightsError as error:
                raise WeightsError(f"{brief(name)}: {error}") from None


def _array(content: Bytes, path: Path, data: np.ndarray) -> Tensor:
    reader = _Reader(data, content.offset, content.offset + content.size, MOST_IN_ARRAY)
    found = reader.value()
    if reader.at != reader.end or not isinstance(found, list) or len(found) != 3:
        raise WeightsError("an array must be a shape, a dtype and bytes")
    shape, dtype, numbers = found
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 64:
        raise WeightsError("an array has an impossible shape")
    if not isinstance(dtype, str) or dtype not in NAMES or not isinstance(numbers, Bytes):
        raise WeightsError(f"an array has the unknown dtype {brief(dtype)}")
    itemsize = DTYPES[NAMES[dtype]].itemsize
    tensor = Tensor.of(Storage(path, NAMES[dtype], numbers.size // itemsize, numbers.offset), tuple(shape))
    if tensor.nbytes != numbers.size:
        raise WeightsError(f"an array of shape {brief(tensor.shape)} has {numbers.size:,} bytes: it is damaged")
    return tensor


class _Reader:
    """Reads values from ``at`` on; bytes and extensions stay where they are."""

    def __init__(self, data: np.ndarray, at: int = 0, end: int | None = None, most: int | None = None) -> None:
        self.data, self.at, self.end = memoryview(data), at, len(data) if end is None else end  # type: ignore[arg-type]
        self.items, self.most = 0, MOST_ITEMS if most is None else most

    def number(self, form: str) -> Any:
        size = struct.calcsize(form)
        return struct.unpack(form, self.data[self.skip(size).offset : self.at])[0]

    def skip(self, size: int) -> Bytes:
        if size > self.end - self.at:
            raise IndexError
        self.at += size
        return Bytes(self.at - size, size)

    def text(self, size: int) -> str:
        if size > 2**16:
            raise WeightsError(f"a text has {size:,} bytes: refused")
        return bytes(self.data[self.skip(size).offset : self.at]).decode("utf-8")

    def value(self, depth: int = 0) -> Any:
        self.items += 1
        if self.items > self.most or depth > DEEPEST:
            raise WeightsError(f"it has more than {self.most:,} items, or is nested too deeply: refused")
        code = self.number(">B")
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 256
        if code < 0x90:
            return self.map(code & 15, depth)
        if code < 0xA0:
            return self.list(code & 15, depth)
        if code < 0xC0:
            return self.text(code & 31)
        if code in _PLAIN:
            return _PLAIN[code]
        if code in _NUMBERS:
            return self.number(_NUMBERS[code])
        if code in _LENGTHS:
            kind, form = _LENGTHS[code]
            return getattr(self, kind)(self.number(form), *((depth,) if kind in ("map", "list") else ()))
        if 0xD4 <= code <= 0xD8:
            return self.extension(1 << code - 0xD4)
        raise IndexError

    def map(self, count: int, depth: int) -> dict:
        found = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in found:
                raise WeightsError("a map has a key that is no text, or one twice: refused")
            found[key] = self.value(depth + 1)
        return found

    def list(self, count: int, depth: int) -> list:
        return [self.value(depth + 1) for _ in range(count)]

    def extension(self, size: int) -> Extension:
        return Extension(self.number(">b"), self.skip(size))


_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", **dict(zip(range(0xCC, 0xD4), (">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")))}
_LENGTHS = {
    **{0xC4: ("skip", ">B"), 0xC5: ("skip", ">H"), 0xC6: ("skip", ">I")},
    **{0xC7: ("extension", ">B"), 0xC8: ("extension", ">H"), 0xC9: ("extension", ">I")},
    **{0xD9: ("text", ">B"), 0xDA: ("text", ">H"), 0xDB: ("text", ">I")},
    **{0xDC: ("list", ">H"), 0xDD: ("list", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I")},
}
