"""Notebooks to hand out: for each exercise a text, a cell to fill in, and a cell that nbgrader takes the points from.

    FOLDER/source/ASSIGNMENT/NAME.ipynb      the instructor's version, where the cell to fill in holds the solution
    nbgrader generate_assignment ASSIGNMENT --course-dir FOLDER      makes the students' version of it, in release/

The solution stands between ### BEGIN SOLUTION and ### END SOLUTION, which nbgrader cuts out. The last cell ends with a
number: nbgrader (0.9) gives that many of the cell's points, none if the cell raises, and all if it shows nothing.
nbgrader is not needed for writing them: a notebook is JSON, and ``metadata.nbgrader`` follows its schema, version 3.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xlsr_ref.errors import ExerciseError
from xlsr_ref.files import write_whole
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.definition import Exercise
from xlsr_ref.untrusted import shown

SCHEMA = 3  # of nbgrader's metadata
POINTS = 10
ASSIGNMENT = "xlsr"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SEED = 0  # a second run gives the same points


def assignment(
    names: Sequence[str], folder: str | Path, title: str = ASSIGNMENT, points: float = POINTS
) -> tuple[Path, ...]:
    """Write a notebook for each exercise of ``names``, worth ``points`` each, and return their paths.

    Raises ExerciseError for an unknown name, a title that nbgrader does not take, a file that is there already.
    """
    exercises = [find(name) for name in dict.fromkeys(names)]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", title):  # it is a folder, and "+" parts names in nbgrader
        raise ExerciseError(f"the assignment's name {title!r}: use letters, digits, - and _")
    if not 0 < points < math.inf:
        raise ExerciseError(f"{points:g} points: give a number above 0")
    source = Path(folder) / "source" / title
    paths = tuple(source / f"{each.name}.ipynb" for each in exercises)
    for path in paths:
        if path.exists():
            raise ExerciseError(f"{shown(path)}: is there already; remove it, or give another folder or name")
    for path, each in zip(paths, exercises):
        write_whole(path, json.dumps(notebook(each, points), indent=1, ensure_ascii=False) + "\n")
    return paths


def notebook(exercise: Exercise, points: float = POINTS) -> dict[str, Any]:
    """The instructor's notebook of one exercise, in nbformat 4.5."""
    name = exercise.name
    return {
        "cells": [
            _cell("markdown", f"{name}-task", _task(exercise), locked=True),
            _cell("code", f"{name}-solution", _solution(exercise), solution=True),
            _cell("code", f"{name}-test", _test(name, points), grade=True, locked=True, points=points),
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, name: str, source: str, **marks: Any) -> dict[str, Any]:
    """A cell; ``marks`` are what it is to nbgrader: grade, locked, solution, points."""
    metadata = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": SCHEMA}
    cell = {
        "cell_type": kind,
        "id": name[-64:],  # nbformat's limit
        "metadata": {"nbgrader": metadata | {"grade_id": name} | marks},
        "source": source.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _task(exercise: Exercise) -> str:
    """The title and the docstring, whose indented equations are blocks of code in Markdown too."""
    return (
        f"# {exercise.title}\n"
        "\n"
        f"Write `{exercise.signature}` in the cell below. The last cell tries it out: run it as often as you like.\n"
        "\n"
        f"{exercise.task}\n"
        "\n"
        f"The course's notebook {exercise.notebook} is about it."
    )


def _solution(exercise: Exercise) -> str:
    """The starter with the solution's body between the marks; what else it needs but imports follows, inside them."""
    lines = exercise.solution.rstrip("\n").split("\n")
    tree = ast.parse(exercise.solution).body
    (definition,) = (n for n in tree if isinstance(n, ast.FunctionDef) and n.name == exercise.name)
    imports = [text for n in tree if isinstance(n, ast.Import | ast.ImportFrom) for text in _lines(lines, n)]
    others = [n for n in tree if n is not definition and not isinstance(n, ast.Import | ast.ImportFrom)]
    helpers = [text for n in others for text in ("", "", *_lines(lines, n))]
    head = exercise.starter[exercise.starter.index(f"def {exercise.name}(") :].split("\n")
    stub = head.index("    raise NotImplementedError")
    body = lines[definition.body[0].lineno - 1 : definition.end_lineno]
    return "\n".join([*imports, "", "", *head[:stub], f"    {BEGIN}", *body, *helpers, f"    {END}"])


def _lines(lines: list[str], node: ast.stmt) -> list[str]:
    return lines[node.lineno - 1 : node.end_lineno]


def _test(name: str, points: float) -> str:
    return (
        "from xlsr_ref.teach.grade import grade\n"
        "\n"
        f'verdict = grade("{name}", {name}, seed={SEED})\n'
        "display(verdict)  # what holds, what does not, and which mistake it may be\n"
        f"verdict.points({points:g})  # nbgrader takes this number"
    )
