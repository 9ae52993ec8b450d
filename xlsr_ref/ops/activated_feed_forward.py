"""The feed-forward with any activation: every frame alone goes through a wider layer and back.

    feed_forward(x) = act(x W₁ᵀ + b₁) W₂ᵀ + b₂         act: swish in a block, relu in an adapter

A Conformer block has two of them, and each counts half. While training, both layers' results have a dropout.
Where: Gulati et al. 2020, §2.3. Checkpoint: `….{intermediate,output}_dense`. Letters: T frames, C and F channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.activation import ACTIVATIONS
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.rows import by_rows, by_rows_backward

Factor = np.ndarray | None  # from ops/dropout.py; None: nothing is dropped


class FeedForwardCache(NamedTuple):
    wide: LinearCache
    act: str
    active: Any  # the activation's cache
    dropped: DropoutCache  # of the F channels
    narrow: LinearCache
    out: DropoutCache


def feed_forward(x: np.ndarray, p: dict, act: str, masks: Sequence[Factor]) -> tuple[np.ndarray, Any]:
    """``x`` (T, C) to (T, C), and the cache. ``act`` is a name of ops/activation.py. A long recording goes by rows.

    ``masks`` are the dropout of the inner channels (T, F) and that of the result (T, C).
    """

    def some(rows: slice) -> tuple[np.ndarray, FeedForwardCache]:
        return _some_rows(x[rows], p, act, *(None if factor is None else factor[rows] for factor in masks))

    return by_rows(some, len(x))


def feed_forward_backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and both layers, from ``dy`` (T, C)."""
    return by_rows_backward(_some_rows_backward, dy, cache)


def _some_rows(x: np.ndarray, p: dict, act: str, inner: Factor, outer: Factor) -> tuple[np.ndarray, FeedForwardCache]:
    wide, wide_cache = linear(x, p["intermediate_dense"])  # (T, F)
    active, act_cache = ACTIVATIONS[act][0](wide)
    dropped, dropped_cache = dropout(active, inner)
    narrow, narrow_cache = linear(dropped, p["output_dense"])  # (T, C)
    y, out_cache = dropout(narrow, outer)
    return y, FeedForwardCache(wide_cache, act, act_cache, dropped_cache, narrow_cache, out_cache)


def _some_rows_backward(dy: np.ndarray, cache: FeedForwardCache) -> tuple[np.ndarray, dict]:
    grads = {}
    dnarrow, _ = dropout_backward(dy, cache.out)  # undoes: dropout
    ddropped, grads["output_dense"] = linear_backward(dnarrow, cache.narrow)  # undoes: … W₂ᵀ + b₂
    dactive, _ = dropout_backward(ddropped, cache.dropped)  # undoes: dropout
    dwide, _ = ACTIVATIONS[cache.act][1](dactive, cache.active)  # undoes: act
    dx, grads["intermediate_dense"] = linear_backward(dwide, cache.wide)  # undoes: x W₁ᵀ + b₁
    return dx, grads
