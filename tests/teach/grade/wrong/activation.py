"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np

C = math.sqrt(2 / math.pi)


def gelu__number_by_number(x):
    """right"""
    return np.array([v * math.erfc(-v / 2**0.5) / 2 for v in x.astype(float).ravel()]).reshape(x.shape).astype(x.dtype)


def gelu__gpt2(x):
    """tanh GELU"""
    return 0.5 * x * (1 + np.tanh(C * x * (1 + 0.044715 * x * x)))


def gelu__quick(x):
    """sigmoid GELU"""
    return np.vectorize(lambda v: v / (1 + math.exp(-1.702 * v)) if v > -400 else 0.0, otypes=[x.dtype])(x)


def gelu__half_missing(x):
    """x/2 forgotten: x (1 + erf …)"""
    return np.vectorize(lambda v: v * math.erfc(-v / 2**0.5), otypes=[x.dtype])(x)


def gelu__unscaled(x):
    """x is not divided by √2"""
    return np.vectorize(lambda v: 0.5 * v + 0.5 * v * math.erf(v), otypes=[x.dtype])(x)


def gelu__rectifier(x):
    """this is ReLU"""
    return np.where(x > 0, x, 0).astype(x.dtype)


def gelu_backward__number_by_number(dy, x):
    """right"""
    slopes = [math.erfc(-v / 2**0.5) / 2 + v * math.exp(-(v**2) / 2) / (2 * math.pi) ** 0.5 for v in x.ravel().tolist()]
    return (dy * np.array(slopes).reshape(x.shape)).astype(x.dtype), {}


def gelu_backward__phi_only(dy, x):
    """x φ(x) forgotten"""
    return np.vectorize(lambda d, v: d * math.erfc(-v / 2**0.5) / 2, otypes=[x.dtype])(dy, x)


def gelu_backward__minus(dy, x):
    """sign wrong"""
    return np.vectorize(
        lambda d, v: d * (math.erfc(-v / 2**0.5) / 2 - v * math.exp(-v * v / 2) / (2 * math.pi) ** 0.5),
        otypes=[x.dtype],
    )(dy, x)


def gelu_backward__forgets_the_chain(dy, x):
    """dy forgotten"""
    return gelu_backward__number_by_number(np.ones_like(x), x)


def gelu_backward__gpt2(dy, x):
    """the slope of tanh GELU"""
    t = np.tanh(C * (x + 0.044715 * x**3))
    return dy * (0.5 + 0.5 * t + 0.5 * x * (1 - t**2) * C * (1 + 0.134145 * x**2))


def gelu_backward__density(dy, x):
    """dy forgotten and φ without 1/√(2π)"""
    return np.vectorize(lambda v: math.erfc(-v / 2**0.5) / 2 + v * math.exp(-v * v / 2), otypes=[x.dtype])(x)
