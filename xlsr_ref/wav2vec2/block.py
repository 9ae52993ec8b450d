"""The Transformer block: attention mixes frames, the feed-forward mixes channels, and each adds to what came in.

    pre-norm (XLSR):             x ← x + attention(norm(x))       x ← x + feed_forward(final_norm(x))
    post-norm (wav2vec2-base):   x ← norm(x + attention(x))       x ← final_norm(x + feed_forward(x))

Both halves are in ops: ops/attention.py and ops/feed_forward.py.
A multilingual model (MMS) ends each pre-norm block with a third part, the language's own: attention_adapter.py.
The config calls pre-norm `do_stable_layer_norm`. Both have the same parameters: only the order differs, and taking the
wrong one loads without complaint. Where: wav2vec 2.0 §2; Xiong et al. 2020 on the two orders.
Checkpoint: `encoder.layers.{0…}.{attention, layer_norm, feed_forward.{intermediate,output}_dense, final_layer_norm}`.
Letters: T frames, C channels (`hidden_size`), F inner channels of the feed-forward (`intermediate_size`), H heads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.attention import attention, attention_backward, attention_weights
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward
from xlsr_ref.ops.linear import linears
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward
from xlsr_ref.wav2vec2.attention_adapter import (
    AttentionAdapterCache,
    attention_adapter,
    attention_adapter_backward,
)
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.masks import NO_BLOCK_MASKS, BlockMasks


class BlockCache(NamedTuple):
    layer_norm: LayerNormCache
    attention: Any  # AttentionCache, or LongAttentionCache
    attended: DropoutCache
    final_layer_norm: LayerNormCache
    feed_forward: Any  # FeedForwardCache, or RowsCache of a long recording
    transformed: DropoutCache
    adapter_layer: AttentionAdapterCache | None = None  # only in pre-norm blocks that have one


def pre_norm_block(
    x: np.ndarray, p: dict, heads: int, eps: float, masks: BlockMasks = NO_BLOCK_MASKS
) -> tuple[np.ndarray, BlockCache]:
    """``x`` (T, C) through a block that normalises what enters each half: (T, C), and the cache."""
    normed, norm_cache = layer_norm(x, p["layer_norm"], eps)
    attended, attention_cache = attention(normed, p["attention"], heads, masks.weights)
    attended, attended_cache = dropout(attended, masks.attended)
    x = x + attended
    del attended  # its memory goes to the feed-forward
    normed, final_norm_cache = layer_norm(x, p["final_layer_norm"], eps)
    transformed, feed_forward_cache = feed_forward(normed, p["feed_forward"], masks.active)
    transformed, transformed_cache = dropout(transformed, masks.transformed)
    transformed += x  # x + …, in the memory of the second term, which nobody else has
    x = transformed
    adapter_cache = None
    if "adapter_layer" in p:
        of_the_language, adapter_cache = attention_adapter(x, p["adapter_layer"])
        x = x + of_the_language
    return x, BlockCache(
        norm_cache, attention_cache, attended_cache,
        final_norm_cache, feed_forward_cache, transformed_cache, adapter_cache,
    )  # fmt: skip


def pre_norm_block_backward(dy: np.ndarray, cache: BlockCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the block's parameters, from ``dy`` (T, C)."""
    adapter_grads: dict = {}
    if cache.adapter_layer is not None:
        dadapted, adapter_grads["adapter_layer"] = attention_adapter_backward(dy, cache.adapter_layer)
        dy = dy + dadapted  # undoes: x + adapter(x)
    dtransformed, _ = dropout_backward(dy, cache.transformed)  # undoes: dropout
    dnormed, feed_forward_grads = feed_forward_backward(dtransformed, cache.feed_forward)  # undoes: feed_forward(…)
    dbetween, final_norm_grads = layer_norm_backward(dnormed, cache.final_layer_norm)  # undoes: final_norm(x)
    dbetween += dy  # undoes: x + …, around the feed-forward
    dattended, _ = dropout_backward(dbetween, cache.attended)  # undoes: dropout
    dnormed, attention_grads = attention_backward(dattended, cache.attention)  # undoes: attention(…)
    dx, norm_grads = layer_norm_backward(dnormed, cache.layer_norm)  # undoes: norm(x)
    dx += dbetween  # undoes: x + …, around the attention
    return dx, _grads(attention_grads, norm_grads, feed_forward_grads, final_norm_grads) | adapter_grads


def post_norm_block(
    x: np.ndarray, p: dict, heads: int, eps: float, masks: BlockMasks = NO_BLOCK_MASKS
) -> tuple[np.ndarray, BlockCache]:
    """``x`` (T, C) through a block that normalises what leaves each half: (T, C), and the cache."""
    attended, attention_cache = attention(x, p["attention"], heads, masks.weights)
    attended, attended_cache = dropout(attended, masks.attended)
    x, norm_cache = layer_norm(x + attended, p["layer_norm"], eps)
    transformed, feed_forward_cache = feed_forward(x, p["feed_forward"], masks.active)
    transformed, transformed_cache = dropout(transformed, masks.transformed)
    x, final_norm_cache = layer_norm(x + transformed, p["final_layer_norm"], eps)
    return x, BlockCache(
        norm_cache, attention_cache, attended_cache, final_norm_cache, feed_forward_cache, transformed_cache
    )


def post_norm_block_backward(dy: np.ndarray, cache: BlockCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the block's parameters, from ``dy`` (T, C)."""
    dsum, final_norm_grads = layer_norm_backward(dy, cache.final_layer_norm)  # undoes: final_norm(…)
    dtransformed, _ = dropout_backward(dsum, cache.transformed)  # undoes: dropout
    dbetween, feed_forward_grads = feed_forward_backward(dtransformed, cache.feed_forward)  # undoes: feed_forward(x)
    dbetween += dsum  # undoes: x + …, around the feed-forward
    dsum_before, norm_grads = layer_norm_backward(dbetween, cache.layer_norm)  # undoes: norm(…)
    dattended, _ = dropout_backward(dsum_before, cache.attended)  # undoes: dropout
    dx, attention_grads = attention_backward(dattended, cache.attention)  # undoes: attention(x)
    dx += dsum_before  # undoes: x + …, around the attention
    return dx, _grads(attention_grads, norm_grads, feed_forward_grads, final_norm_grads)


def block_attention(x: np.ndarray, p: dict, config: Config) -> np.ndarray:
    """The attention weights (H, T, T) of the block with parameters ``p`` that ``x`` (T, C) enters."""
    if config.do_stable_layer_norm:  # pre-norm
        x, _ = layer_norm(x, p["layer_norm"], config.layer_norm_eps)
    (q, k), _ = linears(x, [p["attention"]["q_proj"], p["attention"]["k_proj"]])
    return attention_weights(q, k, config.num_attention_heads)


def _grads(attention: dict, layer_norm: dict, feed_forward: dict, final_layer_norm: dict) -> dict:
    """Nested as the parameters are."""
    return {
        "attention": attention,
        "layer_norm": layer_norm,
        "feed_forward": feed_forward,
        "final_layer_norm": final_layer_norm,
    }
