"""The strict load against every way in which a folder can be wrong."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import shutil

import numpy as np
import pytest
from small_checkpoints import TINY, craft, entry, folder_of, mutated, refusal, sharded, weights

from xlsr_ref.checkpoint.tensors import DTYPES
from xlsr_ref.errors import ConfigError, WeightsError
from xlsr_ref.model import load_params as load_params_module
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.model.load_params import load_params
from xlsr_ref.ops.micro_kernel import BLOCKS
from xlsr_ref.ops.tree import flatten
from xlsr_ref.wav2vec2.config import KINDS, Config
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED, expected_shapes, parameter_count

CASES = max(300, int(os.environ.get("XLSR_REF_FUZZ", "300")))  # mutated files; a long run: XLSR_REF_FUZZ=5000


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
    of_layers = ".conv.weight" if not BLOCKS else ".weight"  # all matrices, where they are packed
    ends = (of_layers, "original1", "weight_v")
    derived_from = [name for name in flat if name.endswith(ends) and flat[name].ndim > 1]
    assert report.prepared_bytes == sum(flat[name].nbytes for name in derived_from)


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


def test_shards_load_as_one(tmp_path):
    flat = weights()
    sharded(tmp_path, flat)
    params, report = load_params(tmp_path, TINY)
    for name, array in flatten(params).items():
        np.testing.assert_array_equal(array, flat[name], strict=True)
    assert report.files == ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert report.tensors == len(flat)


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
    config, convert = Config.from_folder(folder), load_params_module.to_float

    def touching(array, dtype):
        os.utime(folder / "model.safetensors", (1, 1))
        return convert(array, dtype)

    monkeypatch.setattr(load_params_module, "to_float", touching)
    with pytest.raises(WeightsError, match=r"model\.safetensors has changed while it was read: load it again"):
        load_params(folder, config)


def test_too_little_memory_names_the_tensor(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(load_params_module, "to_float", full)
    with pytest.raises(MemoryError, match=r"the tensor \S+, [\d,]+ bytes as float32"):
        load_params(BUNDLED, Config.from_folder(BUNDLED))
