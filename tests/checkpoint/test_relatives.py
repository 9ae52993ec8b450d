"""Checkpoints whose names differ a little: fairseq's MMS adapters, Lightning's "model.", HuBERT and its like."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import xlsr_ref
from xlsr_ref.checkpoint import infer, names
from xlsr_ref.checkpoint.convert import convert
from xlsr_ref.checkpoint.fairseq import ADAPTERS

GOLDEN = Path(__file__).parents[1] / "golden"
ASKED = {"num_attention_heads": 3, "do_stable_layer_norm": True, "conv_stride": [6, 5, 4], "pad_token_id": 0,
         "layer_norm_eps": 1e-3}  # fmt: skip
SOUND = np.random.default_rng(3).standard_normal(6000).astype(np.float32)


def logits(folder) -> np.ndarray:
    return xlsr_ref.load(folder).forward(SOUND, 16000, keep=False)[0]


def of_fairseq(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a model with adapters as fairseq's MMS checkpoints have them: those of a language stacked."""
    flat = {name.removeprefix("wav2vec2."): array for name, array in load_file(path).items()}
    plain = [name for name in flat if ".adapter_layer." not in name]
    renamed = {theirs: flat[ours] for ours, theirs in names.to_scheme(plain, "fairseq", "Wav2Vec2ForCTC").items()}
    parts = {ours: theirs for theirs, ours in ADAPTERS.items()}
    for name in flat.keys() - plain:
        stem, _, part = name.partition("adapter_layer.")
        renamed[f"w2v_encoder.w2v_model.{stem}adapter_layer.{parts[part]}"] = flat[name][None]
    return renamed


def test_the_adapters_of_fairseqs_mms(tmp_path, refused):
    flat = of_fairseq(GOLDEN / "heads" / "languages" / "model.safetensors")
    save_file(flat, tmp_path / "mms.safetensors")
    convert(tmp_path / "mms.safetensors", tmp_path / "folder", settings=ASKED)
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["adapter_attn_dim"] == 5
    np.testing.assert_array_equal(logits(tmp_path / "folder"), logits(GOLDEN / "heads" / "languages"))
    said = refused(convert, tmp_path / "folder", tmp_path / "back", to="fairseq")
    assert said.startswith("fairseq has no names for")
    flat = {name: np.repeat(array, 2, axis=0) if name.endswith("W_a") else array for name, array in flat.items()}
    save_file(flat, tmp_path / "two.safetensors")
    assert "only one language can be read" in refused(
        convert, tmp_path / "two.safetensors", tmp_path / "x", settings=ASKED
    )


@pytest.mark.parametrize(("golden", "asked"), [("heads/languages", ASKED), ("bert/text", None)])
def test_the_prefix_of_lightning(tmp_path, golden, asked):
    flat = {f"model.{name}": array for name, array in load_file(GOLDEN / golden / "model.safetensors").items()}
    save_file(flat, tmp_path / "epoch=3.safetensors")
    asked = asked or {"left_max_position_embeddings": 4, "right_max_position_embeddings": 2, "pad_token_id": 0}
    convert(tmp_path / "epoch=3.safetensors", tmp_path / "folder", settings=asked)
    found, wanted = (load_file(path / "model.safetensors") for path in (tmp_path / "folder", GOLDEN / golden))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("family", ["Hubert", "UniSpeech", "UniSpeechSat"])
def test_a_relative_converts_under_its_own_names(tmp_path, family):
    """The golden of wav2vec 2.0 is a relative's, once its names are."""
    base, folder = names.BASES[family], tmp_path / "model"
    folder.mkdir()
    flat = load_file(GOLDEN / "xlsr" / "model.safetensors")
    save_file({name.replace("wav2vec2.", base): array for name, array in flat.items()}, folder / "model.safetensors")
    config = json.loads((GOLDEN / "xlsr" / "config.json").read_text())
    config |= {"model_type": infer.FAMILIES[family], "architectures": [f"{family}ForCTC"]}
    (folder / "config.json").write_text(json.dumps(config))
    np.testing.assert_array_equal(logits(folder), logits(GOLDEN / "xlsr"))
    convert(folder, tmp_path / "half", dtype="float16")
    assert all(name.startswith((base, "lm_head")) for name in load_file(tmp_path / "half" / "model.safetensors"))
    assert xlsr_ref.load(tmp_path / "half").report.kind == f"{family}ForCTC"


def test_an_x_vectors_linear_keeps_its_name():
    """It is called as the feature encoder is, without the network's name before it."""
    renamed = names.to_scheme(["feature_extractor.weight", "feature_extractor.conv_layers.0.conv.weight"], "hf",
                              "Wav2Vec2ForXVector")  # fmt: skip
    assert list(renamed.values()) == [
        "feature_extractor.weight",
        "wav2vec2.feature_extractor.conv_layers.0.conv.weight",
    ]


@pytest.mark.parametrize(("golden", "asked"), [
    ("xlsr", {"do_stable_layer_norm": True}),
    ("base", {"do_stable_layer_norm": False}),
])  # fmt: skip
def test_the_names_of_fairseq2(tmp_path, golden, asked):
    """Omnilingual ASR's checkpoints: the network is XLSR's, its blank the first piece of a SentencePiece vocabulary."""
    theirs = {ours: theirs for theirs, ours in names.FAIRSEQ2.items() if "group_norm" not in theirs or golden == "base"}
    flat = {}
    for name, array in load_file(GOLDEN / golden / "model.safetensors").items():
        module, number, leaf = names._parts(name.removeprefix("wav2vec2."))
        flat[theirs[module].replace("{i}", number) + leaf] = array
    save_file(flat, tmp_path / "omni.safetensors")
    config = json.loads((GOLDEN / golden / "config.json").read_text())
    asked = asked | {name: config[name] for name in ("num_attention_heads", "conv_stride", "layer_norm_eps")}
    convert(tmp_path / "omni.safetensors", tmp_path / "folder", settings=asked)
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["pad_token_id"] == 0
    np.testing.assert_array_equal(logits(tmp_path / "folder"), logits(GOLDEN / golden))


def test_a_pretrained_model_of_fairseq2_has_no_lm_head():
    found = names.canonical(["final_proj.weight", "quantizer.entries", "final_target_proj.bias",
                             "encoder_frontend.model_dim_proj.bias"])  # fmt: skip
    assert list(found.values()) == ["project_hid.weight", "quantizer.codevectors", "project_q.bias",
                                    "feature_projection.projection.bias"]  # fmt: skip
