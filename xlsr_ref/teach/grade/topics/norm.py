"""Exercises: layer norm and group norm, forward and backward (ops/norm.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops import norm
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 2e-6  # about 20 roundings of 6e-8 in a row of sums, a root and a quotient
LARGE_MEAN = 1e-3  # x near 1000 is known to 3e-5 in float32, and the mean of a frame to a few times that


def layer_norm(x, p, eps):
    """Layer norm: zero mean and unit variance for every frame, then a learned scale and shift.

        y = (x - mean) / sqrt(var + eps) * weight + bias

    x is (T, C): T frames of C channels. mean and var are taken over the C channels of one frame; var is the population
    variance. p["weight"] and p["bias"] are (C,), eps is a number. Return y (T, C), in the dtype of x.
    Source: Ba, Kiros & Hinton 2016; wav2vec 2.0 §2.
    """
    mean = x.mean(axis=-1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    normalised = (x - mean) / np.sqrt(var + eps)
    return normalised * p["weight"] + p["bias"]


def layer_norm_backward(dy, x, p, eps):
    """The backward pass of layer norm: gradients of a loss with respect to x, weight and bias.

        y = normalised * weight + bias,      normalised = (x - mean) / std,      std = sqrt(var + eps)
        dx = (d - mean(d) - normalised * mean(d * normalised)) / std,      d = dy * weight, means over the C channels

    dy (T, C) is the gradient with respect to y; x (T, C), p["weight"], p["bias"] (C,) and eps are as in layer_norm.
    Return (dx, {"weight": dweight, "bias": dbias}); both sums run over the frames.
    Source: Ba, Kiros & Hinton 2016; notebook 11.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    normalised = centred / std
    d = dy * p["weight"]
    through_mean = d.mean(axis=-1, keepdims=True)
    through_std = normalised * (d * normalised).mean(axis=-1, keepdims=True)
    dx = (d - through_mean - through_std) / std
    dweight = (dy * normalised).sum(axis=0)
    dbias = dy.sum(axis=0)
    return dx, {"weight": dweight, "bias": dbias}


def group_norm(x, p, eps):
    """Group norm with as many groups as channels: zero mean and unit variance for every channel, over time.

        y = (x - mean) / sqrt(var + eps) * weight + bias

    x is (T, C). mean and var (population) are taken over the T frames of one channel. p["weight"], p["bias"] are (C,).
    Return y (T, C), in the dtype of x. Source: Wu & He 2018; the first convolution of wav2vec2-base has one.
    """
    mean = x.mean(axis=0, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=0, keepdims=True)
    normalised = (x - mean) / np.sqrt(var + eps)
    return normalised * p["weight"] + p["bias"]


def group_norm_backward(dy, x, p, eps):
    """The backward pass of group norm with a group for each channel: gradients with respect to x, weight and bias.

        y = normalised * weight + bias,      normalised = (x - mean) / std,      std = sqrt(var + eps)
        dx = (d - mean(d) - normalised * mean(d * normalised)) / std,      d = dy * weight, means over the T frames

    dy (T, C) is the gradient with respect to y; x (T, C), p["weight"], p["bias"] (C,) and eps are as in group_norm.
    Return (dx, {"weight": dweight, "bias": dbias}). Source: Wu & He 2018; notebook 11.
    """
    centred = x - x.mean(axis=0)
    std = np.sqrt((centred**2).mean(axis=0) + eps)
    normalised = centred / std
    d = dy * p["weight"]
    through_mean = d.mean(axis=0)
    through_std = normalised * (d * normalised).mean(axis=0)
    dx = (d - through_mean - through_std) / std
    return dx, {"weight": (dy * normalised).sum(axis=0), "bias": dy.sum(axis=0)}


def _arguments(rng: np.random.Generator, T: int, C: int, mean: float = 0.5, eps: float = 1e-5) -> tuple:
    x = rng.standard_normal((T, C)) + mean + np.arange(C) % 3  # channels with means of their own
    return x, {"weight": rng.uniform(0.5, 1.5, C), "bias": rng.standard_normal(C)}, eps


