"""Strided convolution over time, without padding: how the feature encoder turns samples into frames.

    y[t, o] = Σ_k Σ_i W[o, i, k] x[t·stride + k, i] + b[o]

A convolution is a matrix product over windows: K neighbouring frames, laid end to end, times the kernel as a matrix.
Where: wav2vec 2.0 §2 (feature encoder). How long the result is: ops/conv_length.py.
Checkpoint: `….conv.weight` (C_out, C_in, K), `….conv.bias` (C_out,) in models that have one.
Letters: T frames, C channels, K kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xlsr_ref.ops import threads
from xlsr_ref.ops.conv_length import conv_length
from xlsr_ref.ops.matmul import matmul
from xlsr_ref.ops.product import product
from xlsr_ref.ops.sums import sum_over_time
from xlsr_ref.ops.upstream import require_upstream

BACKWARD_ROWS = 4096  # output frames whose windows the backward pass copies at a time


class ConvCache(NamedTuple):
    x: np.ndarray  # (T_in, C_in)  the gradient of the kernel is a product with these windows
    weight: np.ndarray  # (C_out, C_in, K)
    stride: int
    has_bias: bool


def conv1d(x: np.ndarray, p: dict, stride: int) -> tuple[np.ndarray, ConvCache]:
    """Slide ``p["weight"]`` (C_out, C_in, K) over ``x`` (T_in, C_in): y (⌊(T_in − K)/stride⌋ + 1, C_out).

    ``p["bias"]`` (C_out,) is added where there is one. Fewer than K frames raise ValueError.
    """
    K = p["weight"].shape[2]
    if len(x) < K:
        raise ValueError(f"a kernel of {K} needs at least {K} frames, not {len(x)}")
    x_windows = windows(x, K, stride)  # (T_out, K*C_in): a view, windows overlap
    y = product(x_windows, p["weight"], p.get("bias"), rows=kernel_rows)
    return y, ConvCache(x, p["weight"], stride, "bias" in p)


def conv1d_backward(dy: np.ndarray, cache: ConvCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T_in, C_in), weight and, where there is one, bias, from ``dy`` (T_out, C_out)."""
    x, weight, stride, has_bias = cache
    C_out, C_in, K = weight.shape
    x_windows = windows(x, K, stride)  # (T_out, K*C_in)
    require_upstream(dy, (len(x_windows), C_out), x.dtype)
    kernel = kernel_rows(weight)
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


def kernel_rows(weight: np.ndarray) -> np.ndarray:
    """``weight`` (C_out, C_in, K) as one row for each output channel, tap by tap as windows are: (C_out, K*C_in)."""
    return weight.transpose(0, 2, 1).reshape(len(weight), -1)


def windows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """Every ``kernel`` neighbouring frames of ``x`` (T, C) as one row, ``stride`` frames apart: (T_out, kernel*C).

    The rows are views into ``x`` and overlap; nothing is copied unless ``x`` is not contiguous.
    """
    x = np.ascontiguousarray(x)
    T, C = x.shape
    shape = (conv_length(T, kernel, stride), kernel * C)
    return as_strided(x, shape, (stride * C * x.itemsize, x.itemsize), writeable=False)
