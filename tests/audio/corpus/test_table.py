"""Tables of recordings: with and without names of columns, tabs, commas and JSON; and what is refused."""

from __future__ import annotations

import pytest

from xlsr_ref.audio.corpus import open_corpus
from xlsr_ref.errors import ManifestError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.tsv", "a.wav\tone, two\nb.wav\tthree\n"),
        ("list.csv", 'a.wav,"one, two"\nb.wav,three\n'),
        ("list.csv", '\ufeffpath,text\r\na.wav,"one, two"\r\n\r\nb.wav,three\r\n'),
        ("list.csv", "sentence;audio\none, two;a.wav\nthree;b.wav\n"),
        ("list.txt", "\ufefffile_name\ttranscript\na.wav\tone, two\r\nb.wav\tthree"),
        ("list.tsv", 'path\tsentence\na.wav\t"one, two"\nb.wav\tthree\n'),
        (
            "list.jsonl",
            '{"audio_filepath": "a.wav", "text": "one, two"}\n{"audio_filepath": "b.wav", "text": "three"}\n',
        ),
    ],
)
def test_two_columns_in_any_form(sound, text, name, content):
    sound("a.wav"), sound("b.wav")
    corpus = open_corpus(text(name, content))
    assert [(c.path.name, c.text, c.split) for c in corpus.clips] == [("a.wav", "one, two", ""), ("b.wav", "three", "")]
    assert corpus.left_out == []


@pytest.mark.parametrize(
    ("name", "between", "quote"), [("list.csv", ",", ""), ("list.csv", ";", ""), ("list.tsv", "\t", '"')]
)
def test_all_columns_of_a_list_in_another_form(sound, text, name, between, quote):
    sound("a.wav")
    rows = ["path", "lang", "speaker", "seconds", "split", "text"], ["a.wav", "en", "anna", "0.5", "dev", "one two"]
    lines = [between.join(f"{quote}{field}{quote}" for field in row) for row in rows]
    corpus = open_corpus(text(name, "\n".join(lines) + "\n"))
    (clip,) = corpus.clips
    assert clip[1:6] == ("en", "anna", 0.5, "dev", "one two")


def test_a_quotation_is_no_quoting(sound, text):
    sound("a.wav")
    (clip,) = open_corpus(text("list.tsv", 'a.wav\t"no" and "yes"\n')).clips
    assert clip.text == '"no" and "yes"'


def test_offsets_and_durations(sound, text):
    sound("a.wav", 3.0)
    corpus = open_corpus(text("list.csv", "path,text,offset,duration\na.wav,x,0.5,1\na.wav,y,1.5,1.25\n"))
    assert [(c.start, c.end, c.seconds) for c in corpus.clips] == [(0.5, 1.5, 1.0), (1.5, 2.75, 1.25)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.tsv", "a.wav\tb\tc\n", r"its first line names no columns .* found a\.wav, b, c"),
        ("list.tsv", "b.wav\tb\n", "is no recording and a text"),
        ("list.tsv", "", "names no columns"),
        ("list.csv", "path,text\na.wav\n", "line 2: has 1 columns, but the first has 2"),
        ("list.csv", 'path,text\na.wav,"x\n', "is not CSV"),
        ("list.csv", "path,text,text\na.wav,x,y\n", "names the column text twice"),
        ("list.csv", "path,text\n,x\n", "line 2: has no path of a recording"),
        ("list.csv", "path,text,seconds\na.wav,x,long\n", "line 2: seconds is long: it must be a number"),
        ("list.csv", "path,text\n", "no clip can be used, 0 were left out"),
        ("list.tsv", b"path\ttext\na.wav\t\0\n", "has null bytes"),
        ("list.tsv", b"path\ttext\na.wav\t\xff\n", "is not UTF-8 text: byte 16 is 0xff: give a table"),
        ("list.jsonl", "{}\n", "line 1: has no path of a recording"),
        ("list.jsonl", "[1]\n", "line 1, must hold a JSON object"),
    ],
)
def test_what_cannot_be_read_is_named(sound, text, name, content, message):
    sound("a.wav")
    with pytest.raises(ManifestError, match=message) as error:
        open_corpus(text(name, content))
    assert "\n" not in str(error.value)
    assert name in str(error.value)
