"""A student's own numbers: a case of an exercise whose sizes and constants are drawn by the student's name.

    mine = variant("layer_norm", "anna")        mine.arguments: what the function is given
    mine.check(answer)                          Σ i · r_i over all numbers r_1, r_2, … that it then returns

Whoever copies an answer has that of other numbers. The same name has the same case at each call.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade.battery import mapped
from xlsr_ref.teach.grade.case_run import expected_numbers
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.scoring import is_ordinary
from xlsr_ref.teach.table import Shown, Table

TOLERANCE = 1e-5  # relative: an answer may be copied from a screen, with six digits


@dataclass(frozen=True, repr=False)
class Variant(Shown):
    """One student's case: ``arguments`` by name, and the question."""

    exercise: str
    student: str
    arguments: dict[str, Any]
    answer: float

    def check(self, answer: Any) -> bool:
        """Whether ``answer`` is right, to five digits."""
        try:
            given = float(answer)
        except (TypeError, ValueError, OverflowError):
            return False
        return abs(given - self.answer) <= TOLERANCE * max(abs(self.answer), 1e-3)

    def points(self, answer: Any, most: float) -> float:
        """All of ``most`` points, or none: for a cell that nbgrader grades."""
        return float(most) if self.check(answer) else 0.0

    def table(self) -> Table:
        rows = [(name, _shape(value)) for name, value in self.arguments.items()]
        question = (
            f"What is Σ i · r_i over all numbers r_1, r_2, … that {self.exercise} returns for them, in their order?"
        )
        return Table((f"the numbers of {self.student}", ""), rows, notes=(question,))


def variant(name: str, student: str) -> Variant:
    """The case of the exercise ``name`` for ``student``. Raises ExerciseError for an unknown exercise, or no name."""
    if not isinstance(student, str) or not student.strip():
        raise ExerciseError("there is no student's name: give it as a text, such as 'anna'")
    task = find(name)
    digest = hashlib.sha256(f"{name}\0{student.strip().casefold()}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    battery = [case for case in task.battery(rng) if case.dtype != np.float32]
    usable = [(case, right) for case in battery if is_ordinary(case, right := expected_numbers(task, case))]
    finite = [(case, right) for case, right in usable if all(np.isfinite(array).all() for array in right.values())]
    case, right = finite[int(rng.integers(len(finite)))]
    arguments = dict(zip(task.parameters(), mapped(np.ascontiguousarray, case.arguments)))
    numbers = np.concatenate([array.ravel().astype(float) for array in right.values()])
    return Variant(name, student.strip(), arguments, float(numbers @ np.arange(1, numbers.size + 1)))


def _shape(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shape(inner)}" for key, inner in value.items())
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__} of {len(value)}"
