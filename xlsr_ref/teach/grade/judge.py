"""The judge: a student's function against the library's on every case of a battery, then which mistake was made.

    error = max |student − right| / max |right|            right: the library's function, in float64

A property holds where all its cases do. Where one fails, every known mistake is put into the solution, alone and in
pairs, and run on the float64 cases. It gives the student's numbers where no case has others, to 1e-9.
Else the nearest single mistake is named, with its distance: the mean over the cases of its error against the student's
numbers, where 1 is the most that counts. It must be twice as near as the right solution.
Nothing that the student's function does, short of never returning, gets past :func:`judge` as an exception.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import numbers
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.teach.grade.exercise import Case, Exercise, Mistake, arrays, copied, in_float64, mapped
from xlsr_ref.teach.grade.verdict import Verdict

SAME = 1e-9  # two ways to write a float64 formula round differently, by less than this
SAID = 160  # characters of an exception's text: NumPy's on shapes that do not fit needs 130
PRINTED = 2000  # characters of what a function prints that are kept

Row = tuple[str, bool, str]  # of a verdict


class Outcome(NamedTuple):
    """What came of one call."""

    numbers: Mapping[str, np.ndarray]  # by name, as far as they were there
    problem: str = ""  # why they cannot be compared: an exception, or something else than numbers of the right shape
    raised: bool = False
    modified: str = ""  # which argument was written to


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


def judge(exercise: Exercise, function: Any, rng: np.random.Generator) -> Verdict:
    """Run ``function``, a student's, in this process. It must return; whatever else it does is in the verdict."""
    if not callable(function):
        row = ("is a function", False, f"a {type(function).__name__} was handed in: hand in a function")
        return Verdict(exercise.name, False, (row,))
    battery = exercise.battery(rng)
    rights = [_right(exercise, case) for case in battery]
    with _quiet() as printed:
        tried = [_try(exercise, function, case, right) for case, right in zip(battery, rights)]
        again = _try(exercise, function, battery[0], rights[0])
    rows = [*_by_property(tried), *_of_all(tried, again)]
    passed = all(holds for _, holds, _ in rows)
    text = printed.getvalue()
    notes = [f"it printed {text[:200].strip()!r}{' and more' if len(text) > 200 else ''}"] if text.strip() else []
    mistake, distance = None, None
    if not all(one.holds for one in tried):
        mistake, distance, found = _mistake(exercise, tried)
        notes += found
    return Verdict(exercise.name, passed, tuple(rows), mistake, distance, tuple(notes))


def _right(exercise: Exercise, case: Case) -> dict[str, np.ndarray]:
    result = exercise.reference(*mapped(in_float64, mapped(copied, case.arguments)))
    found, problem = _read(result, None, exercise.returns)
    assert not problem, problem
    return found


# --- one call --------------------------------------------------------------------------------------------------------


def _try(exercise: Exercise, function: Callable[..., Any], case: Case, right: Mapping[str, np.ndarray]) -> Tried:
    outcome = _call(exercise, function, case, right)
    error, where = (math.inf, "") if outcome.problem else _error(outcome.numbers, right)
    return Tried(case, right, outcome, error, where)


def _call(exercise: Exercise, function: Callable[..., Any], case: Case, right: Mapping[str, np.ndarray]) -> Outcome:
    arguments = mapped(copied, case.arguments)
    try:
        found, problem = _read(function(*arguments), right, exercise.returns)
    except KeyboardInterrupt:
        raise  # somebody is waiting
    except BaseException as error:
        return Outcome({}, _said(error), raised=True)
    named = (arrays(each, name) for name, each in zip(exercise.parameters(), arguments))
    before = (array for each in case.arguments for _, array in arrays(each, ""))
    modified = [
        name
        for (name, now), was in zip(itertools.chain.from_iterable(named), before)
        if now.shape != was.shape or not np.array_equal(now, was, equal_nan=was.dtype.kind == "f")
    ]
    return Outcome(found, problem, modified=", ".join(modified))


def _said(error: BaseException) -> str:
    """The exception in one line, with the line of the code where it came up."""
    try:
        lines = str(error).strip().splitlines()
        first = lines[0] if lines else ""
        words = first if len(first) <= SAID else f"{first[: SAID - 1]}…"
        text = f"raised {type(error).__name__}{f': {words}' if words else ''}"
        steps = traceback.extract_tb(error.__traceback__)[1:]  # below this file's own
        own = [step for step in steps if step.filename == steps[0].filename]
        return f"{text} (line {own[-1].lineno})" if own else text
    except BaseException:  # an exception whose text is an exception
        return "raised an exception that cannot be shown"


