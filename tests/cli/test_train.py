"""``xlsr-ref pretrain`` and ``xlsr-ref finetune``: what they write and print, and with which exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import fingerprint, make_corpus, recipe

import xlsr_ref
from xlsr_ref.cli import main, train
from xlsr_ref.training import loop

DRAW = train.draw


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with corpus/ and tiny.toml, in which the command is given. Nothing is drawn: that takes seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "draw", lambda *_: None)
    monkeypatch.delenv("XLSR_REF_CORPUS", raising=False)
    make_corpus(tmp_path / "corpus")
    (tmp_path / "tiny.toml").write_text(recipe(4, 2))
    return tmp_path


def test_another_seed_gives_other_weights_and_is_kept_for_the_next_time(place, capsys):
    line = ["finetune", "tiny.toml", "--data", "corpus", "--out"]
    for folder, more in (("a", []), ("b", ["--seed", "5"]), ("c", ["--seed", "5"])):
        assert main([*line, folder, *more]) == 0
    a, b, c = ((place / folder / "model" / "model.safetensors").read_bytes() for folder in "abc")
    assert b == c
    assert a != b
    assert (place / "b" / "recipe.toml").read_text().startswith("seed = 5\n")
    capsys.readouterr()
    assert main([*line, "b", "--resume"]) == 1
    assert "seed" in capsys.readouterr().err
    assert main([*line, "b", "--resume", "--seed", "5"]) == 0
    assert main([*line, "d", "--seed", "-1"]) == 2


def test_fine_tuning_from_beginning_to_end(place, monkeypatch, capsys):
    monkeypatch.setattr(train, "draw", DRAW)
    assert main(["finetune", "tiny.toml", "--data", "corpus", "--out", "run"]) == 0
    out, err = capsys.readouterr()
    assert [line for line in err.splitlines() if "compiling for this machine" not in line] == []
    assert "a new head for 6 tokens, drawn with seed 0\n" in out
    assert sum(line.startswith("step ") for line in out.splitlines()) == 2
    assert max(map(len, out.splitlines())) <= 120
    assert out.endswith(f"the model is in {Path('run/model')}, its curves are in {Path('run/curves.svg')}\n")
    assert sorted(os.listdir("run")) == [
        ".lock", "checkpoints", "curves.png", "curves.svg", "metrics.jsonl", "model", "recipe.toml"]  # fmt: skip
    assert Path("run/curves.svg").read_text("utf-8").startswith("<svg")
    model = xlsr_ref.load("run/model")
    assert model.transcribe("corpus/a.wav").text is not None
    assert main(["transcribe", "corpus/a.wav", "--model", "run/model"]) == 0


def test_pre_training_and_then_fine_tuning_from_it(place, capsys):
    assert main(["pretrain", "tiny.toml", "--data", "corpus", "--out", "first"]) == 0
    out = capsys.readouterr().out
    for word in ("loss", "accuracy", "diversity", "perplexity", "tau", "norm", "s/s"):
        assert f"  {word}" in out or f" {word}  " in out
    Path("second.toml").write_text(recipe(2, 2, model='start = "first/model"'))
    assert main(["finetune", "second.toml", "--data", "corpus"]) == 0
    assert "tensors of first" in capsys.readouterr().out
    assert Path("second/model/model.safetensors").is_file()  # --out is the recipe's name


def test_the_corpus_may_be_in_the_environment(place, monkeypatch, capsys):
    monkeypatch.setenv("XLSR_REF_CORPUS", "corpus")
    assert main(["finetune", "tiny.toml", "--out", "run"]) == 0


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_help(capsys, monkeypatch, task):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([task, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "examples:" in out
    assert len(out.splitlines()) <= 24
    assert max(map(len, out.splitlines())) <= 90


@pytest.mark.parametrize(
    "argv", [[], ["tiny.toml"], ["tiny.toml", "--data", "corpus", "--threads", "0"], ["tiny.toml", "--data"],
             ["a", "b"], ["tiny.toml", "--data", "corpus", "--res"]],
)  # fmt: skip
def test_wrong_usage(place, capsys, argv):
    assert main(["finetune", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: xlsr-ref" in err
    assert "error: " in err.splitlines()[-1]
    assert not Path("tiny").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nowhere.toml", "--data", "corpus"], "nowhere.toml: there is no such file, nor a recipe"),
        (["corpus", "--data", "corpus"], "corpus is a folder, not a regular file: give a recipe, a TOML file"),
        (["corpus/tiny.tsv", "--data", "corpus"], "corpus/tiny.tsv is not TOML: "),
        (["tiny.toml", "--data", "tiny.toml"], "tiny.toml is not a folder: give that of the corpus with --data or"),
        (["tiny.toml", "--data", "nowhere"], "nowhere is not a folder"),
        (["tiny.toml", "--data", "."], "tiny.tsv is missing in .: the recipe names it"),
        (["tiny.toml", "--data", "corpus", "--out", "corpus"], "corpus is not empty: give another --out"),
        (["tiny.toml", "--data", "corpus", "--out", "tiny.toml"], "tiny.toml: is read here and would be replaced"),
        (["tiny.toml", "--data", "corpus", "--out", "corpus", "--resume"], "corpus holds no run to resume"),
    ],
)  # fmt: skip
@pytest.mark.skipif(os.name == "nt", reason="the system's own words")
def test_bad_input_is_one_line_and_nothing_is_written(place, capsys, argv, says):
    before = sorted(place.rglob("*"))
    assert main(["finetune", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"xlsr-ref: {says}")
    assert sorted(place.rglob("*")) == before


def test_warnings_go_to_the_standard_error(place, monkeypatch, capsys):
    make_corpus(place / "corpus", [("a", "en", 0.4, "train", "ab"), ("b", "en", 0.4, "train", "ab" * 20),
                                   ("d", "en", 0.4, "dev", "ab")])  # fmt: skip
    assert main(["finetune", "tiny.toml", "--data", "corpus", "--out", "run"]) == 0
    out, err = capsys.readouterr()
    assert "warning" not in out
    assert err == (
        "xlsr-ref: warning: 1 of 2 clips are left out, b.wav the first: they have more letters in their text than "
        "frames\n"
    )


def test_interrupted_it_says_how_to_go_on(place, monkeypatch, capsys):
    real = loop.finetune_step

    def step(params, config, recipe, preprocessor, batch):
        if batch.step == stop:
            raise KeyboardInterrupt
        return real(params, config, recipe, preprocessor, batch)

    monkeypatch.setitem(loop.STEPS, "finetune", step)
    command = ["finetune", "tiny.toml", "--data", "corpus", "--out"]
    stop = 1
    assert main([*command, "run"]) == 130
    assert capsys.readouterr().err == "xlsr-ref: interrupted: --resume begins again, there is no checkpoint yet\n"
    stop = 4
    assert main([*command, "run", "--resume"]) == 130
    assert capsys.readouterr().err == "xlsr-ref: interrupted: --resume goes on after step-0000002\n"
    stop = 0
    assert main([*command, "run", "--resume"]) == 0
    assert "resuming after step 2\n" in capsys.readouterr().out
    assert main([*command, "whole"]) == 0
    assert fingerprint(place / "run", 4) == fingerprint(place / "whole", 4)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_control_c_in_earnest(place):
    (place / "long.toml").write_text(recipe(100000, 100000))
    command = [sys.executable, "-m", "xlsr_ref", "finetune", "long.toml", "--data", "corpus", "--out", "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - one started in the background is deaf
    with subprocess.Popen(command, **pipes, preexec_fn=heeds) as process:
        for line in process.stdout:
            if line.startswith(b"step "):
                break
        second = subprocess.run([*command, "--resume"], capture_output=True, text=True)  # two at once, in one folder
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert err.splitlines()[-1] == b"xlsr-ref: interrupted: --resume begins again, there is no checkpoint yet"
    assert second.returncode == 1
    assert second.stderr == "xlsr-ref: another run is at work in run: wait for it, or give another --out\n"
    assert all(json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines())
