"""Exercises: how wrong a system is, and how sure that is (text/metrics.py, text/confidence.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise
from xlsr_ref.text import confidence, metrics


def word_error_rate(said, read):
    """The word error rate of several utterances together.

        WER = Σ edits / Σ words that were said          both sums over all utterances

    said and read are lists with one list for each utterance: its words, as whole numbers. The edits of an utterance are
    the fewest substitutions, deletions and insertions that turn one into the other. One word at least is said. Return
    one number; it is above 1 where much more was read. Source: Wagner & Fischer 1974; any text on speech recognition.
    """
    edits = words = 0
    for ours, theirs in zip(said, read):
        d = np.zeros((len(ours) + 1, len(theirs) + 1), int)
        d[:, 0] = np.arange(len(ours) + 1)
        d[0, :] = np.arange(len(theirs) + 1)
        for i in range(1, len(ours) + 1):
            for j in range(1, len(theirs) + 1):
                both = d[i - 1, j - 1] + (ours[i - 1] != theirs[j - 1])
                d[i, j] = min(both, d[i - 1, j] + 1, d[i, j - 1] + 1)
        edits += int(d[-1, -1])
        words += len(ours)
    return edits / words


def bootstrap_interval(edits, words, draws, level):
    """A percentile bootstrap: between which word error rates a part ``level`` of all resamples lies.

        rate_b = Σ_i edits[draws[b, i]] / Σ_i words[draws[b, i]]          b = 1 … B
        low, high = the quantiles (1 - level) / 2 and (1 + level) / 2 of the B rates

    edits and words are (n,), one number for each utterance; draws is (B, n), in each row n utterances drawn with
    replacement, by their places. Quantiles between two rates are interpolated, as np.quantile does. Return (low, high).
    Source: Efron 1979; Bisani & Ney 2004.
    """
    rates = edits[draws].sum(axis=1) / words[draws].sum(axis=1)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(edits_a, edits_b, words, draws):
    """Is system b better than system a, or did it have luck with the utterances? Both are drawn together.

        difference = Σ edits_a / Σ words - Σ edits_b / Σ words          over all utterances
        share = the part of the draws in which b's rate is below a's; draws in which they are equal count half

    edits_a, edits_b and words are (n,), one whole number for each utterance; draws is (B, n), in each row n utterances
    drawn with replacement, by their places. Return (difference, share). Source: Bisani & Ney 2004; Koehn 2004.
    """
    difference = (edits_a.sum() - edits_b.sum()) / words.sum()
    rates_a = edits_a[draws].sum(axis=1) / words[draws].sum(axis=1)
    rates_b = edits_b[draws].sum(axis=1) / words[draws].sum(axis=1)
    share = ((rates_b < rates_a) + 0.5 * (rates_b == rates_a)).mean()
    return float(difference), float(share)


def word_confidence(probabilities, runs):
    """How sure the network is of a word: the geometric mean of its letters' confidences.

        c_j = mean over the frames t of run j of probabilities[t, token_j]          confidence = exp( mean_j ln c_j )

    probabilities is (T, V); runs is a list with (token, first, stop) for each letter: it stood at the frames first to
    stop - 1. Return one number, from 0 to 1. Source: notebook 00; geometric, so that long words are not punished.
    """
    letters = [probabilities[first:stop, token].mean() for token, first, stop in runs]
    return float(np.exp(np.mean(np.log(letters))))


def _their_rate(said: list[list[int]], read: list[list[int]]) -> float:
    pairs = [metrics.count(metrics.compare(a, b)) for a, b in zip(said, read)]  # type: ignore[arg-type]
    return metrics.added(pairs).rate


def _their_interval(edits: np.ndarray, words: np.ndarray, draws: np.ndarray, level: float) -> tuple[float, float]:
    rates = [edits[row].sum() / words[row].sum() for row in draws]
    return float(np.quantile(rates, (1 - level) / 2)), float(np.quantile(rates, (1 + level) / 2))


def _their_pair(a: np.ndarray, b: np.ndarray, words: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    better = [(a[row].sum() > b[row].sum()) + 0.5 * (a[row].sum() == b[row].sum()) for row in draws]
    return float((a - b).sum() / words.sum()), float(np.mean(better))


def _their_confidence(probabilities: np.ndarray, runs: list[tuple[int, int, int]]) -> float:
    return confidence.of_tokens([confidence.of_token(probabilities[a:b, token]) for token, a, b in runs])


def _texts(rng: np.random.Generator) -> tuple[Case, ...]:
    def drawn(lengths: list[int], wrong: float) -> tuple:
        said = [rng.integers(0, 9, n).tolist() for n in lengths]
        read = [[w for w in words if rng.random() > wrong / 2] + [7] * int(rng.random() < wrong) for words in said]
        return said, [[w + 1 if rng.random() < wrong / 2 else w for w in words] for words in read]

    tries: dict[str, tuple] = {
        "usual": ([[1, 2, 3, 4, 5, 6], [7, 8]], [[1, 2, 9, 4, 6], [7, 8, 8]]),
        "short and long utterances": drawn([2, 9, 1, 7], 0.5),
        "one utterance": drawn([8], 0.6),
        "all right": ([[1, 2], [3]], [[1, 2], [3]]),
        "nothing read": ([[1, 2], [3]], [[], []]),
        "more read than said": ([[1], [2, 3]], [[4, 5, 6], [2, 7, 8, 9, 3]]),
        "an utterance without words": ([[], [1, 2, 3]], [[4], [1, 3]]),
        "moved": ([[1, 2, 3, 4, 5], [5, 6]], [[2, 3, 4, 5, 1], [6]]),
    }
    return cases(tries)


def _counts(rng: np.random.Generator, n: int, B: int) -> tuple:
    words = rng.integers(3, 20, n)
    return rng.binomial(words, 0.3) + (rng.random(n) < 0.2), words, rng.integers(0, n, (B, n))


def _intervals(rng: np.random.Generator) -> tuple[Case, ...]:
    sizes = {"usual": (12, 60), "few utterances": (3, 50), "one draw": (6, 1), "many draws": (9, 300)}
    tries = {name: (*_counts(rng, *size), 0.95) for name, size in sizes.items()}
    tries["level of 0.5"] = (*_counts(rng, 10, 40), 0.5)
    tries["one utterance"] = (np.array([2]), np.array([7]), np.zeros((4, 1), int), 0.9)
    return cases(tries)


def _pairs(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {}
    for name, (n, B) in {"usual": (12, 60), "few utterances": (3, 50), "odd sizes": (7, 31)}.items():
        edits, words, draws = _counts(rng, n, B)
        other = np.maximum(edits + rng.integers(-2, 2, n), 0)
        other[0] = edits[0] + 1  # so that not every draw says the same
        tries[name] = (edits, other, words, draws)
    edits, words, draws = _counts(rng, 8, 40)
    tries["the same system"] = (edits, edits.copy(), words, draws)
    tries["b is better everywhere"] = (edits + 1, edits, words, draws)
    tries["as many edits, elsewhere"] = (edits, edits[::-1].copy(), words, draws)
    return cases(tries)


def _words(rng: np.random.Generator) -> tuple[Case, ...]:
    y = rng.dirichlet(np.ones(5), 12)
    tries = {
        "usual": (y, [(1, 0, 2), (4, 3, 4), (2, 6, 9)]),
        "one letter": (y, [(3, 4, 9)]),
        "one frame for each letter": (y, [(2, 1, 2), (1, 3, 4), (4, 8, 9)]),
        "runs of other lengths": (y, [(1, 0, 6), (0, 6, 7), (3, 8, 12)]),
        "sure": (np.eye(4)[[1, 1, 0, 2]], [(1, 0, 2), (2, 3, 4)]),
        "a double letter": (y, [(1, 0, 2), (1, 3, 6)]),
    }
    return cases(tries)


WORD_ERROR_RATE = exercise(
    word_error_rate,
    _their_rate,
    module="text.metrics",
    notebook="10b",
    title="Word error rate",
    battery=_texts,
    returns=("rate",),
    mistakes={
        "an average of the utterances' rates, not the rate of all": (
            "edits += int(d[-1, -1])",
            "edits += int(d[-1, -1]) / max(len(ours), 1)",
            "words += len(ours)",
            "words += 1",
        ),
        "divided by the words that were read": ("words += len(ours)", "words += len(theirs)"),
        "divided by the longer of the two": ("words += len(ours)", "words += max(len(ours), len(theirs))"),
        "word by word, without moving": (
            "edits += int(d[-1, -1])",
            "edits += sum(a != b for a, b in zip(ours, theirs)) + abs(len(ours) - len(theirs))",
        ),
        "at most 1": ("return edits / words", "return min(edits / words, 1.0)"),
        "the accuracy: 1 − WER": ("return edits / words", "return 1 - edits / words"),
        "a substitution costs two": ("+ (ours[i - 1] != theirs[j - 1])", "+ 2 * (ours[i - 1] != theirs[j - 1])"),
        "insertions are not counted": (
            "d[i, j - 1] + 1)",
            "d[i, j - 1])",
            "d[0, :] = np.arange(len(theirs) + 1)",
            "d[0, :] = 0",
        ),
        "utterances without words are left out": (
            "edits += int(d[-1, -1])",
            "edits += int(d[-1, -1]) if len(ours) else 0",
        ),
        "in percent": ("return edits / words", "return 100 * edits / words"),
        "the number of edits, not divided": ("return edits / words", "return edits"),
        "the part of the utterances that have an error": (
            "edits += int(d[-1, -1])",
            "edits += int(d[-1, -1]) > 0",
            "words += len(ours)",
            "words += 1",
        ),
    },
)

BOOTSTRAP_INTERVAL = exercise(
    bootstrap_interval,
    _their_interval,
    module="text.metrics",
    notebook="10b",
    title="A bootstrap interval",
    battery=_intervals,
    returns=("low", "high"),
    mistakes={
        "an average of the utterances' rates, not the rate of all": (
            "edits[draws].sum(axis=1) / words[draws].sum(axis=1)",
            "(edits / words)[draws].mean(axis=1)",
        ),
        "quantiles 1 − level and level": ("[(1 - level) / 2, (1 + level) / 2]", "[1 - level, level]"),
        "the words are not drawn, only the edits": ("words[draws].sum(axis=1)", "words.sum()"),
        "sums over the draws, not over the utterances": (
            "edits[draws].sum(axis=1) / words[draws].sum(axis=1)",
            "edits[draws].sum(axis=0) / words[draws].sum(axis=0)",
        ),
        "the normal distribution's: mean ± 1.96 standard deviations": (
            "low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])",
            "low, high = rates.mean() - 1.96 * rates.std(), rates.mean() + 1.96 * rates.std()",
        ),
        "the least and the largest rate": (
            "np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])",
            "rates.min(), rates.max()",
        ),
        "the quantiles in percent of one: np.percentile": ("np.quantile(rates", "np.percentile(rates"),
        "low and high exchanged": ("return float(low), float(high)", "return float(high), float(low)"),
        "the quantiles of the utterances' own rates": (
            "rates = edits[draws].sum(axis=1) / words[draws].sum(axis=1)",
            "rates = edits / words",
        ),
        "the numbers of edits, not divided": (" / words[draws].sum(axis=1)", ""),
        "turned round the rate: the basic bootstrap": (
            "return float(low), float(high)",
            "rate = edits.sum() / words.sum()\n    return float(2 * rate - high), float(2 * rate - low)",
        ),
    },
)

PAIRED_BOOTSTRAP = exercise(
    paired_bootstrap,
    _their_pair,
    module="text.metrics",
    notebook="10b",
    title="A paired bootstrap",
    battery=_pairs,
    returns=("difference", "share"),
    mistakes={
        "a and b exchanged": ("return float(difference), float(share)", "return float(-difference), float(1 - share)"),
        "the sign of the difference": ("return float(difference),", "return float(-difference),"),
        "the share in which a is better": ("float(share)", "float(1 - share)"),
        "equal draws do not count": ("(rates_b < rates_a) + 0.5 * (rates_b == rates_a)", "rates_b < rates_a"),
        "equal draws count whole": ("(rates_b < rates_a) + 0.5 * (rates_b == rates_a)", "rates_b <= rates_a"),
        "not paired: b is drawn in another order": (
            "edits_b[draws].sum(axis=1) / words[draws]",
            "edits_b[draws[::-1]].sum(axis=1) / words[draws[::-1]]",
        ),
        "an average of the utterances' rates, not the rate of all": (
            "edits_a[draws].sum(axis=1) / words[draws].sum(axis=1)",
            "(edits_a / words)[draws].mean(axis=1)",
            "edits_b[draws].sum(axis=1) / words[draws].sum(axis=1)",
            "(edits_b / words)[draws].mean(axis=1)",
        ),
        "the difference as an average of the utterances' differences": (
            "(edits_a.sum() - edits_b.sum()) / words.sum()",
            "((edits_a - edits_b) / words).mean()",
        ),
        "the share of the utterances, not of the draws": (
            "((rates_b < rates_a) + 0.5 * (rates_b == rates_a)).mean()",
            "((edits_b < edits_a) + 0.5 * (edits_b == edits_a)).mean()",
        ),
        "the mean difference of the draws, not that of all utterances": (
            "return float(difference)",
            "difference = (rates_a - rates_b).mean()\n    return float(difference)",
        ),
        "relative to a's rate": ("/ words.sum()\n    rates_a", "/ edits_a.sum()\n    rates_a"),
        "the difference of the numbers of edits": (
            "(edits_a.sum() - edits_b.sum()) / words.sum()",
            "edits_a.sum() - edits_b.sum()",
        ),
    },
)

WORD_CONFIDENCE = exercise(
    word_confidence,
    _their_confidence,
    module="text.confidence",
    notebook="00",
    title="The confidence of a word",
    battery=_words,
    returns=("confidence",),
    mistakes={
        "the arithmetic mean of the letters": ("np.exp(np.mean(np.log(letters)))", "np.mean(letters)"),
        "the product of the letters, no root": ("np.exp(np.mean(np.log(letters)))", "np.prod(letters)"),
        "the least sure letter": ("np.exp(np.mean(np.log(letters)))", "np.min(letters)"),
        "exp forgotten": ("np.exp(np.mean(np.log(letters)))", "np.mean(np.log(letters))"),
        "stop counted in: one frame too many": ("first:stop, token", "first : stop + 1, token"),
        "the largest probability of a run": ("token].mean()", "token].max()"),
        "the first frame of a run": ("token].mean()", "token][0]"),
        "the last frame of a run": ("token].mean()", "token][-1]"),
        "geometric in the frames, too": (
            "probabilities[first:stop, token].mean()",
            "np.exp(np.log(np.maximum(probabilities[first:stop, token], 1e-300)).mean())",
        ),
        "each frame counts the same, not each letter": (
            "np.exp(np.mean(np.log(letters)))",
            "np.exp(np.average(np.log(letters), weights=[stop - first for _, first, stop in runs]))",
        ),
        "the likeliest token of every frame, not the letter": (
            "probabilities[first:stop, token].mean()",
            "probabilities[first:stop].max(axis=1).mean()",
        ),
    },
)
