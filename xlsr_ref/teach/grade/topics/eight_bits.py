"""Exercises: the packed product (ops/product.py) and linear layers in eight bits (ops/int8.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops import int8 as library
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise

FLOAT32 = 2e-6  # sums of at most a dozen products, each rounded to 6e-8


def packed_product(x, weight, columns):
    """A matrix product whose weights were packed into panels.

        panels[p, k, j] = W[p · columns + j, k]          y = x Wᵀ, one panel after the other

    x is (M, K), weight W (N, K), columns the width of a panel. There are ⌈N / columns⌉ panels; beyond the last row of W
    they hold zeros, of which nothing is left in y. Return (panels, y): (panels, K, columns) and (M, N), in x's dtype.
    Source: Goto & van de Geijn 2008; notebook 14.
    """
    N, K = weight.shape
    count = -(-N // columns)
    padded = np.zeros((count * columns, K), weight.dtype)
    padded[:N] = weight
    panels = padded.reshape(count, columns, K).transpose(0, 2, 1)
    y = np.concatenate([x @ panel for panel in panels], axis=1)
    return panels, y[:, :N]


def quantize_per_channel(weight):
    """Weights as whole numbers, with a scale for each output channel.

        scale[n] = max_k |W[n, k]| / 63, or 1 where a channel is all zeros          q = round(W / scale)

    weight W is (N, K). Return (q, scale): (N, K) and (N,), both in the dtype of W, q with whole numbers from -63 to 63.
    Source: notebook 16.
    """
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > 0, largest / 63, 1).astype(weight.dtype)
    return np.rint(weight / scale[:, None]), scale


def int8_linear(x, q, scale, bias):
    """A linear layer with int8 weights; its input is rounded, too, with a scale for each frame.

        s[t] = max_k |x[t, k]| / 127, or 1 where a frame is all zeros          q_x = round(x / s)
        y[t, n] = (Σ_k q_x[t, k] q[n, k]) · s[t] · scale[n] + bias[n]

    x is (T, K), q (N, K) int8, scale and bias (N,). The sum is exact: no int8 overflows. Return y (T, N), in x's dtype.
    Source: notebook 16.
    """
    largest = np.abs(x).max(axis=1, keepdims=True)
    s = np.where(largest > 0, largest / 127, 1).astype(x.dtype)
    q_x = np.rint(x / s)
    total = q_x @ q.T.astype(x.dtype)
    return total * (s * scale) + bias


def _packed_reference(x: np.ndarray, weight: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    (N, K), panels = weight.shape, np.zeros((-(-len(weight) // columns), weight.shape[1], columns), weight.dtype)
    for n in range(N):
        for k in range(K):
            panels[n // columns, k, n % columns] = weight[n, k]
    return panels, x @ weight.T


def _quantize_reference(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q, scale = library.quantize_per_channel(weight)
    return q.astype(weight.dtype), scale


def _int8_reference(x: np.ndarray, q: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        return library.int8_linears(x, [{"weight": q, "weight_scale": scale, "bias": bias}])[0]
    largest = np.abs(x).max(axis=1, keepdims=True)
    s = np.where(largest > 0, largest / library.LARGEST_INPUT, 1)
    return (np.rint(x / s) @ q.T) * s * scale + bias


def _packed_tries(rng: np.random.Generator) -> tuple[Case, ...]:
    sizes = {
        "usual": (5, 4, 6, 4),
        "whole panels": (3, 5, 8, 4),
        "one column": (3, 4, 5, 1),
        "a panel wider than N": (4, 3, 2, 5),
        "one k": (3, 1, 5, 2),
    }
    normal = rng.standard_normal
    tries = {name: (normal((M, K)), normal((N, K)), columns) for name, (M, K, N, columns) in sizes.items()}
    return cases(tries, FLOAT32)


def _quantize_tries(rng: np.random.Generator) -> tuple[Case, ...]:
    apart = rng.standard_normal((4, 5)) * np.array([[1e-3], [1.0], [1e3], [10.0]])
    zeros = rng.standard_normal((3, 4)) * np.array([[1.0], [0.0], [1.0]])
    negative = rng.standard_normal((3, 6))
    negative[np.arange(3), [0, 3, 5]] = -4
    tries = {
        "usual": (rng.standard_normal((4, 7)),),
        "channels of very different size": (apart,),
        "a channel of zeros": (zeros,),
        "the largest is negative": (negative,),
        "one k": (rng.standard_normal((3, 1)),),
        "one channel": (rng.standard_normal((1, 5)),),
    }
    return cases(tries, FLOAT32)


def _int8_tries(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(T: int, K: int, N: int) -> tuple:
        q = rng.integers(-63, 64, (N, K)).astype(np.int8)
        return rng.standard_normal((T, K)), q, rng.uniform(0.01, 0.1, N), rng.standard_normal(N)

    x, *others = arguments(4, 6, 3)
    long, long_q, *long_others = arguments(2, 300, 3)
    tries = {
        "usual": arguments(5, 8, 4),
        "frames of very different size": (x * np.array([[1e-3], [1.0], [1e3], [10.0]]), *others),
        "a frame of zeros": (x * np.array([[1.0], [0.0], [1.0], [1.0]]), *others),
        "large sums": (np.abs(long), np.abs(long_q), *long_others),
        "one frame": arguments(1, 5, 2),
        "one channel": arguments(3, 5, 1),
    }
    return cases(tries, FLOAT32)


PACKED_PRODUCT = exercise(
    packed_product,
    _packed_reference,
    module="ops.product",
    notebook="14",
    title="Packed product",
    battery=_packed_tries,
    returns=("panels", "y"),
    mistakes={
        "panels are not transposed: [panel, column, k] read as [panel, k, column]": (
            ".reshape(count, columns, K).transpose(0, 2, 1)",
            ".reshape(count, K, columns)",
        ),
        "panels are not transposed, y is right all the same": (
            "return panels, y[:, :N]",
            "return panels.swapaxes(1, 2).reshape(panels.shape), y[:, :N]",
        ),
        "a reshape for the transpose: [panel, k, column] from the transposed weights": (
            ".reshape(count, columns, K).transpose(0, 2, 1)",
            ".T.reshape(count, K, columns)",
        ),
        "the last panel is filled with the first rows, not with zeros": (
            "padded[:N] = weight",
            "padded[:] = np.resize(weight, padded.shape)",
        ),
        "the zeros come before the first row": ("padded[:N] = weight", "padded[len(padded) - N :] = weight"),
        "columns are dealt out to the panels in turn": (
            ".reshape(count, columns, K).transpose(0, 2, 1)",
            ".reshape(columns, count, K).transpose(1, 2, 0)",
        ),
        "the zeros beyond N stay in y": ("return panels, y[:, :N]", "return panels, y"),
        "the last panel is left out": ("for panel in panels]", "for panel in panels[:-1] or panels]"),
    },
)

QUANTIZE_PER_CHANNEL = exercise(
    quantize_per_channel,
    _quantize_reference,
    module="ops.int8",
    notebook="16",
    title="Weights in eight bits",
    battery=_quantize_tries,
    returns=("q", "scale"),
    mistakes={
        "one scale for the whole matrix": (
            "np.abs(weight).max(axis=1)",
            "np.full(len(weight), np.abs(weight).max(), weight.dtype)",
        ),
        "a scale for each input": ("np.abs(weight).max(axis=1)", "np.resize(np.abs(weight).max(axis=0), len(weight))"),
        "the largest value in place of the largest magnitude": ("np.abs(weight).max", "weight.max"),
        "cut off in place of rounded": ("np.rint(", "np.trunc("),
        "rounded down": ("np.rint(", "np.floor("),
        "rounded up": ("np.rint(", "np.ceil("),
        "weights are not rounded": ("np.rint(weight / scale[:, None])", "weight / scale[:, None]"),
        "64 steps in place of 63": ("/ 63", "/ 64"),
        "128 steps in place of 63": ("/ 63", "/ 128"),
        "the mean magnitude in place of the largest": ("np.abs(weight).max(axis=1)", "np.abs(weight).mean(axis=1)"),
        "multiplied by the scale, not divided": (
            "np.rint(weight / scale[:, None])",
            "np.rint(weight * scale[:, None])",
        ),
        "127 steps in place of 63": ("/ 63", "/ 127"),
        "the scale upside down": (
            "return np.rint(weight / scale[:, None]), scale",
            "return np.rint(weight / scale[:, None]), 1 / scale",
        ),
        "a channel of zeros divides by zero": ("np.where(largest > 0, largest / 63, 1)", "(largest / 63)"),
    },
)

INT8_LINEAR = exercise(
    int8_linear,
    _int8_reference,
    module="ops.int8",
    notebook="16",
    title="Linear layer in eight bits",
    battery=_int8_tries,
    mistakes={
        "one scale for all frames": ("np.abs(x).max(axis=1, keepdims=True)", "np.abs(x).max(keepdims=True)"),
        "the input is not rounded": ("np.rint(x / s)", "x / s"),
        "cut off in place of rounded": ("np.rint(x / s)", "np.trunc(x / s)"),
        "the scale of the frames is forgotten": ("(s * scale)", "scale"),
        "the scale of the channels is forgotten": ("(s * scale)", "s"),
        "the bias is scaled, too": ("total * (s * scale) + bias", "(total + bias) * (s * scale)"),
        "bias forgotten": (" + bias", ""),
        "the sum overflows 8 bits": (
            "total = q_x @ q.T.astype(x.dtype)",
            "total = (q_x.astype(np.int8) @ q.T).astype(x.dtype)",
        ),
        "rounded down": ("np.rint(x / s)", "np.floor(x / s)"),
        "128 steps in place of 127": ("/ 127", "/ 128"),
        "the input is clipped, not scaled": ("np.rint(x / s)", "np.clip(np.rint(x), -127, 127)"),
        "a scale for each channel of the input, not for each frame": (
            "np.abs(x).max(axis=1, keepdims=True)",
            "np.abs(x).max(axis=0, keepdims=True)",
            "total * (s * scale)",
            "((q_x * s) @ q.T.astype(x.dtype)) * scale",
        ),
        "the largest value in place of the largest magnitude": ("np.abs(x).max(", "x.max("),
        "the sum overflows 16 bits": (
            "total = q_x @ q.T.astype(x.dtype)",
            "total = (q_x.astype(np.int16) @ q.T.astype(np.int16)).astype(x.dtype)",
        ),
        "63 steps in place of 127": ("/ 127", "/ 63"),
        "a frame of zeros divides by zero": ("np.where(largest > 0, largest / 127, 1)", "(largest / 127)"),
    },
)
