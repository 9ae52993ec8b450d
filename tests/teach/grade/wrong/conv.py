"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _windows(x, K, stride):
    return sliding_window_view(x, K, axis=0)[::stride]  # (T_out, C_in, K)


def conv1d__windows(x, p, stride):
    """right"""
    return np.einsum("tik,oik->to", _windows(x, p["weight"].shape[2], stride), p["weight"]) + p["bias"], None


def conv1d__loops(x, p, stride):
    """right"""
    W = p["weight"]
    rows = []
    for start in range(0, len(x) - W.shape[2] + 1, stride):
        rows.append([np.sum(W[o] * x[start : start + W.shape[2]].T) + p["bias"][o] for o in range(len(W))])
    return np.array(rows, x.dtype)


def conv1d__true_convolution(x, p, stride):
    """kernel turned round in time"""
    W = p["weight"][:, :, ::-1]
    return np.einsum("tik,oik->to", _windows(x, W.shape[2], stride), W) + p["bias"]


def conv1d__every_frame(x, p, stride):
    """stride ignored"""
    return np.tensordot(_windows(x, p["weight"].shape[2], 1), p["weight"], ([1, 2], [1, 2])) + p["bias"]


def conv1d__no_bias(x, p, stride):
    """bias forgotten"""
    return np.tensordot(_windows(x, p["weight"].shape[2], stride), p["weight"], ([1, 2], [1, 2]))


def conv1d__one_less(x, p, stride):
    """one frame too few"""
    return conv1d__loops(x, p, stride)[:-1]


def conv1d__channels_exchanged(x, p, stride):
    """transposed weights"""
    return np.einsum("tik,iok->to", _windows(x, p["weight"].shape[2], stride), p["weight"]) + p["bias"]


def conv1d__turned_and_unbiased(x, p, stride):
    """kernel turned round in time and bias forgotten"""
    W = np.flip(p["weight"], 2)
    return np.tensordot(_windows(x, W.shape[2], stride), W, ([1, 2], [1, 2]))


def _scatter(dy, x, W, stride, overwrite=False):
    dx = np.zeros_like(x)
    for t in range(len(dy)):
        for k in range(W.shape[2]):
            back = dy[t] @ W[:, :, k]
            dx[t * stride + k] = back if overwrite else dx[t * stride + k] + back
    return dx


def conv1d_backward__windows(dy, x, p, stride):
    """right"""
    W = p["weight"]
    dweight = np.einsum("to,tik->oik", dy, _windows(x, W.shape[2], stride)[: len(dy)])
    return _scatter(dy, x, W, stride), {"weight": dweight, "bias": np.add.reduce(dy)}


def conv1d_backward__overwrites(dy, x, p, stride):
    """= in place of += in dx: windows that overlap overwrite each other"""
    W = p["weight"]
    dx = np.zeros_like(x)
    for k in range(W.shape[2]):
        for t in range(len(dy)):
            dx[t * stride + k] = dy[t] @ W[:, :, k]
    return dx, conv1d_backward__windows(dy, x, p, stride)[1]


def conv1d_backward__turned(dy, x, p, stride):
    """kernel turned round in dx"""
    return _scatter(dy, x, p["weight"][..., ::-1], stride), conv1d_backward__windows(dy, x, p, stride)[1]


def conv1d_backward__no_stride(dy, x, p, stride):
    """stride ignored"""
    W = p["weight"]
    dweight = np.zeros_like(W)
    for t in range(len(dy)):
        dweight += np.einsum("o,ki->oik", dy[t], x[t : t + W.shape[2]])
    return _scatter(dy, x, W, 1), {"weight": dweight, "bias": dy.sum(0)}


def conv1d_backward__minus(dy, x, p, stride):
    """sign wrong in dx"""
    return -_scatter(dy, x, p["weight"], stride), conv1d_backward__windows(dy, x, p, stride)[1]


def conv1d_backward__turned_weight(dy, x, p, stride):
    """kernel turned round in dx and kernel turned round in dweight"""
    dx, grads = conv1d_backward__windows(dy, x, {"weight": p["weight"][..., ::-1]}, stride)
    return dx, {"weight": grads["weight"][..., ::-1], "bias": grads["bias"]}


def _slide(x, weight, bias, groups, before, turned=False, interleaved=False, first=False):
    T, C = x.shape
    _, width, K = weight.shape
    y = np.zeros_like(x)
    for t in range(T):
        for o in range(C):
            total = float(bias[o])
            for k in range(K):
                source = t + k - before
                for i in range(width):
                    group = o % groups if interleaved else 0 if first else o // width
                    channel = i * groups + group if interleaved else group * width + i
                    if 0 <= source < T:
                        total += float(weight[o, i, K - 1 - k if turned else k]) * float(x[source, channel])
            y[t, o] = total
    return y


