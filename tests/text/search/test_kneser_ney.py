"""Training n-gram models: by hand, sums that must be 1, and what cannot be trained on."""

import itertools
import math
import random

import pytest

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search.arpa import write_arpa
from xlsr_ref.text.search.kneser_ney import adjusted_counts, discounts, train
from xlsr_ref.text.search.lm import build, read_lm

SENTENCES = [["a", "b"], ["a", "b"], ["b"]]


def some_text(words, sentences, seed=0):
    """Sentences in which frequent words are frequent, and words depend on those before."""
    draw = random.Random(seed)
    names = [f"w{i}" for i in range(words)]
    text = []
    for _ in range(sentences):
        at, sentence = 0, []
        for _ in range(draw.randint(1, 9)):
            at = (at * 3 + int(words * draw.random() ** 4)) % words
            sentence.append(names[at])
        text.append([*sentence, f"rare{draw.randint(0, 40)}"] if draw.random() < 0.5 else sentence)
    return text


def p_of(arpa):
    return {
        tuple(arpa.vocabulary[word] for word in words): (10**log10_p, 10**backoff)
        for grams in arpa.orders
        for words, log10_p, backoff in zip(grams.words.tolist(), grams.log10_p.tolist(), grams.backoff.tolist())
    }


@pytest.mark.filterwarnings("ignore:too little text")
def test_three_sentences_by_hand():
    """a b; a b; b. Too few for estimates: D = 0.5, 1, 1.5.

    One word: different words before a: 1 (<s>), b: 2 (a, <s>), </s>: 1 (b); 4 in all. γ = (0.5 + 1 + 0.5) / 4 = 0.5 of
    1/4 for each of a, b, </s>, <unk>. Two words: after <s> a twice, b once; after a b twice; after b </s> three times.
    """
    p = p_of(train(SENTENCES, 2))
    assert p[("a",)][0] == pytest.approx((1 - 0.5) / 4 + 0.5 / 4)
    assert p[("b",)][0] == pytest.approx((2 - 1) / 4 + 0.5 / 4)
    assert p[("</s>",)][0] == pytest.approx(0.25)
    assert p[("<unk>",)][0] == pytest.approx(0.125)
    assert p[("<s>", "a")][0] == pytest.approx((2 - 1) / 3 + 0.5 * 0.25)
    assert p[("<s>", "b")][0] == pytest.approx((1 - 0.5) / 3 + 0.5 * 0.375)
    assert p[("a", "b")][0] == pytest.approx((2 - 1) / 2 + 0.5 * 0.375)
    assert p[("b", "</s>")][0] == pytest.approx((3 - 1.5) / 3 + 0.5 * 0.25)
    assert [p[(word,)][1] for word in ("<s>", "a", "b")] == pytest.approx([(1 + 0.5) / 3, 1 / 2, 1.5 / 3])  # γ
    assert set(p) == {
        ("<unk>",), ("<s>",), ("</s>",), ("a",), ("b",), ("<s>", "a"), ("<s>", "b"), ("a", "b"), ("b", "</s>")
    }  # fmt: skip


def test_counts_are_of_different_words_before_except_behind_the_beginning():
    one, two, three = adjusted_counts([(1, 5, 6, 2), (1, 5, 6, 2), (1, 6, 2), (1, 7, 5, 6, 2)], 3)
    assert three[1, 5, 6] == 2
    assert two[1, 5] == 2  # as often as it occurs
    assert two[5, 6] == 2  # after <s> and after 7
    assert one[6,] == 2  # after 5 and after <s>
    assert (1,) not in one


def test_discounts():
    """t = 4, 3, 2, 1: Y = 4 / (4 + 2 · 3) = 0.4."""
    counts = dict(enumerate([1] * 4 + [2] * 3 + [3] * 2 + [4]))
    found = discounts(counts, 1)
    assert found == pytest.approx((0, 1 - 2 * 0.4 * 3 / 4, 2 - 3 * 0.4 * 2 / 3, 3 - 4 * 0.4 * 1 / 2))


