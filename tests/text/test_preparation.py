"""The preparation of texts: each step by itself, what it counts, and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from xlsr_ref.errors import XlsrError
from xlsr_ref.text.preparation import Preparation, preparation_of, prepare_text, prepare_texts


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("", " As it  is, Cafe\u0301! ", " As it  is, Cafe\u0301! "),
        ("nfc", "Cafe\u0301", "Caf\u00e9"),
        ("nfd", "Caf\u00e9", "Cafe\u0301"),
        ("nfkc", "ﬁne ½", "fine 1\u20442"),
        ("lower", "  Two\twords ", "two words"),
        ("upper", "straße", "STRASSE"),
        ("no-punctuation", "“Don’t,” she said — well-known, dogs' ‘x’…", "Don't she said well-known dogs x"),
        ("no-punctuation", "या। क्या?", "या क्या"),
        ("no-punctuation", "ʼokina paʼi", "okina pa'i"),
        ("no-numerals", "one two", "one two"),
        ("no-numerals", "1 two", None),
        ("no-numerals", "٣ x", None),
        ("nfc, LOWER ,no-punctuation", "E\u0301tE\u0301!", "\u00e9t\u00e9"),
    ],
)
def test_each_step(words, text, expected):
    assert prepare_text(text, preparation_of(words))[0] == expected


@pytest.mark.parametrize("lang", ["tr", "tr-TR", "aze"])
def test_the_dotless_i(lang):
    assert prepare_text("IĞDIR İzmir", Preparation(case="lower"), lang)[0] == "ığdır izmir"
    assert prepare_text("ığdır izmir", Preparation(case="upper"), lang)[0] == "IĞDIR İZMİR"
    assert prepare_text("IT", Preparation(case="lower"), "en")[0] == "it"


def test_what_changed_is_counted():
    texts = [("One, two, 3", "en"), ("Two.", "en"), ("three", "en"), ("a  b", "en")]
    done = prepare_texts(texts, preparation_of("lower,no-punctuation"))
    assert done.texts == ["one two 3", "two", "three", "a b"]
    assert done.changed == Counter({"any": 3, "case": 2, "punctuation": 2, "white space": 1})
    assert done.report() == [
        "text: 3 of 4 changed: 2 by case, 2 by punctuation, 1 by white space",
        "text: dropped ',' 2, '.' 1",
    ]
    assert prepare_texts(texts, preparation_of("no-numerals")).report() == [
        "text: 1 of 4 changed: 1 by white space",
        "text: 1 of 4 left out for their numerals",
    ]
    assert prepare_texts(texts, Preparation()).report() == []


def test_what_is_not_known_is_refused():
    with pytest.raises(XlsrError, match="--text has 'small': give some of nfc, nfkc, nfd, lower"):
        preparation_of("nfc,small")
    with pytest.raises(XlsrError, match="two answers for case: give lower or upper"):
        preparation_of("lower,upper")
