"""Causal depthwise convolution over time: each channel has one small kernel, which sees the present and the past.

    y[t, c] = Σ_k W[c, 0, k] x[t − (K − 1) + k, c]          zeros before the first frame; y is as long as x

Where: Gulati et al. 2020 (Conformer), made causal in Wav2Vec2-BERT. It has no bias. Checkpoint: `….weight` (C, 1, K).
Letters: T frames, C channels, K kernel.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import choose, njit
from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.upstream import require_upstream


class CausalConvCache(NamedTuple):
    x: np.ndarray  # (T, C)  the gradient of a tap is a product with the frames that it saw
    weight: np.ndarray  # (C, 1, K)


def causal_conv(x: np.ndarray, p: dict) -> tuple[np.ndarray, CausalConvCache]:
    """Slide ``p["weight"]`` (C, 1, K) over ``x`` (T, C): y (T, C), and the cache."""
    return _causal_conv(np.ascontiguousarray(x), derived(taps_of, p["weight"])), CausalConvCache(x, p["weight"])


def causal_conv_backward(dy: np.ndarray, cache: CausalConvCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and weight (C, 1, K), from ``dy`` (T, C)."""
    x, weight = cache
    require_upstream(dy, x.shape, x.dtype)
    T, K = len(x), weight.shape[2]
    # undoes: Σ_k W[k] x[t − (K − 1) + k]. Seen from x it is the same sum with time turned round
    dx = _causal_conv(np.ascontiguousarray(dy[::-1]), derived(taps_of, weight))[::-1]
    dweight = np.zeros_like(weight)
    for k in range(max(0, K - T), K):  # and from each tap, which saw the frames `ago` before
        ago = K - 1 - k
        dweight[:, 0, k] = (dy[ago:] * x[: T - ago]).sum(axis=0, dtype=np.float64)
    return np.ascontiguousarray(dx), {"weight": dweight}


def taps_of(weight: np.ndarray) -> np.ndarray:
    """``weight`` (C, 1, K) as the loops take it: (K, C), a copy."""
    return np.ascontiguousarray(weight[:, 0].T)


# --- kernels ---------------------------------------------------------------------------------------------------------

ROWS = 64  # frames that one task computes


def _causal_conv_numpy(x, taps):
    """The specification."""
    K = len(taps)
    padded = np.pad(x, ((K - 1, 0), (0, 0)))
    y = np.zeros_like(x)
    for k in range(K):
        y += taps[k] * padded[k : k + len(x)]
    return y


def _causal_conv_numba(x, taps):
    y = np.zeros_like(x)
    tasks = (partial(_causal_conv_loop, x, taps, y, rows.start, rows.stop) for rows in threads.blocks(len(x), ROWS))
    threads.run(tasks, taps.size * len(x))
    return y


@njit(fastmath={"contract"})
def _causal_conv_loop(x, taps, y, start, stop):
    K, C = taps.shape
    for t in range(start, stop):
        for k in range(max(0, K - 1 - t), K):
            s = t - (K - 1) + k
            for c in range(C):
                y[t, c] += taps[k, c] * x[s, c]


_causal_conv = choose(_causal_conv_numba, _causal_conv_numpy)
