"""xlsr-ref lm, and transcribe with what it makes."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.cli import main
from xlsr_ref.cli.say import WrongUsage
from xlsr_ref.cli.transcribe import hotwords_of
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.lm import build, perplexity, read_lm

CLIP = Path(xlsr_ref.__file__).parent / "data" / "clips" / "en" / "vm-review-urgent.flac"


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Kernels are compiled before any test compares the standard error: compiling is announced there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        perplexity(build(train([["a"]], 2)), [["a"]])


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("press four to mark this message as urgent\n\npress five\npress four\n", encoding="utf-8")
    return "text"


def test_train_and_measure(corpus, capsys):
    assert main(["lm", "train", corpus, "-o", "lm.arpa", "--order", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    *warned, last = [line for line in err.splitlines() if "compiling for this machine" not in line]
    assert all(line.startswith("xlsr-ref: warning: too little text to estimate the discounts") for line in warned)
    assert last.startswith("xlsr-ref: wrote lm.arpa: 12 1-grams, ")
    assert read_lm("lm.arpa").order == 2
    assert main(["lm", "perplexity", "lm.arpa", corpus]) == 0
    out, err = capsys.readouterr()
    assert [line for line in err.splitlines() if "compiling for this machine" not in line] == []
    assert out.startswith("perplexity ")
    assert out.endswith(": 15 words, 0 of them unknown\n")


def test_pruned_n_grams_are_not_written(corpus, capsys):
    assert main(["lm", "train", corpus, "-o", "lm.arpa", "--order", "2", "--prune", "0", "1"]) == 0
    head = capsys.readouterr().err.splitlines()[-1]
    assert head == "xlsr-ref: wrote lm.arpa: 12 1-grams, 2 2-grams"  # press four; <s> press
    assert main(["lm", "train", corpus, "--prune", "1"]) == 1
    assert capsys.readouterr().err == "xlsr-ref: to prune by 1: begin with 0, and let no number fall\n"


def test_to_the_standard_output(corpus, capsys):
    assert main(["lm", "train", corpus]) == 0
    assert capsys.readouterr().out.startswith("\\data\\\nngram 1=12\n")


def test_characters(corpus, capsys):
    assert main(["lm", "train", corpus, "--level", "character", "-o", "lm.arpa"]) == 0
    assert "|" in read_lm("lm.arpa").words
    assert max(map(len, read_lm("lm.arpa").words)) == 5  # <unk>
    capsys.readouterr()
    assert main(["lm", "perplexity", "lm.arpa", corpus, "--level", "character"]) == 0


def test_from_a_pipe_into_a_pipe(corpus):
    line = [sys.executable, "-m", "xlsr_ref", "lm", "train", "-", "--order", "1"]
    done = subprocess.run(line, input="a b\nché a\n".encode(), capture_output=True)
    assert done.returncode == 0
    assert "ché" in done.stdout.decode()
    many = "\n".join(f"word{i} word{i + 1}" for i in range(20_000)).encode()
    reader = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    reader.stdout.close()
    reader.stdin.write(many)
    reader.stdin.close()
    assert b"Traceback" not in reader.stderr.read()
    assert reader.wait() == 141
    reader.stderr.close()


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["lm"], 2, "say what to do: train or perplexity"),
        (["lm", "learn"], 2, "invalid choice"),
        (["lm", "train"], 2, "required: TEXT"),
        (["lm", "train", "text", "--order", "9"], 2, "--order is 9: give 1 to 8"),
        (["lm", "train", "text", "--level", "line"], 2, "invalid choice"),
        (["lm", "perplexity", "lm.arpa"], 2, "required: TEXT"),
        (["lm", "train", "nowhere"], 1, "nowhere is missing"),
        (["lm", "train", "."], 1, ". is a folder"),
        (["lm", "train", str(CLIP)], 1, "this is no text"),
        (["lm", "train", "text", "-o", "."], 1, "cannot be written"),
        (["lm", "perplexity", "text", "text"], 1, "this is no ARPA file"),
        (["lm", "perplexity", ".", "text"], 1, "no language_model folder"),
        (["transcribe", str(CLIP), "--lm", "text"], 1, "this is no ARPA file"),
        (["transcribe", str(CLIP), "--lm", "nowhere"], 1, "nowhere is missing"),
        (["transcribe", str(CLIP), "--beam", "0"], 2, "--beam is 0"),
        (["transcribe", str(CLIP), "--beam", "wide"], 2, "invalid int value"),
        (["transcribe", str(CLIP), "--alpha", "1"], 2, "give --lm, too"),
        (["transcribe", str(CLIP), "--beta", "1", "--beam", "9"], 2, "give --lm, too"),
        (["transcribe", str(CLIP), "--hotwords", "anna:x"], 2, "a weight is a number"),
        (["transcribe", str(CLIP), "--hotwords", "anna:nan"], 1, "'anna' is nan"),
    ],
)
def test_what_is_wrong_is_one_line(corpus, capsys, argv, status, says):
    assert main(argv) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err.splitlines()[-1]
    assert status == 2 or len(err.splitlines()) == 1


def test_an_empty_text(corpus, capsys, monkeypatch):
    Path("empty").write_text("\n \n")
    assert main(["lm", "train", "empty"]) == 1
    assert "no sentence" in capsys.readouterr().err


def test_interrupted(corpus, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xlsr_ref.text.search.kneser_ney.train", stop)
    assert main(["lm", "train", corpus]) == 130
    assert capsys.readouterr().err == "xlsr-ref: interrupted\n"


def test_transcribe_with_it(corpus, capsys):
    main(["lm", "train", corpus, "-o", "lm.arpa"])
    capsys.readouterr()
    assert main(["transcribe", str(CLIP), "--beam", "100", "--lm", "lm.arpa", "--format", "vtt"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("WEBVTT\n")
    assert "message" in out.split()
    assert main(["transcribe", str(CLIP), "--hotwords", "message:20"]) == 0
    assert "message" in capsys.readouterr().out.split()


def test_hotwords():
    assert hotwords_of("anna, zagreb:5 ,a:b:2") == {"anna": 10.0, "zagreb": 5.0, "a:b": 2.0}
    assert hotwords_of("") == {}
    with pytest.raises(WrongUsage, match="'anna:'"):
        hotwords_of("anna:")
