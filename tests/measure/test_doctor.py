"""The doctor comes where something is missing, and says what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from xlsr_ref.cli import main
from xlsr_ref.measure import doctor


def states() -> dict[str, doctor.Check]:
    return {check.part: check for check in doctor.examine()}


def test_everything_works_here():
    """The tests run with what the package needs; what is "slow" here may be so (no MP3, say), but nothing fails."""
    assert [check for check in doctor.examine() if check.state == "FAIL"] == []


def test_every_part_has_its_line():
    parts = [
        "Python",
        "system",
        "NumPy",
        "BLAS",
        "Numba",
        "backend",
        "product",
        "threads",
        "SciPy",
        "soundfile",
        "ffmpeg",
    ]
    assert list(states()) == parts


def test_the_versions_are_the_ones_in_use():
    import numpy
    import soundfile

    found = states()
    assert found["NumPy"].found.startswith(numpy.__version__)
    assert soundfile.__libsndfile_version__ in found["soundfile"].found
    assert "WAV, FLAC" in found["soundfile"].found


@pytest.mark.parametrize(
    ("module", "part", "advice"),
    [
        ("numpy", "NumPy", "pip install"),
        ("threadpoolctl", "BLAS", "pip install"),
        ("scipy", "SciPy", "pip install"),
        ("soundfile", "soundfile", "libsndfile1"),
    ],
)
def test_what_is_missing_fails_in_one_line(monkeypatch, module, part, advice):
    monkeypatch.setitem(sys.modules, module, None)  # import raises ModuleNotFoundError
    check = states()[part]
    assert check.state == "FAIL"
    assert module in check.found
    assert advice in check.found
    assert "\n" not in check.found


def test_numba_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    check = states()["Numba"]
    assert check.state == "slow"
    assert "pip install numba" in check.found


def test_numba_may_be_switched_off(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    check = states()["Numba"]
    assert check.state == "slow"
    assert "NUMBA_DISABLE_JIT" in check.found


def a_program(folder, lines: str) -> None:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)


def test_ffmpeg_may_be_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    check = states()["ffmpeg"]
    assert check.state == "slow"
    assert "m4a" in check.found
    assert "install" in check.found


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_ffmpeg_may_lack_a_decoder_or_be_broken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    every = "echo ffmpeg version 7.1 by somebody; echo ' A aac x'; echo ' A opus x'; echo ' A vorbis x'"
    a_program(tmp_path, every)
    check = states()["ffmpeg"]
    assert check.state == "slow"
    assert check.found.startswith("7.1, does not decode wmav2")
    a_program(tmp_path, f"{every}; echo ' A wmav2 x'")
    assert states()["ffmpeg"] == ("ffmpeg", "ok", "7.1, decodes aac, opus, vorbis, wma")
    a_program(tmp_path, "exit 3")
    check = states()["ffmpeg"]
    assert check.state == "slow"
    assert check.found.endswith("exit status 3): install it again")


def test_a_part_that_is_there_but_broken_fails(monkeypatch):
    scipy_signal = pytest.importorskip("scipy.signal")
    monkeypatch.setattr(scipy_signal, "resample_poly", lambda x, up, down: x)
    check = states()["SciPy"]
    assert check.state == "FAIL"
    assert "resamples wrongly" in check.found


def test_a_long_error_becomes_its_first_line():
    assert doctor._one_line(ImportError("\n\nIMPORTANT:\n\nlong story")) == "IMPORTANT"
    assert doctor._one_line(RuntimeError()) == "RuntimeError"


def test_a_file_format_may_be_missing(monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    write = soundfile.write

    def no_mp3(*arguments, format, **options):
        if format == "MP3":
            raise ValueError("Unknown format")
        write(*arguments, format=format, **options)

    monkeypatch.setattr(soundfile, "write", no_mp3)
    check = states()["soundfile"]
    assert check.state == "slow"
    assert "not MP3" in check.found


def test_the_exit_status(monkeypatch, capsys):
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("all that is needed works\n")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("1 of these must be put right: see FAIL\n")
    assert err == ""


def test_with_nothing_installed_at_all():
    """No package of this machine can be imported; the doctor still comes."""
    script = (
        "import sys\n"
        "for name in ('numpy', 'scipy', 'numba', 'llvmlite', 'soundfile', 'threadpoolctl', 'tqdm', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        "from xlsr_ref.cli import main\n"
        "sys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr == ""
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == ["NumPy", "BLAS", "SciPy", "soundfile"]


def test_a_wrong_setting_is_named():
    """In a process of its own: the backend is chosen once."""
    command = [sys.executable, "-m", "xlsr_ref", "doctor"]
    wrong = os.environ | {"XLSR_REF_BACKEND": "gpu"}
    done = subprocess.run(command, env=wrong, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert line.split()[1] == "backend"
    assert "set it to numba or numpy" in line
