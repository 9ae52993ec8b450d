"""What a text is worth besides the sound: guesses by hand, levels told apart, and what cannot be."""

import math

import numpy as np
import pytest

from xlsr_ref.errors import DecodingError, LanguageModelError
from xlsr_ref.text.search.arpa import Arpa, Grams
from xlsr_ref.text.search.fusion import CHARACTERS, NO_MODEL, WORDS, fuse
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.labels import make_labels
from xlsr_ref.text.search.lm import build

pytestmark = pytest.mark.filterwarnings("ignore:too little text")

LETTERS = ["", *"abcdehlorw", " "]
LABELS = make_labels(LETTERS)


def ids(text):
    return [LETTERS.index(letter) for letter in text]


def words_model():
    return build(train([["hello", "world"], ["hello", "bear"]], 2))


def test_nothing_to_add():
    fusion = fuse(LABELS)
    assert fusion.level == NO_MODEL
    assert fusion.terms.plain
    assert fusion.score(ids("hello wor")) == 0


def test_alpha_beta_and_unknown_words():
    lm = words_model()
    fusion = fuse(LABELS, lm, alpha=0.4, beta=1.25, unknown=-7)
    first, state, _ = lm.score(lm.begin, "hello")
    second, after, known = lm.score(state, "low")
    assert not known
    worth = 0.4 * math.log(10) * (first + second - 7) + 2 * 1.25
    assert fusion.score(ids("hello low ")) == pytest.approx(worth)
    assert fusion.score(ids("hello low"), final=True) == pytest.approx(worth + 0.4 * math.log(10) * lm.end_score(after))


@pytest.mark.parametrize(
    ("part", "worth"),
    [("hel", 0), ("w", 0), ("bea", 0), ("hell", 0), ("low", -7), ("lowlow", -7), ("lowlowlow", -7 * 9 / 6)],
)
def test_the_beginning_of_a_word(part, worth):
    """No loss while some known word begins so; the loss of an unknown word at once where none does, more if long."""
    assert fuse(LABELS, words_model(), unknown=-7).score(ids(part)) == pytest.approx(worth)


def test_hotwords():
    fusion = fuse(LABELS, hotwords=["bear", "bearer"], hotword_weight=6.0)
    assert fusion.score(ids("be")) == pytest.approx(6 * 2 / 4)  # a share of the shorter one's
    assert fusion.score(ids("beare")) == pytest.approx(6 * 5 / 6)
    assert fusion.score(ids("bear ")) == 6
    assert fusion.score(ids("bear bear"), final=True) == 12
    assert fusion.score(ids("bared"), final=True) == 0
    each = fuse(LABELS, hotwords={"low bear": 4.0, "how": -1.0})
    assert each.score(ids("low "), final=True) == 4  # every word of a phrase
    assert each.score(ids("how ")) == -1


def test_a_hotword_begins_so_the_model_does_not_mind():
    fusion = fuse(LABELS, words_model(), hotwords=["lord"], hotword_weight=8)
    assert fusion.score(ids("lo")) == pytest.approx(4)
    assert fusion.score(ids("loo")) == -10


def test_without_boundaries():
    lm = words_model()
    fusion = fuse(LABELS, lm, alpha=1, beta=0, boundary=False)
    assert fusion.score(ids("hello"), final=True) == pytest.approx(math.log(10) * lm.score(0, "hello")[0])


def test_a_list_of_known_words():
    """Those that the model lacks do not count; those of the model that are not listed lose."""
    lm = words_model()
    fusion = fuse(LABELS, lm, words=["hello", "cedar"], unknown=-3, alpha=1, beta=0, boundary=False)
    assert fusion.listed == {"hello"}
    assert fusion.score(ids("world ")) == pytest.approx(math.log(10) * (lm.score(0, "world")[0] - 3))
    assert fusion.score(ids("ce")) == -3


def test_a_closed_vocabulary():
    fusion = fuse(LABELS, words_model(), closed=True, hotwords=["lord"])
    assert fusion.score(ids("hello low ")) == -math.inf
    assert fusion.score(ids("ca")) == -math.inf
    assert fusion.score(ids("lord ")) > -math.inf
    assert fuse(LABELS, words=["low"], closed=True).score(ids("low lo")) == 0


