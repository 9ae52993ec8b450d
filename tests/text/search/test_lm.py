"""N-gram models in memory: against a dictionary, kernel against twin, and KenLM where it is installed."""

import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search import lm as lm_file
from xlsr_ref.text.search.arpa import Arpa, Grams, read_arpa, write_arpa
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.lm import Perplexity, build, perplexity, read_lm

GOLDEN = Path(__file__).parents[2] / "golden" / "beams"

pytestmark = pytest.mark.filterwarnings("ignore:too little text")


def some_model(order=3, seed=1):
    draw = random.Random(seed)
    return train([[draw.choice("abcde") for _ in range(draw.randint(1, 8))] for _ in range(60)], order)


def by_the_book(arpa):
    """p(w | h) = the model's number where there is one, else backoff(h) · p(w | h without its first word)."""
    table = {
        tuple(arpa.vocabulary[i] for i in words): (float(np.float32(log10_p)), float(np.float32(backoff)))
        for grams in arpa.orders
        for words, log10_p, backoff in zip(grams.words.tolist(), grams.log10_p.tolist(), grams.backoff.tolist())
    }

    def log10_p(history, word):
        if (*history, word) in table:
            return table[(*history, word)][0]
        return table.get(history, (0.0, 0.0))[1] + log10_p(history[1:], word)

    return lambda history, word: log10_p(tuple(history[max(len(history) - len(arpa.orders) + 1, 0) :]), word)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_every_probability_is_that_of_the_definition(order):
    arpa = some_model(order)
    lm, expected = build(arpa), by_the_book(arpa)
    for words in itertools.product(["a", "e", "<unk>"], repeat=4):
        state, history = lm.begin, ["<s>"]
        for word in words:
            log10_p, state, known = lm.score(state, word)
            assert log10_p == pytest.approx(expected(history, word), rel=1e-6)
            assert known == (word != "<unk>")
            history.append(word)
        assert lm.end_score(state) == pytest.approx(expected(history, "</s>"), rel=1e-6)


def test_missing_shorter_n_grams():
    """A pruned model may have a b c without b c: then backing off goes on to c, or to nothing."""
    zero = np.zeros
    arpa = Arpa(
        ("<unk>", "</s>", "a", "b", "c"),
        (
            Grams(np.arange(5)[:, None], np.array([-3, -1, -0.5, -0.6, -0.7]), np.array([0, 0, -0.1, -0.2, -0.4])),
            Grams(np.array([[2, 3]]), np.array([-0.3]), np.array([-0.15])),
            Grams(np.array([[2, 3, 4]]), np.array([-0.05]), zero(1)),
        ),
    )
    lm = build(arpa)
    state = 0
    scores = []
    for word in ("a", "b", "c", "b"):
        log10_p, state, _ = lm.score(state, word)
        scores.append(log10_p)
    assert scores == pytest.approx([-0.5, -0.3, -0.05, -0.4 - 0.6])
    assert lm.begin == 0  # there is no <s>


def test_a_model_without_unk():
    lm = build(Arpa(("a",), (Grams(np.zeros((1, 1), np.int32), np.array([-0.1]), np.zeros(1)),)))
    assert lm.score(0, "b")[0] == -100.0
    assert lm.score(0, "b")[2] is False
    assert lm.end_score(0) == 0.0  # it knows no end


@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_kernel_equals_its_twin(order):
    tree = build(some_model(order)).tree
    for state in range(0, len(tree) - 1, max(1, len(tree) // 30)):
        for word in range(8):
            kernel, twin = lm_file.score_word(tree, state, word), lm_file._score_numpy(tree, state, word)
            assert kernel == (pytest.approx(twin[0], rel=1e-12), twin[1])


def test_perplexity():
    lm = build(some_model())
    found = perplexity(lm, [["a", "b"], ["zebra"]])
    assert (found.words, found.unknown) == (5, 1)
    state, total = lm.begin, 0.0
    for word in ("a", "b"):
        log10_p, state, _ = lm.score(state, word)
        total += log10_p
    total += lm.end_score(state) + lm.score(lm.begin, "zebra")[0]
    total += lm.end_score(lm.score(lm.begin, "zebra")[1])
    assert found.log10_p == pytest.approx(total)
    assert found.value == pytest.approx(10 ** (-total / 5))
    assert Perplexity(-1e6, 1, 0).value == math.inf
    with pytest.raises(LanguageModelError, match="no sentence"):
        perplexity(lm, [])


def test_as_kenlm_recorded_it():
    """KenLM's own log10 p of whole sentences, by the ARPA file beside them. Both hold float32."""
    recorded = json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))["kenlm"]
    lm = read_lm(GOLDEN / "en.arpa")
    assert len(recorded) > 5
    for text, log10_p in recorded.items():
        assert perplexity(lm, [text.removeprefix("en: ").split()]).log10_p == pytest.approx(log10_p, rel=1e-5)


def test_beside_kenlm(tmp_path):
    """With the kenlm package: perplexity on the same ARPA file, and a binary model through it."""
    kenlm = pytest.importorskip("kenlm")
    from xlsr_ref.text.search.kenlm_file import KenLM

    path = tmp_path / "lm.arpa"
    path.write_text("".join(write_arpa(some_model(4))), encoding="utf-8")
    ours, theirs, bound = read_lm(path), kenlm.Model(str(path)), KenLM(path)
    sentences = [["a", "b", "c"], ["e", "e", "zebra", "a"], []]
    for sentence in sentences:
        assert perplexity(ours, [sentence]).log10_p == pytest.approx(theirs.score(" ".join(sentence)), rel=1e-5)
    through, alone = perplexity(bound, sentences), perplexity(ours, sentences)
    assert through[1:] == alone[1:]
    assert through.value == pytest.approx(alone.value, rel=1e-5)
    assert theirs.perplexity("a b c") == pytest.approx(perplexity(ours, [["a", "b", "c"]]).value, rel=1e-5)


def grams(*rows):
    return Grams(np.array(rows, np.int32), np.full(len(rows), -0.5), np.zeros(len(rows)))


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ([grams([0], [1]), grams([0, 1], [0, 1])], "the 2-gram 'a b' is there twice"),
        ([grams([0], [1]), grams([0, 1]), grams([1, 1, 0])], "the 3-gram 'b b a' is there without 'b b'"),
    ],
)
def test_n_grams_that_do_not_fit_together(orders, message):
    with pytest.raises(LanguageModelError, match=message):
        build(Arpa(("a", "b"), tuple(orders)))


def test_an_arpa_of_another_order_of_lines_is_the_same_model(tmp_path):
    arpa = some_model(3)
    draw = np.random.default_rng(0)
    mixed = Arpa(arpa.vocabulary, (arpa.orders[0], *(
        Grams(*(array[order] for array in one))
        for one in arpa.orders[1:] for order in [draw.permutation(len(one.words))]
    )))  # fmt: skip
    (tmp_path / "lm.arpa").write_text("".join(write_arpa(mixed)), encoding="utf-8")
    ours, theirs = build(read_arpa(tmp_path / "lm.arpa")).tree, build(arpa).tree
    for field in ours.dtype.names:
        np.testing.assert_allclose(ours[field], theirs[field], rtol=1e-6)  # nine digits in the file
