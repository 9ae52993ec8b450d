"""Layer and group normalisation: zero mean and unit variance, then a learned scale and shift.

    y = (x - mean) / sqrt(var + eps) * weight + bias
    layer norm: mean, var over the C channels of one frame        (every frame alone)
    group norm: mean, var over the T frames of one channel        (as many groups as channels, as wav2vec 2.0 has it)

The variance is the population's (divide by C or T) and eps stands inside the root, as in torch; either the other way
moves the result by more than any test here allows. Where: wav2vec 2.0 §2 and Appendix. XLSR has a layer norm after
every convolution, two in every block and one at the end; wav2vec2-base has one group norm, after its first convolution.
Checkpoint: `….layer_norm.weight` (C,), `….layer_norm.bias` (C,), whichever of the two it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import REORDER, choose, njit
from xlsr_ref.ops.upstream import require_upstream


class LayerNormCache(NamedTuple):
    x: np.ndarray  # (T, C)  with the next two enough to make the normalised values again
    mean: np.ndarray  # (T, 1) float64
    inv_std: np.ndarray  # (T, 1) float64  1 / sqrt(var + eps)
    weight: np.ndarray  # (C,)


class Moments(NamedTuple):
    """What group norm must know of a stretch of time, in float64."""

    frames: int
    mean: np.ndarray  # (C,)
    squares: np.ndarray  # (C,)  Σ (x − mean)² over the frames


class GroupNormCache(NamedTuple):
    x: np.ndarray  # (T, C)
    stats: Moments  # of the whole utterance: mean and variance of each channel
    eps: float
    weight: np.ndarray  # (C,)


def layer_norm(x: np.ndarray, p: dict, eps: float = 1e-5) -> tuple[np.ndarray, LayerNormCache]:
    """Normalise each frame of ``x`` (T, C); ``p`` holds ``weight`` and ``bias`` (C,): y (T, C), and the cache."""
    y, mean, inv_std = _layer_norm(x, p["weight"], p["bias"], eps)
    return y, LayerNormCache(x, mean, inv_std, p["weight"])


def layer_norm_backward(dy: np.ndarray, cache: LayerNormCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C), weight (C,) and bias (C,), from ``dy`` (T, C)."""
    require_upstream(dy, cache.x.shape, cache.x.dtype)
    dx, dweight, dbias = _layer_norm_backward(dy, *cache)
    return dx, {"weight": dweight, "bias": dbias}


def group_norm(
    x: np.ndarray, p: dict, eps: float = 1e-5, stats: Moments | None = None
) -> tuple[np.ndarray, GroupNormCache]:
    """Normalise each channel of ``x`` (T, C) over time; ``p`` as for :func:`layer_norm`. Returns y (T, C), cache.

    ``stats`` are the moments of the whole utterance, where ``x`` is a piece of it; without them x is the utterance.
    """
    stats = stats or moments(x)
    y = _scale_columns(x, *_mean_and_inv_std(stats, eps), p["weight"], p["bias"])
    return y, GroupNormCache(x, stats, eps, p["weight"])


def group_norm_backward(dy: np.ndarray, cache: GroupNormCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C), weight (C,) and bias (C,), from ``dy`` (T, C)."""
    x, stats, eps, weight = cache
    require_upstream(dy, x.shape, x.dtype)
    mean, inv_std = _mean_and_inv_std(stats, eps)
    dx, dweight, dbias = _norm_backward_numpy(dy, x, mean[None], inv_std[None], weight, axis=0)
    return dx, {"weight": dweight, "bias": dbias}


def moments(x: np.ndarray) -> Moments:
    """The moments of each channel of ``x`` (T, C)."""
    return joined_moments([Moments(rows.stop - rows.start, *_moments(x[rows])) for rows in _stretches(len(x))])


def joined_moments(parts: Iterable[Moments]) -> Moments:
    """The moments of stretches of time that follow each other, from those of each.

        mean = m₁ + δ n₂/n      squares = s₁ + s₂ + δ² n₁ n₂/n      δ = m₂ − m₁, n = n₁ + n₂

    (Chan, Golub & LeVeque 1983.) E[x²] − E[x]² would suffer catastrophic cancellation where the mean is large.
    """
    first, *rest = parts
    frames, mean, squares = first
    for part in rest:
        total, delta = frames + part.frames, part.mean - mean
        mean = mean + delta * (part.frames / total)
        squares = squares + part.squares + delta * delta * (frames * part.frames / total)
        frames = total
    return Moments(frames, mean, squares)


# --- kernels ---------------------------------------------------------------------------------------------------------

BLOCK = 1 << 16  # elements of x that one task takes
OPERATIONS = 50  # that one element costs, counted in multiplications of a matrix product
STATISTICS_ROWS = 1024  # frames of one task; the moments of all tasks are then joined in order


def _layer_norm_numpy(x, weight, bias, eps):
    """The specification, in two passes: E[x²] − E[x]² would suffer catastrophic cancellation at a large mean."""
    mean = x.mean(axis=1, keepdims=True, dtype=np.float64)
    centred = x - mean
    var = (centred * centred).mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(var + eps)
    normalised = (centred * inv_std).astype(x.dtype)
    return normalised * weight + bias, mean, inv_std


def _mean_and_inv_std(stats: Moments, eps: float) -> tuple[np.ndarray, np.ndarray]:
    return stats.mean, 1 / np.sqrt(stats.squares / stats.frames + eps)


def _stretches(T: int) -> list[slice]:
    return threads.blocks(T, STATISTICS_ROWS)


def _moments_numpy(x):
    """The specification of group norm's statistics: mean and Σ (x − mean)² of each channel."""
    mean = x.mean(axis=0, dtype=np.float64)
    return mean, ((x - mean) ** 2).sum(axis=0)


