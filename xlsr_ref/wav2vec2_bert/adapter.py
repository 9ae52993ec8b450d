"""The adapter of Wav2Vec2-BERT: layers above the blocks that leave fewer frames, as a translator needs them.

    x ← norm(x Wᵀ + b)                       only where `output_hidden_size` is not `hidden_size`
    r = glu(conv(norm(x)))                   for every layer: stride 2, what goes around the attention
    h = r + attention(glu(conv'(norm'(x))))  another convolution of the same kind; attention without positions
    x ← h + feed_forward(norm''(h))

Stride // 2 frames of zeros stand on either side of a convolution. Before it there may be an intermediate feed-forward,
x + ½ ffn(x), which backbone.py adds. In a batch transformers lets the padding reach these convolutions, so a padded
utterance differs from the same one alone; here every utterance is alone.
Where: Barrault et al. 2023 (SeamlessM4T), §4.3. Checkpoint: `adapter.{proj,proj_layer_norm}`, `adapter.layers.{0…}`.
Letters: T frames, C channels (`output_hidden_size`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.activation import GluCache, glu, glu_backward
from xlsr_ref.ops.conv import ConvCache, conv1d, conv1d_backward
from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward
from xlsr_ref.wav2vec2_bert.config import Config
from xlsr_ref.wav2vec2_bert.masks import AttentionMasks, FeedForwardMasks
from xlsr_ref.wav2vec2_bert.relative_attention import Form, self_attention, self_attention_backward


class StridedCache(NamedTuple):
    layer_norm: LayerNormCache
    conv: ConvCache  # of the padded frames
    gate: GluCache
    zeros: int


class AdapterLayerCache(NamedTuple):
    residual: StridedCache
    strided: StridedCache
    self_attn: Any
    ffn_layer_norm: LayerNormCache
    ffn: Any


class AdapterCache(NamedTuple):
    proj: LinearCache | None  # where there is a projection
    proj_layer_norm: LayerNormCache | None
    outputs: list[np.ndarray]  # of the projection, where there is one, and of each layer
    layers: list[AdapterLayerCache]


def adapter(
    x: np.ndarray, p: dict, config: Config, masks: tuple[tuple[AttentionMasks, FeedForwardMasks], ...]
) -> tuple[np.ndarray, AdapterCache]:
    """``x`` (T, hidden_size) to (fewer frames, C), and the cache. Too few frames for a kernel raise ValueError."""
    outputs, proj_cache, norm_cache = [], None, None
    if "proj" in p:
        narrow, proj_cache = linear(x, p["proj"])
        x, norm_cache = layer_norm(narrow, p["proj_layer_norm"], config.layer_norm_eps)
        outputs.append(x)
    layers = []
    for i, layer_masks in enumerate(masks):
        x, cache = _layer(x, p["layers"][str(i)], config, *layer_masks)
        outputs.append(x)
        layers.append(cache)
    return x, AdapterCache(proj_cache, norm_cache, outputs, layers)


def adapter_backward(dy: np.ndarray, cache: AdapterCache, p: dict) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, hidden_size) and the parameters ``p``, from ``dy`` (T', C)."""
    grads: dict = {"layers": {}} if cache.layers else {}
    dx = dy
    for i in range(len(cache.layers) - 1, -1, -1):
        dx, grads["layers"][str(i)] = _layer_backward(dx, cache.layers[i], p["layers"][str(i)])
    if cache.proj is not None and cache.proj_layer_norm is not None:
        dnarrow, grads["proj_layer_norm"] = layer_norm_backward(dx, cache.proj_layer_norm)  # undoes: norm(…)
        dx, grads["proj"] = linear_backward(dnarrow, cache.proj)  # undoes: x Wᵀ + b
    return dx, grads


def _layer(
    x: np.ndarray, p: dict, config: Config, attention_masks: AttentionMasks, ffn_masks: FeedForwardMasks
) -> tuple[np.ndarray, AdapterLayerCache]:
    eps = config.layer_norm_eps
    residual, residual_cache = _strided(x, p["residual_layer_norm"], p["residual_conv"], config)  # (T', C)
    strided, strided_cache = _strided(x, p["self_attn_layer_norm"], p["self_attn_conv"], config)  # (T', C)
    form = Form(config.num_attention_heads, None)
    attended, attention_cache = self_attention(strided, p["self_attn"], form, attention_masks)
    h = residual + attended
    normed, norm_cache = layer_norm(h, p["ffn_layer_norm"], eps)
    step, ffn_cache = feed_forward(normed, p["ffn"], *ffn_masks, act=config.adapter_act)
    return h + step, AdapterLayerCache(residual_cache, strided_cache, attention_cache, norm_cache, ffn_cache)


def _layer_backward(dy: np.ndarray, cache: AdapterLayerCache, p: dict) -> tuple[np.ndarray, dict]:
    grads: dict = {}
    dnormed, grads["ffn"] = feed_forward_backward(dy, cache.ffn)  # undoes: feed_forward(…)
    dh, grads["ffn_layer_norm"] = layer_norm_backward(dnormed, cache.ffn_layer_norm)  # undoes: norm''(h)
    dh += dy  # undoes: h + …
    dstrided, grads["self_attn"] = self_attention_backward(dh, cache.self_attn, p["self_attn"])  # undoes: attention
    dx, grads["self_attn_layer_norm"], grads["self_attn_conv"] = _strided_backward(dstrided, cache.strided)
    around, grads["residual_layer_norm"], grads["residual_conv"] = _strided_backward(dh, cache.residual)
    return dx + around, grads  # undoes: r + …


def _strided(x: np.ndarray, norm: dict, conv: dict, config: Config) -> tuple[np.ndarray, StridedCache]:
    """glu(conv(norm(x))), with zeros at both ends: ``x`` (T, C) to (T', C)."""
    zeros = config.adapter_padding
    normed, norm_cache = layer_norm(x, norm, config.layer_norm_eps)
    convolved, conv_cache = conv1d(np.pad(normed, ((zeros, zeros), (0, 0))), conv, config.adapter_stride)  # (T', 2C)
    y, gate_cache = glu(convolved)
    return y, StridedCache(norm_cache, conv_cache, gate_cache, zeros)


def _strided_backward(dy: np.ndarray, cache: StridedCache) -> tuple[np.ndarray, dict, dict]:
    dconvolved, _ = glu_backward(dy, cache.gate)  # undoes: glu
    dpadded, conv_grads = conv1d_backward(dconvolved, cache.conv)  # undoes: conv
    dnormed = dpadded[cache.zeros : len(dpadded) - cache.zeros]  # undoes: the zeros
    dx, norm_grads = layer_norm_backward(dnormed, cache.layer_norm)  # undoes: norm(x)
    return dx, norm_grads, conv_grads
