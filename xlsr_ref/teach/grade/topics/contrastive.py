"""Exercises: the contrastive loss, forward and backward (losses/contrastive.py); masks and negatives
(losses/masking.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.losses import contrastive, masking
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise

FLOAT32 = 2e-5  # similarities are good to 2e-7, and divided by kappa = 0.1; a loss that is nearly 0 keeps fewer digits
COLD = 1e-3  # the same with kappa = 0.0001


def contrastive_loss(context, quantized, codes, masked, negatives, kappa):
    """The contrastive loss: tell a masked frame's own code from those of other masked frames.

        s[i, k] = cos(context_i, quantized_k) / kappa          cos(a, b) = a·b / (‖a‖ ‖b‖)
        loss = Σ_i -ln( exp s[i, i] / Σ_k exp s[i, k] )          k: frame i itself, then its K negatives

    context is (n, d), one row for each masked frame; quantized is (T, d), one for each frame; codes is (T, G), what
    quantized was made from; masked is (n,), which frames these are; negatives is (n, K), frames. A negative with the
    same codes as the positive, in all groups, is left out. Return one number, summed over the masked frames.
    Scores are large where kappa is small. Source: wav2vec 2.0 §3.2, eq. 3.
    """
    a = context / np.maximum(np.sqrt((context**2).sum(axis=1, keepdims=True)), 1e-8)
    b = quantized / np.maximum(np.sqrt((quantized**2).sum(axis=1, keepdims=True)), 1e-8)
    candidates = np.concatenate([masked[:, None], negatives], axis=1)
    s = np.einsum("nd,nkd->nk", a, b[candidates]) / kappa
    same = (codes[negatives] == codes[masked][:, None]).all(axis=-1)
    s[:, 1:][same] = -np.inf
    m = s.max(axis=1, keepdims=True)
    log_sum = m[:, 0] + np.log(np.exp(s - m).sum(axis=1))
    return float((log_sum - s[:, 0]).sum())


def contrastive_loss_backward(dloss, context, quantized, codes, masked, negatives, kappa):
    """The backward pass of the contrastive loss.

        ds[i, k] = dloss · (softmax_k(s[i])  - 1 if k is the positive)          s = cos / kappa
        for u = a / ‖a‖:  da = (du - u (du · u)) / ‖a‖

    dloss is a number, all else is as in contrastive_loss. A frame that was drawn several times gets the sum of what
    comes back. Return (dcontext, dquantized), (n, d) and (T, d), in the dtype of context. Source: notebook 08.
    """
    a_norm = np.maximum(np.sqrt((context**2).sum(axis=1, keepdims=True)), 1e-8)
    b_norm = np.maximum(np.sqrt((quantized**2).sum(axis=1, keepdims=True)), 1e-8)
    a, b = context / a_norm, quantized / b_norm
    candidates = np.concatenate([masked[:, None], negatives], axis=1)
    s = np.einsum("nd,nkd->nk", a, b[candidates]) / kappa
    same = (codes[negatives] == codes[masked][:, None]).all(axis=-1)
    s[:, 1:][same] = -np.inf
    e = np.exp(s - s.max(axis=1, keepdims=True))
    ds = e / e.sum(axis=1, keepdims=True)
    ds[:, 0] -= 1
    dcos = dloss * ds / kappa
    da = np.einsum("nk,nkd->nd", dcos, b[candidates])
    db = np.zeros_like(b)
    np.add.at(db, candidates, dcos[:, :, None] * a[:, None])
    dcontext = (da - a * (da * a).sum(axis=1, keepdims=True)) / a_norm
    dquantized = (db - b * (db * b).sum(axis=1, keepdims=True)) / b_norm
    return dcontext, dquantized


def negatives_from_draws(mask, draws):
    """Negatives: for every masked frame, other masked frames of the same utterance.

    mask is (T,), True where a frame is masked; n of them are. draws is (n, K): each number, from 0 to n - 2, counts
    the masked frames in their order, leaving out the frame itself.
    Return the frames that were drawn, (n, K) whole numbers from 0 to T - 1. None is the frame of its own row.
    Source: wav2vec 2.0 §3.2.
    """
    masked = np.flatnonzero(mask)
    own = np.arange(len(masked))[:, None]
    return masked[draws + (draws >= own)]


def spans_from_draws(T, epsilon, starts, M, p):
    """Span masking: which of T frames are masked.

        number of spans = ⌊p T + epsilon⌋, at least 1          each begins at one of the starts and has M frames

    starts are places from 0 to T - M in random order: the first of them, as many as there are spans, are used. Spans
    may overlap. epsilon, from 0 to 1, is a random draw that rounds up as often as the fraction says.
    Return mask (T,), True where a frame is masked. Where T is less than M nothing is masked.
    Source: wav2vec 2.0 §3.1 (p = 0.065, M = 10).
    """
    mask = np.zeros(T, bool)
    if T < M:
        return mask
    spans = max(int(p * T + epsilon), 1)
    for start in starts[:spans]:
        mask[start : start + M] = True
    return mask


def _arguments(rng: np.random.Generator, T: int, d: int, n: int, K: int, codes: int = 3, kappa: float = 0.1) -> tuple:
    masked = np.sort(rng.permutation(T)[:n])
    mask = np.isin(np.arange(T), masked)
    negatives = masking.draw_negatives(mask, K, rng)
    context, quantized = rng.standard_normal((n, d)), 2 * rng.standard_normal((T, d))
    return context, quantized, rng.integers(0, codes, (T, 2)), masked, negatives, kappa


def _tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _arguments(rng, 12, 6, 7, 4),
        "two masked frames": _arguments(rng, 5, 4, 2, 3),
        "one negative": _arguments(rng, 8, 5, 5, 1),
        "odd sizes": _arguments(rng, 9, 3, 5, 7),
        "many equal codes": _arguments(rng, 10, 4, 8, 5, codes=1 + 1),
        "all frames masked": _arguments(rng, 6, 6, 6, 6),
        "kappa of one": _arguments(rng, 9, 5, 6, 4, kappa=1.0),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    cold = {"small kappa: large scores": _arguments(rng, 9, 4, 6, 5, kappa=1e-4)}
    context, quantized, codes, masked, negatives, kappa = _arguments(rng, 8, 5, 5, 3, kappa=1e-4)
    near = quantized[masked] + 1e-3 * context
    cold["small kappa: the positive is the nearest"] = (near, quantized, codes, masked, negatives, kappa)
    return cases(_tries(rng) | cold, FLOAT32, dict.fromkeys(cold, COLD))


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases({name: (float(rng.uniform(0.5, 2)), *each) for name, each in _tries(rng).items()}, 2 * FLOAT32)


def _negatives(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(T: int, n: int, K: int) -> tuple:
        mask = np.isin(np.arange(T), rng.permutation(T)[:n])
        return mask, rng.integers(0, n - 1, (n, K))

    tries = {
        "usual": arguments(14, 7, 8),
        "two masked frames": arguments(6, 2, 3),
        "one negative": arguments(9, 5, 1),
        "odd sizes": arguments(13, 7, 5),
        "all frames masked": arguments(6, 6, 9),
        "every draw once": (np.isin(np.arange(9), [1, 2, 4, 7, 8]), np.tile(np.arange(4), (5, 1))),
    }
    return cases(tries)


def _spans(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(T: int, M: int, p: float, epsilon: float) -> tuple:
        return T, epsilon, rng.permutation(max(T - M + 1, 0)), M, p

    tries = {
        "usual": arguments(60, 5, 0.065, float(rng.random())),
        "epsilon rounds up": arguments(50, 4, 0.05, 0.9),
        "epsilon does not round up": arguments(50, 4, 0.05, 0.1),
        "many spans overlap": arguments(40, 7, 0.3, 0.5),
        "at least one span": arguments(12, 3, 0.01, 0.2),
        "as long as a span": arguments(10, 10, 0.065, 0.4),
        "shorter than a span": arguments(9, 10, 0.065, 0.4),
        "spans of one frame": arguments(23, 1, 0.2, 0.3),
        "p of zero and a little": arguments(31, 4, 0.001, 0.999),
    }
    return cases(tries)


_COSINE: dict[str, tuple[str, ...] | list[tuple[str, ...]]] = {
    "no temperature": ("b[candidates]) / kappa\n", "b[candidates])\n"),
    "equal codes are not left out": ("    s[:, 1:][same] = -np.inf\n", ""),
    "equal in one group is enough to be left out": (".all(axis=-1)", ".any(axis=-1)"),
}

CONTRASTIVE_LOSS = exercise(
    contrastive_loss,
    contrastive.contrastive_loss,
    module="losses.contrastive",
    notebook="08",
    title="The contrastive loss",
    battery=_forward,
    returns=("loss",),
    mistakes={
        **_COSINE,
        "cosine without norms": (
            "a = context / np.maximum(np.sqrt((context**2).sum(axis=1, keepdims=True)), 1e-8)",
            "a = context",
            "b = quantized / np.maximum(np.sqrt((quantized**2).sum(axis=1, keepdims=True)), 1e-8)",
            "b = quantized",
        ),
        "mean in place of sum": ("s[:, 0]).sum())", "s[:, 0]).mean())"),
        "the mean over the candidates in the denominator, not the sum": (
            ".exp(s - m).sum(axis=1)",
            ".exp(s - m).mean(axis=1)",
        ),
        "infinite where the positive is far below the maximum, whose exp is 0 or overflows: keep logarithms": (
            "    return float(",
            "    log_sum = s[:, 0] - np.log(np.exp(s[:, 0] - log_sum))\n    return float(",
        ),
        "distance in place of cosine": (
            'np.einsum("nd,nkd->nk", a, b[candidates])',
            "-((context[:, None] - quantized[candidates]) ** 2).sum(axis=2)",
        ),
        "only context is divided by its norm": (
            "b = quantized / np.maximum(np.sqrt((quantized**2).sum(axis=1, keepdims=True)), 1e-8)",
            "b = quantized",
        ),
        "only quantized is divided by its norm": (
            "a = context / np.maximum(np.sqrt((context**2).sum(axis=1, keepdims=True)), 1e-8)",
            "a = context",
        ),
        "probability, not its logarithm": (
            "return float((log_sum - s[:, 0]).sum())",
            "return float(-np.exp(s[:, 0] - log_sum).sum())",
        ),
        "equal negatives have the score 0, and still count": ("= -np.inf\n", "= 0\n"),
        "the positive is not among the candidates of the sum": [
            ("np.exp(s - m).sum(axis=1)", "np.exp(s - m)[:, 1:].sum(axis=1)"),
            (
                "np.exp(s - m).sum(axis=1)",
                "np.exp(s - m)[:, 1:].sum(axis=1)",
                "m = s.max(axis=1, keepdims=True)",
                "m = s[:, 1:].max(axis=1, keepdims=True)",
            ),
        ],
        "multiplied by the temperature": ("b[candidates]) / kappa", "b[candidates]) * kappa"),
        "sign wrong": ("(log_sum - s[:, 0])", "(s[:, 0] - log_sum)"),
        "softmax without the maximum": ("m = s.max(axis=1, keepdims=True)", "m = np.zeros((len(s), 1))"),
        "the frame's row in context is taken as its place in time": (
            "[masked[:, None], negatives]",
            "[np.arange(len(a))[:, None], negatives]",
        ),
    },
)

CONTRASTIVE_LOSS_BACKWARD = exercise(
    contrastive_loss_backward,
    backward_of(contrastive.contrastive_loss, contrastive.contrastive_loss_backward),
    module="losses.contrastive",
    notebook="08",
    title="The contrastive loss, backward",
    battery=_backward,
    returns=("dcontext", "dquantized"),
    mistakes={
        **_COSINE,
        "1/kappa forgotten": ("dloss * ds / kappa", "dloss * ds"),
        "the positive's − 1 forgotten": ("    ds[:, 0] -= 1\n", ""),
        "dloss forgotten": ("dloss * ds", "ds"),
        "frames drawn several times count once: db[candidates] += keeps the last": [
            (
                "np.add.at(db, candidates, dcos[:, :, None] * a[:, None])",
                "for c, each in zip(candidates, dcos[:, :, None] * a[:, None]):\n        db[c] += each",
            ),
            (
                "np.add.at(db, candidates, dcos[:, :, None] * a[:, None])",
                "db[candidates] += dcos[:, :, None] * a[:, None]",
            ),
            (
                "np.add.at(db, candidates, dcos[:, :, None] * a[:, None])",
                "for c, each in zip(candidates, dcos[:, :, None] * a[:, None]):\n        db[c] = each",
            ),
        ],
        "dquantized from the negatives alone: the positive's is forgotten": (
            "np.add.at(db, candidates, dcos[:, :, None] * a[:, None])",
            "np.add.at(db, negatives, dcos[:, 1:, None] * a[:, None])",
        ),
        "dquantized from the positive alone: the negatives' is forgotten": (
            "np.add.at(db, candidates, dcos[:, :, None] * a[:, None])",
            "np.add.at(db, masked, dcos[:, 0, None] * a)",
        ),
        "the positive is not among the candidates of the sum": (
            "ds = e / e.sum(axis=1, keepdims=True)",
            "ds = e / np.maximum(e[:, 1:].sum(axis=1, keepdims=True), 1e-300)\n    ds[:, 0] = 0",
        ),
        "norms are taken as constants": (
            "(da - a * (da * a).sum(axis=1, keepdims=True))",
            "da",
            "(db - b * (db * b).sum(axis=1, keepdims=True))",
            "db",
        ),
        "not divided by the norms": (
            "keepdims=True)) / a_norm",
            "keepdims=True))",
            "keepdims=True)) / b_norm",
            "keepdims=True))",
        ),
        "mean in place of sum over the masked frames": ("dcos = dloss *", "dcos = dloss / len(a) *"),
        "sign wrong": ("dcos = dloss", "dcos = -dloss"),
    },
)

NEGATIVES_FROM_DRAWS = exercise(
    negatives_from_draws,
    masking.negatives_from_draws,
    module="losses.masking",
    notebook="08",
    title="Negatives",
    battery=_negatives,
    returns=("negatives",),
    mistakes={
        "negatives that may be the positive": ("draws + (draws >= own)", "draws"),
        "off by one: the positive may be drawn": ("draws >= own", "draws > own"),
        "among all frames, not the masked ones": (
            "return masked[draws + (draws >= own)]",
            "return draws + (draws >= masked[:, None])",
        ),
        "every draw is moved by one": ("(draws >= own)", "1"),
        "the masked frames are counted, not looked up": (
            "return masked[draws + (draws >= own)]",
            "return draws + (draws >= own)",
        ),
    },
)

SPANS_FROM_DRAWS = exercise(
    spans_from_draws,
    masking.spans_from_draws,
    module="losses.masking",
    notebook="08",
    title="Span masking",
    battery=_spans,
    returns=("mask",),
    mistakes={
        "p is taken as the share of masked frames: divided by M": ("int(p * T + epsilon)", "int(p * T / M + epsilon)"),
        "epsilon forgotten": ("p * T + epsilon", "p * T"),
        "rounded up, always": ("int(p * T + epsilon)", "math.ceil(p * T)"),
        "spans one frame too short": ("start + M]", "start + M - 1]"),
        "spans one frame too long": ("start + M]", "start + M + 1]"),
        "only the first frame of a span": ("mask[start : start + M]", "mask[start]"),
        "no span is the least, not one": ("max(int(p * T + epsilon), 1)", "int(p * T + epsilon)"),
        "all starts are used": ("starts[:spans]", "starts"),
        "masked and not masked exchanged": ("np.zeros(T, bool)", "np.ones(T, bool)", "= True", "= False"),
        "rounded to the nearest, not down": ("int(p * T + epsilon)", "round(p * T + epsilon)"),
        "as many spans as starts that fit without an overlap": ("int(p * T + epsilon)", "int(p * T + epsilon) // M"),
        "a span that overlaps another is left out": (
            "        mask[start : start + M] = True\n",
            "        if not mask[start : start + M].any():\n            mask[start : start + M] = True\n",
        ),
        "begins one frame late": ("mask[start : start + M]", "mask[start + 1 : start + M + 1]"),
        "the last starts are used, not the first": ("starts[:spans]", "starts[-spans:]"),
    },
)
