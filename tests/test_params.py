"""Parameters: the safetensors reader against the library, the strict load against every way a folder can be wrong."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import re
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file, save_file

from xlsr_ref import params as params_module
from xlsr_ref.errors import ConfigError, WeightsError
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.params import (
    BF16,
    DTYPES,
    listed,
    load_params,
    read_checkpoint,
    read_safetensors,
    to_float,
    write_safetensors,
)
from xlsr_ref.wav2vec2.config import KINDS, Config
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED, expected_shapes, parameter_count

BUNDLED = Path(params_module.__file__).parent / "data" / "small-ctc"
CASES = max(300, int(os.environ.get("XLSR_REF_FUZZ", "300")))  # mutated files; a long run: XLSR_REF_FUZZ=5000
XLSR_53 = Config(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    feat_extract_norm="layer",
    conv_bias=True,
    do_stable_layer_norm=True,
    codevector_dim=768,
    proj_codevector_dim=768,
)
TINY = Config(
    architectures=("Wav2Vec2ForCTC",),
    feat_extract_norm="layer",
    conv_bias=True,
    conv_dim=(4, 6),
    conv_kernel=(5, 3),
    conv_stride=(3, 2),
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    vocab_size=5,
    codevector_dim=6,
    num_codevectors_per_group=3,
    proj_codevector_dim=7,
)


def weights(config: Config = TINY, kind: str = "Wav2Vec2ForCTC", prefix=None, weight_norm=PARAMETRIZED) -> dict:
    """Random float32 weights of the shapes that the config implies."""
    draw = np.random.default_rng(0)
    shapes = expected_shapes(config, kind, prefix, weight_norm)
    return {name: draw.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def folder_of(tmp_path: Path, flat: dict) -> Path:
    save_file(flat, tmp_path / "model.safetensors")
    return tmp_path


def craft(header: dict | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """The bytes of a safetensors file with this header, true or lying."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: tuple = (1,), at: tuple = (0, 4), **more) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(at), **more}


def refusal(act, *arguments, error: type[Exception] = WeightsError, **named) -> str:
    """The message with which ``act`` refuses; it must be one line, and not a long one."""
    with pytest.raises(error) as refused:
        act(*arguments, **named)
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 4000
    return message


def file_refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    message = refusal(read_safetensors, path)
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
        dtype, shape = draw(st.sampled_from(sorted(DTYPES))), draw(shapes)
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
    found = read_safetensors(path)
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
    found, by_library = read_safetensors(tmp_path / "x.safetensors"), load_file(tmp_path / "x.safetensors")
    assert found.keys() == wrote.keys()
    for name in wrote:
        assert found[name].dtype == by_library[name].dtype == dtype
        np.testing.assert_array_equal(found[name], by_library[name], strict=True)


def test_nothing_is_copied(tmp_path):
    save_file({"a": np.ones((3, 4), np.float32), "b": np.ones(5, np.float32)}, tmp_path / "x.safetensors")
    found = read_safetensors(tmp_path / "x.safetensors")
    assert isinstance(found["a"].base, np.memmap)
    assert found["a"].base is found["b"].base  # one map for the whole file
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0, 0] = 2


def test_a_file_without_tensors(tmp_path):
    (tmp_path / "x").write_bytes(craft({}))
    assert read_safetensors(tmp_path / "x") == {}


# --- reading: lies ---------------------------------------------------------------------------------------------------

