"""Prefix beam search against all paths, the loop against its specification, pieces against the whole; pyctcdecode."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.errors import DecodingError
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.search import beam as beam_file
from xlsr_ref.text.search.arpa import Arpa, Grams
from xlsr_ref.text.search.beam import beam_search, feed, search, start
from xlsr_ref.text.search.beam_python import beam_search_python
from xlsr_ref.text.search.fusion import fuse
from xlsr_ref.text.search.hypotheses import hypotheses
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.labels import make_labels
from xlsr_ref.text.search.lm import build
from xlsr_ref.text.search.prefix_tree import chain

pytestmark = pytest.mark.filterwarnings("ignore:too little text")  # a few letters make a model here

GOLDEN = Path(__file__).parents[2] / "golden"
EVERYTHING = {"width": 10**5, "beam_prune": -math.inf, "token_min": -math.inf}


def draw(rng, T, V, spread=1.0):
    return log_softmax(rng.normal(0, spread, (T, V)))


def text_of(path, labels):
    return " ".join("".join(labels.written[c] for c, _ in itertools.groupby(path)).split())


def all_paths(log_y, labels):
    """ln p of every text, by adding up every path there is."""
    found = {}
    for path in itertools.product(range(log_y.shape[1]), repeat=len(log_y)):
        text = text_of(path, labels)
        found[text] = np.logaddexp(found.get(text, -math.inf), log_y[range(len(path)), path].sum())
    return {text: log_p for text, log_p in found.items() if log_p > -math.inf}


def words_model():
    """A bigram model of the words a, ab and b, by hand; its numbers are no probabilities, and need not be."""
    return build(
        Arpa(
            ("<unk>", "<s>", "</s>", "a", "ab", "b"),
            (
                Grams(
                    np.arange(6)[:, None],
                    np.array([-2.0, -99, -0.5, -0.7, -1.1, -0.9]),
                    np.array([0, -0.2, 0, -0.4, -0.1, 0]),
                ),
                Grams(np.array([[1, 3], [3, 4], [4, 2]]), np.array([-0.3, -0.6, -0.2]), np.zeros(3)),
            ),
        )
    )


# --- against all paths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(
    ("written", "blank"),
    [(["", "a"], 0), (["a", ""], 1), (["", "a", "b"], 0), (["a", " ", ""], 2), (["", "a", " ", "b"], 0),
     (["a", "b", "", "ab"], 2), (["", "a", "aa", " "], 0)],
)  # fmt: skip
def test_the_score_of_every_text_is_the_sum_of_its_paths(rng, T, written, blank):
    """Multi-character labels and spaces included: what spells the same is one text."""
    labels = make_labels(written, blank)
    for spread, zeros in ((1.0, 0.0), (3.0, 0.0), (1.0, 0.4)):
        log_y = draw(rng, T, len(written), spread)
        log_y[rng.random(log_y.shape) < zeros] = -math.inf
        log_y[np.isinf(log_y).all(axis=1), 0] = 0.0
        log_y -= np.logaddexp.reduce(log_y, axis=1, keepdims=True)
        expected = all_paths(log_y, labels)
        found = beam_search(log_y, search(labels, **EVERYTHING), 10**6)
        assert {one.text for one in found} == set(expected)
        for one in found:
            assert one.acoustic == pytest.approx(expected[one.text], rel=1e-12, abs=1e-12)  # other order of addition
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert np.logaddexp.reduce([one.score for one in found]) == pytest.approx(0, abs=1e-12)  # all there is


@pytest.mark.parametrize("options", [{}, {"hotwords": {"ab": 1.5, "b": -0.5}}, {"boundary": False}, {"closed": True}])
def test_with_a_model_every_text_gets_its_words_too(rng, options):
    """Every text's score is its paths' sum and its words' worth, worked out here from the n-grams."""
    labels, T = make_labels(["", "a", " ", "b"]), 6
    log_y, lm = draw(rng, T, 4), words_model()
    fusion = fuse(labels, lm, alpha=0.7, beta=0.4, unknown=-3.0, **options)
    one_word = {"<unk>": -2.0, "a": -0.7, "ab": -1.1, "b": -0.9, "</s>": -0.5}
    weight = {"<s>": -0.2, "a": -0.4, "ab": -0.1}
    two_words = {("<s>", "a"): -0.3, ("a", "ab"): -0.6, ("ab", "</s>"): -0.2}

    def worth(text):
        words, before, total = text.split(), "<s>" if options.get("boundary", True) else "", 0.0
        for word in words:
            known = word if word in one_word else "<unk>"
            if options.get("closed") and known == "<unk>":
                return -math.inf
            log10_p = two_words.get((before, known), weight.get(before, 0.0) + one_word[known])
            total += 0.7 * math.log(10) * (log10_p + (-3.0 if known == "<unk>" else 0.0)) + 0.4
            total += options.get("hotwords", {}).get(word, 0.0)
            before = known
        if options.get("boundary", True):
            total += 0.7 * math.log(10) * two_words.get((before, "</s>"), weight.get(before, 0.0) - 0.5)
        return total

    expected = {text: log_p + worth(text) for text, log_p in all_paths(log_y, labels).items()}
    expected = {text: score for text, score in expected.items() if score > -math.inf}
    found = beam_search(log_y, search(labels, fusion, **EVERYTHING), 10**6)
    found = [one for one in found if one.score > -math.inf]
    assert {one.text for one in found} == set(expected)
    for one in found:
        assert one.score == pytest.approx(expected[one.text], rel=1e-6)  # the arrays hold float32
        assert one.score == pytest.approx(one.acoustic + one.language, rel=1e-12)