@pytest.mark.parametrize("counts", [[1, 2, 3], [1] * 9 + [2] + [3] * 9 + [4], [1] * 9 + [2] * 9 + [3] + [4] * 9])
def test_fixed_discounts_are_announced(counts):
    """Some count is missing, or the formula gives less than 0 or more than the count."""
    with pytest.warns(UserWarning, match=r"discounts of the 2-grams: the fixed 0\.5, 1 and 1\.5"):
        assert discounts(dict(enumerate(counts)), 2) == (0, 0.5, 1, 1.5)


@pytest.mark.filterwarnings("ignore:too little text")
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("text", [SENTENCES, some_text(8, 120)], ids=["fixed", "estimated"])
def test_for_each_history_the_probabilities_sum_to_1(order, text, tmp_path):
    """Of the file as it is written and read again: digits are lost on the way."""
    (tmp_path / "lm.arpa").write_text("".join(write_arpa(train(text, order))), encoding="utf-8")
    lm = read_lm(tmp_path / "lm.arpa")
    assert lm.order == order
    words = [word for word in lm.words if word != "<s>"]
    for state in range(0, len(lm.tree) - 1, max(1, len(lm.tree) // 40)):
        total = sum(10 ** lm.score(state, word)[0] for word in words)
        assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.filterwarnings("ignore:too little text")
@pytest.mark.parametrize("prune", [(0, 0, 1), (0, 1, 2, 2), (0, 3)])
def test_what_is_pruned_is_gone_and_its_share_is_given_to_shorter_histories(prune, tmp_path):
    text, order = some_text(8, 120), 4
    full, pruned = p_of(train(text, order)), train(text, order, prune)
    left = p_of(pruned)
    thresholds = [*prune, prune[-1], prune[-1]][:order]
    for gram in full:
        occurs = sum(("<s>", *line, "</s>")[i : i + len(gram)] == gram for line in text for i in range(len(line) + 2))
        assert (gram in left) == (len(gram) == 1 or occurs > thresholds[len(gram) - 1])
    assert len(left) < len(full)
    lm = build(pruned)
    words = [word for word in lm.words if word != "<s>"]
    for state in range(0, len(lm.tree) - 1, max(1, len(lm.tree) // 40)):
        assert sum(10 ** lm.score(state, word)[0] for word in words) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("prune", [(1,), (0, 2, 1), (-1, 0)])
def test_pruning_by_what_would_leave_gaps_is_refused(prune):
    with pytest.raises(LanguageModelError, match="begin with 0"):
        train(SENTENCES, 3, prune)


def test_with_enough_text_no_discount_is_fixed(recwarn):
    train(some_text(8, 120), 3)
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:too little text")
def test_a_longer_history_foresees_better():
    text = [list("abcabcabc"), list("bcabcab"), list("cabc")] * 3
    lms = [build(train(text, order)) for order in (1, 2, 3)]
    p = []
    for lm in lms:
        state, total = lm.begin, 0.0
        for letter in "abcabc":
            log10_p, state, _ = lm.score(state, letter)
            total += log10_p
        p.append(total)
    assert p[0] < p[1] < p[2] + 0.2


@pytest.mark.filterwarnings("ignore:too little text")
def test_the_order_of_the_sentences_does_not_matter():
    tables = [p_of(train(text, 3)) for text in itertools.permutations(SENTENCES)]
    for table in tables[1:]:
        assert table.keys() == tables[0].keys()
        for gram, values in table.items():
            assert values == pytest.approx(tables[0][gram], rel=1e-12)


@pytest.mark.filterwarnings("ignore:too little text")
def test_orders_that_no_sentence_reaches_are_empty():
    arpa = train([["a"]], 5)
    assert [len(grams.words) for grams in arpa.orders] == [4, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "order", "message"),
    [([], 3, "no sentence"), ([[], []], 3, "no sentence"), ([["a"]], 0, "order is 0"), ([["a"]], 9, "order is 9"),
     ([["a"]], True, "order is True"), ([["a", "<s>"]], 2, "the word <s>"), ([["<unk>"]], 2, "the word <unk>")],
)  # fmt: skip
def test_what_cannot_be_trained(text, order, message):
    with pytest.raises(LanguageModelError, match=message):
        train(text, order)


def test_log10_of_zero_is_finite():
    from xlsr_ref.text.search.kneser_ney import _log10

    assert _log10(0.0) == -100.0
    assert math.isfinite(_log10(1e-300))