DATA = bytes(range(4))
LIES = {
    "empty": (b"", "0 bytes"),
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
    "odd name": (craft({"a\nb" * 99: entry(at=(4, 8))}, DATA * 2), "leaves 4 bytes unused"),
}
STRICTER = {  # the library reads these; each is a choice of ours
    "a name twice",  # the library takes the last one
    "entry a list",  # an accident of its JSON reader
    "entry has more",  # the format has three fields
    "dtype below a byte",  # two numbers a byte: nothing in this network is stored so
    "empty but huge",  # NumPy cannot hold such a shape, though it holds no number
    "too many axes",  # NumPy again
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_header_is_refused(tmp_path, lie):
    content, said = LIES[lie]
    assert said in file_refusal(tmp_path, content)
    if lie in STRICTER:
        deserialize(content)
    else:
        with pytest.raises(SafetensorError):
            deserialize(content)


def test_a_huge_header_is_not_parsed(tmp_path, monkeypatch):
    content = craft(b"{" + b" " * 100 + b"}")
    (tmp_path / "x").write_bytes(content)
    assert read_safetensors(tmp_path / "x") == {}
    monkeypatch.setattr(params_module, "LONGEST_JSON", 101)
    assert "header would have 102 bytes" in file_refusal(tmp_path, content)


def test_what_is_no_file(tmp_path):
    assert refusal(read_safetensors, tmp_path).endswith("is not a regular file")
    assert refusal(read_safetensors, tmp_path / "nowhere").endswith("is missing")
    assert refusal(read_safetensors, tmp_path / "no\0where").endswith("is missing")


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "memmap", denied)
    assert file_refusal(tmp_path, craft({})).endswith("cannot be read: Permission denied")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this file system")
def test_links_and_pipes(tmp_path):
    save_file({"a": np.ones(3)}, tmp_path / "blob")
    (tmp_path / "link").symlink_to(tmp_path / "blob")  # as the Hugging Face cache lays it out
    assert read_safetensors(tmp_path / "link").keys() == {"a"}
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert refusal(read_safetensors, tmp_path / "dangling").endswith("is missing")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert refusal(read_safetensors, tmp_path / "pipe").endswith("is not a regular file")


# --- floats ----------------------------------------------------------------------------------------------------------


def value_of(bits: np.ndarray, exponent_bits: int, fraction_bits: int) -> np.ndarray:
    """What IEEE 754 says these bits mean: sign, exponent, fraction, in float64."""
    sign = np.where(bits >> (exponent_bits + fraction_bits) & 1, -1.0, 1.0)
    exponent = (bits >> fraction_bits & (1 << exponent_bits) - 1).astype(int)
    fraction = (bits & (1 << fraction_bits) - 1) / (1 << fraction_bits)
    bias, largest = (1 << exponent_bits - 1) - 1, (1 << exponent_bits) - 1
    value = np.where(exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias))
    return sign * np.where(exponent == largest, np.where(fraction == 0, np.inf, np.nan), value)


