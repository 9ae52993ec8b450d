"""Exercises: GELU, forward and backward (ops/activation.py)."""

from __future__ import annotations

import math

import numpy as np

from xlsr_ref.ops import activation
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 1e-6  # erf, two products and a sum: some ten roundings of 6e-8


def gelu(x):
    """GELU: let a value through in proportion to how rarely a standard normal draw exceeds it.

        y = x Φ(x) = x/2 (1 + erf(x / √2))

    x has any shape. Return y with its shape and dtype. erf is in scipy.special, and for one number in math.
    Source: Hendrycks & Gimpel 2016; wav2vec 2.0 takes this form, not the one with tanh.
    """
    from scipy.special import erf

    z = x / math.sqrt(2)
    return x / 2 * (1 + erf(z))


def gelu_backward(dy, x):
    """The backward pass of GELU: dx from dy.

        dx = dy · (Φ(x) + x φ(x)),      Φ(x) = (1 + erf(x / √2)) / 2,      φ(x) = exp(−x²/2) / √(2π)

    dy and x have one shape, any. Return dx with that shape and dtype. Source: the product rule on x Φ(x).
    """
    from scipy.special import erf

    probability = (1 + erf(x / math.sqrt(2))) / 2
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return dy * (probability + x * density)


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (3 * rng.standard_normal((5, 6)),),
        "one number": (rng.standard_normal(1),),
        "odd sizes": (rng.standard_normal((3, 7)),),
        "three axes": (rng.standard_normal((2, 3, 5)),),
        "where tanh departs": (rng.uniform(2.6, 2.8, (3, 3)) * rng.choice([-1, 1], (3, 3)),),
        "large values": (rng.uniform(20, 1000, (2, 8)) * rng.choice([-1, 1], (2, 8)),),
        "zero": (np.zeros((2, 2)),),
    }
    return cases(tries, FLOAT32)


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    xs = {
        "usual": 2 * rng.standard_normal((5, 6)),
        "one number": rng.standard_normal(1),
        "odd sizes": rng.standard_normal((3, 7)),
        "three axes": rng.standard_normal((2, 3, 5)),
        "where tanh departs": rng.uniform(1.0, 3.0, (3, 3)) * rng.choice([-1, 1], (3, 3)),
        "large values": rng.uniform(20, 1000, (2, 8)) * rng.choice([-1, 1], (2, 8)),
    }
    return cases({name: (rng.standard_normal(x.shape), x) for name, x in xs.items()}, FLOAT32)


GELU = exercise(
    gelu,
    activation.gelu,
    module="ops.activation",
    notebook="03",
    title="GELU",
    battery=_forward,
    mistakes={
        "tanh GELU": ("erf(z)", "np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))"),
        "sigmoid GELU": ("erf(z)", "np.tanh(1.702 * x / 2)"),
        "x is not divided by √2": ("z = x / math.sqrt(2)", "z = x"),
        "x/2 forgotten: x (1 + erf …)": ("x / 2 * (", "x * ("),
        "1 + forgotten": ("(1 + erf(z))", "erf(z)"),
        "x forgotten: this is Φ(x) alone": ("x / 2 * (", "0.5 * ("),
        "this is swish: x σ(x)": ("x / 2 * (1 + erf(z))", "x * np.exp(-np.logaddexp(0, -x))"),
        "x is multiplied by √2, not divided": ("z = x / math.sqrt(2)", "z = x * math.sqrt(2)"),
        "the density φ in place of Φ": ("x / 2 * (1 + erf(z))", "x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)"),
        "erf of |x|": ("erf(z)", "erf(abs(z))"),
        "tanh GELU without √(2/π)": ("erf(z)", "np.tanh(x + 0.044715 * x**3)"),
        "tanh GELU without the cube": ("erf(z)", "np.tanh(math.sqrt(2 / math.pi) * x)"),
        "this is ReLU": ("return x / 2 * (1 + erf(z))", "return np.maximum(x, 0)"),
    },
)

GELU_BACKWARD = exercise(
    gelu_backward,
    lambda dy, x: backward_of(activation.gelu, activation.gelu_backward)(dy, x)[0],
    module="ops.activation",
    notebook="11",
    title="GELU, backward",
    battery=_backward,
    returns=("dx",),
    mistakes={
        "x φ(x) forgotten": (" + x * density", ""),
        "Φ(x) forgotten": ("probability + x", "x"),
        "x forgotten before φ(x)": ("x * density", "density"),
        "dy forgotten": ("dy * (", "np.ones_like(dy) * ("),
        "sign wrong": ("probability + x", "probability - x"),
        "φ without 1/√(2π)": (" / math.sqrt(2 * math.pi)", ""),
        "φ with exp(−x²), not exp(−x²/2)": ("-x * x / 2", "-x * x"),
        "x is not divided by √2": ("erf(x / math.sqrt(2))", "erf(x)"),
        "x Φ(x), the forward pass, times dy": ("dy * (probability + x * density)", "dy * x * probability"),
        "Φ is not halved": ("(1 + erf(x / math.sqrt(2))) / 2", "1 + erf(x / math.sqrt(2))"),
        "φ with exp(+x²/2)": ("-x * x / 2", "np.minimum(x * x / 2, 700)"),
        "the slope of ReLU": ("dy * (probability + x * density)", "dy * (x > 0)"),
        "the slope of tanh GELU": (
            "return dy * (probability + x * density)",
            "u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)\n"
            "    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)\n"
            "    return dy * ((1 + np.tanh(u)) / 2 + x / 2 * (1 - np.tanh(u) ** 2) * du)",
        ),
    },
)