def test_a_model_of_characters_is_asked_for_every_character(rng):
    labels = make_labels(["", "a", " ", "b"])
    lm = build(train([list("ab|a"), list("ba|ab|b"), list("aab")], 2))
    fusion = fuse(labels, lm, alpha=0.6, beta=0.3)
    log_y = draw(rng, 5, 4)
    found = beam_search(log_y, search(labels, fusion, **EVERYTHING), 10**6)
    expected = all_paths(log_y, labels)
    assert {one.text for one in found} == set(expected)
    for one in found:
        state, total = lm.begin, 0.0
        for character in one.text.replace(" ", "|"):
            log10_p, state, known = lm.score(state, character)
            assert known
            total += 0.6 * math.log(10) * log10_p + 0.3
        total += 0.6 * math.log(10) * lm.end_score(state)
        assert one.acoustic == pytest.approx(expected[one.text], rel=1e-12)
        assert one.language == pytest.approx(total, rel=1e-9)


# --- the loop and its specification ----------------------------------------------------------------------------------


def beams_of(state):
    """The beam in the specification's form: prefix -> the ways that end in the blank, and in its last label."""

    def way(log_p, best, mark):
        found = [state.marks[m] for m in chain(int(mark), state.marks.before)]
        return float(log_p), float(best), tuple((int(m.first), int(m.last), float(m.total)) for m in found)

    return {
        tuple(state.prefixes.label[chain(int(b.prefix), state.prefixes.parent)[1:]].tolist()): (
            way(b.blank, b.best_blank, b.mark_blank), way(b.label, b.best_label, b.mark_label)
        )
        for b in state.beams
    }  # fmt: skip


def fusions(labels):
    characters = build(train([list("ab|a"), list("ba|ab|b")], 3))
    return [
        None,
        fuse(labels, words_model(), alpha=0.7, beta=0.4, unknown=-3.0, level="word"),
        fuse(labels, words_model(), hotwords={"ab": 2.0, "bb": 1.0}, level="word"),
        fuse(labels, hotwords=["aba"], hotword_weight=3.0),
        fuse(labels, words_model(), closed=True, hotwords=["bb"], level="word"),
        fuse(labels, characters, alpha=0.3, hotwords=["ab"], level="character"),
        fuse(labels, words=["a", "ba", "abab"], closed=True),
    ]


@pytest.mark.parametrize("kind", range(7))
def test_the_loop_equals_the_specification(rng, kind):
    for written in (["", "a", " ", "b"], ["a", "b", "", "ab", " "]):
        labels = make_labels(written, written.index(""))
        fusion = fusions(labels)[kind]
        for _ in range(8):
            log_y = draw(rng, int(rng.integers(1, 20)), len(written), rng.choice([0.5, 1, 3]))
            how = search(
                labels, fusion, width=int(rng.integers(1, 12)),
                beam_prune=-float(rng.choice([2, 5, 10, math.inf])), token_min=-float(rng.choice([1.5, 3, 9])),
            )  # fmt: skip
            ours, spec = beams_of(feed(how, start(how), log_y)), beam_search_python(log_y, how)
            assert list(ours) == list(spec)  # the same prefixes, in the same order
            for prefix, ways in spec.items():
                for mine, way in zip(ours[prefix], ways):
                    assert mine[:2] == pytest.approx((way.log_p, way.best), rel=1e-12)  # libm may round otherwise
                    if way.best > -math.inf:
                        assert [mark[:2] for mark in mine[2]] == [mark[:2] for mark in way.marks]
                        assert [mark[2] for mark in mine[2]] == pytest.approx([mark[2] for mark in way.marks])


