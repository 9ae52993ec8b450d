"""Where a mistake is: in which part of the computation, and which line of the student's function is most like it."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from xlsr_ref.teach.grade.definition import Exercise, Mistake

ALIKE = 0.55  # of 1, by difflib's measure: below this no line is named


def part_of(exercise: Exercise, mistakes: Sequence[Mistake]) -> str | None:
    """What the lines compute that the mistakes change, in words: "`var`" or "what is returned"."""
    parts = dict.fromkeys(_part(line) for mistake in mistakes for line, _ in _changed(exercise, mistake))
    return ", and ".join(part for part in parts if part) or None


def line_like(exercise: Exercise, mistakes: Sequence[Mistake], function: Callable[..., Any]) -> str | None:
    """The line of the student's function that is most like a line of the solution with the mistakes in it."""
    own = _source(function)
    wrong = [line for mistake in mistakes for pair in _changed(exercise, mistake) for line in pair if line]
    scored = [
        (difflib.SequenceMatcher(None, _bare(mine), _bare(line)).ratio(), number, mine)
        for number, mine in own
        for line in wrong
    ]
    if not scored:
        return None
    ratio, number, mine = max(scored, key=lambda each: each[0])
    return f"line {number}: {mine.strip()}" if ratio >= ALIKE else None


def _changed(exercise: Exercise, mistake: Mistake) -> list[tuple[str, str]]:
    """The lines of the solution that the mistake changes, each with what it becomes ("" where it goes)."""
    was = exercise.solution.splitlines()
    now = (mistake.applied(exercise.solution) or "").splitlines()
    pairs: list[tuple[str, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if kind != "equal":
            length = max(b - a, d - c)
            lines = zip(was[a:b] + [""] * (length - (b - a)), now[c:d] + [""] * (length - (d - c)))
            pairs += [(old or new, new) for old, new in lines]
    return pairs


def _part(line: str) -> str:
    """What one line computes."""
    text = line.strip()
    if text.startswith("return"):
        return "what is returned"
    if text.startswith(("if ", "elif ", "else")):
        return "the condition " + text.split(":")[0].removeprefix("if ")
    if text.startswith(("for ", "while ")):
        return "over what the loop runs"
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        return ""
    if isinstance(statement, ast.Assign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return f"`{ast.unparse(targets[0])}`"
    return ""


def _bare(line: str) -> str:
    return "".join(line.split("#")[0].split())


def _source(function: Callable[..., Any]) -> list[tuple[int, str]]:
    """The numbered lines of a function that have code; none where its text is not known."""
    try:
        lines, first = inspect.getsourcelines(inspect.unwrap(function))
        body = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return []
    begin = 0
    if isinstance(body, ast.FunctionDef):
        documented = ast.get_docstring(body) is not None
        begin = (body.body[0].end_lineno or 1) if documented else body.body[0].lineno - 1
    numbered = enumerate(lines[begin:], first + begin)
    return [(number, line) for number, line in numbered if _bare(line)]
