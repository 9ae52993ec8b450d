"""What a property is worth. Nothing is earned by a function that is right in no ordinary case.

A case is ordinary where its right numbers are neither all 0, nor all 1, nor one of the arguments: so ``zeros_like`` and
a function that returns its input earn nothing. Each property of a case has the weight 1, the first, with the usual
arguments, 2, and each of conduct, such as "inputs not modified", a quarter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade.battery import arrays
from xlsr_ref.teach.grade.definition import Case
from xlsr_ref.teach.grade.result import relative_error, scale_of

FORM, DTYPE, UNMODIFIED, AGAIN = "right form every time", "dtype kept", "inputs not modified", "same again"
CONDUCT = {FORM: 0.25, DTYPE: 0.25, UNMODIFIED: 0.25, AGAIN: 0.25}
USUAL = 2.0  # of the first property


def weights(names: Sequence[str]) -> tuple[float, ...]:
    """The weight of each property, in the order of ``names``."""
    return tuple(CONDUCT.get(name, USUAL if i == 0 else 1.0) for i, name in enumerate(names))


def share(held: Sequence[bool], each: Sequence[float]) -> float:
    """The part of the ``each`` weights whose properties hold, 0 to 1."""
    total = sum(each)
    return sum(weight for holds, weight in zip(held, each) if holds) / total if total > 0 else 0.0


def check_weights(weights: Mapping[str, float], names: Sequence[str]) -> None:
    """Raise ExerciseError for a weight that is below 0 or infinite, and for a property that is not among ``names``."""
    for name, weight in weights.items():
        if name not in names:
            raise ExerciseError(f"there is no property {name!r} here: give one of {', '.join(names)}")
        if not 0 <= float(weight) < math.inf:
            raise ExerciseError(f"the weight {weight:g} of {name!r}: give a number from 0")


def is_ordinary(case: Case, right: Mapping[str, np.ndarray]) -> bool:
    """Whether none of the functions that return zeros, ones or what they were given is right in this case."""
    given = [array for _, array in arrays(case.arguments, "") if array.dtype.kind in "biuf"]
    given += [np.asarray(value) for value in case.arguments if isinstance(value, int | float)]
    given += [np.asarray(value) for value in case.arguments if isinstance(value, list | tuple) and _flat(value)]
    return not all(
        any(_is(other, array, case.tolerance, scale_of(array, right)) for other in (np.zeros(()), np.ones(()), *given))
        for array in right.values()
    )


def _flat(value: Sequence[object]) -> bool:
    return all(isinstance(number, int | float) for number in value)


def _is(other: np.ndarray, array: np.ndarray, tolerance: float, scale: float) -> bool:
    """Whether ``other``, spread out to its shape, is ``array``."""
    try:
        spread = np.broadcast_to(other, array.shape)
    except ValueError:
        return False
    return relative_error(spread, array, scale) <= tolerance
