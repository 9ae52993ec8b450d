"""What shapes tell of a config: against the golden models, whose configs are known."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from golden_shapes import GOLDEN, MODELS, shapes_of

from xlsr_ref.checkpoint import infer


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
    assert infer.task_of(kind) in infer.TASKS


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
