"""Relative positions by convolution: every frame gets a summary of the 128 frames around it, added to itself.

    positional(x) = GELU(grouped_conv(x; W, b))         W = g · v / ‖v‖ (weight norm)

Attention alone does not know the order of its frames; this is all that tells it. Released models have a kernel of 128
(2.5 s) in 16 groups. T in = T out: K//2 zeros on either side, and for even K the last frame is dropped. The activation
is the feature encoder's. Where: wav2vec 2.0 §2 "Contextualized representations".
Checkpoint: `encoder.pos_conv_embed.conv`. Letters: T frames, C channels, K kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.grouped_conv import GroupedConvCache, grouped_conv1d, grouped_conv1d_backward
from xlsr_ref.ops.weight_norm import WeightNormCache, weight_norm, weight_norm_backward


class PositionalCache(NamedTuple):
    weight_norm: WeightNormCache
    conv: GroupedConvCache
    activation: GeluCache


def positional(x: np.ndarray, p: dict, groups: int) -> tuple[np.ndarray, PositionalCache]:
    """The positional embedding of ``x`` (T, C): (T, C)."""
    weight, norm_cache = weight_norm(p["conv"])
    convolved, conv_cache = grouped_conv1d(x, weight, p["conv"]["bias"], groups)
    y, gelu_cache = gelu(convolved)
    return y, PositionalCache(norm_cache, conv_cache, gelu_cache)


def positional_backward(dy: np.ndarray, cache: PositionalCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the kernel's g, v and bias, from ``dy`` (T, C)."""
    dconvolved, _ = gelu_backward(dy, cache.activation)  # undoes: GELU
    dx, conv_grads = grouped_conv1d_backward(dconvolved, cache.conv)  # undoes: grouped_conv(x; W, b)
    norm_grads = weight_norm_backward(conv_grads["weight"], cache.weight_norm)  # undoes: W = g · v / ‖v‖
    return dx, {"conv": {"bias": conv_grads["bias"], **norm_grads}}
