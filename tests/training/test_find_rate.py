"""The learning-rate range test: how the rate grows, when it ends, and what it suggests."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_run import make_corpus, recipe

from xlsr_ref.cli import main
from xlsr_ref.errors import TrainingError
from xlsr_ref.training import find_rate as home
from xlsr_ref.training.find_rate import HIGH, LOW, find_rate, judged, smoothed
from xlsr_ref.training.prepare import prepare_run


def test_smoothing_by_hand():
    assert smoothed([4.0], 100) == [4.0]
    assert smoothed([4.0, 2.0], 10) == [4.0, 2.0]
    first, second = smoothed([4.0, 2.0], 100)
    assert first == pytest.approx(4.0, rel=1e-12)
    assert second == pytest.approx((0.9 * 0.4 + 0.1 * 2.0) / (1 - 0.81), rel=1e-12)  # (β m₁ + (1 − β) x₂) / (1 − β²)


def test_a_tenth_of_where_the_loss_is_lowest():
    rates = [10.0**-e for e in (6, 5, 4, 3, 2, 1)]
    found = judged(rates, [4.0, 4.0, 1.0, 0.5, 30.0, 90.0], 100)
    assert found.suggestion == pytest.approx(1e-4)
    assert found.why.startswith("schedule.peak = 1.0e-04 is suggested: a tenth of 1.0e-03, where")
    falling = judged(rates, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 100)
    assert falling.suggestion == pytest.approx(1e-2)
    assert falling.why.endswith("(it was still falling)")


@pytest.mark.parametrize("losses", [[], [1.0, 1.0, 2.0], [1.0, 0.97, 3.0], [float("nan"), 1.0]])
def test_nothing_is_suggested_where_nothing_fell(losses):
    found = judged([1e-6, 1e-5, 1e-4][: len(losses)], losses, 100)
    assert found.suggestion is None
    assert found.why.startswith("no rate is suggested")


def begin(folder, task="finetune", **changes):
    make_corpus(folder / "corpus")
    (folder / "a.toml").write_text(recipe(4, 2, **changes))
    return prepare_run(task, folder / "a.toml", folder / "run", folder / "corpus", False, lambda line: None)


@pytest.mark.parametrize("task", ["finetune", "pretrain"])
def test_the_rate_grows_by_one_factor(tmp_path, task):
    said: list[str] = []
    run = begin(tmp_path, task)
    found = find_rate(run, 30, said.append)
    steps = len(found.rates)
    assert found.rates[0] == LOW
    np.testing.assert_allclose(np.diff(np.log(found.rates)), np.log(HIGH / LOW) / 29, rtol=1e-9)
    assert steps == 30 or found.smoothed[-1] > home.TOO_MUCH * min(found.smoothed)
    assert found.smoothed == smoothed(found.losses, 30)
    stored = json.loads((tmp_path / "run" / "learning_rate.json").read_text())
    assert stored["rates"] == found.rates
    assert stored["suggestion"] == found.suggestion
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert said[0].startswith("step 3/30  rate")


def test_it_ends_where_training_breaks(tmp_path, monkeypatch):
    """A loss that grows beyond four times its lowest, and one that is no number."""
    monkeypatch.setattr(home, "HIGH", 1e3)
    found = find_rate(begin(tmp_path), 40, lambda line: None)
    assert len(found.rates) < 40
    assert found.smoothed[-1] > home.TOO_MUCH * min(found.smoothed) or len(found.rates) > home.FEWEST


def test_too_few_steps(tmp_path):
    with pytest.raises(TrainingError, match="a range test of 9 steps says nothing: give at least 10"):
        find_rate(begin(tmp_path), 9, lambda line: None)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_corpus(tmp_path / "corpus")
    (tmp_path / "a.toml").write_text(recipe(4, 2))
    assert main(["finetune", "a.toml", "--data", "corpus", "--find-rate", "20"]) == 0
    out, err = capsys.readouterr()
    assert "is suggested" in out.splitlines()[-2]
    assert out.splitlines()[-1].startswith("its curve is in a-rate")
    assert {path.name for path in (tmp_path / "a-rate").iterdir()} >= {"learning_rate.json", "learning_rate.svg"}
    assert err == ""
    assert main(["finetune", "a.toml", "--data", "corpus", "--find-rate", "5"]) == 2
    assert main(["finetune", "a.toml", "--data", "corpus", "--find-rate", "20", "--resume"]) == 2
    assert main(["finetune", "a.toml", "--data", "corpus", "--find-rate", "20"]) == 1
    assert "a-rate holds a run: give another --out" in capsys.readouterr().err
