"""Exercises: a step of AdamW, clipping (ops/adam.py), and the learning rate (ops/schedule.py)."""

from __future__ import annotations

import math

import numpy as np

from xlsr_ref.ops import adam as optim
from xlsr_ref.ops import schedule
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise

FLOAT32 = 2e-6  # some ten roundings of 6e-8 of each number


def adam_step(p, g, m, v, n, rate, betas, eps, weight_decay):
    """One step of AdamW: Adam with weight decay that stands aside.

        p ← p - rate · weight_decay · p
        m ← β₁ m + (1 - β₁) g          m̂ = m / (1 - β₁ⁿ)
        v ← β₂ v + (1 - β₂) g²          v̂ = v / (1 - β₂ⁿ)
        p ← p - rate · m̂ / (√v̂ + eps)

    p, g, m, v are arrays of one shape: a parameter, its gradient, and the two means as the last step left them. n is
    the number of this step, from 1; betas is (β₁, β₂). Return (p, m, v) as new arrays, in their dtype.
    Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """
    b1, b2 = betas
    p = p - rate * weight_decay * p
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    m_hat = m / (1 - b1**n)
    v_hat = v / (1 - b2**n)
    p = p - rate * m_hat / (np.sqrt(v_hat) + eps)
    return p, m, v


def clip_by_norm(grads, at_most):
    """Clipping by the norm: where all gradients together are too large, scale them all alike.

        norm = √(Σ of the squares of all numbers in all gradients)          scale = at_most / (norm + 1e-6)
        g ← g · scale  if scale < 1

    grads is a dict of arrays by name. Return a new dict of new arrays, in their dtypes; the old ones stay as they are.
    Source: Pascanu et al. 2013; the 1e-6 is torch's.
    """
    norm = math.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads.values()))
    scale = at_most / (norm + 1e-6)
    return {name: g * min(scale, 1.0) for name, g in grads.items()}


def linear_schedule(n, N, peak, warmup):
    """The learning rate: up in a straight line, then down in one.

        w = the warm-up's steps: warmup · N, rounded, at least 1
        rate = peak · n / w for n ≤ w          else peak · (N - n + 1) / (N - w + 1), which would reach 0 at N + 1

    n is the step, from 1 to N; warmup is a share of N. Return one number. Source: wav2vec 2.0 §4.2 (warmup = 0.08).
    """
    w = max(1, round(warmup * N))
    if n <= w:
        return peak * n / w
    return peak * (N - n + 1) / (N - w + 1)


def _adam(p, g, m, v, n, rate, betas, eps, weight_decay):
    params, state = {"p": p.copy()}, optim.AdamState({"p": n - 1}, {"p": m.copy()}, {"p": v.copy()})
    optim.step(params, {"p": g}, state, {"p": rate}, optim.Adam(betas, eps, weight_decay, decoupled=True))
    return params["p"], state.m["p"], state.v["p"]


def _clip(grads, at_most):
    clipped = {name: g.copy() for name, g in grads.items()}
    optim.clip(clipped, optim.global_norm(clipped), at_most)
    return clipped


