"""Classification: which label a recording has, or each of its frames.

    x = Σ_i softmax(w)_i h_i                            weighted layer sum (`use_weighted_layer_sum`), or the last layer
    recording:  logits = mean_t(x Wᵀ + b) Vᵀ + c        (N,)       frame by frame:  logits = x Vᵀ + c        (T, N)

The states h_0 … h_L are what enters the first block and what leaves each one. In transformers 4 the last of a pre-norm
model was h_L behind the final norm; large models that were trained so need it so, and `load(…, transformers_4=True)`
does that. Nothing in a checkpoint tells the two apart.
Where: Yang et al. 2021 (SUPERB), §3.2. Checkpoint: `layer_weights` (L+1,), `projector`, `classifier`.
Letters: T frames, C channels, L blocks, N labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.network.stage import Keep, Stages, remember
from xlsr_ref.ops.activation import sigmoid
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.softmax import SoftmaxCache, softmax, softmax_backward
from xlsr_ref.ops.upstream import require_upstream


class LayerSumCache(NamedTuple):
    states: Sequence[np.ndarray]  # L+1 of (T, C)  the gradient of a weight is a product with its state
    shares: SoftmaxCache  # (1, L+1)


class PooledCache(NamedTuple):
    frames: int
    classifier: LinearCache


def layer_sum(states: Sequence[np.ndarray], layer_weights: np.ndarray) -> tuple[np.ndarray, LayerSumCache]:
    """The average (T, C) of L+1 ``states`` (T, C), by the softmax of the ``layer_weights`` (L+1,)."""
    shares, cache = softmax(layer_weights[None])  # (1, L+1)
    x = np.zeros_like(states[0])
    for share, state in zip(shares[0], states):
        x += share * state
    return x, LayerSumCache(states, cache)


def layer_sum_backward(dx: np.ndarray, cache: LayerSumCache) -> tuple[list[np.ndarray], np.ndarray]:
    """Gradients with respect to each state (T, C) and the layer weights (L+1,), from ``dx`` (T, C)."""
    states, shares = cache
    require_upstream(dx, states[0].shape, states[0].dtype)
    dstates = [share * dx for share in shares.y[0]]  # undoes: Σ share · state, seen from the states
    dshares = np.array([[(dx * state).sum(dtype=np.float64) for state in states]], dx.dtype)  # and from the shares
    dlayer_weights, _ = softmax_backward(dshares, shares)  # undoes: softmax
    return dstates, dlayer_weights[0]


def recording_head(x: np.ndarray, p: dict, keep: Keep = True) -> tuple[np.ndarray, Stages]:
    """``x`` (T, C) to one score for each label: logits (N,), and the stages `projector` and `classifier`."""
    stages: Stages = {}
    projected, projector_cache = linear(x, p["projector"])  # (T, P)
    remember(stages, "projector", projected, projector_cache, keep)
    pooled = projected.mean(axis=0, keepdims=True, dtype=np.float64).astype(x.dtype)  # (1, P)
    logits, classifier_cache = linear(pooled, p["classifier"])  # (1, N)
    remember(stages, "classifier", logits[0], PooledCache(len(x), classifier_cache), keep)
    return logits[0], stages


def recording_head_backward(dlogits: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dlogits`` (N,) and forward's stages."""
    cache = stages["classifier"].cache
    dpooled, classifier_grads = linear_backward(dlogits[None], cache.classifier)  # undoes: … Vᵀ + c
    dprojected = np.repeat(dpooled / cache.frames, cache.frames, axis=0)  # undoes: mean_t
    dx, projector_grads = linear_backward(dprojected, stages["projector"].cache)  # undoes: x Wᵀ + b
    return dx, {"projector": projector_grads, "classifier": classifier_grads}


def frame_head(x: np.ndarray, p: dict) -> tuple[np.ndarray, LinearCache]:
    """``x`` (T, C) to one score for each label and frame: logits (T, N)."""
    return linear(x, p["classifier"])


def frame_head_backward(dlogits: np.ndarray, cache: LinearCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dlogits`` (T, N)."""
    dx, classifier_grads = linear_backward(dlogits, cache)  # undoes: x Vᵀ + c
    return dx, {"classifier": classifier_grads}


def probabilities(logits: np.ndarray, several: bool = False) -> np.ndarray:
    """Of each row of ``logits`` (rows, N): softmax, where one label is right; σ of each, where ``several`` may be."""
    return sigmoid(logits) if several else softmax(logits)[0]
