"""Language models wherever they lie: files told apart by their beginning, folders in the layout of transformers."""

import gzip
import json
import sys

import pytest

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search.arpa import write_arpa
from xlsr_ref.text.search.fusion import ALPHA, BETA, UNKNOWN_WORD
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.labels import make_labels
from xlsr_ref.text.search.lm import LanguageModel
from xlsr_ref.text.search.lm_files import BINARY, Opened, open_lm, read_lines

pytestmark = pytest.mark.filterwarnings("ignore:too little text")

ATTRS = {"alpha": 0.7, "beta": 2, "unk_score_offset": -8.5, "score_boundary": False}
ALPHABET = {"labels": ["", "a", "b", " ", "⁇"], "is_bpe": False}


@pytest.fixture
def arpa():
    return "".join(write_arpa(train([["ab", "ba"], ["ab"]], 2)))


@pytest.fixture
def folder(tmp_path, arpa):
    inner = tmp_path / "language_model"
    inner.mkdir()
    (inner / "2gram.arpa").write_text(arpa)
    (inner / "unigrams.txt").write_text("ab\nba\n")
    (inner / "attrs.json").write_text(json.dumps(ATTRS))
    (tmp_path / "alphabet.json").write_text(json.dumps(ALPHABET))
    return tmp_path


def test_files(tmp_path, arpa):
    (tmp_path / "lm.arpa").write_text(arpa)
    (tmp_path / "lm.bin").write_bytes(gzip.compress(arpa.encode()))  # names do not matter
    for name in ("lm.arpa", "lm.bin"):
        found = open_lm(tmp_path / name)
        assert isinstance(found.lm, LanguageModel)
        assert found[1:] == (None, ALPHA, BETA, UNKNOWN_WORD, True, None)


def test_bundled_is_the_one_in_the_package_unless_there_is_a_file_of_that_name(tmp_path, arpa, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_lm("bundled").lm.order == 8
    (tmp_path / "bundled").write_text(arpa)
    assert open_lm("bundled").lm.order == 2


def test_a_folder(folder):
    found = open_lm(folder)
    assert found.lm.order == 2
    assert found[1:] == ({"ab", "ba"}, 0.7, 2.0, -8.5, False, ("", "a", "b", " ", "⁇"))
    assert open_lm(folder / "language_model")[1:-1] == found[1:-1]  # the inner one alone has no alphabet


def test_an_empty_list_of_words_is_none(folder):
    (folder / "language_model" / "unigrams.txt").write_text("")
    assert open_lm(folder).words is None


def test_hidden_files_do_not_count(folder):
    (folder / "language_model" / ".cache").write_text("")
    assert open_lm(folder).lm.order == 2


@pytest.mark.parametrize(
    ("alphabet", "message"),
    [
        (["", "a", "b", " ", "⁇"], None),
        (["[PAD]", "a", "b", "|", "<unk>"], None),  # not yet made pyctcdecode's
        (["[PAD]", "a", "b", "|", "[UNK]"], None),
        (["", "a", "b", " ", "x"], r"'x' as label 4, but the vocabulary has '\[UNK\]'"),  # which nobody wrote as ⁇
        (["", "a", "b", " ", "⁇", "<s>", "</s>"], None),  # more, as after add_tokens
        (["", "A", "B", " ", "⁇"], None),  # the tokenizer writes lower case
        (["", "a", "c", " ", "⁇"], "'c' as label 2, but the vocabulary has 'b'"),
        (["a", "", "b", " ", "⁇"], "'a' as label 0, but the vocabulary has ''"),
        (["", "a", "b", " "], "4 labels, but the scores have 5 columns"),
    ],
)
def test_the_alphabet_must_be_the_tokenizers(alphabet, message):
    opened = Opened(None, alphabet=tuple(alphabet))
    labels = make_labels(["", "a", "b", " ", "[UNK]"])
    if message is None:
        opened.check(labels)
    else:
        with pytest.raises(LanguageModelError, match=message):
            opened.check(labels)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("language_model/attrs.json", None, "no language_model folder with attrs.json"),
        ("language_model/attrs.json", "{", "attrs.json is not valid JSON"),
        ("language_model/attrs.json", "[]", "must hold a JSON object"),
        ("language_model/attrs.json", json.dumps(ATTRS | {"alpha": "x"}), "'x' as alpha"),
        ("language_model/attrs.json", json.dumps(ATTRS | {"beta": None}), "None as beta"),
        ("language_model/attrs.json", '{"alpha": 1, "beta": NaN, "unk_score_offset": 1}', "NaN is not JSON"),
        ("language_model/attrs.json", json.dumps(ATTRS | {"score_boundary": 1}), "1 as score_boundary"),
        ("language_model/other.arpa", "", "2 files that may be the model"),
        ("language_model/2gram.arpa", None, "0 files that may be the model"),
        ("language_model/2gram.arpa", "no", "is no ARPA file|ends after line|is not"),
        ("alphabet.json", "{}", "no list of labels"),
        ("alphabet.json", json.dumps(ALPHABET | {"is_bpe": True}), "is_bpe"),
        ("alphabet.json", json.dumps({"labels": [1]}), "no list of labels"),
    ],
)
def test_a_broken_folder_is_one_line(folder, file, content, message):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(LanguageModelError, match=message) as error:
        open_lm(folder)
    assert "\n" not in str(error.value)


def test_words_that_are_no_text(folder):
    (folder / "language_model" / "unigrams.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(LanguageModelError, match="is not UTF-8 text"):
        open_lm(folder)


def test_a_binary_without_kenlm(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kenlm", None)
    (tmp_path / "lm.bin").write_bytes(BINARY + b" format version 5\n\0")
    with pytest.raises(LanguageModelError, match="pip install kenlm, or give the model as an ARPA file"):
        open_lm(tmp_path / "lm.bin")


def test_a_damaged_binary(tmp_path):
    pytest.importorskip("kenlm")
    (tmp_path / "lm.bin").write_bytes(BINARY + b" format version 5\n\0")
    with pytest.raises(LanguageModelError, match="cannot be read as a language model") as error:
        open_lm(tmp_path / "lm.bin")
    assert "\n" not in str(error.value)


def test_no_file_and_an_empty_one(tmp_path):
    with pytest.raises(LanguageModelError, match="is missing"):
        open_lm(tmp_path / "lm.arpa")
    (tmp_path / "lm.arpa").write_bytes(b"")
    with pytest.raises(LanguageModelError, match=r"lm\.arpa ends after line 0"):
        open_lm(tmp_path / "lm.arpa")


def test_lines_of_a_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffché\r\nb".encode())
    assert [line.split() for line in read_lines(path)] == [["ché"], ["b"]]
    for content, message in (
        (b"a\n\xff", "line 2: is not UTF-8 text: byte 0 is 0xff"),
        (b"RIFF\0", "line 1: this is no text"),
    ):
        path.write_bytes(content)
        with pytest.raises(LanguageModelError, match=message):
            list(read_lines(path))
    with pytest.raises(LanguageModelError, match="is a folder"):
        list(read_lines(tmp_path))