@pytest.mark.parametrize(("stored", "exponent_bits", "fraction_bits"), [("BF16", 8, 7), ("F16", 5, 10)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_half_float_is_exact(stored, exponent_bits, fraction_bits, dtype):
    bits = np.arange(2**16, dtype="<u2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a NaN in a file is no accident of ours
        found = to_float(bits.view(DTYPES[stored]), dtype)
    assert found.dtype == dtype
    assert not found.flags.writeable
    expected = value_of(bits, exponent_bits, fraction_bits).astype(dtype)  # exact: both hold every half float
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), bits >= 2**15)  # minus zero, and the sign of NaN, too


def test_bfloat16_is_the_upper_half_of_a_float32():
    bits = np.arange(2**16, dtype="<u2")
    found = to_float(bits.view(BF16), "float32")
    np.testing.assert_array_equal(found.view(np.uint32), bits.astype(np.uint32) * 65536)  # NaN payloads too


def test_what_is_already_right_is_not_copied():
    array = np.ones((3, 4), np.float32)
    assert to_float(array, "float32") is array
    assert array.flags.writeable  # and not changed
    assert to_float(array, "float64").dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(to_float(np.array([1e300]), "float32"))  # as torch does


def test_unaligned_arrays_are_copied(tmp_path):
    content = craft(b"{%b}" % b'"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}', struct.pack("<f", 2.5))
    assert (len(content) - 4) % 4  # the data begins at an odd place
    (tmp_path / "x").write_bytes(content)
    view = read_safetensors(tmp_path / "x")["a"]
    assert not view.flags.aligned
    copy = to_float(view, "float32")
    assert copy.flags.aligned
    assert not copy.flags.writeable
    assert copy == view == 2.5


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", DTYPES["F8_E5M2"]])
def test_what_holds_no_floats(dtype):
    assert "holds no floats" in refusal(to_float, np.zeros(3, dtype), "float32")


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
    write_safetensors(path, wrote)
    found = read_safetensors(path)
    assert found.keys() == wrote.keys()
    for name in wrote:
        np.testing.assert_array_equal(found[name], wrote[name], strict=True)
    assert b'"format":"pt"' in path.read_bytes()[:200]
    assert os.listdir(tmp_path) == ["x.safetensors"]
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": np.ones(3)})
    before = path.read_bytes()
    assert "only float16, float32 and float64" in refusal(write_safetensors, path, {"a": np.arange(3)})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in refusal(write_safetensors, path, {"a": np.zeros(3)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.safetensors"]
    assert "cannot be written" in refusal(write_safetensors, tmp_path / "nowhere" / "x", {"a": np.zeros(3)})

    def full_in_the_library(*_, **__):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full_in_the_library)
    assert "No space left" in refusal(write_safetensors, path, {"a": np.zeros(3)})
    assert os.listdir(tmp_path) == ["x.safetensors"]


# --- names -----------------------------------------------------------------------------------------------------------


def test_nest_splits_at_the_dots():
    assert nest({"a.b.0": 1, "a.b.1": 2, "c": 3}) == {"a": {"b": {"0": 1, "1": 2}}, "c": 3}


@given(st.lists(st.text("ab.", max_size=6), max_size=8, unique=True))
def test_flatten_undoes_nest(names):
    flat = {name: number for number, name in enumerate(sorted(names))}
    clash = any(other.startswith(name + ".") for name in names for other in names)
    if clash:
        assert "beginning of another" in refusal(nest, flat)
        assert "beginning of another" in refusal(nest, dict(reversed(flat.items())))
    else:
        assert flatten(nest(flat)) == flat


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_keeps_its_names_and_their_order(kind):
    flat = weights(kind=kind)
    again = flatten(nest(flat))
    assert list(again) == list(flat)
    assert all(again[name] is flat[name] for name in flat)


def test_long_lists_of_names_are_cut():
    assert listed("abc") == "a, b, c"
    assert listed([str(n) for n in range(20)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 12 more"
    assert listed(["a\nb", ""]) == r"'a\nb', ''"


# --- what a config implies -------------------------------------------------------------------------------------------


def test_the_large_model_has_the_published_counts():
    assert parameter_count(XLSR_53, "Wav2Vec2ForPreTraining") == 317_390_592
    assert parameter_count(XLSR_53, "Wav2Vec2Model") == 315_438_720
    assert parameter_count(XLSR_53, "Wav2Vec2ForCTC") == 315_438_720 + 32 * 1025
    assert parameter_count(XLSR_53, "Wav2Vec2ForCTC", "feature_extractor.") == 4_210_176


def test_a_model_that_the_config_cannot_make():
    no_vocabulary = dataclasses.replace(TINY, vocab_size=None)
    assert expected_shapes(no_vocabulary, "Wav2Vec2Model")
    assert "vocab_size is null" in refusal(expected_shapes, no_vocabulary, "Wav2Vec2ForCTC", error=ConfigError)
    uneven = dataclasses.replace(TINY, num_codevector_groups=4)
    assert expected_shapes(uneven, "Wav2Vec2ForCTC")
    assert "num_codevector_groups=4" in refusal(expected_shapes, uneven, "Wav2Vec2ForPreTraining", error=ConfigError)
    assert "is not one of" in refusal(expected_shapes, TINY, "HubertModel", error=ConfigError)


# --- the strict load -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
@pytest.mark.parametrize("weight_norm", [PARAMETRIZED, CLASSIC])
@pytest.mark.parametrize("named", [True, False])
def test_every_kind_loads_with_either_prefix_and_spelling(tmp_path, kind, prefix, weight_norm, named):
    flat = weights(kind=kind, prefix=prefix, weight_norm=weight_norm)
    config = dataclasses.replace(TINY, architectures=(kind,) if named else ())
    params, report = load_params(folder_of(tmp_path, flat), config)
    found = flatten(params)
    apart = (kind, prefix) == ("Wav2Vec2ForXVector", "")  # its head's feature_extractor is not the network's
    assert (sorted(found) == sorted(flat)) if apart else (list(found) == list(flat))
    for name in flat:
        np.testing.assert_array_equal(found[name], flat[name], strict=True)
        assert not found[name].flags.writeable
    assert (report.kind, report.prefix, report.weight_norm) == (kind, prefix, weight_norm)
    assert (report.missing, report.surplus, report.files) == ((), (), ("model.safetensors",))
    assert (report.tensors, report.parameters) == (len(flat), parameter_count(TINY, kind))
    assert (report.mapped_bytes, report.copied_bytes) == (4 * report.parameters, 0)
    kernels = [name for name in flat if name.endswith((".conv.weight", "original1", "weight_v"))]
    assert report.prepared_bytes == sum(flat[name].nbytes for name in kernels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["F16", "F32", "F64", "BF16"])
def test_every_float_dtype_loads(tmp_path, stored, dtype):
    flat = weights()
    header, data = {}, b""
    for name, array in flat.items():
        bits = (array.view(np.uint32) >> 16).astype("<u2") if stored == "BF16" else array.astype(DTYPES[stored])
        header[name] = entry(stored, array.shape, (len(data), len(data) + bits.nbytes))
        data += bits.tobytes()
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(craft(text + b" " * (-len(text) % 8), data))
    params, report = load_params(tmp_path, TINY, dtype)
    for name, array in flatten(params).items():
        # the relative spacing of floats with that many bits, and of float16's smallest numbers
        close = {"F16": 2.0**-11, "F32": 0, "F64": 0, "BF16": 2.0**-7}[stored]
        np.testing.assert_allclose(array, flat[name], rtol=close, atol=2.0**-24 if stored == "F16" else 0)
        assert array.dtype == dtype
        assert not array.flags.writeable
    copied = stored != {"float32": "F32", "float64": "F64"}[dtype]
    assert (report.mapped_bytes == 0, report.copied_bytes > 0) == (copied, copied)
    assert report.stored == ((stored, len(flat)),)
    assert f"{stored} × {len(flat)}; used as {dtype}" in str(report)


def test_another_dtype_is_refused(tmp_path):
    assert "'float16'" in refusal(load_params, folder_of(tmp_path, weights()), TINY, "float16")


def test_masked_spec_embed_alone_may_be_missing(tmp_path):
    flat = weights()
    del flat["wav2vec2.masked_spec_embed"]
    params, report = load_params(folder_of(tmp_path, flat), TINY)
    assert report.missing == ("wav2vec2.masked_spec_embed",)
    assert "masked_spec_embed" not in params["wav2vec2"]
    assert "missing  wav2vec2.masked_spec_embed (only masking needs it)" in str(report)


@pytest.mark.parametrize("name", [name for name in weights() if name != "wav2vec2.masked_spec_embed"])
def test_any_other_missing_tensor_is_named(tmp_path, name):
    flat = weights()
    flat["stranger"] = flat.pop(name)
    message = refusal(load_params, folder_of(tmp_path, flat), TINY)
    if name == "wav2vec2.feature_extractor.conv_layers.0.conv.bias":
        assert f"config.json says conv_bias=true, but the weights have no {name}" in message
    elif name == "wav2vec2.feature_extractor.conv_layers.1.layer_norm.weight":
        assert f'config.json says feat_extract_norm="layer", but the weights have no {name}' in message
    else:
        assert f"needs {name}, which the weights lack; they have instead stranger" in message


@pytest.mark.parametrize("name", list(weights()))
def test_any_wrong_shape_is_named(tmp_path, name):
    flat = weights()
    right = flat[name].shape
    for wrong in {
        (*right, 1),
        (1, *right),
        (math.prod(right), *(1,) * (len(right) == 1)),
    }:  # as many numbers, other axes
        message = refusal(load_params, folder_of(tmp_path, flat | {name: flat[name].reshape(wrong)}), TINY)
        assert f"{name} {wrong} instead of {right}" in message


def test_many_names_are_cut(tmp_path):
    flat = {name: array for name, array in weights().items() if "layers.1.a" not in name and "layers.0.a" not in name}
    assert "out_proj.bias and 8 more, which the weights lack" in refusal(load_params, folder_of(tmp_path, flat), TINY)


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "complex64"])
def test_weights_that_are_no_floats_are_named(tmp_path, dtype):
    flat = weights()
    flat["lm_head.bias"] = np.zeros(5, dtype)
    message = refusal(load_params, folder_of(tmp_path, flat), TINY)
    assert "weights must be F64, F32, F16 or BF16, found lm_head.bias" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"conv_bias": False},
            "conv_bias=false, but the weights have wav2vec2.feature_extractor.conv_layers.0.conv.bias",
        ),
        (
            {"feat_extract_norm": "group"},
            'feat_extract_norm="group", but the weights have wav2vec2.feature_extractor.conv_layers.1.layer_norm',
        ),
        ({"num_hidden_layers": 1}, "num_hidden_layers=1, but the weights have 2 (wav2vec2.encoder.layers.1)"),
        ({"num_hidden_layers": 3}, "num_hidden_layers=3, but the weights have 2 (wav2vec2.encoder.layers.1)"),
        ({"hidden_size": 16}, "hidden_size=16, but the weights have 8 (wav2vec2.feature_projection.projection.bias)"),
        ({"intermediate_size": 9}, "intermediate_size=9, but the weights have 12"),
        ({"num_conv_pos_embeddings": 5}, "num_conv_pos_embeddings=5, but the weights have 4"),
        ({"num_conv_pos_embedding_groups": 4}, "num_conv_pos_embedding_groups=4, but the weights have 2"),
        ({"vocab_size": 6}, "vocab_size=6, but the weights have 5 (lm_head.bias)"),
        ({"conv_dim": (4, 7)}, "conv_dim=[4, 7], but the weights have [4, 6]"),
        ({"conv_kernel": (5, 2)}, "conv_kernel=[5, 2], but the weights have [5, 3]"),
        (
            {"conv_dim": (4,), "conv_kernel": (5,), "conv_stride": (3,)},
            "conv_dim=[4], but the weights have [4, 6] (wav2vec2.feature_extractor.conv_layers.*.conv.weight)",
        ),
    ],
)
def test_a_config_that_contradicts_the_weights_says_which(tmp_path, changes, said):
    message = refusal(load_params, folder_of(tmp_path, weights()), dataclasses.replace(TINY, **changes))
    assert f"config.json says {said}" in message


