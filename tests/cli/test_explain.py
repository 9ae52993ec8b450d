"""``xlsr-ref explain``: what it writes, what it refuses, and with which exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import xlsr_ref
from xlsr_ref.cli import explain, main
from xlsr_ref.teach.explain import LONGEST

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIP = DATA / "clips" / "en" / "tt-monkeysintro.flac"


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_a_page(capsys, tmp_path):
    assert main(["explain", str(CLIP), "-o", "new/page.html", "--start", "0.2", "--seconds", "0.6"]) == 0
    assert capsys.readouterr() == ("", "")
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "tt-monkeysintro.flac · 0.60\u00a0s" in html
    assert "the bundled model" in html


def test_a_page_that_is_there_is_replaced(tmp_path):
    (tmp_path / "page.html").write_text("old")
    assert main(["explain", str(CLIP), "-o", "page.html", "--seconds", "0.2"]) == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8") != "old"


def test_a_long_recording_is_cut_and_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(explain, "LONGEST", 0.3)
    assert main(["explain", str(CLIP), "-o", "page.html"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("is longer than a page can show: it shows 0 to 0.3 s; --start SEC shows another part\n")
    assert len(err.splitlines()) == 1


def test_the_limit_is_that_of_the_page():
    assert explain.LONGEST == LONGEST


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["a.wav"],
        ["-o", "a.html"],
        ["a.wav", "-o", "a.html", "--start", "-1"],
        ["a.wav", "-o", "a.html", "--start", "nan"],
        ["a.wav", "-o", "a.html", "--seconds", "31"],
        ["a.wav", "-o", "a.html", "--seconds", "0"],
    ],
)
def test_wrong_usage(capsys, argv):
    assert main(["explain", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: xlsr-ref explain" in err
    assert "error: " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["", "-o", "a.html"], "AUDIO is an empty name"),
        ([".", "-o", "a.html"], ".: is a folder; give one recording"),
        (["none.wav", "-o", "a.html"], "none.wav: cannot be opened"),
        (["noise.txt", "-o", "a.html"], "noise.txt: is not audio that libsndfile can read"),
        (["short.wav", "-o", "a.html"], "short.wav: 300 samples"),
        (["one.wav", "-o", "a.html", "--start", "5"], "one.wav: the recording is 0.10 s long: it has nothing from 5 s"),
        (["one.wav", "-o", ""], "'': is no name for a page"),
        (["one.wav", "-o", "-"], "-: is no name for a page; give a file such as talk.html"),
        (["one.wav", "-o", "folder"], "folder: is no name for a page"),
        (["one.wav", "-o", "one.wav"], "one.wav: is read here and would be replaced"),
        (["one.wav", "-o", "short.wav/a.html"], "short.wav/a.html cannot be written"),
        (["one.wav", "-o", "a.html", "--model", str(DATA / "small-pretrained")], "which has no CTC head"),
        (["one.wav", "-o", "a.html", "--model", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_one_line(capsys, tmp_path, argv, says):
    (tmp_path / "noise.txt").write_text("no sound")
    (tmp_path / "folder").mkdir()
    soundfile.write(tmp_path / "short.wav", np.zeros(300), 16000)
    soundfile.write(tmp_path / "one.wav", np.zeros(1600), 16000)
    before = sorted(tmp_path.iterdir())
    assert main(["explain", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err
    assert sorted(tmp_path.iterdir()) == before


def test_interrupted(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(xlsr_ref, "load", stopped, raising=False)
    assert main(["explain", str(CLIP), "-o", "a.html"]) == 130
    assert capsys.readouterr() == ("", "xlsr-ref: interrupted\n")
