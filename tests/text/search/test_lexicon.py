"""The tree of words: every beginning of every word, and nothing else."""

import random

import numpy as np

from xlsr_ref.text.search.lexicon import LONGEST, OUTSIDE, build_lexicon, walk


def codes(text):
    return np.frombuffer(text.encode("utf-32-le"), np.int32)


def test_every_beginning_and_nothing_else():
    draw = random.Random(0)
    words = {"".join(draw.choice("abé€😀") for _ in range(draw.randint(1, 6))) for _ in range(300)}
    numbers = {word: i for i, word in enumerate(sorted(words))}
    listed = set(sorted(words)[::2])
    hot = {"abc": 3.0, "ab": 1.0, "zz": -1.0}
    tree = build_lexicon(numbers, listed, hot)
    known = {word[:n] for word in {*words, *hot} for n in range(len(word) + 1)}
    assert len(tree) == len(known) + 1
    for text in known | {text + letter for text in known for letter in "abzé"}:
        node = walk(tree, 0, codes(text))
        assert (node >= 0) == (text in known), text
        if node < 0:
            continue
        assert tree.word[node] == numbers.get(text, -1)
        assert tree.listed[node] == (text in listed)
        assert tree.leads[node] == any(word.startswith(text) for word in listed)
        assert tree.hotword[node] == (text in hot)
        assert tree.hot[node] == hot.get(text, 0)
        rates = [weight / len(word) for word, weight in hot.items() if word.startswith(text)]
        assert tree.leads_hot[node] == bool(rates)
        assert tree.hot_rate[node] == max(rates, default=0)


def test_outside_stays_outside():
    tree = build_lexicon({"ab": 0}, {"ab"}, {})
    assert walk(tree, OUTSIDE, codes("a")) == OUTSIDE
    assert walk(tree, walk(tree, 0, codes("a")), codes("b")) == walk(tree, 0, codes("ab")) == 2


def test_no_words_and_endless_ones():
    assert walk(build_lexicon({}, set(), {}), 0, codes("a")) == OUTSIDE
    tree = build_lexicon({"a" * (LONGEST + 1): 0, "b": 1}, set(), {})
    assert walk(tree, 0, codes("a")) == OUTSIDE
    assert walk(tree, 0, codes("b")) == 1
