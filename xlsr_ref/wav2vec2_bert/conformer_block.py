"""The Conformer block: half a feed-forward, attention, convolution, the other half, and a norm.

    x ← x + ½ ffn1(norm(x))
    x ← x + attention(norm(x))
    x ← x + conv_module(x)             its norm is its own
    x ← x + ½ ffn2(norm(x))
    y = final_norm(x)                  so no norm follows the last block, and none stands before the first

Where: Gulati et al. 2020, §2.4. Checkpoint: `encoder.layers.{0…}.{ffn1_layer_norm, ffn1, self_attn_layer_norm,
self_attn, conv_module, ffn2_layer_norm, ffn2, final_layer_norm}`. Letters: T frames, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward
from xlsr_ref.wav2vec2_bert.config import Config
from xlsr_ref.wav2vec2_bert.conv_module import ConvModuleCache, conv_module, conv_module_backward
from xlsr_ref.wav2vec2_bert.masks import NO_BLOCK_MASKS, BlockMasks, FeedForwardMasks
from xlsr_ref.wav2vec2_bert.relative_attention import (
    Form,
    form_of,
    self_attention,
    self_attention_backward,
    self_attention_weights,
)


class HalfStepCache(NamedTuple):
    layer_norm: LayerNormCache
    feed_forward: Any  # FeedForwardCache, or RowsCache of a long recording


class BlockCache(NamedTuple):
    ffn1: HalfStepCache
    self_attn_layer_norm: LayerNormCache
    self_attn: Any  # AttentionCache, or LongAttentionCache
    conv_module: ConvModuleCache
    ffn2: HalfStepCache
    final_layer_norm: LayerNormCache


def conformer_block(
    x: np.ndarray, p: dict, config: Config, form: Form, masks: BlockMasks
) -> tuple[np.ndarray, BlockCache]:
    """``x`` (T, C) through one block: (T, C), and the cache. ``form`` says how attention sees positions."""
    act, eps = config.hidden_act, config.layer_norm_eps
    x, ffn1_cache = half_step(x, p["ffn1_layer_norm"], p["ffn1"], act, eps, masks.ffn1)
    normed, norm_cache = layer_norm(x, p["self_attn_layer_norm"], eps)
    attended, attention_cache = self_attention(normed, p["self_attn"], form, masks.attention)
    attended += x  # x + attention(norm(x)), in the memory of the second term
    x = attended
    convolved, conv_cache = conv_module(x, p["conv_module"], act, eps, masks.conv)
    x = x + convolved
    x, ffn2_cache = half_step(x, p["ffn2_layer_norm"], p["ffn2"], act, eps, masks.ffn2)
    y, final_cache = layer_norm(x, p["final_layer_norm"], eps)
    return y, BlockCache(ffn1_cache, norm_cache, attention_cache, conv_cache, ffn2_cache, final_cache)


def conformer_block_backward(dy: np.ndarray, cache: BlockCache, p: dict) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the block's parameters ``p``, from ``dy`` (T, C)."""
    grads: dict = {}
    dx, grads["final_layer_norm"] = layer_norm_backward(dy, cache.final_layer_norm)  # undoes: final_norm(x)
    dx, grads["ffn2_layer_norm"], grads["ffn2"] = half_step_backward(dx, cache.ffn2)  # undoes: the second half
    dconvolved, grads["conv_module"] = conv_module_backward(dx, cache.conv_module)
    dx = dx + dconvolved  # undoes: x + conv_module(x)
    dnormed, grads["self_attn"] = self_attention_backward(dx, cache.self_attn, p["self_attn"])  # undoes: attention
    dattended, grads["self_attn_layer_norm"] = layer_norm_backward(dnormed, cache.self_attn_layer_norm)
    dx = dx + dattended  # undoes: x + attention(norm(x))
    dx, grads["ffn1_layer_norm"], grads["ffn1"] = half_step_backward(dx, cache.ffn1)  # undoes: the first half
    return dx, grads


def block_attention(x: np.ndarray, p: dict, config: Config) -> np.ndarray:
    """The attention weights (H, T, T) of the block with parameters ``p`` that ``x`` (T, C) enters."""
    eps = config.layer_norm_eps
    x, _ = half_step(x, p["ffn1_layer_norm"], p["ffn1"], config.hidden_act, eps, NO_BLOCK_MASKS.ffn1)
    normed, _ = layer_norm(x, p["self_attn_layer_norm"], eps)
    return self_attention_weights(normed, p["self_attn"], form_of(config, len(x), x.dtype))


def half_step(
    x: np.ndarray, norm: dict, ffn: dict, act: str, eps: float, masks: FeedForwardMasks
) -> tuple[np.ndarray, HalfStepCache]:
    """x + ½ feed_forward(norm(x)), for ``x`` (T, C)."""
    normed, norm_cache = layer_norm(x, norm, eps)
    step, step_cache = feed_forward(normed, ffn, *masks, act=act)
    return x + 0.5 * step, HalfStepCache(norm_cache, step_cache)


def half_step_backward(dy: np.ndarray, cache: HalfStepCache) -> tuple[np.ndarray, dict, dict]:
    """Gradients with respect to x (T, C), the norm and the feed-forward, from ``dy`` (T, C)."""
    dnormed, ffn_grads = feed_forward_backward(0.5 * dy, cache.feed_forward)  # undoes: ½ feed_forward(…)
    dx, norm_grads = layer_norm_backward(dnormed, cache.layer_norm)  # undoes: norm(x)
    return dx + dy, norm_grads, ffn_grads  # undoes: x + …
