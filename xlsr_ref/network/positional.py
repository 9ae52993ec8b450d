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

from xlsr_ref.ops.activation import GeluCache, gelu
from xlsr_ref.ops.conv import GroupedConvCache, WeightNormCache, grouped_conv1d, weight_norm


class PositionalCache(NamedTuple):
    weight_norm: WeightNormCache
    conv: GroupedConvCache
    activation: GeluCache


Kernel = tuple[np.ndarray, WeightNormCache]  # what weight_norm returns: (C, C/G, K) and its cache


def positional(x: np.ndarray, p: dict, groups: int, kernel: Kernel | None = None) -> tuple[np.ndarray, PositionalCache]:
    """The positional embedding of ``x`` (T, C): (T, C). ``kernel`` is the weight norm's result, where it is known."""
    weight, norm_cache = kernel or weight_norm(p["conv"])
    convolved, conv_cache = grouped_conv1d(x, weight, p["conv"]["bias"], groups)
    y, gelu_cache = gelu(convolved)
    return y, PositionalCache(norm_cache, conv_cache, gelu_cache)
