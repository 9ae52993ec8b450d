"""The convolutional adapter: above the encoder, strided convolutions that leave fewer frames, and maybe other channels.

    x ← norm(x Wᵀ + b)                  only where `output_hidden_size` is not `hidden_size`
    x ← a σ(g),  (a, g) = conv(x)       for every layer: twice the channels, of which one half gates the other

A network that reads the result, such as a translator, needs fewer than 50 frames a second: released adapters have
three layers of stride 2, for one frame in 160 ms. One frame of zeros stands before the first and after the last,
whatever the kernel. The epsilon of the norm is always 1e-5.
Where: Babu et al. 2021 (XLS-R), speech translation; Li et al. 2020. The gate: Dauphin et al. 2017, GLU.
Checkpoint: `adapter.{proj,proj_layer_norm}`, `adapter.layers.{0…}.conv`.
Letters: T frames, C channels (`output_hidden_size`), K kernel (`adapter_kernel_size`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.activation import GluCache, glu, glu_backward
from xlsr_ref.ops.conv import ConvCache, conv1d, conv1d_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward
from xlsr_ref.wav2vec2.config import Config

EPS = 1e-5
PADDING = 1  # frames of zeros on either side


class AdapterProjectionCache(NamedTuple):
    proj: LinearCache
    proj_layer_norm: LayerNormCache


class AdapterLayerCache(NamedTuple):
    conv: ConvCache  # of the padded frames
    gate: GluCache


class AdapterCache(NamedTuple):
    projected: np.ndarray | None  # (T, C)  where there is a projection
    projection: AdapterProjectionCache | None
    outputs: list[np.ndarray]  # of each layer
    layers: list[AdapterLayerCache]


def adapter(x: np.ndarray, p: dict, config: Config) -> tuple[np.ndarray, AdapterCache]:
    """``x`` (T, hidden_size) to (:func:`adapter_frames`, C), and the cache.

    Too few frames for a kernel raise ValueError.
    """
    projected, projection_cache = None, None
    if "proj" in p:
        x, proj_cache = linear(x, p["proj"])
        x, norm_cache = layer_norm(x, p["proj_layer_norm"], EPS)  # (T, C)
        projected, projection_cache = x, AdapterProjectionCache(proj_cache, norm_cache)
    outputs, layers = [], []
    for i in range(config.num_adapter_layers):
        padded = np.pad(x, ((PADDING, PADDING), (0, 0)))
        convolved, conv_cache = conv1d(padded, p["layers"][str(i)]["conv"], config.adapter_stride)  # (T', 2C)
        x, gate_cache = glu(convolved)  # (T', C)
        outputs.append(x)
        layers.append(AdapterLayerCache(conv_cache, gate_cache))
    return x, AdapterCache(projected, projection_cache, outputs, layers)


def adapter_backward(dy: np.ndarray, cache: AdapterCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, hidden_size) and the parameters, from ``dy`` (T', C)."""
    grads: dict = {"layers": {}} if cache.layers else {}
    dx = dy
    for i in reversed(range(len(cache.layers))):
        dconvolved, _ = glu_backward(dx, cache.layers[i].gate)  # undoes: a σ(g)
        dpadded, conv_grads = conv1d_backward(dconvolved, cache.layers[i].conv)  # undoes: conv
        dx = dpadded[PADDING:-PADDING]  # undoes: the zeros
        grads["layers"][str(i)] = {"conv": conv_grads}
    if cache.projection is not None:
        dprojected, grads["proj_layer_norm"] = layer_norm_backward(dx, cache.projection.proj_layer_norm)
        dx, grads["proj"] = linear_backward(dprojected, cache.projection.proj)  # undoes: norm, then x Wᵀ + b
    return dx, grads


def adapter_frames(T: int, config: Config) -> int:
    """How many frames the layers make of ``T``; 0 where a kernel is longer than what is left, with its zeros."""
    return config.adapter_frames(T)
