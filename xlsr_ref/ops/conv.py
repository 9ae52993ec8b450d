"""Convolution over time, strided and grouped, and the weight norm that goes with the grouped one.

    strided:  y[t, o] = Σ_k Σ_i W[o, i, k] x[t·stride + k, i] + b[o]                        (no padding)
    grouped:  the same with stride 1 inside each of G groups of channels, and x padded with zeros so that T in = T out
    weight norm:  W = g · v / ‖v‖, the norm of each kernel tap taken over all output and input channels

A convolution is a matrix product over windows: K neighbouring frames, laid end to end, times the kernel as a matrix.
Where: wav2vec 2.0 §2 (feature encoder; the grouped one is its relative positional embedding); Salimans & Kingma 2016.
Checkpoint: `….conv.weight` (C_out, C_in/G, K), `….conv.bias` (C_out,); weight norm `weight_g` (1, 1, K) and `weight_v`
(C_out, C_in/G, K), or, as newer files spell it, `parametrizations.weight.original0` and `original1`.
Letters: T frames, C channels, K kernel, G groups.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xlsr_ref.ops import threads
from xlsr_ref.ops.matmul import matmul
from xlsr_ref.ops.sums import sum_over_time
from xlsr_ref.ops.upstream import require_upstream

ROWS = 512  # output frames of the strided convolution that one task computes
BACKWARD_ROWS = 4096  # and of its backward pass, whose windows are copied
COLUMNS = 512  # numbers in a row of the grouped convolution's windows: as many taps as fit are multiplied at once
WINDOWS = 1 << 18  # numbers in all the windows that one task of it copies
CHANNELS = 16  # of a grouped kernel that are put in order at once: they fit into a core's cache


class ConvCache(NamedTuple):
    x: np.ndarray  # (T_in, C_in)  the gradient of the kernel is a product with these windows
    weight: np.ndarray  # (C_out, C_in, K)
    stride: int
    has_bias: bool


class GroupedConvCache(NamedTuple):
    x: np.ndarray  # (T, C)  unpadded
    weight: np.ndarray  # (C, C/G, K)
    groups: int


class WeightNormCache(NamedTuple):
    v: np.ndarray  # (C_out, C_in/G, K)
    g: np.ndarray  # (1, 1, K)
    inv_norm: np.ndarray  # (1, 1, K)  1 / ‖v‖
    old_spelling: bool  # gradients go by the names that the checkpoint has


def conv1d(x: np.ndarray, p: dict, stride: int, matrix: np.ndarray | None = None) -> tuple[np.ndarray, ConvCache]:
    """Slide ``p["weight"]`` (C_out, C_in, K) over ``x`` (T_in, C_in): y (⌊(T_in − K)/stride⌋ + 1, C_out).

    ``p["bias"]`` (C_out,) is added where there is one. ``matrix`` is :func:`kernel_matrix` of the weight, where it is
    known. Fewer than K frames raise ValueError.
    """
    C_out, _, K = p["weight"].shape
    if len(x) < K:
        raise ValueError(f"a kernel of {K} needs at least {K} frames, not {len(x)}")
    kernel = kernel_matrix(p["weight"]) if matrix is None else matrix
    x_windows = windows(x, K, stride)  # (T_out, K*C_in): a view, windows overlap
    y = np.empty((len(x_windows), C_out), x.dtype)

    def rows_of_y(rows: slice) -> None:
        np.matmul(np.ascontiguousarray(x_windows[rows]), kernel, out=y[rows])  # BLAS wants its rows apart: copy
        if "bias" in p:
            y[rows] += p["bias"]

    threads.run(partial(rows_of_y, rows) for rows in threads.blocks(len(y), ROWS))
    return y, ConvCache(x, p["weight"], stride, "bias" in p)


def conv1d_backward(dy: np.ndarray, cache: ConvCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T_in, C_in), weight and, where there is one, bias, from ``dy`` (T_out, C_out)."""
    x, weight, stride, has_bias = cache
    C_out, C_in, K = weight.shape
    x_windows = windows(x, K, stride)  # (T_out, K*C_in)
    require_upstream(dy, (len(x_windows), C_out), x.dtype)
    kernel = weight.transpose(0, 2, 1).reshape(C_out, K * C_in)
    dkernel, dx = np.zeros_like(kernel), np.zeros_like(x)
    for rows in threads.blocks(len(dy), BACKWARD_ROWS):  # one after the other: windows overlap, sums have an order
        some_windows = np.ascontiguousarray(x_windows[rows])
        dkernel += matmul(dy[rows].T, some_windows)  # undoes: windows times kernel, seen from the kernel
        dwindows = matmul(dy[rows], kernel).reshape(-1, K, C_in)  # and from the windows
        for k in range(K):  # undoes: windows. A frame that was in several of them gets the sum
            first = rows.start * stride + k
            dx[first : first + (len(dwindows) - 1) * stride + 1 : stride] += dwindows[:, k]
    grads = {"weight": np.ascontiguousarray(dkernel.reshape(C_out, K, C_in).transpose(0, 2, 1))}
    if has_bias:
        grads["bias"] = sum_over_time(dy)  # undoes: … + bias
    return dx, grads


