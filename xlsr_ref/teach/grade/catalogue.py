"""All exercises, in the order of the course, and the one of a name. The files in topics/ define them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from difflib import get_close_matches

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade.definition import Exercise

TOPICS = "xlsr_ref.teach.grade.topics"


@functools.cache
def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise, in the order of the course's notebooks."""
    package = importlib.import_module(TOPICS)
    files = (importlib.import_module(f"{TOPICS}.{file.name}") for file in pkgutil.iter_modules(package.__path__))
    every = [value for file in files for value in vars(file).values() if isinstance(value, Exercise)]
    return tuple(sorted(every, key=lambda each: each.notebook))  # sorted keeps the order within a file


def find(name: str) -> Exercise:
    """The exercise of that name. Raises ExerciseError where there is none."""
    known = {each.name: each for each in all_exercises()}
    if name not in known:
        near = get_close_matches(str(name), known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "xlsr-ref grade --list shows their names"
        raise ExerciseError(f"there is no exercise {name!r}: {hint}")
    return known[name]
