"""A backbone and its head: gradients under dropout for every kind of head, what is frozen, and what is not kept."""

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.model import network as home
from xlsr_ref.model.network import Network, require_kept
from xlsr_ref.ops import threads
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.masks import draw_masks
from xlsr_ref.wav2vec2.shapes import expected_shapes

SIZES = {
    "conv_dim": [4, 3, 5], "conv_kernel": [5, 3, 2], "conv_stride": [3, 2, 1], "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "hidden_size": 6, "num_attention_heads": 3, "intermediate_size": 10, "num_hidden_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "layer_norm_eps": 1e-3, "vocab_size": 7,
    "hidden_dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3, "feat_proj_dropout": 0.3,
    "final_dropout": 0.3, "layerdrop": 0.0, "classifier_proj_size": 5, "id2label": {0: "a", 1: "b", 2: "c"},
    "tdnn_dim": [4, 5], "tdnn_kernel": [3, 2], "tdnn_dilation": [1, 2], "xvector_output_dim": 6,
}  # fmt: skip
KINDS = {
    "Wav2Vec2ForCTC": "ctc",
    "Wav2Vec2ForSequenceClassification": "sequence classification",
    "Wav2Vec2ForAudioFrameClassification": "frame classification",
    "Wav2Vec2ForXVector": "xvector",
    "Wav2Vec2Model": None,
}


def network_of(rng, kind, **changes):
    config = Config.from_dict({"model_type": "wav2vec2", **SIZES, **changes})
    shapes = expected_shapes(config, kind)
    return Network(nest({name: rng.standard_normal(shape) for name, shape in shapes.items()}), config)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer_sum", [False, True])
def test_gradients_under_dropout_and_masks(rng, kind, layer_sum):
    """A classifier can be trained with dropout as well as a model that writes text."""
    network = network_of(rng, kind, use_weighted_layer_sum=layer_sum)
    assert network.head == KINDS[kind]
    x, c = rng.standard_normal(95), network.config
    T = c.frames(len(x))
    masks = draw_masks(rng, T, c, np.float64)._replace(frames=rng.random(T) < 0.3)

    def forward(x, p):
        return Network(p, c).forward(x, True, masks)

    def backward(dy, cache):
        return network.backward(dy, cache)

    used = {name: array for name, array in flatten(network.params).items() if name != "objective.weight"}
    with threads.use(1):
        y, _ = forward(x, network.params)
        plain, _ = network.forward(x)
        assert np.abs(y - plain).max() > 1e-3  # the masks do something
        network.params = nest(used)
        comparison = check.gradient(forward, backward, x, network.params, rng=rng, entries=3)
    for row in comparison.rows:
        assert (row.absolute if row.name.endswith("k_proj.bias") else row.relative) < 1e-6, f"\n{comparison}"
    assert not comparison.extra


def test_a_frozen_feature_encoder_has_no_gradient_and_changes_no_other(rng):
    network, x = network_of(rng, "Wav2Vec2ForCTC"), rng.standard_normal(95)
    y, cache = network.forward(x)
    frozen_y, frozen_cache = network.forward(x, freeze_feature_encoder=True)
    np.testing.assert_array_equal(frozen_y, y)
    dy = rng.standard_normal(y.shape)
    (dx, grads), (no_dx, frozen) = network.backward(dy, cache), network.backward(dy, frozen_cache)
    assert dx.shape == x.shape
    assert no_dx is None
    assert "feature_extractor" not in frozen["wav2vec2"]
    for name, grad in flatten(frozen).items():
        np.testing.assert_array_equal(grad, flatten(grads)[name])


def test_a_pass_that_kept_nothing_has_the_heads_gradient_alone(rng):
    network, x = network_of(rng, "Wav2Vec2ForCTC"), rng.standard_normal(95)
    y, cache = network.forward(x, keep=False)
    dx, grads = network.backward(np.ones_like(y), cache)
    assert dx is None
    assert grads.keys() == {"lm_head"}
    with pytest.raises(ObjectiveError, match="keep=True"):
        require_kept(cache)
    with pytest.raises(ObjectiveError, match="the gradient is"):
        network.backward(np.ones((1, 7)), cache)


def test_the_context_is_what_the_head_is_given(rng):
    network, x = network_of(rng, "Wav2Vec2ForCTC"), rng.standard_normal(95)
    logits, _ = network.forward(x, keep=False)
    head = network.params["lm_head"]
    np.testing.assert_allclose(network.context(x) @ head["weight"].T + head["bias"], logits, atol=1e-12)


def test_a_step_keeps_what_is_derived_of_small_models_only(monkeypatch):
    """Packed weights of a full-size model would take as much memory as the weights themselves."""
    params = {"a": {"weight": np.ones(8)}}
    assert not home.for_one_step(params)["a"]["weight"].flags.writeable
    monkeypatch.setattr(home, "KEPT", 63)
    assert home.for_one_step(params) is params
