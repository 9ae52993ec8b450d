"""Right solutions in unusual styles: loops, einsum, recursion, float tricks, lists where arrays are expected.

A function is called EXERCISE__WORD; its docstring says what is unusual.
"""

import functools
import itertools
import math

import numpy as np


def normalise__two_pass(x):
    """einsum for the sums, ufunc methods"""
    n = x.size
    mean = np.add.reduce(x, dtype=np.float64) / n
    centred = x - mean
    return np.divide(centred, math.sqrt(np.einsum("i,i", centred, centred) / n + 1e-7)).astype(x.dtype)


def frames__recursive(samples, conv_kernel, conv_stride):
    """recursion, and ~ tricks"""
    if not conv_kernel:
        return samples
    n = -(-(samples - conv_kernel[0] + 1) // conv_stride[0]) if samples >= conv_kernel[0] else 0
    return frames__recursive(n, conv_kernel[1:], conv_stride[1:])


def conv1d__windows(x, p, stride):
    """sliding windows and tensordot"""
    K = p["weight"].shape[-1]
    if len(x) < K:
        return np.empty((0, len(p["bias"])), x.dtype)
    w = np.lib.stride_tricks.sliding_window_view(x, K, axis=0)[::stride]
    return np.tensordot(w, p["weight"], axes=([1, 2], [1, 2])) + p["bias"]


def conv1d__loops(x, p, stride):
    """four loops and lists of Python floats"""
    W, b = p["weight"], p["bias"]
    O, I, K = W.shape
    T = (x.shape[0] - K) // stride + 1
    y = [
        [
            sum(float(W[o, i, k]) * float(x[t * stride + k, i]) for k in range(K) for i in range(I)) + b[o]
            for o in range(O)
        ]
        for t in range(T)
    ]
    return np.asarray(y, dtype=x.dtype).reshape(T, O)


def conv1d_backward__add_at(dy, x, p, stride):
    """np.add.at for the scatter"""
    W = p["weight"]
    K = W.shape[2]
    rows = np.arange(len(dy))[:, None] * stride + np.arange(K)
    dx = np.zeros(x.shape, x.dtype)
    np.add.at(dx, rows, np.einsum("to,oik->tki", dy, W))
    return dx, {"bias": np.ones(len(dy), dy.dtype) @ dy, "weight": np.einsum("to,tki->oik", dy, x[rows])}


def group_norm__transposed(x, p, eps):
    """channel by channel in a list"""
    columns = []
    for c, column in enumerate(x.T):
        d = column.astype(np.float64) - column.mean(dtype=np.float64)
        columns.append(d / np.sqrt(np.mean(d * d) + eps) * float(p["weight"][c]) + float(p["bias"][c]))
    return np.array(columns, dtype=x.dtype).T


def gelu__erfc(x):
    """by erfc"""
    from scipy.special import erfc

    return (x * erfc(-x * 0.7071067811865476) / 2).astype(x.dtype)


def gelu__ndtr(x):
    """scipy's normal distribution function"""
    from scipy.special import ndtr

    return np.multiply(x, ndtr(x))


def layer_norm__rows(x, p, eps):
    """rows by apply_along_axis in longdouble"""

    def row(r):
        r = r.astype(np.longdouble)
        r = r - r.mean()
        return r / np.sqrt((r @ r) / r.size + eps) * p["weight"] + p["bias"]

    return np.apply_along_axis(row, 1, x).astype(x.dtype)


def layer_norm_backward__jacobian(dy, x, p, eps):
    """the whole Jacobian of each row"""
    T, C = x.shape
    dx = np.empty_like(x)
    n = np.empty_like(x)
    for t in range(T):
        std = np.sqrt(x[t].var() + eps)
        n[t] = (x[t] - x[t].mean()) / std
        J = (np.eye(C) - 1 / C - np.outer(n[t], n[t]) / C) / std
        dx[t] = J @ (dy[t] * p["weight"])
    return dx, {"bias": np.einsum("tc->c", dy), "weight": np.einsum("tc,tc->c", dy, n)}


def grouped_conv1d__fft(x, weight, bias, groups):
    """np.convolve for every pair of channels"""
    T, C = x.shape
    D, K = weight.shape[1:]
    y = np.tile(bias.astype(np.float64), (T, 1))
    for o, i in itertools.product(range(C), range(D)):
        full = np.convolve(x[:, o // D * D + i], weight[o, i, ::-1], "full")
        y[:, o] += full[K - 1 - K // 2 :][:T]
    return y.astype(x.dtype)


def weight_norm__frobenius(p):
    """norm of each tap's matrix"""
    v = np.moveaxis(p["weight_v"], -1, 0)
    return np.stack([g * m / np.linalg.norm(m) for g, m in zip(p["weight_g"].ravel(), v)], axis=-1)


def weight_norm_backward__loop(dweight, p):
    """tap by tap, in-place on copies"""
    dv, dg = p["weight_v"].copy(), p["weight_g"].copy()
    for k in range(dv.shape[2]):
        size = np.sqrt(np.vdot(dv[..., k], dv[..., k]))
        u = dv[..., k] / size
        d = np.vdot(dweight[..., k], u)
        dv[..., k] = p["weight_g"][0, 0, k] / size * (dweight[..., k] - d * u)
        dg[0, 0, k] = d
    return {"weight_v": dv, "weight_g": dg}


def softmax__logs(x):
    """through logaddexp"""
    return np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True))


def softmax__list(x):
    """Python lists, math.exp"""
    rows = []
    for row in x.tolist():
        top = max(row)
        e = [math.exp(v - top) for v in row]
        total = math.fsum(e)
        rows.append([v / total for v in e])
    return np.array(rows, x.dtype)


def softmax_backward__jacobian(dy, x):
    """diag(y) - y yᵀ for each row"""
    out = np.zeros_like(x)
    for i in range(len(x)):
        e = np.exp(x[i] - np.amax(x[i]))
        y = e / e.sum()
        out[i] = (np.diag(y) - y[:, None] @ y[None, :]).T @ dy[i]
    return out


def scaled_dot_product__einsum(q, k, v, heads):
    """einsum throughout"""
    T, C = q.shape
    q4, k4, v4 = (a.reshape(len(a), heads, -1) for a in (q, k, v))
    s = np.einsum("ihd,jhd->hij", q4, k4) * (C // heads) ** -0.5
    w = np.exp(s - s.max(2)[:, :, None])
    return np.einsum("hij,jhd->ihd", w, v4).__truediv__(w.sum(2).T[:, :, None]).reshape(T, C)


def scaled_dot_product__split(q, k, v, heads):
    """split, zip, concatenate"""
    out = []
    for a, b, c in zip(*(np.split(m, heads, axis=1) for m in (q, k, v))):
        s = a.dot(b.T) / math.sqrt(a.shape[1])
        s -= s.max(axis=1)[:, np.newaxis]
        np.exp(s, out=s)
        s /= s.sum(axis=1)[:, np.newaxis]
        out.append(s.dot(c))
    return np.concatenate(out, axis=1)


def linear__matmul_out(x, p):
    """in place on an own array; a tuple with a cache"""
    y = np.empty((len(x), len(p["bias"])), x.dtype)
    y[:] = p["bias"]
    y += np.inner(x, p["weight"])
    return y, (x, p)


def linear_backward__outer(dy, x, p):
    """a sum of outer products"""
    dW = functools.reduce(np.add, (np.outer(a, b) for a, b in zip(dy, x)), np.zeros_like(p["weight"]))
    return np.array([p["weight"].T @ row for row in dy]).reshape(x.shape), {"weight": dW, "bias": sum(dy)}


def quantize__fancy(features, p, groups, noise, tau, hard):
    """rows picked by index; scores by einsum"""
    T, G, V = noise.shape
    W = p["weight_proj"]["weight"].reshape(G, V, -1)
    z = (np.einsum("tc,gvc->tgv", features, W) + p["weight_proj"]["bias"].reshape(G, V) + noise) / tau
    books = p["codevectors"][0]
    if hard:
        rows = z.argmax(2) + V * np.arange(G)
        return books[rows].reshape(T, -1)
    z = np.exp(z - z.max(2, keepdims=True))
    z /= z.sum(2, keepdims=True)
    return np.concatenate([z[:, g] @ books[g * V : g * V + V] for g in range(G)], axis=1)


def perplexity__product(probabilities):
    """a product of powers"""
    return [math.prod(float(p) ** -float(p) for p in row) for row in probabilities]


def temperature__log(step, start, decay, floor):
    """exp of a logarithm"""
    return float(np.maximum(floor, math.exp(math.log(start) + step * math.log(decay))))


def log_sum_exp__reduce(logits):
    """np.logaddexp.reduce"""
    return np.logaddexp.reduce(logits, axis=-1)


def negatives_from_draws__delete(mask, draws):
    """np.delete for each row"""
    frames = np.flatnonzero(mask)
    return [np.delete(frames, i)[row].tolist() for i, row in enumerate(draws)]


def spans_from_draws__sets(T, epsilon, starts, M, p):
    """a set of frames"""
    used = list(starts)[: max(math.floor(p * T + epsilon), 1)] if T >= M else []
    covered = set().union(*(range(s, s + M) for s in used))
    return [t in covered for t in range(T)]


def diversity_loss__dot(uses, frames):
    """xlogy and a mean"""
    from scipy.special import xlogy

    p = np.sum(np.array(uses, dtype=float), axis=0) / frames
    return 1 - np.exp(-xlogy(p, p).sum(1)).sum() / p.size


def ctc_loss__recursive(logits, targets, blank):
    """memoised recursion from the end, with math"""
    x = logits.astype(float)
    y = x - np.logaddexp.reduce(x, axis=1)[:, None]
    ext = [blank] + [v for t in targets for v in (int(t), blank)]
    memo = {}

    def a(t, s):
        if s < 0 or t < 0:
            return -np.inf
        if (t, s) not in memo:
            if t == 0:
                memo[t, s] = y[0, ext[s]] if s < 2 else -np.inf
            else:
                jump = s > 1 and ext[s] != blank and ext[s] != ext[s - 2]
                before = np.logaddexp(np.logaddexp(a(t - 1, s), a(t - 1, s - 1)), a(t - 1, s - 2) if jump else -np.inf)
                memo[t, s] = y[t, ext[s]] + before
        return memo[t, s]

    for t in range(len(x)):
        for s in range(len(ext)):
            a(t, s)
    return -np.logaddexp(a(len(x) - 1, len(ext) - 1), a(len(x) - 1, len(ext) - 2))


def ctc_loss__rescaled(logits, targets, blank):
    """probabilities with a rescaling at every frame, the scales added up: right"""
    x = logits.astype(float)
    y = np.exp(x - x.max(1, keepdims=True))
    y /= y.sum(1, keepdims=True)
    ext = np.full(2 * len(targets) + 1, blank)
    ext[1::2] = targets
    skip = np.zeros(len(ext), bool)
    skip[2:] = (ext[2:] != blank) & (ext[2:] != ext[:-2])
    a = np.where(np.arange(len(ext)) < 2, y[0, ext], 0.0)
    loss = 0.0
    for t in range(len(x)):
        if t:
            a = (a + np.r_[0.0, a[:-1]] + skip * np.r_[0.0, 0.0, a][: len(a)]) * y[t, ext]
        c = a.sum()
        if c == 0:
            return math.inf
        loss -= math.log(c)
        a = a / c
    end = a[-2:].sum()
    return math.inf if end == 0 else loss - math.log(end)


def edit_distance__recursive(said, read):
    """memoised recursion"""
    said, read = tuple(said), tuple(read)

    @functools.cache
    def d(i, j):
        if 0 in (i, j):
            return i + j
        return min(d(i - 1, j - 1) + (said[i - 1] != read[j - 1]), d(i - 1, j) + 1, d(i, j - 1) + 1)

    return d(len(said), len(read))


def collapse__groupby(path, blank):
    """itertools.groupby, lists for tuples"""
    out, t = [], 0
    for token, run in itertools.groupby(path):
        n = len(list(run))
        if token != blank:
            out.append([token, t, t + n])
        t += n
    return out


def frames_needed__one_line(targets):
    """map and a sum of booleans"""
    return len(targets) + sum(map(int.__eq__, map(int, targets[1:]), map(int, targets)))


def adam_step__out(p, g, m, v, n, rate, betas, eps, weight_decay):
    """lerp on copies"""
    b1, b2 = betas
    m, v = m.copy(), v.copy()
    m += (g - m) * (1 - b1)
    v += (g * g - v) * (1 - b2)
    step = rate / (1 - b1**n) * m / (np.sqrt(v) / math.sqrt(1 - b2**n) + eps)
    return p * (1 - rate * weight_decay) - step, m, v


def clip_by_norm__concat(grads, at_most):
    """one long vector"""
    flat = np.concatenate([np.ravel(g).astype(np.float64) for g in grads.values()])
    scale = min(1.0, at_most / (math.sqrt(flat @ flat) + 1e-6))
    return {k: (g * scale).astype(g.dtype) for k, g in grads.items()}


def int8_linear__float(x, q, scale, bias):
    """exact in float64"""
    s = np.abs(x).max(1) / 127
    s = np.where(s == 0, 1, s).astype(x.dtype)
    total = np.rint(x / s[:, None]).astype(float) @ q.astype(float).T
    return (total * s[:, None] * scale + bias).astype(x.dtype)


def causal_depthwise_conv__convolve(x, weight):
    """np.convolve, channel by channel"""
    kernels = weight[:, 0, ::-1]
    return np.stack([np.convolve(x[:, c], kernels[c])[: len(x)] for c in range(x.shape[1])], 1)


def gated_linear_unit__tanh(x):
    """σ by tanh"""
    a, b = np.hsplit(x, 2)
    return a * (0.5 + np.tanh(b / 2) / 2)
