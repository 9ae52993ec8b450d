"""Texts over recordings: words, characters, times and scores by hand; what cannot be spelled is named."""

import json
import math

import numpy as np
import pytest

from xlsr_ref.errors import AlignmentError, ObjectiveError, VocabularyError
from xlsr_ref.text.align_text import align_words, check_words, words_to_align
from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.text.tokenizer import Word

VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "ß": 7}


def tokenizer_in(folder, vocabulary=VOCABULARY, **config):
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return read_tokenizer(folder)


@pytest.fixture
def tokenizer(tmp_path):
    return tokenizer_in(tmp_path)


def peaked(path, V=8, height=0.9):
    """Log-probabilities (T, V) whose best path is ``path``."""
    y = np.full((len(path), V), (1 - height) / (V - 1))
    y[np.arange(len(path)), path] = height
    return np.log(y)


def placed(spans):
    return [(span.text, span.start, span.end) for span in spans]


PATH = [0, 5, 5, 6, 0, 4, 0, 6, 0, 6, 0, 0]  # -aab-|-b-b--


def test_words_and_characters(tokenizer):
    found = align_words(peaked(PATH), tokenizer.words_of(" ab \n bb"), tokenizer, 0.5, 100.0)
    assert found.text == "ab bb"
    assert placed(found.words) == [("ab", 0.5, 2.0), ("bb", 3.5, 5.0)]
    expected = [("a", 0.5, 1.5), ("b", 1.5, 2.0), (" ", 2.5, 3.0), ("b", 3.5, 4.0), ("b", 4.5, 5.0)]
    assert placed(found.chars) == expected
    assert found.duration == 100.0


def test_a_text_in_nfd_is_taken_in_nfc_where_only_so_it_can_be_spelled(tmp_path):
    """macOS writes file names, and some editors texts, with an é as an e and an accent."""
    composed = tokenizer_in(tmp_path, VOCABULARY | {"é": 8})
    assert words_to_align("ae\u0301b", composed, 9) == composed.words_of("aéb")
    with pytest.raises(AlignmentError, match="the vocabulary has no 'c'"):
        words_to_align("ae\u0301c", composed, 9)
    with pytest.raises(AlignmentError, match="the vocabulary has no 'c'"):
        words_to_align("c", composed, 9)
    apart = tokenizer_in(tmp_path, VOCABULARY | {"e": 8, "\u0301": 9})
    assert [word.tokens for word in words_to_align("ae\u0301", apart, 10)] == [("a", "e", "\u0301")]


def test_scores(tokenizer):
    log_y = peaked(PATH)
    log_y[2] = np.log([0.3, 0.04, 0.02, 0.02, 0.02, 0.5, 0.05, 0.05])
    found = align_words(log_y, tokenizer.words_of("ab bb"), tokenizer, 1.0)
    a = (0.9 + 0.5) / 2
    assert [char.score for char in found.chars] == pytest.approx([a, 0.9, 0.9, 0.9, 0.9])
    assert [word.score for word in found.words] == pytest.approx([math.sqrt(a * 0.9), 0.9])
    assert found.score == pytest.approx((a * 0.9**4) ** (1 / 5))


def test_no_span_ends_after_the_recording(tokenizer):
    found = align_words(peaked([0, 5, 5]), tokenizer.words_of("a"), tokenizer, 0.02, 0.055)
    assert found.words[0].end == found.chars[0].end == 0.055


def test_a_wildcard_for_what_is_not_in_the_text(tokenizer):
    found = align_words(peaked(PATH), tokenizer.words_of("ab *"), tokenizer, 1.0)
    assert [word.text for word in found.words] == ["ab", "*"]
    assert placed(found.words)[0] == ("ab", 1.0, 4.0)
    assert found.words[1].score == 1.0
    assert found.words[1].start == 6.0  # after the delimiter, and to the end: also what is silent
    assert found.words[1].end == 12.0
    assert found.score == pytest.approx(0.9)  # without the wildcard
    assert align_words(peaked(PATH), tokenizer.words_of("*"), tokenizer, 1.0).score is None
    assert placed(align_words(peaked(PATH), tokenizer.words_of("* bb"), tokenizer, 1.0).words)[1] == ("bb", 7.0, 10.0)


