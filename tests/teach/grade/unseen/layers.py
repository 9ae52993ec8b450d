"""Wrong solutions of the layers' exercises, written by somebody who had not read the lists of mistakes.

A function is called EXERCISE__WORD; its docstring is what a teacher would say of it.
"""

import math

import numpy as np


def normalise__square(x):
    """the mean of the squares is taken for the variance"""
    var = (x**2).mean()
    return ((x - x.mean()) / np.sqrt(var + 1e-7)).astype(x.dtype)


def normalise__peak(x):
    """divided by the largest value, not by the standard deviation"""
    x = x - x.mean()
    peak = np.abs(x).max()
    if peak == 0:
        return x
    return x / peak


def normalise__sample(x):
    """sample variance"""
    var = np.sum((x - x.mean()) ** 2) / (len(x) - 1)
    return (x - x.mean()) / np.sqrt(var + x.dtype.type(1e-7))


def normalise__no_root(x):
    """divided by the variance"""
    mean = np.mean(x)
    return (x - mean) / (np.var(x) + 1e-7)


def frames__round(samples, conv_kernel, conv_stride):
    """rounded where it should be rounded down"""
    n = samples
    for k, s in zip(conv_kernel, conv_stride):
        n = round((n - k) / s) + 1
    return max(n, 0)


def frames__ceil(samples, conv_kernel, conv_stride):
    """rounded up"""
    n = samples
    for k, s in zip(conv_kernel, conv_stride):
        if n < k:
            return 0
        n = math.ceil((n - k) / s) + 1
    return n


def frames__padded(samples, conv_kernel, conv_stride):
    """as if padded: n // stride"""
    for s in conv_stride:
        samples = samples // s
    return samples


def conv1d__bias_each_tap(x, p, stride):
    """the bias is added once for each tap"""
    W, b = p["weight"], p["bias"]
    K = W.shape[2]
    T = (len(x) - K) // stride + 1
    y = np.zeros((T, W.shape[0]), dtype=x.dtype)
    for k in range(K):
        y += x[k : k + T * stride : stride][:T] @ W[:, :, k].T + b
    return y


def conv1d__flipped(x, p, stride):
    """a true convolution: kernel turned round"""
    W = p["weight"][:, :, ::-1]
    K = W.shape[2]
    out = []
    for t in range((len(x) - K) // stride + 1):
        window = x[t * stride : t * stride + K]
        out.append(np.einsum("ki,oik->o", window, W) + p["bias"])
    return np.array(out, dtype=x.dtype).reshape(-1, W.shape[0])


def conv1d__reshape(x, p, stride):
    """the window is flattened as (K, C_in), the weight as (C_in, K)"""
    W = p["weight"]
    K = W.shape[2]
    T = (len(x) - K) // stride + 1
    windows = np.stack([x[t * stride : t * stride + K].reshape(-1) for t in range(T)])
    return windows @ W.reshape(W.shape[0], -1).T + p["bias"]


def conv1d__last_tap(x, p, stride):
    """the last tap is forgotten"""
    W = p["weight"]
    K = W.shape[2]
    T = (len(x) - K) // stride + 1
    y = np.zeros((T, W.shape[0]), dtype=x.dtype)
    for t in range(T):
        for k in range(K - 1):
            y[t] += W[:, :, k] @ x[t * stride + k]
    return y + p["bias"]


def conv1d_backward__assigned(dy, x, p, stride):
    """= for += where windows overlap"""
    W = p["weight"]
    K = W.shape[2]
    dx = np.zeros_like(x)
    dW = np.zeros_like(W)
    for t in range(len(dy)):
        dx[t * stride : t * stride + K] = (np.tensordot(dy[t], W, 1)).T
        dW += np.einsum("o,ki->oik", dy[t], x[t * stride : t * stride + K])
    return dx, {"weight": dW, "bias": dy.sum(0)}


def conv1d_backward__mean_bias(dy, x, p, stride):
    """bias gradient is a mean, not a sum"""
    W = p["weight"]
    dx = np.zeros_like(x)
    dW = np.zeros_like(W)
    for k in range(W.shape[2]):
        rows = slice(k, k + (len(dy) - 1) * stride + 1, stride)
        dx[rows] += dy @ W[:, :, k]
        dW[:, :, k] = dy.T @ x[rows]
    return dx, {"weight": dW, "bias": dy.mean(axis=0)}


def group_norm__axis(x, p, eps):
    """over the channels: that is layer norm"""
    mean = x.mean(1, keepdims=True)
    std = np.sqrt(x.var(1, keepdims=True) + eps)
    return (x - mean) / std * p["weight"] + p["bias"]


def group_norm__whole(x, p, eps):
    """one mean and variance for the whole array"""
    y = (x - x.mean()) / np.sqrt(x.var() + eps)
    return (y * p["weight"] + p["bias"]).astype(x.dtype)


def gelu__tanh(x):
    """the approximation with tanh"""
    return (0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))).astype(x.dtype)


def gelu__phi(x):
    """the factor x is missing"""
    from scipy.special import erf

    return (0.5 * (1 + erf(x / np.sqrt(2)))).astype(x.dtype)


def gelu__no_root(x):
    """x, not x / √2, in erf"""
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    return x * (1 + erf(x)) / 2


