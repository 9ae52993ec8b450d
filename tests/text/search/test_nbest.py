"""Words, times and confidence from a list of texts, by hand."""

import json
import math

import pytest

from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.text.search.hypotheses import Hypothesis, Mark
from xlsr_ref.text.search.labels import labels_of
from xlsr_ref.text.search.nbest import confidence, probabilities, transcript_of, words_of

A, B, SPACE = 1, 2, 3


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "A": 1, "B": 2, "|": 3, "<unk>": 4}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return read_tokenizer(tmp_path)


@pytest.fixture
def labels(tokenizer):
    return labels_of(tokenizer, 5)


def heard(score, *marks, language=0.0):
    marks = tuple(Mark(*mark) for mark in marks)
    return Hypothesis("", score, score - language, language, marks)


BEST = heard(-1.0, (A, 2, 4, 0.9), (B, 5, 6, 0.4), (SPACE, 6, 9, 0.8), (A, 10, 11, 0.5), language=-0.25)
OTHER = heard(-2.0, (A, 3, 4, 0.9), (B, 4, 6, 0.4), (SPACE, 7, 8, 0.8), (B, 10, 11, 0.5))
LATE = heard(-3.0, (B, 2, 4, 0.9), (SPACE, 6, 8, 0.3), (A, 11, 12, 0.1), (SPACE, 12, 13, 0.9), (A, 13, 14, 0.5))


def test_probabilities():
    weights = [math.exp(-1), math.exp(-2), math.exp(-3)]
    assert probabilities([BEST, OTHER, LATE]).tolist() == pytest.approx([w / sum(weights) for w in weights])
    assert probabilities([heard(-5000.0)]).tolist() == [1]
    assert probabilities([heard(-1.0), heard(-math.inf)]).tolist() == [1, 0]


def test_words_are_cut_at_spaces(labels):
    assert [[mark.label for mark in word] for word in words_of(LATE, labels)] == [[B], [A], [A]]
    assert words_of(heard(0.0, (SPACE, 0, 1, 1.0)), labels) == []


def test_confidence_of_a_word_is_what_the_texts_with_it_have(labels):
    """ "ab" is in the first two, at the same time; "a" at frame 10 in the first alone: the third has it later."""
    p = probabilities([BEST, OTHER, LATE])
    found = confidence([BEST, OTHER, LATE], labels)
    assert found.utterance == pytest.approx(p[0])
    assert found.words == pytest.approx((p[0] + p[1], p[0]))
    same_time = LATE._replace(marks=(Mark(A, 10, 12, 1.0),))
    assert confidence([BEST, same_time], labels).words[1] == pytest.approx(1)
    assert confidence([BEST], labels) == (1.0, (1.0, 1.0))


def test_a_transcript(tokenizer, labels):
    found = transcript_of([BEST, OTHER], labels, tokenizer, 0.5, duration=5.25)
    assert found.text == "ab a"
    assert [(word.text, word.start, word.end) for word in found.words] == [("ab", 1.0, 3.0), ("a", 5.0, 5.25)]
    assert found.words[0].score == pytest.approx(math.sqrt(0.9 * 0.4))
    assert [char.text for char in found.chars] == ["a", "b", " ", "a"]
    assert [char.score for char in found.chars] == pytest.approx([0.9, 0.4, 0.8, 0.5])
    assert [one.text for one in found.alternatives] == ["ab a", "ab b"]
    first = found.alternatives[0]
    assert (first.score, first.acoustic, first.language) == (-1.0, -0.75, -0.25)
    assert sum(one.probability for one in found.alternatives) == pytest.approx(1)
    assert len(found.word_confidence) == len(found.words)


def test_nothing_was_said(tokenizer, labels):
    found = transcript_of([heard(-0.1)], labels, tokenizer, 0.5)
    assert (found.text, found.words, found.chars, found.word_confidence) == ("", (), (), ())
    assert found.alternatives[0].probability == 1
