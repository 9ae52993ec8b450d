"""safetensors: the reader against the library, true files, lying and damaged ones; what is written is read again."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file, save_file
from small_checkpoints import craft, entry, mutated, refusal

from xlsr_ref.checkpoint import safetensors_file
from xlsr_ref.checkpoint.read import read_file
from xlsr_ref.checkpoint.safetensors_file import KNOWN, read_arrays, write_arrays
from xlsr_ref.checkpoint.tensors import DTYPES, arrays
from xlsr_ref.errors import WeightsError

CASES = max(300, int(os.environ.get("XLSR_REF_FUZZ", "300")))  # mutated files; a long run: XLSR_REF_FUZZ=5000


def file_refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    message = refusal(read_arrays, path)
    assert message.startswith(str(path))
    return message


# --- reading: equal to the safetensors library -----------------------------------------------------------------------

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def files(draw) -> bytes:
    """A true safetensors file: any dtypes, any shapes, any order of header and data, any alignment."""
    names = draw(st.lists(st.text(max_size=8).filter(lambda n: n != "__metadata__"), max_size=5, unique=True))
    header, data = {}, b""
    for name in names:
        dtype, shape = draw(st.sampled_from(sorted(KNOWN))), draw(shapes)
        bits = draw(st.binary(min_size=16, max_size=16)) * math.prod(shape)
        bits = bits[: math.prod(shape) * DTYPES[dtype].itemsize]
        header[name] = entry(dtype, shape, (len(data), len(data) + len(bits)))
        data += bits
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
    header = dict(draw(st.permutations(sorted(header.items()))))
    return craft(json.dumps(header, ensure_ascii=draw(st.booleans())).encode() + b" " * draw(st.integers(0, 8)), data)


@given(files())
def test_reads_what_the_library_reads(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("st") / "x.safetensors"
    path.write_bytes(content)
    found = read_arrays(path)
    by_library = dict(deserialize(content))
    assert found.keys() == by_library.keys()
    for name, tensor in by_library.items():
        array = found[name]
        assert array.dtype == DTYPES[tensor["dtype"]]
        assert array.shape == tuple(tensor["shape"])
        assert array.tobytes() == bytes(tensor["data"])
        assert not array.flags.writeable
        assert type(array) is np.ndarray  # one kind of array for the kernels


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint16", "bool"])
def test_reads_what_the_library_wrote(tmp_path, dtype):
    draw = np.random.default_rng(1)
    wrote = {
        "a": (draw.standard_normal((3, 4, 5)) * 9).astype(dtype),
        "b": np.ones((), dtype),
        "c": np.ones((2, 0), dtype),
    }
    save_file(wrote, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found, by_library = read_arrays(tmp_path / "x.safetensors"), load_file(tmp_path / "x.safetensors")
    assert found.keys() == wrote.keys()
    for name in wrote:
        assert found[name].dtype == by_library[name].dtype == dtype
        np.testing.assert_array_equal(found[name], by_library[name], strict=True)


@pytest.mark.parametrize("dtype", KNOWN)
def test_every_dtype(tmp_path, dtype):
    size = DTYPES[dtype].itemsize
    content = bytes(range(1, 1 + 3 * size)) if dtype != "BOOL" else b"\0\1\1"
    (tmp_path / "x.safetensors").write_bytes(craft({"a": entry(dtype, (3,), (0, 3 * size))}, content))
    found = arrays(read_file(tmp_path / "x.safetensors").tensors)["a"]
    assert (found.dtype, found.tobytes()) == (DTYPES[dtype], content)


def test_nothing_is_copied(tmp_path):
    save_file({"a": np.ones((3, 4), np.float32), "b": np.ones(5, np.float32)}, tmp_path / "x.safetensors")
    found = read_arrays(tmp_path / "x.safetensors")
    assert isinstance(found["a"].base, np.memmap)
    assert found["a"].base is found["b"].base  # one map for the whole file
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0, 0] = 2


def test_a_file_without_tensors(tmp_path):
    (tmp_path / "x").write_bytes(craft({}))
    assert read_arrays(tmp_path / "x") == {}


# --- reading: lies ---------------------------------------------------------------------------------------------------

DATA = bytes(range(4))
LIES = {
    "empty": (b"", "is empty"),
    "seven bytes": (b"\0" * 7, "7 bytes"),
    "length beyond the file": (craft({"a": entry()}, DATA, length=1000), "header would have 1,000 bytes"),
    "length beyond 64 bits of sense": (craft({"a": entry()}, DATA, length=2**64 - 1), "header would have"),
    "length wrong in its high bytes": (craft({}, length=2**32 + 2), "header would have 4,294,967,298 bytes"),
    "length short": (craft({"a": entry()}, DATA, length=10), "not valid JSON"),
    "length zero": (craft({}, length=0), "not valid JSON"),
    "not UTF-8": (craft(b'{"\xff": 1}'), "not UTF-8"),
    "half a surrogate": (craft(b'{"\\ud800": ' + json.dumps(entry()).encode() + b"}", DATA), "not UTF-8"),
    "byte order mark": (craft(b"\xef\xbb\xbf{}"), "it has a byte order mark"),
    "bytes after the JSON": (craft(b"{}\0"), "not valid JSON"),
    "a list": (craft(b"[]"), "must hold a JSON object"),
    "deep": (craft(b'{"a":' + b"[" * 50_000), "nested too deeply"),
    "NaN": (craft(b'{"a": NaN}'), "NaN is not JSON"),
    "a name twice": (craft(b'{"a": %b, "a": %b}' % ((json.dumps(entry()).encode(),) * 2), DATA), "'a' stands twice"),
    "a field twice": (craft(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "'dtype' stands twice"),
    "metadata of numbers": (craft({"__metadata__": {"a": 1}}), "__metadata__ must hold texts"),
    "metadata a list": (craft({"__metadata__": ["a"]}), "__metadata__ must hold texts"),
    "entry a list": (craft({"a": ["F32", [1], [0, 4]]}, DATA), "must have dtype, shape and data_offsets"),
    "entry lacks": (craft({"a": {"dtype": "F32", "shape": [1]}}, DATA), "must have dtype, shape and data_offsets"),
    "entry has more": (craft({"a": entry(more=1)}, DATA), "must have dtype, shape and data_offsets"),
    "dtype unknown": (craft({"a": entry("F33")}, DATA), "unknown dtype 'F33'"),
    "dtype in small letters": (craft({"a": entry("f32")}, DATA), "unknown dtype 'f32'"),
    "dtype below a byte": (craft({"a": entry("F4", (2,), (0, 1))}, DATA[:1]), "unknown dtype 'F4'"),
    "dtype a list": (craft({"a": entry(["F32"])}, DATA), "unknown dtype"),
    "shape a number": (craft({"a": entry() | {"shape": 1}}, DATA), "impossible shape 1"),
    "shape negative": (craft({"a": entry(shape=(-1, -1))}, DATA), "impossible shape"),
    "shape of floats": (craft({"a": entry(shape=(1.0,))}, DATA), "impossible shape"),
    "shape of truths": (craft({"a": entry(shape=(True,))}, DATA), "impossible shape"),
    "shape that overflows": (craft({"a": entry(shape=(2**32, 2**32), at=(0, 0))}), "impossible shape"),
    "shape that overflows to 4 bytes": (craft({"a": entry(shape=(2**62 + 1, 2**2))}, DATA), "impossible shape"),
    "empty but huge": (craft({"a": entry(shape=(0, 2**40, 2**40), at=(0, 0))}), "impossible shape"),
    "too many axes": (craft({"a": entry(shape=(1,) * 65)}, DATA), "impossible shape"),
    "offsets three": (craft({"a": entry(at=(0, 4, 4))}, DATA), "impossible data_offsets"),
    "offsets one": (craft({"a": entry(at=(4,))}, DATA), "impossible data_offsets"),
    "offsets negative": (craft({"a": entry(at=(-4, 0))}, DATA), "impossible data_offsets"),
    "offsets minus zero": (
        craft(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', DATA),
        "impossible data_offs",
    ),
    "offsets backwards": (craft({"a": entry(at=(4, 0))}, DATA), "impossible data_offsets"),
    "offsets beyond the file": (craft({"a": entry(shape=(2,), at=(0, 8))}, DATA), "promises"),
    "offsets disagree with shape": (craft({"a": entry(shape=(2,))}, DATA), "but its offsets span 4"),
    "overlap": (craft({"a": entry(), "b": entry()}, DATA), "tensor b overlaps another"),
    "overlap by half": (craft({"a": entry(), "b": entry(at=(2, 6))}, DATA + DATA[:2]), "tensor b overlaps another"),
    "hole at the start": (craft({"a": entry(at=(4, 8))}, DATA * 2), "leaves 4 bytes unused before it"),
    "hole between": (craft({"a": entry(), "b": entry(at=(8, 12))}, DATA * 3), "tensor b leaves 4 bytes unused"),
    "trailing bytes": (craft({"a": entry()}, DATA + b"x"), "cut short or damaged"),
    "cut short": (craft({"a": entry()}, DATA[:3]), "cut short or damaged"),
    "a header of 100 MB that is there": (craft(b"{" + b" " * 20_000_000 + b"}"), "header would have 20,000,002 bytes"),
    "odd name": (craft({"a\nb" * 99: entry(at=(4, 8))}, DATA * 2), "leaves 4 bytes unused"),
}
STRICTER = {  # the library reads these; each is a choice of ours
    "a name twice",  # the library takes the last one
    "entry a list",  # an accident of its JSON reader
    "entry has more",  # the format has three fields
    "dtype below a byte",  # two numbers a byte: nothing in this network is stored so
    "a header of 100 MB that is there",  # none needs more than LONGEST_JSON
    "empty but huge",  # NumPy cannot hold such a shape, though it holds no number
    "too many axes",  # NumPy again
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_header_is_refused(tmp_path, lie):
    content, said = LIES[lie]
    assert said in file_refusal(tmp_path, content)
    assert said in refusal(read_file, tmp_path / "x.safetensors")
    if lie in STRICTER:
        deserialize(content)
    else:
        with pytest.raises(SafetensorError):
            deserialize(content)


def test_a_huge_header_is_not_parsed(tmp_path, monkeypatch):
    content = craft(b"{" + b" " * 100 + b"}")
    (tmp_path / "x").write_bytes(content)
    assert read_arrays(tmp_path / "x") == {}
    monkeypatch.setattr(safetensors_file, "LONGEST_JSON", 101)
    assert "header would have 102 bytes" in file_refusal(tmp_path, content)


def test_what_is_no_file(tmp_path):
    assert refusal(read_arrays, tmp_path).endswith("is not a regular file")
    assert refusal(read_arrays, tmp_path / "nowhere").endswith("is missing")
    assert refusal(read_arrays, tmp_path / "no\0where").endswith("is missing")


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "memmap", denied)
    assert file_refusal(tmp_path, craft({})).endswith("cannot be read: Permission denied")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this file system")
def test_links_and_pipes(tmp_path):
    save_file({"a": np.ones(3)}, tmp_path / "blob")
    (tmp_path / "link").symlink_to(tmp_path / "blob")  # as the Hugging Face cache lays it out
    assert read_arrays(tmp_path / "link").keys() == {"a"}
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert refusal(read_arrays, tmp_path / "dangling").endswith("is missing")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert refusal(read_arrays, tmp_path / "pipe").endswith("is not a regular file")


# --- writing ---------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path):
    draw = np.random.default_rng(2)
    big = draw.standard_normal((6, 8)).astype(np.float32)
    wrote = {
        "turned": big.T,
        "strided": big[::2, 1::3],
        "half": big.astype(np.float16),
        "double": big.astype(np.float64),
        "one": np.array(3.0, np.float32),
        "none": np.ones((0, 3), np.float32),
    }
    path = tmp_path / "x.safetensors"
    write_arrays(path, wrote)
    found = read_arrays(path)
    assert found.keys() == wrote.keys()
    for name in wrote:
        np.testing.assert_array_equal(found[name], wrote[name], strict=True)
    assert b'"format":"pt"' in path.read_bytes()[:200]
    assert os.listdir(tmp_path) == ["x.safetensors"]
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_arrays(path, {"a": np.ones(3)})
    before = path.read_bytes()
    assert "only float16, float32 and float64" in refusal(write_arrays, path, {"a": np.arange(3)})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in refusal(write_arrays, path, {"a": np.zeros(3)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.safetensors"]
    assert "cannot be written" in refusal(write_arrays, tmp_path / "nowhere" / "x", {"a": np.zeros(3)})

    def full_in_the_library(*_, **__):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full_in_the_library)
    assert "No space left" in refusal(write_arrays, path, {"a": np.zeros(3)})
    assert os.listdir(tmp_path) == ["x.safetensors"]


# --- damaged files ---------------------------------------------------------------------------------------------------


# Every reason for which this reader may refuse what the library reads; STRICTER says why.
ALLOWED = ("stands twice", "must have dtype, shape and data_offsets", "unknown dtype 'F4'", "impossible shape")


def test_mutated_safetensors_read_as_the_library_reads_them(tmp_path):
    flat = {"a.weight": np.ones((2, 3), np.float32), "b": np.arange(4.0), "empty": np.ones((0, 2), np.float16)}
    save_file(flat, tmp_path / "whole", metadata={"format": "pt"})
    content = (tmp_path / "whole").read_bytes()
    read, messages = 0, []
    path = tmp_path / "x"
    for case in range(CASES):
        broken = mutated(content, random.Random(case))
        path.write_bytes(broken)
        try:
            by_library = dict(deserialize(broken))
        except SafetensorError:
            messages.append(refusal(read_arrays, path))
            continue
        try:
            found = read_arrays(path)
        except WeightsError as error:
            messages.append(str(error))
            assert any(reason in messages[-1] for reason in ALLOWED), (case, messages[-1])
            continue
        read += 1
        assert found.keys() == by_library.keys(), case
        for name, tensor in by_library.items():
            assert found[name].dtype == DTYPES[tensor["dtype"]], case
            assert found[name].shape == tuple(tensor["shape"]), case
            assert found[name].tobytes() == bytes(tensor["data"]), case
    assert read
    assert messages
    assert all("\n" not in message and len(message) < 1000 for message in messages)


def test_a_file_that_is_cut_short_once_its_header_is_read(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.ones(1000), "none": np.ones((0, 2))})
    tensors = safetensors_file.read_safetensors(tmp_path / "x")
    os.truncate(tmp_path / "x", 200)
    assert refusal(arrays, tensors) == f"{tmp_path / 'x'} has become shorter while it was read"
