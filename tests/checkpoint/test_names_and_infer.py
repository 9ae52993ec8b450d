"""Names of three toolkits, and what shapes tell: against the golden models, whose configs are known."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors import safe_open

from xlsr_ref.checkpoint import infer
from xlsr_ref.checkpoint.names import canonical, scheme_of, to_scheme

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = {"xlsr": "Wav2Vec2ForCTC", "base": "Wav2Vec2ForCTC", "odd": "Wav2Vec2ForCTC", "bare": "Wav2Vec2Model"}


def shapes_of(model: str) -> dict[str, tuple[int, ...]]:
    with safe_open(GOLDEN / model / "model.safetensors", "np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scheme", ["hf", "fairseq", "torchaudio"])
def test_there_and_back(model, scheme):
    names = list(shapes_of(model))
    ours = canonical(names)
    theirs = to_scheme(ours.values(), scheme, MODELS[model], group_norm=model in ("base", "odd"))
    assert scheme_of(theirs.values()) == scheme
    back = canonical(theirs.values())
    assert all(back[there] == here for here, there in theirs.items())
    lost = set(ours.values()) - set(theirs)
    assert lost == ({"masked_spec_embed"} if scheme == "torchaudio" else set())
    if scheme == "hf":
        assert theirs == {ours[name]: name for name in names}


KNOWN = [  # transformers, fairseq (fine-tuned), torchaudio; as their own files have them
    ("lm_head.weight", "w2v_encoder.proj.weight", "aux.weight"),
    ("masked_spec_embed", "w2v_encoder.w2v_model.mask_emb", None),
    (
        "wav2vec2.feature_extractor.conv_layers.3.conv.weight",
        "w2v_encoder.w2v_model.feature_extractor.conv_layers.3.0.weight",
        "feature_extractor.conv_layers.3.conv.weight",
    ),
    (
        "wav2vec2.feature_extractor.conv_layers.3.layer_norm.bias",
        "w2v_encoder.w2v_model.feature_extractor.conv_layers.3.2.1.bias",
        "feature_extractor.conv_layers.3.layer_norm.bias",
    ),
    (
        "wav2vec2.feature_projection.projection.weight",
        "w2v_encoder.w2v_model.post_extract_proj.weight",
        "encoder.feature_projection.projection.weight",
    ),
    (
        "wav2vec2.encoder.layers.11.final_layer_norm.weight",
        "w2v_encoder.w2v_model.encoder.layers.11.final_layer_norm.weight",
        "encoder.transformer.layers.11.final_layer_norm.weight",
    ),
    (
        "wav2vec2.encoder.layers.0.layer_norm.weight",
        "w2v_encoder.w2v_model.encoder.layers.0.self_attn_layer_norm.weight",
        "encoder.transformer.layers.0.layer_norm.weight",
    ),
    (
        "wav2vec2.encoder.layers.0.feed_forward.output_dense.bias",
        "w2v_encoder.w2v_model.encoder.layers.0.fc2.bias",
        "encoder.transformer.layers.0.feed_forward.output_dense.bias",
    ),
    (
        "wav2vec2.encoder.pos_conv_embed.conv.weight_g",
        "w2v_encoder.w2v_model.encoder.pos_conv.0.weight_g",
        "encoder.transformer.pos_conv_embed.conv.weight_g",
    ),
    ("wav2vec2.encoder.layer_norm.weight", "w2v_encoder.w2v_model.encoder.layer_norm.weight", None),
    ("wav2vec2.feature_projection.layer_norm.weight", "w2v_encoder.w2v_model.layer_norm.weight", None),
]


@pytest.mark.parametrize(("hf", "fairseq", "torchaudio"), KNOWN)
def test_known_names(hf, fairseq, torchaudio):
    ours = hf.removeprefix("wav2vec2.")
    assert canonical([fairseq], "fairseq") == {fairseq: ours}
    assert to_scheme([ours], "fairseq", "Wav2Vec2ForCTC") == {ours: fairseq}
    if torchaudio is not None:
        assert canonical([torchaudio], "torchaudio") == {torchaudio: ours}
        assert to_scheme([ours], "torchaudio", "Wav2Vec2ForCTC") == {ours: torchaudio}


def test_pretrained_names():
    pairs = {"quantizer.vars": "quantizer.codevectors", "final_proj.weight": "project_hid.weight"}
    pairs |= {"project_q.bias": "project_q.bias"}
    assert canonical([*pairs, "mask_emb"], "fairseq") == pairs | {"mask_emb": "masked_spec_embed"}
    assert canonical(["encoder.readout.weight"], "torchaudio") == {"encoder.readout.weight": "lm_head.weight"}


def test_names_that_are_not_known_are_refused(refused):
    names = ["mask_emb", "encoder.layers.0.fc1.weight", "encoder.layers.0.gate.weight"]
    assert "encoder.layers.0.gate.weight" in refused(canonical, names)
    assert "another network" in refused(scheme_of, ["a.weight", "b.weight"])
    assert "would be called" in refused(canonical, ["wav2vec2.masked_spec_embed", "masked_spec_embed"])
    assert "no names for" in refused(to_scheme, ["projector.weight"], "fairseq", "Wav2Vec2ForCTC")


# --- what shapes tell ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_config_follows_from_the_shapes(model):
    config = json.loads((GOLDEN / model / "config.json").read_text())
    shapes = {name.removeprefix("wav2vec2."): shape for name, shape in shapes_of(model).items()}
    found = infer.config_of(shapes)
    assert {field: config[field] for field in found} == found
    determined = {"conv_dim", "conv_kernel", "conv_bias", "feat_extract_norm", "hidden_size", "num_hidden_layers"}
    determined |= {"intermediate_size", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "architectures"}
    assert determined <= found.keys()
    assert infer.contradictions(config, shapes, "config.json") == []
    wrong = config | {"num_hidden_layers": 9}
    assert "num_hidden_layers=9, but" in infer.contradictions(wrong, shapes, "config.json")[0]


def test_the_quantizer_tells_groups_and_entries():
    shapes = {name.removeprefix("wav2vec2."): shape for name, shape in shapes_of("bare").items()}
    shapes |= {"quantizer.codevectors": (1, 640, 384), "quantizer.weight_proj.weight": (640, 6)}
    shapes |= {"project_q.weight": (100, 768), "project_hid.weight": (100, 18)}
    found = infer.config_of(shapes)
    assert found["architectures"] == ["Wav2Vec2ForPreTraining"]
    assert (found["num_codevector_groups"], found["num_codevectors_per_group"]) == (2, 320)
    assert (found["codevector_dim"], found["proj_codevector_dim"]) == (768, 100)


@pytest.mark.parametrize(
    ("more", "kind"),
    [({"lm_head.weight": (5, 18)}, "Wav2Vec2ForCTC"), ({}, "Wav2Vec2Model"),
     ({"projector.weight": (4, 18), "classifier.weight": (3, 4)}, "Wav2Vec2ForSequenceClassification"),
     ({"classifier.weight": (3, 18)}, "Wav2Vec2ForAudioFrameClassification"),
     ({"tdnn.0.kernel.weight": (3, 18), "classifier.weight": (3, 4)}, "Wav2Vec2ForXVector")],
)  # fmt: skip
def test_the_heads_tell_the_kind(more, kind):
    shapes = {name.removeprefix("wav2vec2."): shape for name, shape in shapes_of("bare").items()}
    assert infer.kind_of(shapes | more) == kind
    assert kind in infer.KINDS


def test_what_no_shape_tells_is_asked_for(refused):
    shapes = {name.removeprefix("wav2vec2."): shape for name, shape in shapes_of("xlsr").items()}
    config = infer.config_of(shapes)
    message = refused(infer.asked_for, config)
    for field in ("num_attention_heads", "do_stable_layer_norm=true", "conv_stride", "pad_token_id"):
        assert f"--set {field}" in message
    assert "5,2,2,2,2,2,2" in message
    told = {"num_attention_heads": 4, "do_stable_layer_norm": True, "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
    infer.asked_for(config | told | {"pad_token_id": 0})
    infer.check(config | told)
    wrong_heads = [{"num_attention_heads": heads} for heads in (5, "4", 0)]
    wrong_rest = [{"conv_stride": [5, 2]}, {"conv_stride": 5}, {"do_stable_layer_norm": 1}, {"pad_token_id": -1}]
    for wrong in wrong_heads + wrong_rest:
        refused(infer.check, config | told | wrong)


def test_shapes_that_are_no_whole_network(refused):
    shapes = {name.removeprefix("wav2vec2."): shape for name, shape in shapes_of("xlsr").items()}
    refused(infer.config_of, {})
    for name in shapes:
        without = {other: shape for other, shape in shapes.items() if other != name}
        flat = shapes | {name: (3,)}
        for odd in (without, flat, shapes | {name: (0, 0, 0)}, shapes | {name: ()}):
            with suppress(infer.WeightsError):  # nothing else may happen
                infer.config_of(odd)
