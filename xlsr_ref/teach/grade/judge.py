"""The judge: a student's function against the library's on every case of a battery, then which mistake was made.

A property holds where all its cases do: result.py says how far the numbers are from right. Where one fails, mistakes.py
looks for the mistake that gives the student's numbers.
Nothing that the student's function does, short of never returning, gets past :func:`judge` as an exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xlsr_ref.teach.grade.case_run import Tried, expected_numbers, quiet, run_case
from xlsr_ref.teach.grade.definition import Exercise
from xlsr_ref.teach.grade.mistakes import nearest_mistake
from xlsr_ref.teach.grade.result import largest_error
from xlsr_ref.teach.grade.verdict import Verdict

Row = tuple[str, bool, str]  # of a verdict


def judge(exercise: Exercise, function: Any, rng: np.random.Generator) -> Verdict:
    """Run ``function``, a student's, in this process. It must return; whatever else it does is in the verdict."""
    if not callable(function):
        row = ("is a function", False, f"a {type(function).__name__} was handed in: hand in a function")
        return Verdict(exercise.name, False, (row,))
    battery = exercise.battery(rng)
    rights = [expected_numbers(exercise, case) for case in battery]
    with quiet() as printed:
        tried = [run_case(exercise, function, case, right) for case, right in zip(battery, rights)]
        again = run_case(exercise, function, battery[0], rights[0])
    rows = [*_by_property(tried), *_of_all(tried, again)]
    passed = all(holds for _, holds, _ in rows)
    text = printed.getvalue()
    notes = [f"it printed {text[:200].strip()!r}{' and more' if len(text) > 200 else ''}"] if text.strip() else []
    mistake, distance = None, None
    if not all(one.holds for one in tried):
        mistake, distance, more = nearest_mistake(exercise, tried)
        notes += more
    return Verdict(exercise.name, passed, tuple(rows), mistake, distance, tuple(notes))


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


def _of_all(tried: Sequence[Tried], again: Tried) -> Iterator[Row]:
    """What every case must have. Nothing counts as passed of a function that never returned the right form."""
    returned = [one for one in tried if not one.outcome.problem]
    unformed = next((one.outcome.problem for one in tried if one.outcome.problem), "")
    yield "right form every time", not unformed, unformed or f"{len(tried)} of {len(tried)} cases"
    if any(one.case.dtype and array.ndim and array.dtype.kind == "f" for one in tried for array in one.right.values()):
        wrong = [text for one in returned for text in _other_dtypes(one)]
        yield "dtype kept", bool(returned) and not wrong, wrong[0] if wrong else _reached(returned)
    modified = [one.outcome.modified for one in tried if one.outcome.modified]
    what = f"wrote to {modified[0]}: work on a copy" if modified else _reached(returned)
    yield "inputs not modified", bool(returned) and not modified, what
    first = tried[0].outcome
    same = (
        not first.problem and not again.outcome.problem and largest_error(again.outcome.numbers, first.numbers)[0] == 0
    )
    yield "same again", same, "the same call gave " + ("the same numbers" if same else "other numbers, or none")


def _reached(returned: Sequence[Tried]) -> str:
    return f"in {len(returned)} cases" if returned else "not reached"


def _other_dtypes(one: Tried) -> Iterator[str]:
    for name, array in one.outcome.numbers.items():
        expected = one.right[name]
        if expected.ndim and expected.dtype.kind == "f" and array.dtype != one.case.dtype:
            yield f"{one.case.dtype} in, {array.dtype} out ({name})"
