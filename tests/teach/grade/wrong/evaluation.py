"""Solutions of the exercises on evaluation, in another style than the mistakes; the docstring is what must be found."""

import functools
import math

import numpy as np


def _edits(a, b, substitution=1):
    a, b = tuple(a), tuple(b)

    @functools.cache
    def d(i, j):
        if not i or not j:
            return i + j
        return min(d(i - 1, j - 1) + substitution * (a[i - 1] != b[j - 1]), d(i - 1, j) + 1, d(i, j - 1) + 1)

    return d(len(a), len(b))


def word_error_rate__sums(said, read):
    """right"""
    return sum(map(_edits, said, read)) / sum(map(len, said))


def word_error_rate__each(said, read):
    """an average of the utterances' rates, not the rate of all"""
    return np.mean([_edits(a, b) / max(len(a), 1) for a, b in zip(said, read)])


def word_error_rate__of_read(said, read):
    """divided by the words that were read"""
    total = sum(len(b) for b in read)
    return np.float64(sum(map(_edits, said, read))) / total


def word_error_rate__clipped(said, read):
    """at most 1"""
    return np.clip(sum(map(_edits, said, read)) / sum(map(len, said)), 0, 1)


def word_error_rate__zip(said, read):
    """word by word, without moving"""
    wrong = 0
    for a, b in zip(said, read):
        n = min(len(a), len(b))
        wrong += int((np.array(a[:n]) != np.array(b[:n])).sum()) + max(len(a), len(b)) - n
    return wrong / sum(map(len, said))


def word_error_rate__two(said, read):
    """a substitution costs two and in percent"""
    return 100 / sum(map(len, said)) * sum(_edits(a, b, 2) for a, b in zip(said, read))


def _rates(edits, words, draws):
    return np.array([sum(edits[i] for i in row) / sum(words[i] for i in row) for row in draws])


def bootstrap_interval__loops(edits, words, draws, level):
    """right"""
    rates = sorted(_rates(edits, words, draws).tolist())

    def at(q):
        place = q * (len(rates) - 1)
        below = math.floor(place)
        above = min(below + 1, len(rates) - 1)
        return rates[below] + (place - below) * (rates[above] - rates[below])

    return [at((1 - level) / 2), at((1 + level) / 2)]


def bootstrap_interval__means(edits, words, draws, level):
    """an average of the utterances' rates, not the rate of all"""
    rates = [np.mean([edits[i] / words[i] for i in row]) for row in draws]
    return tuple(np.percentile(rates, [50 - 50 * level, 50 + 50 * level]))


def bootstrap_interval__fixed(edits, words, draws, level):
    """the words are not drawn, only the edits"""
    rates = np.array([sum(edits[i] for i in row) for row in draws]) / np.sum(words)
    return tuple(np.percentile(rates, [50 - 50 * level, 50 + 50 * level]))


def bootstrap_interval__normal(edits, words, draws, level):
    """the normal distribution's: mean ± 1.96 standard deviations"""
    rates = _rates(edits, words, draws)
    wide = 1.96 * np.sqrt(np.mean((rates - rates.mean()) ** 2))
    return rates.mean() - wide, rates.mean() + wide


def bootstrap_interval__one_sided(edits, words, draws, level):
    """quantiles 1 − level and level"""
    rates = _rates(edits, words, draws)
    return np.quantile(rates, 1 - level), np.quantile(rates, level)


def paired_bootstrap__loops(edits_a, edits_b, words, draws):
    """right"""
    wins = 0.0
    for row in draws:
        a, b = (sum(int(e[i]) for i in row) for e in (edits_a, edits_b))
        wins += 1.0 if b < a else 0.5 if a == b else 0.0
    return sum(edits_a) / sum(words) - sum(edits_b) / sum(words), wins / len(draws)


def paired_bootstrap__exchanged(edits_a, edits_b, words, draws):
    """a and b exchanged"""
    return paired_bootstrap__loops(edits_b, edits_a, words, draws)


def paired_bootstrap__strict(edits_a, edits_b, words, draws):
    """equal draws do not count"""
    a, b = edits_a[draws].sum(1), edits_b[draws].sum(1)
    return np.subtract(edits_a, edits_b).sum() / words.sum(), np.count_nonzero(a > b) / len(a)


def paired_bootstrap__utterances(edits_a, edits_b, words, draws):
    """the share of the utterances, not of the draws"""
    better = (np.sign(edits_a - edits_b) + 1) / 2
    return np.subtract(edits_a, edits_b).sum() / words.sum(), better.mean()


def word_confidence__root(probabilities, runs):
    """right"""
    product = 1.0
    for token, first, stop in runs:
        product *= sum(probabilities[t][token] for t in range(first, stop)) / (stop - first)
    return product ** (1 / len(runs))


def word_confidence__mean(probabilities, runs):
    """the arithmetic mean of the letters"""
    return sum(probabilities[a:b, c].sum() / (b - a) for c, a, b in runs) / len(runs)


def word_confidence__product(probabilities, runs):
    """the product of the letters, no root"""
    return math.prod(probabilities[a:b, c].sum() / (b - a) for c, a, b in runs)


def word_confidence__least(probabilities, runs):
    """the least sure letter"""
    return min(np.average(probabilities[a:b, c]) for c, a, b in runs)
