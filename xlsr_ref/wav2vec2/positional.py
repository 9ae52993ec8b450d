"""Relative positions by convolution: every frame gets a summary of the 128 frames around it, added to itself.

    positional(x) = GELU(grouped_conv(x; W, b))         W = g · v / ‖v‖ (weight norm)

Attention alone does not know the order of its frames; this is all that tells it. Released models have a kernel of 128
(2.5 s) in 16 groups. T in = T out: K//2 zeros on either side, and for even K the last frame is dropped. The activation
is the feature encoder's. data2vec has several smaller ones instead, one above the other, without weight norm and with
a norm that has no parameters:    x ← GELU(norm(grouped_conv(x; W_i, b_i))).
Where: wav2vec 2.0 §2 "Contextualized representations"; Baevski et al. 2022 (data2vec), §4.
Checkpoint: `encoder.pos_conv_embed.conv`, or `….layers.{0…}.conv`. Letters: T frames, C channels, K kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.grouped_conv import GroupedConvCache, grouped_conv1d, grouped_conv1d_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward
from xlsr_ref.ops.weight_norm import WeightNormCache, weight_norm, weight_norm_backward


class PositionalCache(NamedTuple):
    weight_norm: WeightNormCache
    conv: GroupedConvCache
    activation: GeluCache


class StackedLayerCache(NamedTuple):
    conv: GroupedConvCache
    layer_norm: LayerNormCache
    activation: GeluCache


EPS = 1e-5  # of the norms of data2vec


def positional(x: np.ndarray, p: dict, groups: int) -> tuple[np.ndarray, Any]:
    """The positional embedding of ``x`` (T, C): (T, C)."""
    if "layers" in p:
        return _stacked(x, p["layers"], groups)
    weight, norm_cache = weight_norm(p["conv"])
    convolved, conv_cache = grouped_conv1d(x, weight, p["conv"]["bias"], groups)
    y, gelu_cache = gelu(convolved)
    return y, PositionalCache(norm_cache, conv_cache, gelu_cache)


def positional_backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the kernel's g, v and bias, from ``dy`` (T, C)."""
    if isinstance(cache, list):
        return _stacked_backward(dy, cache)
    dconvolved, _ = gelu_backward(dy, cache.activation)  # undoes: GELU
    dx, conv_grads = grouped_conv1d_backward(dconvolved, cache.conv)  # undoes: grouped_conv(x; W, b)
    norm_grads = weight_norm_backward(conv_grads["weight"], cache.weight_norm)  # undoes: W = g · v / ‖v‖
    return dx, {"conv": {"bias": conv_grads["bias"], **norm_grads}}


def _stacked(x: np.ndarray, layers: dict, groups: int) -> tuple[np.ndarray, list[StackedLayerCache]]:
    caches = []
    unit = {"weight": np.ones(x.shape[1], x.dtype), "bias": np.zeros(x.shape[1], x.dtype)}
    for i in range(len(layers)):
        convolved, conv_cache = grouped_conv1d(
            x, layers[str(i)]["conv"]["weight"], layers[str(i)]["conv"]["bias"], groups
        )
        normed, norm_cache = layer_norm(convolved, unit, EPS)
        x, gelu_cache = gelu(normed)
        caches.append(StackedLayerCache(conv_cache, norm_cache, gelu_cache))
    return x, caches


def _stacked_backward(dy: np.ndarray, caches: list[StackedLayerCache]) -> tuple[np.ndarray, dict]:
    grads: dict = {}
    for i in reversed(range(len(caches))):
        dnormed, _ = gelu_backward(dy, caches[i].activation)  # undoes: GELU
        dconvolved, _ = layer_norm_backward(dnormed, caches[i].layer_norm)  # undoes: norm
        dy, conv_grads = grouped_conv1d_backward(dconvolved, caches[i].conv)  # undoes: grouped_conv(x; W_i, b_i)
        grads[str(i)] = {"conv": conv_grads}
    return dy, {"layers": grads}