@pytest.mark.parametrize("kind", range(7))
def test_in_pieces_the_result_is_the_same_to_the_bit(rng, kind, monkeypatch):
    labels = make_labels(["", "a", " ", "b"])
    log_y = draw(rng, 60, 4)
    how = search(labels, fusions(labels)[kind], width=20)
    whole = hypotheses(how, feed(how, start(how), log_y), 99)
    state, at = start(how), 0
    for size in (0, 1, 2, 0, 7, 1, 30, 19):
        state, before = feed(how, state, log_y[at : at + size]), state
        assert feed(how, before, log_y[at : at + size]).beams.tobytes() == state.beams.tobytes()  # it was not changed
        at += size
    assert at == 60
    assert hypotheses(how, state, 99) == whole
    monkeypatch.setattr(beam_file, "ROOM", 1)  # cleared away every 16 frames
    assert hypotheses(how, feed(how, start(how), log_y), 99) == whole


def test_what_nobody_needs_is_cleared_away(rng):
    """Memory goes with the length of the texts in the beam, not with the work that was done."""
    labels = make_labels(["", "a", " ", "b"])
    how = search(labels, width=10)
    state = feed(how, start(how), draw(rng, 3000, 4, 6.0))
    longest = max(len(one.marks) for one in hypotheses(how, state, 10))
    assert len(state.prefixes) <= 10 * (longest + 2)
    assert len(state.marks) <= 2 * 10 * (longest + 2)


# --- by hand ---------------------------------------------------------------------------------------------------------


def peaked(path, V, height=0.9):
    y = np.full((len(path), V), (1 - height) / (V - 1))
    y[np.arange(len(path)), path] = height
    return np.log(y)


def test_the_likeliest_text_is_not_the_likeliest_path():
    """a: 0.4 · 0.4 + 2 · 0.4 · 0.6 = 0.64; nothing: 0.6 · 0.6 = 0.36, though each frame prefers the blank."""
    best, other = beam_search(np.log([[0.6, 0.4]] * 2), search(make_labels(["", "a"])), 2)
    assert (best.text, other.text) == ("a", "")
    assert (math.exp(best.score), math.exp(other.score)) == pytest.approx((0.64, 0.36))


def test_times_and_scores_of_labels():
    labels = make_labels(["", "a", "b", " "])
    (best,) = beam_search(peaked([0, 1, 1, 0, 1, 3, 3, 2, 2, 0, 0], 4), search(labels))
    assert best.text == "aa b"
    assert [(mark.label, mark.first, mark.stop) for mark in best.marks] == [(1, 1, 3), (1, 4, 5), (3, 5, 7), (2, 7, 9)]
    assert [mark.score for mark in best.marks] == pytest.approx([0.9] * 4)


def test_spaces_at_the_ends_and_double_ones_write_nothing():
    labels = make_labels(["", "a", " "])
    for path, text in (([2, 2, 1, 2, 0, 2, 1, 2], "a a"), ([2, 0, 2], ""), ([0, 0], ""), ([1, 2, 0], "a")):
        best = beam_search(peaked(path, 3), search(labels))[0]
        assert best.text == text
        assert len(best.marks) == len(text)
    how = search(labels)
    state = feed(how, start(how), peaked([1, 2], 3))
    assert hypotheses(how, state, final=False)[0].text == "a "  # there may be more


def test_one_frame():
    assert beam_search(np.log([[0.2, 0.8]]), search(make_labels(["", "a"])))[0].text == "a"


def test_hotwords_and_models_change_the_text():
    labels = make_labels(["", "a", "b", " "])
    log_y = np.log([[0.02, 0.96, 0.01, 0.01], [0.1, 0.01, 0.44, 0.45], [0.01, 0.6, 0.38, 0.01]])
    assert beam_search(log_y, search(labels))[0].text == "a a"
    assert beam_search(log_y, search(labels, fuse(labels, hotwords=["ab"])))[0].text == "ab"
    assert beam_search(log_y, search(labels, fuse(labels, words_model(), closed=True, beta=-3)))[0].text == "ab"


