"""Solutions by somebody who had not read the lists of mistakes, in unseen/: how many wrong ones are named, and rightly.

NAMED holds what a teacher accepted as the name of each wrong one. Where two mistakes give the same numbers the grader
may name either.
"""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.teach.grade import exercise
from xlsr_ref.teach.grade.judge import judge

FOLDER = Path(__file__).parent / "unseen"
RIGHT = ("right.py",)


def _written(files):
    return {
        name: function
        for file in files
        for name, function in runpy.run_path(str(file)).items()
        if "__" in name.strip("_") and callable(function)
    }


RIGHTS = _written(FOLDER / name for name in RIGHT)
WRONGS = _written(file for file in sorted(FOLDER.glob("*.py")) if file.name not in RIGHT)
NAMED = {
    line.split(": ", 1)[0]: line.split(": ", 1)[1]
    for line in (FOLDER / "named.txt").read_text(encoding="utf-8").splitlines()
}


@pytest.fixture(scope="module")
def verdicts():
    return {
        name: judge(exercise(name.split("__")[0]), function, np.random.default_rng(len(name)))
        for name, function in WRONGS.items()
    }


@pytest.mark.parametrize("name", RIGHTS)
def test_what_is_right_passes_in_any_style(name):
    verdict = judge(exercise(name.split("__")[0]), RIGHTS[name], np.random.default_rng(len(name)))
    assert verdict.passed, f"{inspect.getdoc(RIGHTS[name])}\n{verdict}"


def test_no_wrong_one_passes(verdicts):
    assert [name for name, verdict in verdicts.items() if verdict.passed] == []


def test_of_a_hundred_mistakes_85_are_named_and_2_at_most_misnamed(verdicts):
    said = {
        name: verdict.mistake if verdict.distance == 0 else next((w for r, ok, w in verdict.properties if not ok), "")
        for name, verdict in verdicts.items()
    }
    right = [name for name, words in said.items() if NAMED.get(name, "-") in words]
    misnamed = [name for name in said if verdicts[name].distance == 0 and name not in right]
    assert len(right) >= 0.85 * len(said), sorted(set(said) - set(right))
    assert len(misnamed) <= 0.02 * len(said), misnamed


def test_there_are_enough_of_them():
    assert len(WRONGS) >= 100
    assert len({name.split("__")[0] for name in WRONGS}) >= 25
    assert len(RIGHTS) >= 24
