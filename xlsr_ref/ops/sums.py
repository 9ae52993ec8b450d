"""Sums over time: the gradient of whatever every frame shares, such as a bias.

    s[c] = Σ_t x[t, c]         x (T, C), s (C,)

A float32 running sum loses digits with every frame, so it is taken in float64 and rounded once, at the end.
Letters: T frames, C channels.
"""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops.backend import choose, njit


def sum_over_time(x: np.ndarray) -> np.ndarray:
    """The sum of each channel of ``x`` (T, C) over its frames: (C,), in the dtype of ``x``."""
    return _sum_over_time(x)


# --- kernels ---------------------------------------------------------------------------------------------------------


def _sum_over_time_numpy(x: np.ndarray) -> np.ndarray:
    """The specification."""
    return x.sum(axis=0, dtype=np.float64).astype(x.dtype)


def _sum_over_time_numba(x: np.ndarray) -> np.ndarray:
    total = np.zeros(x.shape[1])
    _sum_over_time_loop(x, total)
    return total.astype(x.dtype)


@njit()
def _sum_over_time_loop(x, total):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            total[c] += x[t, c]


_sum_over_time = choose(_sum_over_time_numba, _sum_over_time_numpy)
