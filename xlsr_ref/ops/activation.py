"""GELU, the Gaussian error linear unit: let a value through in proportion to how rarely a normal draw exceeds it.

    y = x Φ(x) = x/2 (1 + erf(x / √2))          Φ: the standard normal distribution function

This is the exact form. The tanh approximation that other models use differs by up to 4.7e-4 near |x| = 2.70, enough to
fail a test here. Where: after every convolution of the feature encoder, after the positional convolution, and between
the two halves of the feed-forward (wav2vec 2.0 §2; Hendrycks & Gimpel 2016). It has no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import choose, njit
from xlsr_ref.ops.softmax import exp_float32
from xlsr_ref.ops.upstream import require_upstream


class GeluCache(NamedTuple):
    x: np.ndarray  # any shape  the slope Φ(x) + x φ(x) is a function of x alone


def gelu(x: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, GeluCache]:
    """GELU of every element: y with the shape and dtype of ``x``, in the contiguous array ``out`` if there is one."""
    return _gelu(x, out), GeluCache(x)


def gelu_backward(dy: np.ndarray, cache: GeluCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x, from ``dy`` of the same shape. There are no parameters."""
    require_upstream(dy, cache.x.shape, cache.x.dtype)
    return _gelu_backward(dy, cache.x), {}  # undoes: x Φ(x), whose slope is Φ(x) + x φ(x)


# --- the activations of heads and adapters: they see few frames, and NumPy is fast enough -----------------------------


class ReluCache(NamedTuple):
    positive: np.ndarray  # any shape, bool  where the slope is 1


def relu(x: np.ndarray) -> tuple[np.ndarray, ReluCache]:
    """max(x, 0) of every element: y with the shape and dtype of ``x``."""
    return np.maximum(x, 0), ReluCache(x > 0)


