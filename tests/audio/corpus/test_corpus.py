"""Clips compared with their recordings and with each other: what is left out, what is noted, what is refused."""

from __future__ import annotations

import pytest

from xlsr_ref.audio.corpus import notes_on_texts, open_corpus
from xlsr_ref.audio.manifest import COLUMNS
from xlsr_ref.errors import ManifestError

HEADER = "\t".join(COLUMNS)


def test_a_list_of_ours_is_checked(sound, text):
    sound("a.wav", 0.5), sound("b.wav", 2.0), sound("c.wav", 1.0)
    lines = ["a.wav\ten\tanna\t0.52\ttrain\tcafe\u0301", "b.wav\ten\tanna\t1\tdev\t", "c.wav\ten\t\t1\ttest\tx"]
    corpus = open_corpus(text("list.tsv", "\n".join([HEADER, *lines])))
    assert [c.seconds for c in corpus.clips] == [0.52, 2.0, 1.0]  # the second was wrong and is measured
    assert corpus.notes == [
        "1 length in the list is wrong and measured: b.wav has 2.00 s, not 1 s",
        "1 speaker of train is in dev, too (anna): the error rates there will be too low for other voices",
    ]
    assert list(notes_on_texts(corpus.clips)) == [
        "1 text is not in Unicode's NFC, where an é is one character: --text nfc, or text.unicode in a recipe, "
        "composes them",
        "1 clip has no text",
    ]


def test_parts_in_a_list_of_ours(sound, text):
    sound("a.wav", 2.0)
    content = f"{HEADER}\tstart\tend\na.wav\ten\tx\t1\ttest\tone\t0.5\t1.5\na.wav\ten\tx\t0.5\ttest\ttwo\t1.5\t\n"
    assert [(c.start, c.end, c.seconds) for c in open_corpus(text("list.tsv", content)).clips] == [
        (0.5, 1.5, 1.0),
        (1.5, None, 0.5),
    ]
    with pytest.raises(ManifestError, match=r"line 2: the part from 1 to 0\.5 s: its end must come after its start"):
        open_corpus(text("list.tsv", f"{HEADER}\tstart\tend\na.wav\ten\tx\t1\ttest\tone\t1\t0.5\n"))


def test_duplicates(sound, text):
    sound("a.wav"), sound("b.wav")
    corpus = open_corpus(text("list.csv", "path,text\na.wav,x\na.wav,x\n./a.wav,y\nb.wav,z\n"))
    assert [c.text for c in corpus.clips] == ["x", "z"]
    assert [one.why for one in corpus.left_out] == [
        "it stands there twice: line 2",
        "it stands there twice, with another text: line 2",
    ]
    with pytest.raises(
        ManifestError, match=r"a\.wav: is in train \(line 2\) and in dev \(line 3\): remove it from one"
    ):
        open_corpus(text("list.csv", "path,text,split\na.wav,x,train\na.wav,x,dev\n"))


def test_recordings_that_are_none(sound, text):
    sound("a.wav"), text("b.wav", "no sound"), text("c.wav", "")
    corpus = open_corpus(text("list.csv", "path,text\na.wav,x\nb.wav,x\nc.wav,x\nd.wav,x\n"))
    assert len(corpus.clips) == 1
    whys = [one.why for one in corpus.left_out]
    assert whys[0].startswith("is not audio that libsndfile can read")
    assert whys[1] == "is empty (0 bytes)"
    assert whys[2].startswith("there is no file")
    (tmp := text("list.csv", "path,text\na.wav,x\n")).with_name("a.wav").unlink()
    with pytest.raises(
        ManifestError, match=r"list\.csv: no clip can be used, 1 were left out, line 2: a\.wav the first"
    ):
        open_corpus(tmp)


def test_splits(sound, text):
    sound("a.wav")
    path = text("list.csv", "path,text,split\na.wav,x,validation\nlost.wav,x,train\n")
    corpus = open_corpus(path, split="dev")
    assert [c.split for c in corpus.clips] == ["dev"]
    assert corpus.left_out == []  # what is of no interest need not be there
    with pytest.raises(ManifestError, match="no clip belongs to the split test, only to dev, train"):
        open_corpus(path, split="test")
    own = text("own.tsv", f"{HEADER}\na.wav\ten\t\t0.5\t\tx\n")
    assert len(open_corpus(own, split="test").clips) == 1


def test_whole_recordings_are_not_opened_where_only_parts_are_measured(sound, text):
    sound("a.wav", 2.0), text("b.wav", "no sound")
    content = "path,text,start,end\na.wav,x,,\nb.wav,x,,\na.wav,x,0.5,1\na.wav,x,1,4\n"
    corpus = open_corpus(text("list.csv", content), measure="parts")
    assert [(c.path.name, c.start, c.end, c.seconds) for c in corpus.clips] == [
        ("a.wav", 0.0, None, 0.0), ("b.wav", 0.0, None, 0.0), ("a.wav", 0.5, 1.0, 0.5),
    ]  # fmt: skip
    assert [one.why for one in corpus.left_out] == ["it reaches from 1 to 4 s, and its recording has 2.00 s"]
