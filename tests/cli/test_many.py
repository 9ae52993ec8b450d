"""Many recordings: lists as arguments, results as lines of JSON, going on after a stop, several at a time."""

from __future__ import annotations

import io
import json
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import COLUMNS, read_manifest
from xlsr_ref.cli import main, many
from xlsr_ref.cli.item import Item, keyed
from xlsr_ref.text.transcript import Transcript

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIPS = [clip for clip in read_manifest(DATA / "clips.tsv") if clip.lang == "es" and clip.split == "train"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a list of five spoken digits, one of them as a part of its file."""
    monkeypatch.chdir(tmp_path)
    lines = ["\t".join([*COLUMNS, "start", "end"])]
    lines += ["\t".join([*map(str, clip[:6]), "0.02" if i == 4 else "", ""]) for i, clip in enumerate(CLIPS[:5])]
    Path("list.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def results(path="all.jsonl"):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_a_list_as_lines_of_json_and_going_on(here, capsys):
    line = ["transcribe", "list.tsv", "--results", "all.jsonl"]
    assert main(line) == 0
    assert capsys.readouterr().out == ""
    whole = results()
    assert [one["key"] for one in whole] == [*(str(clip.path) for clip in CLIPS[:4]), f"{CLIPS[4].path}:0.02-"]
    assert main(line) == 1
    assert "all.jsonl: is there already: --skip-existing goes on with it" in capsys.readouterr().err
    text = Path("all.jsonl").read_text("utf-8")
    Path("all.jsonl").write_text(text[: text.index("\n") + 20], "utf-8")  # killed while it wrote the second line
    assert main([*line, "--skip-existing", "--jobs", "2"]) == 0
    assert "1 of 5 have their results already" in capsys.readouterr().err
    assert results() == whole


def test_files_that_are_there_are_left_out(here, capsys):
    assert main(["transcribe", "list.tsv", "--output", "out"]) == 0
    names = sorted(path.name for path in Path("out").iterdir())
    assert names[-1] == f"{CLIPS[4].path.stem}_0.02-.txt"
    Path("out", names[0]).unlink()
    Path("out", names[1]).write_text("mine")
    assert main(["transcribe", "list.tsv", "--output", "out", "--skip-existing"]) == 0
    assert "4 of 5 have their results already" in capsys.readouterr().err
    assert sorted(path.name for path in Path("out").iterdir()) == names
    assert Path("out", names[1]).read_text() == "mine"


def test_evaluate_goes_on(here, capsys):
    line = ["evaluate", "list.tsv", "--split", "train", "--results", "all.jsonl"]
    assert main(line) == 0
    first = capsys.readouterr().out
    kept = Path("all.jsonl").read_text("utf-8").splitlines()[:2]
    Path("all.jsonl").write_text("\n".join(kept) + "\n", "utf-8")
    assert main([*line, "--skip-existing"]) == 0
    assert capsys.readouterr().out == first
    assert len(results()) == 5


def test_one_result_for_each_name():
    items = keyed([("a", (), 1), ("b", (), 2), ("a", (), 3)])
    assert [item.key for item in items] == ["a", "b", "a#2"]


@pytest.mark.parametrize("jobs", [1, 3, None])
def test_several_at_a_time_come_in_order_and_an_error_stays_with_its_item(jobs):
    def hear(model, how, clips):
        if clips == ("3",):
            raise ValueError("three")
        return Transcript(f"{model} {clips[0]}", (), ())

    got = []
    line = Namespace(jobs=jobs, threads=2, scheduler=None, dask_workers=None)
    items = [Item(str(i), (str(i),)) for i in range(9)]
    many.work(line, items, hear, None, ("m", {}), lambda item, result: got.append((item.key, str(result))))
    assert got == [(str(i), "three" if i == 3 else f"m {i}") for i in range(9)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--jobs", "0"], "--jobs is 0: give at least 1"),
        (["--dask-workers", "0"], "--dask-workers is 0: give at least 1"),
        (["--dask-workers", "2", "--scheduler", "tcp://a:1"], "give --scheduler, or --dask-workers, and not both"),
        (["--jobs", "2", "--dask-workers", "2"], "--jobs is for this process alone"),
        (["--skip-existing"], "--skip-existing needs results in files: give --output or --results"),
    ],
)
def test_options_that_cannot_be_meant(here, capsys, options, says):
    assert main(["transcribe", "list.tsv", *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"key": 1, "text": ""}\n', '{"a": 1}\n', "no json\n"])
def test_another_file_is_no_results(here, capsys, content):
    Path("all.jsonl").write_text(content)
    assert main(["transcribe", "list.tsv", "--results", "all.jsonl", "--skip-existing"]) == 1
    err = capsys.readouterr().err
    assert "all.jsonl, line 1" in err
    assert Path("all.jsonl").read_text() == content


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_counts_seconds_of_sound(here, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    items = keyed((clip.path.name, (clip,), None) for clip in CLIPS[:3])
    total = sum(clip.seconds for clip in CLIPS[:3])
    with many.progress(items) as (tick, _):
        for item in items:
            time.sleep(0.12)  # tqdm draws ten times a second
            tick(item)
    assert f"0:0{int(total)} of 0:0{int(total)} of sound" in sys.stderr.getvalue()
    assert " left" in sys.stderr.getvalue()
