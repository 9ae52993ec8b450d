"""Multi-head attention: every frame looks at every frame, and takes from each in proportion to how well they match.

    attention(x) = concat(head_1 … head_H) W_outᵀ + b_out
    head = softmax(q kᵀ / √D) v          q, k, v: the head's D columns of x W_qᵀ + b_q, x W_kᵀ + b_k, x W_vᵀ + b_v

The scores of a block of queries are made, normalised and used before the next block's, so the (T, T) matrix of all
scores is never in memory as a whole.
Where: wav2vec 2.0 §2; Vaswani et al. 2017 §3.2. There is no mask: an utterance is never padded here.
Checkpoint: `….attention.{q,k,v,out}_proj.{weight,bias}`.
Letters: T frames, C channels, H heads, D = C/H channels of a head.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward, linears
from xlsr_ref.ops.relative_positions import Positions, add_positions, add_positions_backward
from xlsr_ref.ops.rows import ROWS, by_rows
from xlsr_ref.ops.softmax import SoftmaxCache, softmax_backward, softmax_in_place
from xlsr_ref.ops.upstream import require_upstream

QUERIES = 256  # rows of a head's score matrix that one task holds
SCORES = 1 << 16  # and all its heads together: they stay in a core's cache


class ScaledDotProductCache(NamedTuple):
    q: np.ndarray  # (T, C)  with k enough to make the weights again
    k: np.ndarray  # (T, C)
    v: np.ndarray  # (T, C)
    heads: int
    factor: np.ndarray | None  # (H, T, T)  dropout of the weights
    positions: Positions | None = None  # where the scores depend on the distance, too

    @property
    def weights(self) -> np.ndarray:
        """The attention weights (H, T', T), before dropout: computed when they are asked for."""
        return attention_weights(self.q, self.k, self.heads, self.positions)


class AttentionCache(NamedTuple):
    q_proj: LinearCache
    k_proj: LinearCache
    v_proj: LinearCache
    heads: ScaledDotProductCache
    out_proj: LinearCache


class LongAttentionCache(NamedTuple):
    """Of a recording longer than a block of ops/rows.py: the rest is computed again in the backward pass."""

    x: np.ndarray  # (T, C)
    p: dict
    heads: int
    factor: np.ndarray | None


def attention(x: np.ndarray, p: dict, heads: int, factor: np.ndarray | None = None) -> tuple[np.ndarray, Any]:
    """Self-attention over ``x`` (T, C) with the projections in ``p``: y (T, C), and the cache.

    ``factor`` (H, T, T) is the dropout of the weights, see ops/dropout.py.
    """
    if len(x) > ROWS:
        return long_attention(x, p, heads, factor), LongAttentionCache(x, p, heads, factor)
    return whole_attention(x, p, heads, factor)


def whole_attention(x: np.ndarray, p: dict, heads: int, factor: np.ndarray | None) -> tuple[np.ndarray, AttentionCache]:
    (q, k, v), (q_cache, k_cache, v_cache) = linears(x, [p["q_proj"], p["k_proj"], p["v_proj"]])
    mixed, mixed_cache = scaled_dot_product(q, k, v, heads, factor)
    y, out_cache = linear(mixed, p["out_proj"])
    return y, AttentionCache(q_cache, k_cache, v_cache, mixed_cache, out_cache)


def long_attention(x: np.ndarray, p: dict, heads: int, factor: np.ndarray | None) -> np.ndarray:
    """The same, one block of queries after the other: only keys and values are in memory for the whole recording."""
    (k, v), _ = linears(x, [p["k_proj"], p["v_proj"]])

    def some(rows: slice) -> tuple[np.ndarray, None]:
        q, _ = linear(x[rows], p["q_proj"])
        mixed, _ = scaled_dot_product(q, k, v, heads, None if factor is None else factor[:, rows])
        return linear(mixed, p["out_proj"])[0], None

    return by_rows(some, len(x))[0]


def attention_backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the four projections, from ``dy`` (T, C)."""
    if isinstance(cache, LongAttentionCache):
        _, cache = whole_attention(*cache)
    dmixed, out_grads = linear_backward(dy, cache.out_proj)  # undoes: mixed W_outᵀ + b_out
    dq, dk, dv = scaled_dot_product_backward(dmixed, cache.heads)  # undoes: softmax(q kᵀ / √D) v
    dx_from_q, q_grads = linear_backward(dq, cache.q_proj)  # undoes: x W_qᵀ + b_q
    dx_from_k, k_grads = linear_backward(dk, cache.k_proj)  # undoes: x W_kᵀ + b_k
    dx_from_v, v_grads = linear_backward(dv, cache.v_proj)  # undoes: x W_vᵀ + b_v
    dx = dx_from_q + dx_from_k + dx_from_v  # x is used three times
    return dx, {"q_proj": q_grads, "k_proj": k_grads, "v_proj": v_grads, "out_proj": out_grads}


def scaled_dot_product(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    heads: int,
    factor: np.ndarray | None = None,
    positions: Positions | None = None,
) -> tuple[np.ndarray, ScaledDotProductCache]:
    """softmax(q kᵀ / √D) v for each head's columns of ``q`` (T', C) and ``k``, ``v`` (T, C): (T', C), and the cache.

    ``factor`` (H, T', T) is the dropout of the weights. The queries may be some of the frames only. ``positions`` add
    to q kᵀ what depends on the distance of query and key (relative_positions.py).
    """
    (rows, C), T = q.shape, len(k)
    scale = 1 / math.sqrt(C // heads)
    mixed = np.empty_like(q)
    q_heads, mixed_heads = _by_head(q, heads), _by_head(mixed, heads)  # (H, T, D)
    head_blocks, query_blocks = _blocks(heads, rows, T)

    def some(these: slice) -> None:
        k_here, v_here = (_together(each, heads, these) for each in (k, v))  # (these heads, T, D)
        for queries in query_blocks:
            scores = (q_heads[these, queries] * scale) @ k_here.swapaxes(1, 2)  # (these heads, queries, T)
            if positions is not None:
                _add_position_scores(scores, positions, heads, these, queries, scale)
            weights = _softmax_of_rows(scores)
            if factor is not None:
                weights *= factor[these, queries]
            np.matmul(weights, v_here, out=mixed_heads[these, queries])  # (these heads, queries, D)

    threads.run((partial(some, these) for these in head_blocks), 2 * rows * T * C)
    return mixed, ScaledDotProductCache(q, k, v, heads, factor, positions)


def scaled_dot_product_backward(
    dmixed: np.ndarray, cache: ScaledDotProductCache
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients with respect to q, k and v, each (T, C), from ``dmixed`` (T, C). Those of positions: the next function.

    The weights are made again from q and k: the same numbers, for one more product.
    """
    (dq, dk, dv), _ = relative_dot_product_backward(dmixed, cache)
    return dq, dk, dv


def relative_dot_product_backward(
    dmixed: np.ndarray, cache: ScaledDotProductCache
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """The same, and the gradients with respect to the positions' q (T, C) and table, where there are positions."""
    q, k, v, heads, factor, positions = cache
    require_upstream(dmixed, q.shape, q.dtype)
    T, C = k.shape
    scale = 1 / math.sqrt(C // heads)
    dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    q_heads, dq_heads, dk_heads, dv_heads = (_by_head(each, heads) for each in (q, dq, dk, dv))  # (H, T, D)
    dpositions = (
        None if positions is None else (np.empty_like(q), np.zeros((heads, *positions.table.shape[1:]), q.dtype))
    )
    head_blocks, query_blocks = _blocks(heads, len(q), T)

    def some(these: slice) -> None:
        k_here, v_here, dmixed_here = (_together(each, heads, these) for each in (k, v, dmixed))
        dk_here, dv_here = np.zeros_like(k_here), np.zeros_like(v_here)
        for queries in query_blocks:  # in order: dk and dv are sums over all queries
            scaled = q_heads[these, queries] * scale
            scores = scaled @ k_here.swapaxes(1, 2)
            if positions is not None:
                _add_position_scores(scores, positions, heads, these, queries, scale)
            weights = _softmax_of_rows(scores)
            dropped = weights if factor is None else weights * factor[these, queries]
            dv_here += dropped.swapaxes(1, 2) @ dmixed_here[:, queries]  # undoes: weights v, seen from v
            dweights = dmixed_here[:, queries] @ v_here.swapaxes(1, 2)  # and from the weights
            if factor is not None:
                dweights *= factor[these, queries]  # undoes: dropout
            dscores, _ = softmax_backward(dweights, SoftmaxCache(weights))  # undoes: softmax
            dq_heads[these, queries] = (dscores @ k_here) * scale  # undoes: q kᵀ / √D, seen from q
            dk_here += dscores.swapaxes(1, 2) @ scaled  # and from k
            if positions is not None and dpositions is not None:  # undoes: … + g[i, j − i]
                dq_table, dtable = _position_scores_backward(dscores, positions, heads, these, queries, scale)
                _by_head(dpositions[0], heads)[these, queries] = dq_table
                dpositions[1][these] += dtable
        dk_heads[these], dv_heads[these] = dk_here, dv_here

    threads.run((partial(some, these) for these in head_blocks), 5 * T * T * C)
    if positions is not None and dpositions is not None and len(positions.table) < heads:  # the heads share it
        dpositions = dpositions[0], dpositions[1].sum(axis=0, keepdims=True)
    return (dq, dk, dv), dpositions


def attention_weights(q: np.ndarray, k: np.ndarray, heads: int, positions: Positions | None = None) -> np.ndarray:
    """The attention weights softmax(q kᵀ / √D) of each head, (H, T', T): rows sum to 1.

    ``q`` (T', C) and ``k`` (T, C) are those of a ScaledDotProductCache. Those of a long recording take gigabytes.
    """
    scale = 1 / math.sqrt(q.shape[1] // heads)
    scores = (_by_head(q, heads) * scale) @ _by_head(k, heads).swapaxes(1, 2)
    if positions is not None:
        _add_position_scores(scores, positions, heads, slice(0, heads), slice(0, len(q)), scale)
    return _softmax_of_rows(scores)


def _by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """``x`` (T, C) seen as (H, T, D): no copy."""
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def _together(x: np.ndarray, heads: int, these: slice) -> np.ndarray:
    """These heads of ``x`` (T, C), each with its frames side by side (these heads, T, D): BLAS reads them faster."""
    return np.ascontiguousarray(_by_head(x, heads)[these])


def _add_position_scores(
    scores: np.ndarray, positions: Positions, heads: int, these: slice, queries: slice, scale: float
) -> None:
    """Add to ``scores`` (these heads, queries, T), in place, those of the distances: q · table, looked up."""
    table = positions.table if len(positions.table) == 1 else positions.table[these]  # (1 or these heads, P, D)
    g = (_by_head(positions.q, heads)[these, queries] * scale) @ table.swapaxes(1, 2)  # (these heads, queries, P)
    add_positions(scores, g, positions.first + queries.start, positions.left)


def _position_scores_backward(
    dscores: np.ndarray, positions: Positions, heads: int, these: slice, queries: slice, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to the positions' q (these heads, queries, D) and table (these heads, P, D)."""
    P = positions.table.shape[1]
    table = positions.table if len(positions.table) == 1 else positions.table[these]
    dg = add_positions_backward(dscores, P, positions.first + queries.start, positions.left)  # undoes: the look-up
    scaled = _by_head(positions.q, heads)[these, queries] * scale
    return (dg @ table) * scale, dg.swapaxes(1, 2) @ scaled  # undoes: q · table


def _blocks(heads: int, queries: int, T: int) -> tuple[list[slice], list[slice]]:
    """Heads, and queries, of which one task holds the scores: several heads only where an utterance is short."""
    query_blocks = threads.blocks(queries, QUERIES)
    rows = query_blocks[0].stop
    return threads.blocks(heads, max(1, SCORES // (rows * T))), query_blocks


def _softmax_of_rows(scores: np.ndarray) -> np.ndarray:
    """The softmax of each row of ``scores`` (H, rows, T), in their place."""
    return softmax_in_place(scores.reshape(-1, scores.shape[2])).reshape(scores.shape)
