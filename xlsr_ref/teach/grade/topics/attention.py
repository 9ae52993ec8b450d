"""Exercises: attention, forward and backward (ops/attention.py), and the feed-forward (ops/feed_forward.py)."""

from __future__ import annotations

import math

import numpy as np

from xlsr_ref.ops import attention as library
from xlsr_ref.ops.feed_forward import feed_forward as library_feed_forward
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 5e-6  # three or four products in a row, with sums of at most ten terms each
LARGE = 1e-3  # a score near 500 is a sum that float32 knows to 1e-4, and exp makes that a relative error

APART = "frames of very different size"


def scaled_dot_product(q, k, v, heads):
    """Scaled dot-product attention: every frame takes from all frames, in proportion to how well they match.

        head = softmax(q kᵀ / √D) v      for the D = C / heads columns of each head

    q, k, v are (T, C); head h has the columns h·D to (h + 1)·D. softmax runs over the keys.
    Return the heads side by side, (T, C), in the dtype of v. Scores may be large. Source: Vaswani et al. 2017, §3.2.1.
    """
    D = q.shape[1] // heads
    y = np.zeros_like(v)
    for head in np.arange(q.shape[1]).reshape(heads, D):
        scores = q[:, head] @ k[:, head].T / math.sqrt(D)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights = e / e.sum(axis=1, keepdims=True)
        y[:, head] = weights @ v[:, head]
    return y


def scaled_dot_product_backward(dy, q, k, v, heads):
    """The backward pass of scaled dot-product attention.

        head = w v,      w = softmax(s),      s = q kᵀ / √D      for the D = C / heads columns of each head
        dv = wᵀ dy,   dw = dy vᵀ,   ds = w · (dw - Σ_keys dw · w),   dq = ds k / √D,   dk = dsᵀ q / √D

    dy, q, k, v are (T, C), head after head. Return (dq, dk, dv), each (T, C). Source: notebook 11.
    """
    D = q.shape[1] // heads
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for head in np.arange(q.shape[1]).reshape(heads, D):
        scores = q[:, head] @ k[:, head].T / math.sqrt(D)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights = e / e.sum(axis=1, keepdims=True)
        dv[:, head] = weights.T @ dy[:, head]
        dweights = dy[:, head] @ v[:, head].T
        through_sum = (dweights * weights).sum(axis=1, keepdims=True)
        dscores = weights * (dweights - through_sum)
        dq[:, head] = dscores @ k[:, head] / math.sqrt(D)
        dk[:, head] = dscores.T @ q[:, head] / math.sqrt(D)
    return dq, dk, dv


def attention(x, p, heads):
    """Multi-head self-attention with its four projections.

        y = concat(head_1 … head_H) W_outᵀ + b_out,      head = softmax(q kᵀ / √D) v
        q, k, v: the head's D = C / heads columns of x W_qᵀ + b_q, x W_kᵀ + b_k, x W_vᵀ + b_v

    x is (T, C). p has "q_proj", "k_proj", "v_proj", "out_proj", each with "weight" (C, C) and "bias" (C,).
    Return y (T, C), in the dtype of x. Source: wav2vec 2.0 §2; Vaswani et al. 2017, §3.2.2.
    """
    q = x @ p["q_proj"]["weight"].T + p["q_proj"]["bias"]
    k = x @ p["k_proj"]["weight"].T + p["k_proj"]["bias"]
    v = x @ p["v_proj"]["weight"].T + p["v_proj"]["bias"]
    D = q.shape[1] // heads
    mixed = np.zeros_like(v)
    for head in np.arange(q.shape[1]).reshape(heads, D):
        scores = q[:, head] @ k[:, head].T / math.sqrt(D)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights = e / e.sum(axis=1, keepdims=True)
        mixed[:, head] = weights @ v[:, head]
    return mixed @ p["out_proj"]["weight"].T + p["out_proj"]["bias"]


