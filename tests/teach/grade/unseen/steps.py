"""Wrong solutions of the exercises on texts, steps, sound and eight bits, by somebody who had not read the lists.

A function is called EXERCISE__WORD; its docstring is what a teacher would say of it.
"""

import numpy as np


def align__argmax(log_probs, targets, blank):
    """the best token of each frame, without the text"""
    return np.argmax(log_probs, axis=-1)


def align__no_skip(log_probs, targets, blank):
    """may never skip a blank"""
    ext = [blank]
    for t in targets:
        ext += [t, blank]
    T, S = len(log_probs), len(ext)
    v = np.full((T, S), -np.inf)
    back = np.zeros((T, S), int)
    v[0, :2] = log_probs[0, ext[:2]]
    for t in range(1, T):
        for s in range(S):
            options = [v[t - 1, s]] + ([v[t - 1, s - 1]] if s else [])
            back[t, s] = int(np.argmax(options))
            v[t, s] = options[back[t, s]] + log_probs[t, ext[s]]
    s = S - 1 if S == 1 or v[-1, -1] > v[-1, -2] else S - 2
    path = []
    for t in range(T - 1, -1, -1):
        path.append(ext[s])
        s -= back[t, s]
    return np.array(path[::-1])


def collapse__blanks_first(path, blank):
    """blanks are dropped before repeats are merged"""
    out = []
    for t, token in enumerate(path):
        if token == blank:
            continue
        if out and out[-1][0] == token:
            out[-1] = (token, out[-1][1], t + 1)
        else:
            out.append((token, t, t + 1))
    return out


def collapse__inclusive(path, blank):
    """stop is the last frame, not the one after"""
    out = []
    start = 0
    for t in range(1, len(path) + 1):
        if t == len(path) or path[t] != path[start]:
            if path[start] != blank:
                out.append((path[start], start, t - 1))
            start = t
    return out


def collapse__zero(path, blank):
    """the blank is taken for 0"""
    out = []
    start = 0
    for t in range(1, len(path) + 1):
        if t == len(path) or path[t] != path[start]:
            if path[start] != 0:
                out.append((path[start], start, t))
            start = t
    return out


def edit_distance__greedy(said, read):
    """position by position"""
    return sum(a != b for a, b in zip(said, read)) + abs(len(said) - len(read))


def edit_distance__sub_two(said, read):
    """a substitution costs two"""
    d = list(range(len(read) + 1))
    for i, a in enumerate(said):
        new = [i + 1]
        for j, b in enumerate(read):
            new.append(min(d[j] + 2 * (a != b), d[j + 1] + 1, new[j] + 1))
        d = new
    return d[-1]


def frames_needed__double(targets):
    """a blank between all"""
    return 2 * len(targets) + 1


def frames_needed__set(targets):
    """counts equal tokens anywhere"""
    return len(targets) + len(targets) - len(set(targets))


def adam_step__coupled(p, g, m, v, n, rate, betas, eps, weight_decay):
    """weight decay through the gradient: Adam with L2"""
    g = g + weight_decay * p
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    mh, vh = m / (1 - betas[0] ** n), v / (1 - betas[1] ** n)
    return p - rate * mh / (np.sqrt(vh) + eps), m, v


def adam_step__no_correction(p, g, m, v, n, rate, betas, eps, weight_decay):
    """no bias correction"""
    p = p * (1 - rate * weight_decay)
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    return p - rate * m / (np.sqrt(v) + eps), m, v


def adam_step__in_place(p, g, m, v, n, rate, betas, eps, weight_decay):
    """the inputs are changed"""
    p -= rate * weight_decay * p
    m *= betas[0]
    m += (1 - betas[0]) * g
    v *= betas[1]
    v += (1 - betas[1]) * g * g
    p -= rate * (m / (1 - betas[0] ** n)) / (np.sqrt(v / (1 - betas[1] ** n)) + eps)
    return p, m, v


def clip_by_norm__each(grads, at_most):
    """each array by its own norm"""
    out = {}
    for name, g in grads.items():
        scale = at_most / (np.linalg.norm(g) + 1e-6)
        out[name] = g * g.dtype.type(min(scale, 1))
    return out


def clip_by_norm__values(grads, at_most):
    """clips the values"""
    return {name: np.clip(g, -at_most, at_most) for name, g in grads.items()}


def clip_by_norm__always(grads, at_most):
    """scales up, too"""
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in grads.values()))
    return {name: (g * (at_most / (norm + 1e-6))).astype(g.dtype) for name, g in grads.items()}


def linear_schedule__zero_at_n(n, N, peak, warmup):
    """reaches 0 at N"""
    w = max(1, round(warmup * N))
    return peak * n / w if n <= w else peak * (N - n) / (N - w)


def linear_schedule__floor(n, N, peak, warmup):
    """warm-up rounded down"""
    w = max(1, int(warmup * N))
    return peak * n / w if n <= w else peak * (N - n + 1) / (N - w + 1)


def packed_product__reshape(x, weight, columns):
    """the panels are not transposed, only reshaped"""
    N, K = weight.shape
    P = -(-N // columns)
    padded = np.zeros((P * columns, K), weight.dtype)
    padded[:N] = weight
    return padded.reshape(P, K, columns), x @ weight.T


def quantize_per_channel__tensor(weight):
    """one scale for the whole matrix"""
    scale = np.abs(weight).max() / 63
    return np.round(weight / scale), np.full(len(weight), scale, weight.dtype)


def quantize_per_channel__trunc(weight):
    """cut off, not rounded"""
    scale = np.abs(weight).max(axis=1) / 63
    scale[scale == 0] = 1
    return np.trunc(weight / scale[:, None]), scale


def int8_linear__overflow(x, q, scale, bias):
    """the product overflows int8"""
    s = np.abs(x).max(1, keepdims=True) / 127
    s[s == 0] = 1
    qx = np.round(x / s).astype(np.int8)
    return ((qx @ q.T) * s * scale + bias).astype(x.dtype)


def mel_filterbank__linear(rate, bands):
    """slopes straight in hertz"""
    mel = lambda f: 1127 * np.log(1 + f / 700)  # noqa: E731
    edges = np.linspace(mel(20), mel(rate // 2), bands + 2)
    edges = 700 * (np.exp(edges / 1127) - 1)
    f = np.arange(257) * rate / 512
    y = np.zeros((257, bands))
    for m in range(bands):
        a, b, c = edges[m : m + 3]
        y[:, m] = np.maximum(0, np.minimum((f - a) / (b - a), (c - f) / (c - b)))
    return y


def feature_rows__reshape(energies):
    """population variance"""
    z = (energies - energies.mean(0)) / np.sqrt(energies.var(0) + 1e-7)
    if len(z) % 2:
        z = np.vstack([z, np.zeros_like(z[:1])])
    return z.reshape(len(z) // 2, -1)


def feature_rows__dropped(energies):
    """an odd last frame is dropped"""
    z = (energies - energies.mean(0)) / np.sqrt(energies.var(0, ddof=1) + 1e-7)
    n = len(z) // 2
    return np.hstack([z[0 : 2 * n : 2], z[1 : 2 * n : 2]])