def grouped_conv1d__loops(x, weight, bias, groups):
    """right"""
    return _slide(x, weight, bias, groups, weight.shape[2] // 2)


def grouped_conv1d__pad_and_cut(x, weight, bias, groups):
    """right"""
    C, K = x.shape[1], weight.shape[2]
    around = np.concatenate([np.zeros((K // 2, C), x.dtype), x, np.zeros((K // 2, C), x.dtype)])
    views = sliding_window_view(around, K, axis=0).reshape(-1, groups, C // groups, K)
    y = np.einsum("tgik,goik->tgo", views, weight.reshape(groups, C // groups, C // groups, K)).reshape(-1, C) + bias
    return y[:-1] if K % 2 == 0 else y


def grouped_conv1d__not_cut(x, weight, bias, groups):
    """the extra frame of an even kernel is not dropped"""
    C, K = x.shape[1], weight.shape[2]
    around = np.pad(x, ((K // 2, K // 2), (0, 0)))
    views = sliding_window_view(around, K, axis=0).reshape(-1, groups, C // groups, K)
    return np.einsum("tgik,goik->tgo", views, weight.reshape(groups, -1, C // groups, K)).reshape(-1, C) + bias


def grouped_conv1d__cut_in_front(x, weight, bias, groups):
    """for even kernels the first frame is dropped, not the last"""
    y = grouped_conv1d__not_cut(x, weight, bias, groups)
    return y[1:] if weight.shape[2] % 2 == 0 else y


def grouped_conv1d__causal(x, weight, bias, groups):
    """padding before the first frame only"""
    return _slide(x, weight, bias, groups, weight.shape[2] - 1)


def grouped_conv1d__turned(x, weight, bias, groups):
    """kernel turned round in time"""
    return _slide(x, weight, bias, groups, weight.shape[2] // 2, turned=True)


def grouped_conv1d__interleaved(x, weight, bias, groups):
    """groups take every G-th channel"""
    return _slide(x, weight, bias, groups, weight.shape[2] // 2, interleaved=True)


def grouped_conv1d__first_group(x, weight, bias, groups):
    """every group reads the first group's channels"""
    return _slide(x, weight, bias, groups, weight.shape[2] // 2, first=True)


def weight_norm__einsum(p):
    """right"""
    squares = np.einsum("oik,oik->k", p["weight_v"], p["weight_v"])
    return p["weight_v"] * (p["weight_g"][0, 0] / np.sqrt(squares)), 1


def weight_norm__taps(p):
    """right"""
    v, g = p["weight_v"], p["weight_g"]
    return np.stack([g[0, 0, k] * v[..., k] / np.linalg.norm(v[..., k]) for k in range(v.shape[2])], axis=2)


def weight_norm__per_output(p):
    """norm over the wrong axes: one for each output channel"""
    v = p["weight_v"]
    return np.stack([p["weight_g"][0] * v[o] / np.linalg.norm(v[o]) for o in range(len(v))])


def weight_norm__whole(p):
    """one norm for the whole kernel"""
    return p["weight_g"] * p["weight_v"] / np.linalg.norm(p["weight_v"].ravel())


def weight_norm__squared(p):
    """root forgotten"""
    return p["weight_g"] * p["weight_v"] / np.einsum("oik,oik->k", p["weight_v"], p["weight_v"])


def weight_norm__unit(p):
    """g forgotten"""
    v = p["weight_v"]
    return np.stack([v[..., k] / np.linalg.norm(v[..., k]) for k in range(v.shape[2])], axis=2)


def _norm_back(dweight, p, taken_out=True, scale=True, length=True):
    v, g = p["weight_v"], p["weight_g"]
    dg, dv = np.zeros_like(g), np.zeros_like(v)
    for k in range(v.shape[2]):
        size = np.linalg.norm(v[..., k])
        u = v[..., k] / size
        dg[0, 0, k] = np.vdot(u, dweight[..., k])
        dv[..., k] = (dweight[..., k] - (u * np.vdot(u, dweight[..., k]) if taken_out else 0)) * (
            g[0, 0, k] if scale else 1
        )
        if length:
            dv[..., k] /= size
    return {"weight_v": dv, "weight_g": dg}


def weight_norm_backward__taps(dweight, p):
    """right"""
    return _norm_back(dweight, p)


def weight_norm_backward__constant(dweight, p):
    """the norm is taken as a constant"""
    return _norm_back(dweight, p, taken_out=False)


def weight_norm_backward__no_g(dweight, p):
    """g forgotten in dv"""
    return _norm_back(dweight, p, scale=False)


def weight_norm_backward__not_divided(dweight, p):
    """dv is not divided by the norm"""
    return _norm_back(dweight, p, length=False)


def weight_norm_backward__two(dweight, p):
    """the norm is taken as a constant and g forgotten in dv"""
    return _norm_back(dweight, p, taken_out=False, scale=False)
