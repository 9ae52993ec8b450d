"""What a class handed in: for each student the text of functions and the written answers, from files and notebooks.

    FOLDER/anna.py        FOLDER/ben.ipynb        FOLDER/carla/week3/layer_norm.ipynb        nbgrader's submitted/ too

A student is named by the file, or by the first folder below FOLDER. Of a notebook the code cells count: its imports,
functions, classes and constants, in their order; what else they do is not run. Nothing is run here.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import submission
from xlsr_ref.untrusted import parse_json, read_bytes, shown

KINDS = (".py", ".ipynb")
KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
ANSWER = 20000  # characters of a written answer that are kept


@dataclass
class HandedIn:
    """Of one student: the text that has the function of each exercise, its file, and the written answers by name."""

    student: str
    texts: dict[str, tuple[str, str]] = field(default_factory=dict)  # by exercise: the text, the path
    written: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)  # files that could not be read
    digest: str = ""  # of all the files' bytes


def of_class(folder: str | Path) -> list[HandedIn]:
    """All that was handed in below ``folder``, by student. Raises ExerciseError where there is nothing."""
    files: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).rglob("*")):
        parts = path.relative_to(folder).parts
        if path.suffix in KINDS and path.is_file() and not any(part.startswith((".", "__")) for part in parts):
            files.setdefault(path.stem if len(parts) == 1 else parts[0], []).append(path)
    if not files:
        raise ExerciseError(f"{shown(folder)}: has no .py or .ipynb file; give a folder with one for each student")
    return [of_student(student, paths) for student, paths in files.items()]


def of_student(student: str, paths: list[Path]) -> HandedIn:
    """What the files of one student hold. A file that cannot be read is noted, not raised."""
    found, digest = HandedIn(student), hashlib.sha256()
    for path in paths:
        try:
            text, written = read_notebook(path) if path.suffix == ".ipynb" else (submission.read(str(path)), {})
            digest.update(f"{text}\0{sorted(written.items())}\0".encode())
            found.written |= written
            names = submission.names(text, str(path))
        except ExerciseError as error:
            found.problems.append(str(error))
            continue
        for name in names:
            found.texts.setdefault(name, (text, str(path)))
    found.digest = digest.hexdigest()[:16]
    return found


def read_notebook(path: str | Path) -> tuple[str, dict[str, str]]:
    """The functions of a notebook as one text, and the written answers, by nbgrader's names of their cells.

    Raises ExerciseError where the file is no notebook.
    """

    def fault(problem: str) -> ExerciseError:
        return ExerciseError(f"{problem}; give a Jupyter notebook")

    book = parse_json(read_bytes(path, fault, 64 << 20), shown(path), fault, finite=False)
    cells = book.get("cells")
    if not isinstance(cells, list):
        raise fault(f"{shown(path)}: has no cells")
    code, written = [], {}
    for cell in cells:
        text = _text(cell)
        if cell.get("cell_type") == "code":
            code += list(_definitions(text))
        elif name := _answered(cell):
            written[name] = text[:ANSWER]
    return "\n\n".join(code) + "\n", written


def _text(cell: Any) -> str:
    source = cell.get("source", "") if isinstance(cell, dict) else ""
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _answered(cell: dict[str, Any]) -> str:
    """The name of a cell that nbgrader has graded by hand; "" of any other."""
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    by_hand = isinstance(marks, dict) and marks.get("grade") and marks.get("solution")
    return str(marks.get("grade_id", "")) if by_hand and isinstance(marks, dict) else ""


def _definitions(text: str) -> Iterator[str]:
    """The parts of a cell that define something, each as it stands there. Magics, %time and !ls, are left out."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in text.splitlines()]
    try:
        body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "\n".join(lines)  # Python will say what is wrong with it
        return
    for node in body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        part = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, ast.Assign | ast.AnnAssign) and any(isinstance(n, ast.Call) for n in ast.walk(node)):
            indented = "\n".join(f"    {line}" for line in part.splitlines())
            yield f"try:\n{indented}\nexcept Exception:\n    pass"  # it may load data that is not here
        elif isinstance(node, KEPT):
            yield part