PRE_NORM = dataclasses.replace(TINY, do_stable_layer_norm=True)


@pytest.mark.parametrize(
    ("there", "kind", "said"),
    [
        ({"adapter_attn_dim": 3}, "Wav2Vec2ForCTC", "adapter_attn_dim=null, but the weights have 3 (wav2vec2.encoder"),
        ({"add_adapter": True}, "Wav2Vec2ForCTC", "add_adapter=false, but the weights have wav2vec2.adapter.layers.0"),
        (
            {"use_weighted_layer_sum": True},
            "Wav2Vec2ForAudioFrameClassification",
            "use_weighted_layer_sum=false, but the weights have layer_weights",
        ),
        (
            {"id2label": {0: "a", 1: "b", 2: "c"}},
            "Wav2Vec2ForSequenceClassification",
            "number of labels=2, but the weights have 3 (classifier.bias)",
        ),
    ],
)
def test_what_the_config_leaves_out_and_the_weights_have(tmp_path, there, kind, said):
    """Left as surplus, it would give other numbers without a word."""
    folder = folder_of(tmp_path, weights(dataclasses.replace(PRE_NORM, **there), kind))
    assert load_params(folder, dataclasses.replace(PRE_NORM, architectures=(kind,), **there))[1].surplus == ()
    message = refusal(load_params, folder, dataclasses.replace(PRE_NORM, architectures=(kind,)))
    assert f"config.json says {said}" in message