def kernel_matrix(weight: np.ndarray) -> np.ndarray:
    """``weight`` (C_out, C_in, K) as the matrix that windows are multiplied by: (K*C_in, C_out), a copy."""
    C_out, C_in, K = weight.shape
    return weight.transpose(2, 1, 0).reshape(K * C_in, C_out)


def tap_by_tap(weight: np.ndarray) -> np.ndarray:
    """``weight`` (C, C/G, K) as it is, but in memory tap by tap: so the grouped convolution reads it without a copy."""
    ordered = np.empty_like(weight, order="F")

    def some(channels: slice) -> None:
        ordered[channels] = weight[channels]

    threads.run(partial(some, channels) for channels in threads.blocks(len(weight), CHANNELS))
    return ordered


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


def weight_norm(p: dict) -> tuple[np.ndarray, WeightNormCache]:
    """The effective kernel (C_out, C_in/G, K) from its direction ``v`` and, for each tap, its length ``g``."""
    g, v = weight_norm_parts(p)
    squares = (v * v).sum(axis=(0, 1), keepdims=True, dtype=np.float64)  # (1, 1, K)
    inv_norm = (1 / np.sqrt(squares)).astype(v.dtype)
    return v * (g * inv_norm), WeightNormCache(v, g, inv_norm, "weight_g" in p)


def weight_norm_backward(dweight: np.ndarray, cache: WeightNormCache) -> dict:
    """Gradients of g (1, 1, K) and v, under the checkpoint's names, from ``dweight`` (C_out, C_in/G, K)."""
    v, g, inv_norm, old_spelling = cache
    require_upstream(dweight, v.shape, v.dtype)
    direction = v * inv_norm
    dg = (dweight * direction).sum(axis=(0, 1), keepdims=True, dtype=np.float64).astype(v.dtype)  # undoes: g · …
    dv = (g * inv_norm) * (dweight - direction * dg)  # undoes: v / ‖v‖. Along v itself nothing changes: it is taken out
    if old_spelling:
        return {"weight_g": dg, "weight_v": dv}
    return {"parametrizations": {"weight": {"original0": dg, "original1": dv}}}


def weight_norm_parts(p: dict) -> tuple[np.ndarray, np.ndarray]:
    """``(g, v)`` in whichever of the two spellings the checkpoint has."""
    if "weight_g" in p:
        return p["weight_g"], p["weight_v"]
    parts = p["parametrizations"]["weight"]
    return parts["original0"], parts["original1"]


def windows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Every ``kernel`` neighbouring frames of ``x`` (T, C) as one row, ``stride`` frames apart: (T_out, kernel*C).

    The rows are views into ``x`` and overlap; nothing is copied unless ``x`` is not contiguous.
    """
    x = np.ascontiguousarray(x)
    T, C = x.shape
    shape = ((T - kernel) // stride + 1, kernel * C)
    return as_strided(x, shape, (stride * C * x.itemsize, x.itemsize), writeable=False)
