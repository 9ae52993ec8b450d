"""Error rates by hand and against all ways of editing; kernel against twin."""

import functools
import itertools
import math

import numpy as np
import pytest

from xlsr_ref.text import metrics as metrics_file
from xlsr_ref.text.metrics import (
    Edit,
    Errors,
    added,
    character_errors,
    compare,
    compare_characters,
    compare_words,
    confusions,
    count,
    interval,
    paired_bootstrap,
    word_errors,
    written,
)


def fewest(said, read):
    """The definition, every way: the fewest edits, and the most hits among them, as a negative number."""

    @functools.cache
    def d(i, j):
        if i == 0 or j == 0:
            return i + j, 0
        hit = said[i - 1] == read[j - 1]
        ways = [(d(i - 1, j - 1), 1 - hit, -int(hit)), (d(i - 1, j), 1, 0), (d(i, j - 1), 1, 0)]
        return min((edits + one, hits + more) for (edits, hits), one, more in ways)

    return d(len(said), len(read))


def test_fewest_edits_of_all_short_pairs():
    texts = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]
    for said, read in itertools.product(texts, repeat=2):
        edits = compare(said, read)
        assert "".join(edit.said or "" for edit in edits) == said
        assert "".join(edit.read or "" for edit in edits) == read
        assert (count(edits).edits, -count(edits).hits) == fewest(said, read)
        assert count(edits).length == len(said)


@pytest.mark.parametrize(
    ("said", "read", "errors"),
    [
        ("press four to mark", "press for to mark", Errors(3, 1, 0, 0)),
        ("press four to mark", "press to mark", Errors(3, 0, 1, 0)),
        ("press four", "please press a four", Errors(2, 0, 0, 2)),
        ("a b c", "", Errors(0, 0, 3, 0)),
        ("", "a b", Errors(0, 0, 0, 2)),
        ("", "", Errors(0, 0, 0, 0)),
        ("a b", "b c", Errors(1, 0, 1, 1)),  # as few as two substitutions, and with a hit
        ("h ə l oʊ", "h ɛ l oʊ w", Errors(3, 1, 0, 1)),  # phonemes
    ],
)
def test_words_by_hand(said, read, errors):
    assert word_errors(said, read) == errors


def test_characters_by_hand():
    assert character_errors("four", "for") == Errors(3, 0, 1, 0)
    assert character_errors("to day", "today") == Errors(5, 0, 1, 0)  # the space counts
    assert character_errors(" to\n day ", "to day") == Errors(6)  # but not how it is written
    assert character_errors("café", "cafe\u0301") == Errors(4)  # nor how an é is
    assert word_errors("café", "cafe\u0301") == Errors(1)
    assert character_errors("Café", "café").edits == 1


def test_rates_and_sums():
    one, two = Errors(3, 1, 0, 0), Errors(0, 0, 1, 5)
    assert (one.rate, two.rate) == (0.25, 6.0)
    assert one.plus(two) == Errors(3, 1, 1, 5)
    assert one.plus(two).rate == 7 / 5  # not the mean of both
    assert Errors().rate == 0
    assert Errors(insertions=1).rate == math.inf


def test_the_alignment_is_printed():
    edits = compare_words("now press four to mark", "press for to mark it")
    assert [edit.kind for edit in edits] == ["deletion", "hit", "substitution", "hit", "hit", "insertion"]
    assert edits[0] == Edit("deletion", "now", None)
    assert written(edits) == (
        "said: now press four to mark **\n"
        "read: *** press for  to mark it\n"
        "      D         S            I\n"
    )  # fmt: skip
    assert written(edits, 20) == (
        "said: now press four\nread: *** press for\n      D         S\n\n"
        "said: to mark **\nread: to mark it\n              I\n"
    )
    assert written(compare_characters("ab", "b")) == "said: a b\nread: * b\n      D\n"
    assert written(()) == "said:\nread:\n\n"


def test_the_interval_of_one_kind_of_recording_is_a_point():
    assert interval([Errors(9, 1)] * 20, np.random.default_rng(0)) == (0.1, 0.1)
    assert interval([Errors(hits=3)], np.random.default_rng(0)) == (0.0, 0.0)
    assert all(map(math.isnan, interval([], np.random.default_rng(0))))
    assert interval([Errors(insertions=1)], np.random.default_rng(0)) == (math.inf, math.inf)


def test_the_interval_is_that_of_all_ways_to_draw():
    """Three recordings: all 27 ways to draw three of them, and their quantiles."""
    each = [Errors(10, 0), Errors(0, 4), Errors(4, 1, 1, 4)]
    rates = sorted(
        sum(each[i].edits for i in drawn) / sum(each[i].length for i in drawn)
        for drawn in itertools.product(range(3), repeat=3)
    )
    for level in (0.5, 0.8):
        low, high = interval(each, np.random.default_rng(1), level, draws=20_000)
        assert low == pytest.approx(rates[int(27 * (1 - level) / 2)])
        assert high == pytest.approx(rates[int(27 * (1 + level) / 2)])


