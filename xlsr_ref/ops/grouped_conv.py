"""Grouped convolution over time: each group of channels has its own kernels, and the result is as long as the input.

    y[t, o] = Σ_k Σ_i W[o, i, k] x[t + k − ⌊K/2⌋, i] + b[o]     o and i in the same of G groups, zeros beyond the ends

Several taps of the kernel are multiplied at once, as one matrix product over windows of frames laid end to end.
Where: wav2vec 2.0 §2 (its relative positional embedding). Letters: T frames, C channels, K kernel, G groups.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xlsr_ref.ops import threads
from xlsr_ref.ops.sums import sum_over_time
from xlsr_ref.ops.upstream import require_upstream

COLUMNS = 512  # numbers in a row of the windows: as many taps as fit are multiplied at once
WINDOWS = 1 << 18  # numbers in all the windows that one task copies


class GroupedConvCache(NamedTuple):
    x: np.ndarray  # (T, C)  unpadded
    weight: np.ndarray  # (C, C/G, K)
    groups: int


def grouped_conv1d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int
) -> tuple[np.ndarray, GroupedConvCache]:
    """Slide ``weight`` (C, C/G, K) over ``x`` (T, C), zeros beyond both ends: y (T, C).

    There are K//2 zeros on either side. For even K that is one frame too many, and the last one is dropped.
    """
    y = _slide(x, weight, groups, before=weight.shape[2] // 2)
    y += bias
    return y, GroupedConvCache(x, weight, groups)


def grouped_conv1d_backward(dy: np.ndarray, cache: GroupedConvCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C), weight (C, C/G, K) and bias (C,), from ``dy`` (T, C)."""
    x, weight, groups = cache
    T, C = x.shape
    K, width = weight.shape[2], C // groups
    require_upstream(dy, x.shape, x.dtype)
    dbias = sum_over_time(dy)  # undoes: … + bias
    # undoes: Σ_k x[t + k − K//2] W[k]. Seen from x: dx[s] = Σ_k dy[s − k + K//2] W[k]ᵀ, a convolution with the kernel
    # turned round in time and each group's channels exchanged
    turned = weight.reshape(groups, width, width, K)[..., ::-1].swapaxes(1, 2).reshape(C, width, K)
    dx = _slide(dy, turned, groups, before=K - 1 - K // 2)
    dweight = np.empty_like(weight)
    dweight_groups = dweight.reshape(groups, width, width, K)  # (G, C/G out, C/G in, K)
    n = _taps_at_once(K, width)
    padded, dy_groups = _padded(x, groups, K, K // 2), _by_group(dy, groups)

    def some_groups(some: slice) -> None:  # undoes: the same line, seen from W[k]
        x_windows = _group_windows(padded[some], n, T, K)
        for k in range(0, K, n):
            dtaps = x_windows[:, k : k + T].swapaxes(1, 2) @ dy_groups[some]  # (some groups, n * C/G in, C/G out)
            taps = dtaps.reshape(len(dtaps), n, width, width)[:, : K - k]
            dweight_groups[some, :, :, k : k + n] = taps.transpose(0, 3, 2, 1)

    threads.run((partial(some_groups, some) for some in _group_blocks(groups, T, K, width)), T * weight.size)
    return dx, {"weight": dweight, "bias": dbias}


def _slide(x: np.ndarray, weight: np.ndarray, groups: int, before: int) -> np.ndarray:
    """y[t] = Σ_k x[t + k − before] W[k] inside each group, (T, C), with zeros beyond both ends of ``x`` (T, C)."""
    T, C = x.shape
    K, width = weight.shape[2], C // groups
    kernels = (
        weight.transpose(2, 1, 0).reshape(K, width, groups, width).transpose(2, 0, 1, 3)
    )  # (G, K, C/G in, C/G out)
    n = _taps_at_once(K, width)
    padded, y = _padded(x, groups, K, before), np.zeros_like(x)
    y_groups = _by_group(y, groups)

    def some_groups(some: slice) -> None:
        x_windows = _group_windows(padded[some], n, T, K)
        for k in range(0, K, n):  # Σ_k, n terms at a time: the windows that start k frames later
            taps = kernels[some, k : k + n].reshape(len(x_windows), -1, width)  # (some groups, n * C/G, C/G)
            y_groups[some] += x_windows[:, k : k + T, : taps.shape[1]] @ taps

    threads.run((partial(some_groups, some) for some in _group_blocks(groups, T, K, width)), T * weight.size)
    return y


def _by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """``x`` (T, C) seen as (G, T, C/G): no copy."""
    return x.reshape(len(x), groups, -1).swapaxes(0, 1)


def _padded(x: np.ndarray, groups: int, K: int, before: int) -> np.ndarray:
    """Each group's channels of ``x`` (T, C) as (G, T + 2K, C/G): ``before`` frames of zeros, x, zeros."""
    T, C = x.shape
    padded = np.zeros((groups, T + 2 * K, C // groups), x.dtype)
    padded[:, before : before + T] = _by_group(x, groups)
    return padded


def _taps_at_once(K: int, width: int) -> int:
    """How many kernel taps of ``width`` channels the grouped convolution multiplies at once; the last may be fewer."""
    products = math.ceil(K * width / COLUMNS)  # as few as that, and all nearly equal
    return math.ceil(K / products)


def _group_blocks(groups: int, T: int, K: int, width: int) -> list[slice]:
    """The groups of which one task copies the windows: several only where an utterance is short."""
    numbers = (T + K) * _taps_at_once(K, width) * width
    return threads.blocks(groups, max(1, WINDOWS // numbers))


def _group_windows(padded: np.ndarray, n: int, T: int, K: int) -> np.ndarray:
    """Every ``n`` neighbouring frames of a group as one row, copied, since BLAS wants its rows apart.

    From ``padded`` (some groups, T + 2K, C/G): (some groups, rows, n * C/G), as many rows as K taps begin with.
    """
    groups, _, width = padded.shape
    rows, (of_group, of_frame, _) = T + (K - 1) // n * n, padded.strides
    views = as_strided(padded, (groups, rows, n * width), (of_group, of_frame, padded.itemsize), writeable=False)
    return np.ascontiguousarray(views)
