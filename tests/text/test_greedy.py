"""Best-path decoding: against recordings of transformers, against all paths, and by hand."""

import json
import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.errors import CannotTranscribeError, VocabularyError
from xlsr_ref.text.greedy import best_path, collapse, greedy
from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.text.transcript import Span, Transcript

CASES = json.loads((Path(__file__).parent.parent / "golden" / "tokenizer.json").read_text(encoding="utf-8"))["cases"]
LETTERS = {"E": 0, "A": 1, "|": 2, "<pad>": 3, "<unk>": 4}
E, A, SPACE, BLANK = range(4)
HOP = 0.02


def tokenizer_in(folder, vocab=LETTERS, **config):
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return read_tokenizer(folder)


@pytest.fixture
def tokenizer(tmp_path):
    return tokenizer_in(tmp_path)


def peaked(path, entries=5, height=5.0):
    """Logits (T, V) whose best path is ``path``."""
    logits = np.zeros((len(path), entries), np.float32)
    logits[np.arange(len(path)), path] = height
    return logits


@pytest.mark.parametrize("name", CASES)
def test_words_and_characters_as_recorded(name, tmp_path):
    case = CASES[name]
    for file, content in case["files"].items():
        (tmp_path / file).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    tokenizer = read_tokenizer(tmp_path, case["target_lang"])
    entries = max(tokenizer.tokens) + 1
    for path in case["paths"]:
        transcript = greedy(peaked(path["ids"], entries), tokenizer, 1.0)  # a second a frame: the offsets are frames
        assert transcript.text == path["decoded"]["group_tokens=True skip_special_tokens=False"]
        if tokenizer.files.phonemes is not None:  # theirs has no words, and leaves out what stands between them
            chars = [[s.text, s.start, s.end] for s in transcript.chars if s.text != " "]
            assert chars == path["chars"]
            assert " ".join(word.text for word in transcript.words) == transcript.text
            continue
        for ours, theirs in ((transcript.words, path["words"]), (transcript.chars, path["chars"])):
            # theirs leaves words and characters in upper case when the text is put in lower case
            assert [[s.text, s.start, s.end] for s in ours] == [[tokenizer.lower(t), *frames] for t, *frames in theirs]


def test_repeats_are_merged_before_blanks_are_dropped():
    assert [run.token for run in collapse(["E", "E"], "-")] == ["E"]
    assert [run.token for run in collapse(["E", "-", "E"], "-")] == ["E", "E"]
    assert collapse(["-", "E", "E", "-", "A", "-"], "-") == [("E", 1, 3), ("A", 4, 5)]


def test_collapse_of_every_short_path():
    """All paths of six frames over two letters and the blank, against the same map written as a regular expression."""
    for path in map("".join, product("ab-", repeat=6)):
        labels = [run.token for run in collapse(path, "-")]
        assert "".join(labels) == re.sub(r"(.)\1*", r"\1", path).replace("-", "")


def test_frames_become_seconds(tokenizer):
    transcript = greedy(peaked([BLANK, E, E, BLANK, A, SPACE, SPACE, A]), tokenizer, HOP)
    assert transcript.text == "EA A" == str(transcript)
    assert [(c.text, c.start, c.end) for c in transcript.chars] == [
        ("E", 1 * HOP, 3 * HOP),
        ("A", 4 * HOP, 5 * HOP),
        (" ", 5 * HOP, 7 * HOP),
        ("A", 7 * HOP, 8 * HOP),
    ]
    assert [(w.text, w.start, w.end) for w in transcript.words] == [("EA", 1 * HOP, 5 * HOP), ("A", 7 * HOP, 8 * HOP)]


def test_no_span_ends_after_the_audio(tokenizer):
    logits = peaked([E, A, A])
    assert greedy(logits, tokenizer, HOP, duration=0.05).words[-1].end == 0.05
    assert greedy(logits, tokenizer, HOP, duration=0.05).chars[-1].end == 0.05
    assert greedy(logits, tokenizer, HOP, duration=0.07).words[-1].end == 3 * HOP


@pytest.mark.parametrize("path", [[SPACE, E], [SPACE, BLANK, SPACE, E], [E, SPACE], [SPACE, E, SPACE, BLANK, SPACE]])
def test_spaces_at_the_edges_make_no_words(path, tokenizer):
    transcript = greedy(peaked(path), tokenizer, HOP)
    assert transcript.text == "E"
    assert [(w.text, w.start) for w in transcript.words] == [("E", path.index(E) * HOP)]


def test_only_spaces(tokenizer):
    transcript = greedy(peaked([SPACE, BLANK, SPACE]), tokenizer, HOP)
    assert (transcript.text, transcript.words) == ("", ())


