"""A file that a student handed in: its text, and which exercises it has functions for. Nothing in it is run here."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade.catalogue import all_exercises
from xlsr_ref.untrusted import LONGEST_LINE, read_bytes, shown


def read(path: str) -> str:
    """The text of a Python file. Raises ExerciseError where there is none, in one line."""
    if Path(path).is_dir():
        raise ExerciseError(f"{shown(path)}: is a folder; give one file with functions, such as solution.py")
    if Path(path).suffix == ".ipynb":
        raise ExerciseError(f"{shown(path)}: is a notebook; call grade() in it, or give its folder and --csv")
    advice = "give a Python file with functions"
    data = read_bytes(path, lambda problem: ExerciseError(f"{problem}; {advice}"), LONGEST_LINE, pipes=True)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)  # UTF-8, or what a comment on top says
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise ExerciseError(f"{shown(path)}: is not text in UTF-8; give a file of Python functions") from None
    if "\0" in text:
        raise ExerciseError(f"{shown(path)}: is not text, it has null bytes; give a file of Python functions")
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text)


def names(text: str, path: str) -> tuple[str, ...]:
    """The exercises that the file defines, in the order of the course. Raises ExerciseError if there is none."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else "is too deeply nested"
        raise ExerciseError(f"{shown(path)}: {line}Python cannot read this ({said})") from None
    bound = tuple(dict.fromkeys(_bound(tree.body)))
    known = tuple(each.name for each in all_exercises() if each.name in bound)
    if known:
        return known
    alike = _alike(bound, 0.6)
    hint = f"it has {', '.join(alike)}" if alike else "xlsr-ref grade --list shows their names"
    raise ExerciseError(f"{shown(path)}: no function in it has the name of an exercise; {hint}")


def misspelt(text: str) -> list[str]:
    """The names in a file that :func:`names` took which are nearly an exercise's that it has not, each with a hint."""
    return _alike(tuple(dict.fromkeys(_bound(ast.parse(text).body))), 0.85)


def _alike(bound: tuple[str, ...], least: float) -> list[str]:
    """`layernorm (did you mean layer_norm?)`: each that is alike, from 0 to 1 by ``least``, to one not in ``bound``."""
    known = [each.name for each in all_exercises()]
    near = {own: get_close_matches(own, known, 1, least) for own in bound if own not in known}
    return [f"{own} (did you mean {match[0]}?)" for own, match in near.items() if match and match[0] not in bound]


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that a file gives to functions, or may give: by def, by assignment, by import."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _bound([part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)])
            for handler in getattr(node, "handlers", ()):
                yield from _bound(handler.body)