def test_the_interval_covers_the_truth(rng):
    """Recordings of ten words, each wrong with probability 0.3: of 100 intervals of 80 % about 80 have 0.3 in them."""
    covered = 0
    for _ in range(100):
        wrong = rng.binomial(10, 0.3, 60)
        low, high = interval([Errors(10 - w, w) for w in wrong], rng, 0.8, draws=400)
        covered += low <= 0.3 <= high
    assert 68 <= covered <= 92  # 80 ± 3 standard deviations


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 5), (5, 0), (1, 1), (7, 9), (60, 40), (200, 230)])
def test_the_kernel_equals_its_twin(rng, n, m):
    for tokens in (2, 5, 1000):
        said, read = rng.integers(0, tokens, n), rng.integers(0, tokens, m)
        np.testing.assert_array_equal(metrics_file._steps_numba(said, read), metrics_file._steps_numpy(said, read))


# jiwer 4.0.0's process_words of the same texts: mer, wil, wip. Where equally few edits can be had with more or fewer
# hits it takes what rapidfuzz happens to find, and this library the most hits; no text here leaves that choice.
JIWER = [
    ("a b c", "a x c", 0.3333333333333333, 0.5555555555555556, 0.4444444444444444),
    ("a b c d", "a b", 0.5, 0.5, 0.5),
    ("a b", "a b c d", 0.5, 0.5, 0.5),
    (
        "the cat sat on the mat",
        "the cat sit on the mat now",
        0.2857142857142857,
        0.4047619047619048,
        0.5952380952380952,
    ),
    ("a b c", "x y z w", 1.0, 1.0, 0.0),
    ("a b", "", 1.0, 1.0, 0.0),
    ("", "a b", 1.0, 1.0, 0.0),
    ("", "", 0.0, 0.0, 1.0),
    ("a", "a", 0.0, 0.0, 1.0),
]


@pytest.mark.parametrize(("said", "read", "mer", "wil", "wip"), JIWER)
def test_the_other_rates_are_jiwers(said, read, mer, wil, wip):
    found = word_errors(said, read)
    assert (found.mer, found.wil, found.wip) == pytest.approx((mer, wil, wip), abs=1e-15)


def test_they_are_added_up_before_they_divide():
    found = added([word_errors("a b c", "a x c"), word_errors("d", "d e")])
    assert found.mer == 2 / 5
    assert found.wip == pytest.approx(3 / 4 * 3 / 5)


def test_confusions_count_each_pair():
    found = confusions([compare_words("a b c", "a x c"), compare_words("b b", "x"), compare_words("", "y")])
    assert dict(found) == {("b", "x"): 2, ("b", None): 1, (None, "y"): 1}
    assert list(found) == [("b", "x"), (None, "y"), ("b", None)]


def of_edits(*edits, length=10):
    """The errors of recordings of ``length`` words with so many substitutions each."""
    return [Errors(hits=length - each, substitutions=each) for each in edits]


def test_a_paired_bootstrap_cancels_what_both_systems_find_hard():
    rng = np.random.default_rng(0)
    hard = rng.integers(0, 8, 20)  # from recording to recording
    one, other = of_edits(*(hard + 2)), of_edits(*(hard + 1))  # the second is better by one word in each
    alone = [interval(each, np.random.default_rng(1)) for each in (one, other)]
    assert alone[0][0] < alone[1][1]  # the two intervals overlap
    found = paired_bootstrap(one, other, np.random.default_rng(1))
    assert found == pytest.approx((-0.1, -0.1, -0.1, 1.0))


def test_a_paired_bootstrap_by_loops():
    one, other = of_edits(1, 4, 0, 2), of_edits(2, 3, 0, 0)
    found = paired_bootstrap(one, other, np.random.default_rng(3), draws=500)
    draws = np.random.default_rng(3).multinomial(4, [0.25] * 4, size=500)
    differences = []
    for times in draws:
        edits = [sum(n * errors.edits for n, errors in zip(times, each)) for each in (one, other)]
        differences.append((edits[1] - edits[0]) / 40)
    differences.sort()
    assert found.difference == pytest.approx(-2 / 40)
    assert (found.low, found.high) == pytest.approx((differences[12], differences[487]))
    better = sum(each < 0 for each in differences) + sum(each == 0 for each in differences) / 2
    assert found.better == pytest.approx(better / 500)


def test_equal_systems_are_better_in_half_of_the_draws():
    same = of_edits(1, 0, 5)
    assert paired_bootstrap(same, same, np.random.default_rng(0)) == (0, 0, 0, 0.5)


@pytest.mark.parametrize("other", [[], of_edits(1), of_edits(1, 2, length=9)])
def test_a_paired_bootstrap_takes_the_same_recordings(other):
    with pytest.raises(ValueError, match="the same recordings"):
        paired_bootstrap(of_edits(1, 2) if other else [], other, np.random.default_rng(0))
