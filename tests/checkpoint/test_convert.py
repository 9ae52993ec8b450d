"""Conversion: every source gives the golden model's tensors byte for byte; a failed one leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xlsr_ref.checkpoint import convert as convert_file
from xlsr_ref.checkpoint.convert import convert
from xlsr_ref.checkpoint.floats import from_float, widened
from xlsr_ref.checkpoint.inspect import report, statistics
from xlsr_ref.checkpoint.open import open_checkpoint, open_weights
from xlsr_ref.checkpoint.read import read_file
from xlsr_ref.checkpoint.safetensors_file import write_safetensors
from xlsr_ref.checkpoint.tensors import DTYPES
from xlsr_ref.checkpoint.verify import verify

GOLDEN = Path(__file__).parents[1] / "golden"
FOREIGN = GOLDEN / "foreign"
SOURCES = [
    ("torch", "xlsr"),
    ("torch_old", "base"),
    ("flax", "xlsr"),
    ("fairseq_ctc", "xlsr"),
    ("fairseq_ctc_old", "base"),
]


def same(path: Path, golden: str) -> None:
    verdict = verify(path, GOLDEN / golden)
    assert verdict.departures == ()
    assert verdict.identical == verdict.compared > 50


@pytest.mark.parametrize(("source", "golden"), SOURCES)
def test_every_source_gives_the_same_tensors(tmp_path, source, golden):
    done = convert(FOREIGN / source, tmp_path / "out")
    same(tmp_path / "out", golden)
    assert (done.kind, done.dropped) == ("Wav2Vec2ForCTC", ())
    assert sorted(os.listdir(tmp_path)) == ["out"]
    ours = load_file(tmp_path / "out" / "model.safetensors")  # the library reads it
    theirs = load_file(GOLDEN / golden / "model.safetensors")
    assert sum(a.nbytes for a in ours.values()) == sum(a.nbytes for a in theirs.values())
    assert all(name.startswith(("wav2vec2.", "lm_head.")) for name in ours)


@pytest.mark.parametrize("model", ["xlsr", "base", "odd", "bare"])
def test_there_and_back_keeps_every_byte(tmp_path, model):
    convert(GOLDEN / model, tmp_path / "one")
    convert(tmp_path / "one", tmp_path / "two")
    expected = load_file(GOLDEN / model / "model.safetensors")
    for folder in ("one", "two"):
        found = load_file(tmp_path / folder / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())
    for scheme in ("fairseq", "torchaudio"):
        convert(GOLDEN / model, tmp_path / scheme, to=scheme)
        convert(tmp_path / scheme, tmp_path / f"{scheme} back")
        back = load_file(tmp_path / f"{scheme} back" / "model.safetensors")
        lost = {name for name in expected if name.endswith("masked_spec_embed")} if scheme == "torchaudio" else set()
        assert back.keys() == expected.keys() - lost
        assert all(back[name].tobytes() == expected[name].tobytes() for name in back)
        assert not any(name.startswith("wav2vec2.") for name in load_file(tmp_path / scheme / "model.safetensors"))


def test_the_files_are_those_of_the_safetensors_library(tmp_path, rng):
    arrays = {
        f"t{i}": rng.standard_normal((3, i)).astype(dtype) for i, dtype in enumerate(["f4", "f2", "f8", "f4", "f2"])
    }
    arrays |= {"whole": np.arange(5), "byte": np.arange(3, dtype=np.uint8), "none": np.ones((0, 2), np.float32)}
    save_file(arrays, tmp_path / "theirs", metadata={"format": "pt"})
    sources = read_file(tmp_path / "theirs").tensors
    write_safetensors(tmp_path / "ours", sources)
    found = load_file(tmp_path / "ours")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert (tmp_path / "ours").stat().st_size == (tmp_path / "theirs").stat().st_size


def test_a_source_that_shrinks_meanwhile_is_refused(tmp_path, refused):
    (tmp_path / "x").write_bytes((GOLDEN / "xlsr" / "model.safetensors").read_bytes())
    tensors = read_file(tmp_path / "x").tensors
    os.truncate(tmp_path / "x", 50_000)
    assert "shorter" in refused(write_safetensors, tmp_path / "y", tensors)
    with pytest.raises(ValueError, match="shorter"):
        write_safetensors(tmp_path / "y", {n: convert_file.in_dtype(t, "float16", n) for n, t in tensors.items()})


# --- dtypes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_another_dtype(tmp_path, dtype):
    convert(GOLDEN / "xlsr", tmp_path / "out", dtype=dtype)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == dtype
    expected = load_file(GOLDEN / "xlsr" / "model.safetensors")
    for name, tensor in read_file(tmp_path / "out" / "model.safetensors").tensors.items():
        assert tensor.dtype == convert_file.STORED[dtype]
        x = expected[name].astype(np.float64)
        step = {"float32": 0, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]  # half a unit of the last place
        assert np.all(np.abs(widened(tensor.read()) - x) <= step * np.abs(x) + 2.0**-25)
    convert(tmp_path / "out", tmp_path / "again", dtype="float32")
    again = open_weights(tmp_path / "again")
    assert {tensor.dtype for tensor in again.tensors.values()} == {"F32"}


def test_bfloat16_is_rounded_to_the_nearest_even():
    bits = np.array([0x3F800000, 0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F800000, 0x80000001], np.uint32)
    found = from_float(bits.view(np.float32), "BF16")["BF16"]
    assert list(found) == [0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x3F80, 0x7F80, 0x8000]
    nan = from_float(np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32), "BF16")
    assert np.isnan(widened(nan)).all()
    every = np.arange(2**16, dtype="<u2").view(DTYPES["BF16"])
    back = from_float(widened(every), "BF16")["BF16"]
    finite = ~np.isnan(widened(every))
    np.testing.assert_array_equal(back[finite], every["BF16"][finite])


def test_what_a_dtype_cannot_hold_is_refused_and_nothing_is_left(tmp_path, refused):
    weights = load_file(GOLDEN / "bare" / "model.safetensors")
    weights["masked_spec_embed"] = weights["masked_spec_embed"] * 0 + 70000
    (tmp_path / "in").mkdir()
    save_file(weights, tmp_path / "in" / "model.safetensors")
    (tmp_path / "in" / "config.json").write_bytes((GOLDEN / "bare" / "config.json").read_bytes())
    message = refused(convert, tmp_path / "in", tmp_path / "out", dtype="float16")
    assert "masked_spec_embed reaches 70000" in message
    assert os.listdir(tmp_path) == ["in"]
    weights["masked_spec_embed"][:] = [np.inf, -np.inf, np.nan] * 6  # what is so already stays so
    save_file(weights, tmp_path / "in" / "model.safetensors")
    convert(tmp_path / "in", tmp_path / "out", dtype="float16")


# --- weight norm -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["fairseq", "torchaudio"])
def test_a_merged_weight_norm(tmp_path, to, refused):
    convert(GOLDEN / "xlsr", tmp_path / "out", to=to, merge_weight_norm=True)
    found = load_file(tmp_path / "out" / "model.safetensors")
    (name,) = (name for name in found if "pos_conv" in name and name.endswith("weight"))
    source = load_file(GOLDEN / "xlsr" / "model.safetensors")
    stem = "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original"
    g, v = source[f"{stem}0"].astype(np.float64), source[f"{stem}1"].astype(np.float64)
    expected = np.empty_like(v)
    for k in range(v.shape[2]):  # each tap has the length that g says
        expected[:, :, k] = v[:, :, k] / np.sqrt((v[:, :, k] ** 2).sum()) * g[0, 0, k]
    np.testing.assert_allclose(found[name], expected, rtol=1e-6)  # float32
    assert len([name for name in found if "pos_conv" in name]) == 2  # the weight and the bias
    convert(GOLDEN / "xlsr", tmp_path / "half", to=to, dtype="float16")
    convert(tmp_path / "half", tmp_path / "long", to=to, dtype="float32", merge_weight_norm=True)
    rounded = {part: one.astype(np.float64) for part, one in _pair(tmp_path / "half").items()}
    length = np.sqrt((rounded["v"] ** 2).sum(axis=(0, 1), keepdims=True))
    once = rounded["g"] * rounded["v"] / length  # rounded to float32 and not to the float16 of g and v
    np.testing.assert_allclose(load_file(tmp_path / "long" / "model.safetensors")[name], once, rtol=1e-6)
    refused(convert, tmp_path / "out", tmp_path / "twice", to=to, merge_weight_norm=True)


def _pair(folder: Path) -> dict[str, np.ndarray]:
    found = load_file(folder / "model.safetensors")
    ends = {"original0": "g", "weight_g": "g", "original1": "v", "weight_v": "v"}
    return {short: found[name] for name in found for end, short in ends.items() if name.endswith(end)}


def test_what_cannot_go_together(tmp_path, refused):
    assert "transformers cannot" in refused(convert, GOLDEN / "xlsr", tmp_path / "out", merge_weight_norm=True)
    assert "no toolkit" in refused(convert, GOLDEN / "xlsr", tmp_path / "out", to="keras")
    assert "no dtype" in refused(convert, GOLDEN / "xlsr", tmp_path / "out", dtype="int4")
    assert os.listdir(tmp_path) == []


# --- whole or not at all ---------------------------------------------------------------------------------------------


def test_a_target_that_is_there_is_left_alone(tmp_path, refused):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    assert "there already" in refused(convert, GOLDEN / "xlsr", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["mine"]
    assert "no folder" in refused(convert, GOLDEN / "xlsr", tmp_path / "a" / "b")
    (tmp_path / "file").write_text("x")
    assert "there already" in refused(convert, GOLDEN / "xlsr", tmp_path / "file")
    if hasattr(os, "symlink"):
        os.symlink(tmp_path / "nowhere", tmp_path / "link")
        assert "there already" in refused(convert, GOLDEN / "xlsr", tmp_path / "link")


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError(28, "No space left on device"), MemoryError])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, monkeypatch, problem):
    writes = []

    def fail(path, sources, notes=None):
        path.write_bytes(b"half")
        writes.append(path)
        raise problem

    monkeypatch.setattr(convert_file, "write_safetensors", fail)
    with pytest.raises((KeyboardInterrupt, ValueError, MemoryError)) as raised:
        convert(GOLDEN / "xlsr", tmp_path / "out")
    if isinstance(problem, OSError):
        assert str(raised.value).endswith("cannot be written: No space left on device")
    assert len(writes) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")
def test_a_killed_conversion_has_no_target(tmp_path):
    script = (
        "import sys, time\nfrom xlsr_ref.checkpoint import convert as convert_file\n"
        "def half(path, sources, notes=None):\n    path.write_bytes(b'half')\n"
        "    print('now', flush=True)\n    time.sleep(60)\n"
        "convert_file.write_safetensors = half\n"
        f"convert_file.convert({str(GOLDEN / 'xlsr')!r}, {str(tmp_path / 'out')!r})\n"
    )
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=here)
    assert process.stdout.readline() == b"now\n"
    process.kill()
    process.wait()
    assert not (tmp_path / "out").exists()


def test_many_tensors_on_few_numbers_do_not_fill_the_disk(tmp_path, torch_files, refused, monkeypatch):
    program = torch_files.state({"mask_emb": ("0", 2**18, 0, (2**18,), (1,))} | {
        f"encoder.layers.{i}.fc1.weight": ("0", 2**18, 0, (512, 512), (512, 1)) for i in range(9)
    })  # fmt: skip
    path = torch_files.zip(program, {"0": bytes(2**20)})
    checkpoint = open_weights(path)
    monkeypatch.setattr(convert_file, "open_checkpoint", lambda *_: _Checkpoint(checkpoint))
    assert "would grow to 10,485,760 bytes" in refused(convert, path, tmp_path / "out", to="fairseq")


class _Checkpoint:
    kind, config, files = "Wav2Vec2Model", {}, {}

    def __init__(self, weights):
        self.weights = weights


# --- config and what else is needed ----------------------------------------------------------------------------------


def test_what_no_shape_tells_must_be_given(tmp_path, refused):
    bare = tmp_path / "x.bin"
    bare.write_bytes((FOREIGN / "torch" / "pytorch_model.bin").read_bytes())
    assert "--set num_attention_heads=N" in refused(convert, bare, tmp_path / "out")
    told = {
        "num_attention_heads": 4,
        "do_stable_layer_norm": True,
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "pad_token_id": 0,
    }
    assert "hidden_size=7" in refused(convert, bare, tmp_path / "out", settings=told | {"hidden_size": 7})
    refused(convert, bare, tmp_path / "out", settings=told | {"num_attention_heads": 5})
    convert(bare, tmp_path / "out", settings=told)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {name: config[name] for name in told} == told
    same(tmp_path / "out", "xlsr")


def test_a_config_that_contradicts_the_tensors(tmp_path, refused):
    config = json.loads((FOREIGN / "torch" / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes((FOREIGN / "torch" / "pytorch_model.bin").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    message = refused(open_checkpoint, tmp_path)
    assert "config.json says num_hidden_layers=2, but the weights have 3" in message


def test_folders_with_no_checkpoint_or_several(tmp_path, refused):
    assert "has no weights: expected model.safetensors" in refused(open_weights, tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    assert "2 checkpoints, a.pt, b.pt: name one" in refused(open_weights, tmp_path)
    assert "is missing" in refused(open_weights, tmp_path / "nowhere")


# --- inspect and verify ----------------------------------------------------------------------------------------------


def test_the_report_names_every_tensor_and_the_verdict():
    weights = open_weights(FOREIGN / "fairseq_ctc")
    lines = list(report(weights))
    text = "\n".join(lines)
    for name in weights.named.values():
        assert sum(line.split(" ")[0] == name for line in lines) == 1
    assert "this is a CTC model of 18,109 parameters (Wav2Vec2ForCTC)" in lines[-1]
    assert "names of fairseq" in text
    assert "(from the checkpoint's own settings: no shape tells it)" in text
    short = "\n".join(report(weights, with_statistics=False))
    assert "mean" not in short
    assert "mean" in text
    pretrained = list(report(open_weights(FOREIGN / "fairseq_pretrained"), False))
    assert "this is a pretrained model" in pretrained[-1]


def test_statistics(tmp_path, rng, monkeypatch):
    values = (rng.standard_normal(10_007) + 1000).astype(np.float32)
    values[[3, 50, 9000]] = np.nan, np.inf, -np.inf
    save_file({"a": values, "b": np.ones(3, bool), "c": np.zeros((0,), np.float32)}, tmp_path / "x.safetensors")
    monkeypatch.setattr("xlsr_ref.checkpoint.tensors.PIECE", 4096)  # several pieces
    tensors = read_file(tmp_path / "x.safetensors").tensors
    found = statistics(tensors["a"])
    finite = values[np.isfinite(values)].astype(np.float64)
    assert (found.nan, found.infinite) == (1, 2)
    assert (found.least, found.largest) == (finite.min(), finite.max())
    np.testing.assert_allclose([found.mean, found.std], [finite.mean(), finite.std()], rtol=1e-12)
    assert statistics(tensors["b"]) is None
    assert np.isnan(statistics(tensors["c"]).mean)


def test_verify_names_the_first_that_departs(tmp_path):
    weights = load_file(GOLDEN / "xlsr" / "model.safetensors")
    names = list(weights)
    weights[names[5]][0] += 1e-3
    weights[names[7]] = weights[names[7]][:-1]
    save_file(weights, tmp_path / "x.safetensors")
    verdict = verify(tmp_path / "x.safetensors", GOLDEN / "xlsr")
    assert len(verdict.departures) == 2
    assert {line.split(":")[0] for line in verdict.departures} == {names[i].removeprefix("wav2vec2.") for i in (5, 7)}
    del weights[names[7]]
    save_file(weights, tmp_path / "x.safetensors")
    assert any("only in the second" in line for line in verify(tmp_path / "x.safetensors", GOLDEN / "xlsr").departures)
    assert any("only in the first" in line for line in verify(GOLDEN / "xlsr", tmp_path / "x.safetensors").departures)
    assert len(verify(tmp_path / "x.safetensors", GOLDEN / "xlsr", 0.9).departures) == 1


def test_verify_compares_recordings_of_stages(tmp_path, refused):
    recorded = dict(np.load(GOLDEN / "xlsr" / "stages.npz"))
    np.savez(tmp_path / "a.npz", **recorded)
    assert verify(tmp_path / "a.npz", GOLDEN / "xlsr" / "stages.npz").departures == ()
    stages = [name for name in recorded if name.startswith("stage ")]
    for name in stages[4:]:
        recorded[name] = recorded[name] + 1e-3
    np.savez(tmp_path / "a.npz", **recorded)
    verdict = verify(tmp_path / "a.npz", GOLDEN / "xlsr" / "stages.npz", 1e-9)
    assert verdict.what == "stages"
    assert verdict.departures[0].startswith(f"{stages[4]}: relative error")
    assert "two of a kind" in refused(verify, tmp_path / "a.npz", GOLDEN / "xlsr")
    refused(verify, GOLDEN / "xlsr", GOLDEN / "xlsr", -1.0)
    refused(verify, GOLDEN / "xlsr", GOLDEN / "xlsr", float("nan"))
    (tmp_path / "b.npz").write_bytes(b"PK\3\4 no")
    refused(verify, tmp_path / "b.npz", tmp_path / "a.npz")
    np.savez(tmp_path / "c.npz", x=np.array([{}], dtype=object))
    refused(verify, tmp_path / "c.npz", tmp_path / "a.npz")


def test_opening_reads_no_numbers(tmp_path):
    """A sparse file of 8 GB opens at once: only its directory is read."""
    began = time.process_time()
    header = json.dumps({"masked_spec_embed": {"dtype": "F32", "shape": [2**31], "data_offsets": [0, 2**33]}}).encode()
    with open(tmp_path / "x.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**33)
    assert open_weights(tmp_path / "x.safetensors").tensors["masked_spec_embed"].nbytes == 2**33
    assert time.process_time() - began < 30  # reading it would take minutes; no measurement


def test_the_languages_of_a_model_come_along(tmp_path):
    source = GOLDEN / "heads" / "languages"
    convert(source, tmp_path / "all")
    names = ("adapter.eng.safetensors", "adapter.fra.safetensors")
    assert sorted(path.name for path in (tmp_path / "all").glob("adapter.*")) == list(names)
    for name in names:
        ours, theirs = read_file(tmp_path / "all" / name).tensors, read_file(source / name).tensors
        assert {key: one.read().tobytes() for key, one in ours.items()} == {
            key: one.read().tobytes() for key, one in theirs.items()
        }
    assert (tmp_path / "all" / "vocab.json").read_bytes() == (source / "vocab.json").read_bytes()
    convert(source, tmp_path / "one", languages=["fra"], dtype="float16")
    assert [path.name for path in (tmp_path / "one").glob("adapter.*")] == ["adapter.fra.safetensors"]
    assert {one.dtype for one in read_file(tmp_path / "one" / names[1]).tensors.values()} == {"F16"}
