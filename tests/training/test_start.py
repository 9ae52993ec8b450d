"""The start of a run: what is drawn and how, what a folder gives, and what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.checkpoint.convert import convert
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.errors import ConfigError, TrainingError
from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.training.recipe import from_table
from xlsr_ref.training.start import start_of, vocabulary_of
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED, expected_shapes

GOLDEN = Path(__file__).parents[1] / "golden"
CTC, PRETRAINING = "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining"
SIZES = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "conv_dim": [32, 40, 36], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2], "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "initializer_range": 0.06,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "num_codevectors_per_group": 20, "codevector_dim": 24, "proj_codevector_dim": 16,
}  # fmt: skip
NEW_IN_PRETRAINING = {
    "quantizer.codevectors",
    *(f"{name}.weight" for name in ("quantizer.weight_proj", "project_hid", "project_q")),
    *(f"{name}.bias" for name in ("quantizer.weight_proj", "project_hid", "project_q")),
}


def recipe(seed=0, config=SIZES, **model):
    return from_table({"seed": seed, "model": {"config": config, **model}, "data": {"manifests": ["none.tsv"]}})


def begin(kind=CTC, texts=("ab", "b c"), folder=GOLDEN, dtype="float32", **asked):
    return start_of(recipe(**asked), kind, texts, folder, dtype)


# --- new weights -----------------------------------------------------------------------------------------------------


def test_new_weights_have_the_spreads_that_are_promised():
    p = begin(PRETRAINING, dtype="float64").params

    def normal(name, spread):
        array = p[name]
        assert abs(array.std() / spread - 1) < 5 / math.sqrt(2 * array.size), name  # five deviations
        assert abs(array.mean()) < 5 * spread / math.sqrt(array.size), name
        assert np.abs(array).max() > 2 * spread, name  # no uniform draw is beyond 1.7

    def uniform(name, low, high):
        array = p[name]
        assert low <= array.min()
        assert array.max() <= high
        assert abs(array.mean() - (low + high) / 2) < 5 * (high - low) / math.sqrt(12 * array.size), name
        assert abs(array.std() / ((high - low) / math.sqrt(12)) - 1) < 5 / math.sqrt(2 * array.size), name

    for i, fan_in in enumerate((10, 32 * 3, 40 * 2)):
        conv = f"wav2vec2.feature_extractor.conv_layers.{i}.conv"
        normal(f"{conv}.weight", math.sqrt(2 / fan_in))
        uniform(f"{conv}.bias", -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
    for name, fan_in in (("wav2vec2.feature_projection.projection", 36), ("project_hid", 48), ("project_q", 24)):
        for last in ("weight", "bias"):
            uniform(f"{name}.{last}", -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
    for layer in ("attention.q_proj", "attention.out_proj", "feed_forward.output_dense"):
        normal(f"wav2vec2.encoder.layers.1.{layer}.weight", 0.06)
        assert not p[f"wav2vec2.encoder.layers.1.{layer}.bias"].any()
    normal("quantizer.weight_proj.weight", 1.0)
    assert not p["quantizer.weight_proj.bias"].any()
    uniform("quantizer.codevectors", 0, 1)
    uniform("wav2vec2.masked_spec_embed", 0, 1)
    g, v = (p[f"wav2vec2.encoder.pos_conv_embed.conv.{name}"] for name in PARAMETRIZED)
    normal(f"wav2vec2.encoder.pos_conv_embed.conv.{PARAMETRIZED[1]}", 2 / math.sqrt(16 * 48))
    np.testing.assert_allclose(g, np.sqrt((v**2).sum(axis=(0, 1), keepdims=True)), rtol=1e-14)  # so that W = v
    assert not p["wav2vec2.encoder.pos_conv_embed.conv.bias"].any()
    norms = [name for name in p if "layer_norm" in name]
    assert len(norms) == 2 * (3 + 1 + 1 + 2 * 2)
    assert all((p[name] == name.endswith("weight")).all() for name in norms)
    normal_head = begin(dtype="float64").params["lm_head.weight"]
    assert 0.04 < normal_head.std() < 0.08


def test_the_seed_decides_the_weights():
    one, same, other = (begin(seed=seed).params for seed in (3, 3, 4))
    for name, array in one.items():
        np.testing.assert_array_equal(array, same[name])
        assert array.dtype == np.float32
        assert array.flags.writeable
    assert all((array != other[name]).any() for name, array in one.items() if array.std() > 0)


def test_everything_that_the_config_wants_is_there():
    for kind in (CTC, PRETRAINING):
        start = begin(kind)
        shapes = expected_shapes(start.config, kind)
        assert {name: array.shape for name, array in start.params.items()} == shapes
        assert list(start.params) == list(shapes)
        assert start.notes[0] == "new weights"


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_vocabulary_has_every_character_of_the_texts():
    tokens = vocabulary_of(["b a", "é|a"])
    assert tokens == {"[PAD]": 0, "[UNK]": 1, "|": 2, "a": 3, "b": 4, "é": 5}


@pytest.mark.parametrize("kind", [CTC, PRETRAINING])
def test_what_is_written_is_a_model_folder(kind, tmp_path):
    start = begin(kind)
    write_arrays(tmp_path / "model.safetensors", start.params)
    for name, text in start.files.items():
        (tmp_path / name).write_text(text, "utf-8")
    model = xlsr_ref.load(tmp_path)
    assert model.report.kind == kind
    assert model.config == start.config == Config.from_folder(tmp_path)
    assert model.preprocessor == start.preprocessor
    values = {name: value for name, value in vars(start.config).items() if value is not None}
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in written.items() if name in values} == values
    if kind == CTC:
        assert read_tokenizer(tmp_path).encode("a cb") == [3, 2, 5, 4]
        assert (start.config.vocab_size, start.config.pad_token_id) == (6, 0)
        assert start.notes[1:] == ["a new head for 6 tokens, drawn with seed 0"]


# --- a folder's weights ----------------------------------------------------------------------------------------------


def test_a_head_that_is_kept_keeps_everything(tmp_path):
    bundled = Path(xlsr_ref.__file__).parent / "data"
    start = start_of(recipe(config={}, start="small-ctc", head="keep"), CTC, ["zzz"], tmp_path, bundled=bundled)
    stored = read_arrays(bundled / "small-ctc" / "model.safetensors")
    for name, array in start.params.items():
        np.testing.assert_array_equal(array, stored[name].astype(np.float32))
    for name in ("vocab.json", "tokenizer_config.json", "preprocessor_config.json"):
        assert start.files[name] == (bundled / "small-ctc" / name).read_text("utf-8")
    assert start.notes == [f"{len(stored)} tensors of {bundled / 'small-ctc'}"]


def test_a_new_head_on_old_weights():
    start = begin(config={}, start="xlsr", head="new")
    stored = read_arrays(GOLDEN / "xlsr" / "model.safetensors")
    for name, array in start.params.items():
        if not name.startswith("lm_head."):
            np.testing.assert_array_equal(array, stored[name])
            assert array.flags.writeable
    assert start.params["lm_head.weight"].shape == (6, 24)
    assert json.loads(start.files["vocab.json"]) == vocabulary_of(["ab", "b c"])
    assert "drawn: lm_head.weight, lm_head.bias" in start.notes[0]
    assert "a new head for 6 tokens" in start.notes[1]


def test_pretraining_goes_on_from_a_ctc_model_with_a_new_quantizer():
    start = begin(PRETRAINING, config={}, start="xlsr")
    stored = read_arrays(GOLDEN / "xlsr" / "model.safetensors")
    assert {name for name in start.params if name not in stored} == NEW_IN_PRETRAINING
    assert all((start.params[name] == stored[name]).all() for name in start.params.keys() & stored.keys())
    assert "vocab.json" not in start.files
    fresh = begin(PRETRAINING, config={k: v for k, v in vars(start.config).items() if k != "architectures"})
    for name in NEW_IN_PRETRAINING:  # what is drawn does not depend on what was there
        np.testing.assert_array_equal(start.params[name], fresh.params[name])


def rewritten(folder, into, change):
    """The golden model ``folder`` with other names."""
    stored = read_arrays(GOLDEN / folder / "model.safetensors")
    write_arrays(into / "model.safetensors", {change(name): array for name, array in stored.items()})
    (into / "config.json").write_text((GOLDEN / folder / "config.json").read_text())
    return stored


def test_weights_are_taken_with_or_without_the_prefix_and_in_the_old_spelling(tmp_path):
    def old_spelling(name):
        for classic, parametrized in zip(CLASSIC, PARAMETRIZED):
            name = name.replace(parametrized, classic)
        return name

    stored = rewritten("bare", tmp_path, old_spelling)
    assert any(name.endswith("weight_g") for name in read_arrays(tmp_path / "model.safetensors"))
    params = begin(config={}, start=".", folder=tmp_path).params
    for name, array in stored.items():
        np.testing.assert_array_equal(params[f"wav2vec2.{name}"], array)


def test_a_vector_of_masked_frames_that_is_missing_is_drawn(tmp_path):
    stored = read_arrays(GOLDEN / "xlsr" / "model.safetensors")
    some = {name: array for name, array in stored.items() if "masked_spec_embed" not in name}
    write_arrays(tmp_path / "model.safetensors", some)
    (tmp_path / "config.json").write_text((GOLDEN / "xlsr" / "config.json").read_text())
    start = begin(config={}, start=".", folder=tmp_path)
    assert 0 < start.params["wav2vec2.masked_spec_embed"].std() < 0.5
    assert "drawn: wav2vec2.masked_spec_embed, lm_head.weight" in start.notes[0]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_int8_weights_are_no_start(tmp_path):
    convert(GOLDEN / "xlsr", tmp_path / "int8", dtype="int8")
    with pytest.raises(TrainingError, match="int8 weights, which have no gradient"):
        begin(config={}, start="int8", folder=tmp_path)


def test_what_cannot_be_is_named(tmp_path):
    with pytest.raises(TrainingError, match="'keep', but a new model has no head"):
        begin(head="keep")
    with pytest.raises(TrainingError, match=r"'keep', but .*bare has no head"):
        begin(config={}, start="bare", head="keep")
    with pytest.raises(TrainingError, match=r"'keep', but .*xlsr has no head with a vocabulary"):
        begin(config={}, start="xlsr", head="keep")  # lm_head, but no vocab.json
    with pytest.raises(TrainingError, match=r"it lacks wav2vec2.encoder.layers.3.*right shape"):
        begin(config={"num_hidden_layers": 4}, start="xlsr")
    with pytest.raises(TrainingError, match=r"no key model.config.hidden_sise: .* model.config.hidden_size"):
        begin(config={"hidden_sise": 4})
    with pytest.raises(ConfigError, match=r"model.config: num_attention_heads=5"):
        begin(config=SIZES | {"num_attention_heads": 5})
    with pytest.raises(TrainingError, match="nowhere is no folder"):
        begin(start="nowhere")
    bundled = Path(xlsr_ref.__file__).parent / "data"
    smaller = recipe(config={"vocab_size": 70}, start="small-ctc", head="keep")
    with pytest.raises(TrainingError, match=r"it lacks lm_head.weight, lm_head.bias of the right shape"):
        start_of(smaller, CTC, [], tmp_path, bundled=bundled)


def test_a_vocabulary_that_is_not_text_is_named(tmp_path):
    rewritten("xlsr", tmp_path, str)
    (tmp_path / "vocab.json").write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match=r"vocab.json is not UTF-8 text"):
        begin(config={}, start=".", folder=tmp_path, head="keep")
