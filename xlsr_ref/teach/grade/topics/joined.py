"""Exercises: attention in two parts (ops/attention.py), Gumbel noise, and the upper half of a float (checkpoint/)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise

FLOAT32 = 2e-6  # an exp, two products and a sum


def join_attention(m1, d1, o1, m2, d2, o2):
    """Attention over two halves of the keys, put together without the scores (as flash attention does, block by block).

        of each half:  m = max_j s_j,      d = Σ_j e^(s_j - m),      o = Σ_j e^(s_j - m) v_j
        of both:       m = max(m1, m2),    d = d1 e^(m1 - m) + d2 e^(m2 - m),    o = o1 e^(m1 - m) + o2 e^(m2 - m)

    m and d are (T,), one number for each query; o is (T, D). Return (m, d, o) of both halves: o / d is the result of
    attention. Scores may be in the thousands. Source: Milakov & Gimelshein 2018; Dao et al. 2022; notebook 05.
    """
    m = np.maximum(m1, m2)
    w1, w2 = np.exp(m1 - m), np.exp(m2 - m)
    d = d1 * w1 + d2 * w2
    o = o1 * w1[:, None] + o2 * w2[:, None]
    return m, d, o


def gumbel_noise(u):
    """Gumbel noise from draws between 0 and 1: added to scores, its largest is a draw from their softmax.

        g = -ln(-ln u)

    u has any shape, 0 < u < 1. Return g with its shape and dtype. Source: Gumbel 1954; wav2vec 2.0 §2, eq. 1.
    """
    inner = -np.log(u)
    return -np.log(inner)


def to_bfloat16(x):
    """The upper half of a float32: 1 sign, 8 bits of exponent, 7 of the fraction.

        bits = the 32 bits of x as a whole number          result = bits >> 16, rounded to the nearest, a tie to even

    x is (n,), float32, finite. A tie is where the lower 16 bits are 0x8000: then the even of the two is taken. Return
    (n,) whole numbers from 0 to 65535. Source: Kalamkar et al. 2019; notebook 13, bfloat16 in checkpoints.
    """
    bits = x.view(np.uint32).astype(np.uint64)
    odd = (bits >> 16) & 1
    return ((bits + 0x7FFF + odd) >> 16).astype(np.uint16)


def _halves(rng: np.random.Generator) -> tuple[Case, ...]:
    def half(scores: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        m = scores.max(axis=1)
        e = np.exp(scores - m[:, None])
        return m, e.sum(axis=1), e @ v

    def drawn(T: int, D: int, n1: int, n2: int, scale: float = 2.0) -> tuple:
        scores, v = scale * rng.standard_normal((T, n1 + n2)), rng.standard_normal((n1 + n2, D))
        return (*half(scores[:, :n1], v[:n1]), *half(scores[:, n1:], v[n1:]))

    tries = {
        "usual": drawn(5, 3, 4, 4),
        "one query": drawn(1, 4, 3, 5),
        "halves of other lengths": drawn(6, 2, 1, 7),
        "as many queries as channels": drawn(4, 4, 3, 3),
        "large scores": drawn(5, 3, 4, 4, scale=2000.0),
        "one channel": drawn(4, 1, 2, 2),
    }
    return cases(tries, FLOAT32, {"large scores": 1e-3})


def _draws(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (rng.uniform(0.01, 0.99, (4, 2, 3)),),
        "one number": (rng.uniform(0.1, 0.9, 1),),
        "near 0": (10.0 ** rng.uniform(-30, -3, (3, 4)),),
        "near 1": (1 - rng.uniform(0.001, 0.01, (2, 5)),),
        "odd sizes": (rng.uniform(0.2, 0.8, (7, 3)),),
    }
    return cases(tries, 1e-4)  # float32 knows ln u to 6e-8 / 0.001 where u is near 1


def _floats(rng: np.random.Generator) -> tuple[Case, ...]:
    def number(bits: list[int]) -> tuple:
        return (np.array(bits, np.uint32).view(np.float32),)

    tries = {
        "usual": (rng.standard_normal(40).astype(np.float32),),
        "ties to even": number([0x3F808000, 0x3F818000, 0xBF808000, 0xBF818000]),
        "just above and below a tie": number([0x3F808001, 0x3F807FFF, 0x3F818001, 0x3F817FFF]),
        "carried into the exponent": number([0x3FFFFFFF, 0x3FFF8000, 0x407FFF00]),
        "exact already": number([0x3F800000, 0x40490000, 0xC0200000]),
        "very small and very large": (np.array([1e-38, 3e38, -2e-30, 7e22], np.float32),),
        "negative": (-np.abs(rng.standard_normal(20)).astype(np.float32),),
    }
    return tuple(Case(name, arguments, None, 1e-10) for name, arguments in tries.items())


def _their_bits(x: np.ndarray) -> np.ndarray:
    halves = np.ascontiguousarray(x.astype(np.float32)).view(np.uint16).reshape(-1, 2).astype(int)  # lower, upper
    lower, upper = halves.T
    return upper + ((lower > 0x8000) | ((lower == 0x8000) & (upper % 2 == 1)))


JOIN_ATTENTION = exercise(
    join_attention,
    lambda m1, d1, o1, m2, d2, o2: (
        np.maximum(m1, m2),
        d1 * np.exp(m1 - np.maximum(m1, m2)) + d2 * np.exp(m2 - np.maximum(m1, m2)),
        (np.exp(m1 - np.maximum(m1, m2)) * o1.T + np.exp(m2 - np.maximum(m1, m2)) * o2.T).T,
    ),
    module="ops.attention",
    notebook="05",
    title="Attention in two halves",
    battery=_halves,
    returns=("m", "d", "o"),
    mistakes={
        "not brought to one maximum: simply added": (
            "np.exp(m1 - m), np.exp(m2 - m)",
            "np.ones_like(m), np.ones_like(m)",
        ),
        "d is not brought to one maximum": ("d1 * w1 + d2 * w2", "d1 + d2"),
        "o is not brought to one maximum": ("o1 * w1[:, None] + o2 * w2[:, None]", "o1 + o2"),
        "only the second half is brought to the maximum": (
            "np.exp(m1 - m), np.exp(m2 - m)",
            "np.ones_like(m), np.exp(m2 - m)",
        ),
        "only the first half is brought to the maximum": (
            "np.exp(m1 - m), np.exp(m2 - m)",
            "np.exp(m1 - m), np.ones_like(m)",
        ),
        "min in place of max": ("np.maximum(m1, m2)", "np.minimum(m1, m2)"),
        "sign wrong in the exponent": ("np.exp(m1 - m), np.exp(m2 - m)", "np.exp(m - m1), np.exp(m - m2)"),
        "the weights of the halves exchanged": (
            "w1, w2 = np.exp(m1 - m), np.exp(m2 - m)",
            "w2, w1 = np.exp(m1 - m), np.exp(m2 - m)",
        ),
        "o is divided by d already": ("return m, d, o", "return m, d, o / d[:, None]"),
        "the mean of the two halves": ("return m, d, o", "return m, d / 2, o / 2"),
        "the maxima are taken as 0: overflow": ("m = np.maximum(m1, m2)", "m = np.zeros_like(m1)"),
        "one maximum for all queries": ("m = np.maximum(m1, m2)", "m = np.full_like(m1, max(m1.max(), m2.max()))"),
    },
)

GUMBEL_NOISE = exercise(
    gumbel_noise,
    lambda u: -np.log(np.log(1 / u)),
    module="wav2vec2.quantizer",
    notebook="07",
    title="Gumbel noise",
    battery=_draws,
    returns=("g",),
    mistakes={
        "one logarithm: this is exponential noise": ("return -np.log(inner)", "return inner"),
        "sign wrong": ("return -np.log(inner)", "return np.log(inner)"),
        "the inner sign forgotten": ("inner = -np.log(u)", "inner = np.log(u)"),
        "ln(1 − u) in place of ln u": ("np.log(u)", "np.log1p(-u)"),
        "logarithms to base 2": ("np.log(u)", "np.log2(u)", "np.log(inner)", "np.log2(inner)"),
        "a small number is added to each logarithm": (
            "np.log(u)",
            "np.log(u + 1e-6)",
            "np.log(inner)",
            "np.log(inner + 1e-6)",
        ),
        "this is logistic noise: ln u − ln(1 − u)": ("return -np.log(inner)", "return np.log(u) - np.log1p(-u)"),
    },
)

TO_BFLOAT16 = exercise(
    to_bfloat16,
    _their_bits,
    module="checkpoint.tensors",
    notebook="13",
    title="To bfloat16",
    battery=_floats,
    returns=("bits",),
    mistakes={
        "cut off, not rounded": ("bits + 0x7FFF + odd", "bits"),
        "a tie is rounded up, not to even": ("bits + 0x7FFF + odd", "bits + 0x8000"),
        "a tie is rounded down, not to even": ("bits + 0x7FFF + odd", "bits + 0x7FFF"),
        "a tie is rounded to odd": ("bits + 0x7FFF + odd", "bits + 0x8000 - odd"),
        "the lower half": (">> 16).astype(np.uint16)", "& 0xFFFF).astype(np.uint16)"),
        "this is float16: 5 bits of exponent": (
            "return ((bits + 0x7FFF + odd) >> 16).astype(np.uint16)",
            "return x.astype(np.float16).view(np.uint16)",
        ),
        "the sign forgotten": ("(bits + 0x7FFF + odd) >> 16)", "((bits + 0x7FFF + odd) >> 16) & 0x7FFF)"),
        "rounded, not carried into the exponent": (
            "return ((bits + 0x7FFF + odd) >> 16).astype(np.uint16)",
            "upper, up = bits >> 16, ((bits & 0xFFFF) + odd) > 0x8000\n"
            "    return np.where(up & (upper & 0x7F < 0x7F), upper + 1, upper).astype(np.uint16)",
        ),
        "rounded up wherever something is lost": ("bits + 0x7FFF + odd", "bits + 0xFFFF"),
    },
)