def _tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _arguments(rng, 6, 8),
        "one frame": _arguments(rng, 1, 5),
        "one channel": _arguments(rng, 4, 1),
        "odd sizes": _arguments(rng, 7, 3),
        "as many frames as channels": _arguments(rng, 5, 5),
        "large mean": _arguments(rng, 5, 6, mean=1000.0),
        "large eps": _arguments(rng, 4, 6, eps=0.5),
        "all the same number": (np.full((3, 4), 2.0), _arguments(rng, 3, 4)[1], 1e-5),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases(_tries(rng), FLOAT32, {"large mean": LARGE_MEAN})


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = _tries(rng)
    del tries["one channel"]  # whose dx is 0 on paper: only rounding would be compared
    with_dy = {name: (rng.standard_normal(each[0].shape), *each) for name, each in tries.items()}
    # "all the same number" divides by sqrt(1e-5), and its dx by that again
    return cases(with_dy, 2 * FLOAT32, {"large mean": LARGE_MEAN, "all the same number": 10 * FLOAT32})


def _group_backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = _tries(rng)
    del tries["one frame"]  # whose dx is 0 on paper: only rounding would be compared
    with_dy = {name: (rng.standard_normal(each[0].shape), *each) for name, each in tries.items()}
    return cases(with_dy, 2 * FLOAT32, {"large mean": LARGE_MEAN, "all the same number": 10 * FLOAT32})


_SHARED: dict[str, tuple[str, ...] | list[tuple[str, ...]]] = {
    "n-1 variance": [
        ("((x - mean) ** 2).mean(", "x.size / (x.size - np.float64(mean.size)) * ((x - mean) ** 2).mean("),
        ("((x - mean) ** 2).mean(", "x.size / max(x.size - mean.size, mean.size) * ((x - mean) ** 2).mean("),
    ],
    "the mean of the squares, E[x²], in place of the variance": ("((x - mean) ** 2)", "(x**2)"),
    "one mean and one variance for the whole array": (
        "mean = x.mean(axis=AXIS, keepdims=True)",
        "mean = x.mean(keepdims=True)",
        "((x - mean) ** 2).mean(axis=AXIS, keepdims=True)",
        "((x - mean) ** 2).mean(keepdims=True)",
    ),
    "1 + weight in place of weight": (' * p["weight"]', ' * (1 + p["weight"])'),
    "eps outside the root": ("np.sqrt(var + eps)", "(np.sqrt(var) + eps)"),
    "no eps": ("np.sqrt(var + eps)", "np.sqrt(var)"),
    "divided by the variance, not by its root": ("np.sqrt(var + eps)", "(var + eps)"),
    "the mean is not taken away": ("normalised = (x - mean)", "normalised = x"),
    "weight forgotten": (' * p["weight"]', ""),
    "bias forgotten": (' + p["bias"]', ""),
    "variance as mean of squares minus square of the mean": (
        "((x - mean) ** 2).mean(axis=AXIS, keepdims=True)",
        "(x**2).mean(axis=AXIS, keepdims=True) - mean**2",
    ),
}
_CANCELS = ("variance as mean of squares minus square of the mean",)


def _over(axis: int, other: int) -> dict[str, list[tuple[str, ...]]]:
    """The mistakes of a norm over ``axis``."""
    shared = {
        words: [
            tuple(t.replace("AXIS", str(axis)) for t in way) for way in (ways if isinstance(ways, list) else [ways])
        ]
        for words, ways in _SHARED.items()
    }
    wrong = tuple(
        text
        for line in ("mean = x.mean(axis={}", "(x - mean) ** 2).mean(axis={}")
        for text in (line.format(axis), line.format(other))
    )
    return {"wrong axis": [wrong], **shared}


LAYER_NORM = exercise(
    layer_norm,
    norm.layer_norm,
    module="ops.norm",
    notebook="03",
    title="Layer norm",
    battery=_forward,
    mistakes=_over(-1, 0),
    rounding=_CANCELS,
)

