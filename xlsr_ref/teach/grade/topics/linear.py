"""Exercises: the linear layer, forward and backward (ops/linear.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops import linear as library
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 2e-6  # sums of at most nine products, each rounded to 6e-8


def linear(x, p):
    """Linear layer: every frame through the same matrix.

        y = x Wᵀ + b

    x is (T, C_in); W = p["weight"] is (C_out, C_in), as checkpoints have it; b = p["bias"] is (C_out,).
    Return y (T, C_out), in the dtype of x. Source: every projection of wav2vec 2.0.
    """
    return x @ p["weight"].T + p["bias"]


def linear_backward(dy, x, p):
    """The backward pass of the linear layer y = x Wᵀ + b.

        dx = dy W,      dW = dyᵀ x,      db = Σ_t dy[t]

    dy is (T, C_out), x (T, C_in), p["weight"] (C_out, C_in), p["bias"] (C_out,).
    Return (dx, {"weight": dW, "bias": db}): each has the shape of what it is the gradient of. Source: notebook 11.
    """
    dx = dy @ p["weight"]
    dweight = dy.T @ x
    dbias = dy.sum(axis=0)
    return dx, {"weight": dweight, "bias": dbias}


def _tries(rng: np.random.Generator) -> dict[str, tuple]:
    sizes = {
        "usual": (5, 4, 6),
        "one frame": (1, 3, 4),
        "one channel in": (4, 1, 3),
        "one channel out": (4, 3, 1),
        "odd sizes": (7, 5, 3),
        "as many out as in": (6, 4, 4),
        "as many frames as channels": (3, 3, 3),
    }
    return {name: _arguments(rng, *each) for name, each in sizes.items()}


def _arguments(rng: np.random.Generator, T: int, C_in: int, C_out: int) -> tuple:
    p = {"weight": rng.standard_normal((C_out, C_in)), "bias": rng.standard_normal(C_out)}
    return rng.standard_normal((T, C_in)) + 1, p


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    x, p = _arguments(rng, 4, 5, 3)
    return cases(_tries(rng) | {"large mean": (x + 1000, p)}, FLOAT32)


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {name: (rng.standard_normal((len(x), len(p["bias"]))) + 1, x, p) for name, (x, p) in _tries(rng).items()}
    return cases(tries, FLOAT32)


LINEAR = exercise(
    linear,
    library.linear,
    module="ops.linear",
    notebook="06",
    title="Linear layer",
    battery=_forward,
    mistakes={
        "transposed weights": ('p["weight"].T', 'p["weight"]'),
        "a reshape for the transpose of the weights": ('p["weight"].T', 'p["weight"].reshape(x.shape[1], -1)'),
        "bias forgotten": (' + p["bias"]', ""),
        "bias multiplied, not added": (' + p["bias"]', ' * p["bias"]'),
        "the same bias for all: its sum": (' + p["bias"]', ' + p["bias"].sum()'),
        "bias subtracted": (' + p["bias"]', ' - p["bias"]'),
        "bias added to x, before the product": ('x @ p["weight"].T + p["bias"]', '(x + p["bias"]) @ p["weight"].T'),
        "scaled by 1/√C": ('x @ p["weight"].T', 'x @ p["weight"].T / x.shape[1] ** 0.5'),
    },
)

LINEAR_BACKWARD = exercise(
    linear_backward,
    backward_of(library.linear, library.linear_backward),
    module="ops.linear",
    notebook="11",
    title="Linear layer, backward",
    battery=_backward,
    returns=("dx", "grads"),
    mistakes={
        "transposed weights in dx": ('dy @ p["weight"]', 'dy @ p["weight"].T'),
        "dweight is transposed": ("dy.T @ x", "x.T @ dy"),
        "dbias is not summed over the frames": ("dy.sum(axis=0)", "dy"),
        "dbias is summed over the wrong axis": ("dy.sum(axis=0)", "dy.sum(axis=1)"),
        "a reshape for the transpose: dweight": ("dy.T @ x", '(x.T @ dy).reshape(p["weight"].shape)'),
        "a reshape for the transpose of dy": ("dy.T @ x", "dy.reshape(dy.shape[::-1]) @ x"),
        "a reshape for the transpose of the weights in dx": (
            'dy @ p["weight"]',
            'dy @ p["weight"].T.reshape(p["weight"].shape)',
        ),
        "dbias is summed over everything": ("dy.sum(axis=0)", 'np.full_like(p["bias"], dy.sum())'),
        "dbias is of the first frame only": ("dy.sum(axis=0)", "dy[0]"),
        "dbias as a mean over the frames": ("dy.sum(axis=0)", "dy.mean(axis=0)"),
        "dweight as a mean over the frames": ("dy.T @ x", "dy.T @ x / len(x)"),
        "sign wrong in dx": ("dx = dy @", "dx = -dy @"),
    },
)