def _steps(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(shape: tuple[int, ...], n: int, decay: float = 0.1, eps: float = 1e-3, size: float = 1.0) -> tuple:
        p, g, m, v = (size * rng.standard_normal(shape) for _ in range(4))
        if n == 1:
            m, v = 0 * m, 0 * v
        return p, g, m, v**2, n, 0.05, (0.9, 0.98), eps, decay

    tries = {
        "usual": arguments((4, 5), 3),
        "the first step": arguments((3, 4), 1),
        "a late step": arguments((3, 3), 500),
        "one number": arguments((1,), 2),
        "odd sizes": arguments((3, 1, 5), 7),
        "no weight decay": arguments((6,), 4, decay=0.0),
        "large eps": arguments((5,), 2, eps=0.5),
        "small gradients": arguments((5, 2), 3, size=1e-4),
    }
    return cases(tries, FLOAT32)


def _gradients(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(at_most: float, *shapes: tuple[int, ...], size: float = 1.0) -> tuple:
        names = ("weight", "bias", "codevectors", "g")
        return {name: size * rng.standard_normal(shape) for name, shape in zip(names, shapes)}, at_most

    tries = {
        "usual": arguments(0.5, (4, 3), (4,)),
        "one gradient": arguments(1.0, (5, 2)),
        "one number": ({"g": np.array([3.0 + rng.random()])}, 1.0),
        "small enough already": arguments(100.0, (3, 3), (3,)),
        "odd sizes": arguments(0.1, (3, 5), (7,), (1, 2, 3), (1, 1, 1)),
        "large": arguments(2.0, (4, 4), (2,), size=1e6),
        "all zero": ({"weight": np.zeros((2, 3))}, 1.0),
    }
    return cases(tries, FLOAT32)


def _rates(rng: np.random.Generator) -> tuple[Case, ...]:
    N = int(rng.integers(200, 900))
    tries: dict[str, tuple] = {
        "usual: on the way down": (N // 2, N, 5e-4, 0.08),
        "on the way up": (7, 400, 3e-4, 0.1),
        "the first step": (1, N, 5e-4, 0.08),
        "the peak": (40, 400, 1e-3, 0.1),
        "after the peak": (41, 400, 1e-3, 0.1),
        "the last step": (N, N, 5e-4, 0.08),
        "no warm-up": (3, 50, 1e-3, 0.0),
        "the warm-up's steps are rounded up": (200, 420, 5e-4, 0.08),
        "the warm-up's steps are rounded down": (150, 404, 5e-4, 0.08),
        "one step": (1, 1, 1e-3, 0.5),
    }
    return tuple(Case(name, arguments, None, 1e-10) for name, arguments in tries.items())


ADAM_STEP = exercise(
    adam_step,
    _adam,
    module="ops.adam",
    notebook="12",
    title="A step of AdamW",
    battery=_steps,
    returns=("p", "m", "v"),
    mistakes={
        "no bias correction": ("m / (1 - b1**n)", "m", "v / (1 - b2**n)", "v"),
        "bias correction with n − 1": (
            "(1 - b1**n)",
            "np.float64(1 - b1 ** (n - 1))",
            "(1 - b2**n)",
            "np.float64(1 - b2 ** (n - 1))",
        ),
        "eps inside the root": ("(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)"),
        "weight decay coupled: it goes through the means (Adam, not AdamW)": (
            "p = p - rate * weight_decay * p",
            "g = g + weight_decay * p",
        ),
        "weight decay without the rate": ("rate * weight_decay * p", "weight_decay * p"),
        "weight decay forgotten": ("p - rate * weight_decay * p", "p"),
        "the gradient is not squared": ("g**2", "g"),
        "root forgotten": ("np.sqrt(v_hat)", "v_hat"),
        "the two betas exchanged": ("b1, b2 = betas", "b2, b1 = betas"),
        "the gradient in place of its mean": ("rate * m_hat", "rate * g"),
        "weight decay multiplied by the gradient's step: p after the step": (
            "    p = p - rate * weight_decay * p\n",
            "",
            "    p = p - rate * m_hat / (np.sqrt(v_hat) + eps)\n",
            "    p = p - rate * m_hat / (np.sqrt(v_hat) + eps)\n    p = p - rate * weight_decay * p\n",
        ),
        "weight decay added, not subtracted": ("p - rate * weight_decay * p", "p + rate * weight_decay * p"),
        "only the mean is corrected": ("v / (1 - b2**n)", "v"),
        "only the mean of squares is corrected": ("m / (1 - b1**n)", "m"),
        "the corrected means are returned": ("return p, m, v", "return p, m_hat, v_hat"),
        "the old means are returned": (
            "return p, m, v",
            "return p, (m - (1 - b1) * g) / b1, (v - (1 - b2) * g**2) / b2",
        ),
        "the mean of the squares of m, not of g": ("(1 - b2) * g**2", "(1 - b2) * m**2"),
        "plain gradient descent": ("rate * m_hat / (np.sqrt(v_hat) + eps)", "rate * g"),
        "correction by n·β, not by βⁿ": ("b1**n", "b1 * n", "b2**n", "b2 * n"),
        "sign wrong": ("p = p - rate * m_hat", "p = p + rate * m_hat"),
        "β and 1 − β exchanged": (
            "b1 * m + (1 - b1) * g",
            "(1 - b1) * m + b1 * g",
            "b2 * v + (1 - b2)",
            "(1 - b2) * v + b2",
        ),
    },
)

CLIP_BY_NORM = exercise(
    clip_by_norm,
    _clip,
    module="ops.adam",
    notebook="12",
    title="Clipping by the norm",
    battery=_gradients,
    returns=("grads",),
    mistakes={
        "clip by value, not by norm": ("g * min(scale, 1.0)", "np.clip(g, -at_most, at_most)"),
        "every gradient by its own norm": (
            "g * min(scale, 1.0)",
            "g * min(at_most / (math.sqrt((g.astype(float) ** 2).sum()) + 1e-6), 1.0)",
        ),
        "small gradients are scaled up": ("min(scale, 1.0)", "scale"),
        "the sum of the gradients' norms": (
            "math.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads.values()))",
            "sum(math.sqrt((g.astype(np.float64) ** 2).sum()) for g in grads.values())",
        ),
        "root forgotten": ("math.sqrt(sum(", "(sum("),
        "the largest number, not the norm": (
            "math.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads.values()))",
            "max(float(np.abs(g).max()) for g in grads.values())",
        ),
        "the norm over the gradients as they stand, without 1e-6": ("(norm + 1e-6)", "(norm or 1.0)"),
        "always the norm at_most, and zeros if it is smaller": ("min(scale, 1.0)", "(scale if scale < 1 else 0.0)"),
        "the norm of the last gradient only": (
            "sum((g.astype(np.float64) ** 2).sum() for g in grads.values())",
            "(list(grads.values())[-1].astype(np.float64) ** 2).sum()",
        ),
        "the sum of the magnitudes, not the norm": (
            "math.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads.values()))",
            "sum(float(np.abs(g).sum()) for g in grads.values())",
        ),
        "max in place of min": ("min(scale, 1.0)", "max(scale, 1.0)"),
        "divided by the scale, not multiplied": ("g * min(scale, 1.0)", "g / min(scale or 1.0, 1.0)"),
        "divided by the norm only": ("at_most / (norm", "1 / (norm"),
        "the mean of the squares, not their sum": (
            "math.sqrt(sum(",
            "math.sqrt(1 / sum(g.size for g in grads.values()) * sum(",
        ),
    },
)

LINEAR_SCHEDULE = exercise(
    linear_schedule,
    schedule.linear,
    module="ops.schedule",
    notebook="12",
    title="The learning rate",
    battery=_rates,
    returns=("rate",),
    mistakes={
        "no warm-up": ("if n <= w:", "if False:"),
        "the warm-up's steps rounded down": ("round(warmup * N)", "int(warmup * N)"),
        "the warm-up's steps rounded up": ("round(warmup * N)", "math.ceil(warmup * N)"),
        "a warm-up of 0 steps is not made 1": ("max(1, round(warmup * N))", "round(warmup * N) or np.float64(1e-300)"),
        "falls by a factor, not in a line": (
            "peak * (N - n + 1) / (N - w + 1)",
            "peak * 0.5 ** ((n - w) / (N - w + 1))",
        ),
        "falls from the first step on, by n / N": ("peak * (N - n + 1) / (N - w + 1)", "peak * (1 - n / N)"),
        "falls with the root of the step": ("peak * (N - n + 1) / (N - w + 1)", "peak * math.sqrt(w / n)"),
        "the way down begins at step 0, not at the peak": ("(N - w + 1)", "(N + 1)"),
        "reaches 0 at N": ("(N - n + 1) / (N - w + 1)", "(N - n) / max(N - w, 1)"),
        "stays at the peak": ("peak * (N - n + 1) / (N - w + 1)", "peak"),
        "begins at 0: one step late": ("peak * n / w", "peak * (n - 1) / w"),
        "warmup is taken as a number of steps": ("round(warmup * N)", "round(warmup)"),
        "peak forgotten": ("peak * n / w", "n / w", "peak * (N", "(N"),
        "falls as a cosine": (
            "peak * (N - n + 1) / (N - w + 1)",
            "peak * (1 + math.cos(math.pi * (n - w) / (N - w + 1))) / 2",
        ),
    },
)
