"""What libsndfile cannot read, through ffmpeg: a stand-in on the PATH shows the mechanism, the real one reads."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.audio.ffmpeg import BEGINNINGS, is_for_ffmpeg
from xlsr_ref.audio.read import _blocks_of_ffmpeg
from xlsr_ref.audio.read import blocks as read_blocks
from xlsr_ref.cli import main
from xlsr_ref.errors import AudioError

DATA = Path(xlsr_ref.__file__).parent / "data"
HOME = import_module("xlsr_ref.audio.read")  # audio.read is the function
CLIP = DATA / "clips" / "es" / "vm-savefolder.flac"
SOUND = np.linspace(-1, 1, 3000, dtype=np.float32).reshape(-1, 2)  # (frames, channels)
MONO = SOUND.mean(axis=1, dtype=np.float64)
MP4 = b"\0\0\0\x1cftypM4A and so on"

STAND_IN = """#!{python}
import json, os, struct, sys, time
json.dump([sys.argv, os.getpid()], open({log!r}, "w"))
out = sys.stdout.buffer
{body}
"""
HEAD = "out.write(struct.pack('>4sIIIII', b'.snd', 32, 0xFFFFFFFF, 6, 8000, 2) + bytes(8))\n"
WHOLE = HEAD + f"out.write(bytes.fromhex('{SOUND.astype('>f4').tobytes().hex()}'))\n"

posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in is a script with a first line for POSIX")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """stand_in(body): a program called ffmpeg that runs ``body``; the value of the call reads what it was asked."""

    def make(body: str):
        program, log = tmp_path / "bin" / "ffmpeg", tmp_path / "asked.json"
        program.parent.mkdir()
        program.write_text(STAND_IN.format(python=sys.executable, log=str(log), body=body))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))
        return log

    return make


@pytest.fixture
def talk(tmp_path):
    path = tmp_path / "-talk.m4a"
    path.write_bytes(MP4)
    return path


def test_formats_are_told_by_how_they_begin(tmp_path):
    for at, text in BEGINNINGS:
        (tmp_path / "x").write_bytes(bytes(at) + text + bytes(20))
        assert is_for_ffmpeg(tmp_path / "x"), text
    for head in (
        b"RIFF\0\0\0\0WAVEfmt ",
        b"fLaC",
        b"OggS",
        b"ID3\4",
        b"\xff\xfb\x90",
        b"FORM\0\0\0\0AIFF",
        b".snd",
        b"",
    ):
        (tmp_path / "x").write_bytes(head)
        assert not is_for_ffmpeg(tmp_path / "x"), head
    (tmp_path / "x.aac").write_bytes(b"ID3\4")
    assert is_for_ffmpeg(tmp_path / "x.aac")
    assert not is_for_ffmpeg(tmp_path / "nowhere")
    assert not is_for_ffmpeg(CLIP)


def test_without_ffmpeg_the_word_is_said(talk, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AudioError, match=r"-talk\.m4a: .* libsndfile cannot read: install ffmpeg, or convert"):
        audio.read(talk, 8000)


@posix
def test_samples_come_through_the_pipe(talk, stand_in, monkeypatch):
    log = stand_in(WHOLE)
    monkeypatch.setattr(HOME, "BLOCK", 512)
    for dtype in ("float32", "float64"):
        blocks = list(read_blocks(talk, dtype))
        assert [rate for _, rate in blocks] == [8000] * 6
        assert [len(piece) for piece, _ in blocks] == [256] * 5 + [220]
        np.testing.assert_array_equal(np.concatenate([piece for piece, _ in blocks]), MONO.astype(dtype))
    asked = log.read_text()
    assert f'"file:{talk}"' in asked  # never a name that looks like an option or a protocol
    for needed in ('"-protocol_whitelist", "file"', '"-format_whitelist"', '"-nostdin"'):
        assert needed in asked


@posix
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (WHOLE + "sys.exit(3)", r"is cut short or damaged \(ffmpeg ended with status 3\)"),
        (WHOLE + "print('[mov @ 0x5] half\\nof it', file=sys.stderr)", r"is cut short or damaged \(half\)"),
        ("print('file: no\\n', file=sys.stderr); sys.exit(1)", r"is not audio that ffmpeg can read \(file: no\)"),
        ("", r"is not audio that ffmpeg can read \(ffmpeg ended with status 0\)"),
        (HEAD, "holds no samples"),
        (WHOLE.replace("8000", "0"), "the sampling rate in its header"),
        (HEAD + "out.write(struct.pack('>ff', 0.5, float('nan')))", r"a sample is nan \(sample 0"),
    ],
)
def test_what_goes_wrong_is_one_line(talk, stand_in, body, says):
    stand_in(body)
    with pytest.raises(AudioError, match=rf"-talk\.m4a: {says}") as caught:
        audio.read(talk, 8000)
    assert "\n" not in str(caught.value)


@posix
def test_a_program_that_cannot_be_started_is_one_line(talk, stand_in):
    stand_in("")
    program = Path(os.environ["PATH"]) / "ffmpeg"
    program.write_bytes(b"\x7fELF and nothing else")
    assert program.stat().st_mode & stat.S_IXUSR
    with pytest.raises(AudioError, match=r"-talk\.m4a: ffmpeg cannot be started: "):
        audio.read(talk, 8000)


@posix
@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_it_ends_when_nobody_reads_on(talk, stand_in, how):
    log = stand_in(WHOLE + "out.flush(); time.sleep(600)")
    blocks = _blocks_of_ffmpeg(talk, "talk", np.float32)
    if how == "close":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HOME, "BLOCK", 256)
            next(blocks)
        blocks.close()
    else:
        child = "import sys; from xlsr_ref import audio; audio.read(sys.argv[1], 8000)"
        heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - one started in the background is deaf
        program = subprocess.Popen([sys.executable, "-c", child, talk], stderr=subprocess.DEVNULL, preexec_fn=heeds)
        while not log.exists() or not log.read_text().endswith("]"):
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        program.wait()
    pid = int(log.read_text().rpartition(",")[2].rstrip("]"))
    while _runs(pid):  # a test that hangs here has found a program that was left behind
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_folder_holds_them_too_and_says_what_it_passes_over(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    folder = tmp_path / "talks"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(CLIP, folder / "a.flac")
    (folder / "b.m4a").write_bytes(MP4)
    for name in ("notes.txt", "deep/x.pdf", ".hidden"):
        (folder / name).touch()
    assert main(["transcribe", "talks"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(str(Path("talks", "a.flac")))
    lines = [line for line in err.splitlines() if "compiling" not in line]
    assert (
        lines[0]
        == f"xlsr-ref: talks: 2 files are passed over, not named like audio: {Path('deep', 'x.pdf')}, notes.txt"
    )
    assert "b.m4a" in lines[1]
    assert "install ffmpeg" in lines[1]
    assert len(lines) == 2


# --- the real one ----------------------------------------------------------------------------------------------------

real = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
CODECS = {".m4a": "aac", ".aac": "aac", ".mp4": "aac", ".webm": "libopus", ".wma": "wmav2", ".mkv": "flac"}


def encoded(path: Path) -> Path:
    line = ["ffmpeg", "-v", "error", "-nostdin", "-i", CLIP, "-c:a", CODECS[path.suffix], path]
    done = subprocess.run(line, capture_output=True)
    if done.returncode:
        pytest.skip(f"this ffmpeg does not write {path.suffix}: {done.stderr.decode()[:100]}")
    return path


@real
@pytest.mark.parametrize("suffix", CODECS)
def test_what_ffmpeg_writes_is_read(tmp_path, suffix):
    sound, original = audio.read(encoded(tmp_path / f"ключ {suffix}"), 16000), audio.read(CLIP, 16000)
    assert abs(len(sound) - len(original)) <= 2 * 2048  # a frame of the codec at either end
    assert np.std(sound) == pytest.approx(np.std(original), rel=0.05)
    if suffix == ".mkv":  # nothing is lost
        np.testing.assert_array_equal(sound, original)


@real
@pytest.mark.parametrize("suffix", [".m4a", ".webm", ".wma", ".aac"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, suffix):
    path = encoded(tmp_path / f"cut{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(AudioError, match=rf"cut{suffix}: is (cut short or damaged|not audio that ffmpeg can read) \("):
        audio.read(path, 16000)


@real
def test_a_playlist_opens_nothing(tmp_path):
    """A file that begins like a video but is a list of others: such formats are not among those that are allowed."""
    (tmp_path / "x.mp4").write_bytes(b"ffconcat version 1.0\nfile '%s'\n" % os.fsencode(CLIP))
    (tmp_path / "y.mp4").write_bytes(struct.pack(">I4s", 28, b"ftyp") + b"#EXTM3U\n" + os.fsencode(CLIP) + b"\n")
    for name in ("x.mp4", "y.mp4"):
        with pytest.raises(AudioError, match="is not audio"):
            audio.read(tmp_path / name, 16000)
