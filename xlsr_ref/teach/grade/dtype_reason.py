"""Why a float32 array became float64: the line of the student's function after which the first one was float64.

The function is run once more while Python reports each line (``sys.settrace``), and its variables are looked at. In
NumPy 2 a Python number leaves the dtype of an array as it is. A ``np.float64``, which np.sqrt makes of a number, does
not: float32 times np.float64 is float64.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from xlsr_ref.teach.grade.battery import copied, mapped
from xlsr_ref.teach.grade.case_run import Tried

MAKERS = {"zeros", "ones", "empty", "full", "eye", "array", "identity", "linspace", "tri", "asarray", "arange"}
OF_NUMBERS = {"sqrt", "log", "exp", "float64", "power", "log2", "log10", "divide", "sin", "cos", "square", "maximum"}


def why_another_dtype(function: Callable[..., Any], one: Tried | None) -> str:
    """What to add to "float32 in, float64 out": the line and the reason; "" where neither is found."""
    if one is None or one.case.dtype != np.float32:
        return ""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    number = _first_line(function, code.co_filename, one)
    if not number:
        return ""
    text = linecache.getline(code.co_filename, number).strip()
    return f"; first in line {number}{f', {text}' if text else ''}{_reason(text)}"


def _first_line(function: Callable[..., Any], file: str, one: Tried) -> int:
    """The number of the first line after which a variable, or the result, is a float64; 0 where none is."""
    found: list[int] = []
    running: dict[int, tuple[int, set[str]]] = {}  # by frame: the line that runs, and what was float64 before it

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != file or found:
            return None
        wide = {name for name, value in frame.f_locals.items() if _is_wide(value)}
        line, before = running.get(id(frame), (0, set()))
        caller = frame.f_back
        if event == "call" and wide and caller is not None and caller.f_code.co_filename == file:
            found.append(caller.f_lineno)  # it hands in what is float64 already
        elif wide - before or (event == "return" and _is_wide(argument)):
            found.append(line or frame.f_lineno)
        running[id(frame)] = (frame.f_lineno, wide)
        return trace

    earlier = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*mapped(copied, one.case.arguments))
    except BaseException:
        return 0
    finally:
        sys.settrace(earlier)
    return found[0] if found else 0


def _is_wide(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_is_wide(each) for each in value[:8])
    return isinstance(value, np.ndarray | np.float64) and value.dtype == np.float64


def _reason(text: str) -> str:
    """The usual reasons, as they stand in the line."""
    try:
        tree = ast.parse(text.rstrip(":"))
    except (SyntaxError, ValueError):
        return ""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).split(".")[-1]
        words = ast.unparse(call)
        if not ast.unparse(call.func).startswith(("np.", "numpy.")):
            continue
        if name in MAKERS and not any(key.arg == "dtype" for key in call.keywords):
            return f": {words} is float64 unless it is given a dtype"
        if name in OF_NUMBERS:
            return (
                f": of a Python number {words} is a np.float64, with which a float32 array becomes float64; "
                "a Python float, as of math or ** 0.5, leaves it float32"
            )
    return ""
