"""GELU, the Gaussian error linear unit: let a value through in proportion to how rarely a normal draw exceeds it.

    y = x Φ(x) = x/2 (1 + erf(x / √2))          Φ: the standard normal distribution function

This is the exact form. The tanh approximation that other models use differs by up to 4.7e-4 near |x| = 2.70, enough to
fail a test here. Where: after every convolution of the feature encoder, after the positional convolution, and between
the two halves of the feed-forward (wav2vec 2.0 §2; Hendrycks & Gimpel 2016). It has no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import choose, njit
from xlsr_ref.ops.softmax import exp_float32
from xlsr_ref.ops.upstream import require_upstream


class GeluCache(NamedTuple):
    x: np.ndarray  # any shape  the slope Φ(x) + x φ(x) is a function of x alone


def gelu(x: np.ndarray) -> tuple[np.ndarray, GeluCache]:
    """GELU of every element: y with the shape and dtype of ``x``."""
    return _gelu(x), GeluCache(x)


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
    value, score = np.split(x, 2, axis=1)
    gate = sigmoid(score)
    return value * gate, GluCache(value, gate)


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


def _gelu_numpy(x: np.ndarray) -> np.ndarray:
    """The specification."""
    from scipy.special import erf

    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def _gelu_backward_numpy(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The specification of the backward pass: dy times the slope; φ is the standard normal density."""
    from scipy.special import erf

    return dy * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)))


def _gelu_numba(x: np.ndarray) -> np.ndarray:
    return _elementwise(_gelu_float32_loop if x.dtype == np.float32 else _gelu_loop, x)


def _gelu_backward_numba(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return _elementwise(_gelu_backward_float32_loop if x.dtype == np.float32 else _gelu_backward_loop, dy, x)


def _elementwise(loop: Callable[..., None], *arrays: np.ndarray) -> np.ndarray:
    y = np.empty(arrays[0].shape, arrays[0].dtype)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (*arrays, y)]
    tasks = (partial(loop, *(array[block] for array in flat)) for block in threads.blocks(y.size, BLOCK))
    threads.run(tasks, OPERATIONS * y.size)
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


# math.erf is a call and keeps the loop from being vectorised; a quotient of polynomials is not. For |z| ≤ 3.9
#     erf(z) ≈ z P(z²) / Q(z²)      with an error below 1.5e-8 (tests/ops/fit_erf.py finds P and Q)
# and beyond 3.9 erf is 1 to 3.5e-8; below −3.9 · √2 Φ is taken as 0. It is evaluated in float64: the error of y is
# below 2e-8 · |x| and one rounding of y to float32.
BOUND = 3.9
P0, P1, P2, P3, P4, P5 = 1.128379033, 1.919380538e-1, 5.296651742e-2, 3.836741956e-3, 2.874529456e-4, 2.050395895e-6
Q1, Q2, Q3, Q4, Q5 = 5.034324513e-1, 1.147569684e-1, 1.510894324e-2, 1.181699110e-3, 3.823059954e-5


@njit(fastmath={"contract"})
def _normal_distribution(x):
    """Φ(x), to 1e-8."""
    z = x * math.sqrt(0.5)
    z = BOUND if z > BOUND else z
    z = -BOUND if z < -BOUND else z
    s = z * z
    p = P0 + s * (P1 + s * (P2 + s * (P3 + s * (P4 + s * P5))))
    q = 1 + s * (Q1 + s * (Q2 + s * (Q3 + s * (Q4 + s * Q5))))
    return 0.0 if z == -BOUND else 0.5 * (1 + z * p / q)


@njit(fastmath={"contract"})
def _gelu_float32_loop(x, y):
    for i in range(x.size):
        value = float(x[i])
        y[i] = value * _normal_distribution(value)


@njit(fastmath={"contract"})
def _gelu_backward_float32_loop(dy, x, dx):
    for i in range(x.size):
        density = exp_float32(np.float32(-0.5) * x[i] * x[i]) * np.float32(1 / math.sqrt(2 * math.pi))
        dx[i] = dy[i] * (_normal_distribution(float(x[i])) + x[i] * density)


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


_swish = choose(_swish_numba, _swish_numpy)
_swish_backward = choose(_swish_backward_numba, _swish_backward_numpy)
_gelu = choose(_gelu_numba, _gelu_numpy)
_gelu_backward = choose(_gelu_backward_numba, _gelu_backward_numpy)