def test_levels_are_told_apart():
    characters = build(train([list("a|bad|bed")], 2))
    assert fuse(LABELS, characters).level == CHARACTERS
    more = build(train([list("a|bad|ßed")], 2))  # made for another alphabet as well
    with pytest.warns(UserWarning, match="and never 'ß'"):
        assert fuse(LABELS, more).level == CHARACTERS
    assert fuse(LABELS, words_model()).level == WORDS
    assert fuse(LABELS, characters, level="word").level == WORDS
    fusion = fuse(LABELS, characters, alpha=1, beta=0.5, unknown=-2, boundary=False)
    assert fusion.symbols(ids("a b")) == ["a", "|", "b"]
    unseen = characters.score(0, "w")[0] - 2
    assert fusion.score(ids("w")) == pytest.approx(math.log(10) * unseen + 0.5)


def test_a_model_writes_the_space_in_its_own_way():
    for space in ("|", "▁", "<space>"):
        lm = build(train([["a", space, "b"]], 2))
        assert fuse(LABELS, lm).symbols(ids("a b")) == ["a", space, "b"]


class Outside:
    """A model that only Python can ask, as KenLM's binaries are."""

    begin, nothing = "start", "nowhere"

    def score(self, state, word):
        return -float(len(word)), word, word != "low"

    def end_score(self, state):
        return -0.5 if state == "bear" else -1.0


def test_a_model_outside(rng):
    """The search's loop stops for it, and finds what the specification says; in pieces, too."""
    from xlsr_ref.ops.softmax import log_softmax
    from xlsr_ref.text.search.beam import beam_search, feed, search, start
    from xlsr_ref.text.search.beam_python import beam_search_python
    from xlsr_ref.text.search.hypotheses import hypotheses

    for options in ({}, {"words": ["bear", "low", "bad"], "hotwords": ["bed"]}, {"boundary": False}):
        fusion = fuse(LABELS, Outside(), alpha=0.1, **options)
        assert fusion.terms.outside
        assert fusion.begin == ("start" if options.get("boundary", True) else "nowhere")
        log_y = log_softmax(rng.normal(0, 2, (40, len(LETTERS))))
        how = search(LABELS, fusion, width=15)
        state = feed(how, start(how), log_y)
        spec = beam_search_python(log_y, how)
        totals = {prefix: np.logaddexp(*(way.log_p for way in ways)) for prefix, ways in spec.items()}
        texts = {}
        for prefix, total in totals.items():
            text = "".join(LETTERS[c] for c in prefix)
            ours = [one for one in hypotheses(how, state, 99, final=False) if one.text == text]
            assert ours[0].score == pytest.approx(total + fusion.score(prefix), rel=1e-12)
            bare = text.strip(" ")
            texts[bare] = np.logaddexp(texts.get(bare, -math.inf), total)
        for one in beam_search(log_y, how, 99):
            assert one.score == pytest.approx(texts[one.text] + fusion.score(ids(one.text), final=True), rel=1e-12)
        pieces = start(how)
        for begin in range(0, 40, 7):
            pieces = feed(how, pieces, log_y[begin : begin + 7])
        assert hypotheses(how, pieces, 99) == hypotheses(how, state, 99)
        assert len(pieces.outside) <= 2 * len(pieces.prefixes) + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": math.nan}, "alpha is nan"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"beta": math.inf}, "beta is inf"),
        ({"unknown": 1.0}, "unknown 1.0"),
        ({"unknown": "x"}, "unknown is 'x'"),
        ({"hotwords": "bear"}, "give a list"),
        ({"hotwords": ["bear", ""]}, "a hotword is ''"),
        ({"hotwords": [3]}, "a hotword is 3"),
        ({"hotwords": {"bear": math.nan}}, "the weight of the hotword 'bear' is nan"),
        ({"closed": True}, "needs words"),
        ({"words": []}, "none of the known words"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(DecodingError, match=message):
        fuse(LABELS, **options)


def test_models_that_cannot_be():
    with pytest.raises(DecodingError, match="level is 'line'"):
        fuse(LABELS, words_model(), level="line")
    with pytest.raises(LanguageModelError, match="must be an ARPA file"):
        fuse(LABELS, Outside(), level="character")
    with pytest.raises(DecodingError, match="none of the known words is in the language model"):
        fuse(LABELS, words_model(), words=["zebra"])
    lonely = build(Arpa(("<unk>",), (Grams(np.zeros((1, 1), np.int32), np.array([-1.0]), np.zeros(1)),)))
    assert fuse(LABELS, lonely).level == WORDS
