"""The feed-forward: every frame alone goes through a wider layer and back.

    feed_forward(x) = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂         F channels between the two, usually 4 C

Where: wav2vec 2.0 §2; Vaswani et al. 2017 §3.3. While training, the F channels have a dropout of their own.
Checkpoint: `….feed_forward.{intermediate,output}_dense`. Letters: T frames, C channels, F inner channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.rows import by_rows, by_rows_backward


class FeedForwardCache(NamedTuple):
    intermediate_dense: LinearCache
    activation: GeluCache
    dropout: DropoutCache  # of the F channels
    output_dense: LinearCache


def feed_forward(x: np.ndarray, p: dict, factor: np.ndarray | None = None) -> tuple[np.ndarray, Any]:
    """``x`` (T, C) to (T, C), and the cache. ``factor`` (T, F) is the dropout of the inner channels.

    A long recording goes through in blocks of rows (ops/rows.py).
    """

    def some(rows: slice) -> tuple[np.ndarray, FeedForwardCache]:
        return feed_forward_rows(x[rows], p, None if factor is None else factor[rows])

    return by_rows(some, len(x))


def feed_forward_rows(x: np.ndarray, p: dict, factor: np.ndarray | None) -> tuple[np.ndarray, FeedForwardCache]:
    wide, wide_cache = linear(x, p["intermediate_dense"])  # (T, F)
    active, gelu_cache = gelu(wide)
    active, dropout_cache = dropout(active, factor)
    y, output_cache = linear(active, p["output_dense"])  # (T, C)
    return y, FeedForwardCache(wide_cache, gelu_cache, dropout_cache, output_cache)


def feed_forward_backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and both layers, from ``dy`` (T, C)."""
    return by_rows_backward(feed_forward_rows_backward, dy, cache)


def feed_forward_rows_backward(dy: np.ndarray, cache: FeedForwardCache) -> tuple[np.ndarray, dict]:
    dactive, output_grads = linear_backward(dy, cache.output_dense)  # undoes: … W₂ᵀ + b₂
    dactive, _ = dropout_backward(dactive, cache.dropout)  # undoes: dropout
    dwide, _ = gelu_backward(dactive, cache.activation)  # undoes: GELU
    dx, wide_grads = linear_backward(dwide, cache.intermediate_dense)  # undoes: x W₁ᵀ + b₁
    return dx, {"intermediate_dense": wide_grads, "output_dense": output_grads}
