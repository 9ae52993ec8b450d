"""The Transformer block: attention mixes frames, the feed-forward mixes channels, and each adds to what came in.

    pre-norm (XLSR):             x ← x + attention(norm(x))       x ← x + feed_forward(final_norm(x))
    post-norm (wav2vec2-base):   x ← norm(x + attention(x))       x ← final_norm(x + feed_forward(x))
    feed_forward(x) = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂

The config calls pre-norm `do_stable_layer_norm`. Both have the same parameters: only the order differs, and taking the
wrong one loads without complaint. Where: wav2vec 2.0 §2; Xiong et al. 2020 on the two orders.
Checkpoint: `encoder.layers.{0…}.{attention, layer_norm, feed_forward.{intermediate,output}_dense, final_layer_norm}`.
Letters: T frames, C channels (`hidden_size`), F channels of the feed-forward (`intermediate_size`), H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.activation import GeluCache, gelu
from xlsr_ref.ops.attention import AttentionCache, attention
from xlsr_ref.ops.linear import LinearCache, linear
from xlsr_ref.ops.norm import LayerNormCache, layer_norm


class FeedForwardCache(NamedTuple):
    intermediate_dense: LinearCache
    activation: GeluCache
    output_dense: LinearCache


class BlockCache(NamedTuple):
    layer_norm: LayerNormCache
    attention: AttentionCache
    final_layer_norm: LayerNormCache
    feed_forward: FeedForwardCache


def feed_forward(x: np.ndarray, p: dict) -> tuple[np.ndarray, FeedForwardCache]:
    """``x`` (T, C) through F channels and back: (T, C)."""
    wide, wide_cache = linear(x, p["intermediate_dense"])  # (T, F)
    active, gelu_cache = gelu(wide)
    y, output_cache = linear(active, p["output_dense"])
    return y, FeedForwardCache(wide_cache, gelu_cache, output_cache)


def pre_norm_block(
    x: np.ndarray, p: dict, heads: int, eps: float, keep_weights: bool = False
) -> tuple[np.ndarray, BlockCache]:
    """``x`` (T, C) through a block that normalises what enters each half: (T, C)."""
    normed, norm_cache = layer_norm(x, p["layer_norm"], eps)
    attended, attention_cache = attention(normed, p["attention"], heads, keep_weights)
    between = x + attended
    normed_again, final_norm_cache = layer_norm(between, p["final_layer_norm"], eps)
    transformed, feed_forward_cache = feed_forward(normed_again, p["feed_forward"])
    y = between + transformed
    return y, BlockCache(norm_cache, attention_cache, final_norm_cache, feed_forward_cache)


def post_norm_block(
    x: np.ndarray, p: dict, heads: int, eps: float, keep_weights: bool = False
) -> tuple[np.ndarray, BlockCache]:
    """``x`` (T, C) through a block that normalises what leaves each half: (T, C)."""
    attended, attention_cache = attention(x, p["attention"], heads, keep_weights)
    between, norm_cache = layer_norm(x + attended, p["layer_norm"], eps)
    transformed, feed_forward_cache = feed_forward(between, p["feed_forward"])
    y, final_norm_cache = layer_norm(between + transformed, p["final_layer_norm"], eps)
    return y, BlockCache(norm_cache, attention_cache, final_norm_cache, feed_forward_cache)
