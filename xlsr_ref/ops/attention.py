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
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.linear import LinearCache, linear
from xlsr_ref.ops.softmax import softmax_in_place

QUERIES = 256  # rows of the score matrix that one task holds


class ScaledDotProductCache(NamedTuple):
    q: np.ndarray  # (T, C)  with k enough to make the weights again
    k: np.ndarray  # (T, C)
    v: np.ndarray  # (T, C)
    heads: int
    weights: np.ndarray | None  # (H, T, T)  rows sum to 1; only with keep_weights


class AttentionCache(NamedTuple):
    q_proj: LinearCache
    k_proj: LinearCache
    v_proj: LinearCache
    heads: ScaledDotProductCache
    out_proj: LinearCache


def attention(x: np.ndarray, p: dict, heads: int, keep_weights: bool = False) -> tuple[np.ndarray, AttentionCache]:
    """Self-attention over ``x`` (T, C) with the projections in ``p``: y (T, C). ``keep_weights`` stores (H, T, T)."""
    q, q_cache = linear(x, p["q_proj"])
    k, k_cache = linear(x, p["k_proj"])
    v, v_cache = linear(x, p["v_proj"])
    mixed, mixed_cache = scaled_dot_product(q, k, v, heads, keep_weights)
    y, out_cache = linear(mixed, p["out_proj"])
    return y, AttentionCache(q_cache, k_cache, v_cache, mixed_cache, out_cache)


def scaled_dot_product(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, keep_weights: bool = False
) -> tuple[np.ndarray, ScaledDotProductCache]:
    """softmax(q kᵀ / √D) v for each head's columns of ``q``, ``k``, ``v`` (T, C): (T, C)."""
    T, C = q.shape
    D = C // heads
    scale = 1 / math.sqrt(D)
    mixed = np.empty_like(v)
    kept = np.empty((heads, T, T), q.dtype) if keep_weights else None

    def some_queries_of_one_head(head: int, rows: slice) -> None:
        columns = slice(head * D, (head + 1) * D)
        scores = (q[rows, columns] * scale) @ k[:, columns].T  # (rows, T)
        weights = softmax_in_place(scores)
        np.matmul(weights, v[:, columns], out=mixed[rows, columns])  # (rows, D)
        if kept is not None:
            kept[head, rows] = weights

    query_blocks = threads.blocks(T, QUERIES)
    threads.run(partial(some_queries_of_one_head, head, rows) for head in range(heads) for rows in query_blocks)
    return mixed, ScaledDotProductCache(q, k, v, heads, kept)
