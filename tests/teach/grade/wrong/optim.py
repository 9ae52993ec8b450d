"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np


def _adam(p, g, m, v, n, rate, betas, eps, weight_decay, correct=True, inside=False, coupled=False, square=True):
    """Number by number."""
    out = [np.zeros(p.shape, float) for _ in range(3)]
    for i in np.ndindex(p.shape):
        pi, gi, mi, vi = (float(a[i]) for a in (p, g, m, v))
        if coupled:
            gi += weight_decay * pi
        mi += (1 - betas[0]) * (gi - mi)
        vi += (1 - betas[1]) * ((gi * gi if square else gi) - vi)
        m_hat = mi / (1 - betas[0] ** n) if correct else mi
        v_hat = vi / (1 - betas[1] ** n) if correct else vi
        root = np.sqrt(v_hat + eps) if inside else np.sqrt(v_hat) + eps
        out[0][i] = pi * (1 if coupled else 1 - rate * weight_decay) - rate * m_hat / root
        out[1][i], out[2][i] = mi, vi
    return tuple(a.astype(p.dtype) for a in out)


def adam_step__numbers(p, g, m, v, n, rate, betas, eps, weight_decay):
    """right"""
    return _adam(p, g, m, v, n, rate, betas, eps, weight_decay)


def adam_step__folded(p, g, m, v, n, rate, betas, eps, weight_decay):
    """right"""
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * np.square(g)
    corrected = rate / (1 - betas[0] ** n) * m / (np.sqrt(v) / math.sqrt(1 - betas[1] ** n) + eps)
    return [p * (1 - rate * weight_decay) - corrected, m, v]


def adam_step__uncorrected(p, g, m, v, n, rate, betas, eps, weight_decay):
    """no bias correction"""
    return _adam(p, g, m, v, n, rate, betas, eps, weight_decay, correct=False)


def adam_step__eps_inside(p, g, m, v, n, rate, betas, eps, weight_decay):
    """eps inside the root"""
    return _adam(p, g, m, v, n, rate, betas, eps, weight_decay, inside=True)


def adam_step__coupled(p, g, m, v, n, rate, betas, eps, weight_decay):
    """weight decay coupled: it goes through the means (Adam, not AdamW)"""
    return _adam(p, g, m, v, n, rate, betas, eps, weight_decay, coupled=True)


def adam_step__no_square(p, g, m, v, n, rate, betas, eps, weight_decay):
    """the gradient is not squared"""
    return _adam(p, g, m, v, n, rate, betas, eps, weight_decay, square=False)


def adam_step__two(p, g, m, v, n, rate, betas, eps, weight_decay):
    """no bias correction and eps inside the root"""
    return _adam(p, g, m, v, n, rate, betas, eps, weight_decay, correct=False, inside=True)


def _scaled(grads, norm, at_most, cap=True):
    factor = at_most / (norm + 1e-6)
    return {name: np.multiply(g, g.dtype.type(min(1, factor) if cap else factor)) for name, g in grads.items()}


def _norm(*arrays):
    return math.hypot(*np.concatenate([a.astype(float).ravel() for a in arrays]))


def clip_by_norm__hypot(grads, at_most):
    """right"""
    return _scaled(grads, _norm(*grads.values()), at_most), "norm"


def clip_by_norm__by_value(grads, at_most):
    """clip by value, not by norm"""
    return {name: np.minimum(np.maximum(g, -at_most), at_most) for name, g in grads.items()}


def clip_by_norm__each(grads, at_most):
    """every gradient by its own norm"""
    return {name: _scaled({name: g}, _norm(g), at_most)[name] for name, g in grads.items()}


def clip_by_norm__always(grads, at_most):
    """small gradients are scaled up"""
    return _scaled(grads, _norm(*grads.values()), at_most, cap=False)


def clip_by_norm__sum_of_norms(grads, at_most):
    """the sum of the gradients' norms"""
    return _scaled(grads, sum(map(_norm, grads.values())), at_most)


def clip_by_norm__two(grads, at_most):
    """small gradients are scaled up and the sum of the gradients' norms"""
    return _scaled(grads, sum(map(_norm, grads.values())), at_most, cap=False)


def linear_schedule__interpolated(n, N, peak, warmup):
    """right"""
    w = max(1, round(warmup * N))
    return float(np.interp(n, [0, w, N + 1], [0, peak, 0])), None


def linear_schedule__cold(n, N, peak, warmup):
    """no warm-up"""
    w = max(1, round(warmup * N))
    return peak - peak * (n - w) / (N + 1 - w)


def linear_schedule__flat(n, N, peak, warmup):
    """stays at the peak"""
    return peak * min(1.0, n / max(1, round(warmup * N)))


def linear_schedule__late(n, N, peak, warmup):
    """begins at 0: one step late"""
    w = max(1, round(warmup * N))
    return (n - 1) / w * peak if n <= w else float(np.interp(n, [w, N + 1], [peak, 0]))


def linear_schedule__from_the_first_step(n, N, peak, warmup):
    """the way down begins at step 0, not at the peak"""
    w = max(1, round(warmup * N))
    return peak * n / w if n <= w else float(np.interp(n, [0, N + 1], [peak, 0]))
