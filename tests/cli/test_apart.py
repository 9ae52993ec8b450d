"""No command writes over what it reads, whatever the names look like."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.cli import _parsers, main
from xlsr_ref.cli.apart import READ, WRITTEN, require_apart
from xlsr_ref.errors import XlsrError

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIP = DATA / "clips" / "es" / "vm-savefolder.flac"
NO_FILES = {"text", "split", "language", "names", "name", "exercise", "size", "seconds", "against", "hotwords",
            "format", "dtype", "preparation", "tiers", "scheduler", "level", "to", "settings", "keep",
            "weights", "weight", "question", "by", "device"}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(CLIP, "talk.flac")
    Path("talk.txt").write_text("guardar carpeta\n")
    Path("list.tsv").write_text("path\tlang\tspeaker\tseconds\tsplit\ttext\ntalk.flac\tes\ta\t1\ttest\tx\n")
    shutil.copytree(DATA / "small-ctc", "model")
    return tmp_path


def every_option(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from every_option(each)
        elif action.nargs != 0 and action.type is None:
            yield action.dest


def test_every_option_that_names_a_file_is_known_to_the_check():
    """A new option must say here what it is."""
    assert set(every_option(_parsers()[0])) == set(READ) | set(WRITTEN) | NO_FILES


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("lm train talk.txt -o talk.txt", "talk.txt"),
        ("lm train talk.txt -o ./talk.txt", "talk.txt"),
        ("align talk.flac --text-file talk.txt -o talk.txt", "talk.txt"),
        ("align talk.flac word -o talk.flac", "talk.flac"),
        ("align talk.flac word --model model -o model/vocab.json", "model/vocab.json"),
        ("explain talk.flac -o talk.flac", "talk.flac"),
        ("evaluate list.tsv --output list.tsv", "list.tsv"),
        ("data list.tsv -o list.tsv", "list.tsv"),
        ("evaluate list.tsv --results talk.flac", "talk.flac"),
        ("transcribe talk.flac --results talk.flac", "talk.flac"),
        ("data list.tsv -o talk.flac", "talk.flac"),
        ("evaluate list.tsv --output talk.flac", "talk.flac"),
        ("evaluate list.tsv --lm talk.txt --output talk.txt", "talk.txt"),
        ("transcribe talk.flac talk.txt --output .", "talk.txt"),
        ("transcribe talk.flac --lm talk.txt --output .", "talk.txt"),
        ("weights convert talk.txt talk.txt", "talk.txt"),
        ("bench --model model --json model/config.json", "model/config.json"),
        ("bench --model model --plot model/model.safetensors", "model/model.safetensors"),
    ],
)
def test_an_input_is_never_replaced(here, capsys, line, kept):
    before = Path(kept).read_bytes()
    assert main(line.split()) == 1
    assert (
        f"{Path(kept).name}: is read here and would be replaced; give the result another name"
        in capsys.readouterr().err
    )
    assert Path(kept).read_bytes() == before


def test_one_file_is_not_written_twice(here, capsys):
    assert main(["bench", "--json", "a.svg", "--plot", "./a.svg"]) == 1
    assert "a.svg would be written twice" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_are_seen_through(here, link):
    link("talk.txt", "other")
    for pair in (["other"], ["talk.txt"]), (["talk.txt"], ["other"]):
        with pytest.raises(XlsrError, match="is read here"):
            require_apart(*pair)


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors as Linux names them")
def test_the_standard_input_and_output_are_files_too(here):
    program = [sys.executable, "-m", "xlsr_ref", "lm", "train"]
    root = os.environ | {"PYTHONPATH": str(Path(xlsr_ref.__file__).parents[1])}
    with open("talk.txt") as text:
        done = subprocess.run([*program, "-", "-o", "talk.txt"], stdin=text, capture_output=True, env=root)
    assert b"is read here" in done.stderr
    with open("talk.txt", "a") as text:
        done = subprocess.run(
            [*program, "talk.txt", "-o", "/dev/stdout"], stdout=text, stderr=subprocess.PIPE, env=root
        )
    assert b"is read here" in done.stderr
    assert Path("talk.txt").read_text() == "guardar carpeta\n"


def test_what_is_no_file_is_written_and_read_at_once(here):
    require_apart([os.devnull, None, ""], [os.devnull, None, "", "-", "model", "nowhere"])


def test_a_result_may_lie_beside_a_recording_or_a_model(here):
    require_apart(["talk.srt", "model/hypotheses.tsv", "nowhere/a"], ["talk.flac", ".", "model"])
