"""An exercise: a function for a student to write, what it is tried on, and the mistakes that are known by name.

    solution     the function in plain NumPy, as a student might write it, without its docstring, which is the task
    reference    the library's own function: what is right
    battery      draws the arguments of every case from a generator
    mistakes     each a change of the solution's text: two of them, one after the other, are two mistakes at once

Two conventions hold for all exercises.
Forward: ``f(x, …)`` returns y, or (y, cache), of which only y is looked at.
Backward: ``f_backward(dy, x, …)`` takes the gradient of the loss with respect to y, then exactly what ``f`` takes;
there is no cache. It returns the gradients in the order of the arguments: dx, and, where there are parameters p, a dict
of gradients that is nested like p. topics/ has a file of them for each topic; catalogue.py finds
them all; battery.py makes the cases.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


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
    module: str  # of the library: "ops.norm"
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
    module: str,
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
        module=module,
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
