"""safetensors for the tools: equal to the library, and a header that lies is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from weights_tools.read import read_file, read_folder
from weights_tools.tensors import DTYPES, arrays

GOLDEN = Path(__file__).parents[1] / "golden"


def craft(header: dict | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: tuple = (1,), at: tuple = (0, 4)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(at)}


def test_it_reads_what_the_library_reads():
    ours = arrays(read_folder(GOLDEN / "xlsr")[0].tensors)
    theirs = load_file(GOLDEN / "xlsr" / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, strict=True)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name not in ("C128", "F8_E4M3FNUZ", "F8_E5M2FNUZ")])
def test_every_dtype(tmp_path, dtype):
    size = DTYPES[dtype].itemsize
    content = bytes(range(1, 1 + 3 * size)) if dtype != "BOOL" else b"\0\1\1"
    (tmp_path / "x.safetensors").write_bytes(craft({"a": entry(dtype, (3,), (0, 3 * size))}, content))
    found = arrays(read_file(tmp_path / "x.safetensors").tensors)["a"]
    assert (found.dtype, found.tobytes()) == (DTYPES[dtype], content)


DATA = bytes(4)
LIES = {
    "a header of 100 MB": craft({}, length=100_000_000),
    "a header of 100 MB that is there": craft(b"{" + b" " * 20_000_000 + b"}"),
    "a header longer than 64 bits of sense": craft({}, length=2**64 - 1),
    "overlap": craft({"a": entry(), "b": entry()}, DATA),
    "a hole": craft({"a": entry(), "b": entry(at=(8, 12))}, DATA * 3),
    "offsets beyond the file": craft({"a": entry(shape=(2,), at=(0, 8))}, DATA),
    "offsets backwards": craft({"a": entry(at=(4, 0))}, DATA),
    "offsets that disagree with the shape": craft({"a": entry(shape=(3,))}, DATA),
    "a shape that overflows": craft({"a": entry(shape=(2**32, 2**32), at=(0, 0))}),
    "empty but huge": craft({"a": entry(shape=(0, 2**40, 2**40), at=(0, 0))}),
    "too many axes": craft({"a": entry(shape=(1,) * 65)}, DATA),
    "bytes behind the end": craft({"a": entry()}, DATA + b"x"),
    "cut short": craft({"a": entry()}, DATA[:3]),
    "deep": craft(b'{"a":' + b"[" * 50_000),
    "an unknown dtype": craft({"a": entry("F33")}, DATA),
    "four bits a number": craft({"a": entry("F4", (2,), (0, 1))}, DATA[:1]),
    "a list": craft(b"[]"),
    "short": b"\0" * 7,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(tmp_path, lie, refused):
    (tmp_path / "x.safetensors").write_bytes(LIES[lie])
    assert str(tmp_path) in refused(read_file, tmp_path / "x.safetensors")