def test_a_closed_vocabulary_leaves_out_an_unfinished_word():
    labels = make_labels(["", "a", "b", " "])
    fusion = fuse(labels, words=["a", "bbb"], closed=True)
    (best,) = beam_search(peaked([1, 3, 2, 0], 4, 0.9999), search(labels, fusion, width=1))
    assert best.text == "a"
    (best,) = beam_search(peaked([2, 2, 0, 2, 2, 0, 1], 4), search(labels, fusion, width=1))  # a cannot follow bb
    assert best.text == ""


# --- against pyctcdecode 0.5, as weights_tools/record_beams.py recorded it --------------------------------------------


def test_texts_as_pyctcdecode_finds_them():
    from weights_tools.compare_beams import compare
    from weights_tools.record_beams import SETTINGS

    results = list(compare(GOLDEN / "beams" / "cases.npz", GOLDEN / "beams" / "answers.json"))
    assert {one.setting for one in results} == set(SETTINGS)
    for one in results:
        assert [text for text, _ in one.ours] == [text for text, _ in one.theirs], one
        # Both are float64 but for the model's numbers, which are float32 there and here.
        assert [score for _, score in one.ours] == pytest.approx([score for _, score in one.theirs], rel=1e-5)


# --- what cannot be --------------------------------------------------------------------------------------------------


def bad(row):
    return np.vstack([np.log([[0.5, 0.25, 0.25]]), [row]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (bad([0.0, np.nan, -np.inf]), "frame 1 are NaN"),
        (bad([0.0, np.inf, -np.inf]), r"frame 1 are NaN or \+infinite"),
        (bad([-np.inf] * 3), "frame 1 sum to 0, not 1"),
        (bad([2.0, 1.0, 1e4]), "frame 1 sum to inf, not 1: give log-softmax, not logits"),
        (np.exp(bad([-1, -1, -1])), "frame 0 sum to"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((5, 3), int), "int64"),
        (np.log(np.full((2, 4), 0.25)), "4 columns, but there are 3 labels"),
    ],
)
def test_bad_input_is_named(given, message):
    with pytest.raises(DecodingError, match=message) as error:
        beam_search(given, search(make_labels(["", "a", "b"])))
    assert "\n" not in str(error.value)


def test_no_frames_are_no_text():
    how = search(make_labels(["", "a", " "]))
    for found in (beam_search(np.zeros((0, 3)), how, 5), hypotheses(how, start(how))):
        assert [(one.text, one.score, one.marks) for one in found] == [("", 0.0, ())]


def test_frames_are_counted_over_all_pieces():
    how = search(make_labels(["", "a"]))
    state = feed(how, start(how), np.log(np.full((7, 2), 0.5)))
    with pytest.raises(DecodingError, match="frame 8 sum to 2"):
        feed(how, state, np.array([[math.log(0.5)] * 2, [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"width": 0}, "0 wide"), ({"width": 2.5}, "2.5 wide"), ({"width": True}, "True wide"),
     ({"beam_prune": 1.0}, "beam_prune is 1.0"), ({"token_min": math.nan}, "token_min is nan")],
)  # fmt: skip
def test_settings_that_cannot_be(options, message):
    with pytest.raises(DecodingError, match=message):
        search(make_labels(["", "a"]), **options)


def test_the_number_of_texts_is_checked():
    with pytest.raises(DecodingError, match="number of texts is 0"):
        beam_search(np.log([[0.5, 0.5]]), search(make_labels(["", "a"])), 0)


def test_float32_and_arrays_of_any_order(rng):
    log_y = draw(rng, 12, 4)
    how = search(make_labels(["", "a", " ", "b"]))
    narrow = log_y.astype(np.float32)
    narrow.setflags(write=False)
    assert beam_search(narrow, how)[0].score == pytest.approx(beam_search(log_y, how)[0].score, rel=1e-5)  # 7 digits
    assert beam_search(np.asfortranarray(log_y), how) == beam_search(log_y, how)


def test_log_softmax_says_nothing_of_bad_frames():
    given = np.array([[1.0, 2.0], [np.nan, 0.0], [np.inf, 0.0]], np.float32)
    made = log_softmax(given)
    assert made.dtype == np.float64
    assert np.exp(made[0]).sum() == pytest.approx(1)
    assert np.isnan(made[1:]).any(axis=1).all()
