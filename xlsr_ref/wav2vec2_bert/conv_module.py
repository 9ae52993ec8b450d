"""The convolution module of a Conformer block: what attention cannot do well, patterns of a few neighbouring frames.

    a = W₁ norm(x)                 each frame alone, 2C channels
    g = a[:C] σ(a[C:])             the second half decides how much of the first passes (GLU)
    y = W₂ swish(norm(conv(g)))    conv: depthwise and causal, 31 frames of the past

There are no biases, and the norm after the convolution is over the channels of each frame, not over a batch.
Where: Gulati et al. 2020, §2.2, with layer norm for batch norm. Checkpoint: `conv_module.{layer_norm, pointwise_conv1,
depthwise_conv, depthwise_layer_norm, pointwise_conv2}`. Letters: T frames, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.activation import ACTIVATIONS, GluCache, glu, glu_backward
from xlsr_ref.ops.causal_conv import CausalConvCache, causal_conv, causal_conv_backward
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward
from xlsr_ref.ops.pointwise import PointwiseCache, pointwise, pointwise_backward
from xlsr_ref.wav2vec2_bert.masks import Factor


class ConvModuleCache(NamedTuple):
    layer_norm: LayerNormCache
    pointwise_conv1: PointwiseCache
    gate: GluCache
    depthwise_conv: CausalConvCache
    depthwise_layer_norm: LayerNormCache
    act: str
    active: Any  # the activation's cache
    pointwise_conv2: PointwiseCache
    dropped: DropoutCache


def conv_module(
    x: np.ndarray, p: dict, act: str, eps: float, factor: Factor = None
) -> tuple[np.ndarray, ConvModuleCache]:
    """``x`` (T, C) to (T, C), and the cache. ``act`` is a name of ops/activation.py, ``factor`` (T, C) the dropout."""
    normed, norm_cache = layer_norm(x, p["layer_norm"], eps)
    wide, wide_cache = pointwise(normed, p["pointwise_conv1"])  # (T, 2C)
    gated, gate_cache = glu(wide)  # (T, C)
    convolved, conv_cache = causal_conv(gated, p["depthwise_conv"])
    normed, depthwise_norm_cache = layer_norm(convolved, p["depthwise_layer_norm"], eps)
    active, act_cache = ACTIVATIONS[act][0](normed)
    mixed, mixed_cache = pointwise(active, p["pointwise_conv2"])  # (T, C)
    y, dropped_cache = dropout(mixed, factor)
    inner = act, act_cache, mixed_cache, dropped_cache
    return y, ConvModuleCache(norm_cache, wide_cache, gate_cache, conv_cache, depthwise_norm_cache, *inner)


def conv_module_backward(dy: np.ndarray, cache: ConvModuleCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dy`` (T, C)."""
    grads = {}
    dmixed, _ = dropout_backward(dy, cache.dropped)  # undoes: dropout
    dactive, grads["pointwise_conv2"] = pointwise_backward(dmixed, cache.pointwise_conv2)  # undoes: W₂
    dnormed, _ = ACTIVATIONS[cache.act][1](dactive, cache.active)  # undoes: swish
    dconvolved, grads["depthwise_layer_norm"] = layer_norm_backward(dnormed, cache.depthwise_layer_norm)
    dgated, grads["depthwise_conv"] = causal_conv_backward(dconvolved, cache.depthwise_conv)  # undoes: conv
    dwide, _ = glu_backward(dgated, cache.gate)  # undoes: a σ(…)
    dnormed, grads["pointwise_conv1"] = pointwise_backward(dwide, cache.pointwise_conv1)  # undoes: W₁
    dx, grads["layer_norm"] = layer_norm_backward(dnormed, cache.layer_norm)  # undoes: norm(x)
    return dx, grads
