"""The commands, as ``python -m weights_tools`` and as ``xlsr-ref weights``: status, streams, one line for an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weights_tools.__main__ import main as alone
from xlsr_ref.cli import main as xlsr_ref
from xlsr_ref.cli.weights import COMMANDS, WrongSetting, parse_settings

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
FOREIGN = GOLDEN / "foreign"
PROGRAMS = {"python -m weights_tools": alone, "xlsr-ref weights": lambda argv: xlsr_ref(["weights", *argv])}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(params=PROGRAMS)
def program(request):
    return PROGRAMS[request.param]


def one_line(capsys, says: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_inspect(program, capsys):
    assert program(["inspect", str(FOREIGN / "fairseq_ctc"), "--no-statistics"]) == 0
    out, err = capsys.readouterr()
    assert "verdict   this is a CTC model" in out
    assert err == ""


def test_convert_and_verify(program, capsys, tmp_path):
    target = str(tmp_path / "out")
    assert program(["convert", str(FOREIGN / "fairseq_ctc"), target, "--set", "layer_norm_eps=0.001"]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {target}: a Wav2Vec2ForCTC, 88 tensors")
    assert program(["verify", target, str(GOLDEN / "xlsr")]) == 0
    assert "88 compared, 88 identical, 0 depart" in capsys.readouterr().out
    assert program(["verify", target, str(GOLDEN / "base")]) == 1
    assert capsys.readouterr().out.startswith("first departs at ")
    assert program(["convert", target, str(tmp_path / "b"), "--to", "torchaudio"]) == 0
    assert "left out, which torchaudio has no place for: masked_spec_embed" in capsys.readouterr().out


@pytest.mark.parametrize("command", list(COMMANDS))
def test_no_arguments_and_wrong_ones_are_wrong_usage(program, capsys, command):
    for argv in ([command], [command, "--no-such"], [command, "a", "b", "c"]):
        assert program(argv) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "usage: " in err
        assert "error: " in err.splitlines()[-1]
    assert program([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "example" in out
    assert len(out.splitlines()) <= 24


def test_no_command_is_wrong_usage(program, capsys):
    assert program([]) == 2
    assert capsys.readouterr().out == ""
    assert program(["sing"]) == 2


def test_wrong_settings_are_wrong_usage(program, capsys):
    assert program(["convert", "a", "b", "--set", "heads"]) == 2
    assert "expected FIELD=VALUE" in capsys.readouterr().err
    assert program(["convert", "a", "b", "--to", "keras"]) == 2
    assert parse_settings(["a=1", "b=true", "c=5,2,2", "d=x", 'e="7"', "f=null", "g=NaN"]) == {
        "a": 1, "b": True, "c": [5, 2, 2], "d": "x", "e": "7", "f": None, "g": "NaN",
    }  # fmt: skip
    assert program(["download", "no-name"]) == 2
    assert "expected OWNER/NAME or OWNER/NAME@REVISION" in capsys.readouterr().err
    for pair in ("=1", "a=", "A=1", "a b=1", "a"):
        with pytest.raises(WrongSetting):
            parse_settings([pair])


def test_wrong_files_are_one_line(program, capsys, tmp_path):
    (tmp_path / "x.pt").write_bytes(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.")
    assert program(["inspect", str(tmp_path / "x.pt")]) == 1
    one_line(capsys, "os.system")
    nothing, folder = str(tmp_path / "none"), str(tmp_path)
    wrong = [["inspect", nothing], ["inspect", __file__], ["inspect", str(GOLDEN)]]
    for argv in [*wrong, ["convert", str(GOLDEN), nothing], ["verify", str(GOLDEN / "xlsr"), __file__]]:
        assert program(argv) == 1
        one_line(capsys, "")
    assert program(["convert", str(GOLDEN / "xlsr"), folder]) == 1
    one_line(capsys, "there already")
    assert program(["download", "owner/name", "-o", folder]) == 1
    one_line(capsys, "there already")


def test_ctrl_c_and_a_pipe(program, capsys, monkeypatch, tmp_path):
    from xlsr_ref.checkpoint import inspect

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "report", interrupted)
    assert program(["inspect", str(GOLDEN / "xlsr")]) == 130
    one_line(capsys, "interrupted")
    monkeypatch.setattr("xlsr_ref.checkpoint.hub.fetch", interrupted)
    monkeypatch.chdir(tmp_path)
    assert program(["download", "owner/name"]) == 130
    one_line(capsys, "interrupted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pipes as POSIX has them")
@pytest.mark.parametrize("command", [["weights_tools"], ["xlsr_ref", "weights"]])
def test_whoever_reads_may_leave(command):
    argv = [sys.executable, "-m", *command, "inspect", str(GOLDEN / "xlsr")]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() in (141, -signal.SIGPIPE)


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from weights_tools.__main__ import main; main(['--help']); main(['convert', '--help'])\n"
        "sys.exit(', '.join({'numpy', 'safetensors', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stderr.strip() == ""


def test_the_tools_import_nothing_of_the_toolkits():
    script = (
        "import sys; from weights_tools.__main__ import main\n"
        f"main(['inspect', {str(FOREIGN / 'flax')!r}]); main(['inspect', {str(FOREIGN / 'fairseq_ctc')!r}])\n"
        "sys.exit(', '.join({'torch', 'flax', 'omegaconf', 'msgpack'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stderr.strip() == ""
    assert "verdict" in done.stdout
