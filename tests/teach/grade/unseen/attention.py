"""Wrong solutions of the exercises on attention and the Conformer, written by somebody who had not read the lists.

A function is called EXERCISE__WORD; its docstring is what a teacher would say of it.
"""

import numpy as np


def _softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax__no_max(x):
    """overflows: the maximum is not subtracted"""
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def softmax__columns(x):
    """over the columns"""
    e = np.exp(x - x.max())
    return e / e.sum(axis=0)


def softmax__global_max(x):
    """one maximum for the whole array"""
    e = np.exp(x - x.max())
    return e / e.sum(-1, keepdims=True)


def softmax__abs(x):
    """not exponentials"""
    x = x - x.min(axis=-1, keepdims=True)
    return x / x.sum(axis=-1, keepdims=True)


def softmax_backward__elementwise(dy, x):
    """the diagonal of the Jacobian alone: y (1 - y)"""
    y = _softmax(x)
    return dy * y * (1 - y)


def softmax_backward__total(dy, x):
    """the sum runs over the whole array"""
    y = _softmax(x)
    return y * (dy - (dy * y).sum())


def scaled_dot_product__reshape(q, k, v, heads):
    """heads split by reshape alone"""
    T, C = q.shape
    D = C // heads
    q, k, v = (a.reshape(heads, T, D) for a in (q, k, v))
    w = _softmax(np.matmul(q, k.transpose(0, 2, 1)) / D**0.5)
    return np.matmul(w, v).reshape(T, C)


def scaled_dot_product__not_merged(q, k, v, heads):
    """the heads are not brought back side by side"""
    T, C = q.shape
    D = C // heads
    q, k, v = (a.reshape(T, heads, D).swapaxes(0, 1) for a in (q, k, v))
    w = _softmax(q @ k.swapaxes(1, 2) / D**0.5)
    return (w @ v).reshape(T, C)


def scaled_dot_product__causal(q, k, v, heads):
    """a causal mask"""
    T, C = q.shape
    D = C // heads
    y = np.empty_like(v)
    for h in range(heads):
        c = slice(h * D, (h + 1) * D)
        s = q[:, c] @ k[:, c].T / D**0.5
        s[np.triu_indices(T, 1)] = -np.inf
        y[:, c] = _softmax(s) @ v[:, c]
    return y


def scaled_dot_product__by_c(q, k, v, heads):
    """√C for √D"""
    C = q.shape[1]
    D = C // heads
    out = []
    for h in range(heads):
        c = slice(h * D, (h + 1) * D)
        out.append(_softmax(q[:, c] @ k[:, c].T / C**0.5) @ v[:, c])
    return np.hstack(out)


def scaled_dot_product__np_sqrt(q, k, v, heads):
    """right, but np.sqrt of a Python int is a float64 and promotes"""
    T, C = q.shape
    D = C // heads
    q, k, v = (a.reshape(T, heads, D).transpose(1, 0, 2) for a in (q, k, v))
    w = _softmax(q @ k.transpose(0, 2, 1) / np.sqrt(D))
    return (w @ v).transpose(1, 0, 2).reshape(T, C)


def scaled_dot_product__one_head(q, k, v, heads):
    """heads is not used"""
    return _softmax(q @ k.T / q.shape[1] ** 0.5) @ v


def scaled_dot_product_backward__no_scale(dy, q, k, v, heads):
    """1/√D is missing in dq and dk"""
    D = q.shape[1] // heads
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for h in range(heads):
        c = slice(h * D, (h + 1) * D)
        w = _softmax(q[:, c] @ k[:, c].T / D**0.5)
        dw = dy[:, c] @ v[:, c].T
        ds = w * (dw - (dw * w).sum(1, keepdims=True))
        dq[:, c], dk[:, c], dv[:, c] = ds @ k[:, c], ds.T @ q[:, c], w.T @ dy[:, c]
    return dq, dk, dv


def scaled_dot_product_backward__ds(dy, q, k, v, heads):
    """dk without the transpose"""
    D = q.shape[1] // heads
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for h in range(heads):
        c = slice(h * D, (h + 1) * D)
        w = _softmax(q[:, c] @ k[:, c].T / D**0.5)
        dw = dy[:, c] @ v[:, c].T
        ds = w * (dw - (dw * w).sum(1, keepdims=True)) / D**0.5
        dq[:, c], dk[:, c], dv[:, c] = ds @ k[:, c], ds @ q[:, c], w.T @ dy[:, c]
    return dq, dk, dv


def attention__no_out(x, p, heads):
    """the output projection is missing"""
    q, k, v = (x @ p[n]["weight"].T + p[n]["bias"] for n in ("q_proj", "k_proj", "v_proj"))
    T, C = x.shape
    D = C // heads
    q, k, v = (a.reshape(T, heads, D).transpose(1, 0, 2) for a in (q, k, v))
    return (_softmax(q @ k.transpose(0, 2, 1) / D**0.5) @ v).transpose(1, 0, 2).reshape(T, C)


