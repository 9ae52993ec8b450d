"""Grade a student's function: ``grade("layer_norm", layer_norm)`` says what holds and, where it fails, which mistake
it is.

``exercises()`` are the names, ``exercise(name)`` the task, its starter and its solution.
"""

from __future__ import annotations

from typing import Any

from xlsr_ref.teach.grade import sandbox
from xlsr_ref.teach.grade.catalogue import all_exercises
from xlsr_ref.teach.grade.catalogue import find as exercise
from xlsr_ref.teach.grade.definition import Case, Exercise, Mistake
from xlsr_ref.teach.grade.judge import judge
from xlsr_ref.teach.grade.verdict import Verdict

__all__ = ["Case", "Exercise", "Mistake", "Verdict", "exercise", "exercises", "grade", "judge"]


def exercises() -> tuple[str, ...]:
    """The names of all exercises, in the order of the course."""
    return tuple(each.name for each in all_exercises())


def grade(
    name: str,
    function: Any,
    *,
    seed: int | None = None,
    seconds: float = sandbox.SECONDS,
    memory_mb: float = sandbox.MEMORY_MB,
    hint: int = 3,
) -> Verdict:
    """Hold ``function`` against the library's function ``name``. Raises ExerciseError for a name that is unknown.

    ``seed`` decides the numbers that it is tried on; without one they are new each time, and the verdict says which.
    ``hint`` is how much it says: 1, what fails; 2, also in which part the mistake is; 3, also which mistake and line.
    """
    verdict = sandbox.run(name, None, function, seed=seed, seconds=seconds, memory_mb=memory_mb)
    return verdict.hinted(hint)
