"""An n-gram language model: how probable is a word after the words before it?

    p(w | h) = the model's own number                 where it has seen h w
             = backoff(h) · p(w | h without its first word)   otherwise; all in log10

The n-grams form a tree, stored in sorted arrays: a node is an n-gram, its children are the n-grams one word longer,
side by side in the order of their words, so binary search finds a child. Node 0 is the empty history, and word w alone
is node w + 1. `shorter` leads from each n-gram to the longest n-gram that it ends with: where backing off goes.
A state is a node too: as much of the words so far as the model knows. A word that it does not know is `<unk>`.
Where: Katz 1987; the arrays as in KenLM's trie (Heafield 2011). Letters: M n-grams, N the order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.ops.backend import choose, njit
from xlsr_ref.text.search.arpa import Arpa, read_arpa

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -100.0  # log10 p of an unknown word in a model without <unk>, as in KenLM


# The tree, one record for each n-gram; node 0 is the empty one, and one record more ends the last one's children. A
# node's children are nodes first to (first of the next node) − 1.
GRAM = np.dtype(
    [
        ("first", np.int32),
        ("key", np.int32),  # the last word of the n-gram
        ("shorter", np.int32),  # the longest n-gram that this one ends with
        ("log10_p", np.float32),  # of the last word after the others
        ("backoff", np.float32),
    ]
)


class LanguageModel(NamedTuple):
    """A model in memory. ``words`` are those it knows, `<s>`, `</s>` and `<unk>` among them."""

    order: int
    words: tuple[str, ...]
    ids: dict[str, int]
    tree: np.recarray  # (M + 2,) GRAM
    begin: int  # the state before the first word of a sentence
    end: int  # the word </s>; −1 if the model has none
    unknown: int  # the word <unk>

    def score(self, state: int, word: str) -> tuple[float, int, bool]:
        """log10 p of ``word`` in ``state``, the state after it, and whether the model knows the word."""
        log10_p, after = _score(self.tree, state, self.ids.get(word, self.unknown))
        return float(log10_p), int(after), word in self.ids and word != UNKNOWN

    def end_score(self, state: int) -> float:
        """log10 p of the sentence's end in ``state``."""
        return float(_score(self.tree, state, self.end)[0]) if self.end >= 0 else 0.0


def read_lm(path: str | Path) -> LanguageModel:
    """The model in an ARPA file, packed or not. Raises LanguageModelError."""
    return build(read_arpa(path), Path(path).name)


