"""The marks of a class as a table, CSV for a learning-management system: one row for each student.

    student, EXERCISE …, WRITTEN …, points, of, feedback, WRITTEN text …, seed, digest

A WRITTEN column holds the points that an instructor gives by hand; they are kept, and added, when the table is made
again. A row whose files, seed and points for each exercise are as before is kept too, so a second run grades only what
changed. Text that a spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xlsr_ref.errors import ExerciseError
from xlsr_ref.files import write_whole
from xlsr_ref.teach.grade import sandbox
from xlsr_ref.teach.grade.catalogue import all_exercises
from xlsr_ref.teach.grade.handed_in import HandedIn
from xlsr_ref.teach.grade.verdict import Verdict
from xlsr_ref.untrusted import one_line, read_text, shown
from xlsr_ref.version import __version__

FORMULA = ("=", "+", "-", "@", "\t")
LONGEST = 1000  # characters of the feedback


def grade_class(
    handed_in: Sequence[HandedIn],
    names: Sequence[str] | None = None,
    *,
    points: float = 10,
    seed: int,
    weights: Mapping[str, float] | None = None,
    before: Sequence[Mapping[str, str]] = (),
    seconds: float = sandbox.SECONDS,
    memory_mb: float = sandbox.MEMORY_MB,
    watch: Callable[[str], None] = lambda words: None,
) -> list[dict[str, str]]:
    """The rows of the table, each function graded in a process of its own with ``seed``.

    ``names`` are the exercises that count (None: all that somebody handed in), ``points`` each is worth, ``before`` the
    rows of an earlier table, ``watch`` is told what is graded now.
    """
    every = tuple(names or (each.name for each in all_exercises() if any(each.name in one.texts for one in handed_in)))
    earlier = {row.get("student", ""): row for row in before}
    written = list(dict.fromkeys(name for one in handed_in for name in one.written))
    rows = []
    for one in handed_in:
        old, digest = earlier.get(_safe(one.student), {}), _digest(one, every, seed, points, weights)
        if old.get("digest") != digest:
            how = {"seed": seed, "seconds": seconds, "memory_mb": memory_mb}
            verdicts = {}
            for name in every:
                watch(f"{one.student}: {name}")
                verdicts[name] = _verdict(one, name, **how)
            marks = {name: f"{verdict.points(points, weights):g}" for name, verdict in verdicts.items()}
            feedback = _safe("; ".join([*one.problems, *(verdict.sentence for verdict in verdicts.values())])[:LONGEST])
        else:
            marks, feedback = {name: old.get(name, "0") for name in every}, old.get("feedback", "")
        by_hand = {name: old.get(name, "") for name in written}
        total = sum(map(_number, [*marks.values(), *by_hand.values()]))
        row = {"student": _safe(one.student)} | marks | by_hand
        row |= {"points": f"{total:g}", "of": f"{points * len(every):g}", "feedback": feedback}
        row |= {f"{name} text": _safe(one.written.get(name, ""), lines=True) for name in written}
        rows.append(row | {"seed": str(seed), "digest": digest})
    return rows


def read_table(path: str | Path) -> list[dict[str, str]]:
    """The rows of an earlier table. Raises ExerciseError where the file is none."""
    text = read_text(path, lambda problem: ExerciseError(f"{problem}; give the CSV file of an earlier run"))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if not rows or not {"student", "digest", "seed"} <= set(rows[0]):
        raise ExerciseError(f"{shown(path)}: is no table of marks; give the CSV file of an earlier run, or a new name")
    return [{str(key): value or "" for key, value in row.items() if key} for row in rows]


def write_table(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as CSV, UTF-8, as Moodle, Canvas and spreadsheets import it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def _verdict(one: HandedIn, name: str, **how: Any) -> Verdict:
    """The verdict on one function; it never raises for what a student wrote."""
    if name not in one.texts:
        return sandbox.failed(name, "was not handed in")
    text, path = one.texts[name]
    try:
        return sandbox.run(name, text, None, path=path, **how)
    except ExerciseError as error:
        return sandbox.failed(name, str(error))


def _digest(one: HandedIn, names: Sequence[str], seed: int, points: float, weights: Mapping[str, float] | None) -> str:
    """What the marks depend on."""
    parts = (one.digest, *names, seed, points, sorted((weights or {}).items()), __version__)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _safe(text: str, lines: bool = False) -> str:
    """Text that no spreadsheet runs, on one line unless ``lines`` is set."""
    kept = text.replace("\0", "") if lines else one_line(text)
    return f"'{kept}" if kept.startswith(FORMULA) else kept


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ".")) if text.strip() else 0.0
    except ValueError:
        raise ExerciseError(f"the points {shown(text)}: write a number into the table, or nothing") from None
