"""Phoneme vocabularies: what transformers does is recorded in test_tokenizer.py and test_greedy.py; here the words."""

import json
import sys
import types

import pytest

from xlsr_ref.errors import VocabularyError
from xlsr_ref.text import phonemes as phonemes_file
from xlsr_ref.text.greedy import Run, split_words
from xlsr_ref.text.phonemes import PhonemeTokenizer
from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.text.vocabulary import read_vocabulary

SOUNDS = {
    "<pad>": 0,
    "<s>": 1,
    "</s>": 2,
    "<unk>": 3,
    "h": 4,
    "ə": 5,
    "l": 6,
    "oʊ": 7,
    "w": 8,
    "ɜː": 9,
    "d": 10,
    "#": 11,
}
SPOKEN = {"hello": "h ə l oʊ", "world": "w ɜː l d", "2": "t uː"}


def tokenizer_in(folder, **config):
    (folder / "vocab.json").write_text(json.dumps(SOUNDS), encoding="utf-8")
    config = {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"} | config
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return read_tokenizer(folder)


@pytest.fixture
def phonemizer(monkeypatch):
    """A phonemizer that knows three words. The value: what its backend was asked."""
    asked = []

    class Backend:
        def __init__(self, language, **options):
            asked.append((language, options))
            if language == "xx":
                raise RuntimeError("language xx\nis not known")

        def phonemize(self, texts, separator):
            (text,) = texts
            asked.append(text)
            words = [SPOKEN[word].replace(" ", separator.phone) + separator.phone for word in text.split()]
            return ["".join(word + separator.word for word in words)]

    class Separator:
        def __init__(self, phone, word, syllable):
            self.phone, self.word = phone, word

    modules = {
        "phonemizer": types.ModuleType("phonemizer"),
        "phonemizer.backend": types.SimpleNamespace(BACKENDS={"espeak": Backend, "segments": Backend}),
        "phonemizer.separator": types.SimpleNamespace(Separator=Separator),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    phonemes_file._backend.cache_clear()
    yield asked
    phonemes_file._backend.cache_clear()


def words(found):
    return [(word.text, " ".join(word.tokens)) for word in found]


def test_text_becomes_phonemes(tmp_path, phonemizer):
    tokenizer = tokenizer_in(tmp_path)
    assert isinstance(tokenizer, PhonemeTokenizer)
    assert tokenizer.encode("Hello  world") == [4, 5, 6, 7, 8, 9, 6, 10]
    assert words(tokenizer.words_of("Hello World")) == [("Hello", "h ə l oʊ"), ("World", "w ɜː l d")]
    assert phonemizer[:2] == [("en-us", {"language_switch": "remove-flags"}), "hello  world"]
    assert tokenizer.encode("") == []


def test_between_words_stands_the_delimiter_also_at_the_end(tmp_path, phonemizer):
    """At the end, too: so transformers encodes."""
    tokenizer = tokenizer_in(tmp_path, word_delimiter_token="#")
    assert tokenizer.encode("hello world") == [4, 5, 6, 7, 11, 8, 9, 6, 10, 11]
    assert words(tokenizer.words_of("hello world")) == [("hello", "h ə l oʊ"), ("world", "w ɜː l d")]


def test_a_wildcard_is_not_spoken(tmp_path, phonemizer):
    tokenizer = tokenizer_in(tmp_path)
    expected = [("hello", "h ə l oʊ"), ("*", "*"), ("*", "*"), ("world", "w ɜː l d")]
    assert words(tokenizer.words_of("hello * * world")) == expected
    assert words(tokenizer.words_of("*")) == [("*", "*")]


def test_where_words_cannot_be_told_apart_they_are_called_by_their_phonemes(tmp_path, phonemizer, monkeypatch):
    monkeypatch.setitem(SPOKEN, "20", "t w ɛ n \x1f t i")  # one word in the text, two in the mouth
    assert words(tokenizer_in(tmp_path).words_of("20")) == [("t w ɛ n", "t w ɛ n"), ("t i", "t i")]


def test_phonemes_that_are_given(tmp_path):
    plain, divided = tokenizer_in(tmp_path), tokenizer_in(tmp_path, word_delimiter_token="#")
    assert words(plain.words_of("h ə | l", phonemes=True)) == [("h ə", "h ə"), ("l", "l")]
    assert words(plain.words_of("h ə  l", phonemes=True)) == [("h", "h"), ("ə", "ə"), ("l", "l")]
    assert words(divided.words_of("# h ə # l", phonemes=True)) == [("h ə", "h ə"), ("l", "l")]
    assert words(divided.words_of("h ə", phonemes=True)) == [("h ə", "h ə")]
    assert words(tokenizer_in(tmp_path, do_phonemize=False).words_of("h ə | l")) == [("h ə", "h ə"), ("l", "l")]


def test_the_words_of_a_transcript(tmp_path):
    runs = [Run(token, i, i + 1) for i, token in enumerate(["h", "ə", "#", "l", "oʊ"])]
    divided = tokenizer_in(tmp_path, word_delimiter_token="#")
    assert [[run.token for run in word] for word in split_words(runs, divided)] == [["h", "ə"], ["l", "oʊ"]]
    assert divided.spelled(["h", "ə"]) == "h ə"
    assert divided.spelled(["#"]) == " "
    assert [[run.token for run in word] for word in split_words(runs[:2], tokenizer_in(tmp_path))] == [["h"], ["ə"]]


def test_no_ids_are_no_phonemes(tmp_path):
    assert tokenizer_in(tmp_path).decode([]) == ""


def test_without_phonemizer(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "phonemizer", None)
    monkeypatch.setitem(sys.modules, "phonemizer.separator", None)
    with pytest.raises(VocabularyError, match=r"pip install .*phonemes.* install espeak-ng, or give the phonemes"):
        tokenizer_in(tmp_path).encode("hello")
    assert tokenizer_in(tmp_path, do_phonemize=False).encode("h ə") == [4, 5]
    assert tokenizer_in(tmp_path).decode([4, 4, 0, 5]) == "h ə"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"phonemizer_lang": "xx"},
            r"no phonemes of 'xx' \(language xx is not known\): see that espeak-ng is installed",
        ),
        ({"phonemizer_backend": "festival"}, r"\('festival'\): see that festival is installed"),
        ({}, r"of 'en-us' \('goodbye'\)"),
    ],
)
def test_what_phonemizer_refuses(tmp_path, phonemizer, config, message):
    with pytest.raises(VocabularyError, match=message) as error:
        tokenizer_in(tmp_path, **config).encode("goodbye")
    assert "\n" not in str(error.value)


def test_other_backends_know_no_language_switches(tmp_path, phonemizer):
    tokenizer_in(tmp_path, phonemizer_backend="segments", phonemizer_lang="cree").encode("hello")
    assert phonemizer[0] == ("cree", {})


def test_the_files_must_ask_for_phonemes(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(SOUNDS), encoding="utf-8")
    with pytest.raises(VocabularyError, match="ask for no phonemes"):
        PhonemeTokenizer(read_vocabulary(tmp_path))


def test_the_delimiter_is_kept_where_that_is_asked_for(tmp_path):
    """As by transformers 5.23's Wav2Vec2PhonemeCTCTokenizer.decode, which has this argument."""
    tokenizer = tokenizer_in(tmp_path, word_delimiter_token="#")
    ids = [4, 4, 0, 5, 11, 11, 0, 8, 10, 11]
    assert tokenizer.decode(ids) == tokenizer.decode(ids, filter_word_delimiter_token=True) == "h ə w d"
    assert tokenizer.decode(ids, filter_word_delimiter_token=False) == "h ə # w d #"
    assert tokenizer.decode(ids, filter_word_delimiter_token=False, group_tokens=False) == "h h ə # # w d #"