def _scale_columns_numpy(x, mean, inv_std, weight, bias):
    """The specification of what group norm does with them."""
    return ((x - mean) * inv_std).astype(x.dtype) * weight + bias


def _norm_backward_numpy(dy, x, mean, inv_std, weight, axis=-1):
    """The specification of both backward passes; ``axis`` is the one that was normalised over."""
    normalised = ((x - mean) * inv_std).astype(x.dtype)  # forward again
    inv_std = inv_std.astype(x.dtype)
    dbias = dy.sum(axis=0, dtype=np.float64).astype(dy.dtype)  # undoes: … + bias
    dweight = (dy * normalised).sum(axis=0, dtype=np.float64).astype(dy.dtype)  # undoes: normalised * weight
    dnormalised = dy * weight
    # undoes: (x − mean) * inv_std. mean and inv_std depend on x too, so two directions of dnormalised cannot be reached
    # by moving x and are taken out: the constant one (through mean) and the one along normalised (through var).
    along_mean = dnormalised.mean(axis=axis, keepdims=True, dtype=np.float64).astype(dy.dtype)
    along_scale = (dnormalised * normalised).mean(axis=axis, keepdims=True, dtype=np.float64).astype(dy.dtype)
    dx = inv_std * (dnormalised - along_mean - normalised * along_scale)
    return dx, dweight, dbias


def _layer_norm_numba(x, weight, bias, eps):
    x = np.ascontiguousarray(x)
    y, mean, inv_std = np.empty_like(x), np.empty((len(x), 1)), np.empty((len(x), 1))

    def some(rows: slice) -> None:
        _layer_norm_loop(x[rows], weight, bias, eps, y[rows], mean[rows], inv_std[rows])

    threads.run_blocks(some, len(x), max(1, BLOCK // x.shape[1]), OPERATIONS * x.size)
    return y, mean, inv_std


@njit(**REORDER)
def _layer_norm_loop(x, weight, bias, eps, y, means, inv_std):
    T, C = x.shape
    for t in range(T):
        total = np.float64(0)  # a float32 running sum is 13 times worse than the twin at mean 1000
        for c in range(C):
            total += x[t, c]
        mean = total / C
        squares = np.float64(0)
        for c in range(C):
            centred = x[t, c] - mean
            squares += centred * centred
        scale = 1 / math.sqrt(squares / C + eps)
        means[t, 0], inv_std[t, 0] = mean, scale
        for c in range(C):
            y[t, c] = (x[t, c] - mean) * scale
        for c in range(C):
            y[t, c] = y[t, c] * weight[c] + bias[c]


def _layer_norm_backward_numba(dy, x, mean, inv_std, weight):
    dy, x = np.ascontiguousarray(dy), np.ascontiguousarray(x)
    dx = np.empty_like(x)
    parts = threads.blocks(len(dy), STATISTICS_ROWS)
    sums = np.zeros((len(parts), 2, dy.shape[1]))  # float64: of weight and bias, a row for each part, added in order
    buffers = [(np.empty_like(weight), *of_part) for of_part in sums]
    tasks = (
        partial(_layer_norm_backward_loop, dy[rows], x[rows], mean[rows], inv_std[rows], dx[rows], weight, *of_part)
        for rows, of_part in zip(parts, buffers)
    )
    threads.run(tasks, OPERATIONS * dy.size)
    dweight, dbias = sums.sum(axis=0).astype(dy.dtype)
    return dx, dweight, dbias


@njit(**REORDER)
def _layer_norm_backward_loop(dy, x, mean, inv_std, dx, weight, normalised, dweight, dbias):
    T, C = dy.shape
    rounded = np.empty(1, x.dtype)
    for t in range(T):
        for c in range(C):
            normalised[c] = (x[t, c] - mean[t, 0]) * inv_std[t, 0]  # forward again, in the dtype of x
        along_mean, along_scale = np.float64(0), np.float64(0)
        for c in range(C):
            dnormalised = dy[t, c] * weight[c]
            along_mean += dnormalised
            along_scale += dnormalised * normalised[c]
        along_mean /= C
        along_scale /= C
        rounded[0] = inv_std[t, 0]
        for c in range(C):
            dx[t, c] = rounded[0] * (dy[t, c] * weight[c] - along_mean - normalised[c] * along_scale)
            dweight[c] += dy[t, c] * normalised[c]
            dbias[c] += dy[t, c]


def _moments_numba(x):
    mean, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    _moments_loop(x, mean, squares)
    return mean, squares


@njit()
def _moments_loop(x, mean, squares):
    T, C = x.shape
    for t in range(T):
        for c in range(C):
            mean[c] += x[t, c]
    for c in range(C):
        mean[c] /= T
    for t in range(T):
        for c in range(C):
            squares[c] += (x[t, c] - mean[c]) ** 2


def _scale_columns_numba(x, mean, inv_std, weight, bias):
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    threads.run(
        partial(_scale_columns_loop, x[rows], mean, inv_std, weight, bias, y[rows]) for rows in _stretches(len(x))
    )
    return y


@njit()
def _scale_columns_loop(x, mean, inv_std, weight, bias, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = (x[t, c] - mean[c]) * inv_std[c]
            y[t, c] = y[t, c] * weight[c] + bias[c]


_layer_norm = choose(_layer_norm_numba, _layer_norm_numpy)
_layer_norm_backward = choose(_layer_norm_backward_numba, _norm_backward_numpy)
_moments = choose(_moments_numba, _moments_numpy)
_scale_columns = choose(_scale_columns_numba, _scale_columns_numpy)
