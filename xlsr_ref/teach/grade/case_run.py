"""One call of a student's function on one case of a battery, and what came of it: numbers, or an exception."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.teach.grade.battery import arrays, copied, in_float64, mapped
from xlsr_ref.teach.grade.definition import Case, Exercise
from xlsr_ref.teach.grade.result import largest_error, lists_in, read_result

SAID = 160  # characters of an exception's text: NumPy's on shapes that do not fit needs 130
PRINTED = 2000  # characters of what a function prints that are kept


class Outcome(NamedTuple):
    """What came of one call."""

    numbers: Mapping[str, np.ndarray]  # by name, as far as they were there
    problem: str = ""  # why they cannot be compared: an exception, or something else than numbers of the right shape
    raised: bool = False
    modified: str = ""  # which argument was written to
    lists: tuple[str, ...] = ()  # results that are lists, not arrays
    arithmetic: bool = False  # raised where NumPy gives NaN or infinity: OverflowError, "math domain error"


class Tried(NamedTuple):
    """A case, what is right, and what came."""

    case: Case
    right: Mapping[str, np.ndarray]
    outcome: Outcome
    error: float  # infinite where there is a problem
    where: str  # which result has it

    @property
    def holds(self) -> bool:
        return not self.outcome.problem and self.error <= self.case.tolerance


def expected_numbers(exercise: Exercise, case: Case) -> dict[str, np.ndarray]:
    """What the library's function gives for the case, in float64."""
    result = exercise.reference(*mapped(in_float64, mapped(copied, case.arguments)))
    values, problem = read_result(result, None, exercise.returns)
    assert not problem, problem
    return values


def run_case(exercise: Exercise, function: Callable[..., Any], case: Case, right: Mapping[str, np.ndarray]) -> Tried:
    """Call a student's ``function`` on a copy of the case's arguments and measure its error against ``right``."""
    outcome = _call(exercise, function, case, right)
    error, where = (math.inf, "") if outcome.problem else largest_error(outcome.numbers, right)
    return Tried(case, right, outcome, error, where)


def _call(exercise: Exercise, function: Callable[..., Any], case: Case, right: Mapping[str, np.ndarray]) -> Outcome:
    arguments = mapped(copied, case.arguments)
    try:
        result = function(*arguments)
        values, problem = read_result(result, right, exercise.returns)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = _said(error)
        arithmetic = isinstance(error, ArithmeticError) or said.startswith("raised ValueError: math domain error")
        return Outcome({}, said + _expected_call(exercise, function, error), raised=True, arithmetic=arithmetic)
    named = (arrays(each, name) for name, each in zip(exercise.parameters(), arguments))
    before = (array for each in case.arguments for _, array in arrays(each, ""))
    modified = [
        name
        for (name, now), was in zip(itertools.chain.from_iterable(named), before)
        if now.shape != was.shape or not np.array_equal(now, was, equal_nan=was.dtype.kind == "f")
    ]
    return Outcome(values, problem, modified=", ".join(modified), lists=lists_in(result, exercise.returns))


def _expected_call(exercise: Exercise, function: Callable[..., Any], error: BaseException) -> str:
    """How the function is called, where it does not take that."""
    if not isinstance(error, TypeError):
        return ""
    try:
        own = inspect.signature(function)
        own.bind(*exercise.parameters())
    except TypeError:
        return f"; it is called as {exercise.signature}, and yours takes {own}"
    except ValueError:  # of a function in C
        return ""
    return ""


def _said(error: BaseException) -> str:
    """The exception in one line, with the line of the code where it came up."""
    try:
        lines = str(error).strip().splitlines()
        first = lines[0] if lines else ""
        words = first if len(first) <= SAID else f"{first[: SAID - 1]}…"
        text = f"raised {type(error).__name__}{f': {words}' if words else ''}"
        steps = traceback.extract_tb(error.__traceback__)[1:]  # without this file's own frame
        own = [step for step in steps if step.filename == steps[0].filename]
        return f"{text} (line {own[-1].lineno})" if own else text
    except BaseException:  # an exception whose text is an exception
        return "raised an exception that cannot be shown"


class Printed(io.StringIO):
    """Keeps the first 2,000 characters of what is printed."""

    def close(self) -> None:
        """Does nothing: a function may close its standard output, and printing must still work afterwards."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)


@contextlib.contextmanager
def quiet() -> Iterator[Printed]:
    """Collect what is printed, and show none of it, nor NumPy's warnings."""
    printed = Printed()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield printed
