"""The Transformer block: attention mixes frames, the feed-forward mixes channels, and each adds to what came in.

    pre-norm (XLSR):             x ← x + attention(norm(x))       x ← x + feed_forward(final_norm(x))
    post-norm (wav2vec2-base):   x ← norm(x + attention(x))       x ← final_norm(x + feed_forward(x))
    feed_forward(x) = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂

A multilingual model (MMS) ends each pre-norm block with a third part, the language's own: attention_adapter.py.
The config calls pre-norm `do_stable_layer_norm`. Both have the same parameters: only the order differs, and taking the
wrong one loads without complaint. Where: wav2vec 2.0 §2; Xiong et al. 2020 on the two orders.
Checkpoint: `encoder.layers.{0…}.{attention, layer_norm, feed_forward.{intermediate,output}_dense, final_layer_norm}`.
Letters: T frames, C channels (`hidden_size`), F channels of the feed-forward (`intermediate_size`), H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.network.attention_adapter import (
    AttentionAdapterCache,
    attention_adapter,
    attention_adapter_backward,
)
from xlsr_ref.network.stage import Keep
from xlsr_ref.ops import threads
from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.attention import AttentionCache, attention, attention_backward
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward


class BlockDropout(NamedTuple):
    """What a block multiplies by while it trains, from ops/dropout.py; None: nothing is dropped there."""

    weights: np.ndarray | None = None  # (H, T, T)  of the attention: `attention_dropout`
    attended: np.ndarray | None = None  # (T, C)  what attention puts out: `hidden_dropout`
    active: np.ndarray | None = None  # (T, F)  between the halves of the feed-forward: `activation_dropout`
    transformed: np.ndarray | None = None  # (T, C)  what the feed-forward puts out: `hidden_dropout`


NOTHING = BlockDropout()


class FeedForwardCache(NamedTuple):
    intermediate_dense: LinearCache
    activation: GeluCache
    active_dropout: DropoutCache
    output_dense: LinearCache
    dropout: DropoutCache


class BlockCache(NamedTuple):
    layer_norm: LayerNormCache
    attention: AttentionCache
    dropout: DropoutCache
    final_layer_norm: LayerNormCache
    feed_forward: FeedForwardCache
    adapter_layer: AttentionAdapterCache | None = None  # only in pre-norm blocks that have one


def feed_forward(x: np.ndarray, p: dict, drop: BlockDropout = NOTHING, keep: Keep = True) -> tuple[np.ndarray, Any]:
    """``x`` (T, C) through F channels and back: (T, C), and the FeedForwardCache; None without ``keep``.

    Long recordings go through in blocks of rows: the F channels of ten minutes would be 0.5 GB.
    """
    results, caches = [], []
    for rows in threads.blocks(len(x), ROWS):
        y, cache = feed_forward_rows(x[rows], p, _of_rows(drop.active, rows), _of_rows(drop.transformed, rows))
        results.append(y)
        if keep:
            caches.append(cache)
        del cache
    return _joined(results), _joined(caches) if keep else None


def feed_forward_rows(
    x: np.ndarray, p: dict, drop_active: np.ndarray | None, drop_transformed: np.ndarray | None
) -> tuple[np.ndarray, FeedForwardCache]:
    """The feed-forward of some rows (T', C), with their dropout of the F and of the C channels."""
    wide, wide_cache = linear(x, p["intermediate_dense"])  # (T, F)
    active, gelu_cache = gelu(wide)
    thinned, active_cache = dropout(active, drop_active)
    narrow, output_cache = linear(thinned, p["output_dense"])  # (T, C)
    y, drop_cache = dropout(narrow, drop_transformed)
    return y, FeedForwardCache(wide_cache, gelu_cache, active_cache, output_cache, drop_cache)


def feed_forward_backward(dy: np.ndarray, cache: FeedForwardCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and both halves, from ``dy`` (T, C)."""
    dnarrow, _ = dropout_backward(dy, cache.dropout)  # undoes: dropout
    dthinned, output_grads = linear_backward(dnarrow, cache.output_dense)  # undoes: … W₂ᵀ + b₂
    dactive, _ = dropout_backward(dthinned, cache.active_dropout)  # undoes: dropout
    dwide, _ = gelu_backward(dactive, cache.activation)  # undoes: GELU
    dx, wide_grads = linear_backward(dwide, cache.intermediate_dense)  # undoes: x W₁ᵀ + b₁
    return dx, {"intermediate_dense": wide_grads, "output_dense": output_grads}


def pre_norm_block(
    x: np.ndarray, p: dict, heads: int, eps: float, keep: Keep = True, drop: BlockDropout = NOTHING
) -> tuple[np.ndarray, BlockCache | None]:
    """``x`` (T, C) through a block that normalises what enters each half: (T, C), and the cache; None without ``keep``.

    ``keep="attention"`` keeps the attention weights as well.
    """
    normed, norm_cache = layer_norm(x, p["layer_norm"], eps, bool(keep))
    attended, attention_cache = attention(normed, p["attention"], heads, keep == "attention", drop.weights, bool(keep))
    attended, drop_cache = dropout(attended, drop.attended)
    between = x + attended
    del normed, attended  # if they were kept, the caches have them
    normed_again, final_norm_cache = layer_norm(between, p["final_layer_norm"], eps, bool(keep))
    transformed, feed_forward_cache = feed_forward(normed_again, p["feed_forward"], drop, keep)
    y = between + transformed
    adapter_cache = None
    if "adapter_layer" in p:
        of_the_language, adapter_cache = attention_adapter(y, p["adapter_layer"])
        y = y + of_the_language
    caches = norm_cache, attention_cache, drop_cache, final_norm_cache, feed_forward_cache, adapter_cache
    return y, BlockCache(*caches) if keep else None


def pre_norm_block_backward(dy: np.ndarray, cache: BlockCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the block's parameters, from ``dy`` (T, C)."""
    adapter_grads: dict = {}
    if cache.adapter_layer is not None:
        dadapted, adapter_grads["adapter_layer"] = attention_adapter_backward(dy, cache.adapter_layer)
        dy = dy + dadapted  # undoes: y + adapter(y)
    dnormed_again, feed_forward_grads = feed_forward_backward(dy, cache.feed_forward)  # undoes: feed_forward(…)
    dbetween, final_norm_grads = layer_norm_backward(dnormed_again, cache.final_layer_norm)  # undoes: final_norm(x)
    dbetween += dy  # undoes: x + …, around the feed-forward
    dattended, _ = dropout_backward(dbetween, cache.dropout)  # undoes: dropout
    dnormed, attention_grads = attention_backward(dattended, cache.attention)  # undoes: attention(…)
    dx, norm_grads = layer_norm_backward(dnormed, cache.layer_norm)  # undoes: norm(x)
    dx += dbetween  # undoes: x + …, around the attention
    return dx, _grads(attention_grads, norm_grads, feed_forward_grads, final_norm_grads) | adapter_grads


def post_norm_block(
    x: np.ndarray, p: dict, heads: int, eps: float, keep: Keep = True, drop: BlockDropout = NOTHING
) -> tuple[np.ndarray, BlockCache | None]:
    """``x`` (T, C) through a block that normalises what leaves each half: (T, C), and the cache; None without ``keep``.

    ``keep="attention"`` keeps the attention weights as well.
    """
    attended, attention_cache = attention(x, p["attention"], heads, keep == "attention", drop.weights, bool(keep))
    attended, drop_cache = dropout(attended, drop.attended)
    between, norm_cache = layer_norm(x + attended, p["layer_norm"], eps, bool(keep))
    del attended
    transformed, feed_forward_cache = feed_forward(between, p["feed_forward"], drop, keep)
    y, final_norm_cache = layer_norm(between + transformed, p["final_layer_norm"], eps, bool(keep))
    caches = norm_cache, attention_cache, drop_cache, final_norm_cache, feed_forward_cache
    return y, BlockCache(*caches) if keep else None


def post_norm_block_backward(dy: np.ndarray, cache: BlockCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the block's parameters, from ``dy`` (T, C)."""
    dsum, final_norm_grads = layer_norm_backward(dy, cache.final_layer_norm)  # undoes: final_norm(…)
    dbetween, feed_forward_grads = feed_forward_backward(dsum, cache.feed_forward)  # undoes: feed_forward(x)
    dbetween += dsum  # undoes: x + …, around the feed-forward
    dsum_before, norm_grads = layer_norm_backward(dbetween, cache.layer_norm)  # undoes: norm(…)
    dattended, _ = dropout_backward(dsum_before, cache.dropout)  # undoes: dropout
    dx, attention_grads = attention_backward(dattended, cache.attention)  # undoes: attention(x)
    dx += dsum_before  # undoes: x + …, around the attention
    return dx, _grads(attention_grads, norm_grads, feed_forward_grads, final_norm_grads)


def _grads(attention: dict, layer_norm: dict, feed_forward: dict, final_layer_norm: dict) -> dict:
    """Nested as the parameters are."""
    return {
        "attention": attention,
        "layer_norm": layer_norm,
        "feed_forward": feed_forward,
        "final_layer_norm": final_layer_norm,
    }


# --- blocks of rows --------------------------------------------------------------------------------------------------

ROWS = 1024  # frames that go through the feed-forward at once


def _of_rows(factor: np.ndarray | None, rows: slice) -> np.ndarray | None:
    return None if factor is None else factor[rows]


def _joined(parts: Sequence[Any]) -> Any:
    """Arrays or caches of consecutive rows as one; what they share, such as the weights, stays as it is."""
    first = parts[0]
    if isinstance(first, tuple):
        return type(first)(*map(_joined, zip(*parts)))
    return first if all(part is first for part in parts) else np.concatenate(parts)
