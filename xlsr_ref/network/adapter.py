"""The convolutional adapter: above the encoder, strided convolutions that leave fewer frames, and maybe other channels.

    x ← norm(x Wᵀ + b)                  only where `output_hidden_size` is not `hidden_size`
    x ← a σ(g),  (a, g) = conv(x)       for every layer: twice the channels, of which one half gates the other

What reads speech for another network, such as a translator, need not hear 50 frames a second: released adapters have
three layers of stride 2, for one frame in 160 ms. One frame of zeros stands before the first and behind the last,
whatever the kernel. The epsilon of the norm is always 1e-5.
Where: Babu et al. 2021 (XLS-R), speech translation; Li et al. 2020. The gate: Dauphin et al. 2017, GLU.
Checkpoint: `adapter.{proj,proj_layer_norm}`, `adapter.layers.{0…}.conv`.
Letters: T frames, C channels (`output_hidden_size`), K kernel (`adapter_kernel_size`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.network.stage import Keep, Stages, remember
from xlsr_ref.ops.activation import GluCache, glu, glu_backward
from xlsr_ref.ops.conv import ConvCache, conv1d, conv1d_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward

EPS = 1e-5
PADDING = 1  # frames of zeros on either side


class AdapterProjectionCache(NamedTuple):
    proj: LinearCache
    proj_layer_norm: LayerNormCache


class AdapterLayerCache(NamedTuple):
    conv: ConvCache  # of the padded frames
    gate: GluCache


def adapter(x: np.ndarray, p: dict, config: Config, keep: Keep = False) -> tuple[np.ndarray, Stages]:
    """``x`` (T, hidden_size) to (:func:`adapter_frames`, C), and the stages `proj_layer_norm` and `layers.i`.

    Too few frames for a kernel raise ValueError.
    """
    stages: Stages = {}
    if "proj" in p:
        projected, proj_cache = linear(x, p["proj"])
        x, norm_cache = layer_norm(projected, p["proj_layer_norm"], EPS)  # (T, C)
        remember(stages, "proj_layer_norm", x, AdapterProjectionCache(proj_cache, norm_cache), keep)
    for i in range(config.num_adapter_layers):
        padded = np.pad(x, ((PADDING, PADDING), (0, 0)))
        convolved, conv_cache = conv1d(padded, p["layers"][str(i)]["conv"], config.adapter_stride)  # (T', 2C)
        x, gate_cache = glu(convolved)  # (T', C)
        remember(stages, f"layers.{i}", x, AdapterLayerCache(conv_cache, gate_cache), keep)
    return x, stages


def adapter_backward(dy: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, hidden_size) and the parameters, from ``dy`` (T', C) and forward's stages."""
    grads: dict = {}
    dx = dy
    for name in reversed([name for name in stages if name.startswith("layers.")]):
        cache = stages[name].cache
        dconvolved, _ = glu_backward(dx, cache.gate)  # undoes: a σ(g)
        dpadded, conv_grads = conv1d_backward(dconvolved, cache.conv)  # undoes: conv
        dx = dpadded[PADDING:-PADDING]  # undoes: the zeros
        grads.setdefault("layers", {})[name.removeprefix("layers.")] = {"conv": conv_grads}
    if "proj_layer_norm" in stages:
        cache = stages["proj_layer_norm"].cache
        dprojected, grads["proj_layer_norm"] = layer_norm_backward(dx, cache.proj_layer_norm)
        dx, grads["proj"] = linear_backward(dprojected, cache.proj)  # undoes: norm, then x Wᵀ + b
    return dx, grads


def adapter_frames(T: int, config: Config) -> int:
    """How many frames the layers make of ``T``; 0 where a kernel is longer than what is left, with its zeros."""
    for _ in range(config.num_adapter_layers if config.add_adapter else 0):
        T = (T + 2 * PADDING - config.adapter_kernel_size) // config.adapter_stride + 1
        if T < 1:
            return 0
    return T
