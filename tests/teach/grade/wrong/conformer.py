"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import numpy as np
from scipy.special import expit


def _mel(f):
    return 1127.0 * np.log1p(np.asarray(f, float) / 700.0)


def _triangles(places, edges):
    out = np.empty((len(places), len(edges) - 2))
    for m in range(len(edges) - 2):
        out[:, m] = np.interp(places, edges[m : m + 3], [0, 1, 0])
    return out


def mel_filterbank__interp(rate, bands):
    """right"""
    return _triangles(_mel(rate * np.arange(257) / 512), np.linspace(_mel(20), _mel(rate // 2), bands + 2))


def mel_filterbank__hertz(rate, bands):
    """triangles are linear in Hz, not in mel"""
    edges = 700 * np.expm1(np.linspace(_mel(20), _mel(rate // 2), bands + 2) / 1127)
    return _triangles(rate * np.arange(257) / 512, edges)


def mel_filterbank__from_zero(rate, bands):
    """the lowest edge is 0 Hz, not 20"""
    return _triangles(_mel(rate * np.arange(257) / 512), np.linspace(0, _mel(rate // 2), bands + 2))


def mel_filterbank__areas(rate, bands):
    """triangles of equal area, not of equal height"""
    edges = np.linspace(_mel(20), _mel(rate // 2), bands + 2)
    return _triangles(_mel(rate * np.arange(257) / 512), edges) / ((edges[2:] - edges[:-2]) / 2)


def _rows(z):
    z = np.pad(z, ((0, len(z) % 2), (0, 0)))
    return z.reshape(len(z) // 2, -1)


def feature_rows__reshaped(energies):
    """right"""
    std = np.sqrt(energies.var(axis=0, ddof=1) + energies.dtype.type(1e-7))
    return _rows((energies - energies.mean(axis=0)) / std)


def feature_rows__ddof_0(energies):
    """variance divided by n, not by n − 1"""
    std = np.sqrt(energies.var(axis=0) + energies.dtype.type(1e-7))
    return _rows((energies - energies.mean(axis=0)) / std)


def feature_rows__one_scale(energies):
    """mean and variance over all bands together"""
    std = np.sqrt(energies.var(ddof=1) + energies.dtype.type(1e-7))
    return _rows((energies - energies.mean()) / std)


def feature_rows__far_neighbours(energies):
    """frame t beside frame t + n/2, not beside its neighbour"""
    z = _rows(feature_rows__reshaped(energies)).reshape(-1, energies.shape[1])
    z = z[: len(energies) + len(energies) % 2]
    return np.hstack(np.split(z, 2))


def feature_rows__exchanged(energies):
    """the two frames of a row exchanged"""
    M = energies.shape[1]
    return np.roll(feature_rows__reshaped(energies), M, axis=1)


def _scores(q, k, distance_row, scale=True):
    out = np.empty((len(q), len(q)), q.dtype)
    for i in range(len(q)):
        for j in range(len(q)):
            out[i, j] = q[i] @ (k[j] + distance_row(i, j))
    return out / q.dtype.type(np.sqrt(q.shape[1])) if scale else out


def relative_key_scores__loops(q, k, table, left):
    """right"""
    return _scores(q, k, lambda i, j: table[min(max(j - i + left, 0), len(table) - 1)])


def relative_key_scores__mirrored(q, k, table, left):
    """distance i − j, not j − i"""
    return _scores(q, k, lambda i, j: table[min(max(i - j + left, 0), len(table) - 1)])


def relative_key_scores__unscaled(q, k, table, left):
    """nothing divided by √D"""
    return _scores(q, k, lambda i, j: table[min(max(j - i + left, 0), len(table) - 1)], scale=False)


def relative_key_scores__no_positions(q, k, table, left):
    """distance term forgotten"""
    return q @ k.T / q.dtype.type(np.sqrt(q.shape[1]))


def relative_key_scores__position_unscaled(q, k, table, left):
    """distance term not divided by √D"""
    plain = q @ k.T
    whole = _scores(q, k, lambda i, j: table[min(max(j - i + left, 0), len(table) - 1)], scale=False)
    return plain / q.dtype.type(np.sqrt(q.shape[1])) + (whole - plain)


def _convolved(x, weight, before):
    K = weight.shape[2]
    padded = np.pad(x, ((before, K - 1 - before), (0, 0)))
    return np.stack([(padded[t : t + K] * weight[:, 0].T).sum(axis=0) for t in range(len(x))]).astype(x.dtype)


def causal_depthwise_conv__windows(x, weight):
    """right"""
    return _convolved(x, weight, weight.shape[2] - 1)


def causal_depthwise_conv__same(x, weight):
    """padded on both sides: half of what it sees is the future"""
    return _convolved(x, weight, weight.shape[2] // 2)


def causal_depthwise_conv__future(x, weight):
    """padded on the right: all that it sees is the future"""
    return _convolved(x, weight, 0)


def causal_depthwise_conv__numpy_convolve(x, weight):
    """kernel turned round in time"""
    full = [np.convolve(x[:, c], weight[c, 0])[: len(x)] for c in range(x.shape[1])]
    return np.stack(full, axis=1).astype(x.dtype)


def gated_linear_unit__expit(x):
    """right"""
    a, b = np.hsplit(x, 2)
    return a * expit(b)


def gated_linear_unit__swapped(x):
    """halves swapped"""
    a, b = np.hsplit(x, 2)
    return b * expit(a)


def gated_linear_unit__interleaved(x):
    """even and odd channels in place of halves"""
    pairs = x.reshape(len(x), -1, 2)
    return pairs[..., 0] * expit(pairs[..., 1])


def gated_linear_unit__bilinear(x):
    """σ forgotten: the product of the halves"""
    a, b = np.hsplit(x, 2)
    return a * b


def _stepped(x, norm, ffn, eps, act):
    centred = x - x.mean(axis=1, keepdims=True)
    n = centred / np.sqrt(x.var(axis=1, keepdims=True) + x.dtype.type(eps)) * norm["weight"] + norm["bias"]
    hidden = act(np.einsum("tc,fc->tf", n, ffn["intermediate_dense"]["weight"]) + ffn["intermediate_dense"]["bias"])
    return np.einsum("tf,cf->tc", hidden, ffn["output_dense"]["weight"]) + ffn["output_dense"]["bias"]


def half_step__einsum(x, norm, ffn, eps):
    """right"""
    return x + x.dtype.type(0.5) * _stepped(x, norm, ffn, eps, lambda u: u * expit(u))


def half_step__whole(x, norm, ffn, eps):
    """a whole step, not half of one"""
    return x + _stepped(x, norm, ffn, eps, lambda u: u * expit(u))


def half_step__no_residual(x, norm, ffn, eps):
    """x forgotten: no residual connection"""
    return x.dtype.type(0.5) * _stepped(x, norm, ffn, eps, lambda u: u * expit(u))


def half_step__relu(x, norm, ffn, eps):
    """this is ReLU, not swish"""
    return x + x.dtype.type(0.5) * _stepped(x, norm, ffn, eps, lambda u: np.where(u > 0, u, 0))


def half_step__relu_and_whole(x, norm, ffn, eps):
    """a whole step, not half of one and this is ReLU, not swish"""
    return x + _stepped(x, norm, ffn, eps, lambda u: np.where(u > 0, u, 0))