def gelu_backward__second_term(dy, x):
    """the product rule's second term is missing"""
    from scipy.special import erf

    return (dy * 0.5 * (1 + erf(x / math.sqrt(2)))).astype(x.dtype)


def gelu_backward__forgets_dy(dy, x):
    """dy is left out"""
    from scipy.special import erf

    cdf = 0.5 * (1 + erf(x / math.sqrt(2)))
    pdf = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return (cdf + x * pdf).astype(x.dtype)


def layer_norm__eps_outside(x, p, eps):
    """eps is added outside the root"""
    mean = x.mean(axis=-1, keepdims=True)
    std = x.std(axis=-1, keepdims=True)
    return p["weight"] * (x - mean) / (std + eps) + p["bias"]


def layer_norm__second_moment(x, p, eps):
    """E[x²] for the variance"""
    mean = x.mean(axis=-1, keepdims=True)
    var = np.mean(x * x, axis=-1, keepdims=True)
    return p["weight"] * (x - mean) / np.sqrt(var + eps) + p["bias"]


def layer_norm__one_plus(x, p, eps):
    """weight as 1 + weight"""
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * (1 + p["weight"]) + p["bias"]


def layer_norm__two(x, p, eps):
    """over the frames, and sample variance: two mistakes"""
    mean = x.mean(axis=0)
    var = x.var(axis=0, ddof=1)
    return (x - mean) / np.sqrt(var + eps) * p["weight"] + p["bias"]


def layer_norm_backward__no_mean(dy, x, p, eps):
    """the mean of d is not subtracted"""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    std = np.sqrt(var + eps)
    n = (x - mean) / std
    d = dy * p["weight"]
    dx = (d - n * (d * n).mean(-1, keepdims=True)) / std
    return dx, {"weight": (dy * n).sum(0), "bias": dy.sum(0)}


def layer_norm_backward__weight_by_x(dy, x, p, eps):
    """gradient of the weight by x, not by the normalised x"""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    std = np.sqrt(var + eps)
    n = (x - mean) / std
    d = dy * p["weight"]
    dx = (d - d.mean(-1, keepdims=True) - n * (d * n).mean(-1, keepdims=True)) / std
    return dx, {"weight": (dy * x).sum(0), "bias": dy.sum(0)}


def linear__not_transposed(x, p):
    """x W: the weight is not transposed"""
    return x @ p["weight"].reshape(p["weight"].shape[1], p["weight"].shape[0]) + p["bias"]


def linear__no_bias(x, p):
    """no bias"""
    return np.einsum("ti,oi->to", x, p["weight"])


def linear_backward__bias(dy, x, p):
    """the sum of db runs over the channels too"""
    return dy @ p["weight"], {"weight": dy.T @ x, "bias": np.full_like(p["bias"], dy.sum())}


def linear_backward__reshaped(dy, x, p):
    """reshape for a transpose"""
    dW = (x.T @ dy).reshape(p["weight"].shape)
    return dy @ p["weight"], {"weight": dW, "bias": dy.sum(0)}


def linear_backward__average(dy, x, p):
    """averaged over the frames"""
    n = len(x)
    return dy @ p["weight"], {"weight": dy.T @ x / n, "bias": dy.sum(0) / n}


def grouped_conv1d__causal(x, weight, bias, groups):
    """padded on the left alone"""
    T, C = x.shape
    D, K = weight.shape[1:]
    padded = np.concatenate([np.zeros((K - 1, C), x.dtype), x])
    y = np.zeros_like(x)
    for g in range(groups):
        c = slice(g * D, (g + 1) * D)
        for k in range(K):
            y[:, c] += padded[k : k + T, c] @ weight[c, :, k].T
    return y + bias


def grouped_conv1d__interleaved(x, weight, bias, groups):
    """a group's channels are taken g, g + G, g + 2G …"""
    T, C = x.shape
    K = weight.shape[2]
    padded = np.pad(x, ((K // 2, K // 2), (0, 0)))
    y = np.zeros_like(x)
    for o in range(C):
        g = o % groups
        for t in range(T):
            y[t, o] = (padded[t : t + K, g::groups].T * weight[o]).sum() + bias[o]
    return y


def grouped_conv1d__first_dropped(x, weight, bias, groups):
    """for even K the first frame is dropped, not the last"""
    C = x.shape[1]
    D, K = weight.shape[1:]
    padded = np.pad(x, ((K // 2, K // 2), (0, 0)))
    T = len(padded) - K + 1
    y = np.zeros((T, C), x.dtype)
    for o in range(C):
        start = (o // D) * D
        for t in range(T):
            y[t, o] = (padded[t : t + K, start : start + D].T * weight[o]).sum() + bias[o]
    return y[1:] if K % 2 == 0 else y


def weight_norm__over_all(p):
    """one norm for the whole kernel"""
    v = p["weight_v"]
    return p["weight_g"] * v / np.linalg.norm(v)


def weight_norm__output(p):
    """the norm for each output channel, as torch's default"""
    v = p["weight_v"]
    return p["weight_g"] * v / np.sqrt((v**2).sum(axis=(1, 2), keepdims=True))


def weight_norm_backward__no_projection(dweight, p):
    """dv without the projection"""
    v, g = p["weight_v"], p["weight_g"]
    norm = np.sqrt((v * v).sum((0, 1), keepdims=True))
    return {"weight_g": (dweight * v / norm).sum((0, 1), keepdims=True), "weight_v": g / norm * dweight}