def relu_backward(dy: np.ndarray, cache: ReluCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x, from ``dy`` of the same shape; at 0 the slope is taken as 0, as torch does."""
    require_upstream(dy, cache.positive.shape, dy.dtype)
    return dy * cache.positive, {}  # undoes: max(x, 0)


class SwishCache(NamedTuple):
    x: np.ndarray  # any shape  the slope σ(x) (1 + x (1 − σ(x))) is a function of x alone


def swish(x: np.ndarray) -> tuple[np.ndarray, SwishCache]:
    """x σ(x) of every element, which is also called SiLU: y with the shape and dtype of ``x``."""
    return _swish(x), SwishCache(x)


def swish_backward(dy: np.ndarray, cache: SwishCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x, from ``dy`` of the same shape."""
    require_upstream(dy, cache.x.shape, cache.x.dtype)
    return _swish_backward(dy, cache.x), {}  # undoes: x σ(x)


class GluCache(NamedTuple):
    value: np.ndarray  # (T, C)
    gate: np.ndarray  # (T, C)  σ(b), from 0 to 1: how much of the value passes


def glu(x: np.ndarray) -> tuple[np.ndarray, GluCache]:
    """The gated linear unit, a σ(b): ``x`` (T, 2C) holds the values a, then the scores b of their gates. y (T, C)."""
    y, gate = _glu(x)
    return y, GluCache(x[:, : y.shape[1]], gate)


def glu_backward(dy: np.ndarray, cache: GluCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x (T, 2C), from ``dy`` (T, C)."""
    value, gate = cache
    require_upstream(dy, value.shape, value.dtype)
    dscore = dy * value * gate * (1 - gate)  # undoes: σ(b)
    return np.concatenate([dy * gate, dscore], axis=1), {}  # undoes: a · …, and the two halves


def sigmoid(x: np.ndarray) -> np.ndarray:
    """σ(x) = 1 / (1 + exp(−x)) of every element, written so that no exp overflows."""
    return np.exp(-np.logaddexp(0, -x))


# by the names that a config.json has: forward, and back
ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "gelu": (gelu, gelu_backward),
    "relu": (relu, relu_backward),
    "swish": (swish, swish_backward),
    "silu": (swish, swish_backward),
}


# --- kernels ---------------------------------------------------------------------------------------------------------

BLOCK = 1 << 16  # elements: a block and its result stay in a core's cache
OPERATIONS = 40  # that one element costs, counted in multiplications of a matrix product


def _gelu_numpy(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The specification."""
    from scipy.special import erf

    return np.multiply(0.5 * x, 1 + erf(x * math.sqrt(0.5)), out=out)


def _gelu_backward_numpy(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The specification of the backward pass: dy times the slope; φ is the standard normal density."""
    from scipy.special import erf

    return dy * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)))


def _gelu_numba(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    return _elementwise(_gelu_float32_loop if x.dtype == np.float32 else _gelu_loop, x, out=out)


def _gelu_backward_numba(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return _elementwise(_gelu_backward_float32_loop if x.dtype == np.float32 else _gelu_backward_loop, dy, x)


def _elementwise(loop: Callable[..., None], *arrays: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    y = np.empty(arrays[0].shape, arrays[0].dtype) if out is None else out
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (*arrays, y)]
    threads.run_blocks(lambda block: loop(*(array[block] for array in flat)), y.size, BLOCK, OPERATIONS * y.size)
    return y


@njit()
def _gelu_loop(x, y):
    for i in range(x.size):
        y[i] = 0.5 * x[i] * (1 + math.erf(x[i] * math.sqrt(0.5)))


@njit()
def _gelu_backward_loop(dy, x, dx):
    for i in range(x.size):
        density = math.exp(-0.5 * x[i] * x[i]) * (1 / math.sqrt(2 * math.pi))
        dx[i] = dy[i] * (0.5 * (1 + math.erf(x[i] * math.sqrt(0.5))) + x[i] * density)


# math.erf is a call, which keeps a loop from being vectorised, and far below zero 1 + erf is catastrophic cancellation.
# With a = |x|
#     y = max(x, 0) − a Φ(−a)         Φ(−a) = exp(−a²/2) P(a) / Q(a)
# where P/Q, Mills' ratio over √(2π), is right to 5e-9 (tests/ops/fit_mills_ratio.py finds P and Q). The error of y is
# one rounding to float32; far below zero it is a few roundings of y itself. Beyond 13, a Φ(−a) is taken as that of 13.
FAR, ZERO, ONE, MINUS_HALF = np.float32(13), np.float32(0), np.float32(1), np.float32(-0.5)
P0, P1, P2, P3, P4 = (
    np.float32(p) for p in (5.000000024e-1, 4.349804779e-1, 1.807868877e-1, 3.980967148e-2, 3.994460307e-3)
)
Q1, Q2, Q3, Q4, Q5 = (np.float32(q) for q in (1.667845858, 1.192318270, 4.630083137e-1, 9.979569732e-2, 1.001247703e-2))
DENSITY_AT_0 = np.float32(1 / math.sqrt(2 * math.pi))


@njit(fastmath={"contract"})
def _normal_tail(x):
    """a = |x|, at most 13; exp(−a²/2); and the tail Φ(−a) of the normal distribution."""
    a = abs(x)
    a = FAR if a > FAR else a
    e = exp_float32(MINUS_HALF * a * a)
    p = P0 + a * (P1 + a * (P2 + a * (P3 + a * P4)))
    q = ONE + a * (Q1 + a * (Q2 + a * (Q3 + a * (Q4 + a * Q5))))
    return a, e, e * (p / q)


@njit(fastmath={"contract"})
def _gelu_float32_loop(x, y):
    for i in range(x.size):
        a, _, tail = _normal_tail(x[i])
        y[i] = (x[i] if x[i] > ZERO else ZERO) - a * tail


@njit(fastmath={"contract"})
def _gelu_backward_float32_loop(dy, x, dx):
    for i in range(x.size):
        a, e, tail = _normal_tail(x[i])
        steepness = a * (e * DENSITY_AT_0)  # |x| φ(x)
        dx[i] = dy[i] * (ONE - tail + steepness if x[i] > ZERO else tail - steepness)


def _swish_numpy(x: np.ndarray) -> np.ndarray:
    """The specification."""
    return x * sigmoid(x)


def _swish_backward_numpy(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The specification of the backward pass: dy times the slope."""
    share = sigmoid(x)
    return dy * share * (1 + x * (1 - share))


def _swish_numba(x: np.ndarray) -> np.ndarray:
    return _elementwise(_swish_float32_loop, x) if x.dtype == np.float32 else _swish_numpy(x)


def _swish_backward_numba(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return _elementwise(_swish_backward_float32_loop, dy, x) if x.dtype == np.float32 else _swish_backward_numpy(dy, x)


@njit(fastmath={"contract"})
def _sigmoid_float32(x):
    """σ(x), by e^−|x|, which does not overflow. NaN stays NaN."""
    e = exp_float32(-abs(x))
    larger = np.float32(1) / (np.float32(1) + e)
    return larger if x >= 0 else larger * e if x < 0 else x


@njit(fastmath={"contract"})
def _swish_float32_loop(x, y):
    for i in range(x.size):
        y[i] = x[i] * _sigmoid_float32(x[i])


@njit(fastmath={"contract"})
def _swish_backward_float32_loop(dy, x, dx):
    for i in range(x.size):
        share = _sigmoid_float32(x[i])
        dx[i] = dy[i] * share * (np.float32(1) + x[i] * (np.float32(1) - share))


def _glu_numpy(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The specification: y, and the gate."""
    value, score = np.split(x, 2, axis=1)
    gate = sigmoid(score)
    return value * gate, gate


def _glu_numba(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.dtype != np.float32:
        return _glu_numpy(x)
    T, C = len(x), x.shape[1] // 2
    x, y, gate = np.ascontiguousarray(x), np.empty((T, C), x.dtype), np.empty((T, C), x.dtype)
    rows = max(1, BLOCK // (2 * C))
    threads.run_blocks(lambda some: _glu_float32_loop(x[some], y[some], gate[some]), T, rows, OPERATIONS * y.size)
    return y, gate


@njit(fastmath={"contract"})
def _glu_float32_loop(x, y, gate):
    T, C = y.shape
    for t in range(T):
        for c in range(C):
            gate[t, c] = _sigmoid_float32(x[t, C + c])
            y[t, c] = x[t, c] * gate[t, c]


_glu = choose(_glu_numba, _glu_numpy)
_swish = choose(_swish_numba, _swish_numpy)
_swish_backward = choose(_swish_backward_numba, _swish_backward_numpy)
_gelu = choose(_gelu_numba, _gelu_numpy)
_gelu_backward = choose(_gelu_backward_numba, _gelu_backward_numpy)
