"""Exercises: strided convolution, forward and backward; the grouped one, and weight norm (ops)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops import conv, grouped_conv
from xlsr_ref.ops import weight_norm as weight_norm_file
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 4e-6  # sums of at most some forty products, each rounded to 6e-8


def conv1d(x, p, stride):
    """Convolution over time: slide a kernel over the frames, ``stride`` frames at a time, without padding.

        y[t, o] = Σ_k Σ_i W[o, i, k] x[t · stride + k, i] + b[o]

    x is (T_in, C_in); W = p["weight"] is (C_out, C_in, K); b = p["bias"] is (C_out,).
    Return y (T_out, C_out) with T_out = ⌊(T_in - K) / stride⌋ + 1, in the dtype of x. The kernel is not turned round.
    Source: the feature encoder, wav2vec 2.0 §2.
    """
    weight = p["weight"]
    K = weight.shape[2]
    T = (len(x) - K) // stride + 1
    y = np.zeros((T, len(weight)), x.dtype)
    for k in range(K):
        taps = x[k::stride][:T]
        y += taps @ weight[:, :, k].T
    return y + p["bias"]


def conv1d_backward(dy, x, p, stride):
    """The backward pass of the strided convolution.

        y[t, o] = Σ_k Σ_i W[o, i, k] x[t · stride + k, i] + b[o]

    dy is (T_out, C_out); x (T_in, C_in), p["weight"] (C_out, C_in, K), p["bias"] (C_out,) and stride are as in conv1d.
    A frame of x that was in several windows gets the sum of what comes back from each; one that was in none gets 0.
    Return (dx, {"weight": dW, "bias": db}). Source: notebook 11.
    """
    weight, T = p["weight"], len(dy)
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for k in range(weight.shape[2]):
        taps = slice(k, k + (T - 1) * stride + 1, stride)
        dx[taps] += dy @ weight[:, :, k]
        dweight[:, :, k] = dy.T @ x[taps]
    return dx, {"weight": dweight, "bias": dy.sum(axis=0)}


def grouped_conv1d(x, weight, bias, groups):
    """Convolution inside groups of channels, with as many frames out as in.

        y[t, o] = Σ_k Σ_i W[o, i, k] x[t + k - K//2, i of o's group] + b[o]      x is 0 beyond both ends

    x is (T, C); the channels of a group lie side by side, C/G of them; weight is (C, C/G, K), bias (C,), groups is G.
    Padding is K//2 on both sides; for even K that gives one frame too many, and the last is dropped.
    Return y (T, C), in the dtype of x. Source: the positional embedding, wav2vec 2.0 §2.
    """
    T, C = x.shape
    K = weight.shape[2]
    before, T_out = K // 2, T
    padded = np.zeros((T_out + K - 1 + K, C), x.dtype)
    padded[before : before + T] = x
    y = np.zeros((T_out, C), x.dtype)
    for group in np.arange(C).reshape(groups, -1):
        for k in range(K):
            y[:, group] += padded[k : k + T_out, group] @ weight[group, :, k].T
    return y + bias


def weight_norm(p):
    """Weight norm: a kernel as a direction v and, for every tap, a length g.

        W = g · v / ‖v‖,      ‖v‖ for each tap k: the root of the sum of squares over all output and input channels

    v = p["weight_v"] is (C_out, C_in, K), g = p["weight_g"] is (1, 1, K). Return W (C_out, C_in, K), in their dtype.
    Source: Salimans & Kingma 2016; the positional convolution of wav2vec 2.0, with the norm over these axes.
    """
    v, g = p["weight_v"], p["weight_g"]
    norm = np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))
    return g * v / norm


def weight_norm_backward(dweight, p):
    """The backward pass of weight norm, W = g · v / ‖v‖ with the norm over output and input channels.

        u = v / ‖v‖,      dg = Σ dW · u over both channel axes,      dv = g / ‖v‖ · (dW - u dg)

    dweight is dW (C_out, C_in, K); p["weight_v"] is v (C_out, C_in, K), p["weight_g"] is g (1, 1, K).
    Return {"weight_g": dg, "weight_v": dv}. Source: Salimans & Kingma 2016, eq. 3.
    """
    v, g = p["weight_v"], p["weight_g"]
    norm = np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))
    u = v / norm
    dg = (dweight * u).sum(axis=(0, 1), keepdims=True)
    dv = g / norm * (dweight - u * dg)
    return {"weight_g": dg, "weight_v": dv}


def _strided(rng: np.random.Generator, T: int, C_in: int, C_out: int, K: int, stride: int) -> tuple:
    p = {"weight": rng.standard_normal((C_out, C_in, K)), "bias": rng.standard_normal(C_out)}
    return rng.standard_normal((T, C_in)) + 0.5, p, stride


def _strided_tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _strided(rng, 11, 3, 4, 3, 2),
        "one window": _strided(rng, 4, 2, 3, 4, 2),
        "one channel": _strided(rng, 9, 1, 1, 3, 2),
        "kernel of one": _strided(rng, 5, 3, 2, 1, 1),
        "stride one": _strided(rng, 7, 2, 3, 3, 1),
        "odd sizes": _strided(rng, 13, 3, 5, 5, 3),
        "stride above the kernel": _strided(rng, 11, 2, 3, 2, 4),
        "frames left over": _strided(rng, 12, 3, 3, 3, 4),
        "as many channels out as in": _strided(rng, 10, 4, 4, 3, 2),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases(_strided_tries(rng), FLOAT32)


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {}
    for name, (x, p, stride) in _strided_tries(rng).items():
        C_out, _, K = p["weight"].shape
        tries[name] = (rng.standard_normal(((len(x) - K) // stride + 1, C_out)) + 0.5, x, p, stride)
    return cases(tries, FLOAT32)


def _grouped(rng: np.random.Generator, T: int, C: int, K: int, groups: int) -> tuple:
    weight = rng.standard_normal((C, C // groups, K))
    return rng.standard_normal((T, C)) + 0.5, weight, rng.standard_normal(C), groups


def _grouped_forward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": _grouped(rng, 9, 6, 4, 2),
        "one frame": _grouped(rng, 1, 4, 3, 2),
        "one group": _grouped(rng, 6, 3, 3, 1),
        "a group for each channel": _grouped(rng, 7, 4, 3, 4),
        "odd kernel": _grouped(rng, 8, 6, 5, 3),
        "even kernel": _grouped(rng, 7, 6, 6, 3),
        "kernel longer than the sound": _grouped(rng, 3, 4, 8, 2),
        "kernel of one": _grouped(rng, 5, 4, 1, 2),
    }
    return cases(tries, FLOAT32)


def _norm(rng: np.random.Generator, C_out: int, C_in: int, K: int) -> tuple:
    v = rng.standard_normal((C_out, C_in, K))
    return ({"weight_v": v, "weight_g": rng.uniform(0.5, 2, (1, 1, K))},)


def _norm_tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _norm(rng, 6, 3, 4),
        "one tap": _norm(rng, 4, 2, 1),
        "one channel": _norm(rng, 1, 1, 3),
        "odd sizes": _norm(rng, 5, 3, 7),
        "all axes alike": _norm(rng, 4, 4, 4),
    }


def _norm_forward(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases(_norm_tries(rng), FLOAT32)


def _norm_backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {name: (rng.standard_normal(p["weight_v"].shape) + 0.5, p) for name, (p,) in _norm_tries(rng).items()}
    del tries["one channel"]  # whose dv is 0 on paper: only rounding would be compared
    return cases(tries, FLOAT32)


CONV1D = exercise(
    conv1d,
    conv.conv1d,
    module="ops.conv",
    notebook="02",
    title="Strided convolution",
    battery=_forward,
    mistakes={
        "kernel turned round in time": ("weight[:, :, k]", "weight[:, :, K - 1 - k]"),
        "stride ignored": (
            "(len(x) - K) // stride + 1",
            "len(x) - K + 1",
            "x[k::stride]",
            "x[k:]",
        ),
        "stride counts for the number of frames only": ("x[k::stride]", "x[k:]"),
        "bias forgotten": ('return y + p["bias"]', "return y"),
        "the bias is added once for each tap": (
            "weight[:, :, k].T\n",
            'weight[:, :, k].T + p["bias"]\n',
            'y + p["bias"]',
            "y",
        ),
        "the bias is added once for each input of the window": (
            'y + p["bias"]',
            'y + K * weight.shape[1] * p["bias"]',
        ),
        "= in place of +=: only the last tap is kept": ("y += taps", "y = taps"),
        "a reshape for a transpose: the window is flattened (K, C_in), the kernel (C_in, K)": (
            "weight = p",
            "shape = p['weight'].shape\n    weight = p",
            '["weight"]\n',
            '["weight"].reshape(shape[0], shape[2], shape[1]).swapaxes(1, 2)\n',
        ),
        "the sum runs over the taps only: the mean over the input channels": (
            "taps @ weight[:, :, k].T",
            "taps @ weight[:, :, k].T / weight.shape[1]",
        ),
        "padded to as many frames as x has, divided by the stride": (
            "T = (len(x) - K) // stride + 1",
            "x = np.pad(x, ((K // 2, K // 2), (0, 0)))\n    T = (len(x) - K) // stride + 1",
        ),
        "one frame too few": ("// stride + 1", "// stride"),
        "transposed weights": ("weight[:, :, k].T", "weight[:, :, k]"),
        "last tap of the kernel forgotten": ("in range(K)", "in range(K - 1)"),
        "begins one frame late": ("weight[:, :, k].T", "weight[:, :, k - 1].T"),
    },
)

CONV1D_BACKWARD = exercise(
    conv1d_backward,
    backward_of(conv.conv1d, conv.conv1d_backward),
    module="ops.conv",
    notebook="11",
    title="Strided convolution, backward",
    battery=_backward,
    returns=("dx", "grads"),
    mistakes={
        "= in place of += in dx: windows that overlap overwrite each other": [
            ("dx[taps] +=", "dx[taps] ="),
            (
                "    return dx,",
                "    for t in range(T):\n"
                "        dx[t * stride : t * stride + weight.shape[2]] = np.tensordot(dy[t], weight, 1).T\n"
                "    return dx,",
            ),
        ],
        "= in place of +=: dweight is of the last window only": ("dy.T @ x[taps]", "dy[-1:].T @ x[taps][-1:]"),
        "dbias is summed over everything": ("dy.sum(axis=0)", "np.full(dy.shape[1], dy.sum(), dy.dtype)"),
        "dbias forgotten: zeros": ("dy.sum(axis=0)", "np.zeros_like(dy[0])"),
        "dbias counts each tap": ("dy.sum(axis=0)", "dy.sum(axis=0) * weight.shape[2]"),
        "a reshape for a transpose in dweight": (
            "    return dx,",
            "    dweight = np.ascontiguousarray(dweight.swapaxes(1, 2)).reshape(dweight.shape)\n    return dx,",
        ),
        "kernel turned round in dx": ("@ weight[:, :, k]", "@ weight[:, :, -1 - k]"),
        "kernel turned round in dweight": ("dweight[:, :, k] =", "dweight[:, :, -1 - k] ="),
        "stride ignored": ("slice(k, k + (T - 1) * stride + 1, stride)", "slice(k, k + T)"),
        "dbias as a mean over the frames": ("dy.sum(axis=0)", "dy.mean(axis=0)"),
        "dweight as a mean over the frames": ("dy.T @ x[taps]", "dy.T @ x[taps] / T"),
        "sign wrong in dx": ("dx[taps] +=", "dx[taps] -="),
    },
)

GROUPED_CONV1D = exercise(
    grouped_conv1d,
    grouped_conv.grouped_conv1d,
    module="ops.grouped_conv",
    notebook="04",
    title="Grouped convolution that keeps the number of frames",
    battery=_grouped_forward,
    mistakes={
        "for even kernels the first frame is dropped, not the last": (
            "before, T_out = K // 2",
            "before, T_out = (K - 1) // 2",
        ),
        "the extra frame of an even kernel is not dropped": ("T_out = K // 2, T", "T_out = K // 2, T + 1 - K % 2"),
        "padding before the first frame only": ("before, T_out = K // 2", "before, T_out = K - 1"),
        "padding after the last frame only": ("before, T_out = K // 2", "before, T_out = 0"),
        "kernel turned round in time": ("weight[group, :, k]", "weight[group, :, K - 1 - k]"),
        "groups take every G-th channel": ("np.arange(C).reshape(groups, -1)", "np.arange(C).reshape(-1, groups).T"),
        "every group reads the first group's channels": (
            "padded[k : k + T_out, group]",
            "padded[k : k + T_out, : C // groups]",
        ),
        "transposed weights inside the groups": ("weight[group, :, k].T", "weight[group, :, k]"),
        "bias forgotten": ("return y + bias", "return y"),
        "the bias is added once for each tap": ("return y + bias", "return y + K * bias"),
        "= in place of +=: only the last tap is kept": ("y[:, group] +=", "y[:, group] ="),
        "the last tap of the kernel forgotten": ("for k in range(K)", "for k in range(K - 1)"),
        "a reshape for a transpose: the kernel's channels and taps": (
            "    y = np.zeros(",
            "    weight = weight.reshape(C, K, -1).swapaxes(1, 2)\n    y = np.zeros(",
        ),
        "padding by (K − 1)//2 after an even kernel's frames too few": (
            "before, T_out = K // 2, T",
            "before, T_out = K // 2, T - 1 + K % 2",
        ),
    },
)

WEIGHT_NORM = exercise(
    weight_norm,
    weight_norm_file.weight_norm,
    module="ops.weight_norm",
    notebook="04",
    title="Weight norm",
    battery=_norm_forward,
    returns=("weight",),
    mistakes={
        "norm over the wrong axes: one for each output channel": ("axis=(0, 1)", "axis=(1, 2)"),
        "norm over the input channels only": ("axis=(0, 1)", "axis=1"),
        "norm over the output channels only": ("axis=(0, 1)", "axis=0"),
        "one norm for the whole kernel": ("axis=(0, 1)", "axis=None"),
        "root forgotten": ("np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))", "(v**2).sum(axis=(0, 1), keepdims=True)"),
        "g forgotten": ("g * v", "v"),
        "divided by g, not multiplied": ("g * v / norm", "v / norm / g"),
        "the largest magnitude in place of the norm": (
            "np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))",
            "np.abs(v).max(axis=(0, 1), keepdims=True)",
        ),
        "the sum of the magnitudes in place of the norm": (
            "np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))",
            "np.abs(v).sum(axis=(0, 1), keepdims=True)",
        ),
        "the norm of each pair of channels over the taps": ("axis=(0, 1)", "axis=2"),
        "1 + g in place of g": ("g * v", "(1 + g) * v"),
        "not divided by the norm": (" / norm", ""),
        "mean in place of sum": (".sum(", ".mean("),
    },
)

WEIGHT_NORM_BACKWARD = exercise(
    weight_norm_backward,
    backward_of(weight_norm_file.weight_norm, weight_norm_file.weight_norm_backward),
    module="ops.weight_norm",
    notebook="11",
    title="Weight norm, backward",
    battery=_norm_backward,
    returns=("grads",),
    mistakes={
        "the norm is taken as a constant": ("(dweight - u * dg)", "dweight"),
        "g forgotten in dv": ("g / norm", "1 / norm"),
        "dv is not divided by the norm": ("g / norm * ", "g * "),
        "dg with v, not with its direction": ("(dweight * u)", "(dweight * v)"),
        "norm over the wrong axes: one for each output channel": (
            "(v**2).sum(axis=(0, 1)",
            "(v**2).sum(axis=(1, 2)",
        ),
        "one norm for the whole kernel": ("(v**2).sum(axis=(0, 1)", "(v**2).sum(axis=None"),
        "root forgotten": (
            "np.sqrt((v**2).sum(axis=(0, 1), keepdims=True))",
            "(v**2).sum(axis=(0, 1), keepdims=True)",
        ),
        "g in dg": ("dg = (dweight * u)", "dg = (g * dweight * u)"),
        "dg is not summed over the channels of the input": (
            "dg = (dweight * u).sum(axis=(0, 1), keepdims=True)",
            "dg = (dweight * u).sum(axis=0, keepdims=True)",
        ),
        "u·dg with v in place of u": ("- u * dg", "- v * dg"),
        "+ in place of −: u dg is added": ("dweight - u * dg", "dweight + u * dg"),
        "sign wrong in dv": ("dv = g", "dv = -g"),
        "mean in place of sum in dg": ("(dweight * u).sum(", "(dweight * u).mean("),
    },
)
