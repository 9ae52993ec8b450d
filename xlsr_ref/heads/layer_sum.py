"""The weighted layer sum: a head may look at all hidden states in place of the last one.

    x = Σ_i softmax(w)_i h_i         h_0 … h_N: what enters the first block, and what leaves each of N

In transformers 4 the last state of a pre-norm model was h_N after the final norm; models that were trained so need it
so, and `load(…, transformers_4=True)` does that. Nothing in a checkpoint tells the two apart.
Where: Yang et al. 2021 (SUPERB), §3.2; `use_weighted_layer_sum`. Checkpoint: `layer_weights` (N+1,).
Letters: T frames, C channels, N blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.softmax import SoftmaxCache, softmax, softmax_backward
from xlsr_ref.ops.upstream import require_upstream


class LayerSumCache(NamedTuple):
    states: Sequence[np.ndarray]  # L+1 of (T, C)  the gradient of a weight is a product with its state
    shares: SoftmaxCache  # (1, L+1)


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
