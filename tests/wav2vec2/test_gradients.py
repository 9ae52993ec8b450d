"""The composed backward passes against finite differences in float64, both families."""

import dataclasses

import numpy as np
import pytest

from xlsr_ref.heads.ctc import ctc_head, ctc_head_backward
from xlsr_ref.ops.feature_projection import feature_projection, feature_projection_backward
from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward
from xlsr_ref.ops.tree import nest
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.block import (
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.encoder import encoder, encoder_backward
from xlsr_ref.wav2vec2.feature_encoder import feature_encoder, feature_encoder_backward
from xlsr_ref.wav2vec2.masks import BlockMasks, draw_encoder_masks
from xlsr_ref.wav2vec2.positional import positional, positional_backward
from xlsr_ref.wav2vec2.shapes import expected_shapes

SIZES = {
    "model_type": "wav2vec2",
    "hidden_size": 6,
    "num_attention_heads": 3,
    "intermediate_size": 10,
    "num_hidden_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "conv_dim": [4, 3, 5],
    "conv_kernel": [5, 3, 2],
    "conv_stride": [3, 2, 1],
    "conv_bias": True,
    "layer_norm_eps": 1e-3,
    "vocab_size": 7,
}
EPS, HEADS = 1e-3, 3
HEAVY = {"hidden_dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3, "layerdrop": 0.0}


@pytest.fixture
def p(rng):
    shapes = expected_shapes(config(True, "layer"), "Wav2Vec2ForCTC", "")
    return nest({name: rng.standard_normal(shape) for name, shape in shapes.items() if name != "masked_spec_embed"})


def config(pre_norm, norm):
    return Config.from_dict(SIZES | {"do_stable_layer_norm": pre_norm, "feat_extract_norm": norm})


def encoder_masks(rng, c, dropped_layer=None):
    """What the encoder drops of nine frames: something everywhere, and all of one layer."""
    drop = draw_encoder_masks(rng, 9, dataclasses.replace(c, **HEAVY), np.float64)
    return drop._replace(blocks=tuple(None if i == dropped_layer else block for i, block in enumerate(drop.blocks)))


def block_masks(rng, dropping):
    """What one block of nine frames drops."""
    if not dropping:
        return BlockMasks()
    return encoder_masks(rng, config(True, "layer")).blocks[0]


def hold(comparison, zero=("k_proj.bias",)):
    """``zero``: whose true gradient is exactly 0, so that it is judged absolutely."""
    for row in comparison.rows:
        assert (row.absolute if row.name.endswith(tuple(zero)) else row.relative) < 1e-6, f"\n{comparison}"
    assert not comparison.missing
    assert not comparison.extra


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_feature_encoder(rng, p, norm):
    c = config(True, norm)
    p = p["feature_extractor"]
    if norm == "group":
        p = {
            "conv_layers": {i: layer if i == "0" else {"conv": layer["conv"]} for i, layer in p["conv_layers"].items()}
        }
    forward = lambda x, p: feature_encoder(x, p, c, keep=True)  # noqa: E731
    features, stages = forward(rng.standard_normal(80), p)
    assert feature_encoder_backward(features, stages)[0].shape == (80,)
    zero = ("conv_layers.0.conv.bias",) if norm == "group" else ()  # group norm takes out any shift of a channel
    hold(check.gradient(forward, feature_encoder_backward, rng.standard_normal(80), p, rng=rng), zero)


def test_feature_projection(rng, p):
    forward = lambda x, p: feature_projection(x, p, EPS)  # noqa: E731
    x = rng.standard_normal((9, 5))
    hold(check.gradient(forward, feature_projection_backward, x, p["feature_projection"], rng=rng))


def test_positional(rng, p):
    forward = lambda x, p: positional(x, p, 2)  # noqa: E731
    x = rng.standard_normal((9, 6))
    hold(check.gradient(forward, positional_backward, x, p["encoder"]["pos_conv_embed"], rng=rng))


@pytest.mark.parametrize("dropping", [True, False])
def test_feed_forward(rng, p, dropping):
    drop, layer = block_masks(rng, dropping), p["encoder"]["layers"]["0"]["feed_forward"]
    forward = lambda x, p: feed_forward(x, p, drop.active)  # noqa: E731
    hold(check.gradient(forward, feed_forward_backward, rng.standard_normal((9, 6)), layer, rng=rng))


@pytest.mark.parametrize(
    ("block", "backward"), [(pre_norm_block, pre_norm_block_backward), (post_norm_block, post_norm_block_backward)]
)
@pytest.mark.parametrize("dropping", [True, False])
def test_block(rng, p, block, backward, dropping):
    drop, layer = block_masks(rng, dropping), p["encoder"]["layers"]["0"]
    forward = lambda x, p: block(x, p, HEADS, EPS, drop)  # noqa: E731
    hold(check.gradient(forward, backward, rng.standard_normal((9, 6)), layer, rng=rng, entries=40))


@pytest.mark.parametrize("pre_norm", [True, False])  # other values of keep: test_checkpoints_change_no_bit
def test_encoder(rng, p, pre_norm):
    c, x = config(pre_norm, "layer"), rng.standard_normal((9, 6))
    forward = lambda x, p: encoder(x, p, c, True)  # noqa: E731
    backward = lambda dy, cache: encoder_backward(dy, cache, p["encoder"], c)  # noqa: E731
    hold(check.gradient(forward, backward, x, p["encoder"], rng=rng, entries=20))


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("dropped_layer", [None, 0, 1])
def test_encoder_with_dropout(rng, p, pre_norm, dropped_layer):
    c, x = config(pre_norm, "layer"), rng.standard_normal((9, 6))
    drop = encoder_masks(rng, c, dropped_layer)
    forward = lambda x, p: encoder(x, p, c, True, drop)  # noqa: E731
    backward = lambda dy, cache: encoder_backward(dy, cache, p["encoder"], c)  # noqa: E731
    comparison = check.gradient(forward, backward, x, p["encoder"], rng=rng, entries=12)
    hold(comparison)
    gone = [row for row in comparison.rows if row.name.startswith(f"p.layers.{dropped_layer}.")]
    assert len(gone) == (0 if dropped_layer is None else 16)
    assert all(row.absolute == 0 for row in gone)
    with_all = encoder(x, p["encoder"], c)[0]
    assert np.abs(encoder(x, p["encoder"], c, masks=drop)[0] - with_all).max() > 0.01


def test_what_is_drawn(rng):
    c = dataclasses.replace(config(True, "layer"), num_hidden_layers=400, **HEAVY | {"layerdrop": 0.25})
    drop = draw_encoder_masks(rng, 9, c, np.float32)
    assert 0.15 < sum(block is None for block in drop.blocks) / 400 < 0.35  # 0.25, four standard deviations
    block = next(block for block in drop.blocks if block is not None)
    assert [factor.shape for factor in block] == [(3, 9, 9), (9, 6), (9, 10), (9, 6)]
    assert {factor.dtype for factor in block} == {np.dtype(np.float32)}
    none = draw_encoder_masks(rng, 9, dataclasses.replace(c, **dict.fromkeys((*HEAVY, "layerdrop"), 0.0)), np.float32)
    assert none.entering is None
    assert set(none.blocks) == {BlockMasks()}


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize(("dropping", "dropped_layer"), [(False, None), (True, None), (True, 0), (True, 1)])
def test_checkpoints_change_no_bit(rng, p, pre_norm, dropping, dropped_layer):
    c, x, dy = config(pre_norm, "layer"), rng.standard_normal((9, 6)), rng.standard_normal((9, 6))
    drop = encoder_masks(rng, c, dropped_layer) if dropping else None
    results = []
    for keep in (True, "checkpoints"):
        context, cache = encoder(x, p["encoder"], c, keep, drop)
        assert (cache.blocks[0] is None) == (keep == "checkpoints" or dropped_layer == 0)
        results.append((context, *encoder_backward(dy, cache, p["encoder"], c)))
    for context, dx, grads in results[1:]:
        np.testing.assert_array_equal(context, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
        assert check.compare(grads, results[0][2]).worst == 0


def test_ctc_head(rng, p):
    hold(check.gradient(ctc_head, ctc_head_backward, rng.standard_normal((9, 6)), {"lm_head": p["lm_head"]}, rng=rng))
