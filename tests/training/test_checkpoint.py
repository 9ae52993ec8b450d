"""Checkpoints: whole or not there; what is not whole, or of another run, is refused; old ones go."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_run import make_corpus, recipe

from xlsr_ref.errors import TrainingError
from xlsr_ref.ops.adam import AdamState
from xlsr_ref.training import checkpoint
from xlsr_ref.training.folder import UNFINISHED

FILES = {"config.json": '{"architectures": ["Wav2Vec2ForCTC"]}', "vocab.json": '{"[PAD]": 0, "a": 1}'}


@pytest.fixture
def params(rng):
    return {"a": rng.standard_normal((3, 2)).astype(np.float32), "b": rng.standard_normal(4).astype(np.float32)}


@pytest.fixture
def adam(params):
    return AdamState({"a": 3}, {"a": params["a"] * 2}, {"a": params["a"] ** 2})


def save(run, step, params, adam, **state):
    return checkpoint.save(run, step, params, adam, FILES, state)


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_what_is_saved_comes_back(tmp_path, params, adam):
    folder = save(tmp_path, 7, params, adam, place={"step": 7})
    assert folder == checkpoint.latest(tmp_path) == tmp_path / "checkpoints" / "step-0000007"
    others = {name: np.zeros_like(array) for name, array in params.items()}
    back, state = checkpoint.restore(folder, others, FILES)
    assert state == {"place": {"step": 7}}
    for name in params:
        np.testing.assert_array_equal(others[name], params[name])
    assert back.steps == {"a": 3}
    np.testing.assert_array_equal(back.m["a"], adam.m["a"])
    np.testing.assert_array_equal(back.v["a"], adam.v["a"])
    assert back.m["a"].flags.writeable


def test_an_optimizer_that_has_done_nothing(tmp_path, params):
    folder = save(tmp_path, 1, params, AdamState())
    assert not (folder / checkpoint.OPTIMIZER).exists()
    assert checkpoint.restore(folder, params, FILES)[0] == AdamState()


def test_the_last_is_that_of_the_highest_step_that_is_whole(tmp_path, params, adam):
    assert checkpoint.latest(tmp_path) is None
    for step in (99, 100, 9999999, 10000000):  # by number: the last name is the longest
        save(tmp_path, step, params, adam)
    (tmp_path / "checkpoints" / f"step-9999999{UNFINISHED}").mkdir()
    (tmp_path / "checkpoints" / "step-99999999").touch()  # a file is none
    assert checkpoint.latest(tmp_path).name == "step-10000000"


def test_tidy_keeps_two_and_the_best(tmp_path, params, adam):
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step, params, adam)
    (tmp_path / "checkpoints" / f"step-0000006{UNFINISHED}").mkdir()
    checkpoint.tidy(tmp_path, 2)
    assert names(tmp_path) == ["step-0000002", "step-0000004", "step-0000005"]
    checkpoint.tidy(tmp_path, None)
    assert names(tmp_path) == ["step-0000004", "step-0000005"]


def test_a_checkpoint_is_written_over_one_of_the_same_step(tmp_path, params, adam):
    """As after a damaged one, further on, was deleted."""
    save(tmp_path, 1, params, adam, place=1)
    save(tmp_path, 1, params, adam, place=2)
    assert json.loads((tmp_path / "checkpoints" / "step-0000001" / checkpoint.STATE).read_text())["place"] == 2
    assert names(tmp_path) == ["step-0000001"]


def test_a_published_model_has_nothing_that_only_training_needs(tmp_path, params, adam):
    folder = save(tmp_path, 1, params, adam)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    checkpoint.publish(folder, tmp_path / "model")
    assert sorted(os.listdir(tmp_path / "model")) == ["config.json", "model.safetensors", "vocab.json"]
    assert sorted(os.listdir(tmp_path)) == ["checkpoints", "model"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 40),
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: (folder / "state.json").write_text("{}"),
        lambda folder: (folder / "optimizer.safetensors").unlink(),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("[]"),
    ],
)
def test_damage_is_one_line_and_changes_nothing(tmp_path, params, adam, damage):
    folder = save(tmp_path, 1, params, adam, place=0)
    damage(folder)
    others = {name: np.zeros_like(array) for name, array in params.items()}
    with pytest.raises(TrainingError, match=r"step-0000001 is damaged .*: delete it to resume from the one before"):
        checkpoint.restore(folder, others, FILES)
    assert not others["a"].any()


def test_another_shape_is_damage(tmp_path, params, adam):
    folder = save(tmp_path, 1, params, adam)
    others = {"a": np.zeros((3, 2), np.float32), "b": np.zeros(5, np.float32)}
    with pytest.raises(TrainingError, match="it has no b of the right shape"):
        checkpoint.restore(folder, others, FILES)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"config.json": '{"architectures": ["Wav2Vec2ForPreTraining"]}'}, "holds a Wav2Vec2ForCTC, and this trains a"),
        ({"vocab.json": '{"[PAD]": 0, "b": 1}'}, "has another vocab.json: the texts of the corpus have changed"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, params, adam, files, says):
    with pytest.raises(TrainingError, match=says):
        checkpoint.restore(save(tmp_path, 1, params, adam), params, FILES | files)


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["write_text", "write_arrays", "fsync", "rename"])
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, params, adam, monkeypatch, operation):
    first = save(tmp_path, 1, params, adam)
    before = {path.name: path.read_bytes() for path in first.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    place = {"write_text": Path, "write_arrays": checkpoint, "fsync": os, "rename": os}[operation]
    monkeypatch.setattr(place, operation, full)
    with pytest.raises(TrainingError) as caught:
        save(tmp_path, 2, params, adam)
    monkeypatch.undo()
    assert str(caught.value) == (
        "the checkpoint of step 2 cannot be written (No space left on device); the last one, step-0000001, is whole: "
        "free some space and --resume"
    )
    assert names(tmp_path) == ["step-0000001"]
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from xlsr_ref.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_run_that_can_write_no_large_file_says_so_and_can_be_resumed(tmp_path):
    """The limit is above the recipe's size and below that of the weights."""
    corpus = make_corpus(tmp_path / "corpus")
    (tmp_path / "tiny.toml").write_text(recipe(2, 2))
    command = ["finetune", str(tmp_path / "tiny.toml"), "--data", str(corpus), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", LIMITED, "10000", *command], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("xlsr-ref: the checkpoint of step 2 cannot be written (")
    assert "too large" in last
    assert last.endswith("; there is none yet")
    assert names(tmp_path / "run") == []
    again = subprocess.run([sys.executable, "-m", "xlsr_ref", *command, "--resume"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
