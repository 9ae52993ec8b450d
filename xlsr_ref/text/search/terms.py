"""A fusion as the loop of the beam search reads it: numbers and arrays, and what they add to a prefix. Read fusion.py
first: `Fusion.score` there is the specification of what is added here, one label at a time.

    score of a prefix = words (all finished words; of a model of characters: all labels) + guess (the unfinished word)

Letters: V labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.backend import njit
from xlsr_ref.text.search.lexicon import OUTSIDE, walk
from xlsr_ref.text.search.lm import score_word

NO_MODEL, WORDS, CHARACTERS = 0, 1, 2
TYPICAL = 6  # characters of a word; a longer beginning of an unknown word loses more
NO_WORD = -1  # of the lexicon ends here

LETTER = np.dtype(
    [
        ("symbol", np.int32),  # a model of characters: the label's number
        ("spelled", np.int32),  # where its characters begin in the spelling
        ("surprise", np.float64),  # what it costs for being unknown, log10
    ]
)


class Terms(NamedTuple):
    """What the loop needs of a fusion; natural logarithms unless it says log10."""

    level: int  # NO_MODEL, WORDS or CHARACTERS
    alpha: float  # α ln 10: for log10
    beta: float
    unknown: float
    plain: bool  # nothing is added to the acoustic score
    lists: bool  # are the known words listed?
    closed: bool  # only known words and hotwords are allowed
    outside: bool  # only Python can ask the model
    most: float  # a space adds at most this
    most_inside: float  # any other label adds at most this
    no_word: int  # the model's number for a word that it does not know
    letters: np.recarray  # (V + 1,) LETTER
    spelling: np.ndarray  # int32  the characters of all labels
    lexicon: np.recarray  # lexicon.BEGINNING
    tree: np.recarray  # lm.GRAM


@njit()
def close_word(terms, node, state):
    """What a word that ends at a node of the lexicon adds, and the language model's state after it."""
    lexicon, gain = terms.lexicon, 0.0
    known = node >= 0 and lexicon[node].listed
    if terms.closed and not known and not (node >= 0 and lexicon[node].hotword):
        return -math.inf, state
    if terms.level == WORDS:
        word = lexicon[node].word if node >= 0 else NO_WORD
        log10_p, state = score_word(terms.tree, state, word if word >= 0 else terms.no_word)
        gain += terms.alpha * (log10_p + (0.0 if known else terms.unknown)) + terms.beta
    if node >= 0:
        gain += lexicon[node].hot
    return gain, np.int64(state)


@njit()
def guess_of(terms, node, length):
    """What an unfinished word of ``length`` characters adds, at a node of the lexicon."""
    if length == 0 or terms.plain:
        return 0.0
    lexicon = terms.lexicon
    if node >= 0 and lexicon[node].leads_hot:
        return lexicon[node].hot_rate * length
    if not terms.lists or (node >= 0 and lexicon[node].leads):
        return 0.0
    if terms.closed:
        return -math.inf
    return terms.unknown * max(1.0, length / TYPICAL) if terms.level == WORDS else 0.0


@njit()
def extended(terms, x, c, is_space):
    """What prefix ``x``, a record of prefix_tree.PREFIX, becomes with label ``c``: words, guess, node, length, state.

    Before a space the word must be closed: ``x.closing`` and ``x.closing_state`` are known.
    """
    words, state, node, length = x.words, np.int64(x.state), np.int64(0), np.int64(0)
    if is_space:
        if not terms.plain:
            words += x.closing
            if terms.level == WORDS:
                state = np.int64(x.closing_state)
    else:
        spelling = terms.spelling[terms.letters[c].spelled : terms.letters[c + 1].spelled]
        length = np.int64(x.length + len(spelling))
        node = np.int64(OUTSIDE) if terms.plain else np.int64(walk(terms.lexicon, x.node, spelling))
    if terms.level == CHARACTERS:
        log10_p, state = score_word(terms.tree, state, terms.letters[c].symbol)
        words += terms.alpha * (log10_p + terms.letters[c].surprise) + terms.beta
    return words, guess_of(terms, node, length), node, length, np.int64(state)
