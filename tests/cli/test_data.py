"""``xlsr-ref data``: what it shows of a corpus, and the list that the other commands read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.cli import main

CLIPS = Path(xlsr_ref.__file__).parent / "data" / "clips" / "en"


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A folder of Common Voice: two clips, one that is missing, one with a numeral."""
    monkeypatch.chdir(tmp_path)
    Path("cv/en/clips").mkdir(parents=True)
    for name in ("1", "3", "5"):
        shutil.copy(CLIPS / f"digits__{name}.ogg", f"cv/en/clips/{name}.ogg")
    rows = ["client_id\tpath\tsentence", "anna\t1.ogg\tOne!", "anna\tlost.ogg\ttwo"]
    Path("cv/en/train.tsv").write_text("\n".join(rows), "utf-8")
    Path("cv/en/test.tsv").write_text("client_id\tpath\tsentence\nboris\t3.ogg\tthree\ncarl\t5.ogg\t5\n", "utf-8")
    return Path("cv/en")


def test_what_was_understood(corpus, capsys):
    assert main(["data", "cv/en", "-o", "cv/list.tsv", "--text", "lower,no-punctuation,no-numerals"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("Common Voice: 2 clips, 0.00 hours, speakers: 2")
    assert [line.split()[:2] for line in lines[1:4]] == [["split", "clips"], ["test", "1"], ["train", "1"]]
    assert lines[4] == "characters: 'e' 3, 'o' 1, 'n' 1, 't' 1, 'h' 1, 'r' 1"
    assert "text: 1 of 3 left out for their numerals" in lines
    assert lines[-3] == "left out: 2"
    assert lines[-2].startswith("  train.tsv, line 3: lost.ogg: there is no file")
    assert lines[-1] == "  5.ogg: its text has numerals"
    first, second = read_manifest("cv/list.tsv")
    assert (first.path, first.text, first.split, first.lang) == (Path("cv/en/clips/1.ogg"), "one", "train", "en")
    listed = {clip.path: clip.seconds for clip in read_manifest(CLIPS.parents[1] / "clips.tsv")}
    assert first.seconds == listed[CLIPS / "digits__1.ogg"]
    assert second.speaker == "boris"
    assert main(["evaluate", "cv/list.tsv"]) == 0


def test_parts_of_files_have_their_times_in_the_list(corpus, capsys):
    Path("parts.csv").write_text("path,text,start,end\ncv/en/clips/1.ogg,x,0.1,0.2\ncv/en/clips/1.ogg,y,0.2,\n")
    assert main(["data", "parts.csv", "-o", "deep/list.tsv"]) == 0
    assert [(clip.start, clip.end) for clip in read_manifest("deep/list.tsv")] == [(0.1, 0.2), (0.2, None)]
    assert "speakers: not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        ([], 2, "the following arguments are required: SOURCE"),
        ([""], 1, "SOURCE is an empty name"),
        (["nowhere"], 1, "nowhere is missing"),
        (["cv"], 1, "cv: is none of the layouts that are known"),
        (["cv/en/clips/1.ogg"], 1, "is not UTF-8 text"),
        (["cv/en", "-o", "cv"], 1, "cv: is a folder; give --output a file"),
        (["cv/en", "-o", "cv/en/clips/1.ogg"], 1, "is read here and would be replaced"),
        (["cv/en", "--split", "dev"], 1, "no clip belongs to the split dev, only to test, train"),
        (["cv/en", "--text", "small"], 1, "--text has 'small'"),
    ],
)
def test_what_cannot_be_is_one_line(corpus, capsys, argv, status, says):
    assert main(["data", *argv]) == status
    err = capsys.readouterr().err
    assert says in err
    assert status == 2 or len(err.splitlines()) == 1
