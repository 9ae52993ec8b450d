"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np

ERF = np.vectorize(math.erf, otypes=[float])


def _weights(scores, axis=1, stable=True):
    powers = np.exp(scores - (np.amax(scores, axis, keepdims=True) if stable else 0))
    return powers / np.add.reduce(powers, axis, keepdims=True)


def _heads(q, k, v, heads, scale=None, axis=1, stable=True, interleaved=False, causal=False, swap=False):
    C = q.shape[1]
    D = C // heads
    out = np.zeros_like(v)
    for h in range(heads):
        mine = [c for c in range(C) if (c % heads if interleaved else c // D) == h]
        scores = np.einsum("sc,tc->st" if not swap else "tc,sc->st", q[:, mine], k[:, mine])
        scores = scores * (D**-0.5 if scale is None else scale)
        w = _weights(scores, axis, stable)
        if causal:
            w = np.array([[w[s, t] if t <= s else 0 for t in range(len(q))] for s in range(len(q))], q.dtype)
            w = w / w.sum(1, keepdims=True)
        out[:, mine] = w @ v[:, mine]
    return out


def scaled_dot_product__four_axes(q, k, v, heads):
    """right"""
    q3, k3, v3 = (a.reshape(len(a), heads, -1).swapaxes(0, 1) for a in (q, k, v))  # (H, T, D)
    w = _weights(q3 @ k3.swapaxes(1, 2) * q3.shape[2] ** -0.5, axis=2)
    return np.concatenate(list(w @ v3), axis=1), w


def scaled_dot_product__unscaled(q, k, v, heads):
    """missing 1/√D"""
    return _heads(q, k, v, heads, scale=1)


def scaled_dot_product__too_much(q, k, v, heads):
    """divided by D, not by √D, as when q is scaled, too"""
    return _heads(q, k, v, heads, scale=heads / q.shape[1])


def scaled_dot_product__by_width(q, k, v, heads):
    """divided by √C, not by √D"""
    return _heads(q, k, v, heads, scale=q.shape[1] ** -0.5)


def scaled_dot_product__columns(q, k, v, heads):
    """softmax over the wrong axis"""
    return _heads(q, k, v, heads, axis=0)


def scaled_dot_product__overflows(q, k, v, heads):
    """softmax without the maximum"""
    return _heads(q, k, v, heads, stable=False)


def scaled_dot_product__interleaved(q, k, v, heads):
    """heads take every H-th channel"""
    return _heads(q, k, v, heads, interleaved=True)


def scaled_dot_product__one_head(q, k, v, heads):
    """one head in place of several"""
    return _heads(q, k, v, 1)


def scaled_dot_product__causal(q, k, v, heads):
    """no frame sees the frames after it"""
    return _heads(q, k, v, heads, causal=True)


def scaled_dot_product__two(q, k, v, heads):
    """missing 1/√D and heads take every H-th channel"""
    return _heads(q, k, v, heads, scale=1, interleaved=True)


def _back(dy, q, k, v, heads, s_scale=None, q_scale=None, k_scale=None, through=True, skip=False):
    C = q.shape[1]
    D = C // heads
    usual = D**-0.5
    out = [np.zeros_like(q) for _ in range(3)]
    for h in range(heads):
        at = slice(h * D, h * D + D)
        w = _weights(np.dot(q[:, at], k[:, at].T) * (s_scale or usual))
        out[2][:, at] = np.einsum("st,sc->tc", w, dy[:, at])
        dw = np.einsum("sc,tc->st", dy[:, at], v[:, at])
        ds = np.zeros_like(w)
        for s in range(len(w)):
            jacobian = np.diag(w[s]) - (np.outer(w[s], w[s]) if through else 0)
            ds[s] = dw[s] if skip else jacobian @ dw[s]
        out[0][:, at] = np.einsum("st,tc->sc", ds, k[:, at]) * (q_scale or usual)
        out[1][:, at] = np.einsum("st,sc->tc", ds, q[:, at]) * (k_scale or usual)
    return tuple(out)


def scaled_dot_product_backward__jacobians(dy, q, k, v, heads):
    """right"""
    return _back(dy, q, k, v, heads)


def scaled_dot_product_backward__unscaled_queries(dy, q, k, v, heads):
    """missing 1/√D in dq"""
    return _back(dy, q, k, v, heads, q_scale=1)


def scaled_dot_product_backward__unscaled_both(dy, q, k, v, heads):
    """missing 1/√D in dq and in dk"""
    return _back(dy, q, k, v, heads, q_scale=1, k_scale=1)


def scaled_dot_product_backward__elementwise(dy, q, k, v, heads):
    """the gradient through softmax's sum is forgotten"""
    return _back(dy, q, k, v, heads, through=False)


def scaled_dot_product_backward__no_softmax(dy, q, k, v, heads):
    """softmax is passed over"""
    return _back(dy, q, k, v, heads, skip=True)


def scaled_dot_product_backward__exchanged(dy, q, k, v, heads):
    """dq and dk exchanged"""
    a, b, c = _back(dy, q, k, v, heads)
    return b, a, c


def _projected(x, p, name):
    return np.einsum("ti,oi->to", x, p[name]["weight"]) + p[name]["bias"]


def _attention(x, p, heads, **options):
    return _heads(*(_projected(x, p, f"{letter}_proj") for letter in "qkv"), heads, **options)


def attention__einsum(x, p, heads):
    """right"""
    return _projected(_attention(x, p, heads), p, "out_proj"), ()


def attention__unscaled(x, p, heads):
    """missing 1/√D"""
    return _projected(_attention(x, p, heads, scale=1), p, "out_proj")


def attention__columns(x, p, heads):
    """softmax over the wrong axis"""
    return _projected(_attention(x, p, heads, axis=0), p, "out_proj")


def attention__transposed(x, p, heads):
    """transposed weights"""
    turned = {name: {"weight": each["weight"].T, "bias": each["bias"]} for name, each in p.items()}
    return attention__einsum(x, turned, heads)


def attention__unmixed(x, p, heads):
    """output projection forgotten"""
    return _attention(x, p, heads)


def attention__residual(x, p, heads):
    """x added to the result"""
    return np.add(x, attention__einsum(x, p, heads)[0])


def attention__two(x, p, heads):
    """one head in place of several and bias of the output projection forgotten"""
    return np.einsum("ti,oi->to", _attention(x, p, 1), p["out_proj"]["weight"])


def _gelu(x):
    return (x * (1 + ERF(x / 2**0.5)) / 2).astype(x.dtype)


def feed_forward__frames(x, p):
    """right"""
    return _projected(
        np.stack([_gelu(_projected(row[None], p, "intermediate_dense"))[0] for row in x]), p, "output_dense"
    )


def feed_forward__gpt2(x, p):
    """tanh GELU"""
    z = _projected(x, p, "intermediate_dense")
    return _projected(z / 2 * (1 + np.tanh((2 / math.pi) ** 0.5 * z * (1 + 0.044715 * z * z))), p, "output_dense")


def feed_forward__relu(x, p):
    """ReLU in place of GELU"""
    z = _projected(x, p, "intermediate_dense")
    return _projected(z * (z > 0), p, "output_dense")


def feed_forward__linear(x, p):
    """activation forgotten"""
    return _projected(_projected(x, p, "intermediate_dense"), p, "output_dense")


def feed_forward__residual(x, p):
    """x added to the result"""
    return x + feed_forward__frames(x, p)


def feed_forward__unbiased(x, p):
    """first bias forgotten and second bias forgotten"""
    return _gelu(x @ p["intermediate_dense"]["weight"].T) @ p["output_dense"]["weight"].T
