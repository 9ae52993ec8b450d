"""Exercises: what Wav2Vec2-BERT has that wav2vec 2.0 has not (audio/log_mel.py, ops, wav2vec2_bert)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xlsr_ref.audio import log_mel
from xlsr_ref.ops import activation, causal_conv
from xlsr_ref.ops.relative_positions import add_positions
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise
from xlsr_ref.wav2vec2_bert import conformer_block
from xlsr_ref.wav2vec2_bert.masks import FeedForwardMasks

FLOAT32 = 4e-6  # sums of at most some forty products, each rounded to 6e-8


def mel_filterbank(rate, bands):
    """Triangles on the mel scale: how much each bin of a spectrum counts in each band.

        mel(f) = 1127 ln(1 + f / 700)          bins k = 0 … 256 stand at k · rate / 512 Hz

    bands + 2 edges lie equally far apart in mel, from 20 Hz to rate // 2. Band m rises in a straight line *in mel* from
    0 at edge m to 1 at edge m + 1, falls to 0 at edge m + 2, and is 0 elsewhere. Return (257, bands), float64.
    Source: Povey et al. 2011 (Kaldi); the features of Wav2Vec2-BERT.
    """
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(mel(20), mel(rate // 2), bands + 2)
    places = mel(np.arange(257) * rate / 512)
    weights = np.zeros((257, bands))
    for m in range(bands):
        left, peak, right = edges[m : m + 3]
        rising = (places - left) / (peak - left)
        falling = (right - places) / (right - peak)
        weights[:, m] = np.clip(np.minimum(rising, falling), 0, None)
    return weights


def feature_rows(energies):
    """From log energies to rows of features: each band to mean 0 and variance 1, then two frames to a row.

        z[t, m] = (e[t, m] - mean_m) / sqrt(var_m + 1e-7)          var_m: Σ_t (e[t, m] - mean_m)² / (n - 1)

    energies e is (n, M), n at least 2. Where n is odd, a frame of zeros follows the last z. Row t of the result is z of
    frame 2t, then of frame 2t + 1. Return (⌈n/2⌉, 2M), in the dtype of energies.
    Source: the features of Wav2Vec2-BERT.
    """
    n = len(energies)
    mean = energies.mean(axis=0)
    var = ((energies - mean) ** 2).sum(axis=0) / (n - 1)
    z = (energies - mean) / np.sqrt(var + 1e-7)
    if n % 2:
        z = np.concatenate([z, np.zeros_like(z[:1])])
    return np.concatenate([z[0::2], z[1::2]], axis=1)


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


def _filters(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases({"usual": (16000, 80), "few bands": (16000, 7), "another rate": (8000, 20), "one band": (22050, 1)})


def _energies(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (rng.standard_normal((8, 5)) * 2 + 3,),
        "odd number of frames": (rng.standard_normal((7, 3)) - 1,),
        "two frames": (rng.standard_normal((2, 4)),),
        "nearly constant": (5 + 1e-4 * rng.standard_normal((6, 3)),),
    }
    return cases(tries, 1e-5, {"nearly constant": 1e-2})


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


MEL_FILTERBANK = exercise(
    mel_filterbank,
    log_mel.mel_filters,
    module="audio.log_mel",
    notebook="17",
    title="Mel filters",
    battery=_filters,
    mistakes={
        "triangles are linear in Hz, not in mel": (
            "places = mel(np.arange(257) * rate / 512)",
            "edges = 700 * (np.exp(edges / 1127) - 1)\n    places = np.arange(257) * rate / 512",
        ),
        "Slaney's mel scale": (
            "1127 * np.log(1 + hertz / 700)",
            "np.where(np.asarray(hertz) < 1000, 3 * np.asarray(hertz) / 200, "
            "15 + 27 * np.log(np.maximum(hertz, 1e-9) / 1000) / np.log(6.4))",
        ),
        "the lowest edge is 0 Hz, not 20": ("mel(20)", "mel(0)"),
        "triangles of equal area, not of equal height": (
            "np.clip(np.minimum(rising, falling), 0, None)",
            "np.clip(np.minimum(rising, falling), 0, None) * 2 / (right - left)",
        ),
        "no triangle stops at 0": ("np.clip(np.minimum(rising, falling), 0, None)", "np.minimum(rising, falling)"),
    },
)

FEATURE_ROWS = exercise(
    feature_rows,
    lambda energies: log_mel.rows_of(energies, 2),
    module="audio.log_mel",
    notebook="17",
    title="Features of two frames",
    battery=_energies,
    mistakes={
        "variance divided by n, not by n − 1": ("/ (n - 1)", "/ n"),
        "mean and variance over all bands together": (
            "    mean = energies.mean(axis=0)\n    var = ((energies - mean) ** 2).sum(axis=0) / (n - 1)\n",
            "    mean = energies.mean()\n    var = ((energies - mean) ** 2).sum() / (energies.size - 1)\n",
        ),
        "frame t beside frame t + n/2, not beside its neighbour": (
            "[z[0::2], z[1::2]]",
            "[z[: len(z) // 2], z[len(z) // 2 :]]",
        ),
        "1e-7 forgotten": (" + 1e-7", ""),
        "the mean is not taken out": ("z = (energies - mean)", "z = energies"),
        "the two frames of a row exchanged": ("[z[0::2], z[1::2]]", "[z[1::2], z[0::2]]"),
    },
)

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
        "padded on both sides: half of what it sees is the future": ("K - 1, 0", "K // 2, K - 1 - K // 2"),
        "padded on the right: all that it sees is the future": ("K - 1, 0", "0, K - 1"),
        "kernel turned round in time": ("weight[:, 0, k]", "weight[:, 0, K - 1 - k]"),
        "one frame of zeros too many before": ("before, after = K - 1, 0", "before, after = K, 0"),
        "the last tap forgotten": ("in range(K)", "in range(K - 1)"),
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
        "norm forgotten": ('n = (x - mean) / np.sqrt(var + eps) * norm["weight"] + norm["bias"]', "n = x"),
    },
)