def feed_forward(x, p):
    """The feed-forward of a Transformer block: every frame by itself through F channels and back.

        y = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂

    x is (T, C). p["intermediate_dense"] has "weight" W₁ (F, C) and "bias" (F,), p["output_dense"] has W₂ (C, F), (C,).
    GELU is the one with erf. Return y (T, C), in the dtype of x; the sum with x belongs to the block, not here.
    Source: Vaswani et al. 2017, §3.3; wav2vec 2.0 §2.
    """
    from scipy.special import erf

    wide = x @ p["intermediate_dense"]["weight"].T + p["intermediate_dense"]["bias"]
    active = wide / 2 * (1 + erf(wide / math.sqrt(2)))
    return active @ p["output_dense"]["weight"].T + p["output_dense"]["bias"]


def _projected(rng: np.random.Generator, T: int, C: int, heads: int) -> tuple:
    q, k, v = rng.standard_normal((3, T, C))
    return q, k, v, heads


def _tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _projected(rng, 5, 8, 2),
        "one frame": _projected(rng, 1, 6, 2),
        "one head": _projected(rng, 6, 4, 1),
        "heads of one channel": _projected(rng, 5, 4, 4),
        "odd sizes": _projected(rng, 7, 9, 3),
        "as many frames as channels of a head": _projected(rng, 4, 8, 2),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    q, k, v, heads = _projected(rng, 6, 8, 2)
    size = np.array([[1.0], [40.0], [80.0], [1.0], [0.1], [20.0]])
    large = {"large scores": (60 * q, 60 * k, v, heads), APART: (size * q, size * k, v, heads)}
    return cases(_tries(rng) | large, FLOAT32, dict.fromkeys(large, LARGE))


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases({name: (rng.standard_normal(each[0].shape), *each) for name, each in _tries(rng).items()}, 2 * FLOAT32)


def _layer(rng: np.random.Generator, C_in: int, C_out: int) -> dict:
    return {"weight": rng.standard_normal((C_out, C_in)) / C_in**0.5, "bias": rng.standard_normal(C_out)}


