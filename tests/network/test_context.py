"""The order of norms and sums, in both families, against the equations of the rooms' docstrings."""

import numpy as np
import pytest

from xlsr_ref.config import Config
from xlsr_ref.network.block import ROWS, BlockDropout, feed_forward, post_norm_block, pre_norm_block
from xlsr_ref.network.context import encoder, feature_projection, hidden_states
from xlsr_ref.network.heads import ctc_head
from xlsr_ref.network.positional import positional
from xlsr_ref.ops.activation import gelu
from xlsr_ref.ops.attention import attention
from xlsr_ref.ops.conv import grouped_conv1d, weight_norm
from xlsr_ref.ops.norm import layer_norm
from xlsr_ref.params import flatten, nest

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
    y, cache = block(x, parameters, HEADS, EPS)
    np.testing.assert_allclose(y, equation(x, parameters), atol=1e-13)
    assert cache.attention.heads.weights is None
    assert block(x, parameters, HEADS, EPS, keep="attention")[1].attention.heads.weights.shape == (HEADS, T, T)


@pytest.mark.parametrize("block", [pre_norm_block, post_norm_block])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_block_keeps_changes_no_bit(rng, block, dtype):
    parameters = nest({name: array.astype(dtype) for name, array in flatten(block_parameters(rng)).items()})
    x = rng.standard_normal((300, C)).astype(dtype)  # two blocks of queries
    before = x.copy()
    y, _ = block(x, parameters, HEADS, EPS)
    np.testing.assert_array_equal(block(x, parameters, HEADS, EPS, keep="attention")[0], y)
    plain, cache = block(x, parameters, HEADS, EPS, keep=False)
    np.testing.assert_array_equal(plain, y)
    assert cache is None
    np.testing.assert_array_equal(x, before)  # what is written over is never the caller's


def test_long_recordings_go_through_the_feed_forward_in_blocks_of_rows(rng):
    p, x = block_parameters(rng)["feed_forward"], rng.standard_normal((2 * ROWS + 5, C))
    active, transformed = rng.random((len(x), F)), rng.random((len(x), C))
    drop = BlockDropout(active=active, transformed=transformed)
    wide = gelu(x @ p["intermediate_dense"]["weight"].T + p["intermediate_dense"]["bias"])[0] * active
    y, cache = feed_forward(x, p, drop)
    expected = (wide @ p["output_dense"]["weight"].T + p["output_dense"]["bias"]) * transformed
    np.testing.assert_allclose(y, expected, atol=1e-13)
    np.testing.assert_allclose(cache.output_dense.x, wide, atol=1e-13)
    np.testing.assert_array_equal(cache.intermediate_dense.x, x)
    np.testing.assert_array_equal(cache.dropout.factor, transformed)
    assert cache.output_dense.weight is p["output_dense"]["weight"]
    plain, nothing = feed_forward(x, p, drop, keep=False)
    np.testing.assert_array_equal(plain, y)
    assert nothing is None


def test_feed_forward_is_its_equation(rng):
    p, x = block_parameters(rng)["feed_forward"], rng.standard_normal((T, C))
    wide = gelu(x @ p["intermediate_dense"]["weight"].T + p["intermediate_dense"]["bias"])[0]
    y, cache = feed_forward(x, p)
    np.testing.assert_allclose(y, wide @ p["output_dense"]["weight"].T + p["output_dense"]["bias"], atol=1e-13)
    np.testing.assert_allclose(cache.output_dense.x, wide, atol=1e-13)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_the_encoder_is_its_equation(rng, p, pre_norm):
    x = rng.standard_normal((T, C))
    conv = p["pos_conv_embed"]["conv"]
    expected = x + gelu(grouped_conv1d(x, weight_norm(conv)[0], conv["bias"], 2)[0])[0]
    states = [expected] if pre_norm else [norm(expected, p["layer_norm"])]
    for i in range(2):
        states.append((pre_norm_equation if pre_norm else post_norm_equation)(states[-1], p["layers"][str(i)]))
    last = norm(states[-1], p["layer_norm"]) if pre_norm else states[-1]
    context, stages = encoder(x, p, config(pre_norm), keep=True)
    np.testing.assert_allclose(context, last, atol=1e-12)
    for ours, theirs in zip(hidden_states(x, stages, config(pre_norm)), states, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert set(stages) == {"pos_conv_embed", "layers.0", "layers.1", "layer_norm"}


def test_the_two_orders_differ(rng, p):
    x = rng.standard_normal((T, C))
    assert np.abs(encoder(x, p, config(True))[0] - encoder(x, p, config(False))[0]).max() > 0.1


@pytest.mark.parametrize("keep", [False, "outputs", True, "attention"])
def test_what_is_kept(rng, p, keep):
    x = rng.standard_normal((T, C))
    context, stages = encoder(x, p, config(True), keep=keep)
    np.testing.assert_array_equal(context, encoder(x, p, config(True))[0])
    if keep is False:
        assert stages == {}
        return
    cache = stages["layers.1"].cache
    assert (cache is None) == (keep == "outputs")
    if cache is not None:
        assert (cache.attention.heads.weights is None) == (keep is True)


def test_a_prepared_kernel_changes_no_bit(rng, p):
    x, embed = rng.standard_normal((T, C)), p["pos_conv_embed"]
    plain, prepared = (positional(x, embed, 2, kernel)[0] for kernel in (None, weight_norm(embed["conv"])))
    np.testing.assert_array_equal(plain, prepared)


def test_projection_and_head(rng):
    features = rng.standard_normal((T, 4))
    p = {"layer_norm": affine(rng, 4), "projection": affine(rng, C, 4)}
    x, cache = feature_projection(features, p, EPS)
    normed = norm(features, p["layer_norm"])
    np.testing.assert_allclose(x, normed @ p["projection"]["weight"].T + p["projection"]["bias"], atol=1e-13)
    np.testing.assert_array_equal(cache.projection.x, normed)
    head = affine(rng, 5, C)
    np.testing.assert_allclose(ctc_head(x, head)[0], x @ head["weight"].T + head["bias"], atol=1e-13)