def test_tensors_instead_of_the_folders_own(tmp_path):
    folder, other = folder_of(tmp_path, weights()), np.full(5, 7, np.float32)
    params, _ = load_params(folder, TINY, instead={"lm_head.bias": other})
    np.testing.assert_array_equal(params["lm_head"]["bias"], other)
    assert (params["lm_head"]["weight"] != 7).all()
    message = refusal(load_params, folder, TINY, instead={"encoder.layers.0.adapter_layer.norm.bias": other})
    assert "nothing in this model is called encoder.layers.0.adapter_layer.norm.bias" in message


def test_a_group_norm_model_is_no_layer_norm_model(tmp_path):
    group = dataclasses.replace(TINY, feat_extract_norm="group", conv_bias=False)
    folder = folder_of(tmp_path, weights(group))
    assert load_params(folder, group)[1].missing == ()
    message = refusal(load_params, folder, TINY)
    assert "conv_bias=true, but the weights have no wav2vec2.feature_extractor.conv_layers.0.conv.bias" in message
    assert 'feat_extract_norm="layer", but the weights have no wav2vec2.feature_extractor' in message


def test_a_single_convolution_has_its_norm_either_way(tmp_path):
    one = dataclasses.replace(TINY, conv_dim=(6,), conv_kernel=(5,), conv_stride=(3,))
    folder = folder_of(tmp_path, weights(one))
    for norm in ("group", "layer"):
        assert load_params(folder, dataclasses.replace(one, feat_extract_norm=norm))[1].surplus == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_the_config_promises_must_be_there(tmp_path, kind):
    config = dataclasses.replace(TINY, architectures=(kind,))
    bare = weights(kind="Wav2Vec2Model", prefix="wav2vec2.")
    if kind == "Wav2Vec2Model":
        assert load_params(folder_of(tmp_path, bare), config)[1].surplus == ()
    else:
        message = refusal(load_params, folder_of(tmp_path, bare), config)
        head = {
            "Wav2Vec2ForCTC": "lm_head.weight, lm_head.bias",
            "Wav2Vec2ForPreTraining": "quantizer.codevectors, quantizer.weight_proj",
            "Wav2Vec2ForAudioFrameClassification": "classifier.weight, classifier.bias",
        }
        assert f"a {kind} needs {head.get(kind, 'projector.weight, projector.bias')}" in message