class _Ear(io.StringIO):
    """Hears what is printed, and forgets what is too much."""

    def close(self) -> None:
        """A function may close its standard output; this goes on."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)


@contextlib.contextmanager
def _quiet() -> Iterator[_Ear]:
    """Nothing is shown: neither prints nor NumPy's warnings, which the numbers tell anyhow."""
    ear = _Ear()
    with (
        contextlib.redirect_stdout(ear),
        contextlib.redirect_stderr(ear),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield ear


# --- reading a result ------------------------------------------------------------------------------------------------


def _read(
    result: Any, right: Mapping[str, np.ndarray] | None, returns: Sequence[str]
) -> tuple[dict[str, np.ndarray], str]:
    """The numbers in what a function returned, by name, and what is wrong with their form ("" if nothing is).

    ``right`` are those that are expected; None for the reference itself.
    """
    parts: Sequence[Any]
    if len(returns) == 1:
        parts = (result[0] if type(result) is tuple and len(result) == 2 else result,)  # (y, cache)
    elif isinstance(result, tuple | list) and len(result) == len(returns):
        parts = result
    else:
        return {}, f"returned {_form(result)}, expected {len(returns)} results: {', '.join(returns)}"
    found: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for name, part in zip(returns, parts):
        for leaf, value in _leaves(part, name):
            expected = None if right is None else right.get(leaf)
            listed = expected is None or expected.dtype.kind in "biu" or expected.ndim == 0
            problem, array = _number(value, listed)
            if right is not None and expected is None:
                nested = any(known.startswith(f"{leaf}.") for known in right)
                problem = f"expected a dict, not {_form(value)}" if nested else "is not asked for"
            elif expected is not None and not problem and array.shape != expected.shape:
                problem = f"has the shape {array.shape}, expected {expected.shape}"
            if not problem or problem.startswith("has the shape"):
                found[leaf] = array
            if problem:
                problems.append(f"{leaf} {problem}")
    if right is not None and not problems:
        problems = [f"{name} is missing" for name in right if name not in found]
    return found, problems[0] if problems else ""


def _leaves(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and depth < 5:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}", depth + 1)
    else:
        yield name, value


def _number(value: Any, listed: bool) -> tuple[str, np.ndarray]:
    """What keeps ``value`` from being an array of numbers ("" if nothing does), and the array, a copy."""
    nothing = np.zeros(0)
    if isinstance(value, numbers.Number | np.generic):
        array = np.array(value)
    elif isinstance(value, np.ndarray):
        array = np.array(value, subok=False)
    elif listed and isinstance(value, tuple | list):
        try:
            array = np.array(value)
        except ValueError:
            return "is a list whose rows are not equally long", nothing
    else:
        return f"is {_form(value)}, expected an array", nothing
    if array.dtype.kind not in "biuf":
        kind = "complex numbers" if array.dtype.kind == "c" else f"of the dtype {array.dtype}"
        return f"is {kind}, expected real numbers", nothing
    return "", array


def _form(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


# --- how far apart ---------------------------------------------------------------------------------------------------


def _error(mine: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """The largest error of all results, and the name of the one that has it. NaN is infinitely wrong."""
    errors = {name: _apart(mine[name], array, _scale(array, right)) for name, array in right.items()}
    worst = max(errors, key=lambda name: errors[name])
    return errors[worst], worst


def _scale(array: np.ndarray, right: Mapping[str, np.ndarray]) -> float:
    """What an error in ``array`` is divided by: its largest value.

    It is at least a thousandth of the largest of all results, so that the rounding of what is zero on paper, such as
    the gradient of k's bias in attention, is not compared with itself.
    """
    return max(_largest(array), 1e-3 * max(map(_largest, right.values())), 0.0) or 1.0


def _largest(array: np.ndarray) -> float:
    wide = array.astype(np.float64)
    return float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))


def _apart(a: np.ndarray, b: np.ndarray, scale: float) -> float:
    if a.shape != b.shape:
        return math.inf
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        difference = np.where(a == b, 0.0, np.abs(a - b))  # equal infinities do not differ
    largest = float(difference.max(initial=0.0)) / scale
    return math.inf if math.isnan(largest) else largest


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
    same = not first.problem and not again.outcome.problem and _error(again.outcome.numbers, first.numbers)[0] == 0
    yield "same again", same, "the same call gave " + ("the same numbers" if same else "other numbers, or none")


def _reached(returned: Sequence[Tried]) -> str:
    return f"in {len(returned)} cases" if returned else "not reached"


def _other_dtypes(one: Tried) -> Iterator[str]:
    for name, array in one.outcome.numbers.items():
        expected = one.right[name]
        if expected.ndim and expected.dtype.kind == "f" and array.dtype != one.case.dtype:
            yield f"{one.case.dtype} in, {array.dtype} out ({name})"


# --- which mistake ---------------------------------------------------------------------------------------------------


def _mistake(exercise: Exercise, tried: Sequence[Tried]) -> tuple[str | None, float | None, list[str]]:
    """The words of the mistake, or pair of mistakes, that gives the student's numbers, or else of the nearest one; its
    distance; and what else there is to say."""
    exact = [one for one in tried if one.case.dtype != np.float32]
    if not any(one.outcome.numbers for one in exact):
        return None, None, []
    right_in_float64 = all(one.holds for one in exact)
    with _quiet():
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
        yield _between(_try(exercise, function, one.case, one.right), one)


def _gives(distances: Iterator[float | None], tried: Sequence[Tried]) -> bool:
    """Are these the student's numbers? In no case others, and in one at least the same wrong ones."""
    found = False
    for apart, one in zip(distances, tried):
        if apart is None:
            continue
        if apart > SAME:
            return False  # most differ in the first case
        found = found or (not one.holds and not one.outcome.raised)
    return found


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
        scale = _scale(one.right[name], one.right) if name in one.right else 1.0
        worst = max(worst, _apart(np.where(finite, mine, 0), np.where(finite, other, 0), scale))
    return min(worst, 1.0)


def _fails_alike(exercise: Exercise, mistake: Mistake, tried: Sequence[Tried]) -> bool:
    """Does the solution with this mistake fail the cases that the student's function fails, and no others?"""
    source = mistake.applied(exercise.solution)
    assert source is not None
    function = exercise.function(source)
    return all(_try(exercise, function, one.case, one.right).holds == one.holds for one in tried)
