"""Linear layer: every frame through the same matrix.

    y = x Wᵀ + b         x (T, C_in), W (C_out, C_in), b (C_out,), y (T, C_out)

W lies as the checkpoint has it, one row per output channel. Where `….weight_scale` stands beside it, it is int8.
Where: every projection of wav2vec 2.0 — features to context, q, k, v and out of attention, both halves of the
feed-forward, the CTC head. Checkpoint: `….weight` (C_out, C_in), `….bias` (C_out,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.int8 import int8_linears
from xlsr_ref.ops.matmul import matmul
from xlsr_ref.ops.product import products
from xlsr_ref.ops.sums import sum_over_time
from xlsr_ref.ops.upstream import require_upstream


class LinearCache(NamedTuple):
    x: np.ndarray  # (T, C_in)  the gradient of W is dyᵀ x
    weight: np.ndarray  # (C_out, C_in)  the gradient of x is dy W


def linear(x: np.ndarray, p: dict) -> tuple[np.ndarray, LinearCache]:
    """``x`` (T, C_in) times the transpose of ``p["weight"]`` (C_out, C_in), plus ``p["bias"]``: y (T, C_out)."""
    (y,), (cache,) = linears(x, [p])
    return y, cache


def linears(x: np.ndarray, layers: Sequence[dict]) -> tuple[list[np.ndarray], list[LinearCache]]:
    """Several linear ``layers`` of the same ``x``, such as q, k and v: their results and their caches."""
    caches = [LinearCache(x, p["weight"]) for p in layers]
    if all("weight_scale" in p for p in layers):
        return int8_linears(x, layers), caches
    return products(x, [(p["weight"], p["bias"]) for p in layers]), caches


def linear_backward(dy: np.ndarray, cache: LinearCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C_in), weight (C_out, C_in) and bias (C_out,), from ``dy`` (T, C_out)."""
    x, weight = cache
    if weight.dtype == np.int8:
        raise ObjectiveError("int8 weights have no gradient: load the model in float32 to train it")
    require_upstream(dy, (len(x), len(weight)), x.dtype)
    dbias = sum_over_time(dy)  # undoes: … + b, which every frame shares
    dweight = matmul(dy.T, x)  # undoes: … Wᵀ, summed over the frames that went through it
    dx = matmul(dy, weight)  # undoes: x Wᵀ
    return dx, {"weight": dweight, "bias": dbias}
