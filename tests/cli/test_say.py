"""The two exits of the command line: nothing that comes from a file, a path or a model writes to the terminal."""

import json
import shutil
from pathlib import Path

import pytest

from xlsr_ref.cli import main
from xlsr_ref.cli.say import complain, say, sentence, show_warning
from xlsr_ref.errors import XlsrError
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.ops import threads

HEADS = Path(__file__).parents[1] / "golden" / "heads"
ESCAPES = "\x1b[2J\x9b\x7f\r\u202e"
ESCAPED = "\\u001b[2J\\u009b\\u007f\\u000d\\u202e"


def test_results(capsys):
    say(f"a{ESCAPES}b\tc\n")
    assert capsys.readouterr() == (f"a{ESCAPED}b\tc\n", "")


def test_messages_are_one_line(capsys):
    complain(f"a{ESCAPES.replace(chr(13), '')}b\nc")
    show_warning(Warning("\x1b"))
    assert (
        capsys.readouterr().err
        == f"xlsr-ref: a{ESCAPED.replace(chr(92) + 'u000d', '')}b c\nxlsr-ref: warning: \\u001b\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        ["transcribe", "--no\x1bsuch"],
        ["transcribe", "a.wav", "--format", "\x1b"],
        ["transcribe", "no\x1b.wav"],
        ["transcribe", "a.wav", "--model", "no\x1bmodel"],
        ["\x1b"],
        ["lm", "\x1b"],
        ["weights", "inspect", "no\x1b"],
        ["weights", "inspect", "a", "\x1b"],
        ["grade", "no\x1b.py"],
        ["evaluate", "no\x1b.tsv"],
        ["finetune", "no\x1b.toml", "--data", "."],
        ["lm", "train", "no\x1b"],
        ["inspect", "no\x1b"],
        ["align", "no\x1b.wav", "x"],
        ["bench", "--threads", "\x1b"],
    ],
)
def test_what_was_typed(capsys, monkeypatch, tmp_path, line):
    monkeypatch.chdir(tmp_path)
    assert main(line) != 0
    out, err = capsys.readouterr()
    assert err != ""
    assert "\x1b" not in out + err


def test_numbers_of_very_many_digits(capsys, monkeypatch, tmp_path):
    for line in (
        ["finetune", "a.toml", "--data", ".", "--threads"],
        ["bench", "--threads"],
        ["lm", "train", "a", "--order"],
    ):
        assert main([*line, "9" * 5000]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert f"invalid int value: '{'9' * 80}': give at most 18 digits" in last
    monkeypatch.setenv("XLSR_REF_THREADS", "9" * 5000)
    with pytest.raises(XlsrError, match=r"XLSR_REF_THREADS is '9{80}': set it to a whole number of at least 1"):
        threads.count()


def test_too_little_memory_says_what_was_too_large():
    numpys = MemoryError("Unable to allocate 3.00 GiB for an array with shape (1, 2) and data type float32")
    assert sentence(numpys).startswith("not enough memory for 3.00 GiB for an array with shape (1, 2)")
    assert sentence(MemoryError("talk.wav, a recording of at least 7,200 s")).startswith(
        "not enough memory for talk.wav, a recording of at least 7,200 s: give a shorter --chunk"
    )
    assert sentence(MemoryError()) == "not enough memory: give a shorter --chunk, or use a smaller model"
    assert sentence(XlsrError("x")) == "x"


def test_what_a_model_says(capsys, monkeypatch, tmp_path):
    """A token and a label may be any text: on the standard output, in files and in JSON it writes to no terminal."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUNDLED, "model")
    text = Path("model/vocab.json").read_text(encoding="utf-8")
    Path("model/vocab.json").write_text(text.replace('"e"', '"\\u001b\\u009b"'), encoding="utf-8")
    clip = str(next((BUNDLED.parent / "clips" / "es").glob("*.flac")))
    for form in ("text", "json", "srt", "vtt", "tsv"):
        assert main(["transcribe", clip, "--model", "model", "--format", form]) == 0
        out = capsys.readouterr().out
        assert "\\u001b\\u009b" in out
        assert "\x1b" not in out
        assert "\x9b" not in out
        assert main(["transcribe", clip, "--model", "model", "--format", form, "--output", "out"]) == 0
        (file,) = Path("out").glob(f"*.{'txt' if form == 'text' else form}")
        assert file.read_text(encoding="utf-8") == out
        if form == "json":
            assert "\x1b\x9b" in json.loads(out)["text"]


def test_a_label_is_part_of_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(HEADS / "recording", "model")
    config = json.loads(Path("model/config.json").read_text(encoding="utf-8"))
    names = list(config["id2label"])
    config["id2label"] = {name: f"{name}\x1b[2J\n0.999\tfake" for name in names}
    config["label2id"] = {label: int(name) for name, label in config["id2label"].items()}
    Path("model/config.json").write_text(json.dumps(config), encoding="utf-8")
    clip = str(next((BUNDLED.parent / "clips" / "es").glob("*.flac")))
    assert main(["classify", clip, "--model", "model", "--top", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("\\u001b[2J\\n0.999\\tfake")