def test_without_a_delimiter_all_is_one_word_unless_a_token_is_a_space(tmp_path):
    config = {"word_delimiter_token": None}
    one = greedy(peaked([E, SPACE, A]), tokenizer_in(tmp_path, LETTERS, **config), HOP)
    assert [word.text for word in one.words] == ["E|A"]
    spaced = {" " if token == "|" else token: entry for token, entry in LETTERS.items()}
    two = greedy(peaked([E, SPACE, A]), tokenizer_in(tmp_path, spaced, **config), HOP)
    assert [word.text for word in two.words] == ["E", "A"]


def test_lower_case_reaches_words_and_characters(tmp_path):
    vocab = {"<pad>": 0, "<unk>": 1, "|": 2, "Σ": 3, "Α": 4}
    transcript = greedy(peaked([3, 4, 3, 2, 3]), tokenizer_in(tmp_path, vocab, do_lower_case=True), HOP)
    assert transcript.text == "σας σ"  # the last sigma of a word has a form of its own
    assert [word.text for word in transcript.words] == ["σας", "σ"]
    assert [char.text for char in transcript.chars] == ["σ", "α", "σ", " ", "σ"]


def test_scores(tokenizer):
    probability = np.array([[0.7, 0.1, 0.1, 0.1], [0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7], [0.2, 0.4, 0.2, 0.2]])
    transcript = greedy(np.log(probability) + 3.0, tokenizer, HOP)  # E E - A; a constant changes no softmax
    assert [char.text for char in transcript.chars] == ["E", "A"]
    # exp and log each round once: 1e-15 is a few roundings of a number near 1
    assert [char.score for char in transcript.chars] == pytest.approx([0.6, 0.4], abs=1e-15)
    assert transcript.words[0].score == pytest.approx(math.sqrt(0.6 * 0.4), abs=1e-15)


def test_probability_of_large_logits(rng):
    logits = rng.standard_normal((50, 7)) * 20
    best, probability = best_path(logits)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(best, logits.argmax(axis=1))
    np.testing.assert_allclose(probability, softmax.max(axis=1), rtol=1e-13)  # exp of numbers up to 60: 60 roundings
    shifted = best_path((logits + 1e4).astype(np.float64))[1]
    np.testing.assert_allclose(shifted, probability, rtol=1e-10)  # 1e4 leaves 12 digits of each logit


def test_half_precision_is_summed_in_double(tokenizer):
    logits = np.zeros((1, 5), np.float16)
    assert greedy(logits, tokenizer, HOP).chars[0].score == pytest.approx(0.2, abs=1e-15)


def test_scores_stay_below_one(tokenizer):
    sure = greedy(peaked([E, A, E, A, E], height=500.0), tokenizer, HOP)
    assert all(0 <= span.score <= 1 for span in (*sure.words, *sure.chars))


def test_fewer_rows_than_entries(tokenizer):
    assert greedy(peaked([E, A], entries=2), tokenizer, HOP).text == "EA"


def test_nothing_heard(tokenizer):
    assert greedy(np.zeros((0, 5), np.float32), tokenizer, HOP) == Transcript("", (), ())
    assert greedy(peaked([BLANK] * 4), tokenizer, HOP) == Transcript("", (), ())


def test_inputs_are_not_modified(tokenizer):
    logits = peaked([E, A])
    logits.setflags(write=False)
    before = logits.copy()
    greedy(logits, tokenizer, HOP)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_broken_logits(wrong, tokenizer):
    logits = peaked([E, A, E])
    logits[1, 2] = wrong
    with pytest.raises(CannotTranscribeError, match="frame 1 are NaN or infinite"):
        greedy(logits, tokenizer, HOP)


def test_minus_infinity_is_an_impossible_entry(tokenizer):
    logits = peaked([E])
    logits[0, A] = -np.inf
    assert greedy(logits, tokenizer, HOP).text == "E"
    with pytest.raises(CannotTranscribeError, match="frame 0"):
        greedy(np.full((1, 5), -np.inf), tokenizer, HOP)


@pytest.mark.parametrize("shape", [(5,), (1, 2, 5), (3, 0)])
def test_wrong_shapes(shape, tokenizer):
    with pytest.raises(CannotTranscribeError, match="shape"):
        greedy(np.zeros(shape), tokenizer, HOP)


def test_an_entry_without_a_token(tmp_path):
    with pytest.raises(VocabularyError, match="id 9 has no token"):
        greedy(peaked([9], entries=10), tokenizer_in(tmp_path, unk_token=None), HOP)


def test_spans_compare_by_value():
    assert Span("a", 0.0, 1.0, 0.5) == Span("a", 0.0, 1.0, 0.5)
    with pytest.raises(AttributeError):
        Span("a", 0.0, 1.0, 0.5).text = "b"
