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

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xlsr_ref.ops import threads

ROWS = 256  # output frames of the strided convolution that one task computes
TAPS = 8  # kernel taps that the grouped convolution multiplies at once


class ConvCache(NamedTuple):
    x: np.ndarray  # (T_in, C_in)  the gradient of the kernel is a product with these windows
    weight: np.ndarray  # (C_out, C_in, K)
    stride: int


class GroupedConvCache(NamedTuple):
    x: np.ndarray  # (T, C)  unpadded
    weight: np.ndarray  # (C, C/G, K)
    groups: int


class WeightNormCache(NamedTuple):
    v: np.ndarray  # (C_out, C_in/G, K)
    g: np.ndarray  # (1, 1, K)
    inv_norm: np.ndarray  # (1, 1, K)  1 / ‖v‖


def conv1d(x: np.ndarray, p: dict, stride: int) -> tuple[np.ndarray, ConvCache]:
    """Slide ``p["weight"]`` (C_out, C_in, K) over ``x`` (T_in, C_in): y (⌊(T_in − K)/stride⌋ + 1, C_out).

    ``p["bias"]`` (C_out,) is added where there is one. Fewer than K frames raise ValueError.
    """
    C_out, C_in, K = p["weight"].shape
    if len(x) < K:
        raise ValueError(f"a kernel of {K} needs at least {K} frames, not {len(x)}")
    kernel = p["weight"].transpose(2, 1, 0).reshape(K * C_in, C_out)
    x_windows = windows(x, K, stride)  # (T_out, K*C_in): a view, windows overlap
    y = np.empty((len(x_windows), C_out), x.dtype)

    def rows_of_y(rows: slice) -> None:
        np.matmul(np.ascontiguousarray(x_windows[rows]), kernel, out=y[rows])  # BLAS wants its rows apart: copy
        if "bias" in p:
            y[rows] += p["bias"]

    threads.run(partial(rows_of_y, rows) for rows in threads.blocks(len(y), ROWS))
    return y, ConvCache(x, p["weight"], stride)


def grouped_conv1d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int
) -> tuple[np.ndarray, GroupedConvCache]:
    """Slide ``weight`` (C, C/G, K) over ``x`` (T, C), zeros beyond both ends: y (T, C).

    There are K//2 zeros on either side. For even K that is one frame too many, and the last one is dropped.
    """
    T, C = x.shape
    K, width = weight.shape[2], C // groups
    padded = np.zeros((T + K + TAPS, C), x.dtype)  # more zeros at the end than needed: the last TAPS may be incomplete
    padded[K // 2 : K // 2 + T] = x
    y = np.empty_like(x)

    def one_group(group: int) -> None:
        channels = slice(group * width, (group + 1) * width)
        kernel = weight[channels].transpose(2, 1, 0)  # (K, C/G in, C/G out)
        x_windows = np.ascontiguousarray(windows(padded[:, channels], TAPS, 1))
        total = np.broadcast_to(bias[channels], (T, width)).copy()
        for k in range(0, K, TAPS):  # Σ_k, TAPS terms at a time: the windows that start k frames later
            taps = kernel[k : k + TAPS].reshape(-1, width)  # (TAPS * C/G, C/G)
            total += x_windows[k : k + T, : len(taps)] @ taps
        y[:, channels] = total

    threads.run(partial(one_group, group) for group in range(groups))
    return y, GroupedConvCache(x, weight, groups)


def weight_norm(p: dict) -> tuple[np.ndarray, WeightNormCache]:
    """The effective kernel (C_out, C_in/G, K) from its direction ``v`` and, for each tap, its length ``g``."""
    g, v = weight_norm_parts(p)
    squares = (v * v).sum(axis=(0, 1), keepdims=True, dtype=np.float64)  # (1, 1, K)
    inv_norm = (1 / np.sqrt(squares)).astype(v.dtype)
    return v * (g * inv_norm), WeightNormCache(v, g, inv_norm)


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
