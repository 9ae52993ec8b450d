"""What is worth points: functions that do nothing earn none, and correctness is at least two thirds of the weight."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import exercise
from xlsr_ref.teach.grade.battery import mapped
from xlsr_ref.teach.grade.catalogue import all_exercises
from xlsr_ref.teach.grade.judge import judge, judge_prepared, prepare
from xlsr_ref.teach.grade.scoring import CONDUCT, is_ordinary

EACH = pytest.mark.parametrize("task", all_exercises(), ids=lambda task: task.name)


def _like(task, number):
    """A function that returns ``number`` everywhere, in the right form and dtype."""

    def constant(*arguments):
        result = task.function()(*arguments)
        if isinstance(result, tuple) and all(isinstance(each, float) for each in result):
            return (float(number),) * len(result)
        changed = mapped(lambda array: np.full_like(array, number), result)
        return changed if isinstance(result, np.ndarray | tuple | dict) else type(result)(number)

    return constant


@EACH
def test_zeros_ones_and_the_input_earn_nothing(task):
    questions = prepare(task, np.random.default_rng(0))

    def first(*arguments):
        return arguments[0] if len(task.returns) == 1 else arguments[: len(task.returns)]

    def zeros(*arguments):
        return mapped(np.zeros_like, first(*arguments))

    functions = {"zeros": zeros, "x": first}
    if task.name != "collapse":  # which returns a list
        functions |= {"zeros in the right form": _like(task, 0), "ones in the right form": _like(task, 1)}
    for words, function in functions.items():
        verdict = judge_prepared(task, function, questions, explain=False)
        assert verdict.score == 0, (words, verdict)
        assert verdict.points(10) == 0


@EACH
def test_correctness_is_two_thirds_of_the_weight_at_least(task):
    verdict = judge(task, task.function(), np.random.default_rng(0))
    assert verdict.score == 1
    right = sum(weight for (name, _, _), weight in zip(verdict.properties, verdict.weights) if name not in CONDUCT)
    assert right / sum(verdict.weights) >= 2 / 3


@EACH
def test_the_usual_case_and_a_quarter_of_all_are_ordinary(task):
    """Else a right function might earn nothing for want of a case."""
    questions = prepare(task, np.random.default_rng(0))
    assert is_ordinary(*questions[0])
    assert sum(is_ordinary(*each) for each in questions) >= len(questions) / 4


def test_a_function_that_is_right_in_some_cases_earns_some_points():
    def overflows(x):
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)

    verdict = judge(exercise("softmax"), overflows, np.random.default_rng(0))
    assert 0.7 < verdict.score < 0.95
    names = [name for name, _, _ in verdict.properties]
    assert names[0] == "float64"
    assert verdict.weights[0] == 2
    without = verdict.points(10, {"large scores": 0})
    assert without > verdict.points(10) > verdict.points(10, {"large scores": 5})
    assert verdict.points(10, dict.fromkeys(names, 0) | {"float64": 1}) == 10


def test_weights_that_make_no_sense_are_refused():
    verdict = judge(exercise("softmax"), lambda x: x, np.random.default_rng(0))
    with pytest.raises(ExerciseError, match=r"no property .large. here: give one of float64"):
        verdict.points(10, {"large": 1})
    with pytest.raises(ExerciseError, match="give a number from 0"):
        verdict.points(10, {"float32": -1})


def test_it_is_said_why_there_are_no_points():
    verdict = judge(exercise("gelu"), lambda x: np.zeros_like(x), np.random.default_rng(0))
    assert "No points: right in no ordinary case" in str(verdict)
