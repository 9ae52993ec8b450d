"""Which mistake was made: functions that others wrote, in wrong/, not the mistakes that the exercises carry.

A file there has functions EXERCISE__anything whose docstring is what must be found: "right", the words of a known
mistake, or those of two.
"""

from __future__ import annotations

import inspect
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.teach.grade import exercise, exercises
from xlsr_ref.teach.grade.judge import judge

WRITTEN = {
    name: function
    for file in sorted((Path(__file__).parent / "wrong").glob("*.py"))
    for name, function in runpy.run_path(str(file)).items()
    if "__" in name.strip("_") and callable(function)
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_made_is_named(name):
    function, task = WRITTEN[name], exercise(name.split("__")[0])
    verdict = judge(task, function, np.random.default_rng(len(name)))
    expected = inspect.getdoc(function)
    if expected == "right":
        assert verdict.passed, verdict
        assert verdict.mistake is None
    else:
        assert not verdict.passed
        assert (verdict.mistake, verdict.distance) == (expected, 0.0), verdict


@pytest.mark.parametrize("name", exercises())
def test_every_exercise_has_three_that_are_recognised_and_one_that_is_right(name):
    expected = [inspect.getdoc(f) for written, f in WRITTEN.items() if written.split("__")[0] == name]
    known = {mistake.words for mistake in exercise(name).mistakes}
    assert len({words for words in expected if words in known}) >= 3
    assert "right" in expected


def test_all_that_is_written_belongs_to_an_exercise():
    assert {name.split("__")[0] for name in WRITTEN} == set(exercises())


def test_pairs_are_among_them():
    assert Counter(" and " in (inspect.getdoc(f) or "") for f in WRITTEN.values())[True] >= 4