def test_surplus_tensors_are_left_and_listed(tmp_path):
    everything = weights(kind="Wav2Vec2ForPreTraining") | weights(kind="Wav2Vec2ForCTC")
    everything["note"] = np.arange(3)  # not even floats: nobody uses it
    folder = folder_of(tmp_path, everything)
    for kind in ("Wav2Vec2Model", "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining"):
        params, report = load_params(folder, dataclasses.replace(TINY, architectures=(kind,)))
        needed = expected_shapes(TINY, kind, "wav2vec2.")
        assert flatten(params).keys() == needed.keys()
        assert set(report.surplus) == everything.keys() - needed.keys()
        assert f"surplus  {len(report.surplus)}: " in str(report)
    _, report = load_params(folder, dataclasses.replace(TINY, architectures=()))
    assert report.kind == "Wav2Vec2ForCTC"  # nobody says: a head for text decides


def test_the_report_prints_a_few_short_lines(tmp_path):
    lines = str(load_params(folder_of(tmp_path, weights()), TINY)[1]).splitlines()
    assert [line.split()[0] for line in lines] == ["files", "model", "used", "stored", "prepared", "missing", "surplus"]
    assert lines[2] == f"used     {len(weights())} tensors, {parameter_count(TINY, 'Wav2Vec2ForCTC'):,} parameters"


