"""int8 weights, made at load or stored in a folder: the same numbers, and one line for what is wrong with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import WeightsError, XlsrError
from xlsr_ref.audio import bundled_clips
from xlsr_ref.checkpoint.convert import convert
from xlsr_ref.checkpoint.eight_bits import may_be_int8
from xlsr_ref.checkpoint.safetensors_file import InMemory, read_arrays, write_safetensors
from xlsr_ref.checkpoint.tensors import DTYPE_NAMES
from xlsr_ref.cli import main
from xlsr_ref.ops.tree import flatten

SOURCE = Path(__file__).parents[1] / "golden" / "xlsr"
WEIGHT = "wav2vec2.encoder.layers.0.attention.q_proj.weight"


@pytest.fixture
def folder(tmp_path):
    convert(SOURCE, tmp_path / "int8", dtype="int8")
    return tmp_path / "int8"


def rewritten(folder, change):
    flat = dict(read_arrays(folder / "model.safetensors"))
    flat = {name: array.copy() for name, array in flat.items()}
    change(flat)
    sources = {name: InMemory(array, DTYPE_NAMES[array.dtype]) for name, array in flat.items()}
    write_safetensors(folder / "new.safetensors", sources)
    shutil.move(folder / "new.safetensors", folder / "model.safetensors")
    return folder


def test_only_the_linear_layers_of_the_blocks(folder):
    flat = read_arrays(folder / "model.safetensors")
    stored = {name for name, array in flat.items() if array.dtype == np.int8}
    assert stored == {name for name in flat if may_be_int8(name)}
    blocks = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    assert len(stored) == 6 * blocks
    assert all(flat[f"{name}_scale"].shape == flat[name].shape[:1] for name in stored)
    assert all(array.dtype == np.float32 for name, array in flat.items() if name not in stored)


def test_a_folder_gives_what_the_load_gives_and_it_is_near_to_float32(folder, rng):
    x = rng.standard_normal(9000)
    at_load, stored, exact = xlsr_ref.load(SOURCE, weights="int8"), xlsr_ref.load(folder), xlsr_ref.load(SOURCE)
    np.testing.assert_array_equal(at_load.logits(x, 16000), stored.logits(x, 16000))
    y = exact.logits(x, 16000)
    assert 0 < np.sqrt(np.mean((stored.logits(x, 16000) - y) ** 2)) < 0.05 * y.std()
    assert "I8 × " in str(stored.report)
    assert flatten(at_load.params)[WEIGHT].dtype == np.int8
    assert not flatten(at_load.params)[WEIGHT].flags.writeable


def test_the_header_and_the_config_say_so(folder):
    size = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    notes = json.loads((folder / "model.safetensors").read_bytes()[8 : 8 + size])["__metadata__"]
    assert "weight_scale" in notes["int8"]
    assert json.loads((folder / "config.json").read_text())["quantization_config"]["quant_method"] == "xlsr_ref_int8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda flat: flat.pop(f"{WEIGHT}_scale"), "weight_scale, which the weights lack"),
        (lambda flat: flat[f"{WEIGHT}_scale"].fill(np.nan), "numbers above 0"),
        (lambda flat: flat[f"{WEIGHT}_scale"].fill(0), "numbers above 0"),
        (lambda flat: flat.update({f"{WEIGHT}_scale": np.ones(3, np.float32)}), "other shapes"),
        (lambda flat: flat.update({f"{WEIGHT}_scale": flat[f"{WEIGHT}_scale"].astype(float)}), "numbers above 0"),
        (
            lambda flat: flat.update({"lm_head.weight": flat["lm_head.weight"].astype(np.int8)}),
            "found lm_head.weight I8",
        ),
    ],
)
def test_scales_that_cannot_be_are_refused(folder, change, message):
    with pytest.raises(WeightsError, match=message) as refused:
        xlsr_ref.load(rewritten(folder, change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "int4"}, "weights is 'int4': it must be float32 or int8"),
        ({"weights": "int8", "dtype": "float64"}, "computed in float32, not float64"),
    ],
)
def test_other_weights_are_refused(arguments, message):
    with pytest.raises(WeightsError, match=message):
        xlsr_ref.load(SOURCE, **arguments)


def test_a_folder_of_int8_is_not_computed_in_float64(folder):
    with pytest.raises(WeightsError, match="computed in float32, not float64"):
        xlsr_ref.load(folder, "float64")


def test_weights_that_are_not_finite_have_no_eight_bits(tmp_path):
    def spoil(flat):
        flat[WEIGHT][0, 0] = np.inf

    shutil.copytree(SOURCE, tmp_path / "model")
    with pytest.raises(WeightsError, match=r"q_proj\.weight holds numbers that are not finite"):
        xlsr_ref.load(rewritten(tmp_path / "model", spoil), weights="int8")


def test_other_toolkits_have_no_place_for_scales(tmp_path):
    with pytest.raises(WeightsError, match="fairseq has no place for the scales"):
        convert(SOURCE, tmp_path / "out", to="fairseq", dtype="int8")


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_int8_weights_get_no_other_dtype(folder, tmp_path, dtype):
    with pytest.raises(
        WeightsError, match="int8 has int8 weights, whose dtype stays: convert the model that they were"
    ):
        convert(folder, tmp_path / "out", dtype=dtype)
    assert not (tmp_path / "out").exists()
    assert convert(folder, tmp_path / "same").nbytes == convert(SOURCE, tmp_path / "again", dtype="int8").nbytes


def test_an_int8_model_is_not_trained(folder, rng):
    model = xlsr_ref.load(folder)
    y, cache = model.forward(rng.standard_normal(4000), 16000)
    with pytest.raises(XlsrError, match="int8 weights have no gradient"):
        model.backward(np.ones_like(y), cache)


def test_the_command_line_takes_it(folder, capsys):
    clip = str(bundled_clips()[0].path)
    assert main(["transcribe", clip, "--weights", "int8", "--quiet"]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["transcribe", clip, "--weights", "int4"]) == 2
    assert "int8" in capsys.readouterr().err
    assert main(["transcribe", clip, "--weights", "int8", "--dtype", "float64"]) == 1
    assert capsys.readouterr().err.strip().endswith("computed in float32, not float64")
