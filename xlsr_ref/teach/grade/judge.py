"""The judge: a student's function against the library's on every case of a battery, then which mistake was made.

A property holds where all its cases do: result.py says how far the numbers are from right. Where one fails, mistakes.py
looks for the mistake that gives the student's numbers.
Nothing that the student's function does, short of never returning, gets past :func:`judge` as an exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.teach.grade.case_run import Tried, expected_numbers, quiet, run_case
from xlsr_ref.teach.grade.definition import Case, Exercise
from xlsr_ref.teach.grade.dtype_reason import why_another_dtype
from xlsr_ref.teach.grade.hints import line_like, part_of
from xlsr_ref.teach.grade.mistakes import nearest_mistake
from xlsr_ref.teach.grade.observe import observations
from xlsr_ref.teach.grade.result import largest_error
from xlsr_ref.teach.grade.scoring import AGAIN, DTYPE, FORM, UNMODIFIED, is_ordinary, weights
from xlsr_ref.teach.grade.verdict import Verdict

Row = tuple[str, bool, str]  # of a verdict


class Question(NamedTuple):
    """A case with what the library gives for it."""

    case: Case
    right: dict[str, np.ndarray]


def prepare(exercise: Exercise, rng: np.random.Generator) -> tuple[Question, ...]:
    """All that the library is asked: nothing after this calls its function."""
    return tuple(Question(case, expected_numbers(exercise, case)) for case in exercise.battery(rng))


def judge(exercise: Exercise, function: Any, rng: np.random.Generator) -> Verdict:
    """Run ``function``, a student's, in this process. It must return; whatever else it does is in the verdict."""
    return judge_prepared(exercise, function, prepare(exercise, rng))


def judge_prepared(exercise: Exercise, function: Any, questions: Sequence[Question], explain: bool = True) -> Verdict:
    """The verdict on ``function`` from its answers to the ``questions`` of :func:`prepare`.

    Without ``explain`` it is not said which mistake was made: looking for it takes most of the time.
    """
    if not callable(function):
        row = ("is a function", False, f"a {type(function).__name__} was handed in: hand in a function")
        return Verdict(exercise.name, False, (row,))
    with quiet() as printed:
        tried = [run_case(exercise, function, *question) for question in questions]
        again = run_case(exercise, function, *questions[0])
        reason = why_another_dtype(function, next((one for one in tried if _other_dtype(one)), None))
    rows = [*_by_property(tried), *_of_all(tried, again, reason)]
    verdict = Verdict(
        exercise.name,
        passed=all(holds for _, holds, _ in rows),
        properties=tuple(rows),
        notes=tuple(_said(printed.getvalue())),
        weights=weights([name for name, _, _ in rows]),
        counts=_right_in_an_ordinary_case(tried, {name for name, holds, _ in rows if holds}),
    )
    looked_for = explain and not all(one.holds for one in tried)
    return _explained(verdict, exercise, function, tried) if looked_for else verdict


def _explained(verdict: Verdict, exercise: Exercise, function: Any, tried: Sequence[Tried]) -> Verdict:
    """The verdict with the mistake that was made, as far as it is known."""
    found = nearest_mistake(exercise, tried)
    with quiet():
        seen = () if found.distance == 0 else observations(tried)
    return replace(
        verdict,
        mistake=found.words,
        distance=found.distance,
        part=part_of(exercise, found.mistakes) if found.distance == 0 else None,
        line=line_like(exercise, found.mistakes, function) if found.distance == 0 else None,
        notes=(*verdict.notes, *seen, *found.notes),
    )


def _right_in_an_ordinary_case(tried: Sequence[Tried], held: set[str]) -> bool:
    """Whether a property holds that a function which does nothing has not."""
    return any(one.case.property in held and is_ordinary(one.case, one.right) for one in tried)


def _said(text: str) -> Iterator[str]:
    if text.strip():
        yield f"it printed {text[:200].strip()!r}{' and more' if len(text) > 200 else ''}"


# --- the rows of the verdict -----------------------------------------------------------------------------------------


def _by_property(tried: Sequence[Tried]) -> Iterator[Row]:
    for name in dict.fromkeys(one.case.property for one in tried):
        group = [one for one in tried if one.case.property == name]
        failed = next((one for one in group if not one.holds), None)
        shown = failed or max(group, key=lambda one: one.error / one.case.tolerance)
        yield name, failed is None, _what(shown)


def _what(one: Tried) -> str:
    if one.outcome.problem:
        return one.outcome.problem
    if one.error == 0:
        return "exactly right"
    dtype = f" in {one.case.dtype}" if one.case.dtype and one.case.property != str(one.case.dtype) else ""
    allowed = f"{one.case.tolerance:.0e} allowed{dtype}"
    got, right = one.outcome.numbers[one.where], one.right[one.where]
    lost = int((~np.isfinite(got) & np.isfinite(right)).sum())
    if lost:
        return f"{one.where}: {lost} of {got.size} numbers are NaN or infinite{dtype}"
    if not one.holds and right.ndim == 0:
        return f"{one.where} is {got:.6g}, expected {right:.6g}{dtype}"
    if not one.holds and right.dtype.kind in "biu":
        return f"{one.where}: {int((got != right).sum())} of {right.size} are wrong"
    return f"{one.where}: error {one.error:.1e}, {allowed}"


def _of_all(tried: Sequence[Tried], again: Tried, reason: str) -> Iterator[Row]:
    """What every case must have. Nothing counts as passed of a function that never returned the right form."""
    returned = [one for one in tried if not one.outcome.problem]
    unformed = next((one.outcome.problem for one in tried if one.outcome.problem), "")
    yield FORM, not unformed, unformed or f"{len(tried)} of {len(tried)} cases"
    if any(one.case.dtype and array.ndim and array.dtype.kind == "f" for one in tried for array in one.right.values()):
        wrong = next((text for one in returned if (text := _other_dtype(one))), "")
        yield DTYPE, bool(returned) and not wrong, f"{wrong}{reason}" if wrong else _reached(returned)
    modified = [one.outcome.modified for one in tried if one.outcome.modified]
    what = f"wrote to {modified[0]}: work on a copy" if modified else _reached(returned)
    yield UNMODIFIED, bool(returned) and not modified, what
    first = tried[0].outcome
    same = (
        not first.problem and not again.outcome.problem and largest_error(again.outcome.numbers, first.numbers)[0] == 0
    )
    yield AGAIN, same, "the same call gave " + ("the same numbers" if same else "other numbers, or none")


def _reached(returned: Sequence[Tried]) -> str:
    return f"in {len(returned)} cases" if returned else "not reached"


def _other_dtype(one: Tried) -> str:
    """The first result that has not the dtype of the arguments; "" where all have."""
    for name, array in one.outcome.numbers.items():
        expected = one.right.get(name)
        if expected is None or expected.ndim == 0 or expected.dtype.kind != "f":
            continue
        if name in one.outcome.lists and one.case.dtype:
            return f"{name} is a list, which has no dtype: return an array"
        if array.dtype != one.case.dtype:
            return f"{one.case.dtype} in, {array.dtype} out ({name})"
    return ""
