"""Labels: what the columns of the scores write."""

import json

import pytest

from xlsr_ref.errors import DecodingError
from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.text.search.labels import labels_of, make_labels


def tokenizer_in(folder, vocab, **config):
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return read_tokenizer(folder)


def test_of_a_tokenizer(tmp_path):
    tokenizer = tokenizer_in(tmp_path, {"A": 0, "|": 1, "SCH": 2, "<pad>": 3, "<unk>": 4}, do_lower_case=True)
    labels = labels_of(tokenizer, 5)
    assert labels.written == ("a", " ", "sch", "", "<unk>")
    assert labels.blank == 3
    assert labels.space.tolist() == [False, True, False, False, False]
    assert not labels.unambiguous


def test_spaces_are_what_is_written_as_one(tmp_path):
    tokenizer = tokenizer_in(tmp_path, {"<pad>": 0, "a": 1, " ": 2, "|": 3, "<unk>": 4})
    assert labels_of(tokenizer, 4).space.tolist() == [False, False, True, True]


def test_columns_that_have_no_token(tmp_path):
    switched_off = {"bos_token": None, "eos_token": None}
    tokenizer = tokenizer_in(tmp_path, {"<pad>": 0, "a": 1, "<unk>": 2}, **switched_off)
    assert labels_of(tokenizer, 5).written == ("", "a", "<unk>", " ", "<unk>")  # as greedy decoding reads them
    tokenizer = tokenizer_in(tmp_path, {"<pad>": 0, "a": 1}, unk_token=None, **switched_off)
    with pytest.raises(DecodingError, match=r"9 columns, but the vocabulary has no token 3"):
        labels_of(tokenizer, 9)


def test_no_blank(tmp_path):
    with pytest.raises(DecodingError, match="no pad token"):
        labels_of(tokenizer_in(tmp_path, {"a": 0, "<unk>": 1}, pad_token=None), 2)
    with pytest.raises(DecodingError, match="no pad token"):
        labels_of(tokenizer_in(tmp_path, {"a": 0, "<unk>": 1, "<pad>": 2}), 2)


def test_made_by_hand():
    assert make_labels(["a", "-", " "], 1).written == ("a", "", " ")
    assert make_labels(["", "a", " "]).unambiguous
    assert not make_labels(["", "a", "a"]).unambiguous
    with pytest.raises(DecodingError, match="the blank is 3"):
        make_labels(["a"], 3)
    with pytest.raises(DecodingError, match="label 1 writes nothing"):
        make_labels(["-", "", "a"])
