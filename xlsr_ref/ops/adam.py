"""Adam and AdamW: each weight takes steps of its own size, measured by how much its gradient usually varies.

    m ← β₁ m + (1 − β₁) g                 the mean of the gradient, lately          m̂ = m / (1 − β₁ⁿ)
    v ← β₂ v + (1 − β₂) g²                the mean of its square                    v̂ = v / (1 − β₂ⁿ)
    p ← p − rate · m̂ / (√v̂ + ε)           m and v begin at 0: the division by 1 − βⁿ makes up for that

Weight decay λ pulls to zero: Adam adds λ p to g, where √v̂ then shrinks it; AdamW takes p ← p − rate λ p first, aside.
Clipping scales all gradients together where their common norm is too large: one bad batch does little harm.
Where: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; wav2vec 2.0 §4.2. Equal to torch's.
Letters: p a parameter, g its gradient, n its steps so far, this one included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import choose, njit

Flat = dict[str, np.ndarray]


@dataclass
class AdamState:
    """What the optimizer remembers of each parameter that has taken a step, by its dotted name."""

    steps: dict[str, int] = field(default_factory=dict)
    m: Flat = field(default_factory=dict)
    v: Flat = field(default_factory=dict)


@dataclass(frozen=True)
class Adam:
    """The settings: ``decoupled`` for AdamW, else Adam."""

    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.0
    decoupled: bool = True


def step(
    params: Mapping[str, np.ndarray],
    grads: Mapping[str, np.ndarray],
    state: AdamState,
    rates: Mapping[str, float],
    adam: Adam,
) -> None:
    """One step of every parameter that has a gradient, in place, in ``params`` and in ``state``.

    ``rates`` are the learning rates by name. A parameter without a gradient stays as it is, and its step is not
    counted. A parameter and its gradient have one shape and dtype, float32 or float64.
    """
    for name, g in grads.items():
        p = params[name]
        if name not in state.m:
            state.steps[name], state.m[name], state.v[name] = 0, np.zeros_like(p), np.zeros_like(p)
        state.steps[name] += 1
        _update(p, g, state.m[name], state.v[name], state.steps[name], float(rates[name]), adam)


def global_norm(grads: Mapping[str, np.ndarray]) -> float:
    """The square root of the sum of all squares, summed in float64."""
    with threads.one_blas_thread():  # several would add in another order
        return math.sqrt(math.fsum(float(np.vdot(g, g)) for g in (each.astype(np.float64) for each in grads.values())))


def clip(grads: Mapping[str, np.ndarray], norm: float, at_most: float) -> None:
    """Scale all gradients, in place, so that their global ``norm`` is at most ``at_most``, as in torch."""
    scale = at_most / (norm + 1e-6)
    if scale < 1:
        for g in grads.values():
            g *= g.dtype.type(scale)


# --- kernels ---------------------------------------------------------------------------------------------------------


def _update_numpy(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, n: int, rate: float, adam: Adam) -> None:
    """The specification."""
    b1, b2 = adam.betas
    if adam.decoupled:
        p *= 1 - rate * adam.weight_decay
    else:
        g = g + adam.weight_decay * p
    m += (1 - b1) * (g - m)
    v *= b2
    v += (1 - b2) * (g * g)
    m_hat = m / (1 - b1**n)
    v_hat = v / (1 - b2**n)
    p -= rate * m_hat / (np.sqrt(v_hat) + adam.eps)


@njit()
def _update_loop(p, g, m, v, decay, into_gradient, rest1, b2, rest2, rate, root, eps):
    for i in range(len(p)):
        gi = g[i] + into_gradient * p[i]
        m[i] += rest1 * (gi - m[i])
        v[i] = b2 * v[i] + rest2 * gi * gi
        p[i] = decay * p[i] - rate * m[i] / (math.sqrt(v[i]) * root + eps)


def _update_numba(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, n: int, rate: float, adam: Adam) -> None:
    if not (p.flags.c_contiguous and m.flags.c_contiguous and v.flags.c_contiguous):
        return _update_numpy(p, g, m, v, n, rate, adam)  # reshaping would copy them, and the copy would be updated
    (b1, b2), kind = adam.betas, p.dtype.type
    decay, into_gradient = (1 - rate * adam.weight_decay, 0.0) if adam.decoupled else (1.0, adam.weight_decay)
    scaled_rate, root = rate / (1 - b1**n), 1 / math.sqrt(1 - b2**n)
    numbers: list[Any] = [kind(x) for x in (decay, into_gradient, 1 - b1, b2, 1 - b2, scaled_rate, root, adam.eps)]
    _update_loop(p.reshape(-1), np.ascontiguousarray(g).reshape(-1), m.reshape(-1), v.reshape(-1), *numbers)


_update = choose(_update_numba, _update_numpy)
