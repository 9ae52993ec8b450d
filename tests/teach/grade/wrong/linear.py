"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import numpy as np


def linear__einsum(x, p):
    """right"""
    return np.einsum("ti,oi->to", x, p["weight"]) + p["bias"][None]


def linear__loops(x, p):
    """right"""
    y = np.zeros((len(x), len(p["bias"])), x.dtype)
    for t in range(len(x)):
        for o, row in enumerate(p["weight"]):
            y[t, o] = sum(float(a) * float(b) for a, b in zip(x[t], row)) + float(p["bias"][o])
    return y, x


def linear__not_transposed(x, p):
    """transposed weights"""
    return np.einsum("ti,io->to", x, p["weight"]) + p["bias"]


def linear__no_bias(x, p):
    """bias forgotten"""
    return np.stack([p["weight"] @ frame for frame in x])


def linear__minus(x, p):
    """bias subtracted"""
    return np.stack([p["weight"] @ frame - p["bias"] for frame in x])


def linear__bias_first(x, p):
    """bias added to x, before the product"""
    return np.stack([p["weight"] @ (frame + p["bias"]) for frame in x])


def linear__not_transposed_no_bias(x, p):
    """transposed weights and bias forgotten"""
    return np.dot(x, p["weight"])


def linear_backward__einsum(dy, x, p):
    """right"""
    grads = {"bias": np.einsum("to->o", dy), "weight": np.einsum("to,ti->oi", dy, x)}
    return np.einsum("to,oi->ti", dy, p["weight"]), grads


def linear_backward__outer_products(dy, x, p):
    """right"""
    dweight, dbias, dx = np.zeros_like(p["weight"]), np.zeros_like(p["bias"]), np.zeros_like(x)
    for t in range(len(x)):
        dweight += np.outer(dy[t], x[t])
        dbias += dy[t]
        dx[t] = p["weight"].T @ dy[t]
    return [dx, {"weight": dweight, "bias": dbias}]


def linear_backward__dx_transposed(dy, x, p):
    """transposed weights in dx"""
    dx = np.einsum("ti,oi->to", dy, p["weight"])
    return dx, {"bias": np.add.reduce(dy), "weight": np.einsum("to,ti->oi", dy, x)}


def linear_backward__dweight_transposed(dy, x, p):
    """dweight is transposed"""
    return np.dot(dy, p["weight"]), {"bias": np.add.reduce(dy), "weight": np.einsum("to,ti->io", dy, x)}


def linear_backward__dbias_per_frame(dy, x, p):
    """dbias is not summed over the frames"""
    return np.dot(dy, p["weight"]), {"bias": dy, "weight": np.einsum("to,ti->oi", dy, x)}


def linear_backward__averages(dy, x, p):
    """dbias as a mean over the frames and dweight as a mean over the frames"""
    grads = {"bias": np.average(dy, 0), "weight": np.average([np.outer(a, b) for a, b in zip(dy, x)], 0)}
    return np.dot(dy, p["weight"]), {name: g.astype(x.dtype) for name, g in grads.items()}


def linear_backward__average_bias(dy, x, p):
    """dbias as a mean over the frames"""
    return np.dot(dy, p["weight"]), {"bias": np.average(dy, 0), "weight": np.einsum("to,ti->oi", dy, x)}
