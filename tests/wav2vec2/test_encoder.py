"""The order of norms and sums, in both families, against the equations of the modules' docstrings."""

import numpy as np
import pytest

from xlsr_ref.heads.ctc import ctc_head
from xlsr_ref.ops.activation import gelu
from xlsr_ref.ops.attention import attention
from xlsr_ref.ops.feature_projection import feature_projection
from xlsr_ref.ops.feed_forward import feed_forward
from xlsr_ref.ops.grouped_conv import grouped_conv1d
from xlsr_ref.ops.norm import layer_norm
from xlsr_ref.ops.weight_norm import weight_norm
from xlsr_ref.wav2vec2.block import post_norm_block, pre_norm_block
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.encoder import encoder

T, C, F, HEADS, EPS = 9, 6, 10, 3, 1e-3


def affine(rng, *shape):
    return {"weight": rng.standard_normal(shape), "bias": rng.standard_normal(shape[0])}


def block_parameters(rng):
    return {
        "attention": {f"{name}_proj": affine(rng, C, C) for name in ("q", "k", "v", "out")},
        "layer_norm": affine(rng, C),
        "feed_forward": {"intermediate_dense": affine(rng, F, C), "output_dense": affine(rng, C, F)},
        "final_layer_norm": affine(rng, C),
    }


@pytest.fixture
def p(rng):
    conv = {
        "weight_g": rng.standard_normal((1, 1, 4)),
        "weight_v": rng.standard_normal((C, 3, 4)),
        "bias": rng.standard_normal(C),
    }
    layers = {str(i): block_parameters(rng) for i in range(2)}
    return {"pos_conv_embed": {"conv": conv}, "layers": layers, "layer_norm": affine(rng, C)}


def config(pre_norm):
    sizes = {"hidden_size": C, "num_attention_heads": HEADS, "intermediate_size": F, "num_hidden_layers": 2}
    position = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    rest = {"model_type": "wav2vec2", "do_stable_layer_norm": pre_norm, "layer_norm_eps": EPS}
    return Config.from_dict(sizes | position | rest)


def norm(x, p):
    return layer_norm(x, p, EPS)[0]


def pre_norm_equation(x, p):
    x = x + attention(norm(x, p["layer_norm"]), p["attention"], HEADS)[0]
    return x + feed_forward(norm(x, p["final_layer_norm"]), p["feed_forward"])[0]


def post_norm_equation(x, p):
    x = norm(x + attention(x, p["attention"], HEADS)[0], p["layer_norm"])
    return norm(x + feed_forward(x, p["feed_forward"])[0], p["final_layer_norm"])


@pytest.mark.parametrize(
    ("block", "equation"), [(pre_norm_block, pre_norm_equation), (post_norm_block, post_norm_equation)]
)
def test_a_block_is_its_equation(rng, block, equation):
    x, parameters = rng.standard_normal((T, C)), block_parameters(rng)
    before = x.copy()
    y, _ = block(x, parameters, HEADS, EPS)
    np.testing.assert_allclose(y, equation(x, parameters), atol=1e-13)
    np.testing.assert_array_equal(x, before)  # what is written over is never the caller's


@pytest.mark.parametrize("pre_norm", [True, False])
def test_the_encoder_is_its_equation(rng, p, pre_norm):
    x = rng.standard_normal((T, C))
    conv = p["pos_conv_embed"]["conv"]
    expected = x + gelu(grouped_conv1d(x, weight_norm(conv)[0], conv["bias"], 2)[0])[0]
    states = [expected] if pre_norm else [norm(expected, p["layer_norm"])]
    for i in range(2):
        states.append((pre_norm_equation if pre_norm else post_norm_equation)(states[-1], p["layers"][str(i)]))
    last = norm(states[-1], p["layer_norm"]) if pre_norm else states[-1]
    context, cache = encoder(x, p, config(pre_norm), keep=True)
    np.testing.assert_allclose(context, last, atol=1e-12)
    for ours, theirs in zip(cache.states, states, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_two_orders_differ(rng, p):
    x = rng.standard_normal((T, C))
    assert np.abs(encoder(x, p, config(True))[0] - encoder(x, p, config(False))[0]).max() > 0.1


@pytest.mark.parametrize("keep", [False, "states", "outputs", "checkpoints", True])
def test_what_is_kept(rng, p, keep):
    x = rng.standard_normal((T, C))
    context, cache = encoder(x, p, config(True), keep=keep)
    np.testing.assert_array_equal(context, encoder(x, p, config(True))[0])
    assert len(cache.states) == (0 if keep is False else 3)
    assert (cache.position is None) == (keep in (False, "states"))
    assert (cache.layer_norm is None) == (keep not in ("checkpoints", True))
    assert (cache.blocks[1] is None) == (keep is not True)


def test_projection_and_head(rng):
    features = rng.standard_normal((T, 4))
    p = {"layer_norm": affine(rng, 4), "projection": affine(rng, C, 4)}
    x, cache = feature_projection(features, p, EPS)
    normed = norm(features, p["layer_norm"])
    np.testing.assert_allclose(x, normed @ p["projection"]["weight"].T + p["projection"]["bias"], atol=1e-13)
    np.testing.assert_array_equal(cache.projection.x, normed)
    head = affine(rng, 5, C)
    np.testing.assert_allclose(ctc_head(x, {"lm_head": head})[0], x @ head["weight"].T + head["bias"], atol=1e-13)