def attention__reshape(x, p, heads):
    """heads split and merged by reshape alone"""
    q, k, v = (x @ p[n]["weight"].T + p[n]["bias"] for n in ("q_proj", "k_proj", "v_proj"))
    T, C = x.shape
    D = C // heads
    q, k, v = (a.reshape(heads, T, D) for a in (q, k, v))
    y = (_softmax(q @ k.transpose(0, 2, 1) / D**0.5) @ v).reshape(T, C)
    return y @ p["out_proj"]["weight"].T + p["out_proj"]["bias"]


def attention__scaled_twice(x, p, heads):
    """scaled on q and again on the scores"""
    T, C = x.shape
    D = C // heads
    q, k, v = (x @ p[n]["weight"].T + p[n]["bias"] for n in ("q_proj", "k_proj", "v_proj"))
    q = q / D**0.5
    q, k, v = (a.reshape(T, heads, D).transpose(1, 0, 2) for a in (q, k, v))
    y = (_softmax(q @ k.transpose(0, 2, 1) / D**0.5) @ v).transpose(1, 0, 2).reshape(T, C)
    return y @ p["out_proj"]["weight"].T + p["out_proj"]["bias"]


def attention__two(x, p, heads):
    """not scaled, and no output bias: two mistakes"""
    T, C = x.shape
    D = C // heads
    q, k, v = (x @ p[n]["weight"].T + p[n]["bias"] for n in ("q_proj", "k_proj", "v_proj"))
    q, k, v = (a.reshape(T, heads, D).transpose(1, 0, 2) for a in (q, k, v))
    y = (_softmax(q @ k.transpose(0, 2, 1)) @ v).transpose(1, 0, 2).reshape(T, C)
    return y @ p["out_proj"]["weight"].T


def feed_forward__relu(x, p):
    """ReLU for GELU"""
    a, b = p["intermediate_dense"], p["output_dense"]
    return np.maximum(x @ a["weight"].T + a["bias"], 0) @ b["weight"].T + b["bias"]


def feed_forward__residual(x, p):
    """x is added"""
    from scipy.special import erf

    a, b = p["intermediate_dense"], p["output_dense"]
    h = x @ a["weight"].T + a["bias"]
    h = h * (1 + erf(h / 2**0.5)) / 2
    return x + (h @ b["weight"].T + b["bias"])


def relative_key_scores__sign(q, k, table, left):
    """i - j for j - i"""
    T, D = q.shape
    right = len(table) - 1 - left
    s = np.zeros((T, T), q.dtype)
    for i in range(T):
        for j in range(T):
            s[i, j] = q[i] @ (k[j] + table[np.clip(i - j, -left, right) + left]) / D**0.5
    return s


def relative_key_scores__unscaled_position(q, k, table, left):
    """only the content is scaled"""
    T, D = q.shape
    right = len(table) - 1 - left
    distance = np.arange(T)[None] - np.arange(T)[:, None]
    index = np.clip(distance, -left, right) + left
    return q @ k.T / D**0.5 + np.einsum("id,ijd->ij", q, table[index])


def causal_depthwise_conv__centred(x, weight):
    """padded on both sides"""
    T, K = len(x), weight.shape[2]
    before = (K - 1) // 2
    padded = np.pad(x, ((before, K - 1 - before), (0, 0)))
    y = np.zeros_like(x)
    for k in range(K):
        y += padded[k : k + T] * weight[:, 0, k]
    return y


def gated_linear_unit__interleaved(x):
    """every second channel is a gate"""
    a, b = x[:, 0::2], x[:, 1::2]
    return a / (1 + np.exp(-b))


def gated_linear_unit__swish(x):
    """the gate is b σ(b)"""
    a, b = np.split(x, 2, axis=-1)
    return a * b / (1 + np.exp(-b))


def half_step__whole(x, norm, ffn, eps):
    """a whole step"""
    n = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps) * norm["weight"] + norm["bias"]
    u = n @ ffn["intermediate_dense"]["weight"].T + ffn["intermediate_dense"]["bias"]
    return x + ((u / (1 + np.exp(-u))) @ ffn["output_dense"]["weight"].T + ffn["output_dense"]["bias"])


def half_step__relu(x, norm, ffn, eps):
    """ReLU for swish"""
    n = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps) * norm["weight"] + norm["bias"]
    u = n @ ffn["intermediate_dense"]["weight"].T + ffn["intermediate_dense"]["bias"]
    return x + 0.5 * (u.clip(0) @ ffn["output_dense"]["weight"].T + ffn["output_dense"]["bias"])
