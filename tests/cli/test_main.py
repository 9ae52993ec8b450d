"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import cli
from xlsr_ref.audio.chunks import Chunking, chunking
from xlsr_ref.checkpoint.safetensors_file import write_arrays
from xlsr_ref.cli import main
from xlsr_ref.cli.transcribe import SUFFIXES
from xlsr_ref.errors import AudioError, CannotTranscribeError, WeightsError
from xlsr_ref.text.formats import FORMATS
from xlsr_ref.text.transcript import Span, Transcript
from xlsr_ref.untrusted import shown
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import expected_shapes

# As a user runs it: with a buffer behind the standard output, which Python empties once more when it ends.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

DATA = Path(xlsr_ref.__file__).parent / "data"
MODEL = DATA / "small-ctc"
CLIP = DATA / "clips" / "ru" / "vm-prev.flac"

XLSR_53 = {
    "architectures": ["Wav2Vec2ForPreTraining"], "model_type": "wav2vec2", "feat_extract_norm": "layer",
    "conv_bias": True, "do_stable_layer_norm": True, "hidden_size": 1024, "num_hidden_layers": 24,
    "num_attention_heads": 16, "intermediate_size": 4096, "codevector_dim": 768, "proj_codevector_dim": 768,
}  # fmt: skip


class FakeModel:
    """Hears the name of the file; what is called bad.* cannot be read, and so on."""

    tokenizer, params, seconds_per_frame = object(), {"lm_head": {}}, 0.02

    def chunking(self, chunk_seconds: float | None, stride_seconds: float | None) -> Chunking:
        return chunking(chunk_seconds, stride_seconds, self.seconds_per_frame)

    def transcribe(self, path: Path, **lengths: float | None) -> Transcript:
        if path.stem == "bad":
            raise AudioError(f"{shown(path)}: is not audio")
        if path.stem == "short":
            raise AudioError("7 samples are too few")  # as the model says it, which does not know the name
        if path.stem == "vast":
            raise MemoryError
        if path.stem == "odd":
            raise KeyError("a mistake of ours")
        if path.stem == "stop":
            raise KeyboardInterrupt
        if path.stem == "warn":
            warnings.warn("look\nout", stacklevel=1)
        if path.stem == "lengths":
            return Transcript(repr(lengths), (), ())
        return Transcript(f"heard {path.stem}", (Span(path.stem, 0.5, 1.0, 0.9),), ())


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A model that needs no computing, in an empty folder. The value: the arguments of each load."""
    loads = []

    def load(*arguments, language=None):
        loads.append(arguments if language is None else (*arguments, language))
        return FakeModel()

    monkeypatch.setattr(xlsr_ref, "load", load, raising=False)
    monkeypatch.setattr("xlsr_ref.cli.recordings._why_not", lambda path: "")  # every file is there
    monkeypatch.chdir(tmp_path)
    return loads


def run(*argv: str, **options) -> subprocess.CompletedProcess:
    """The real program, in a process of its own, with bytes in and out."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT} | options
    return subprocess.run([sys.executable, "-m", "xlsr_ref", *argv], **options)


# --- the line itself -------------------------------------------------------------------------------------------------


