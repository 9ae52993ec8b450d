"""Multi-head attention: every frame looks at every frame, and takes from each in proportion to how well they match.

    attention(x) = concat(head_1 … head_H) W_outᵀ + b_out
    head = softmax(q kᵀ / √D) v          q, k, v: the head's D columns of x W_qᵀ + b_q, x W_kᵀ + b_k, x W_vᵀ + b_v

softmax subtracts each row's maximum first: the result is the same and exp cannot overflow. The scores of a block of
queries are made, normalised and used before the next block's, so the (T, T) matrix never stands in memory at once.
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
from xlsr_ref.ops.backend import REORDER, choose, njit
from xlsr_ref.ops.linear import LinearCache, linear

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


# --- kernels ---------------------------------------------------------------------------------------------------------


def _softmax_numpy(scores: np.ndarray) -> np.ndarray:
    """The specification: softmax over the last axis, written over ``scores``."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _softmax_numba(scores: np.ndarray) -> np.ndarray:
    if scores.dtype != np.float32:
        return _softmax_numpy(scores)
    _softmax_float32_loop(scores)
    return scores


# np.exp inside a loop is one call per element; this vectorises. With n whole and |f| ≤ ln(2)/2,
#     e^x = 2^n e^f,      x = n ln 2 + f
# 2^n is n written into the exponent bits of a float32, and e^f is its Taylor series to f⁷/7! (error below 6e-9).
# ln 2 is split in two so that n ln 2 is exact. Results below 2^-126 become 0.
LOG2_E = np.float32(1 / math.log(2))
LN2_HIGH = np.float32(0.693359375)  # 355/512: few digits, so that n times it has no rounding
LN2_LOW = np.float32(math.log(2) - 0.693359375)
F0, F1, F2, F3, F4, F5, F6, F7 = (np.float32(1 / math.factorial(k)) for k in range(8))
LOWEST, ZERO = np.float32(-87.5), np.float32(0)  # e^-87.5 is 2^-126.2


@njit(fastmath={"contract"})
def _exp_float32(x):
    """e^x for x ≤ 0."""
    clamped = LOWEST if x < LOWEST else x
    n = np.rint(clamped * LOG2_E)
    f = (clamped - n * LN2_HIGH) - n * LN2_LOW
    series = F0 + f * (F1 + f * (F2 + f * (F3 + f * (F4 + f * (F5 + f * (F6 + f * F7))))))
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return series * (ZERO if x < LOWEST else power)


@njit(**REORDER)
def _softmax_float32_loop(scores):
    for t in range(scores.shape[0]):
        row = scores[t]
        largest = row[0]
        for i in range(row.size):
            largest = row[i] if row[i] > largest else largest
        for i in range(row.size):
            row[i] = _exp_float32(row[i] - largest)
        total = 0.0
        for i in range(row.size):
            total += row[i]
        scale = np.float32(1 / total)
        for i in range(row.size):
            row[i] *= scale


softmax_in_place = choose(_softmax_numba, _softmax_numpy)
