"""The cases that an exercise is tried on: the same arguments in float64, in float32 and as views with strides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from xlsr_ref.teach.grade.definition import Case

FLOAT64 = 1e-10  # allowed in float64, relative to the largest value: a thousand roundings, and no wrong formula


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
        return tuple(Case(name, arguments, floating_dtype(arguments), FLOAT64) for name, arguments in tries.items())
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


def floating_dtype(arguments: tuple) -> np.dtype | None:
    """The dtype of the floats among ``arguments``; None where there are none."""
    kinds = {array.dtype for _, array in arrays(arguments, "") if array.dtype.kind == "f"}
    return kinds.pop() if kinds else None
