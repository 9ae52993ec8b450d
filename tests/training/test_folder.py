"""The folder of a run: nothing is overwritten, one run at a time, each file whole."""

import json
import os
import subprocess
import sys

import pytest
from tiny_run import recipe

from xlsr_ref.errors import TrainingError
from xlsr_ref.training import folder
from xlsr_ref.training.recipe import read_recipe


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "tiny.toml").write_text(recipe())
    return read_recipe(tmp_path / "tiny.toml")


def test_a_run_begins_in_an_empty_folder_or_a_new_one(tmp_path, plan):
    folder.require_usable(tmp_path / "new", plan, False)
    (tmp_path / "empty").mkdir()
    folder.require_usable(tmp_path / "empty", plan, False)
    for name in (folder.LOCK, "recipe.toml.unfinished"):  # a run was killed before it had written anything
        (tmp_path / "empty" / name).touch()
    folder.require_usable(tmp_path / "empty", plan, False)


def test_nothing_else_will_do(tmp_path, plan):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("my own")
    with pytest.raises(TrainingError, match="full is not empty: give another --out"):
        folder.require_usable(tmp_path / "full", plan, False)
    with pytest.raises(TrainingError, match="full holds no run to resume: leave --resume out"):
        folder.require_usable(tmp_path / "full", plan, True)
    with pytest.raises(TrainingError, match="holds no run to resume"):
        folder.require_usable(tmp_path / "nowhere", plan, True)
    for resume in (False, True):
        with pytest.raises(TrainingError, match=r"thesis\.txt is not a folder: give another --out"):
            folder.require_usable(tmp_path / "full" / "thesis.txt", plan, resume)


def test_a_run_is_resumed_by_its_own_recipe_only(tmp_path, plan):
    run = tmp_path / "run"
    run.mkdir()
    (run / folder.RECIPE).write_text(recipe())
    folder.require_usable(run, plan, True)
    folder.require_usable(run, plan, False)  # it has left nothing: a mended recipe may take its folder
    (run / folder.METRICS).write_text("")
    with pytest.raises(TrainingError, match="run holds a run: give another --out, or --resume"):
        folder.require_usable(run, plan, False)
    (run / folder.RECIPE).write_text(recipe(steps=13))
    with pytest.raises(TrainingError, match=r"another recipe: run\.steps was 13 and is 12; give another --out"):
        folder.require_usable(run, plan, True)


def test_comments_and_order_do_not_make_another_recipe(tmp_path, plan):
    (tmp_path / folder.RECIPE).write_text("# mine\nseed = 0\n" + recipe())
    folder.require_usable(tmp_path, plan, True)


HOLD = """
import sys
from pathlib import Path
from xlsr_ref.training import folder
kept = folder.hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_one_run_at_a_time_and_a_crash_lets_go(tmp_path):
    program = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(TrainingError, match=r"another run is at work in .*run: wait for it, or give another --out"):
            folder.hold(tmp_path / "run")
        other.kill()
    folder.hold(tmp_path / "run").close()
    folder.hold(tmp_path / "run").close()


@pytest.mark.skipif(os.name == "nt", reason="it has other locks")
def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def without(lock, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", without)
    folder.hold(tmp_path / "run").close()


@pytest.mark.skipif(os.name == "nt", reason="a file where a folder should be")
def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written: Not a directory"):
        folder.hold(tmp_path / "file" / "run")


def test_metrics_go_back_and_a_line_cut_short_is_left_out(tmp_path):
    for step in (2, 4, 6):
        folder.add_metrics(tmp_path, {"step": step, "loss": step / 2})
    with open(tmp_path / folder.METRICS, "a") as file:
        file.write('{"step": 7, "lo')
    assert [line["step"] for line in folder.read_metrics(tmp_path)] == [2, 4, 6]
    folder.rewind_metrics(tmp_path, 4)
    assert [json.loads(line) for line in (tmp_path / folder.METRICS).read_text().splitlines()] == [
        {"step": 2, "loss": 1.0}, {"step": 4, "loss": 2.0}]  # fmt: skip
    assert folder.read_metrics(tmp_path / "nowhere") == []


def test_a_text_is_written_whole_or_not(tmp_path, monkeypatch):
    folder.write(tmp_path / "a", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TrainingError, match="a cannot be written: No space left on device"):
        folder.write(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_metrics_is_one_line(tmp_path):
    (tmp_path / folder.METRICS).symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"metrics\.jsonl cannot be written: No space left on device"):
        folder.add_metrics(tmp_path, {"step": 1})
