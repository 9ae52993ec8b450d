"""The warnings: when they come, how often, and when a run must end."""

import pytest

from xlsr_ref.errors import TrainingError
from xlsr_ref.training.watch import AGAIN, PATIENCE, Watch


def said(watch, steps, **numbers):
    return [n for n in range(1, steps + 1) if watch.good(numbers)]


def test_all_blank_is_said_after_some_patience_and_again():
    patience = PATIENCE["blank"]
    assert said(Watch(3), patience + AGAIN + 5, blanks=1.0) == [patience, patience + AGAIN]
    assert said(Watch(3), 500, blanks=0.99) == []


def test_one_step_that_says_something_begins_the_count_anew():
    watch = Watch(3)
    assert said(watch, PATIENCE["blank"] - 1, blanks=1.0) == []
    watch.good({"blanks": 0.5})
    assert said(watch, PATIENCE["blank"], blanks=1.0) == [PATIENCE["blank"]]


def test_a_collapsed_group_is_named():
    watch = Watch(3)
    assert said(watch, PATIENCE["collapse"] - 1, perplexity=[40.0, 1.1]) == []
    (line,) = watch.good({"perplexity": [40.0, 1.1]})
    assert line.startswith("warning: the codebook of group 1 has collapsed (perplexity 1.10): lower the schedule.peak")
    assert said(Watch(3), 500, perplexity=[40.0, 2.0]) == []


def test_bad_steps_are_counted_and_many_in_a_row_end_the_run():
    watch = Watch(3)
    assert watch.failed(7, "the gradient is NaN") == "warning: step 7 is left out, for the gradient is NaN"
    watch.failed(8, "x")
    watch.good({})
    assert (watch.bad, watch.in_a_row) == (2, 0)
    watch.failed(10, "x")
    watch.failed(11, "x")
    with pytest.raises(TrainingError, match=r"3 steps in a row, up to step 12, had no usable gradient \(x\)"):
        watch.failed(12, "x")
    assert watch.bad == 5


def test_the_count_goes_on_where_a_run_was_stopped():
    with pytest.raises(TrainingError, match="3 steps in a row"):
        Watch(3, bad=5, in_a_row=2).failed(9, "x")
