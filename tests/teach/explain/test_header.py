"""What stands on top of the page: how far to trust the text, its errors, where the weights come from."""

import re
from types import SimpleNamespace

import pytest

import xlsr_ref
from xlsr_ref.teach.explain.header import BUNDLED, compared, sure, verdict, weights
from xlsr_ref.teach.explain.trace import Word

SMALL = "This is a small model: 2.9 million parameters, where XLSR-53 has 317 million."
UNSURE = "unsure of this text: its confidence is 62 % on average"


def seen(*words, parameters=3_000_000):
    """As much of a trace as the header looks at."""
    return SimpleNamespace(
        words=tuple(Word(text, 0, 1, score) for text, score in words),
        text=" ".join(text for text, _ in words),
        parameters=parameters,
    )


def plain(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_confidence_is_a_mean_over_characters():
    assert sure(seen(("abcd", 0.5), ("e", 1.0))) == pytest.approx(0.6)
    assert sure(seen()) == 1.0


@pytest.mark.parametrize(
    ("parameters", "score", "says"),
    [
        (2_912_654, 0.62, f"{SMALL} And it is {UNSURE}. Expect mistakes."),
        (2_912_654, 0.97, f"{SMALL} It is sure of this text (97 %), and may be wrong all the same."),
        (317_000_000, 0.62, f"The model is {UNSURE}. Expect mistakes."),
        (317_000_000, 0.97, ""),
    ],
)  # fmt: skip
def test_the_headline_says_when_the_model_is_small_or_unsure(parameters, score, says):
    assert plain(verdict(seen(("word", score), parameters=parameters))) == says


def test_an_empty_text_has_no_headline():
    assert verdict(seen()) == ""


def test_errors_are_marked_and_counted():
    html = compared(seen(("the", 1), ("bean", 1)), "they the been")
    assert "<li class='deletion'><del>they</del> <span aria-hidden='true'>–</span>" in html
    assert "<li class='hit'><span>the</span> <span>the</span>" in html
    assert "<li class='substitution'><del>been</del> <ins>bean</ins>" in html
    assert "2 errors in 3 words (67 %): 1 substituted, 1 deleted, 0 inserted." in plain(html)
    more = compared(seen(("one", 1), ("now", 1)), "one")
    assert "<li class='insertion'><span aria-hidden='true'>+</span> <ins>now</ins>" in more
    assert "0 errors in 1 words (0 %)" in plain(compared(seen(("one", 1)), "one"))


def test_what_was_said_is_escaped():
    assert "<img" not in compared(seen(("<b>", 1)), "<img src=x> & more")


def test_where_the_weights_come_from():
    assert "MODEL_CARD.md" in weights(seen(), BUNDLED)
    assert weights(seen(), "my <model>").startswith("The weights were read from my &lt;model&gt;;")
    assert (xlsr_ref.load().report.parameters) < 50_000_000  # so its page says that it is small
