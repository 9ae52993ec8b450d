"""flax's format: what flax wrote becomes torch's names and layouts; lengths that lie are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from xlsr_ref.checkpoint import msgpack as msgpack_file
from xlsr_ref.checkpoint.msgpack import read_msgpack
from xlsr_ref.checkpoint.read import from_flax, read_file
from xlsr_ref.checkpoint.tensors import arrays, map_file

GOLDEN = Path(__file__).parents[1] / "golden"


def text(value: str) -> bytes:
    return b"\xd9" + bytes([len(value)]) + value.encode()


def array(shape: tuple[int, ...], dtype: str, content: bytes, kind: int = 1) -> bytes:
    inner = b"\x93" + bytes([0x90 + len(shape)]) + b"".join(b"\xce" + struct.pack(">I", n) for n in shape)
    inner += text(dtype) + b"\xc6" + struct.pack(">I", len(content)) + content
    return b"\xc9" + struct.pack(">Ib", len(inner), kind) + inner


def read(tmp_path: Path, content: bytes):
    path = tmp_path / "x.msgpack"
    path.write_bytes(content)
    return read_msgpack(path, map_file(path))


def test_what_flax_wrote_is_the_model_it_was_made_from():
    found = read_file(GOLDEN / "foreign" / "flax" / "flax_model.msgpack")
    assert found.form == "flax"
    ours, theirs = arrays(found.tensors), load_file(GOLDEN / "xlsr" / "model.safetensors")
    stem = "wav2vec2.encoder.pos_conv_embed.conv."
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        theirs[stem + old] = theirs.pop(f"{stem}parametrizations.weight.{new}")
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        np.testing.assert_array_equal(ours[name], expected, strict=True)
        assert ours[name].flags.c_contiguous  # so that products with it are the same to the bit


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32", "uint8", "bool"])
def test_dtypes(tmp_path, dtype):
    values = np.arange(6).astype(dtype)
    found = read(tmp_path, b"\x81" + text("a") + b"\x81" + text("b") + array((2, 3), dtype, values.tobytes()))
    assert list(found) == ["a.b"]
    np.testing.assert_array_equal(arrays(found)["a.b"], values.reshape(2, 3))


def test_kernels_are_turned_and_norms_renamed(tmp_path):
    values = np.arange(24, dtype=np.float32)
    tree = b"\x83" + text("k") + b"\x81" + text("kernel") + array((2, 3, 4), "float32", values.tobytes())
    tree += text("n") + b"\x81" + text("scale") + array((24,), "float32", values.tobytes())
    tree += text("masked_spec_embed") + array((24,), "float32", values.tobytes())
    ours = arrays(from_flax(read(tmp_path, tree)))
    np.testing.assert_array_equal(ours["k.weight"], values.reshape(2, 3, 4).transpose(2, 1, 0))
    assert ours.keys() == {"k.weight", "n.weight", "masked_spec_embed"}


FOUR = struct.pack("<f", 1.0)
LIES = {
    "cut short": b"\x81" + text("a"),
    "not a map": b"\x91\x01",
    "bytes after the end": b"\x80\x01",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff" + text("a"),
    "a list of 4 billion": b"\x81" + text("a") + b"\xdd\xff\xff\xff\xff",
    "a text of 4 GiB": b"\x81\xdb\xff\xff\xff\xff",
    "bytes of 4 GiB": b"\x81" + text("a") + b"\xc6\xff\xff\xff\xff",
    "an extension of 4 GiB": b"\x81" + text("a") + b"\xc9\xff\xff\xff\xff\x01",
    "nested": b"\x81\xa1a" * 5000,
    "a key that is no text": b"\x81\x01\x01",
    "a key twice": b"\x82\xa1a\x01\xa1a\x01",
    "a code that is none": b"\x81\xa1a\xc1",
    "a text that is not UTF-8": b"\x81\xa1\xff\x01",
    "a shape too large": b"\x81\xa1a" + array((2,), "float32", FOUR),
    "a shape too small": b"\x81\xa1a" + array((1,), "float32", FOUR * 2),
    "a shape that overflows": b"\x81\xa1a" + array((2**32 - 1,) * 4, "float32", FOUR),
    "an unknown dtype": b"\x81\xa1a" + array((1,), "float31", FOUR),
    "an array that is none": b"\x81\xa1a\xd4\x01\x01",
    "an array in chunks": b"\x81\xa1a\x81" + text("__msgpack_chunked_array__") + b"\xc3",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused(tmp_path, lie, refused):
    assert str(tmp_path) in refused(read, tmp_path, LIES[lie])


def test_no_more_items_than_any_checkpoint_has(tmp_path, monkeypatch, refused):
    content = b"\x81\xa1a\xdc\x03\xe8" + b"\xc0" * 1000
    assert read(tmp_path, content) == {}
    monkeypatch.setattr(msgpack_file, "MOST_ITEMS", 1000)
    assert "more than 1,000 items" in refused(read, tmp_path, content)
    inner = b"\x93\xdc\x03\xe8" + b"\x01" * 1000
    lying = b"\x81\xa1a\xc9" + struct.pack(">Ib", len(inner), 1) + inner
    assert "more than 100 items" in refused(read, tmp_path, lying)
