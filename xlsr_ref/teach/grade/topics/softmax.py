"""Exercises: softmax, forward and backward (ops/softmax.py); ln Σ exp (losses/contrastive.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.losses import contrastive
from xlsr_ref.ops import softmax as library
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 2e-6  # exp in float32 is good to 1e-7 of itself; the rest is a sum and a quotient

LARGE = 1e-3  # e^(x - ln Σ e^x) is right, too, and near 5000 float32 knows the logarithm to 2.4e-4


def softmax(x):
    """Softmax: turn every row of scores into probabilities.

        y_i = exp(x_i - m) / Σ_j exp(x_j - m),      m = max_j x_j

    x is (rows, V). Return y (rows, V), whose rows sum to 1, in the dtype of x. Scores may be in the thousands.
    Source: Bridle 1990; attention in wav2vec 2.0 §2.
    """
    m = x.max(axis=-1, keepdims=True)
    e = np.exp(x - m)
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, x):
    """The backward pass of softmax: dx from dy.

        dx_i = y_i (dy_i - Σ_j dy_j y_j),      y = softmax(x)

    dy and x are (rows, V). Return dx (rows, V), in the dtype of x. Every row of dx sums to 0: why?
    Source: ∂y_i/∂x_j = y_i (δ_ij - y_j).
    """
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    along_row = (dy * y).sum(axis=-1, keepdims=True)
    return y * (dy - along_row)


def log_softmax(x):
    """The logarithm of softmax, which is right also where softmax itself is 0.

        y_i = x_i - m - ln Σ_j exp(x_j - m),      m = max_j x_j

    x is (rows, V). Return y (rows, V), in the dtype of x: exp of a row sums to 1. Scores may be in the thousands.
    Source: any text on cross-entropy; what CTC reads, notebook 09.
    """
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_sum_exp(logits):
    """The logarithm of a sum of exponentials, for every row: what a cross-entropy divides by.

        y = ln Σ_k exp(logits_k) = m + ln Σ_k exp(logits_k - m),      m = max_k logits_k

    logits is (rows, V). Return y (rows,), in the dtype of logits. Some logits may be -inf: their exp is 0.
    Source: any text on cross-entropy; the contrastive loss of wav2vec 2.0 §3.2.
    """
    m = logits.max(axis=-1)
    return m + np.log(np.exp(logits - m[:, None]).sum(axis=-1))


def _scores(rng: np.random.Generator) -> dict[str, np.ndarray]:
    large = rng.uniform(-1, 1, (4, 5)) + np.array([[1000.0], [-1000.0], [5000.0], [0.0]])
    return {
        "usual": 2 * rng.standard_normal((5, 7)),
        "one row": rng.standard_normal((1, 6)),
        "one score in a row": rng.standard_normal((4, 1)),
        "odd sizes": rng.standard_normal((3, 5)),
        "as many rows as scores": rng.standard_normal((4, 4)),
        "large scores": large,
        "far apart": rng.permuted(np.array([[0.0, -300.0, 500.0, 20.0]] * 3), axis=1),
        "equal scores": np.full((2, 4), 3.0),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases({name: (x,) for name, x in _scores(rng).items()}, FLOAT32, {"large scores": LARGE})


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    scores = {name: x for name, x in _scores(rng).items() if name != "far apart"}  # whose dx is 0 to any digit
    tries = {name: (rng.standard_normal(x.shape), x) for name, x in scores.items()}
    return cases(tries, FLOAT32, {"large scores": LARGE})


def _log_softmax(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = _scores(rng)
    tries["very far apart"] = rng.permuted(np.array([[0.0, -3000.0, 1500.0]] * 3), axis=1)
    return cases({name: (x,) for name, x in tries.items()}, FLOAT32, {"large scores": LARGE})


def _log(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = _scores(rng)
    tries["some at minus infinity"] = np.where(rng.random((4, 6)) < 0.3, -np.inf, rng.standard_normal((4, 6)))
    tries["some at minus infinity"][:, 0] = 1.0
    return cases({name: (x,) for name, x in tries.items()}, FLOAT32)


SOFTMAX = exercise(
    softmax,
    library.softmax,
    module="ops.softmax",
    notebook="05",
    title="Softmax",
    battery=_forward,
    mistakes={
        "softmax without the maximum": ("np.exp(x - m)", "np.exp(x)"),
        "softmax over the wrong axis": ("max(axis=-1", "max(axis=0", "e.sum(axis=-1", "e.sum(axis=0"),
        "the sum is taken over the wrong axis": ("e.sum(axis=-1", "e.sum(axis=0"),
        "one maximum and one sum for the whole array": (
            "x.max(axis=-1, keepdims=True)",
            "x.max()",
            "e.sum(axis=-1, keepdims=True)",
            "e.sum()",
        ),
        "one maximum for the whole array": ("x.max(axis=-1, keepdims=True)", "x.max()"),
        "not divided by the sum": (" / e.sum(axis=-1, keepdims=True)", ""),
        "sign wrong in the exponent": ("np.exp(x - m)", "np.exp(m - x)"),
        "the scores' shares, without exp": ("np.exp(x - m)", "x - x.min(axis=-1, keepdims=True)"),
        "2 to the power of the score, not e": ("np.exp(x - m)", "2 ** (x - m)"),
        "one sum for the whole array": ("e.sum(axis=-1, keepdims=True)", "e.sum()"),
        "divided by the root of the sum of squares": (
            "e.sum(axis=-1, keepdims=True)",
            "np.sqrt((e * e).sum(axis=-1, keepdims=True))",
        ),
        "the logarithm of softmax": (
            "return e / e.sum(axis=-1, keepdims=True)",
            "return x - m - np.log(e.sum(axis=-1, keepdims=True))",
        ),
    },
)

SOFTMAX_BACKWARD = exercise(
    softmax_backward,
    lambda dy, x: backward_of(library.softmax, library.softmax_backward)(dy, x)[0],
    module="ops.softmax",
    notebook="11",
    title="Softmax, backward",
    battery=_backward,
    returns=("dx",),
    mistakes={
        "what a score takes from the others is forgotten": ("(dy - along_row)", "dy"),
        "only the diagonal: y (1 − y) dy": ("y * (dy - along_row)", "y * (1 - y) * dy"),
        "sign wrong": ("return y *", "return -y *"),
        "the sum is of dy, not of dy · y": ("(dy * y).sum(", "dy.sum("),
        "mean in place of sum": ("(dy * y).sum(", "(dy * y).mean("),
        "the sum is taken over the wrong axis": ("(dy * y).sum(axis=-1", "(dy * y).sum(axis=0"),
        "the sum runs over the whole array": ("(dy * y).sum(axis=-1, keepdims=True)", "(dy * y).sum()"),
        "y forgotten in front": ("return y * (", "return ("),
        "softmax over the wrong axis": (
            "x.max(axis=-1",
            "x.max(axis=0",
            "e.sum(axis=-1",
            "e.sum(axis=0",
            "* y).sum(axis=-1",
            "* y).sum(axis=0",
        ),
        "dy forgotten: the slope of y itself": ("y * (dy - along_row)", "y * (1 - y)"),
        "one maximum for the whole array": ("x.max(axis=-1, keepdims=True)", "x.max()"),
        "softmax without the maximum": ("x - x.max(axis=-1, keepdims=True)", "x"),
    },
)

LOG_SOFTMAX = exercise(
    log_softmax,
    lambda x: library.log_softmax(x).astype(x.dtype),
    module="ops.softmax",
    notebook="09",
    title="The logarithm of softmax",
    battery=_log_softmax,
    mistakes={
        "the logarithm of a softmax that is 0: -inf": (
            "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
            "e = np.exp(shifted)\n    return np.log(e / e.sum(axis=-1, keepdims=True))",
        ),
        "softmax without the maximum": ("x - x.max(axis=-1, keepdims=True)", "x"),
        "one maximum for the whole array": ("x.max(axis=-1, keepdims=True)", "x.max()"),
        "a small number is added, so that the logarithm is finite": (
            "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
            "e = np.exp(shifted)\n    return np.log(e / e.sum(axis=-1, keepdims=True) + 1e-9)",
        ),
        "over the wrong axis": ("max(axis=-1", "max(axis=0", "sum(axis=-1", "sum(axis=0"),
        "the maximum is taken away, the sum is not": (
            "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
            "return shifted",
        ),
        "logarithm to base 2": ("np.log(", "np.log2("),
        "logarithm to base 10": ("np.log(", "np.log10("),
        "sign wrong: the cross-entropy": ("return shifted - np.log(", "return -shifted + np.log("),
        "the sum is not under the logarithm": (
            "np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
            "np.exp(shifted).sum(axis=-1, keepdims=True)",
        ),
        "softmax: the logarithm forgotten": (
            "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
            "e = np.exp(shifted)\n    return e / e.sum(axis=-1, keepdims=True)",
        ),
        "mean in place of sum": (").sum(axis=-1", ").mean(axis=-1"),
    },
)

LOG_SUM_EXP = exercise(
    log_sum_exp,
    contrastive.log_sum_exp,
    module="losses.contrastive",
    notebook="09",
    title="The logarithm of a sum of exponentials",
    battery=_log,
    mistakes={
        "without the maximum": (
            "return m + np.log(np.exp(logits - m[:, None]).sum(axis=-1))",
            "return np.log(np.exp(logits).sum(axis=-1))",
        ),
        "the maximum is not added again": ("m + np.log", "np.log"),
        "wrong axis": ("max(axis=-1)", "max(axis=0)", "m[:, None]", "m", ".sum(axis=-1)", ".sum(axis=0)"),
        "one maximum for the whole array": (
            "return m + np.log(np.exp(logits - m[:, None]).sum(axis=-1))",
            "return m.max() + np.log(np.exp(logits - m.max()).sum(axis=-1))",
        ),
        "one number for the whole array": (
            "return m + np.log(np.exp(logits - m[:, None]).sum(axis=-1))",
            "return np.full_like(m, m.max() + np.log(np.exp(logits - m.max()).sum()))",
        ),
        "the sum of the logarithms, which is the sum of the logits": (
            "return m + np.log(np.exp(logits - m[:, None]).sum(axis=-1))",
            "return logits.sum(axis=-1)",
        ),
        "a small number is added, so that the logarithm is finite": (".sum(axis=-1))", ".sum(axis=-1) + 1e-6)"),
        "the logarithm is forgotten": (
            "return m + np.log(np.exp(logits - m[:, None]).sum(axis=-1))",
            "return np.exp(logits).sum(axis=-1)",
        ),
        "mean in place of sum": (").sum(", ").mean("),
        "sign wrong": ("return m + np.log(", "return -m - np.log("),
        "only the maximum": (" + np.log(np.exp(logits - m[:, None]).sum(axis=-1))", ""),
        "logarithm to base 2": ("np.log(", "np.log2("),
    },
)
