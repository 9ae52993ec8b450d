"""Training an n-gram model: interpolated modified Kneser–Ney smoothing. Unseen is not impossible.

    p(w | h) = (a(h w) − D(a(h w))) / a(h •) + γ(h) p(w | h without its first word)      a(h •) = Σ over words of a(h w)
    γ(h) = Σ over words w seen after h of D(a(h w)) / a(h •)                             what was taken away, given back
    a(h w) = how often it occurs, for the highest order and after <s>; else the number of different words before it
    D(k) = k − (k + 1) Y t[k+1] / t[k] for k = 1, 2, 3 and more;  Y = t[1] / (t[1] + 2 t[2]);  t[k]: n-grams with a = k

The shortest history ends at 1 / |V| for every word, `</s>` and `<unk>` among them. So each history's sum is 1.
Pruning leaves n-grams out that occur seldom, and gives all their a(h w) to γ(h): the sums stay 1.
A small text may have no n-gram that occurs just k times: then D is 0.5, 1, 1.5 for that order, and a warning says so.
Where: Chen & Goodman 1998, §3; as in KenLM's lmplz (Heafield et al. 2013), whose fixed discounts these are.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search.arpa import Arpa, Grams
from xlsr_ref.text.search.lm import BEGIN, END, NEVER, UNKNOWN

FIXED = (0.5, 1.0, 1.5)
ORDERS = range(1, 9)  # a model of characters needs long histories
BEGIN_P = -99.0  # log10 p of <s>, which is never asked for

Gram = tuple[int, ...]


def train(sentences: Iterable[Sequence[str]], order: int = 3, prune: Sequence[int] = ()) -> Arpa:
    """A model of ``order`` 1 to 8 from sentences, each a row of words. Empty sentences do not count.

    ``prune`` has a number for each order: n-grams that occur so often at most are left out, as by lmplz's --prune. The
    first must be 0 and none smaller than the one before; for orders beyond its end the last holds.
    Warns where an order has fixed discounts. Raises LanguageModelError for no sentence, for other numbers to prune, and
    for the words `<s>`, `</s>` and `<unk>`, which are the model's own.
    """
    if order not in ORDERS or isinstance(order, bool):
        raise LanguageModelError(f"the order is {order!r}: give a whole number from 1 to 8")
    if list(prune) != sorted(prune) or (prune and prune[0] != 0):
        raise LanguageModelError(f"to prune by {' '.join(map(str, prune))}: begin with 0, and let no number fall")
    thresholds = [*prune, *[prune[-1] if prune else 0] * order][:order]
    ids = {UNKNOWN: 0, BEGIN: 1, END: 2}
    texts = []
    for sentence in sentences:
        own = next((word for word in sentence if word in (BEGIN, END, UNKNOWN, "<UNK>")), None)
        if own is not None:
            raise LanguageModelError(f"the text has the word {own}, which the model uses itself: take it out")
        if sentence:
            texts.append((1, *(ids.setdefault(word, len(ids)) for word in sentence), 2))
    if not texts:
        raise LanguageModelError("the text has no sentence: give one per line")
    counts = adjusted_counts(texts, order)
    p: dict[Gram, float] = {}
    backoff: dict[Gram, float] = {}
    kept = []
    for n, of_order in enumerate(counts, start=1):
        rare = seldom(texts, n, thresholds[n - 1])
        kept.append([gram for gram in of_order if gram not in rare])
        D = discounts(of_order, n)
        totals: Counter[Gram] = Counter()
        taken: dict[Gram, float] = defaultdict(float)
        for gram, a in of_order.items():
            totals[gram[:-1]] += a
            taken[gram[:-1]] += a if gram in rare else D[min(a, 3)]
        for history, total in totals.items():
            backoff[history] = taken[history] / total  # γ
        if n == 1:
            uniform = 1 / (len(ids) - 1)  # <s> is never predicted
            of_order = {(0,): 0, **of_order}
        for gram, a in of_order.items():
            lower = p[gram[1:]] if n > 1 else uniform
            p[gram] = (a - D[min(a, 3)]) / totals[gram[:-1]] + backoff[gram[:-1]] * lower
    return _arpa(tuple(ids), kept, p, backoff)


def seldom(texts: Sequence[Gram], n: int, most: int) -> set[Gram]:
    """The n-grams of order ``n`` that occur ``most`` times or less."""
    if most == 0:
        return set()
    return {gram for gram, count in occurrences(texts, n).items() if count <= most}


def occurrences(texts: Sequence[Gram], n: int) -> Counter[Gram]:
    """How often every n-gram of order ``n`` occurs."""
    return Counter(text[i : i + n] for text in texts for i in range(len(text) - n + 1))


def adjusted_counts(texts: Sequence[Gram], order: int) -> list[dict[Gram, int]]:
    """a(h w) of every n-gram, for each order from 1; `<s>` alone, which nothing predicts, is not among them."""
    counts: list[dict[Gram, int]] = [occurrences(texts, n) for n in range(1, order + 1)]
    for n in range(order - 1, 0, -1):
        before = Counter(gram[1:] for gram in counts[n])  # counts[n] has the n-grams one longer, each once
        counts[n - 1] = {gram: a if gram[0] == 1 else before[gram] for gram, a in counts[n - 1].items()}
    counts[0].pop((1,), None)
    return counts


def discounts(counts: dict[Gram, int], n: int) -> tuple[float, float, float, float]:
    """D(0) = 0, D(1), D(2) and D(3 and more) of the n-grams of order ``n``."""
    t = Counter(counts.values())
    if all(t[k] for k in (1, 2, 3, 4)):
        Y = t[1] / (t[1] + 2 * t[2])
        D = [k - (k + 1) * Y * t[k + 1] / t[k] for k in (1, 2, 3)]
        if all(0 <= d <= k for k, d in enumerate(D, start=1)):
            return 0.0, D[0], D[1], D[2]
    warnings.warn(
        f"too little text to estimate the discounts of the {n}-grams: the fixed 0.5, 1 and 1.5 are taken", stacklevel=3
    )
    return 0.0, *FIXED


def _arpa(words: tuple[str, ...], orders: Sequence[Iterable[Gram]], p: dict, backoff: dict) -> Arpa:
    """The model as ARPA tables; n-grams in the order of their words' first appearance."""
    tables = []
    for n, of_order in enumerate(orders, start=1):
        grams = [(0,), (1,), *sorted(gram for gram in of_order if gram != (0,))] if n == 1 else sorted(of_order)
        log10_p = [BEGIN_P if gram == (1,) else _log10(p[gram]) for gram in grams]
        weights = [_log10(backoff[gram]) if gram in backoff else 0.0 for gram in grams]
        tables.append(Grams(np.array(grams, np.int32).reshape(-1, n), np.array(log10_p), np.array(weights)))
    return Arpa(words, tuple(tables))


def _log10(x: float) -> float:
    return math.log10(x) if x > 0 else NEVER
