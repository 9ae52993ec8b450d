"""An exercise: a function for a student to write, what it is tried on, and the mistakes that are known by name.

    solution     the function in plain NumPy, as a student might write it, without its docstring, which is the task
    reference    the library's own function: what is right
    battery      draws the arguments of every case from a generator
    mistakes     each a change of the solution's text: two of them, one after the other, are two mistakes at once

Two conventions hold for all exercises.
Forward: ``f(x, …)`` returns y, or (y, cache), of which only y is looked at.
Backward: ``f_backward(dy, x, …)`` takes the gradient of the loss with respect to y, then exactly what ``f`` takes;
there is no cache. It returns the gradients in the order of the arguments: dx, and, where there are parameters p, a dict
of gradients that is nested like p. The files in rooms/ hold the exercises, one room of the library each.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from xlsr_ref.errors import ExerciseError

FLOAT64 = 1e-10  # allowed in float64, relative to the largest value: a thousand roundings, and no wrong formula
ROOMS = "xlsr_ref.teach.grade.rooms"


@dataclass(frozen=True)
class Case:
    """One call: what it tries (several cases may try one ``property``) and the error that is allowed."""

    property: str
    arguments: tuple
    dtype: np.dtype | None  # of the floats among the arguments, and so of the result's; None where there are none
    tolerance: float  # the largest error, divided by the largest value of what is right


@dataclass(frozen=True)
class Mistake:
    """A known mistake in plain ``words``, as changes (old, new) of the solution's text.

    ``rounding``: it is right on paper and loses digits. Which digits is chance, so it is known by the cases that it
    fails, not by its numbers.
    """

    words: str
    changes: tuple[tuple[str, str], ...]
    rounding: bool = False

    def applied(self, source: str) -> str | None:
        """``source`` with the mistake in it; None where it does not fit, as after another change of the same line."""
        for old, new in self.changes:
            if source.count(old) != 1:
                return None
            source = source.replace(old, new)
        return source


@dataclass(frozen=True)
class Exercise:
    """What :func:`exercise` makes. ``returns`` names the results; one name: (that, anything else) may be returned."""

    name: str
    room: str  # the module of the library: "ops.norm"
    title: str
    reference: Callable[..., Any]
    signature: str
    task: str
    notebook: str  # "03"
    solution: str
    returns: tuple[str, ...]
    battery: Callable[[np.random.Generator], tuple[Case, ...]]
    mistakes: tuple[Mistake, ...]

    @property
    def starter(self) -> str:
        """The file that a student begins with: the definition, the task, and nothing done."""
        docstring = textwrap.indent(f'"""{self.task}"""', "    ", lambda line: bool(line.strip()))
        return f"import numpy as np\n\n\ndef {self.signature}:\n{docstring}\n    raise NotImplementedError\n"

    def function(self, source: str | None = None) -> Callable[..., Any]:
        """The solution, or another ``source`` text of it, as a function."""
        return _defined(self.name, source or self.solution)

    def parameters(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.function()).parameters)


@functools.cache
def _defined(name: str, source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), names)
    return names[name]


def exercise(
    solution: Callable[..., Any],
    reference: Callable[..., Any],
    *,
    room: str,
    notebook: str,
    title: str,
    battery: Callable[[np.random.Generator], tuple[Case, ...]],
    mistakes: Mapping[str, tuple[str, ...] | list[tuple[str, ...]]],
    rounding: tuple[str, ...] = (),
    returns: tuple[str, ...] = ("y",),
) -> Exercise:
    """The exercise of writing ``solution``, whose name, signature, docstring and source are taken as they stand.

    ``mistakes`` are by their words: old text, new text, and again where several places change; a list of such tuples
    where one mistake has several forms that give other numbers. ``rounding`` names those that only lose digits.
    """
    lines = textwrap.dedent(inspect.getsource(solution)).splitlines(keepends=True)
    definition = ast.parse("".join(lines)).body[0]
    assert isinstance(definition, ast.FunctionDef)
    task = definition.body[0]  # the docstring
    source = "".join(lines[: task.lineno - 1] + lines[task.end_lineno :])
    ways = [(words, way) for words, each in mistakes.items() for way in (each if isinstance(each, list) else [each])]
    return Exercise(
        name=solution.__name__,
        room=room,
        title=title,
        reference=reference,
        signature=f"{solution.__name__}({ast.unparse(definition.args)})",
        task=inspect.getdoc(solution) or "",
        notebook=notebook,
        solution=f"import math\n\nimport numpy as np\n\n\n{source}",
        returns=returns,
        battery=battery,
        mistakes=tuple(Mistake(words, tuple(zip(way[::2], way[1::2])), words in rounding) for words, way in ways),
    )


def backward_of(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """The library's pair of functions in the form of a backward exercise: ``f(dy, *what forward takes)``."""

    def both(dy: Any, *arguments: Any) -> Any:
        _, cache = forward(*arguments)
        return backward(dy, cache)

    return both


