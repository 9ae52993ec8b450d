"""``xlsr-ref listen``, with a file that is played and with a stand-in for the microphone."""

from __future__ import annotations

import json
import os
import signal
import sys

import numpy as np
import pytest
from fake_microphone import fake_sounddevice

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.audio.clips import bundled_clips
from xlsr_ref.cli import main
from xlsr_ref.text.formats import format_transcript

CLIP = next(clip.path for clip in bundled_clips() if clip.path.suffix == ".flac")


@pytest.fixture(scope="module")
def expected():
    """What a stream understands of the clip, in windows of 2 s."""
    stream = xlsr_ref.load().stream(chunk_seconds=2)
    stream.feed(audio.read(CLIP, 16000))
    return stream.finish()


def listen(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["listen", "--chunk", "2", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_file_is_played(capsys, tmp_path, expected):
    target = tmp_path / "said.srt"
    status, out, err = listen(capsys, "--file", str(CLIP), "--speed", "1e6", "-o", str(target))
    assert status == 0
    assert out.count("\n") > 1  # as it became final
    assert out.split() == expected.text.split()
    assert "a word is final 0.7 to 1.4 s after it was said" in err
    assert target.read_text("utf-8") == format_transcript(expected, "srt")


def test_with_a_language_model_and_json(capsys, tmp_path):
    target = tmp_path / "said.json"
    model = xlsr_ref.load()
    stream = model.stream(chunk_seconds=2, lm="bundled")
    stream.feed(audio.read(CLIP, 16000))
    status, out, _ = listen(capsys, "--file", str(CLIP), "--speed", "1e6", "--lm", "bundled", "-o", str(target))
    assert status == 0
    assert json.loads(target.read_text("utf-8"))["text"] == stream.finish().text == " ".join(out.split())


def test_a_microphone_until_ctrl_c(capsys, monkeypatch):
    x = audio.read(CLIP, 16000)
    stream = xlsr_ref.load().stream(chunk_seconds=2)
    first = stream.feed(np.append(x, x)).final.split()[:3]
    end = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(np.append(x, x), (16000.0,), end, slowly=True))
    status, out, _ = listen(capsys)
    assert status == 0
    assert out.split()[:3] == first
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_told_of_a_machine_that_is_too_slow(capsys, monkeypatch):
    x = audio.read(CLIP, 16000)
    end = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(np.tile(x, 4), (16000.0,), end, lost=True))
    status, _, err = listen(capsys)
    assert status == 0
    assert err.count("computes slower than people speak") == 1
    assert err.count("the microphone lost sound") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ([], 1, 'pip install "xlsr_ref[listen]"'),
        (["--file", "not.wav"], 1, "not.wav: cannot be opened"),
        (["--file", "x", "--device", "1"], 2, "give --device or --file"),
        (["--speed", "2"], 2, "--speed is for --file"),
        (["--file", str(CLIP), "--speed", "0"], 1, "give a number above 0"),
        (["--file", str(CLIP), "-o", "x.doc"], 2, "its name should end in one of .txt, .json"),
        (["--file", str(CLIP), "--alpha", "1"], 2, "give --lm"),
        (["--file", str(CLIP), "-o", str(CLIP)], 1, "would be replaced"),
        (["--file", str(CLIP), "--stride", "1"], 1, "leaves nothing of a chunk"),
    ],
)
def test_one_line_for_what_is_wrong(capsys, monkeypatch, tmp_path, arguments, status, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, out, err = listen(capsys, *arguments)
    assert (code, out) == (status, "")
    assert line in err.splitlines()[-1]