GROUP_NORM = exercise(
    group_norm,
    norm.group_norm,
    module="ops.norm",
    notebook="02",
    title="Group norm",
    battery=_forward,
    mistakes=_over(0, -1),
    rounding=_CANCELS,
)

LAYER_NORM_BACKWARD = exercise(
    layer_norm_backward,
    backward_of(norm.layer_norm, norm.layer_norm_backward),
    module="ops.norm",
    notebook="11",
    title="Layer norm, backward",
    battery=_backward,
    returns=("dx", "grads"),
    mistakes={
        "the mean is taken as a constant": ("d - through_mean - ", "d - "),
        "the variance is taken as a constant": (" - through_std)", ")"),
        "weight forgotten in dx": ('d = dy * p["weight"]', "d = dy"),
        "dx is not divided by the standard deviation": ("through_std) / std", "through_std)"),
        "dweight without the normalised input": ("(dy * normalised).sum(axis=0)", "(dy * x).sum(axis=0)"),
        "dweight as a mean over the frames": ("(dy * normalised).sum(axis=0)", "(dy * normalised).mean(axis=0)"),
        "dbias as a mean over the frames": ("dy.sum(axis=0)", "dy.mean(axis=0)"),
        "sign wrong": ("dx = (", "dx = -("),
        "eps outside the root": ("keepdims=True) + eps)", "keepdims=True)) + eps"),
        "n-1 variance": (
            "(centred**2).mean(axis=-1, keepdims=True)",
            "(centred**2).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)",
        ),
        "the mean of the squares, E[x²], in place of the variance": ("(centred**2).mean(", "(x**2).mean("),
        "mean and variance over the frames, not over the channels": (
            "x.mean(axis=-1, keepdims=True)",
            "x.mean(axis=0, keepdims=True)",
            "(centred**2).mean(axis=-1,",
            "(centred**2).mean(axis=0,",
        ),
        "the means of dx run over the frames": (
            "d.mean(axis=-1, keepdims=True)",
            "d.mean(axis=0, keepdims=True)",
            "(d * normalised).mean(axis=-1, keepdims=True)",
            "(d * normalised).mean(axis=0, keepdims=True)",
        ),
        "the sums over the frames run over the channels": (
            "(dy * normalised).sum(axis=0)",
            "(dy * normalised).sum(axis=-1)",
            "dy.sum(axis=0)",
            "dy.sum(axis=-1)",
        ),
    },
)

GROUP_NORM_BACKWARD = exercise(
    group_norm_backward,
    backward_of(norm.group_norm, norm.group_norm_backward),
    module="ops.norm",
    notebook="11",
    title="Group norm, backward",
    battery=_group_backward,
    returns=("dx", "grads"),
    mistakes={
        "the mean is taken as a constant": ("d - through_mean - ", "d - "),
        "the variance is taken as a constant": (" - through_std)", ")"),
        "both moments are taken as constants": ("d - through_mean - through_std", "d"),
        "weight forgotten in dx": ('d = dy * p["weight"]', "d = dy"),
        "dx is not divided by the standard deviation": ("through_std) / std", "through_std)"),
        "dweight without the normalised input": ("(dy * normalised).sum(axis=0)", "(dy * x).sum(axis=0)"),
        "dweight as a mean over the frames": ("(dy * normalised).sum(axis=0)", "(dy * normalised).mean(axis=0)"),
        "dbias as a mean over the frames": ("dy.sum(axis=0)", "dy.mean(axis=0)"),
        "the means of dx run over the channels, as in layer norm": (
            "d.mean(axis=0)",
            "d.mean(axis=-1, keepdims=True)",
            "(d * normalised).mean(axis=0)",
            "(d * normalised).mean(axis=-1, keepdims=True)",
        ),
        "sums in place of means in dx": (
            "d.mean(axis=0)",
            "d.sum(axis=0)",
            "(d * normalised).mean(axis=0)",
            "(d * normalised).sum(axis=0)",
        ),
        "sign wrong": ("dx = (", "dx = -("),
        "n-1 variance": ("(centred**2).mean(axis=0)", "(centred**2).sum(axis=0) / (len(x) - 1)"),
    },
)