def _whole(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(T: int, C: int, heads: int) -> tuple:
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        return rng.standard_normal((T, C)), {name: _layer(rng, C, C) for name in names}, heads

    tries = {
        "usual": arguments(5, 8, 2),
        "one frame": arguments(1, 6, 2),
        "one head": arguments(6, 4, 1),
        "heads of one channel": arguments(5, 3, 3),
        "odd sizes": arguments(7, 9, 3),
        "as many frames as channels of a head": arguments(4, 8, 2),
    }
    x, p, heads = arguments(4, 6, 2)
    large = {"large scores": (40 * x, p, heads), APART: (x * np.array([[1.0], [60.0], [0.1], [20.0]]), p, heads)}
    return cases(tries | large, FLOAT32, dict.fromkeys(large, LARGE))


def _feed_forward(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(T: int, C: int, F: int) -> tuple:
        return rng.standard_normal((T, C)), {"intermediate_dense": _layer(rng, C, F), "output_dense": _layer(rng, F, C)}

    tries = {
        "usual": arguments(5, 4, 8),
        "one frame": arguments(1, 4, 6),
        "one channel": arguments(5, 1, 3),
        "odd sizes": arguments(3, 5, 7),
        "as many channels between": arguments(6, 5, 5),
    }
    x, p = arguments(4, 6, 9)
    return cases(tries | {"large values": (50 * x, p)}, FLOAT32)


_HEADS: dict[str, tuple[str, ...] | list[tuple[str, ...]]] = {
    "heads split by reshape alone, (H, T, D), without a transpose": (
        "D = q.shape[1] // heads\n",
        "D = q.shape[1] // heads\n"
        "    q, k, v = (a.reshape(heads, -1, D).swapaxes(0, 1).reshape(a.shape) for a in (q, k, v))\n",
    ),
    "missing 1/√D": (".T / math.sqrt(D)\n        e =", ".T\n        e ="),
    "divided by D, not by √D, as when q is scaled, too": (".T / math.sqrt(D)\n        e =", ".T / D\n        e ="),
    "divided by √C, not by √D": (".T / math.sqrt(D)\n        e =", ".T / math.sqrt(q.shape[1])\n        e ="),
    "softmax without the maximum": ("scores - scores.max(axis=1, keepdims=True)", "scores"),
    "softmax over the wrong axis": ("scores.max(axis=1", "scores.max(axis=0", "e.sum(axis=1", "e.sum(axis=0"),
    "heads take every H-th channel": ("reshape(heads, D):", "reshape(D, heads).T:"),
    "one head in place of several": ("D = q.shape[1] // heads", "heads, D = 1, q.shape[1]"),
}
_FORWARD: dict[str, tuple[str, ...] | list[tuple[str, ...]]] = {
    **_HEADS,
    "no frame sees the frames after it": ("e = np.exp(", "e = np.tri(len(q)) * np.exp("),
    "queries and keys exchanged": ("q[:, head] @ k[:, head].T", "k[:, head] @ q[:, head].T"),
    "no softmax: the scores themselves": (
        "np.exp(scores - scores.max(axis=1, keepdims=True))",
        "scores",
        "e / e.sum(axis=1, keepdims=True)",
        "e",
    ),
    "softmax is not divided by its sum": ("e / e.sum(axis=1, keepdims=True)", "e"),
    "one maximum for the whole array": ("scores.max(axis=1, keepdims=True)", "scores.max()"),
    "multiplied by √D, not divided": (".T / math.sqrt(D)\n        e =", ".T * math.sqrt(D)\n        e ="),
    "divided by √T, not by √D": (".T / math.sqrt(D)\n        e =", ".T / math.sqrt(len(q))\n        e ="),
    "divided by √H, not by √D": (".T / math.sqrt(D)\n        e =", ".T / math.sqrt(heads)\n        e ="),
}


def _merged(last: str, name: str) -> dict[str, tuple[str, ...] | list[tuple[str, ...]]]:
    """The mistakes of putting heads together: ``name`` holds them before the line ``last``."""
    return {
        "heads not merged back: (H, T, D) reshaped to (T, C) without a transpose": (
            last,
            f"    {name} = {name}.reshape(-1, heads, D).swapaxes(0, 1).reshape({name}.shape)\n{last}",
        ),
        "heads split and merged by reshape alone, (H, T, D), without a transpose": (
            "D = q.shape[1] // heads\n",
            "D = q.shape[1] // heads\n"
            "    q, k, v = (a.reshape(heads, -1, D).swapaxes(0, 1).reshape(a.shape) for a in (q, k, v))\n",
            last,
            f"    {name} = {name}.reshape(-1, heads, D).swapaxes(0, 1).reshape({name}.shape)\n{last}",
        ),
        "heads merged channel by channel, (T, D, H)": (
            last,
            f"    {name} = {name}.reshape(-1, heads, D).swapaxes(1, 2).reshape({name}.shape)\n{last}",
        ),
    }


SCALED_DOT_PRODUCT = exercise(
    scaled_dot_product,
    library.scaled_dot_product,
    module="ops.attention",
    notebook="05",
    title="Scaled dot-product attention",
    battery=_forward,
    mistakes=_FORWARD | _merged("    return y\n", "y"),
)

SCALED_DOT_PRODUCT_BACKWARD = exercise(
    scaled_dot_product_backward,
    backward_of(library.scaled_dot_product, library.scaled_dot_product_backward),
    module="ops.attention",
    notebook="11",
    title="Scaled dot-product attention, backward",
    battery=_backward,
    returns=("dq", "dk", "dv"),
    mistakes={
        "missing 1/√D in dq": ("dscores @ k[:, head] / math.sqrt(D)", "dscores @ k[:, head]"),
        "missing 1/√D in dk": ("dscores.T @ q[:, head] / math.sqrt(D)", "dscores.T @ q[:, head]"),
        "missing 1/√D in the scores": _HEADS["missing 1/√D"],
        "dv with the weights not transposed": ("weights.T @ dy", "weights @ dy"),
        "dk with dscores not transposed": ("dscores.T @ q", "dscores @ q"),
        "the gradient through softmax's sum is forgotten": ("(dweights - through_sum)", "dweights"),
        "softmax over the wrong axis": _HEADS["softmax over the wrong axis"],
        "softmax is passed over": ("dscores = weights * (dweights - through_sum)", "dscores = dweights"),
        "missing 1/√D in dq and in dk": (
            "dscores @ k[:, head] / math.sqrt(D)",
            "dscores @ k[:, head]",
            "dscores.T @ q[:, head] / math.sqrt(D)",
            "dscores.T @ q[:, head]",
        ),
        "divided by D, not by √D, in dq and dk, as when dscores is divided, too": (
            "dscores @ k[:, head] / math.sqrt(D)",
            "dscores @ k[:, head] / D",
            "dscores.T @ q[:, head] / math.sqrt(D)",
            "dscores.T @ q[:, head] / D",
        ),
        "softmax's sum runs over the queries": ("* weights).sum(axis=1", "* weights).sum(axis=0"),
        "only the diagonal of softmax's Jacobian: w (1 − w)": (
            "weights * (dweights - through_sum)",
            "weights * (1 - weights) * dweights",
        ),
        "no frame sees the frames after it": ("e = np.exp(", "e = np.tri(len(q)) * np.exp("),
        "heads split by reshape alone, (H, T, D), without a transpose": (
            "D = q.shape[1] // heads\n",
            "D = q.shape[1] // heads\n"
            "    dy, q, k, v = (a.reshape(heads, -1, D).swapaxes(0, 1).reshape(a.shape) for a in (dy, q, k, v))\n",
        ),
        "one head in place of several": _HEADS["one head in place of several"],
        "dq and dk exchanged": ("return dq, dk, dv", "return dk, dq, dv"),
        "sign wrong in the gradient through softmax": ("dweights - through_sum", "dweights + through_sum"),
    },
)

ATTENTION = exercise(
    attention,
    library.attention,
    module="ops.attention",
    notebook="05",
    title="Multi-head attention",
    battery=_whole,
    mistakes={
        **_FORWARD,
        **_merged("    return mixed @", "mixed"),
        "transposed weights": tuple(
            text.format(name)
            for name in ("q_proj", "k_proj", "v_proj", "out_proj")
            for text in ('["{}"]["weight"].T', '["{}"]["weight"]')
        ),
        "transposed weights in the output projection": ('["out_proj"]["weight"].T', '["out_proj"]["weight"]'),
        "output projection forgotten": ('mixed @ p["out_proj"]["weight"].T + p["out_proj"]["bias"]', "mixed"),
        "bias of the output projection forgotten": (' + p["out_proj"]["bias"]', ""),
        "x added to the result": ("return mixed @", "return x + mixed @"),
        "biases of q, k and v forgotten": tuple(
            text for name in ("q_proj", "k_proj", "v_proj") for text in (f' + p["{name}"]["bias"]', "")
        ),
        "all biases forgotten": tuple(
            text for name in ("q_proj", "k_proj", "v_proj", "out_proj") for text in (f' + p["{name}"]["bias"]', "")
        ),
        "keys in place of values": ('x @ p["v_proj"]["weight"].T + p["v_proj"]["bias"]', "k"),
    },
)

FEED_FORWARD = exercise(
    feed_forward,
    library_feed_forward,
    module="ops.feed_forward",
    notebook="06",
    title="The feed-forward of a block",
    battery=_feed_forward,
    mistakes={
        "tanh GELU": (
            "erf(wide / math.sqrt(2))",
            "np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))",
        ),
        "ReLU in place of GELU": ("wide / 2 * (1 + erf(wide / math.sqrt(2)))", "np.maximum(wide, 0)"),
        "activation forgotten": ("wide / 2 * (1 + erf(wide / math.sqrt(2)))", "wide"),
        "transposed weights": tuple(
            text.format(name)
            for name in ("intermediate_dense", "output_dense")
            for text in ('["{}"]["weight"].T', '["{}"]["weight"]')
        ),
        "sigmoid GELU": ("erf(wide / math.sqrt(2))", "np.tanh(1.702 * wide / 2)"),
        "swish in place of GELU": (
            "wide / 2 * (1 + erf(wide / math.sqrt(2)))",
            "wide * np.exp(-np.logaddexp(0, -wide))",
        ),
        "GELU after the second layer": (
            "active = wide / 2 * (1 + erf(wide / math.sqrt(2)))\n"
            '    return active @ p["output_dense"]["weight"].T + p["output_dense"]["bias"]',
            'out = wide @ p["output_dense"]["weight"].T + p["output_dense"]["bias"]\n'
            "    return out / 2 * (1 + erf(out / math.sqrt(2)))",
        ),
        "GELU without √2": ("erf(wide / math.sqrt(2))", "erf(wide)"),
        "first bias forgotten": (' + p["intermediate_dense"]["bias"]', ""),
        "second bias forgotten": (' + p["output_dense"]["bias"]', ""),
        "x added to the result": ("return active @", "return x + active @"),
    },
)
