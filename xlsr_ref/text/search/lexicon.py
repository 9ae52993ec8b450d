"""The lexicon: which words begin like this? All known words and hotwords in one tree of characters.

    (root) ─ m ─ o ─ n ─ k ─ e ─ y ● ─ s ●          ● ends a word
             └─ i ─ n ─ t ●

While the search is inside a word, a language model of words has nothing to say yet. The tree does: a beginning with
which no word begins will end as an unknown word, and one with which a hotword begins may end as that.
Stored like the language model's tree: a node's children side by side, in the order of their characters; node 0 is the
empty beginning. −1 stands for "no word begins so". Letters: N nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from xlsr_ref.ops.backend import njit
from xlsr_ref.text.search.lm import find_child

LONGEST = 100  # characters; a longer word is unknown

OUTSIDE = -1  # of the tree


# The tree, one record for each beginning, as in lm.py: children are nodes first to (first of the next node) − 1.
BEGINNING = np.dtype(
    [
        ("first", np.int32),
        ("key", np.int32),  # its last character
        ("word", np.int32),  # the language model's number of the word that ends here; −1 for none
        ("listed", np.bool_),  # the word that ends here counts as known
        ("leads", np.bool_),  # some known word begins so
        ("hotword", np.bool_),  # a hotword ends here
        ("leads_hot", np.bool_),  # some hotword begins so
        ("hot", np.float64),  # the weight of the hotword that ends here; 0 for none
        ("hot_rate", np.float64),  # the most weight per character that a hotword beginning so has; 0 for none
    ]
)


def build_lexicon(words: Mapping[str, int], listed: AbstractSet[str], hotwords: Mapping[str, float]) -> np.recarray:
    """The tree (N + 1,) of ``words`` (and their numbers in the language model), of those ``listed`` as known, and of
    ``hotwords`` (and their weights)."""
    entries = sorted(word for word in {*words, *listed, *hotwords} if 0 < len(word) <= LONGEST)
    first, character, ends, above = _tree(entries)
    N = len(character)
    tree = np.zeros(N + 1, BEGINNING).view(np.recarray)
    tree.first, tree.key[:-1], tree.word[:] = first, character, -1
    rate = np.full(N, -np.inf)
    for text, node in zip(entries, ends.tolist()):
        tree.word[node] = words.get(text, -1)
        tree.listed[node] = text in listed
        if text in hotwords:
            tree.hot[node], tree.hotword[node], rate[node] = hotwords[text], True, hotwords[text] / len(text)
    leads, leads_hot = tree.listed.tolist(), tree.hotword.tolist()
    for node in range(N - 1, 0, -1):  # children come after their parents
        parent = above[node]
        leads[parent] |= leads[node]
        leads_hot[parent] |= leads_hot[node]
        rate[parent] = max(rate[parent], rate[node])
    tree.leads, tree.leads_hot = leads, leads_hot
    tree.hot_rate[:-1] = np.where(leads_hot[:-1], rate, 0.0)
    return tree


def _tree(entries: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The tree of sorted words, level by level: first (N + 1,), character (N,), the node at which each word ends, and
    the node above each node (N,)."""
    lengths = np.array([len(word) for word in entries], np.int64)
    width = int(lengths.max(initial=0))
    codes = np.zeros((len(entries), width), np.int32)
    for row, text in enumerate(entries):
        codes[row, : len(text)] = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.int32)
    ends = np.zeros(len(entries), np.int64)
    character, above = [np.zeros(1, np.int32)], [np.full(1, -1)]
    here, rows, size = np.zeros(len(entries), np.int64), np.arange(len(entries)), 1  # each row's node so far
    for depth in range(width):
        rows = rows[lengths[rows] > depth]
        code, parent = codes[rows, depth], here[rows]
        new = np.ones(len(rows), bool)  # rows are sorted: those with the same beginning are neighbours
        new[1:] = (code[1:] != code[:-1]) | (parent[1:] != parent[:-1])
        here[rows] = size - 1 + np.cumsum(new)
        character.append(code[new])
        above.append(parent[new])
        size += int(new.sum())
        done = rows[lengths[rows] == depth + 1]
        ends[done] = here[done]
    parents = np.concatenate(above)
    first = np.searchsorted(parents[1:], np.arange(size + 1)) + 1
    return first.astype(np.int32), np.concatenate(character), ends, parents


@njit()
def walk(lexicon, node, characters):
    """The node that ``characters`` lead to from ``node``; OUTSIDE where no word goes on so."""
    for character in characters:
        if node < 0:
            return node
        node = find_child(lexicon, node, character)
    return node
