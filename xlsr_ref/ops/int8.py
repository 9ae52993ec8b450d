"""Linear layers in eight bits: weights and activations become whole numbers, and their products are added up exactly.

    y ≈ s_x s_w (q_x q_wᵀ) + b          q_w = round(W / s_w), from −63 to 63, s_w (N,): a scale for each output channel
                                        q_x = round(x / s_x), from −127 to 127, s_x (T, 1): a scale for each frame

Scales are the largest magnitude of a row divided by the largest number. The rounding is all that is lost: the sum over
k is an int32 and exact, so its bits depend neither on the processor nor on the order. Weights have seven bits, so that
the sum of two products fits into 16 bits, which the processors without VNNI need (int8_kernel.py); on the bundled model
that costs 1.2 % of the logits' spread instead of 0.9 %.
Which layers: those of the Transformer blocks (checkpoint/eight_bits.py). Where: Jacob et al. 2018, "Quantization and
training of neural networks for efficient integer-arithmetic-only inference"; Dettmers et al. 2022, scales for each row.
Checkpoint: `….weight` (C_out, C_in) int8, `….weight_scale` (C_out,), `….bias` (C_out,). Letters: T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import njit
from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.int8_kernel import CHANNELS, INSTRUCTION, dot_products_for

LARGEST_WEIGHT, LARGEST_INPUT = 63, 127
ZERO_POINT = 128 if INSTRUCTION is None else INSTRUCTION.zero_point  # the kernel takes x as bytes q_x + ZERO_POINT
TILE_COLUMNS = 256  # of y, which one task computes
STRIP = 48  # rows of x that stay in a core's cache while all of a tile's weights go by


def quantize_per_channel(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``weight`` (N, K) as int8 from −63 to 63, and the scale (N,), in its dtype, of each output channel."""
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > 0, largest / LARGEST_WEIGHT, 1).astype(weight.dtype)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def quantize_per_frame(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``x`` (T, K) float32 as q_x, whole numbers from −127 to 127 in an int16 array (T, K), and the scale (T,)."""
    q, scale = _quantized(x)
    return (q[: len(x), : x.shape[1]] - np.uint8(ZERO_POINT)).view(np.int8).astype(np.int16), scale


def int8_linears(x: np.ndarray, layers: Sequence[dict]) -> list[np.ndarray]:
    """Several int8 ``layers`` of the same ``x`` (T, C_in), float32: y (T, C_out) of each.

    Each has `weight` (C_out, C_in) int8, `weight_scale` (C_out,) and `bias` (C_out,).
    """
    return _int8_linears(x, layers)


# --- kernels ----------------------------------------------------------------------------------------------------------


class Channels(NamedTuple):
    """What belongs to each output channel, beside its weights."""

    zero: np.ndarray  # (N,) int32  ZERO_POINT Σ_k q_w[n, k]: what the zero point of x adds
    scale: np.ndarray  # (N,) float32
    bias: np.ndarray  # (N,) float32


def channels(weight: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> Channels:
    return Channels(ZERO_POINT * weight.sum(axis=1, dtype=np.int32), scale.copy(), bias.copy())


def _int8_linears_numpy(x: np.ndarray, layers: Sequence[dict]) -> list[np.ndarray]:
    """The specification. Whole numbers below 2⁵³ are exact in float64, in which BLAS multiplies."""
    q, scale = quantize_per_frame(x)
    sums = [(q.astype(float) @ p["weight"].T.astype(float)).astype(np.float32) for p in layers]
    return [one * (scale[:, None] * p["weight_scale"]) + p["bias"] for one, p in zip(sums, layers)]


def _int8_linears_numba(x: np.ndarray, layers: Sequence[dict]) -> list[np.ndarray]:
    q, x_scale = _quantized(x)
    weights = [p["weight"] if _fits(p["weight"]) else derived(padded, p["weight"]) for p in layers]
    results = [np.empty((len(x), len(p["weight"])), np.float32) for p in layers]
    work = x.size * sum(len(p["weight"]) for p in layers) // 2
    columns = TILE_COLUMNS if work > threads.WORTH_SHARING else max(map(len, weights))
    tasks: list[Callable[[], None]] = []
    for p, weight, y in zip(layers, weights, results):
        zero, w_scale, bias = derived(channels, p["weight"], p["weight_scale"], p["bias"])
        of_layer = partial(
            _int8_tile, q, q.ctypes.data, weight.ctypes.data, len(weight), x_scale, zero, w_scale, bias, y
        )
        tasks += [partial(of_layer, n.start, n.stop) for n in threads.blocks(y.shape[1], columns)]
    threads.run(tasks, work)
    return results


def _quantized(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``x`` (T, K) as bytes q_x + ZERO_POINT, and the scale (T,) of each frame.

    Rows are as long as the kernel wants them, and there are as many; what is not x's stands for 0.
    """
    (T, K), step, rows = x.shape, *((INSTRUCTION.bytes, INSTRUCTION.rows) if INSTRUCTION is not None else (1, 1))
    q = np.full((max(T, rows), -(-K // step) * step), ZERO_POINT, np.uint8)
    scale = np.empty(T, np.float32)
    x = np.ascontiguousarray(x)
    tasks = (partial(_quantize_rows, x, q, scale, some.start, some.stop) for some in threads.blocks(T, STRIP))
    threads.run(tasks, 4 * x.size)
    return q, scale


def _fits(weight: np.ndarray) -> bool:
    """Can the kernel read the weights where they lie?"""
    assert INSTRUCTION is not None
    return weight.shape[1] % INSTRUCTION.bytes == 0 and len(weight) >= CHANNELS and weight.flags.c_contiguous


def padded(weight: np.ndarray) -> np.ndarray:
    """``weight`` (N, K) int8 with zeros to as many channels and k as the kernel takes at once."""
    assert INSTRUCTION is not None
    N, K = weight.shape
    return np.pad(weight, ((0, max(0, CHANNELS - N)), (0, -K % INSTRUCTION.bytes)))


@njit(fastmath={"nnan", "nsz", "reassoc"})
def _quantize_rows(x, q, scale, first, stop):
    for t in range(first, stop):
        largest = np.float32(0)
        for k in range(x.shape[1]):
            magnitude = abs(x[t, k])
            largest = magnitude if magnitude > largest else largest
        scale[t] = largest / np.float32(LARGEST_INPUT) if largest > 0 else np.float32(1)
        for k in range(x.shape[1]):
            q[t, k] = np.uint8(np.int32(np.rint(x[t, k] / scale[t])) + np.int32(ZERO_POINT))


if INSTRUCTION is not None:
    ROWS = INSTRUCTION.rows
    dot_products = dot_products_for(INSTRUCTION)

    @njit()
    def _int8_tile(q, q_start, w, w_rows, x_scale, zero, w_scale, bias, y, first_n, stop_n):
        """The columns first_n … stop_n − 1 of y (T, N); q_start and w are the addresses of q and the weights.

        A block that would begin too late, at the last rows or channels, begins earlier and computes some sums again.
        """
        T, K, width = y.shape[0], q.shape[1], stop_n - first_n
        sums = np.empty((ROWS + STRIP + ROWS, width + CHANNELS), np.int32)
        sums_start, sums_row = sums.ctypes.data, sums.strides[0]
        for first in range(0, T, STRIP):
            count = min(STRIP, T - first)
            for n in range(first_n, stop_n, CHANNELS):
                n_here = min(n, w_rows - CHANNELS)
                for t in range(first, first + count, ROWS):
                    t_here = min(t, q.shape[0] - ROWS)
                    place = sums_start + (ROWS + t_here - first) * sums_row + 4 * (n_here - first_n)
                    dot_products(q_start + t_here * K, K, w + n_here * K, K, place, sums_row, K)
            for t in range(count):
                of_x, row = x_scale[first + t], sums[ROWS + t]
                for j in range(width):
                    n = first_n + j
                    y[first + t, n] = np.float32(row[j] - zero[n]) * (of_x * w_scale[n]) + bias[n]


_int8_linears = _int8_linears_numpy if INSTRUCTION is None else _int8_linears_numba