def build(arpa: Arpa, name: str = "the model") -> LanguageModel:
    """The sorted arrays of a model. Raises LanguageModelError where n-grams are missing that others build on."""
    words, orders = arpa.vocabulary, arpa.orders
    unknown = next((i for i, word in enumerate(words) if word in (UNKNOWN, "<UNK>")), None)
    log10_p, backoff = orders[0].log10_p, orders[0].backoff
    if unknown is None:
        unknown, words = len(words), (*words, UNKNOWN)
        log10_p, backoff = np.append(log10_p, NEVER), np.append(backoff, 0.0)
    V = len(words)

    keys = [np.arange(V, dtype=np.int64)]  # of each order, sorted: (node of all words but the last) · V + last word
    offsets = [1]  # the first node of each order
    tables = [(np.arange(V), log10_p, backoff, np.zeros(V, np.int64))]  # last word, p, back-off, shorter

    def node_of(grams: np.ndarray) -> np.ndarray:
        """(rows,) the node of each row of words; −1 where there is no such n-gram."""
        node = np.zeros(len(grams), np.int64)
        for order in range(grams.shape[1]):
            wanted, have = node * V + grams[:, order], keys[order]
            at = np.minimum(np.searchsorted(have, wanted), max(len(have) - 1, 0))
            known = (node >= 0) & ((have[at] == wanted) if len(have) else False)
            node = np.where(known, at + offsets[order], -1)
        return node

    for n, grams in enumerate(orders[1:], start=2):
        parent = node_of(grams.words[:, :-1])
        if (parent < 0).any():
            row = grams.words[parent.argmin()]
            shown = " ".join(words[i] for i in row)
            raise LanguageModelError(f"{name}: the {n}-gram {shown!r} is there without {shown.rpartition(' ')[0]!r}")
        key = parent * V + grams.words[:, -1]
        order = np.argsort(key, kind="stable")
        if (np.diff(key[order]) == 0).any():
            row = grams.words[order[np.flatnonzero(np.diff(key[order]) == 0)[0]]]
            raise LanguageModelError(f"{name}: the {n}-gram {' '.join(words[i] for i in row)!r} is there twice")
        shorter = np.zeros(len(grams.words), np.int64)
        for begin in range(n - 1, 0, -1):  # the longest that is there stays
            ends = node_of(grams.words[:, begin:])
            shorter = np.where(ends >= 0, ends, shorter)
        offsets.append(offsets[-1] + len(keys[-1]))
        keys.append(key[order])
        tables.append((grams.words[order, -1], grams.log10_p[order], grams.backoff[order], shorter[order]))

    last, p, weight, shorter = (np.concatenate([[0], *column]) for column in zip(*tables))
    parents = np.concatenate([key // V for key in keys])  # of nodes 1, 2, …; never falls
    first = np.searchsorted(parents, np.arange(len(last) + 1)) + 1
    tree = np.zeros(len(first), GRAM).view(np.recarray)
    tree.first, tree.key[:-1], tree.shorter[:-1] = first, last, shorter
    tree.log10_p[:-1], tree.backoff[:-1] = p, weight
    ids = {word: i for i, word in enumerate(words)}
    begin = ids[BEGIN] + 1 if BEGIN in ids else 0
    return LanguageModel(len(orders), words, ids, tree, begin, ids.get(END, -1), unknown)


# --- the probability of a text ---------------------------------------------------------------------------------------


class Perplexity(NamedTuple):
    """What a model thinks of a text. The end of each sentence counts as a word."""

    log10_p: float
    words: int
    unknown: int

    @property
    def value(self) -> float:
        """10^(−log10 p / words): among how many equally likely words the model seems to choose at each step."""
        try:
            return 10 ** (-self.log10_p / self.words)
        except OverflowError:
            return math.inf


def perplexity(lm: Any, sentences: Iterable[Sequence[str]]) -> Perplexity:
    """Of sentences, each a row of words, by a LanguageModel or a KenLM; unknown words count, too.

    Raises LanguageModelError for no sentence.
    """
    log10_p, words, unknown = 0.0, 0, 0
    for sentence in sentences:
        state = lm.begin
        for word in sentence:
            score, state, known = lm.score(state, word)
            log10_p, words, unknown = log10_p + score, words + 1, unknown + (not known)
        log10_p, words = log10_p + lm.end_score(state), words + 1
    if words == 0:
        raise LanguageModelError("the text has no sentence: give one per line")
    return Perplexity(log10_p, words, unknown)


# --- kernels ---------------------------------------------------------------------------------------------------------


def _score_numpy(tree: np.recarray, state: int, word: int) -> tuple[float, int]:
    """The specification: log10 p(word | state), and the state after it."""
    for child in range(tree[state].first, tree[state + 1].first):
        if tree[child].key == word:
            return float(tree[child].log10_p), child
    log10_p, after = _score_numpy(tree, int(tree[state].shorter), word)
    return float(tree[state].backoff) + log10_p, after


@njit()
def find_child(tree, node, key):
    """The child of ``node`` whose key is ``key``, by binary search; −1 for none. For any tree stored like this one."""
    low, high = tree[node].first, tree[node + 1].first
    end = high
    while low < high:
        middle = (low + high) >> 1
        if tree[middle].key < key:
            low = middle + 1
        else:
            high = middle
    return low if low < end and tree[low].key == key else -1


@njit()
def score_word(tree, state, word):
    """log10 p(word | state), and the state after it."""
    log10_p = 0.0  # sums in float64
    while state != 0:
        child = find_child(tree, state, word)
        if child >= 0:
            return log10_p + np.float64(tree[child].log10_p), np.int64(child)
        log10_p += np.float64(tree[state].backoff)
        state = tree[state].shorter
    return log10_p + np.float64(tree[word + 1].log10_p), np.int64(word + 1)


_score = choose(score_word, _score_numpy)