def test_no_command_is_wrong_usage_and_shows_the_help(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"transcribe +write down", err)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"xlsr-ref {xlsr_ref.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        [],
        *([name] for name in cli.COMMANDS),
        ["lm", "train"],
        ["lm", "perplexity"],
    ],
)
def test_help_is_short_and_has_an_example(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert any(line.startswith("example") for line in lines)
    assert len(lines) <= 30  # what fits on the smallest screen with its prompt
    assert max(map(len, lines)) <= 90


@pytest.mark.parametrize(
    "argv",
    [["sing"], ["transcribe", "--format", "mp4"], ["transcribe", "--dtype", "int8"], ["transcribe", "--form", "text"],
     ["transcribe", "--chunk", "long"], ["transcribe", "--stride"],
     ["inspect", "a", "b"], ["doctor", "x"], ["classify"], ["classify", "a.wav"],
     ["classify", "a.wav", "--model", "m", "--top", "0"]],
)  # fmt: skip
def test_wrong_usage(capsys, argv):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: xlsr-ref" in err
    assert "error: " in err.splitlines()[-1]


def test_help_and_version_load_nothing_heavy():
    script = (
        "import sys; from xlsr_ref.cli import main; main(['transcribe', '--help']); main(['--version'])\n"
        "heavy = {'numpy', 'scipy', 'numba', 'soundfile', 'tqdm', 'threadpoolctl', 'matplotlib', 'json'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_transcribing_loads_only_what_it_needs(tmp_path, rng):
    """One recording at the model's rate needs no filter; one at another rate still finds it."""
    soundfile = pytest.importorskip("soundfile")
    for rate in (16000, 44100):
        soundfile.write(tmp_path / f"{rate}.wav", 0.1 * rng.standard_normal(rate // 4), rate)
    script = (
        "import sys; from xlsr_ref.cli import main; status = main(['transcribe', '16000.wav'])\n"
        "unneeded = {'scipy.linalg', 'scipy.signal', 'cffi', 'tqdm', 'matplotlib', 'safetensors'}\n"
        "print(', '.join(unneeded & set(sys.modules)), file=sys.stderr)\n"
        "sys.exit(status or main(['transcribe', '44100.wav']))"
    )
    options = {"capture_output": True, "text": True, "cwd": tmp_path, "env": ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", script], **options)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_transcribing_without_numba(tmp_path, rng):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", 0.1 * rng.standard_normal(4000), 16000)
    done = run("transcribe", "a.wav", cwd=tmp_path, env=ENVIRONMENT | {"XLSR_REF_BACKEND": "numpy"})
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_module_is_the_program():
    done = run("--version")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [b"xlsr-ref", xlsr_ref.__version__.encode()], b"")


def test_formats_are_those_of_text_formats():
    assert tuple(SUFFIXES) == FORMATS


# --- transcribe: the real model --------------------------------------------------------------------------------------


def test_one_file_gives_its_text_and_nothing_else(capsys):
    assert main(["transcribe", str(CLIP)]) == 0
    out, err = capsys.readouterr()
    assert out == xlsr_ref.load().transcribe(CLIP).text + "\n"
    assert len(out) > 20
    assert err == ""


def test_float64_and_another_model_reach_the_loader(fake):
    main(["transcribe", "a.wav"])
    main(["transcribe", "a.wav", "--model", "somewhere", "--dtype", "float64"])
    main(["transcribe", "a.wav", "--model", "somewhere", "--language", "fra"])
    assert fake == [(None, "float32"), ("somewhere", "float64"), ("somewhere", "float32", "fra")]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [([], (None, None)), (["--chunk", "20", "--stride", "2.5"], (20.0, 2.5)), (["--chunk", "0"], (0.0, None)),
     (["--stride", "5"], (None, 5.0))],
)  # fmt: skip
def test_chunk_and_stride_reach_the_model(fake, capsys, argv, expected):
    assert main(["transcribe", "lengths.wav", *argv]) == 0
    assert capsys.readouterr().out == f"{dict(zip(('chunk_seconds', 'stride_seconds'), expected))}\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [(["--chunk", "-1"], "a chunk of -1.0 s"), (["--chunk", "nan"], "a chunk of nan s"), (["--chunk", "inf"], "inf"),
     (["--stride", "-0.5"], "a stride of -0.5 s"), (["--chunk", "10", "--stride", "5"], "give a stride below 5 s"),
     (["--chunk", "0.001"], "shorter than a frame"), (["--chunk", "0", "--stride", "1"], "needs chunks")],
)  # fmt: skip
def test_lengths_that_cannot_be_are_one_line_for_all_recordings(fake, capsys, argv, says):
    assert main(["transcribe", "a.wav", "b.wav", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_a_clip_in_chunks(capsys):
    assert main(["transcribe", str(CLIP), "--chunk", "1", "--stride", "0.3"]) == 0
    out, err = capsys.readouterr()
    assert out == xlsr_ref.load().transcribe(CLIP, chunk_seconds=1, stride_seconds=0.3).text + "\n"
    assert out != xlsr_ref.load().transcribe(CLIP).text + "\n"
    assert err == ""


@pytest.mark.parametrize("command", [["transcribe", str(CLIP), "--model"], ["inspect"]])
@pytest.mark.parametrize("config", [None, "{", '{"model_type": "whisper"}', "{}"])
def test_a_wrong_model_is_one_line(tmp_path, capsys, command, config):
    folder = tmp_path / "model"
    if config is not None:
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "model.safetensors").write_bytes(b"\xff" * 40)
    assert main([*command, str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"xlsr-ref: {folder}")


def small_pretraining_model(folder: Path, rng: np.random.Generator) -> Path:
    config = {
        "architectures": ["Wav2Vec2ForPreTraining"], "model_type": "wav2vec2", "hidden_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "conv_dim": [4, 4],
        "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_conv_pos_embeddings": 3, "num_conv_pos_embedding_groups": 2,
        "num_codevectors_per_group": 3, "codevector_dim": 4, "proj_codevector_dim": 4,
    }  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    shapes = expected_shapes(Config.from_dict(config), "Wav2Vec2ForPreTraining")
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    write_arrays(folder / "model.safetensors", weights | {"surplus.weight": np.ones(3, np.float32)})
    return folder


def test_a_pretrained_model_says_why_it_cannot_write(tmp_path, capsys, rng):
    """Once, not once per recording."""
    folder = small_pretraining_model(tmp_path / "model", rng)
    assert main(["transcribe", str(CLIP), str(CLIP), "--model", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "Wav2Vec2ForPreTraining" in err
    assert "lm_head" in err


def test_real_bad_files_are_a_line_each(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.wav").touch()
    Path("text.mp3").write_text("not a sound")
    Path("cut.flac").write_bytes(CLIP.read_bytes()[:9000])
    bad = ["empty.wav", "./text.mp3", "cut.flac", "missing.wav"]
    assert main(["transcribe", *bad, str(CLIP)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{CLIP}\t")
    lines = err.splitlines()
    assert len(lines) == 4
    for name, line in zip(["missing.wav", *bad[:-1]], lines):  # what is missing is told before the work begins
        assert line.startswith(f"xlsr-ref: {name}: ")
        assert line.count(Path(name).name) == 1


# --- transcribe: order, formats, errors ------------------------------------------------------------------------------


def test_several_files_are_named(fake, capsys):
    assert main(["transcribe", "b.wav", "sub/a.wav"]) == 0
    assert capsys.readouterr().out == "b.wav\theard b\nsub/a.wav\theard a\n"


def test_a_folder(fake, capsys):
    Path("talks/deep").mkdir(parents=True)
    Path("talks/b.wav").touch()
    Path("talks/deep/a.OGG").touch()
    assert main(["transcribe", "talks"]) == 0
    out = capsys.readouterr().out
    assert out == f"{Path('talks/b.wav')}\theard b\n{Path('talks/deep/a.OGG')}\theard a\n"


def test_an_empty_folder_is_an_error(fake, capsys):
    Path("empty").mkdir()
    assert main(["transcribe", "empty"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("xlsr-ref: empty: no audio files in this folder")
    assert fake == []  # no model is loaded for nothing
    assert main(["transcribe", "empty", "a.wav"]) == 1
    assert capsys.readouterr().out == "a.wav\theard a\n"


def test_one_bad_file_does_not_stop_the_others(fake, capsys):
    assert main(["transcribe", "bad.wav", "a.wav", "short.wav", "vast.wav", "odd.wav", "b.wav"]) == 1
    out, err = capsys.readouterr()
    assert out == "a.wav\theard a\nb.wav\theard b\n"
    bad, short, vast, odd = err.splitlines()
    assert bad == "xlsr-ref: bad.wav: is not audio"
    assert short == "xlsr-ref: short.wav: 7 samples are too few"
    assert vast.startswith("xlsr-ref: vast.wav: not enough memory")
    assert odd.startswith("xlsr-ref: odd.wav: KeyError: 'a mistake of ours'")


def test_json_of_one_is_an_object_and_of_several_an_array(fake, capsys):
    assert main(["transcribe", "a.wav", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "heard a"
    assert main(["transcribe", "a.wav", "bad.wav", "b.wav", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["text"]) for one in found] == [("a.wav", "heard a"), ("b.wav", "heard b")]


def test_json_of_a_folder_is_an_array_whatever_it_holds(fake, capsys):
    Path("talks").mkdir()
    Path("talks/a.wav").touch()
    assert main(["transcribe", "talks", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    Path("talks/a.wav").rename("talks/bad.wav")
    assert main(["transcribe", "talks", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == []


def test_tsv_has_one_header_for_all(fake, capsys):
    assert main(["transcribe", "a.wav", "b.wav", "--format", "tsv"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["file", "start", "end", "text", "score"]
    assert [line[0] for line in lines[1:]] == ["a.wav", "b.wav"]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_of_several_need_a_folder(fake, capsys, form):
    assert main(["transcribe", "a.wav", "--format", form]) == 0
    assert "00:00:00" in capsys.readouterr().out
    assert main(["transcribe", "a.wav", "b.wav", "--format", form]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "give --output DIR" in err
    assert main(["transcribe", "a.wav", "b.wav", "--format", form, "--output", "out"]) == 0
    assert sorted(os.listdir("out")) == [f"a.{form}", f"b.{form}"]


def test_output_writes_a_file_each_and_prints_nothing(fake, capsys):
    assert main(["transcribe", "a.wav", "bad.wav", "x/a.wav", "--output", "deep/out"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    told, failed = err.splitlines()
    there = Path("deep", "out", "a-2.txt")
    assert told == f"xlsr-ref: x/a.wav: another recording has this name, too: its result goes to {there}"
    assert failed.startswith("xlsr-ref: bad.wav: ")
    assert sorted(os.listdir("deep/out")) == ["a-2.txt", "a.txt"]
    assert Path("deep/out/a.txt").read_bytes() == b"heard a\n"


def test_output_in_json_is_an_object_per_file(fake):
    main(["transcribe", "a.wav", "b.wav", "--format", "json", "--output", "out"])
    assert json.loads(Path("out/b.json").read_text())["text"] == "heard b"


def test_output_that_is_a_file(fake, capsys):
    Path("out").touch()
    assert main(["transcribe", "a.wav", "--output", "out"]) == 1
    assert capsys.readouterr().err == "xlsr-ref: out: is a file; give --output a folder\n"
    assert fake == []
    assert main(["transcribe", "a.wav", "--output", "out/below"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_wrong_model_leaves_no_output_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["transcribe", str(CLIP), "--model", "nowhere", "--output", "out"]) == 1
    assert os.listdir() == []


def test_a_model_without_a_head_is_blamed_once(fake, monkeypatch, capsys):
    def refuse(self, path, **lengths):
        raise CannotTranscribeError("no lm_head")

    monkeypatch.setattr(FakeModel, "transcribe", refuse)
    assert main(["transcribe", "a.wav", "b.wav"]) == 1  # the model is complete: it must be the recordings
    assert len(capsys.readouterr().err.splitlines()) == 2
    monkeypatch.setattr(FakeModel, "params", {})
    assert main(["transcribe", "a.wav", "b.wav"]) == 1
    assert capsys.readouterr().err == "xlsr-ref: no lm_head\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WeightsError("m: is\nbroken"), "xlsr-ref: m: is broken"),
        (MemoryError(), "xlsr-ref: not enough memory: give a shorter --chunk, or use a smaller model"),
        (PermissionError(13, "Permission denied", "m/config.json"), "xlsr-ref: m/config.json: Permission denied"),
        (ModuleNotFoundError("No module 'x'"), "xlsr-ref: No module 'x': pip install it, and see xlsr-ref doctor"),
        (KeyError("x"), "xlsr-ref: KeyError: 'x' (XLSR_REF_TRACEBACK=1 shows where)"),
    ],
)  # fmt: skip
def test_every_error_is_one_line(monkeypatch, capsys, error, line):
    def load(*arguments):
        raise error

    monkeypatch.setattr(xlsr_ref, "load", load, raising=False)
    assert main(["transcribe", str(CLIP)]) == 1
    assert capsys.readouterr().err == line + "\n"
    monkeypatch.setenv("XLSR_REF_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["transcribe", str(CLIP)])


def test_a_file_name_cannot_break_the_line(fake, capsys):
    main(["transcribe", "new\nline/bad.wav", "short.wav"])
    assert capsys.readouterr().err.splitlines()[0] == r"xlsr-ref: 'new\nline/bad.wav': is not audio"


def test_warnings_are_one_line(fake, capsys):
    before = warnings.showwarning
    assert main(["transcribe", "warn.wav"]) == 0
    assert capsys.readouterr().err == "xlsr-ref: warning: look out\n"
    assert warnings.showwarning is before


# --- interruption ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_interrupted(fake, capsys, form):
    assert main(["transcribe", "a.wav", "stop.wav", "b.wav", "--format", form]) == 130
    out, err = capsys.readouterr()
    assert out == ("a.wav\theard a\n" if form == "text" else "")  # no half of an array
    assert err == "xlsr-ref: interrupted\n"


def test_interrupted_while_writing_files(fake, capsys):
    assert main(["transcribe", "a.wav", "stop.wav", "b.wav", "--output", "out"]) == 130
    assert os.listdir("out") == ["a.txt"]


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """The kernels are in the cache on disk: a program that finds none there says so on stderr."""
    for dtype in ("float32", "float64"):
        xlsr_ref.load(dtype=dtype).logits(np.zeros(4000), 16000)


@pytest.fixture
def busy():
    """The real program at work on many recordings, after its first line."""
    many = [str(CLIP)] * 400
    command = [sys.executable, "-m", "xlsr_ref", "transcribe", *many]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT}
    with subprocess.Popen(command, **pipes, preexec_fn=heeds_control_c if os.name != "nt" else None) as process:
        try:
            assert process.stdout.readline().startswith(os.fsencode(CLIP))
            yield process
        finally:
            process.kill()


def heeds_control_c():
    """A program that was started in the background inherits deafness to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_control_c(busy):
    busy.send_signal(signal.SIGINT)
    _, err = busy.communicate(timeout=60)
    assert err == b"xlsr-ref: interrupted\n"
    assert busy.returncode == 130


def test_a_reader_that_leaves_is_no_error(busy):
    """As in ``xlsr-ref transcribe | head -1``."""
    busy.stdout.close()
    assert busy.wait(timeout=60) == 141
    assert busy.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "wb") as full:
        done = run("--version", stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"xlsr-ref: the standard output cannot be written: No space left on device\n"


def test_a_closed_standard_output(fake, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["transcribe", "a.wav"]) == 1
    assert main(["transcribe", "a.wav", "--output", "out"]) == 0
    assert capsys.readouterr().err == "xlsr-ref: the standard output is closed: open it, or give --output DIR\n"


# --- pipes, terminals, encodings -------------------------------------------------------------------------------------


def test_from_a_pipe_in_a_locale_without_russian():
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = run("transcribe", "-", input=CLIP.read_bytes(), env=ENVIRONMENT | ascii_only)
    assert done.stderr == b""
    assert done.stdout.decode("utf-8").rstrip("\r\n") == xlsr_ref.load().transcribe(CLIP).text
    assert done.returncode == 0


def test_a_bad_pipe_has_a_name():
    done = run("transcribe", "-", input=b"not a sound")
    assert done.stdout == b""
    assert done.stderr.startswith(b"xlsr-ref: standard input: is not audio")
    assert done.returncode == 1


def test_a_terminal_is_not_read(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["transcribe", "-"]) == 1
    assert "nothing is piped into it" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="file names are any bytes on Linux only")
def test_a_file_name_that_is_not_unicode(fake, capsys):
    name = os.fsdecode(b"caf\xe9.wav")
    assert main(["transcribe", name, "b.wav", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["file"] == name
    assert main(["transcribe", name, "b.wav"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("caf\\udce9.wav\t")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_on_a_terminal_only(fake, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    main(["transcribe", "a.wav", "b.wav"])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["transcribe", "a.wav"]) == 0  # one file: no bar
    assert sys.stderr.getvalue() == ""
    assert main(["transcribe", "a.wav", "bad.wav", "b.wav"]) == 1
    assert "/3 [" in sys.stderr.getvalue()
    assert "xlsr-ref: bad.wav: is not audio\n" in sys.stderr.getvalue()
    assert capsys.readouterr().out == "heard a\na.wav\theard a\nb.wav\theard b\n"


# --- inspect ---------------------------------------------------------------------------------------------------------


def test_inspect_the_bundled_model(capsys):
    assert main(["inspect"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert str(xlsr_ref.load().report) in out
    assert "wav2vec2.encoder.layers.*  × 6" in out
    assert "one every 320 samples (20 ms), each sees 400 samples (25 ms)" in out
    assert "16000 samples at 16000 Hz" in out
    assert main(["inspect", str(MODEL)]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("argument", ["model", "model/config.json"])
def test_inspect_a_config_alone(tmp_path, monkeypatch, capsys, argument):
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    Path("model/config.json").write_text(json.dumps(XLSR_53))
    assert main(["inspect", argument]) == 0
    out = capsys.readouterr().out
    counts = {line.split("  ")[0].strip() or line.strip(): line for line in out.splitlines()}
    assert "317,390,592" in counts["total"]
    assert any("without quantizer" in line and "315,438,720" in line for line in out.splitlines())
    assert "4,210,176" in counts["wav2vec2.feature_extractor"]
    assert "no weights were read" in out


def test_inspect_uses_the_models_own_rate(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(XLSR_53))
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    assert main(["inspect", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "8000 samples at 8000 Hz" in out
    assert "(24, 1024)" in out


def test_inspect_lists_what_is_surplus(tmp_path, capsys, rng):
    folder = small_pretraining_model(tmp_path / "model", rng)
    assert main(["inspect", str(folder)]) == 0
    assert "surplus.weight" in capsys.readouterr().out


def test_inspect_reads_no_weights_for_a_config(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(XLSR_53))
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    assert main(["inspect", str(tmp_path / "config.json")]) == 0
    assert main(["inspect", str(tmp_path)]) == 1
    assert "model.safetensors" in capsys.readouterr().err


def test_inspect_something_else(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no config")
    assert main(["inspect", str(tmp_path / "notes.txt")]) == 1
    assert capsys.readouterr().err.startswith(f"xlsr-ref: {tmp_path / 'notes.txt'} is not valid JSON")
    (tmp_path / "config.json").write_text('{"hidden_size": "wide"}')
    assert main(["inspect", str(tmp_path / "config.json")]) == 1
    assert capsys.readouterr().err.startswith(f"xlsr-ref: {tmp_path / 'config.json'}: hidden_size must be")