def test_a_vocabulary_without_a_delimiter_still_has_words(tmp_path):
    tokenizer = tokenizer_in(tmp_path, {"<pad>": 0, "<unk>": 1, "a": 2, "b": 3})
    found = align_words(peaked([0, 2, 3, 0, 3], 4), tokenizer.words_of("ab b"), tokenizer, 1.0)
    assert placed(found.words) == [("ab", 1.0, 3.0), ("b", 4.0, 5.0)]


def test_upper_case_vocabularies(tmp_path):
    tokenizer = tokenizer_in(tmp_path, {"<pad>": 0, "<unk>": 1, "|": 2, "A": 3, "B": 4}, do_lower_case=True)
    found = align_words(peaked([3, 4, 2, 3], 5), tokenizer.words_of("aB a"), tokenizer, 1.0)
    assert [word.text for word in found.words] == ["aB", "a"]  # as in the text
    assert [char.text for char in found.chars] == ["a", "b", " ", "a"]


def test_tokens_of_several_characters(tmp_path):
    tokenizer = tokenizer_in(tmp_path, {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "ch": 4})
    found = align_words(peaked([4, 0, 3], 5), tokenizer.words_of("cha"), tokenizer, 1.0)
    assert placed(found.chars) == [("ch", 0.0, 1.0), ("a", 2.0, 3.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty: give what is said"),
        (" \n", "the text is empty"),
        ("ab é, é", r"the vocabulary has no 'é' \(2 times\), ',': leave out what it lacks, or put a \*"),
        ("AB", "the vocabulary has no 'A', 'B': write the text in lower case$"),
        ("AB!", "no 'A', 'B', '!': write the text in lower case; leave out"),
        ("a <pad>", "no '<pad>'"),
        ("a<unk>b ẞ", "no 'ẞ': write the text in lower case$"),
        ("cdefghijklmn", "'l' and 2 others: leave"),
        ("a**", r"no '\*' \(2 times\)"),
        ("abab bb bb", r"needs 12 frames \(10 characters and 2 blanks between equal ones\), but .* has 11, 0.22 s"),
    ],
)  # fmt: skip
def test_what_cannot_be_aligned_is_named(tokenizer, text, message):
    with pytest.raises(AlignmentError, match=message) as error:
        align_words(peaked([0] * 11), tokenizer.words_of(text), tokenizer, 0.02)
    assert "\n" not in str(error.value)


def test_an_entry_without_an_output_cannot_be_heard(tokenizer):
    check_words(tokenizer.words_of("ß"), tokenizer, 8)
    with pytest.raises(AlignmentError, match="no 'ß'"):
        check_words(tokenizer.words_of("ß"), tokenizer, 7)
    short = align_words(peaked([0, 0, 0], 4), [Word("<unk>", ("<unk>",))] * 2, tokenizer, 1.0)
    assert len(short.chars) == 2  # the delimiter has no output either, and is left out


def test_one_frame_no_frame_and_no_blank(tmp_path, tokenizer):
    assert placed(align_words(peaked([5]), tokenizer.words_of("a"), tokenizer, 1.0).words) == [("a", 0.0, 1.0)]
    with pytest.raises(AlignmentError, match=r"needs 1 frames .* has 0"):
        align_words(np.zeros((0, 8)), tokenizer.words_of("a"), tokenizer, 1.0)
    with pytest.raises(ObjectiveError, match="frame 0 are NaN"):
        align_words(np.full((3, 8), np.nan), tokenizer.words_of("a"), tokenizer, 1.0)
    with pytest.raises(AlignmentError, match="no pad token"):
        align_words(peaked(PATH), tokenizer.words_of("a"), tokenizer_in(tmp_path, pad_token=None), 1.0)


def test_only_a_vocabulary_of_phonemes_takes_phonemes(tokenizer):
    with pytest.raises(VocabularyError, match="reads characters, not phonemes"):
        tokenizer.words_of("a b", phonemes=True)
