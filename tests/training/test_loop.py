"""A run from beginning to end: resumed or not, on any number of threads, it learns the same bits."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from tiny_run import fingerprint, make_corpus, recipe

from xlsr_ref.checkpoint.safetensors_file import read_arrays
from xlsr_ref.errors import ObjectiveError, TrainingError
from xlsr_ref.ops import threads
from xlsr_ref.training import loop
from xlsr_ref.training.dev import DevErrors
from xlsr_ref.training.folder import read_metrics
from xlsr_ref.training.loop import train
from xlsr_ref.training.prepare import prepare_run
from xlsr_ref.training.recipe import read_recipe


@pytest.fixture
def begin(tmp_path):
    """begin(task, name of the run, …): a run, and what it will say."""
    make_corpus(tmp_path / "corpus")

    def call(task="finetune", name="run", resume=False, text=None, **changes):
        (tmp_path / f"{name}.toml").write_text(text or recipe(**changes))
        said = []
        corpus = tmp_path / "corpus"
        return prepare_run(task, tmp_path / f"{name}.toml", tmp_path / name, corpus, resume, said.append), said

    return call


def stop_after(step):
    def say(text):
        if text.startswith(f"step {step:2}/"):
            raise KeyboardInterrupt

    return say


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_a_stopped_run_ends_with_the_same_bits(begin, task):
    whole, said = begin(task, "whole")
    assert train(whole, said.append) == whole.folder / "model"
    for stop in (2, 8, 10):  # before the first checkpoint, at one, after one
        stopped, _ = begin(task, "stopped", resume=stop > 2)
        with pytest.raises(KeyboardInterrupt):
            train(stopped, stop_after(stop))
    last, _ = begin(task, "stopped", resume=True)
    assert last.place.step == 8
    with threads.use(3):
        train(last, said.append)
    assert fingerprint(last.folder) == fingerprint(whole.folder)
    steps = [line["step"] for line in read_metrics(last.folder) if "loss" in line]
    assert steps == [2, 4, 6, 8, 10, 12]
    again, _ = begin(task, "stopped", resume=True)  # a finished run has nothing to do
    train(again, said.append)
    assert fingerprint(again.folder) == fingerprint(whole.folder)


def test_it_learns_and_says_so(begin):
    run, said = begin(text=recipe(60, 20).replace("1e-3", "5e-3"))
    before = {name: array.copy() for name, array in run.start.params.items()}
    train(run, said.append)
    losses = [line["nats_per_token"] for line in read_metrics(run.folder) if "loss" in line]
    assert losses[-1] < losses[0] / 2
    assert any((before[name] != array).any() for name, array in run.start.params.items())
    assert sum(line.startswith("step ") for line in said) == 30
    assert sum("dev character error rate tiny-en" in line for line in said) == 3


def test_the_model_is_that_of_the_best_step_and_has_its_numbers(begin, monkeypatch):
    errors = iter([0.5, 0.25, 0.75])
    monkeypatch.setattr(loop, "errors_on", lambda *_: DevErrors({"tiny-en": next(errors)}, {"tiny-en": 1.0}))
    run, said = begin()
    model = train(run, said.append)
    best = run.folder / "checkpoints" / "step-0000008"
    assert (model / "model.safetensors").read_bytes() == (best / "model.safetensors").read_bytes()
    assert [line["mean"] for line in read_metrics(run.folder) if "dev" in line] == [0.5, 0.25, 0.75]
    assert json.loads((best / "state.json").read_text())["place"]["best"] == [0.25, 8]


def nan_at(monkeypatch, steps, how):
    real = loop.finetune_step

    def step(params, config, recipe, preprocessor, batch):
        numbers, grads = real(params, config, recipe, preprocessor, batch)
        if batch.step in steps and how == "error":
            raise ObjectiveError("the loss is NaN")
        if batch.step in steps:
            next(iter(grads.values()))[...] = {"nan": math.nan, "inf": math.inf}[how]
        return numbers, grads

    monkeypatch.setitem(loop.STEPS, "finetune", step)


@pytest.mark.parametrize("how", ["nan", "inf", "error"])
def test_a_step_without_a_usable_gradient_is_left_out_and_counted(begin, monkeypatch, how):
    run, said = begin(steps=4, every=4)
    nan_at(monkeypatch, {1, 3}, how)
    train(run, said.append)
    left_out = [line for line in said if line.startswith("warning: ")]
    assert [line.split(",")[0] for line in left_out] == ["warning: step 1 is left out", "warning: step 3 is left out"]
    assert all(np.isfinite(array).all() for array in run.start.params.values())
    assert (run.place.bad, run.place.bad_in_a_row) == (2, 0)
    assert set(run.adam.steps.values()) == {2}
    assert [line["left_out"] for line in read_metrics(run.folder) if "loss" in line] == [1, 2]


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_recordings_that_change_after_the_preparation(begin, tmp_path, task):
    """A clip that is shorter than it was is named, once, counted, and left out; the others are learnt from."""
    run, said = begin(task, text=recipe(steps=6).replace("batch_seconds = 0.8", "batch_seconds = 8.0"))
    for name in ("a", "d"):  # d is in the dev split
        soundfile.write(tmp_path / "corpus" / f"{name}.wav", np.zeros(500), 16000)
    train(run, said.append)
    of_a = [line for line in said if "a.wav" in line]
    assert of_a[0] == "warning: a.wav has 0.03 s, not the 0.4 s of its list"
    assert of_a[1].startswith("warning: a.wav is left out of its batches: it makes 1 frames, and ")
    assert of_a[1].endswith({"pretrain": "a masked span has 3", "finetune": "its text needs 2"}[task])
    assert len(of_a) == 2
    assert ("warning: d.wav has 0.03 s, not the 0.4 s of its list" in said) == (task == "finetune")
    assert (run.place.bad, run.place.clips_left_out) == (0, 6)
    assert [line["clips_left_out"] for line in read_metrics(run.folder) if "loss" in line] == [2, 4, 6]
    assert any(line.endswith("clips left out 6") for line in said)


def test_lists_are_not_believed(begin, tmp_path):
    """A length in the list is compared with the recording before the first step."""
    soundfile.write(tmp_path / "corpus" / "a.wav", np.zeros(500), 16000)
    run, said = begin(steps=3)
    assert "warning: tiny: 1 length in the list is wrong and measured: a.wav has 0.03 s, not 0.4 s" in said
    assert [clip.path.name for clip in run.clips] == ["b.wav", "c.wav"]  # a.wav is below data.shortest


def test_a_clip_that_grows_does_not_fill_the_memory(begin, tmp_path):
    run, said = begin(steps=3)
    soundfile.write(tmp_path / "corpus" / "a.wav", np.zeros(16000 * 30), 16000)
    train(run, said.append)
    assert "warning: a.wav is left out of its batches: it is longer than data.longest = 20 s" in said
    assert run.place.clips_left_out > 0


def test_many_such_steps_in_a_row_end_the_run_and_the_last_checkpoint_stays(begin, monkeypatch):
    run, said = begin(run="bad_steps = 3")
    nan_at(monkeypatch, set(range(6, 99)), "nan")
    with pytest.raises(TrainingError, match="3 steps in a row, up to step 8, had no usable gradient"):
        train(run, said.append)
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["step-0000004"]
    assert run.lock is None


def test_a_run_whose_steps_are_all_left_out_gives_no_model(begin, monkeypatch):
    """Fewer steps than bad_steps: nothing else would end it, and the weights are those that it began with."""
    run, said = begin(steps=4)
    nan_at(monkeypatch, {1, 2, 3, 4}, "nan")
    with pytest.raises(TrainingError, match="all 4 steps were left out, so the model has learnt nothing: mend what"):
        train(run, said.append)
    assert not (run.folder / "model").exists()
    assert run.lock is None


def test_a_model_that_is_nan_on_the_dev_split_ends_the_run_in_words(begin):
    run, said = begin()
    run.start.params["lm_head.weight"][...] = np.nan
    run.recipe = replace(run.recipe, run=replace(run.recipe.run, bad_steps=99))
    with pytest.raises(
        TrainingError, match=r"after step 4 the model's scores are NaN or infinite: lower schedule\.peak"
    ):
        train(run, said.append)


def test_the_rate_is_that_of_the_schedule(tmp_path):
    for name, peak in (("linear", 2.0), ("tri-stage", 2.0)):
        text = recipe(steps=100).replace("peak = 1e-3", f'name = "{name}"\npeak = {peak}\nwarmup = 0.1\nhold = 0.2')
        (tmp_path / "tiny.toml").write_text(text)
        plan = read_recipe(tmp_path / "tiny.toml")
        assert loop.rate_of(plan, 10) == peak
        assert (loop.rate_of(plan, 30) == peak) == (name == "tri-stage")


def dev_errors(monkeypatch, *errors):
    """The error on the dev split, check by check."""
    left = iter(errors)
    monkeypatch.setattr(loop, "errors_on", lambda *_: DevErrors({"tiny-en": next(left)}, {"tiny-en": 1.0}))


def test_a_run_that_does_not_get_better_ends_early(begin, monkeypatch):
    dev_errors(monkeypatch, 0.5, 0.25, 0.25, 0.3)
    run, said = begin(steps=40, run="patience = 2")
    model = train(run, said.append)
    assert run.place.step == 16
    assert "stopped after step 16: 2 checks on the dev split were no better" in said
    best = run.folder / "checkpoints" / "step-0000008"
    assert (model / "model.safetensors").read_bytes() == (best / "model.safetensors").read_bytes()
    again, said = begin(steps=40, run="patience = 2", resume=True)  # and it stays so
    train(again, said.append)
    assert again.place.step == 16


@pytest.mark.parametrize("error", [0.1, 0.9])
def test_the_mean_of_the_last_checkpoints_is_the_model_where_it_is_better(begin, monkeypatch, error):
    dev_errors(monkeypatch, 0.5, 0.25, 0.3, error)  # the last one is that of the mean
    run, said = begin(steps=12, run="average = 3")
    model = train(run, said.append)
    steps = [read_arrays(run.folder / "checkpoints" / f"step-{n:07}" / "model.safetensors") for n in (4, 8, 12)]
    found = read_arrays(model / "model.safetensors")
    which = "mean" if error < 0.25 else "best"
    assert any(line.endswith(f"the best one 0.250: the {which} is the model") for line in said)
    for name, array in found.items():
        mean = np.mean([one[name].astype(np.float64) for one in steps], axis=0).astype(array.dtype)
        assert np.array_equal(array, mean if which == "mean" else steps[1][name]), name
    assert not (run.folder / "checkpoints" / "mean").exists()
    assert any(line.endswith(" left") and line.startswith("step  2/12") for line in said)


def test_a_run_that_is_to_stop_has_the_bits_of_the_longer_one_at_that_step(begin):
    """The learning rate is that of all twelve steps, so after step 8 nothing differs but where the run ends."""
    whole, _ = begin("finetune", "whole")
    train(whole, lambda line: None)
    short, said = begin("finetune", "short", run="stop = 8")
    assert train(short, said.append).name == "model"
    step = "checkpoints/step-0000008/model.safetensors"
    assert (short.folder / step).read_bytes() == (whole.folder / step).read_bytes()
    assert not (short.folder / "checkpoints" / "step-0000012").exists()
    assert any(line.startswith("step 8/8") for line in said)
