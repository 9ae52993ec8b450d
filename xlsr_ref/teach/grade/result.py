"""What a student's function returned: whether it has the right form, and how far its numbers are from the right ones.

error = max |student − right| / max |right|
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np


def read_result(
    result: Any, right: Mapping[str, np.ndarray] | None, returns: Sequence[str]
) -> tuple[dict[str, np.ndarray], str]:
    """The numbers in what a function returned, by name, and what is wrong with their form ("" if nothing is).

    ``right`` are those that are expected; None for the reference itself.
    """
    if result is None:
        wanted = returns[0] if len(returns) == 1 else f"({', '.join(returns)})"
        return {}, f"returned nothing: end the function with return {wanted}"
    parts = _parts(result, returns)
    if parts is None:
        return {}, f"returned {_form(result)}, expected {len(returns)} results: {', '.join(returns)}"
    values: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for name, part in zip(returns, parts):
        for leaf, value in _leaves(part, name):
            expected = None if right is None else right.get(leaf)
            problem, array = _number(value)
            if right is not None and expected is None:
                nested = any(known.startswith(f"{leaf}.") for known in right)
                problem = f"expected a dict, not {_form(value)}" if nested else "is not asked for"
            elif expected is not None and not problem and array.shape != expected.shape:
                problem = f"has the shape {array.shape}, expected {expected.shape}"
            if not problem or problem.startswith("has the shape"):
                values[leaf] = array
            if problem:
                problems.append(f"{leaf} {problem}")
    if right is not None and not problems:
        problems = [f"{name} is missing" for name in right if name not in values]
    return values, problems[0] if problems else ""


def lists_in(result: Any, returns: Sequence[str]) -> tuple[str, ...]:
    """The names of the results that are lists or tuples of numbers."""
    parts = _parts(result, returns) or ()
    every = (leaf for name, part in zip(returns, parts) for leaf in _leaves(part, name))
    return tuple(name for name, value in every if isinstance(value, list | tuple))


def _parts(result: Any, returns: Sequence[str]) -> Sequence[Any] | None:
    """The results in the order of their names; None where their number is another."""
    if len(returns) == 1:
        return (result[0] if type(result) is tuple and len(result) == 2 else result,)  # (y, cache)
    return result if isinstance(result, tuple | list) and len(result) == len(returns) else None


def _leaves(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and depth < 5:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}", depth + 1)
    else:
        yield name, value


def _number(value: Any) -> tuple[str, np.ndarray]:
    """What keeps ``value`` from being an array of numbers ("" if nothing does), and the array, a copy."""
    nothing = np.zeros(0)
    if isinstance(value, numbers.Number | np.generic):
        array = np.array(value)
    elif isinstance(value, np.ndarray):
        array = np.array(value, subok=False)
    elif isinstance(value, list) or (isinstance(value, tuple) and not any(isinstance(v, np.ndarray) for v in value)):
        try:
            array = np.array(value)
        except (ValueError, TypeError, RecursionError):
            return f"is {_form(value)} that is no array: its rows are not equally long", nothing
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


def largest_error(mine: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """The largest error of all results, and the name of the one that has it. NaN is infinitely wrong."""
    errors = {name: relative_error(mine[name], array, scale_of(array, right)) for name, array in right.items()}
    worst = max(errors, key=lambda name: errors[name])
    return errors[worst], worst


def scale_of(array: np.ndarray, right: Mapping[str, np.ndarray]) -> float:
    """What an error in ``array`` is divided by: its largest value.

    It is at least a thousandth of the largest of all results, so that the rounding of what is zero on paper, such as
    the gradient of k's bias in attention, is not compared with itself.
    """
    return max(_largest(array), 1e-3 * max(map(_largest, right.values())), 0.0) or 1.0


def _largest(array: np.ndarray) -> float:
    wide = array.astype(np.float64)
    return float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))


def relative_error(a: np.ndarray, b: np.ndarray, scale: float) -> float:
    if a.shape != b.shape:
        return math.inf
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        difference = np.where(a == b, 0.0, np.abs(a - b))  # equal infinities do not differ
    largest = float(difference.max(initial=0.0)) / scale
    return math.inf if math.isnan(largest) else largest
