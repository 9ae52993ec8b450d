"""Which known mistake was made: each is put into the solution, alone and in pairs, and run on the float64 cases.

A mistake gives the student's numbers where no case has others, to 1e-9. Else the nearest single mistake is named, with
its distance: the mean over the cases of its error against the student's numbers, where 1 is the most that counts. It
must be twice as near as the right solution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xlsr_ref.teach.grade.case_run import Tried, quiet, run_case
from xlsr_ref.teach.grade.definition import Exercise, Mistake
from xlsr_ref.teach.grade.result import relative_error, scale_of

SAME = 1e-9  # two ways to write a float64 formula round differently, by less than this


def nearest_mistake(exercise: Exercise, tried: Sequence[Tried]) -> tuple[str | None, float | None, list[str]]:
    """The words of the mistake, or pair of mistakes, that gives the student's numbers, or else of the nearest one; its
    distance; and what else there is to say."""
    exact = [one for one in tried if one.case.dtype != np.float32]
    if not any(one.outcome.numbers for one in exact):
        return None, None, []
    right_in_float64 = all(one.holds for one in exact)
    with quiet():
        if not right_in_float64:
            for words, function in mutants(exercise):
                if _gives(_distances(exercise, function, exact), exact):
                    return words, 0.0, []
        for mistake in exercise.mistakes:
            if mistake.rounding and _fails_alike(exercise, mistake, tried):
                return mistake.words, 0.0, []
        if right_in_float64:
            return None, None, ["right in float64: too many digits are lost in float32"]
        least = _mean(_distances(exercise, exercise.function(), exact)) / 2  # of the solution, without any mistake
        nearest = None
        for words, function in itertools.islice(mutants(exercise), len(exercise.mistakes)):  # each alone
            distance = _mean(_distances(exercise, function, exact))
            if distance < least:
                nearest, least = words, distance
    if nearest is None:
        return None, None, ["no known mistake comes much nearer to your numbers than the right solution does"]
    return nearest, least, []


def mutants(exercise: Exercise) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The solution with each mistake in it, then with each pair that can be made together, and the words for it."""
    for mistake in exercise.mistakes:
        source = mistake.applied(exercise.solution)
        assert source is not None, f"{mistake.words}: its text must stand in the solution of {exercise.name} once"
        yield mistake.words, exercise.function(source)
    for first, second in itertools.combinations(exercise.mistakes, 2):
        half = first.applied(exercise.solution)
        source = second.applied(half) if half and first.words != second.words else None
        if source:
            yield f"{first.words} and {second.words}", exercise.function(source)


def _distances(exercise: Exercise, function: Callable[..., Any], tried: Sequence[Tried]) -> Iterator[float | None]:
    """How far the numbers of ``function`` are from the student's in each case: 0, the same, to 1.

    None where one raised and neither is right: the same slip raises in one notation and not in another.
    """
    for one in tried:
        yield _between(run_case(exercise, function, one.case, one.right), one)


def _gives(distances: Iterator[float | None], tried: Sequence[Tried]) -> bool:
    """Are these the student's numbers? In no case others, and in one at least the same wrong ones."""
    same_error = False
    for apart, one in zip(distances, tried):
        if apart is None:
            continue
        if apart > SAME:
            return False  # most differ in the first case
        same_error = same_error or (not one.holds and not one.outcome.raised)
    return same_error


def _mean(distances: Iterator[float | None]) -> float:
    each = [1.0 if apart is None else apart for apart in distances]
    return sum(each) / len(each)


def _between(mutant: Tried, one: Tried) -> float | None:
    """How far two outcomes of a case are from each other, 0 to 1; None as for :func:`_distances`."""
    student, others = one.outcome.numbers, mutant.outcome.numbers
    shapes, other_shapes = ({name: array.shape for name, array in each.items()} for each in (student, others))
    if one.outcome.raised or mutant.outcome.raised:
        return 1.0 if one.holds or mutant.holds else None
    if shapes != other_shapes:
        return 1.0
    worst = 0.0
    for name, mine in student.items():
        other = others[name]
        finite = np.isfinite(mine)
        if not np.array_equal(finite, np.isfinite(other)):
            return 1.0
        scale = scale_of(one.right[name], one.right) if name in one.right else 1.0
        worst = max(worst, relative_error(np.where(finite, mine, 0), np.where(finite, other, 0), scale))
    return min(worst, 1.0)


def _fails_alike(exercise: Exercise, mistake: Mistake, tried: Sequence[Tried]) -> bool:
    """Does the solution with this mistake fail the cases that the student's function fails, and no others?"""
    source = mistake.applied(exercise.solution)
    assert source is not None
    function = exercise.function(source)
    return all(run_case(exercise, function, one.case, one.right).holds == one.holds for one in tried)