# --- folders ---------------------------------------------------------------------------------------------------------


def sharded(tmp_path: Path, flat: dict) -> dict:
    """Two shards and their index; returns the index."""
    names = list(flat)
    homes = {name: f"model-0000{1 + (number % 2)}-of-00002.safetensors" for number, name in enumerate(names)}
    for home in set(homes.values()):
        save_file({name: flat[name] for name in names if homes[name] == home}, tmp_path / home)
    index = {"metadata": {"total_size": 1}, "weight_map": homes}
    write_index(tmp_path, index)
    return index


def write_index(folder: Path, index: dict) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_load_as_one(tmp_path):
    flat = weights()
    sharded(tmp_path, flat)
    params, report = load_params(tmp_path, TINY)
    for name, array in flatten(params).items():
        np.testing.assert_array_equal(array, flat[name], strict=True)
    assert report.files == ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert report.tensors == len(flat)


def test_the_index_decides_which_shard_is_right(tmp_path):
    save_file({"a": np.zeros(2), "b": np.zeros(2)}, tmp_path / "1")
    save_file({"a": np.ones(2), "c": np.ones(2)}, tmp_path / "2")
    write_index(tmp_path, {"weight_map": {"a": "1", "c": "2"}})
    flat, files = read_checkpoint(tmp_path)
    assert {name: array[0] for name, array in flat.items()} == {"a": 0, "b": 0, "c": 1}  # b: unlisted, and kept
    assert files == (tmp_path / "1", tmp_path / "2")


@pytest.mark.parametrize(
    "home",
    ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "C:x", "~root", "a\0b", "a\nb", 3, None, ["a"], "x" * 300],
)
def test_a_shard_must_lie_in_the_folder(tmp_path, home):
    index = sharded(tmp_path, weights())
    index["weight_map"]["lm_head.bias"] = home
    write_index(tmp_path, index)
    assert "the shard of lm_head.bias must be a file name in this folder" in refusal(read_checkpoint, tmp_path)


