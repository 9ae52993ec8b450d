"""The exercises themselves: solutions, starters, conventions, and mistakes that can be told from each other."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import exercise, exercises
from xlsr_ref.teach.grade.battery import arrays, cases, copied, mapped, strided
from xlsr_ref.teach.grade.catalogue import all_exercises
from xlsr_ref.teach.grade.judge import judge
from xlsr_ref.teach.grade.mistakes import mutants

EACH = pytest.mark.parametrize("task", all_exercises(), ids=lambda task: task.name)


@EACH
def test_the_solution_and_the_library_pass_their_own_battery(task):
    for function in (task.function(), task.reference):
        verdict = judge(task, function, np.random.default_rng(0))
        assert verdict.passed, verdict
        assert verdict.score == 1


@EACH
def test_the_starter_compiles_and_says_what_to_do(task):
    names: dict = {}
    exec(compile(task.starter, task.name, "exec"), names)
    assert list(inspect.signature(names[task.name]).parameters) == list(task.parameters())
    assert inspect.getdoc(names[task.name]) == task.task
    assert "Return" in task.task
    assert "Source: " in task.task
    arguments = task.battery(np.random.default_rng(0))[0].arguments
    with pytest.raises(NotImplementedError):
        names[task.name](*arguments)


@EACH
def test_the_solution_is_plain_numpy(task):
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(ast.parse(task.solution))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= {"math", "numpy", "scipy.special"}


@EACH
def test_each_mistake_gives_numbers_of_its_own(task):
    """One that gives the right numbers, or another's, could not be found."""
    assert len({mistake.words for mistake in task.mistakes}) >= 3
    battery = [case for case in task.battery(np.random.default_rng(7)) if case.dtype != np.float32]

    def numbers(function):
        return tuple(_rounded(function, case) for case in battery)

    seen = {numbers(task.function()): "right"}
    for mistake, (words, function, _) in zip(task.mistakes, mutants(task)):
        if not mistake.rounding:
            assert seen.setdefault(numbers(function), words) == words


def _rounded(function, case):
    try:
        with np.errstate(all="ignore"):
            result = function(*mapped(copied, case.arguments))
    except (ValueError, IndexError, ArithmeticError) as error:
        return type(error).__name__
    if isinstance(result, tuple):
        result = tuple(np.asarray(each) if isinstance(each, int | float) else each for each in result)
    leaves = arrays(mapped(np.asarray, result) if isinstance(result, tuple | dict) else np.asarray(result), "")
    return tuple((name, array.shape, np.round(array.astype(float), 9).tobytes()) for name, array in leaves)


@EACH
def test_backward_exercises_take_the_gradient_and_then_what_forward_takes(task):
    if not task.name.endswith("_backward"):
        return
    forward = exercise(task.name.removesuffix("_backward"))
    first, *others = task.parameters()
    assert first.startswith("d")
    assert tuple(others) == forward.parameters()


def test_there_are_at_least_55_forward_and_backward_of_every_folder():
    assert len(exercises()) >= 55
    assert len(set(exercises())) == len(exercises())
    assert sum(name.endswith("_backward") for name in exercises()) >= 8
    folders = {task.module.split(".")[0] for task in all_exercises()}
    assert {"ops", "wav2vec2", "losses", "text", "audio"} <= folders


def test_they_come_in_the_order_of_the_notebooks():
    notebooks = [task.notebook for task in all_exercises()]
    assert notebooks == sorted(notebooks)


def test_an_unknown_name_is_refused_with_those_that_are_near():
    with pytest.raises(ExerciseError, match="no exercise 'layernorm': did you mean layer_norm"):
        exercise("layernorm")
    with pytest.raises(ExerciseError, match="grade --list shows their names"):
        exercise("xyzzy")


def test_views_with_strides_hold_the_same_numbers_and_stay_views_when_copied():
    x = np.arange(12.0).reshape(3, 4)
    for view in (strided(x), copied(strided(x))):
        np.testing.assert_array_equal(view, x)
        assert not view.flags.c_contiguous
    assert copied(x).flags.c_contiguous


def test_every_property_but_the_first_is_tried_in_both_dtypes():
    x = np.ones((2, 3))
    battery = cases({"usual": (x, {"w": x}), "one more": (x, 3)}, 1e-6, {"one more": 1e-3})
    tried = [(case.property, str(case.dtype), case.tolerance) for case in battery]
    assert tried == [
        ("float64", "float64", 1e-10),
        ("float32", "float32", 1e-6),
        ("views with strides", "float64", 1e-10),
        ("one more", "float64", 1e-10),
        ("one more", "float32", 1e-3),
    ]
    for case in battery:
        assert {array.dtype for _, array in arrays(case.arguments, "")} == {case.dtype}


@EACH
def test_a_battery_is_decided_by_its_seed(task):
    def numbers(seed):
        battery = task.battery(np.random.default_rng(seed))
        return [array for case in battery for _, array in arrays(case.arguments, "")]

    first, again = numbers(3), numbers(3)
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, again))
