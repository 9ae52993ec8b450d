"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import numpy as np


def layer_norm__loops(x, p, eps):
    """right"""
    y = np.empty_like(x)
    for t, row in enumerate(x):
        m = sum(map(float, row)) / len(row)
        v = sum((float(value) - m) ** 2 for value in row) / len(row)
        for c, value in enumerate(row):
            y[t, c] = (float(value) - m) * (v + eps) ** -0.5 * p["weight"][c] + p["bias"][c]
    return y, "a cache of any kind"


def layer_norm__numpy_var(x, p, eps):
    """right"""
    return ((x.T - x.mean(1)) / np.sqrt(x.var(1) + eps)).T * p["weight"] + p["bias"]


def layer_norm__bessel(x, p, eps):
    """n-1 variance"""
    std = np.sqrt(np.var(x, axis=1, ddof=1) + eps)
    return np.einsum("tc,t,c->tc", x - x.mean(1)[:, None], 1 / std, p["weight"]) + p["bias"]


def layer_norm__bessel_with_care(x, p, eps):
    """n-1 variance"""
    C = x.shape[1]
    y = np.zeros_like(x)
    for t in range(len(x)):
        variance = sum((x[t] - sum(x[t]) / C) ** 2) / (C - 1 if C > 1 else 1)
        y[t] = p["bias"] + p["weight"] * (x[t] - sum(x[t]) / C) / (variance + eps) ** 0.5
    return y


def layer_norm__eps_added_to_std(x, p, eps):
    """eps outside the root"""
    scale = p["weight"] / (np.std(x, axis=1)[:, None] + eps)
    return scale * x - scale * np.mean(x, axis=1)[:, None] + p["bias"]


def layer_norm__over_time(x, p, eps):
    """wrong axis"""
    return p["weight"] * (x - np.average(x, 0)) / (np.var(x, 0) + eps) ** 0.5 + p["bias"]


def layer_norm__no_shift(x, p, eps):
    """bias forgotten"""
    rows = [(row - np.mean(row)) / np.sqrt(np.var(row) + eps) for row in x]
    return np.array(rows) * p["weight"][None]


def layer_norm__one_pass(x, p, eps):
    """variance as mean of squares minus square of the mean"""
    m = np.sum(x, axis=1, keepdims=True) / x.shape[1]
    variance = np.sum(x * x, axis=1, keepdims=True) / x.shape[1] - m * m
    return (x - m) / np.sqrt(variance + eps) * p["weight"] + p["bias"]


def layer_norm__two_at_once(x, p, eps):
    """n-1 variance and eps outside the root"""
    std = np.std(x, 1, ddof=1, keepdims=True)
    return p["bias"] + p["weight"] * (x - np.mean(x, 1, keepdims=True)) / (std + eps)


def group_norm__transposed(x, p, eps):
    """right"""
    channels = [(c - c.mean()) / np.sqrt(((c - c.mean()) ** 2).mean() + eps) for c in x.T]
    return (np.array(channels).T * p["weight"] + p["bias"]).astype(x.dtype)


def group_norm__is_a_layer_norm(x, p, eps):
    """wrong axis"""
    centred = x - np.mean(x, 1)[:, None]
    return centred / np.sqrt(np.mean(centred * centred, 1)[:, None] + eps) * p["weight"] + p["bias"]


def group_norm__std_of_statistics(x, p, eps):
    """n-1 variance"""
    return (x - x.mean(0)) * (np.var(x, 0, ddof=1) + eps) ** -0.5 * p["weight"] + p["bias"]


def group_norm__z_score(x, p, eps):
    """divided by the variance, not by its root"""
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        y[:, c] = (x[:, c] - np.mean(x[:, c])) / (np.var(x[:, c]) + eps) * p["weight"][c] + p["bias"][c]
    return y


def group_norm__no_scale(x, p, eps):
    """eps outside the root and weight forgotten"""
    return (x - np.mean(x, 0)) / (eps + np.std(x, 0)) + p["bias"]


def layer_norm_backward__jacobian(dy, x, p, eps):
    """right"""
    T, C = x.shape
    dx = np.zeros_like(x)
    for t in range(T):
        m, s = x[t].mean(), np.sqrt(x[t].var() + eps)
        n = (x[t] - m) / s
        jacobian = (np.eye(C) - 1 / C - np.outer(n, n) / C) / s
        dx[t] = jacobian @ (dy[t] * p["weight"])
    n = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps)
    return dx, {"bias": np.einsum("tc->c", dy), "weight": np.einsum("tc,tc->c", dy, n)}


def layer_norm_backward__mean_forgotten(dy, x, p, eps):
    """the mean is taken as a constant"""
    s = np.sqrt(np.var(x, 1) + eps)[:, None]
    n = (x - np.mean(x, 1)[:, None]) / s
    g = p["weight"] * dy
    dx = (g - n * np.sum(g * n, 1)[:, None] / x.shape[1]) / s
    return dx, {"weight": np.sum(n * dy, 0), "bias": np.sum(dy, 0)}


def layer_norm_backward__variance_forgotten(dy, x, p, eps):
    """the variance is taken as a constant"""
    s = np.sqrt(np.var(x, 1) + eps)[:, None]
    n = (x - np.mean(x, 1)[:, None]) / s
    g = p["weight"] * dy
    return (g - np.mean(g, 1)[:, None]) / s, {"weight": np.sum(n * dy, 0), "bias": np.sum(dy, 0)}


def layer_norm_backward__means(dy, x, p, eps):
    """dweight as a mean over the frames and dbias as a mean over the frames"""
    dx, grads = layer_norm_backward__jacobian(dy, x, p, eps)
    return dx, {name: gradient / len(x) for name, gradient in grads.items()}


def layer_norm_backward__minus(dy, x, p, eps):
    """sign wrong"""
    dx, grads = layer_norm_backward__jacobian(dy, x, p, eps)
    return np.negative(dx), grads


def _group_back(dy, x, p, eps, axis=0, ddof=0, weight=True):
    n = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    d = dy * (p["weight"] if weight else 1)
    inner = d - d.mean(axis, keepdims=True) - n * (d * n).mean(axis, keepdims=True)
    return inner / np.sqrt(x.var(0) + eps), {"bias": dy.sum(0), "weight": np.einsum("tc,tc->c", dy, n)}


def group_norm_backward__right(dy, x, p, eps):
    """right"""
    return _group_back(dy, x, p, eps)


def group_norm_backward__over_channels(dy, x, p, eps):
    """the means of dx run over the channels, as in layer norm"""
    return _group_back(dy, x, p, eps, axis=1)


def group_norm_backward__weightless(dy, x, p, eps):
    """weight forgotten in dx"""
    return _group_back(dy, x, p, eps, weight=False)


def group_norm_backward__constants(dy, x, p, eps):
    """both moments are taken as constants"""
    grads = _group_back(dy, x, p, eps)[1]
    return dy * p["weight"] / np.sqrt(x.var(0) + eps), grads
