"""What nbgrader (0.9) reads: cells with its metadata, schema 3, a notebook of them, and the settings of a course."""

from __future__ import annotations

from typing import Any

SCHEMA = 3  # of nbgrader's metadata
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HIDDEN, HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


def cell(kind: str, name: str, source: str, **marks: Any) -> dict[str, Any]:
    """A cell; ``marks`` are what it is to nbgrader: grade, locked, solution, points."""
    metadata = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": SCHEMA}
    made = {
        "cell_type": kind,
        "id": name[-64:],  # nbformat's limit
        "metadata": {"nbgrader": metadata | {"grade_id": name} | marks},
        "source": source.splitlines(keepends=True),
    }
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def book(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """A notebook for Python, in nbformat 4.5."""
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def config(course: str) -> str:
    """The text of an nbgrader_config.py for the course of that name."""
    return f"""# nbgrader reads this file where a command starts: run its commands in this folder.
c = get_config()  # noqa: F821 - nbgrader puts it there

c.CourseDirectory.course_id = {course!r}
c.ClearSolutions.begin_solution_delimeter = "BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "END SOLUTION"
c.ClearSolutions.code_stub = {{"python": "# YOUR CODE HERE\\nraise NotImplementedError()"}}
c.ClearHiddenTests.begin_test_delimeter = "BEGIN HIDDEN TESTS"
c.ClearHiddenTests.end_test_delimeter = "END HIDDEN TESTS"
c.ExecutePreprocessor.timeout = 120  # seconds for a cell; each function has 5 s of its own, in its own process
c.ExecutePreprocessor.interrupt_on_timeout = True
c.NbGraderAPI.timezone = "UTC"
"""
