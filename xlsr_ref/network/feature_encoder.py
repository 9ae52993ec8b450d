"""The feature encoder: a waveform becomes 49 feature frames a second, by strided convolutions.

    x ← GELU(norm(conv(x)))         for every layer; released models have seven

Frames begin 320 samples apart (the hop) and each sees 400 (its receptive field): 16000 samples make 49 frames, not 50.
Two families. "layer" (XLSR): every convolution is followed by a layer norm over its channels. "group" (wav2vec2-base):
only the first one is normalised, each channel over time; the others have no norm. The epsilon of these norms is always
1e-5; `layer_norm_eps` of the config governs the other norms only.
Where: wav2vec 2.0 §2 "Feature encoder". Checkpoint: `feature_extractor.conv_layers.{0…}.{conv,layer_norm}`.
Letters: L samples, T frames, C channels (`conv_dim`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.network.stage import Keep, Stages, remember
from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.conv import ConvCache, conv1d, conv1d_backward
from xlsr_ref.ops.norm import (
    GroupNormCache,
    LayerNormCache,
    group_norm,
    group_norm_backward,
    layer_norm,
    layer_norm_backward,
)

EPS = 1e-5


class ConvLayerCache(NamedTuple):
    conv: ConvCache
    layer_norm: LayerNormCache | GroupNormCache | None  # the checkpoint calls either of them layer_norm
    activation: GeluCache


def feature_encoder(waveform: np.ndarray, p: dict, config: Config, keep: Keep = False) -> tuple[np.ndarray, Stages]:
    """``waveform`` (L,) to features (T, conv_dim[-1]), and the stages `conv_layers.i`."""
    stages: Stages = {}
    x = waveform[:, None]  # (L, 1): one channel
    for i, stride in enumerate(config.conv_stride):
        norm = "none" if config.feat_extract_norm == "group" and i > 0 else config.feat_extract_norm
        x, cache = conv_layer(x, p["conv_layers"][str(i)], stride, norm)
        remember(stages, f"conv_layers.{i}", x, cache, keep)
        del cache  # unless it was kept, it dies before the next layer needs its memory
    return x, stages


def feature_encoder_backward(dfeatures: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
    """Gradients with respect to the waveform (L,) and every layer, from ``dfeatures`` (T, conv_dim[-1])."""
    grads: dict[str, dict] = {}
    dx = dfeatures
    for i in reversed(range(len(stages))):  # undoes: x ← conv_layer(x), the last layer first
        dx, grads[str(i)] = conv_layer_backward(dx, stages[f"conv_layers.{i}"].cache)
    return dx[:, 0], {"conv_layers": grads}  # undoes: waveform[:, None]


def conv_layer(x: np.ndarray, p: dict, stride: int, norm: str) -> tuple[np.ndarray, ConvLayerCache]:
    """One layer on ``x`` (T_in, C_in): (T_out, C_out). ``norm`` is "layer", "group" or "none"."""
    convolved, conv_cache = conv1d(x, p["conv"], stride)
    normalised = convolved
    norm_cache: LayerNormCache | GroupNormCache | None = None
    if norm == "layer":
        normalised, norm_cache = layer_norm(convolved, p["layer_norm"], EPS)
    elif norm == "group":
        normalised, norm_cache = group_norm(convolved, p["layer_norm"], EPS)
    y, gelu_cache = gelu(normalised)
    return y, ConvLayerCache(conv_cache, norm_cache, gelu_cache)


def conv_layer_backward(dy: np.ndarray, cache: ConvLayerCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T_in, C_in) and the layer's parameters, from ``dy`` (T_out, C_out)."""
    grads = {}
    dconvolved, _ = gelu_backward(dy, cache.activation)  # undoes: GELU
    if isinstance(cache.layer_norm, LayerNormCache):  # undoes: norm
        dconvolved, grads["layer_norm"] = layer_norm_backward(dconvolved, cache.layer_norm)
    elif isinstance(cache.layer_norm, GroupNormCache):
        dconvolved, grads["layer_norm"] = group_norm_backward(dconvolved, cache.layer_norm)
    dx, grads["conv"] = conv1d_backward(dconvolved, cache.conv)  # undoes: conv
    return dx, grads
