"""What the commands have in common: the model's options, quiet, progress, and what is told before the work begins."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.cli import main
from xlsr_ref.cli.options import clock, following
from xlsr_ref.cli.say import hush
from xlsr_ref.errors import WeightsError

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIP = str(DATA / "clips" / "es" / "vm-savefolder.flac")
LINES = {
    "transcribe": [CLIP],
    "align": [CLIP, "guardar"],
    "evaluate": ["list.tsv"],
    "classify": [CLIP, "--model", "m"],
    "explain": [CLIP, "-o", "page.html"],
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What `load` is asked for; it never gives a model."""
    monkeypatch.chdir(tmp_path)
    row = f"{CLIP}\tes\ta\t1\ttest\ta\n"
    Path("list.tsv").write_text("path\tlang\tspeaker\tseconds\tsplit\ttext\n" + row)
    calls = []

    def load(*arguments, **more):
        calls.append((*arguments, more))
        raise WeightsError("no model here")

    monkeypatch.setattr(xlsr_ref, "load", load, raising=False)
    return calls


@pytest.mark.parametrize("command", LINES)
def test_the_models_options_reach_the_loader_from_every_command(asked, command):
    line = [*LINES[command], "--model", "m", "--language", "fra", "--dtype", "float64", "--threads", "2"]
    assert main([command, *line]) == 1
    ((model, dtype, more),) = asked
    assert (model, dtype) == ("m", "float64")
    assert (more["language"], more["threads"]) == ("fra", 2)


@pytest.mark.parametrize("command", LINES)
def test_what_is_not_given_is_left_to_the_loader(asked, command):
    assert main([command, *LINES[command]]) == 1
    ((_, dtype, more),) = asked
    assert dtype == "float32"
    assert not more.keys() & {"language", "threads"}


@pytest.mark.parametrize("command", LINES)
def test_threads_that_cannot_be_are_wrong_usage(asked, command, capsys):
    assert main([command, *LINES[command], "--threads", "0"]) == 2
    assert "--threads is 0: it must be at least 1" in capsys.readouterr().err
    assert asked == []


@pytest.mark.parametrize("command", ["transcribe", "align", "classify", "explain"])
def test_a_missing_file_is_told_before_numba_is_loaded(tmp_path, command):
    line = [word.replace(CLIP, "nowhere.wav") for word in LINES[command]]
    code = "import sys; from xlsr_ref.cli import main; n = main(sys.argv[1:]); print('numba' in sys.modules); exit(n)"
    done = subprocess.run([sys.executable, "-c", code, command, *line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == "False\n"
    assert done.stderr == "xlsr-ref: nowhere.wav: cannot be opened (No such file or directory)\n"


def test_quiet_leaves_errors_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "notes.txt").touch()
    (tmp_path / "talks" / "bad.wav").write_text("no sound")
    main(["transcribe", "talks"])
    assert "passed over" in capsys.readouterr().err
    assert main(["transcribe", "talks", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "bad.wav: " in line
    main(["transcribe", "talks"])
    assert "passed over" in capsys.readouterr().err  # it ends with the command


def test_quiet_training_says_nothing(tmp_path, capsys):
    (tmp_path / "r.toml").write_text(
        '[data]\nmanifests = ["l.tsv"]\ndev = ""\n[model]\nstart = "small-ctc"\nhead = "keep"\n'
        "[schedule]\npeak = 1e-5\n[run]\nsteps = 1\n"
    )
    row = f"{CLIP}\tes\ta\t9.0\ttrain\tguardar\n"  # the list is wrong, which is told
    (tmp_path / "l.tsv").write_text("path\tlang\tspeaker\tseconds\tsplit\ttext\n" + row)
    line = ["finetune", str(tmp_path / "r.toml"), "--data", str(tmp_path), "--out"]
    assert main([*line, str(tmp_path / "loud")]) == 0
    out, err = capsys.readouterr()
    assert "step 1/" in out
    assert "vm-savefolder.flac has 3.22 s, not 9 s" in err
    assert main([*line, str(tmp_path / "quiet"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_progress_is_in_seconds_of_sound_on_a_terminal_only(monkeypatch):
    with following() as how:
        assert how == {}
    monkeypatch.setattr(sys, "stderr", Terminal())
    with following(False) as how:
        assert how == {}
    with following() as how:
        how["progress"](65.0, 3700.0)
        how["progress"](3700.0, 3700.0)
    shown = sys.stderr.getvalue().split("\r\x1b[K")
    assert shown == ["", "1:05 of 1:01:40  2 %", "1:01:40 of 1:01:40  100 %", ""]
    hush(True)
    try:
        with following() as how:
            assert how == {}
    finally:
        hush(False)


def test_a_recording_of_one_piece_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with following() as how:
        how["progress"](3.0, 3.0)
    assert sys.stderr.getvalue() == ""


def test_a_clock():
    assert [clock(seconds) for seconds in (0, 59.9, 60, 3599, 3600, 360000)] == [
        "0:00", "0:59", "1:00", "59:59", "1:00:00", "100:00:00",
    ]  # fmt: skip


def test_a_long_recording_is_followed_from_python():
    seen = []
    model = xlsr_ref.load()
    whole = model.transcribe(CLIP)
    model.transcribe(CLIP, chunk_seconds=1.0, progress=lambda done, total: seen.append((done, total)))
    assert [total for _, total in seen] == [whole.duration] * len(seen)
    assert len(seen) > 2
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == pytest.approx(whole.duration, abs=0.03)
    seen.clear()
    model.align(CLIP, "guardar", chunk_seconds=1.0, progress=lambda done, total: seen.append(done))
    assert len(seen) > 2
