"""The feed-forward: every frame alone goes through a wider layer and back.

    feed_forward(x) = act(x W₁ᵀ + b₁) W₂ᵀ + b₂         F channels between the two, usually 4 C

act is GELU in wav2vec 2.0, swish in a Conformer block, relu in Wav2Vec2-BERT's adapter. While training, the F channels
have a dropout of their own, and Wav2Vec2-BERT's result has one, too.
Where: wav2vec 2.0 §2; Vaswani et al. 2017 §3.3; Gulati et al. 2020 §2.3.
Checkpoint: `….{intermediate,output}_dense`. Letters: T frames, C channels, F inner channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.activation import ACTIVATIONS
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.rows import by_rows, by_rows_backward

Factor = np.ndarray | None  # from ops/dropout.py; None: nothing is dropped


class FeedForwardCache(NamedTuple):
    intermediate_dense: LinearCache
    act: str
    activation: Any  # the cache of act
    inner: DropoutCache
    output_dense: LinearCache
    outer: DropoutCache


def feed_forward(
    x: np.ndarray, p: dict, inner: Factor = None, outer: Factor = None, act: str = "gelu"
) -> tuple[np.ndarray, Any]:
    """``x`` (T, C) to (T, C), and the cache. ``act`` is a name of ops/activation.py.

    ``inner`` (T, F) is the dropout of the inner channels, ``outer`` (T, C) that of the result. A long recording goes
    through in blocks of rows (ops/rows.py).
    """

    def some(rows: slice) -> tuple[np.ndarray, FeedForwardCache]:
        inner_rows, outer_rows = (None if factor is None else factor[rows] for factor in (inner, outer))
        return feed_forward_rows(x[rows], p, inner_rows, outer_rows, act)

    return by_rows(some, len(x))


def feed_forward_rows(
    x: np.ndarray, p: dict, inner: Factor, outer: Factor, act: str
) -> tuple[np.ndarray, FeedForwardCache]:
    wide, wide_cache = linear(x, p["intermediate_dense"])  # (T, F)
    active, act_cache = ACTIVATIONS[act][0](wide)
    active, inner_cache = dropout(active, inner)
    y, output_cache = linear(active, p["output_dense"])  # (T, C)
    y, outer_cache = dropout(y, outer)
    return y, FeedForwardCache(wide_cache, act, act_cache, inner_cache, output_cache, outer_cache)


def feed_forward_backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and both layers, from ``dy`` (T, C)."""
    return by_rows_backward(feed_forward_rows_backward, dy, cache)


def feed_forward_rows_backward(dy: np.ndarray, cache: FeedForwardCache) -> tuple[np.ndarray, dict]:
    dy, _ = dropout_backward(dy, cache.outer)  # undoes: the outer dropout
    dactive, output_grads = linear_backward(dy, cache.output_dense)  # undoes: … W₂ᵀ + b₂
    dactive, _ = dropout_backward(dactive, cache.inner)  # undoes: the inner dropout
    dwide, _ = ACTIVATIONS[cache.act][1](dactive, cache.activation)  # undoes: act
    dx, wide_grads = linear_backward(dwide, cache.intermediate_dense)  # undoes: x W₁ᵀ + b₁
    return dx, {"intermediate_dense": wide_grads, "output_dense": output_grads}