@functools.cache
def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise, in the order of the course's notebooks."""
    package = importlib.import_module(ROOMS)
    rooms = (importlib.import_module(f"{ROOMS}.{module.name}") for module in pkgutil.iter_modules(package.__path__))
    found = [value for room in rooms for value in vars(room).values() if isinstance(value, Exercise)]
    return tuple(sorted(found, key=lambda each: each.notebook))  # sorted keeps the order within a room


def find(name: str) -> Exercise:
    """The exercise of that name. Raises ExerciseError where there is none."""
    known = {each.name: each for each in all_exercises()}
    if name not in known:
        near = get_close_matches(str(name), known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "xlsr-ref grade --list shows their names"
        raise ExerciseError(f"there is no exercise {name!r}: {hint}")
    return known[name]


# --- batteries -------------------------------------------------------------------------------------------------------


def cases(
    tries: Mapping[str, tuple], float32: float | None = None, loose: Mapping[str, float] | None = None
) -> tuple[Case, ...]:
    """The cases of a battery from the arguments, in float64, of each property; the first ones are the usual arguments.

    The usual arguments are tried in both dtypes and as views that step over memory. All others are tried in float64
    and, where ``float32`` gives the error that is allowed there, in float32 under the same property; ``loose`` allows
    more for some properties. Arguments without floats are tried once.
    """
    (_, usual), *others = tries.items()
    if float32 is None:
        return tuple(Case(name, arguments, _kind(arguments), FLOAT64) for name, arguments in tries.items())
    wide, narrow = np.dtype(np.float64), np.dtype(np.float32)
    loose = loose or {}
    first = [
        Case("float64", usual, wide, FLOAT64),
        Case("float32", mapped(in_float32, usual), narrow, float32),
        Case("views with strides", mapped(strided, usual), wide, FLOAT64),
    ]
    for name, arguments in others:
        first.append(Case(name, arguments, wide, FLOAT64))
        first.append(Case(name, mapped(in_float32, arguments), narrow, loose.get(name, float32)))
    return tuple(first)


def mapped(function: Callable[[np.ndarray], np.ndarray], value: Any) -> Any:
    """``value``, a nesting of tuples, lists and dicts, with ``function`` of each of its arrays."""
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, dict):
        return {key: mapped(function, inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(mapped(function, inner) for inner in value)
    return value


def arrays(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Every array in ``value`` with its name: "p.weight"."""
    if isinstance(value, np.ndarray):
        yield name, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple | list) else ()
    for key, inner in items:
        yield from arrays(inner, f"{name}.{key}")


def in_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def in_float64(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def strided(array: np.ndarray) -> np.ndarray:
    """The same numbers as a view of every second element along each axis."""
    if array.ndim == 0:
        return array.copy()
    every_second = (slice(None, None, 2),) * array.ndim
    wide = np.zeros([2 * size for size in array.shape], array.dtype)
    wide[every_second] = array
    return wide[every_second]


def copied(array: np.ndarray) -> np.ndarray:
    """A copy, whose memory has gaps where the array's has."""
    return array.copy() if array.flags.c_contiguous else strided(array)


def _kind(arguments: tuple) -> np.dtype | None:
    kinds = {array.dtype for _, array in arrays(arguments, "") if array.dtype.kind == "f"}
    return kinds.pop() if kinds else None