def test_lying_indexes_are_refused(tmp_path):
    index = sharded(tmp_path, weights())
    for broken in ({}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": ["a"]}, {"weight_map": None}):
        write_index(tmp_path, broken)
        assert "weight_map must be an object" in refusal(read_checkpoint, tmp_path)
    write_index(tmp_path, {"weight_map": index["weight_map"] | {"extra": "model-00002-of-00002.safetensors"}})
    assert "lacks what model.safetensors.index.json says it has: extra" in refusal(read_checkpoint, tmp_path)
    write_index(tmp_path, {"weight_map": index["weight_map"] | {"extra": "model-00003-of-00003.safetensors"}})
    assert "model-00003-of-00003.safetensors is missing" in refusal(read_checkpoint, tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert "not valid JSON" in refusal(read_checkpoint, tmp_path)
    write_index(tmp_path, index)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert "0 bytes" in refusal(read_checkpoint, tmp_path)


def test_folders_without_weights(tmp_path):
    assert "not there" in refusal(read_checkpoint, tmp_path / "nowhere")
    assert "has no weights: expected model.safetensors, its index, or pytorch_model.bin" in refusal(
        read_checkpoint, tmp_path
    )
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    assert "the zip file has no directory at its end" in refusal(read_checkpoint, tmp_path)
    assert "a file, not a model folder" in refusal(read_checkpoint, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").mkdir()
    assert "not a regular file" in refusal(read_checkpoint, tmp_path)


# --- mutated files ---------------------------------------------------------------------------------------------------


TOKENS = (
    b"null",
    b"-1",
    b"0",
    b"1e2",
    b"[",
    b"]",
    b"}",
    b'"',
    b",",
    b"\\ud800",
    b"9" * 20,
    b"F16",
    b"BF16",
    b"F4",
    b" ",
)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to three small damages to a safetensors or a JSON file, half of them in the header."""
    lead = 0 if content.startswith(b"{") else 8  # the bytes that hold the header's length
    length = len(content) if not lead else int.from_bytes(content[:8], "little")
    head, header, data = content[:lead], bytearray(content[lead : lead + length]), bytearray(content[lead + length :])
    for _ in range(draw.randint(1, 3)):
        part = header if not data or draw.random() < 0.75 else data
        at, kind = draw.randrange(len(part) + 1), draw.randrange(7)
        if kind == 0:
            part[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            part[at : at + 1] = bytes([draw.choice(b"0123456789")])
        elif kind == 2:
            del part[at : at + draw.randint(1, 60)]
        elif kind == 3:
            part[at:at] = draw.choice(TOKENS)
        elif kind == 4:
            start = draw.randrange(len(part) + 1)
            part[at:at] = part[start : start + draw.randint(1, 120)]
        elif kind == 5 and draw.random() < 0.3:
            del part[at:]
        else:  # a number, a name or a dtype of the header takes the place of another: overlaps, holes, wrong sizes
            words = [match.span() for match in re.finditer(rb"\d+" if kind == 5 else rb"\w+", header)]
            if len(words) > 1:
                (begin, end), (start, stop) = draw.sample(words, 2)
                header[begin:end] = header[start:stop]
    if lead:
        choice = draw.random()
        if choice < 0.8:  # keep the length true, so that the damage behind it is reached
            head = struct.pack("<Q", len(header))
        elif choice < 0.9:
            head = bytes(draw.choice((byte, byte, draw.randrange(256))) for byte in head)
    return bytes(head + header + data)


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
            messages.append(refusal(read_safetensors, path))
            continue
        try:
            found = read_safetensors(path)
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


@pytest.mark.parametrize(
    "victim",
    ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"],
)
def test_mutated_folders_load_or_are_refused_in_one_line(tmp_path, victim):
    if victim.startswith("model-") or victim.endswith("index.json"):
        sharded(tmp_path, weights())
    else:
        folder_of(tmp_path, weights())
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(TINY)))
    content = (tmp_path / victim).read_bytes()
    loads, messages = 0, []
    for case in range(CASES // 3):
        (tmp_path / victim).write_bytes(mutated(content, random.Random(case)))
        try:
            params, report = load_params(tmp_path, Config.from_folder(tmp_path))
            loads += 1
            assert report.tensors == len(flatten(params))
        except (ConfigError, WeightsError) as error:
            messages.append(str(error))
    assert loads
    assert messages
    assert all("\n" not in message and len(message) < 4000 for message in messages)


# --- what happens to the file afterwards -----------------------------------------------------------------------------


def test_a_copy_outlives_its_file(tmp_path):
    """Mapped weights would end the process (SIGBUS) once the file is cut short."""
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder)
    config = Config.from_folder(folder)
    mapped, _ = load_params(folder, config, "float32")
    copied, copied_report = load_params(folder, config, "float32", copy=True)
    assert copied_report.mapped_bytes == 0
    expected = {name: array.copy() for name, array in flatten(mapped).items()}
    del mapped
    os.truncate(folder / "model.safetensors", 8)
    for name, array in flatten(copied).items():
        assert np.array_equal(array, expected[name])
        assert not array.flags.writeable


def test_a_file_that_changes_while_it_is_loaded_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder)
    config, convert = Config.from_folder(folder), params_module.to_float

    def touching(array, dtype):
        os.utime(folder / "model.safetensors", (1, 1))
        return convert(array, dtype)

    monkeypatch.setattr(params_module, "to_float", touching)
    with pytest.raises(WeightsError, match=r"model\.safetensors has changed while it was read: load it again"):
        load_params(folder, config)


def test_too_little_memory_names_the_tensor(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(params_module, "to_float", full)
    with pytest.raises(MemoryError, match=r"the tensor \S+, [\d,]+ bytes as float32"):
        load_params(BUNDLED, Config.from_folder(BUNDLED))
