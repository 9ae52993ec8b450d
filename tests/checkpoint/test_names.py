"""Names of three toolkits, against those of the golden models."""

from __future__ import annotations

import pytest
from golden_shapes import MODELS, shapes_of

from xlsr_ref.checkpoint.names import canonical, scheme_of, to_scheme


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
