"""The feature projection: features are normalised and brought to the width of the blocks.

    x = norm(features) Wᵀ + b

Where: wav2vec 2.0 §2. Pre-training's quantizer looks at norm(features), which is the input of the linear layer.
Checkpoint: `feature_projection.{layer_norm,projection}`. Letters: T frames, C channels (`hidden_size`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward


class ProjectionCache(NamedTuple):
    layer_norm: LayerNormCache
    projection: LinearCache  # its x, the normalised features, is also what pre-training quantises


def feature_projection(features: np.ndarray, p: dict, eps: float) -> tuple[np.ndarray, ProjectionCache]:
    """``features`` (T, conv_dim[-1]) to the width of the blocks: (T, C)."""
    normed, norm_cache = layer_norm(features, p["layer_norm"], eps)
    x, projection_cache = linear(normed, p["projection"])
    return x, ProjectionCache(norm_cache, projection_cache)


def feature_projection_backward(
    dx: np.ndarray, cache: ProjectionCache, dnormed: np.ndarray | None = None
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to features (T, conv_dim[-1]) and the parameters, from ``dx`` (T, C).

    ``dnormed`` is what else has a gradient for the normalised features: pre-training's quantizer.
    """
    dprojected, projection_grads = linear_backward(dx, cache.projection)  # undoes: … Wᵀ + b
    if dnormed is not None:
        dprojected += dnormed  # the normalised features went both ways
    dfeatures, norm_grads = layer_norm_backward(dprojected, cache.layer_norm)  # undoes: norm(features)
    return dfeatures, {"layer_norm": norm_grads, "projection": projection_grads}
