"""Notebooks to hand out: for each exercise a text, a cell to fill in, and a cell that nbgrader takes the points from.

    FOLDER/source/ASSIGNMENT/NAME.ipynb      the instructor's version, where the cell to fill in holds the solution
    FOLDER/nbgrader_config.py                what nbgrader needs to know, where there is none yet
    nbgrader generate_assignment ASSIGNMENT --course-dir FOLDER      makes the students' version of it, in release/

The solution stands between ### BEGIN SOLUTION and ### END SOLUTION, which nbgrader cuts out; so is the seed of the
numbers that it grades with, between ### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS. The last cell ends with a number:
nbgrader (0.9) gives that many of the cell's points, none if the cell raises, and all if it shows nothing.
nbgrader is not needed for writing them: nbgrader_cells.py knows what it reads.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.errors import ExerciseError
from xlsr_ref.files import write_whole
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.definition import Exercise
from xlsr_ref.teach.grade.judge import prepare
from xlsr_ref.teach.grade.nbgrader_cells import BEGIN, END, HIDDEN, HIDDEN_END, book, cell, config
from xlsr_ref.teach.grade.scoring import CONDUCT, check_weights
from xlsr_ref.teach.grade.scoring import weights as usual_weights
from xlsr_ref.untrusted import shown

POINTS = 10
ASSIGNMENT = "xlsr"
SEED = 0  # what students see: a second run gives the same points


@dataclass(frozen=True)
class Plan:
    """What is in the notebooks of an assignment beside its exercises."""

    points: float = POINTS  # for each exercise, and for each written question
    hidden_seed: int | None = None  # of the numbers that it is graded with; None: those that students see
    weights: Mapping[str, float] = field(default_factory=dict)  # how many times its usual weight a property has
    personal: bool = False  # with numbers of each student's own


def assignment(
    names: Sequence[str],
    folder: str | Path,
    title: str = ASSIGNMENT,
    points: float = POINTS,
    *,
    seed: int | None = None,
    weights: Mapping[str, float] | None = None,
    personal: bool = False,
    questions: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write a notebook for each exercise of ``names``, worth ``points`` each, and return their paths.

    ``seed`` is that of the hidden numbers (None: a new one), ``weights`` changes what the properties are worth,
    ``personal`` adds a question on each student's own numbers, for a tenth of the points more, and ``questions`` a
    notebook with cells for free text, graded by hand. The folder gets an nbgrader_config.py if it has none.
    Raises ExerciseError for an unknown name or weight, a title that nbgrader does not take, a file that is there.
    """
    exercises = [find(name) for name in dict.fromkeys(names)]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", title):  # it is a folder, and "+" parts names in nbgrader
        raise ExerciseError(f"the assignment's name {title!r}: use letters, digits, - and _")
    if not 0 < points < math.inf:
        raise ExerciseError(f"{points:g} points: give a number above 0")
    known = list(dict.fromkeys(name for each in exercises for name in _properties(each)))
    check_weights(weights or {}, known)
    hidden = int(np.random.default_rng().integers(1, 2**31)) if seed is None else seed
    plan = Plan(points, hidden, dict(weights or {}), personal)
    books = {f"{each.name}.ipynb": notebook(each, plan) for each in exercises}
    if questions:
        books["questions.ipynb"] = written(questions, points)
    source = Path(folder) / "source" / title
    for name in books:
        if (source / name).exists():
            raise ExerciseError(f"{shown(source / name)}: is there already; remove it, or give another folder or name")
    for name, each in books.items():
        write_whole(source / name, json.dumps(each, indent=1, ensure_ascii=False) + "\n")
    settings = Path(folder) / "nbgrader_config.py"
    if not settings.exists():
        write_whole(settings, config(Path(folder).resolve().name))
    return tuple(source / name for name in books)


def notebook(exercise: Exercise, plan: Plan | None = None) -> dict[str, Any]:
    """The instructor's notebook of one exercise, in nbformat 4.5."""
    name, plan = exercise.name, plan or Plan()
    cells = [
        cell("markdown", f"{name}-task", _task(exercise, plan), locked=True),
        cell("code", f"{name}-solution", _solution(exercise), solution=True),
        cell("code", f"{name}-test", _test(exercise, plan), grade=True, locked=True, points=plan.points),
    ]
    if plan.personal:
        cells += [
            cell("code", f"{name}-own", OWN.format(name=name, begin=BEGIN, end=END), solution=True),
            cell("code", f"{name}-own-test", _own_test(name, plan), grade=True, locked=True, points=plan.points / 10),
        ]
    return book(cells)


def written(questions: Sequence[str], points: float = POINTS) -> dict[str, Any]:
    """A notebook of questions that are answered in words, for ``points`` each, which a person gives."""
    cells = []
    for number, question in enumerate(questions, 1):
        name = f"question-{number}"
        cells += [
            cell("markdown", f"{name}-text", f"## Question {number}\n\n{question.strip()}", locked=True),
            cell("markdown", name, "Your answer here.", grade=True, solution=True, points=points),
        ]
    return book(cells)


OWN = """from xlsr_ref.teach.grade.personal import variant


def own_answer():
    \"\"\"Your own numbers: variant("{name}", "your name") shows them, and its .arguments holds them.

    Return your name, as it is in the course's list, and Σ i · r_i over all numbers r_1, r_2, … that your function
    returns for them.
    \"\"\"
    {begin}
    return "instructor", variant("{name}", "instructor").answer
    {end}"""


def _properties(exercise: Exercise) -> list[str]:
    questions = prepare(exercise, np.random.default_rng(SEED))
    return [*dict.fromkeys(case.property for case, _ in questions), *CONDUCT]


def _task(exercise: Exercise, plan: Plan) -> str:
    """The title and the docstring, whose indented equations are blocks of code in Markdown too."""
    names = _properties(exercise)
    shares = [weight * plan.weights.get(name, 1) for name, weight in zip(names, usual_weights(names))]
    total = sum(shares) or 1.0
    worth = ", ".join(f"{name} {100 * share / total:.0f} %" for name, share in zip(names, shares))
    return (
        f"# {exercise.title}\n"
        "\n"
        f"Write `{exercise.signature}` in the cell below. The last cell tries it out: run it as often as you like.\n"
        "\n"
        f"{exercise.task}\n"
        "\n"
        f"The course's notebook {exercise.notebook} is about it.\n"
        "\n"
        f"**Points** ({plan.points:g}): {worth}. There are none unless it is right in an ordinary case, and none for "
        "the library's own function. It is graded with other numbers than those that you see."
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


def _test(exercise: Exercise, plan: Plan) -> str:
    name = exercise.name
    own = {key: weight for key, weight in plan.weights.items() if key in _properties(exercise)}
    weights = f", {own!r}" if own else ""
    hidden = [] if plan.hidden_seed is None else [HIDDEN, f"seed = {plan.hidden_seed}", HIDDEN_END]
    return "\n".join(
        [
            "from xlsr_ref.teach.grade import grade",
            "",
            f"seed = {SEED}",
            *hidden,
            f'verdict = grade("{name}", {name}, seed=seed)',
            "display(verdict)  # what holds, what does not, and which mistake it may be",
            f"verdict.points({plan.points:g}{weights})  # nbgrader takes this number",
        ]
    )


def _own_test(name: str, plan: Plan) -> str:
    return (
        "student, answer = own_answer()\n"
        f'variant("{name}", student).points(answer, {plan.points / 10:g})  # nbgrader takes this number'
    )
