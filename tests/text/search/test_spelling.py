"""Words that the labels can never write: refused where nothing fits, told where much does not."""

import sys
import types
import warnings

import numpy as np
import pytest

from xlsr_ref.errors import DecodingError, LanguageModelError
from xlsr_ref.text.search import spelling
from xlsr_ref.text.search.arpa import Arpa, Grams
from xlsr_ref.text.search.fusion import fuse
from xlsr_ref.text.search.kenlm_file import KenLM, words_in
from xlsr_ref.text.search.labels import make_labels
from xlsr_ref.text.search.lm import build
from xlsr_ref.text.search.lm_files import BINARY
from xlsr_ref.text.search.spelling import Speller

LABELS = make_labels(["", " ", *"abcdeé", "tʃ"])
KENLM_LIKE = BINARY + b" format version 5\n\0" + bytes(range(256)) * 3


def lm_of(*words: str):
    """A model of words, each as likely as the others."""
    words = ("<unk>", "</s>", *words)
    ids = np.arange(len(words), dtype=np.int32)[:, None]
    return build(Arpa(words, (Grams(ids, np.full(len(words), -1.0), np.zeros(len(words))),)))


@pytest.mark.parametrize(
    ("word", "can"),
    [("abc", True), ("ABC", False), ("", True), ("atʃa", True), ("atʃ", True), ("ʃa", False), ("t", False),
     ("ab c", False), ("é", True), ("e\u0301", False)],
)  # fmt: skip
def test_what_a_row_of_labels_can_spell(word, can):
    assert Speller(LABELS).can_spell(word) is can


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ABC", "DE", "É"], r"spell 0 % of the language model's words, and never 'ABC', 'DE', 'É': write it in lower"),
        (["e\u0301a", "be\u0301"], "composed form, NFC"),
        (["日本", "語"], "never '日本', '語': the model writes 'a', 'b', 'c', 'd', 'e', 'é'$"),
    ],
)
def test_a_model_of_which_nothing_can_be_written_is_refused(words, says):
    with pytest.raises(LanguageModelError, match=says):
        fuse(LABELS, lm_of(*words), level="word")


def test_a_model_that_fits_in_part_is_told_about():
    with pytest.warns(UserWarning, match=r"spell 75\.0 % of the language model's words, and never 'D'"):
        fuse(LABELS, lm_of("a", "be", "c", "D"), level="word")


def test_a_model_that_fits_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse(LABELS, lm_of("a", "be", "atʃ"), hotwords=["abba"], level="word")
        fuse(LABELS, lm_of(*"abc|"), level="character")
        fuse(LABELS)


def test_a_list_of_known_words_decides_where_there_is_one():
    with pytest.raises(LanguageModelError, match="never 'ABC'"):
        fuse(LABELS, None, words=["ABC"], closed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fuse(LABELS, lm_of("abc", "DE", "CD", "E"), words=["abc"], level="word")


def test_a_model_of_characters_in_another_case_is_refused():
    with pytest.raises(LanguageModelError, match=r"0 % of the language model.s characters are labels .* in lower case"):
        fuse(LABELS, lm_of("A", "B", "|"), level="character")
    with pytest.warns(UserWarning, match="66"):
        fuse(LABELS, lm_of("a", "b", "X"), level="character")


def test_hotwords():
    with pytest.raises(DecodingError, match="spell 0 of 2 hotwords, and never 'ABC', 'ED': write it in lower case"):
        fuse(LABELS, hotwords=["ABC", "ED"])
    with pytest.warns(UserWarning, match="spell 1 of 2 hotwords, and never '日本'"):
        fuse(LABELS, hotwords=["日本", "abc"])


def test_a_large_model_is_looked_at_from_all_over(monkeypatch):
    monkeypatch.setattr(spelling, "LOOKED_AT", 10)
    assert spelling.sample(range(95)) == [*range(0, 95, 10)]
    assert spelling.sample(range(10)) == [*range(10)]
    assert spelling.sample([]) == []


class FakeKenlm(types.ModuleType):
    """The parts of the package that are asked for when a model is opened."""

    class Config:
        show_progress = True

    class State:
        pass

    class Model:
        order = 2

        def __init__(self, path, config):
            pass

        def BeginSentenceWrite(self, state):
            pass

        def NullContextWrite(self, state):
            pass


def test_a_binary_model_lists_its_words_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kenlm", FakeKenlm("kenlm"))
    path = tmp_path / "lm.bin"
    path.write_bytes(KENLM_LIKE + b"<unk>\0<s>\0ABC\0</s>\0DE\0")
    assert words_in(path) == ("<s>", "ABC", "</s>", "DE")
    with pytest.raises(LanguageModelError, match="never 'ABC', 'DE': write it in lower case"):
        fuse(LABELS, KenLM(path))


@pytest.mark.parametrize("end", [b"", b"<unk>\0abc", b"<unk>\0\xff\xfe\0"])
def test_a_binary_model_without_words_says_nothing(tmp_path, monkeypatch, end):
    monkeypatch.setitem(sys.modules, "kenlm", FakeKenlm("kenlm"))
    path = tmp_path / "lm.bin"
    path.write_bytes(KENLM_LIKE + end)
    assert words_in(path) == ()
    assert fuse(LABELS, KenLM(path)).listed is None
    assert np.isfinite(fuse(LABELS, KenLM(path)).beta)
