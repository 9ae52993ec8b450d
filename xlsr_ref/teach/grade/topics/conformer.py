"""Exercises: what the blocks of Wav2Vec2-BERT have that those of wav2vec 2.0 have not (ops, wav2vec2_bert)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xlsr_ref.ops import activation, causal_conv
from xlsr_ref.ops.relative_positions import add_positions
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise
from xlsr_ref.wav2vec2_bert import conformer_block
from xlsr_ref.wav2vec2_bert.masks import FeedForwardMasks

FLOAT32 = 4e-6  # sums of at most some forty products, each rounded to 6e-8


def relative_key_scores(q, k, table, left):
    """The attention scores of one head, with a learned vector for each distance of query and key.

        score[i, j] = q_i · (k_j + E[clip(j - i, -left, right) + left]) / √D

    q and k are (T, D); table is E (left + 1 + right, D): its row 0 is the distance -left, a key so far *before* its
    query. What is further away counts as the last row on that side. Return scores (T, T), in the dtype of q.
    Source: Shaw et al. 2018; Wav2Vec2-BERT has left = 64 and right = 8.
    """
    T, D = q.shape
    right = len(table) - 1 - left
    here = np.arange(T)
    distance = here[None, :] - here[:, None]
    rows = np.clip(distance, -left, right) + left
    by_position = (q[:, None, :] * table[rows]).sum(axis=2)
    return (q @ k.T + by_position) / math.sqrt(D)


def causal_depthwise_conv(x, weight):
    """Causal depthwise convolution: each channel has a kernel of its own, which sees the present and the past.

        y[t, c] = Σ_k W[c, 0, k] x[t - (K - 1) + k, c]          x is 0 before its first frame

    x is (T, C), weight W is (C, 1, K). Return y (T, C), in the dtype of x. The kernel is not turned round.
    Source: Gulati et al. 2020 (Conformer), causal as in Wav2Vec2-BERT.
    """
    T, C = x.shape
    K = weight.shape[2]
    before, after = K - 1, 0
    padded = np.concatenate([np.zeros((before, C), x.dtype), x, np.zeros((after, C), x.dtype)])
    y = np.zeros_like(x)
    for k in range(K):
        y += weight[:, 0, k] * padded[k : k + T]
    return y


def gated_linear_unit(x):
    """The gated linear unit: half of the channels decides how much of the other half passes.

        y = a σ(b),      σ(b) = 1 / (1 + e^(-b))

    x is (T, 2C): its first C channels are the values a, the other C the scores b of their gates. Return y (T, C), in
    the dtype of x. Source: Dauphin et al. 2017; the convolution module of a Conformer.
    """
    C = x.shape[1] // 2
    value, score = x[:, :C], x[:, C:]
    gate = np.exp(-np.logaddexp(0, -score))
    return value * gate


def half_step(x, norm, ffn, eps):
    """Half a feed-forward step, as a Conformer block begins and ends: pre-norm, with a residual connection.

        y = x + ½ (swish(n W₁ᵀ + b₁) W₂ᵀ + b₂),      n = layer norm of each frame of x,      swish(u) = u σ(u)

    x is (T, C); norm["weight"], norm["bias"] are (C,); ffn["intermediate_dense"] holds W₁ "weight" (F, C) and b₁ "bias"
    (F,), ffn["output_dense"] W₂ (C, F) and b₂ (C,). Return y (T, C), in the dtype of x.
    Source: Gulati et al. 2020, §2.3.
    """
    first, second = ffn["intermediate_dense"], ffn["output_dense"]
    mean = x.mean(axis=1, keepdims=True)
    var = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    n = (x - mean) / np.sqrt(var + eps) * norm["weight"] + norm["bias"]
    wide = n @ first["weight"].T + first["bias"]
    active = wide * np.exp(-np.logaddexp(0, -wide))
    step = active @ second["weight"].T + second["bias"]
    return x + step / 2


def _scores(rng: np.random.Generator) -> tuple[Case, ...]:
    def drawn(T: int, D: int, left: int, right: int) -> tuple:
        return (
            rng.standard_normal((T, D)),
            rng.standard_normal((T, D)),
            rng.standard_normal((left + 1 + right, D)),
            left,
        )

    tries = {
        "usual": drawn(9, 4, 3, 1),
        "one frame": drawn(1, 3, 2, 2),
        "table longer than the utterance": drawn(4, 2, 9, 6),
        "only the past": drawn(7, 3, 4, 0),
    }
    return cases(tries, FLOAT32)


def _causal(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (rng.standard_normal((9, 3)), rng.standard_normal((3, 1, 5))),
        "kernel longer than the utterance": (rng.standard_normal((4, 2)), rng.standard_normal((2, 1, 7))),
        "a kernel of 1": (rng.standard_normal((5, 3)), rng.standard_normal((3, 1, 1))),
        "one frame": (rng.standard_normal((1, 3)), rng.standard_normal((3, 1, 3))),
    }
    return cases(tries, FLOAT32)


def _gates(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (2 * rng.standard_normal((5, 8)),),
        "one channel": (rng.standard_normal((4, 2)),),
        "large scores": (np.concatenate([rng.standard_normal((3, 2)), rng.choice([-900.0, 900.0], (3, 2))], axis=1),),
    }
    return cases(tries, FLOAT32)


def _halves(rng: np.random.Generator) -> tuple[Case, ...]:
    def drawn(T: int, C: int, F: int) -> tuple:
        def linear(outputs: int, inputs: int) -> dict[str, Any]:
            return {"weight": rng.standard_normal((outputs, inputs)), "bias": rng.standard_normal(outputs)}

        norm = {"weight": rng.standard_normal(C), "bias": rng.standard_normal(C)}
        ffn = {"intermediate_dense": linear(F, C), "output_dense": linear(C, F)}
        return rng.standard_normal((T, C)) + 1, norm, ffn, 1e-3

    tries = {"usual": drawn(6, 5, 8), "one frame": drawn(1, 4, 6), "narrower inside": drawn(5, 6, 3)}
    return cases(tries, 1e-5)


def _their_scores(q: np.ndarray, k: np.ndarray, table: np.ndarray, left: int) -> np.ndarray:
    scores = np.ascontiguousarray(q @ k.T)[None]
    add_positions(scores, np.ascontiguousarray(q @ table.T)[None], 0, left)
    return (scores[0] / math.sqrt(q.shape[1])).astype(q.dtype)


RELATIVE_KEY_SCORES = exercise(
    relative_key_scores,
    _their_scores,
    module="ops.relative_positions",
    notebook="17",
    title="Scores with relative positions",
    battery=_scores,
    mistakes={
        "distance i − j, not j − i": ("here[None, :] - here[:, None]", "here[:, None] - here[None, :]"),
        "distance clipped alike on both sides": (
            "np.clip(distance, -left, right)",
            "np.clip(distance, -right, right)",
        ),
        "distance term not divided by √D": (
            "(q @ k.T + by_position) / math.sqrt(D)",
            "q @ k.T / math.sqrt(D) + by_position",
        ),
        "nothing divided by √D": (" / math.sqrt(D)", ""),
        "divided by D, not √D": ("math.sqrt(D)", "D"),
        "distances that are further away count for nothing, not as the last": (
            "* table[rows]).sum(axis=2)",
            "* table[rows]).sum(axis=2) * (np.clip(distance, -left, right) == distance)",
        ),
        "the row is not moved by left": ("np.clip(distance, -left, right) + left", "np.clip(distance, -left, right)"),
        "not clipped: distances go round": ("np.clip(distance, -left, right) + left", "(distance + left) % len(table)"),
        "no frame sees the frames after it": (
            "return (q @ k.T",
            "distance = np.where(distance > 0, -np.inf, 0)\n    return distance + (q @ k.T",
        ),
        "the vectors are taken in the order of the table, from the right": (
            "+ left\n",
            "+ left\n    table = table[::-1]\n",
        ),
        "distance term forgotten": (" + by_position", ""),
        "the key in place of the query in the distance term": ("q[:, None, :] * table", "k[None, :, :] * table"),
    },
)

CAUSAL_DEPTHWISE_CONV = exercise(
    causal_depthwise_conv,
    lambda x, weight: causal_conv.causal_conv(x, {"weight": weight})[0],
    module="ops.causal_conv",
    notebook="17",
    title="Causal depthwise convolution",
    battery=_causal,
    mistakes={
        "padded on both sides: half of what it sees is the future": [
            ("K - 1, 0", "K // 2, K - 1 - K // 2"),
            ("K - 1, 0", "(K - 1) // 2, K - 1 - (K - 1) // 2"),
        ],
        "padded on the right: all that it sees is the future": ("K - 1, 0", "0, K - 1"),
        "kernel turned round in time": ("weight[:, 0, k]", "weight[:, 0, K - 1 - k]"),
        "one frame of zeros too many before": ("before, after = K - 1, 0", "before, after = K, 0"),
        "the last tap forgotten": ("in range(K)", "in range(K - 1)"),
        "= in place of +=: only the last tap is kept": ("y += weight", "y = weight"),
        "every channel has the first channel's kernel": ("weight[:, 0, k]", "weight[0, 0, k]"),
        "summed over the channels": (
            "    return y",
            "    return np.broadcast_to(y.sum(axis=1, keepdims=True), y.shape).copy()",
        ),
        "a reshape for a transpose: kernels as (K, C)": (
            "    y = np.zeros_like(x)",
            "    weight = weight.reshape(K, 1, C).T\n    y = np.zeros_like(x)",
        ),
    },
)

GATED_LINEAR_UNIT = exercise(
    gated_linear_unit,
    lambda x: activation.glu(x)[0],
    module="ops.activation",
    notebook="17",
    title="Gated linear unit",
    battery=_gates,
    mistakes={
        "halves swapped": ("value, score = x[:, :C], x[:, C:]", "value, score = x[:, C:], x[:, :C]"),
        "even and odd channels in place of halves": ("x[:, :C], x[:, C:]", "x[:, 0::2], x[:, 1::2]"),
        "σ forgotten: the product of the halves": ("np.exp(-np.logaddexp(0, -score))", "score"),
        "tanh in place of σ": ("np.exp(-np.logaddexp(0, -score))", "np.tanh(score)"),
        "this is swish of the scores": ("value * gate", "score * gate"),
        "the gate is swish, b σ(b)": ("value * gate", "value * score * gate"),
        "both halves go through σ": ("value * gate", "np.exp(-np.logaddexp(0, -value)) * gate"),
        "ReLU in place of σ": ("np.exp(-np.logaddexp(0, -score))", "np.maximum(score, 0)"),
        "softmax in place of σ": (
            "np.exp(-np.logaddexp(0, -score))",
            "np.exp(score - np.logaddexp.reduce(score, axis=1, keepdims=True))",
        ),
        "the sum, not the product": ("value * gate", "value + gate"),
        "1 − σ in place of σ": ("np.exp(-np.logaddexp(0, -score))", "np.exp(-np.logaddexp(0, score))"),
    },
)

HALF_STEP = exercise(
    half_step,
    lambda x, norm, ffn, eps: conformer_block.half_step(x, norm, ffn, "swish", eps, FeedForwardMasks())[0],
    module="wav2vec2_bert.conformer_block",
    notebook="17",
    title="Half a feed-forward step",
    battery=_halves,
    mistakes={
        "a whole step, not half of one": ("x + step / 2", "x + step"),
        "x forgotten: no residual connection": ("x + step / 2", "step / 2"),
        "x halved, too": ("x + step / 2", "(x + step) / 2"),
        "the normalised x goes around": ("return x + step", "return n + step"),
        "σ forgotten in swish: a linear map": ("wide * np.exp(-np.logaddexp(0, -wide))", "wide"),
        "this is ReLU, not swish": ("wide * np.exp(-np.logaddexp(0, -wide))", "np.maximum(wide, 0)"),
        "this is GELU, not swish": (
            "wide * np.exp(-np.logaddexp(0, -wide))",
            "wide / 2 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))",
        ),
        "post-norm: the sum is normalised, not the input": (
            '    n = (x - mean) / np.sqrt(var + eps) * norm["weight"] + norm["bias"]\n',
            "    n = x\n",
            "    return x + step / 2",
            "    y = x + step / 2\n    mean, var = y.mean(axis=1, keepdims=True), y.var(axis=1, keepdims=True)\n"
            '    return (y - mean) / np.sqrt(var + eps) * norm["weight"] + norm["bias"]',
        ),
        "norm over the frames, not over the channels": (
            "mean = x.mean(axis=1",
            "mean = x.mean(axis=0",
            "** 2).mean(axis=1",
            "** 2).mean(axis=0",
        ),
        "eps outside the root": ("np.sqrt(var + eps)", "(np.sqrt(var) + eps)"),
        "no eps": ("np.sqrt(var + eps)", "np.sqrt(var)"),
        "n-1 variance": (
            "((x - mean) ** 2).mean(axis=1",
            "x.shape[1] / (x.shape[1] - 1) * ((x - mean) ** 2).mean(axis=1",
        ),
        "the mean of the squares, E[x²], in place of the variance": ("((x - mean) ** 2).mean", "(x**2).mean"),
        "both biases forgotten": (' + first["bias"]', "", ' + second["bias"]', ""),
        "weight and bias of the norm forgotten": (' * norm["weight"] + norm["bias"]', ""),
        "norm forgotten": ('n = (x - mean) / np.sqrt(var + eps) * norm["weight"] + norm["bias"]', "n = x"),
    },
)
