"""``xlsr-ref align``: what it prints, what it writes, what it refuses, and with which exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.chunks import Chunking, chunking
from xlsr_ref.cli import main, recordings
from xlsr_ref.cli.align import FORMATS
from xlsr_ref.errors import AudioError
from xlsr_ref.text.formats import OF_ALIGNMENTS
from xlsr_ref.text.transcript import Span, Transcript

CLIP = Path(xlsr_ref.__file__).parent / "data" / "clips" / "en" / "tt-monkeysintro.flac"
TEXT = "they have been carried away by monkeys"


class FakeModel:
    """Lays a second under each word."""

    tokenizer, seconds_per_frame = None, 0.02

    def chunking(self, chunk_seconds: float | None, stride_seconds: float | None) -> Chunking:
        return chunking(chunk_seconds, stride_seconds, self.seconds_per_frame)

    def align(self, path: Path, text: str, **how) -> Transcript:
        self.how = how
        if path.stem == "bad":
            raise AudioError(f"{path}: is not audio")
        if path.stem == "short":
            raise AudioError("7 samples are too few")
        if path.stem == "stop":
            raise KeyboardInterrupt
        words = tuple(Span(word, i, i + 1.0, 0.5) for i, word in enumerate(text.split()))
        return Transcript(text, words, words, 0.5, 99.0)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A model that needs no computing, in an empty folder. The value: the folders that were loaded, and the model."""
    loads, model = [], FakeModel()

    def load(folder, dtype, **more):
        loads.append(folder)
        return model

    monkeypatch.setattr(xlsr_ref, "load", load, raising=False)
    monkeypatch.setattr(recordings, "_why_not", lambda path: "")  # every file is there
    monkeypatch.chdir(tmp_path)
    return loads, model


def test_formats_are_those_of_the_text_room():
    assert FORMATS == OF_ALIGNMENTS


def test_a_clip(capsys):
    assert main(["align", str(CLIP), TEXT]) == 0
    out, err = capsys.readouterr()
    assert out.startswith('File type = "ooTextFile"\n')
    assert 'name = "characters"' in out
    assert all(f'text = "{word}"' in out for word in TEXT.split())
    assert "xmax = 2.68" in out
    assert err == ""


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_to_the_output_and_to_a_file(fake, capsys, tmp_path, form):
    assert main(["align", "my talk.wav", "good day", "--format", form]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    begins = {
        "textgrid": "File type",
        "eaf": "<?xml",
        "json": "{",
        "srt": "1\n",
        "vtt": "WEBVTT",
        "ctm": "my_talk 1 0.000 1.000 good",
    }
    assert out.startswith(begins[form])
    assert main(["align", "my talk.wav", "good day", "--format", form, "-o", "new/file"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "new" / "file").read_text(encoding="utf-8") == out


@pytest.mark.parametrize(
    "line",
    [
        ["my talk.wav", "--format", "ctm", "good day"],
        ["--format", "ctm", "my talk.wav", "good day"],
        ["my talk.wav", "good day", "--format", "ctm"],
        ["my talk.wav", "--format", "ctm", "--", "good day"],
    ],
)
def test_options_stand_anywhere(fake, capsys, line):
    assert main(["align", *line]) == 0
    assert capsys.readouterr().out.startswith("my_talk 1 0.000 1.000 good")


def test_the_text_of_a_file(fake, capsys, tmp_path):
    (tmp_path / "talk.txt").write_bytes(b"\xef\xbb\xbfgood\r\nday")
    assert main(["align", "talk.wav", "--text-file", "talk.txt", "--format", "json"]) == 0
    assert [word["text"] for word in json.loads(capsys.readouterr().out)["words"]] == ["good", "day"]


def test_what_reaches_the_model(fake):
    loads, model = fake
    argv = ["align", "a.wav", "x", "--model", "somewhere", "--chunk", "20", "--stride", "2", "--phonemes"]
    assert main(argv) == 0
    assert loads == ["somewhere"]
    assert model.how == {"chunk_seconds": 20.0, "stride_seconds": 2.0, "phonemes": True}


@pytest.mark.parametrize("argv", [[], ["a.wav"], ["a.wav", "x", "--text-file", "y"], ["a.wav", "x", "--format", "tsv"]])
def test_wrong_usage(fake, capsys, argv):
    assert main(["align", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: xlsr-ref align" in err
    assert "error: " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["", "x"], "AUDIO is an empty name"),
        ([".", "x"], ".: is a folder; give one recording"),
        (["a.wav", " "], "TEXT is empty: give what is said"),
        (["a.wav", "--text-file", "empty.txt"], "empty.txt is empty"),
        (["a.wav", "--text-file", "none.txt"], "none.txt is missing"),
        (["a.wav", "--text-file", "."], ". is a folder"),
        (["a.wav", "--text-file", "a\0b"], "'a\\x00b' cannot be read: "),
        (["a.wav", "--text-file", "noise.txt"], "noise.txt is not UTF-8 text: byte "),
        (["bad.wav", "x"], "xlsr-ref: bad.wav: is not audio"),
        (["short.wav", "x"], "xlsr-ref: short.wav: 7 samples are too few"),
        (["a.wav", "x", "-o", "a.wav"], "a.wav: is read here and would be replaced"),
        (["a.wav", "x", "-o", "folder"], "folder cannot be written"),
        (["a.wav", "x", "--chunk", "-1"], "xlsr-ref: a chunk of -1.0 s"),
    ],
)
def test_what_cannot_be_is_one_line(fake, capsys, tmp_path, argv, says):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "noise.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder").mkdir()
    assert main(["align", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_interrupted(fake, capsys):
    assert main(["align", "stop.wav", "x"]) == 130
    assert capsys.readouterr() == ("", "xlsr-ref: interrupted\n")
