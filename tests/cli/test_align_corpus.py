"""``xlsr-ref align`` over a corpus: one result for each recording, words as they were written, and going on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from praatio import textgrid
from praatio.utilities.constants import Interval

import xlsr_ref
from xlsr_ref.audio.manifest import Clip
from xlsr_ref.cli import main
from xlsr_ref.cli.align_corpus import prepared_lines
from xlsr_ref.text.merge import with_original_words
from xlsr_ref.text.preparation import preparation_of
from xlsr_ref.text.transcript import Span, Transcript

CLIPS = Path(xlsr_ref.__file__).parent / "data" / "clips" / "en"
READ = ["align", "field", "--output", "grids", "--text", "lower,no-punctuation"]


@pytest.fixture
def field(tmp_path, monkeypatch):
    """Two recordings with their texts beside them."""
    monkeypatch.chdir(tmp_path)
    Path("field/sub").mkdir(parents=True)
    shutil.copy(CLIPS / "vm-review-urgent.flac", "field/a.flac")
    shutil.copy(CLIPS / "tt-monkeysintro.flac", "field/sub/b.flac")
    Path("field/a.txt").write_text("Press four, to mark\n\nthis message — as “urgent”!\n", "utf-8")
    Path("field/sub/b.txt").write_text("They have been carried away by monkeys.", "utf-8")
    return tmp_path


def tier(path, name):
    found = textgrid.openTextgrid(str(path), includeEmptyIntervals=False).getTier(name)
    return [entry.label for entry in found.entries]


def test_a_folder_becomes_textgrids(field, capsys):
    assert main(READ) == 0
    assert capsys.readouterr().out == ""
    words = ["Press", "four,", "to", "mark", "this", "message", "as", "“urgent”!"]
    assert tier("grids/a.TextGrid", "words") == words
    assert tier("grids/a.TextGrid", "utterances") == ["Press four, to mark", "this message — as “urgent”!"]
    assert tier("grids/sub/b.TextGrid", "words")[-1] == "monkeys."
    before = Path("grids/a.TextGrid").stat().st_mtime_ns
    Path("grids/sub/b.TextGrid").unlink()
    assert main([*READ, "--skip-existing"]) == 0
    assert "1 of 2 have their results already" in capsys.readouterr().err
    assert Path("grids/a.TextGrid").stat().st_mtime_ns == before
    assert Path("grids/sub/b.TextGrid").is_file()


def test_annotations_are_aligned_within_their_times(field, capsys):
    shutil.copy("field/a.flac", "talk.flac")
    made = textgrid.Textgrid()
    parts = [
        Interval(0.1, 1.4, "press four to mark"),
        Interval(1.5, 1.54, "this message"),
        Interval(2.2, 3.1, "urgent"),
    ]
    made.addTier(textgrid.IntervalTier("said", parts, 0, 3.2))
    made.save("talk.TextGrid", format="short_textgrid", includeBlankSpaces=True)
    assert main(["align", "talk.TextGrid", "--output", "grids", "--results", "all.jsonl"]) == 1  # 0.04 s hold no words
    assert "talk.flac: from 1.50 s on: the text needs" in capsys.readouterr().err
    assert tier("grids/talk.TextGrid", "utterances") == ["press four to mark", "urgent"]
    (line,) = Path("all.jsonl").read_text("utf-8").splitlines()
    found = json.loads(line)
    assert [word["text"] for word in found["words"]] == ["press", "four", "to", "mark", "urgent"]
    assert 0.1 <= found["words"][0]["start"] < found["words"][3]["end"] <= 1.4
    assert found["words"][4]["start"] >= 2.2


def test_what_cannot_be_is_told(field, capsys):
    assert main(["align", "field"]) == 2
    assert "a corpus has several results: give --output DIR, or --results FILE" in capsys.readouterr().err
    assert main(["align", "field", "--output", "grids"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert "the vocabulary has no 'P'" in err[0]
    assert main(["align", "nowhere.eaf", "--output", "more"]) == 1
    assert "nowhere.eaf is missing" in capsys.readouterr().err
    assert main(["align", "field", "some words"]) == 1
    assert "field: is a folder; give one recording" in capsys.readouterr().err


def test_words_as_they_were_written():
    clip = Clip(Path("a.wav"), "en", "", 1.0, "", "Well — well-known,x\n!\n3rd")
    assert prepared_lines(clip, preparation_of("no-numerals")) is None
    found = prepared_lines(clip, preparation_of("lower,no-punctuation"))
    assert found.text == "well well-known x\n3rd"
    assert found.words == [("Well", 1), ("—", 0), ("well-known,x", 2), ("!", 0), ("3rd", 1)]
    assert found.lines == ["Well — well-known,x", "3rd"]
    spans = tuple(Span(word, i, i + 1.0, 0.25) for i, word in enumerate(found.text.split()))
    back = with_original_words(Transcript("", spans, ()), found.words)
    assert [(word.text, word.start, word.end) for word in back.words] == [
        ("Well", 0, 1.0), ("well-known,x", 1, 3.0), ("3rd", 3, 4.0)]  # fmt: skip
    assert with_original_words(Transcript("", spans[:2], ()), found.words).words == spans[:2]
