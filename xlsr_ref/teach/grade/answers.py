"""No answer can be had from the library while a function is graded: its own function for the exercise is taken away.

In the process that grades, once the right numbers are known, every function of the exercise's module, and every one of
the exercises themselves, is made to raise, wherever it is known and under whatever name: its code is replaced. The
files that hold them cannot be opened, so neither a fresh import nor ``inspect.getsource`` gives them back. What was
reached for is noted, whatever the function catches, and the submission is refused.

    begin(exercise)    takes the answers away, for the rest of this process
    used()             what was reached for; "" if nothing
"""

from __future__ import annotations

import importlib
import linecache
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

from xlsr_ref.teach.grade import catalogue
from xlsr_ref.teach.grade.definition import Exercise

REFUSED = "uses the library's own {}: write the function yourself"
_reached: list[str] = []
_closed: set[str] = set()  # files that cannot be opened


class AnswerTaken(RuntimeError):
    """What a function raises that is an answer."""


def begin(exercise: Exercise) -> None:
    """Take away the answers to ``exercise`` in this process; there is no way back."""
    topics = [module for name, module in list(sys.modules.items()) if name.startswith(f"{catalogue.TOPICS}.")]
    for module in (_library(exercise), *topics):
        _close(module)
        for function in _functions_of(module):
            _take(function)
    catalogue.all_exercises.cache_clear()
    for function in _functions_of(catalogue):
        _take(function)
    for module in topics:
        for name in [name for name, value in vars(module).items() if isinstance(value, Exercise)]:
            delattr(module, name)
    sys.addaudithook(_audit)


def used() -> str:
    """The library's functions and files that were reached for, in words; "" where none was."""
    return ", ".join(dict.fromkeys(_reached))


def refuse(name: str) -> None:
    """Note that the function ``name`` was called, and raise AnswerTaken."""
    _reached.append(name)
    raise AnswerTaken(REFUSED.format(name))


def _audit(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path in _closed:
            _reached.append(os.path.basename(path))
            raise PermissionError(REFUSED.format(os.path.basename(path)))


def _library(exercise: Exercise) -> types.ModuleType:
    """The library's module whose function the exercise asks for."""
    owner = getattr(exercise.reference, "__module__", "")
    inside = owner.startswith("xlsr_ref.") and not owner.startswith("xlsr_ref.teach.")
    return importlib.import_module(owner if inside else f"xlsr_ref.{exercise.module}")


def _close(module: types.ModuleType) -> None:
    for path in (module.__file__, getattr(module, "__cached__", None)):
        if path:
            _closed.add(os.path.realpath(path))
            linecache.cache.pop(path, None)


def _functions_of(module: types.ModuleType) -> Iterator[types.FunctionType]:
    """The functions that a module defines, those below a decorator among them."""
    for value in list(vars(module).values()):
        for inner in (value, getattr(value, "__wrapped__", None), getattr(value, "py_func", None)):
            if isinstance(inner, types.FunctionType) and inner.__module__ == module.__name__:
                yield inner


def _take(function: types.FunctionType) -> None:
    """Let ``function`` raise from now on, wherever it is known."""
    if function.__code__.co_freevars:
        return  # a closure's code cannot be replaced by one without
    text = f"def taken(*_, **__):\n    from {__name__} import refuse\n    refuse({function.__name__!r})\n"
    names: dict[str, Any] = {}
    exec(compile(text, "<the library>", "exec", dont_inherit=True), names)
    function.__code__ = names["taken"].__code__
