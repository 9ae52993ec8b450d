"""Exercises: the quantizer, forward and straight through (wav2vec2/quantizer.py), and the diversity of its codes
(losses/diversity.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.losses import diversity
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, backward_of, exercise
from xlsr_ref.wav2vec2 import quantizer as library

FLOAT32 = 1e-5  # two products and a softmax, whose scores are divided by a small temperature


def quantize(features, p, groups, noise, tau, hard):
    """The quantizer: every frame picks one of V codevectors in each of G groups.

        l = features Wᵀ + b,  as (T, G, V)          soft = softmax((l + noise) / tau) over the V codes of a group
        choice = the one-hot of the largest of soft if hard, else soft itself
        q = choice · codevectors, the groups side by side: (T, d)

    features is (T, C); p["weight_proj"] has "weight" W (G·V, C) and "bias" b (G·V,); p["codevectors"] is
    (1, G·V, d/G), one group after the other; groups is G; noise is (T, G, V); tau is above 0; hard is True or False.
    Return q (T, d), in the dtype of features. Source: wav2vec 2.0 §2, eq. 1; Jang et al. 2016.
    """
    T = len(features)
    l = (features @ p["weight_proj"]["weight"].T + p["weight_proj"]["bias"]).reshape(T, groups, -1)
    noisy = (l + noise) / tau
    e = np.exp(noisy - noisy.max(axis=-1, keepdims=True))
    soft = e / e.sum(axis=-1, keepdims=True)
    one_hot = (np.arange(soft.shape[-1]) == soft.argmax(axis=-1)[..., None]).astype(soft.dtype)
    choice = one_hot if hard else soft
    codebook = p["codevectors"].reshape(groups, soft.shape[-1], -1)
    return np.einsum("tgv,gvd->tgd", choice, codebook).reshape(T, -1)


def quantize_backward(dq, features, p, groups, noise, tau, hard):
    """The backward pass of the quantizer: straight through the choice, as if it were soft.

        dcodevectors = choiceᵀ dq,  group by group          dchoice = dq codevectorsᵀ
        straight through: dsoft = dchoice, also where the choice is a one-hot, which has no slope
        dl = (soft · (dsoft - Σ_v dsoft · soft)) / tau          dfeatures = dl W,  dW = dlᵀ features,  db = Σ_t dl

    dq is (T, d), the gradient of what quantize returned; all else is as in quantize. Return
    (dfeatures, {"weight_proj": {"weight": dW, "bias": db}, "codevectors": dcodevectors}), shaped as the parameters.
    Source: wav2vec 2.0 §2; Bengio, Léonard & Courville 2013.
    """
    T = len(features)
    weight = p["weight_proj"]["weight"]
    l = (features @ weight.T + p["weight_proj"]["bias"]).reshape(T, groups, -1)
    noisy = (l + noise) / tau
    e = np.exp(noisy - noisy.max(axis=-1, keepdims=True))
    soft = e / e.sum(axis=-1, keepdims=True)
    one_hot = (np.arange(soft.shape[-1]) == soft.argmax(axis=-1)[..., None]).astype(soft.dtype)
    choice = one_hot if hard else soft
    codebook = p["codevectors"].reshape(groups, soft.shape[-1], -1)
    parts = dq.reshape(T, groups, -1)
    dcodebook = np.einsum("tgv,tgd->gvd", choice, parts)
    dsoft = np.einsum("tgd,gvd->tgv", parts, codebook)
    dnoisy = soft * (dsoft - (dsoft * soft).sum(axis=-1, keepdims=True))
    dl = (dnoisy / tau).reshape(T, -1)
    dproj = {"weight": dl.T @ features, "bias": dl.sum(axis=0)}
    return dl @ weight, {"weight_proj": dproj, "codevectors": dcodebook.reshape(p["codevectors"].shape)}


def perplexity(probabilities):
    """How many codes of every group are in use.

        perplexity_g = exp(-Σ_v p_gv ln p_gv),      and 0 ln 0 = 0

    probabilities is (G, V), rows that sum to 1. Return (G,) in float64: 1 where one code has it all, V where all have
    the same. Source: wav2vec 2.0 §3.2.
    """
    p = probabilities.astype(np.float64)
    terms = p * np.log(np.where(p > 0, p, 1))
    return np.exp(-terms.sum(axis=-1))


def diversity_loss(uses, frames):
    """The diversity loss: use all the codes, and all of them equally often.

        p̄ = (Σ over utterances of uses) / frames          loss = (G V - Σ_g exp H(p̄_g)) / (G V)
        H(p) = -Σ_v p_v ln p_v,  and 0 ln 0 = 0

    uses is a list with one (G, V) array for each utterance: its codes' probabilities, summed over its masked frames.
    frames is how many masked frames all utterances have together. Return one number, 0 to 1.
    Source: wav2vec 2.0 §3.2, eq. 4 and its footnote.
    """
    mean = sum(uses) / frames
    entropy = -(mean * np.log(np.where(mean > 0, mean, 1))).sum(axis=-1)
    G, V = mean.shape
    return float((G * V - np.exp(entropy).sum()) / (G * V))


def temperature(step, start, decay, floor):
    """The temperature of the quantizer's softmax at an update: it falls by a factor with every one, down to a floor.

        tau = max(floor, start · decayⁿ)          n = step

    Return one number. Source: wav2vec 2.0 §4.2 (from 2, by 0.999995, down to 0.5 for BASE and 0.1 for LARGE).
    """
    return max(floor, start * decay**step)


def _arguments(rng: np.random.Generator, T: int, C: int, G: int, V: int, width: int, tau: float, hard: bool) -> tuple:
    proj = {"weight": rng.standard_normal((G * V, C)), "bias": rng.standard_normal(G * V)}
    p = {"weight_proj": proj, "codevectors": rng.standard_normal((1, G * V, width))}
    return rng.standard_normal((T, C)), p, G, library.gumbel_noise(rng, (T, G, V)), tau, hard


def _tries(rng: np.random.Generator) -> dict[str, tuple]:
    return {
        "usual": _arguments(rng, 6, 5, 2, 4, 3, 0.7, True),
        "soft choice": _arguments(rng, 5, 4, 2, 4, 3, 2.0, False),
        "one frame": _arguments(rng, 1, 4, 2, 3, 2, 1.5, False),
        "one group": _arguments(rng, 5, 4, 1, 6, 3, 0.5, True),
        "one code in a group": _arguments(rng, 4, 3, 2, 1, 3, 1.0, True),
        "odd sizes": _arguments(rng, 7, 3, 3, 5, 3, 1.3, False),
        "as many groups as codes": _arguments(rng, 6, 4, 3, 3, 2, 0.8, True),
    }


def _forward(rng: np.random.Generator) -> tuple[Case, ...]:
    cold = _arguments(rng, 5, 4, 2, 4, 3, 1e-3, False)
    return cases(_tries(rng) | {"cold: large scores": cold}, FLOAT32, {"cold: large scores": 1e-2})


def _backward(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {}
    for name, each in _tries(rng).items():
        features, p, groups, *_ = each
        tries[name] = (rng.standard_normal((len(features), groups * p["codevectors"].shape[2])), *each)
    return cases(tries, 2 * FLOAT32)


def _shares(rng: np.random.Generator, G: int, V: int) -> np.ndarray:
    return rng.dirichlet(np.ones(V), G)


def _perplexity(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (_shares(rng, 2, 6),),
        "one group": (_shares(rng, 1, 5),),
        "one code": (_shares(rng, 3, 1),),
        "odd sizes": (_shares(rng, 3, 7),),
        "as many groups as codes": (_shares(rng, 4, 4),),
        "all alike": (np.full((2, 5), 0.2),),
        "collapsed: zeros among them": (np.eye(5)[:2],),
    }
    return tuple(Case(name, arguments, None, 1e-10) for name, arguments in tries.items())


def _diversity(rng: np.random.Generator) -> tuple[Case, ...]:
    def arguments(counts: list[int], G: int, V: int) -> tuple:
        return [rng.dirichlet(np.ones(V), (n, G)).sum(axis=0) for n in counts], sum(counts)

    tries = {
        "usual": arguments([5, 9], 2, 4),
        "one utterance": arguments([6], 2, 5),
        "one masked frame": arguments([1], 2, 3),
        "one group": arguments([3, 4, 5], 1, 6),
        "odd sizes": arguments([7, 1, 3], 3, 5),
        "as many groups as codes": arguments([4, 2], 3, 3),
        "uniform: no loss": ([np.full((2, 4), 1.5), np.full((2, 4), 0.5)], 8),
        "collapsed: zeros among them": ([7 * np.eye(4)[:2]], 7),
    }
    return tuple(Case(name, arguments, None, 1e-10) for name, arguments in tries.items())


def _temperatures(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (int(rng.integers(1000, 100000)), 2.0, 0.999995, 0.5),
        "the first step": (0, 2.0, 0.999995, 0.5),
        "at the floor": (10**6, 2.0, 0.999995, 0.1),
        "just above the floor": (277258, 2.0, 0.999995, 0.5),
        "fast": (int(rng.integers(2, 6)), 5.0, 0.9, 0.1),
        "no decay": (int(rng.integers(1, 50)), 1.5, 1.0, 0.5),
    }
    return tuple(Case(name, arguments, None, 1e-10) for name, arguments in tries.items())


_CHOICE: dict[str, tuple[str, ...] | list[tuple[str, ...]]] = {
    "no temperature": ("(l + noise) / tau", "l + noise"),
    "noise forgotten": ("(l + noise) / tau", "l / tau"),
    "temperature on the scores only, not on the noise": ("(l + noise) / tau", "l / tau + noise"),
    "multiplied by the temperature": ("(l + noise) / tau", "(l + noise) * tau"),
    "always soft": ("one_hot if hard else soft", "soft"),
    "always hard": ("one_hot if hard else soft", "one_hot"),
    "codevectors of the groups interleaved": (
        ".reshape(groups, soft.shape[-1], -1)",
        ".reshape(soft.shape[-1], groups, -1).swapaxes(0, 1)",
    ),
    "softmax without the maximum": ("noisy - noisy.max(axis=-1, keepdims=True)", "noisy"),
}

QUANTIZE = exercise(
    quantize,
    library.quantize,
    module="wav2vec2.quantizer",
    notebook="07",
    title="The quantizer",
    battery=_forward,
    returns=("q",),
    mistakes={
        **_CHOICE,
        "softmax over all groups together": (
            "e = np.exp(noisy - noisy.max(axis=-1, keepdims=True))",
            "e = np.exp(noisy - noisy.max(axis=(1, 2), keepdims=True))",
            "e.sum(axis=-1, keepdims=True)",
            "e.sum(axis=(1, 2), keepdims=True)",
        ),
        "bias forgotten": (' + p["weight_proj"]["bias"]', ""),
        "the least probable code, not the most": ("soft.argmax(", "soft.argmin("),
        "the choice is made without the noise": ("soft.argmax(axis=-1)", "l.argmax(axis=-1)"),
        "groups and codes exchanged: a reshape for a transpose": (
            ".reshape(T, groups, -1)\n    noisy",
            ".reshape(T, -1, groups).swapaxes(1, 2)\n    noisy",
        ),
        "one code for all groups: the first group's": (
            "choice = one_hot if hard else soft",
            "choice = one_hot if hard else soft\n    choice = np.broadcast_to(choice[:, :1], choice.shape)",
        ),
        "the noise is subtracted": ("(l + noise)", "(l - noise)"),
    },
)

QUANTIZE_BACKWARD = exercise(
    quantize_backward,
    backward_of(library.quantize, library.quantize_backward),
    module="wav2vec2.quantizer",
    notebook="07",
    title="The quantizer, backward: straight through",
    battery=_backward,
    returns=("dfeatures", "grads"),
    mistakes={
        "straight-through that blocks the gradient": (
            "dl = (dnoisy / tau).reshape(T, -1)",
            "dl = (0 * dnoisy / tau if hard else dnoisy / tau).reshape(T, -1)",
        ),
        "1/tau forgotten": ("dl = (dnoisy / tau)", "dl = dnoisy"),
        "softmax is passed over, too": (
            "dnoisy = soft * (dsoft - (dsoft * soft).sum(axis=-1, keepdims=True))",
            "dnoisy = dsoft",
        ),
        "the codevectors' gradient takes the soft choice": ('"tgv,tgd->gvd", choice', '"tgv,tgd->gvd", soft'),
        "noise forgotten": _CHOICE["noise forgotten"],
        "the gradient through softmax's sum is forgotten": (
            "(dsoft - (dsoft * soft).sum(axis=-1, keepdims=True))",
            "dsoft",
        ),
        "the gradient of soft through the values that were chosen only": (
            "dnoisy = soft * (dsoft - (dsoft * soft).sum(axis=-1, keepdims=True))",
            "dsoft = dsoft * choice\n    dnoisy = soft * (dsoft - (dsoft * soft).sum(axis=-1, keepdims=True))",
        ),
        "dcodevectors are averaged over the frames": ("choice, parts)", "choice, parts) / T"),
        "= in place of +=: each codevector has the gradient of one frame only": (
            "    dsoft = np.einsum",
            "    for t in range(T):\n"
            "        for g in range(groups):\n"
            "            code = choice[t, g].argmax()\n"
            "            dcodebook[g, code] = parts[t, g] if hard else dcodebook[g, code]\n"
            "    dsoft = np.einsum",
        ),
        "dfeatures forgotten: zeros": ("return dl @ weight", "return 0 * dl @ weight"),
        "sign wrong in dfeatures": ("return dl @", "return -dl @"),
        "dbias as a mean over the frames": ("dl.sum(axis=0)", "dl.mean(axis=0)"),
    },
)

PERPLEXITY = exercise(
    perplexity,
    diversity.perplexity,
    module="losses.diversity",
    notebook="07",
    title="Perplexity",
    battery=_perplexity,
    returns=("perplexity",),
    mistakes={
        "0 ln 0 is NaN": ("np.where(p > 0, p, 1)", "p"),
        "2 to the power of an entropy in nats": ("np.exp(-terms", "np.exp2(-terms"),
        "one over Σ p²": ("np.exp(-terms.sum(axis=-1))", "1 / (p * p).sum(axis=-1)"),
        "how many codes are above 0": ("np.exp(-terms.sum(axis=-1))", "(p > 0).sum(axis=-1).astype(float)"),
        "ln p without p in front": ("terms = p * np.log(", "terms = np.log("),
        "the perplexities summed over the groups": (
            "np.exp(-terms.sum(axis=-1))",
            "np.full(len(p), np.exp(-terms.sum(axis=-1)).sum())",
        ),
        "ln(p + 1e-7), as fairseq has it": ("np.log(np.where(p > 0, p, 1))", "np.log(p + 1e-7)"),
        "entropy: exp forgotten": ("np.exp(-terms.sum(axis=-1))", "-terms.sum(axis=-1)"),
        "sign wrong": ("np.exp(-terms", "np.exp(terms"),
        "wrong axis": ("sum(axis=-1)", "sum(axis=0)"),
        "logarithm to base 2, exp to base e": ("np.log(", "np.log2("),
        "mean in place of sum": ("terms.sum(", "terms.mean("),
        "all groups in one sum": ("terms.sum(axis=-1)", "terms.sum()"),
    },
)

DIVERSITY_LOSS = exercise(
    diversity_loss,
    diversity.diversity_loss,
    module="losses.diversity",
    notebook="08",
    title="The diversity loss",
    battery=_diversity,
    returns=("loss",),
    mistakes={
        "not divided by the number of frames": ("sum(uses) / frames", "sum(uses)"),
        "every utterance counts the same": (
            "sum(uses) / frames",
            "sum(use / use[0].sum() for use in uses) / len(uses)",
        ),
        "an average of the utterances' losses, not the loss of their average": (
            "    mean = sum(uses) / frames\n",
            "    if len(uses) > 1:\n"
            "        return float(np.mean([diversity_loss([use], use[0].sum()) for use in uses]))\n"
            "    mean = sum(uses) / frames\n",
        ),
        "divided by the number of utterances, not of frames": ("sum(uses) / frames", "sum(uses) / len(uses)"),
        "divided by G, not by G V": ("/ (G * V))", "/ G)"),
        "the mean of the perplexities, not their sum": ("np.exp(entropy).sum()", "np.exp(entropy).mean()"),
        "entropies in place of perplexities": ("np.exp(entropy).sum()", "entropy.sum()"),
        "exp of the summed entropy of all groups": ("np.exp(entropy).sum()", "np.exp(entropy.sum())"),
        "sign wrong in the entropy": ("entropy = -(", "entropy = ("),
        "not divided by G V": (" / (G * V))", ")"),
        "sign wrong": ("(G * V - np.exp(entropy).sum())", "(np.exp(entropy).sum() - G * V)"),
        "0 ln 0 is NaN": ("np.where(mean > 0, mean, 1)", "mean"),
        "the perplexity's share, not what is missing": ("(G * V - np.exp(entropy).sum())", "np.exp(entropy).sum()"),
    },
)

TEMPERATURE = exercise(
    temperature,
    library.temperature,
    module="wav2vec2.quantizer",
    notebook="07",
    title="The temperature",
    battery=_temperatures,
    returns=("tau",),
    mistakes={
        "no floor": ("max(floor, start * decay**step)", "start * decay**step"),
        "min in place of max": ("max(floor", "min(floor"),
        "linear, not by a factor": [
            ("decay**step", "max(0, 1 - (1 - decay) * step)"),
            ("start * decay**step", "start - step * (1 - decay)"),
            ("start * decay**step", "start - step * decay"),
            ("start * decay**step", "start * decay * step"),
            ("start * decay**step", "start * (1 - decay * step)"),
        ],
        "exp(−decay · n) in place of decayⁿ": ("decay**step", "math.exp(-decay * step)"),
        "exp(−(1 − decay) n), which is nearly decayⁿ": ("decay**step", "math.exp(-(1 - decay) * step)"),
        "start falls with the step in the exponent of itself": ("start * decay**step", "(start * decay) ** step"),
        "one step too few": ("decay**step", "decay ** max(step - 1, 0)"),
        "one step too far": ("decay**step", "decay ** (step + 1)"),
        "start forgotten": ("start * decay", "decay"),
        "the floor is added": ("max(floor, start * decay**step)", "floor + start * decay**step"),
    },
)
