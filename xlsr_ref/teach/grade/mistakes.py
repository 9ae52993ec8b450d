"""Which known mistake was made: each is put into the solution, alone and in pairs, and run on the float64 cases.

A mistake gives the student's numbers where no case has others, to 1e-9. Else the nearest single mistake is named, with
its distance: the mean over the cases of its error against the student's numbers, where 1 is the most that counts. It
must be twice as near as the right solution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.teach.grade.case_run import Tried, quiet, run_case
from xlsr_ref.teach.grade.definition import Exercise, Mistake
from xlsr_ref.teach.grade.result import relative_error, scale_of

SAME = 1e-9  # two ways to write a float64 formula round differently, by less than this


class Found(NamedTuple):
    """The words of the mistake, or pair of mistakes, that gives the student's numbers, or else of the nearest one."""

    words: str | None = None
    distance: float | None = None  # 0: the same numbers
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[str, ...] = ()


class Mutant(NamedTuple):
    """The solution with one or two mistakes in it."""

    words: str
    function: Callable[..., Any]
    mistakes: tuple[Mistake, ...]


def nearest_mistake(exercise: Exercise, tried: Sequence[Tried]) -> Found:
    """Which mistake was made, as far as it can be known from the numbers."""
    exact = [one for one in tried if one.case.dtype != np.float32]
    if not any(one.outcome.numbers for one in exact):
        return Found()
    right_in_float64 = all(one.holds for one in exact)
    with quiet():
        made = None if right_in_float64 else _made(exercise, exact)
        if made:
            return Found(made.words, 0.0, made.mistakes)
        for mistake in exercise.mistakes:
            if mistake.rounding and _fails_alike(exercise, mistake, tried):
                return Found(mistake.words, 0.0, (mistake,))
        if right_in_float64:
            return Found(notes=("right in float64: too many digits are lost in float32",))
        least = _mean(_distances(exercise, exercise.function(), exact)) / 2  # of the solution, without any mistake
        nearest = None
        for mutant in single_mutants(exercise):
            distance = _mean(_distances(exercise, mutant.function, exact))
            if distance < least:
                nearest, least = mutant, distance
    if nearest is None:
        return Found(notes=("no known mistake comes much nearer to your numbers than the right solution does",))
    return Found(nearest.words, least, nearest.mistakes)


def _made(exercise: Exercise, exact: Sequence[Tried]) -> Mutant | None:
    """The first that gives the student's numbers, single ones before pairs: that with the same infinities, if any."""
    for group in (single_mutants(exercise), pairs_of_mutants(exercise)):
        second = None
        for mutant in group:
            if _gives(_distances(exercise, mutant.function, exact), exact):
                if _same_infinities(exercise, mutant.function, exact):
                    return mutant
                second = second or mutant
        if second:
            return second
    return None


def mutants(exercise: Exercise) -> Iterator[Mutant]:
    """The solution with each mistake in it, then with each pair that can be made together."""
    yield from single_mutants(exercise)
    yield from pairs_of_mutants(exercise)


def single_mutants(exercise: Exercise) -> Iterator[Mutant]:
    for mistake in exercise.mistakes:
        source = mistake.applied(exercise.solution)
        assert source is not None, f"{mistake.words}: its text must stand in the solution of {exercise.name} once"
        yield Mutant(mistake.words, exercise.function(source), (mistake,))


def pairs_of_mutants(exercise: Exercise) -> Iterator[Mutant]:
    """Each pair, the second put in after the first; where it does not fit then, the first after the second."""
    for first, second in itertools.combinations(exercise.mistakes, 2):
        if first.words == second.words:
            continue
        source = _both(exercise, first, second) or _both(exercise, second, first)
        if source:
            yield Mutant(f"{first.words} and {second.words}", exercise.function(source), (first, second))


def _both(exercise: Exercise, first: Mistake, second: Mistake) -> str | None:
    half = first.applied(exercise.solution)
    return second.applied(half) if half else None


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
        same_error = same_error or (not one.holds and (not one.outcome.raised or one.outcome.arithmetic))
    return same_error


def _same_infinities(exercise: Exercise, function: Callable[..., Any], tried: Sequence[Tried]) -> bool:
    """Whether what is NaN or infinite is the same kind of either: another way of overflowing leaves another."""
    for one in tried:
        other = run_case(exercise, function, one.case, one.right).outcome.numbers
        for name, mine in one.outcome.numbers.items():
            theirs = other.get(name)
            if theirs is not None and theirs.shape == mine.shape and not np.isfinite(mine).all():
                lost = ~np.isfinite(mine)
                if not np.array_equal(mine[lost], theirs[lost], equal_nan=True):
                    return False
    return True


def _mean(distances: Iterator[float | None]) -> float:
    each = [1.0 if apart is None else apart for apart in distances]
    return sum(each) / len(each)


def _between(mutant: Tried, one: Tried) -> float | None:
    """How far two outcomes of a case are from each other, 0 to 1; None as for :func:`_distances`."""
    student, others = one.outcome.numbers, mutant.outcome.numbers
    shapes, other_shapes = ({name: array.shape for name, array in each.items()} for each in (student, others))
    if one.outcome.arithmetic and any(not np.isfinite(array).all() for array in others.values()):
        return 0.0  # Python's math raises where NumPy gives an infinity
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
