"""Multi-head attention: every frame looks at every frame, and takes from each in proportion to how well they match.

    attention(x) = concat(head_1 … head_H) W_outᵀ + b_out
    head = softmax(q kᵀ / √D) v          q, k, v: the head's D columns of x W_qᵀ + b_q, x W_kᵀ + b_k, x W_vᵀ + b_v

The scores of a block of queries are made, normalised and used before the next block's, so the (T, T) matrix of all
scores never stands in memory at once.
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
from xlsr_ref.ops.softmax import SoftmaxCache, softmax_backward, softmax_in_place
from xlsr_ref.ops.upstream import require_upstream

QUERIES = 256  # rows of a head's score matrix that one task holds
SCORES = 1 << 16  # and all its heads together: they stay in a core's cache


class ScaledDotProductCache(NamedTuple):
    q: np.ndarray  # (T, C)  with k enough to make the weights again
    k: np.ndarray  # (T, C)
    v: np.ndarray  # (T, C)
    heads: int
    weights: np.ndarray | None  # (H, T, T)  rows sum to 1; only with keep_weights
    factor: np.ndarray | None  # (H, T, T)  dropout of the weights


class AttentionCache(NamedTuple):
    q_proj: LinearCache
    k_proj: LinearCache
    v_proj: LinearCache
    heads: ScaledDotProductCache
    out_proj: LinearCache


def attention(
    x: np.ndarray,
    p: dict,
    heads: int,
    keep_weights: bool = False,
    factor: np.ndarray | None = None,
    keep: bool = True,
) -> tuple[np.ndarray, Any]:
    """Self-attention over ``x`` (T, C) with the projections in ``p``: y (T, C), and the AttentionCache.

    ``keep_weights`` stores the weights (H, T, T); ``factor`` (H, T, T) is their dropout, see ops/dropout.py. Without
    ``keep`` there is no cache and the heads write over q.
    """
    (q, k, v), (q_cache, k_cache, v_cache) = linears(x, [p["q_proj"], p["k_proj"], p["v_proj"]])
    mixed, mixed_cache = scaled_dot_product(q, k, v, heads, keep_weights, factor, None if keep else q)
    if not keep:
        del q, k, v, mixed_cache  # what ten minutes of them take is needed for the output
    y, out_cache = linear(mixed, p["out_proj"])
    return y, AttentionCache(q_cache, k_cache, v_cache, mixed_cache, out_cache) if keep else None


def attention_backward(dy: np.ndarray, cache: AttentionCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the four projections, from ``dy`` (T, C)."""
    dmixed, out_grads = linear_backward(dy, cache.out_proj)  # undoes: mixed W_outᵀ + b_out
    dq, dk, dv = scaled_dot_product_backward(dmixed, cache.heads)  # undoes: softmax(q kᵀ / √D) v
    dx_from_q, q_grads = linear_backward(dq, cache.q_proj)  # undoes: x W_qᵀ + b_q
    dx_from_k, k_grads = linear_backward(dk, cache.k_proj)  # undoes: x W_kᵀ + b_k
    dx_from_v, v_grads = linear_backward(dv, cache.v_proj)  # undoes: x W_vᵀ + b_v
    dx = dx_from_q + dx_from_k + dx_from_v  # x went three ways
    return dx, {"q_proj": q_grads, "k_proj": k_grads, "v_proj": v_grads, "out_proj": out_grads}


def scaled_dot_product(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    heads: int,
    keep_weights: bool = False,
    factor: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, ScaledDotProductCache]:
    """softmax(q kᵀ / √D) v for each head's columns of ``q``, ``k``, ``v`` (T, C): (T, C).

    It is written to ``out``, where given. That may be q: a head's queries serve only the rows that replace them.
    """
    T, C = q.shape
    D = C // heads
    scale = 1 / math.sqrt(D)
    mixed = np.empty_like(v) if out is None else out
    kept = np.empty((heads, T, T), q.dtype) if keep_weights else None
    q_heads, k_heads, v_heads, mixed_heads = (_by_head(each, heads) for each in (q, k, v, mixed))  # (H, T, D)

    def some_queries_of_some_heads(some: slice, rows: slice) -> None:
        scores = (q_heads[some, rows] * scale) @ k_heads[some].swapaxes(1, 2)  # (some heads, rows, T)
        weights = _softmax_of_rows(scores)
        if kept is not None:
            kept[some, rows] = weights
        if factor is not None:
            weights *= factor[some, rows]
        np.matmul(weights, v_heads[some], out=mixed_heads[some, rows])  # (some heads, rows, D)

    head_blocks, query_blocks = _blocks(heads, T)
    tasks = (partial(some_queries_of_some_heads, some, rows) for some in head_blocks for rows in query_blocks)
    threads.run(tasks, 2 * T * T * C)
    return mixed, ScaledDotProductCache(q, k, v, heads, kept, factor)


def scaled_dot_product_backward(
    dmixed: np.ndarray, cache: ScaledDotProductCache
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients with respect to q, k and v, each (T, C), from ``dmixed`` (T, C).

    Weights that were not kept are made again from q and k: the same numbers, for one more product.
    """
    q, k, v, heads, kept, factor = cache
    require_upstream(dmixed, v.shape, v.dtype)
    T, C = q.shape
    D = C // heads
    scale = 1 / math.sqrt(D)
    dq, dk, dv = np.empty_like(q), np.zeros_like(k), np.zeros_like(v)
    q_heads, k_heads, v_heads, dmixed_heads = (_by_head(each, heads) for each in (q, k, v, dmixed))  # (H, T, D)
    dq_heads, dk_heads, dv_heads = (_by_head(each, heads) for each in (dq, dk, dv))

    head_blocks, query_blocks = _blocks(heads, T)

    def some_heads(some: slice) -> None:
        for rows in query_blocks:  # in order: dk and dv are sums over all queries
            scaled = q_heads[some, rows] * scale
            weights = kept[some, rows] if kept is not None else None
            if weights is None:
                weights = _softmax_of_rows(scaled @ k_heads[some].swapaxes(1, 2))
            dropped = weights if factor is None else weights * factor[some, rows]
            dv_heads[some] += dropped.swapaxes(1, 2) @ dmixed_heads[some, rows]  # undoes: weights v, seen from v
            dweights = dmixed_heads[some, rows] @ v_heads[some].swapaxes(1, 2)  # and from the weights
            if factor is not None:
                dweights *= factor[some, rows]  # undoes: dropout
            dscores, _ = softmax_backward(dweights, SoftmaxCache(weights))  # undoes: softmax
            dq_heads[some, rows] = (dscores @ k_heads[some]) * scale  # undoes: q kᵀ / √D, seen from q
            dk_heads[some] += dscores.swapaxes(1, 2) @ scaled  # and from k

    threads.run((partial(some_heads, some) for some in head_blocks), 5 * T * T * C)
    return dq, dk, dv


def _by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """``x`` (T, C) seen as (H, T, D): no copy."""
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def _blocks(heads: int, T: int) -> tuple[list[slice], list[slice]]:
    """Heads, and queries, of which one task holds the scores: several heads only where an utterance is short."""
    query_blocks = threads.blocks(T, QUERIES)
    rows = query_blocks[0].stop
    return threads.blocks(heads, max(1, SCORES // (rows * T))), query_blocks


def _softmax_of_rows(scores: np.ndarray) -> np.ndarray:
    """The softmax of each row of ``scores`` (H, rows, T), in their place."""
    return softmax_in_place(scores.reshape(-1, scores.shape[2])).reshape(scores.shape)
