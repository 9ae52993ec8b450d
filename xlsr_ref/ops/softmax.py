"""Softmax: turn a row of scores into probabilities.

    y_i = exp(x_i − m) / Σ_j exp(x_j − m)         m = max_j x_j

Without m the result is the same on paper, but exp overflows float32 at 89. With it the largest term is 1.
Where: inside attention, and over the CTC head's logits (Bridle 1990). It has no parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.backend import REORDER, choose, njit
from xlsr_ref.ops.upstream import require_upstream


class SoftmaxCache(NamedTuple):
    y: np.ndarray  # (rows, V)  the slope is a function of the result alone


def softmax(x: np.ndarray) -> tuple[np.ndarray, SoftmaxCache]:
    """The softmax of each row of ``x`` (rows, V): y (rows, V), its rows summing to 1."""
    y = softmax_in_place(x.copy())
    return y, SoftmaxCache(y)


def softmax_backward(dy: np.ndarray, cache: SoftmaxCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x (rows, V), from ``dy`` (rows, V). There are no parameters.

    ∂y_i/∂x_j = y_i (δ_ij − y_j): more of one score takes from all others, so a shift of the whole row changes nothing.
    """
    y = cache.y
    require_upstream(dy, y.shape, y.dtype)
    along_row = (dy * y).sum(axis=-1, keepdims=True)  # undoes: / Σ_j exp, which every score moves
    return y * (dy - along_row), {}  # undoes: exp(x_i) over that sum; m needs no line, since shifts change nothing


def log_softmax(x: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax of each row of ``x`` (rows, V), in float64: x_i − m − ln Σ_j exp(x_j − m).

    A row that holds NaN or +inf becomes NaN, without a warning.
    """
    with np.errstate(invalid="ignore"):
        wide = x.astype(np.float64)
        wide -= wide.max(axis=1, keepdims=True, initial=-np.inf)
        return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def softmax_in_place(scores: np.ndarray) -> np.ndarray:
    """Write the softmax of each row over ``scores`` (rows, V) and return it. NaN or +inf makes its whole row NaN."""
    return _softmax_in_place(scores)


# --- kernels ---------------------------------------------------------------------------------------------------------


def _softmax_in_place_numpy(scores: np.ndarray) -> np.ndarray:
    """The specification."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _softmax_in_place_numba(scores: np.ndarray) -> np.ndarray:
    if scores.dtype != np.float32:
        return _softmax_in_place_numpy(scores)
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
def exp_float32(x):
    """e^x for x ≤ 0."""
    clamped = LOWEST if x < LOWEST else x
    n = np.rint(clamped * LOG2_E)
    f = (clamped - n * LN2_HIGH) - n * LN2_LOW
    series = F0 + f * (F1 + f * (F2 + f * (F3 + f * (F4 + f * (F5 + f * (F6 + f * F7))))))
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return series * (ZERO if x < LOWEST else power)


@njit()
def _in_order(bits):
    """The bits of a float32 as an int32 that is larger for larger numbers, or such an int32 as bits again.

    Negative numbers have their size in the other bits than the sign: these are turned over.
    """
    return bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))


@njit(**REORDER)
def _softmax_float32_loop(scores):
    for t in range(scores.shape[0]):
        row, bits = scores[t], scores[t].view(np.int32)
        highest = _in_order(bits[0])
        for i in range(row.size):  # whole numbers, since a comparison of floats, for NaN, is not vectorised
            highest = max(highest, _in_order(bits[i]))
        largest = np.int32(_in_order(highest)).view(np.float32)
        for i in range(row.size):
            row[i] = exp_float32(row[i] - largest)
        total = np.float64(0)
        for i in range(row.size):
            total += row[i]
        scale = np.float32(1 / total)
        for i in range(row.size):
            row[i] *= scale


_softmax_in_place = choose(_softmax_in_place_numba, _softmax_in_place_numpy)
