"""Break it: a function of this package with one piece of its source replaced, and one that calls another helper.

Neither touches the package: the new function has a copy of its module's names, so whatever else calls the old one still
calls the old one. To break a kernel and see its public function fail, put the broken kernel in its place with `using`.
"""

from __future__ import annotations
import __future__

import inspect
import itertools
import linecache
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from xlsr_ref.ops import backend

_number = itertools.count(1)


def changed(function: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    """``function`` with ``old``, which must occur exactly once in its source, replaced by ``new``.

    Decorators are applied again; a kernel is compiled again. Raises ValueError where ``old`` occurs another number of
    times, or the function is not one that stands in a file by itself (a closure, a method that calls super).
    """
    written = _written(function)
    source = textwrap.dedent(inspect.getsource(written))
    count = source.count(old) if old else 0
    if count != 1:
        raise ValueError(f"{old!r} must occur once in {written.__name__}, but occurs {count} times")
    source = source.replace(old, new)
    file = f"<{written.__module__}.{written.__name__}, changed, {next(_number)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = dict(written.__globals__)
    if names.get("njit") is backend.njit:
        names["njit"] = _njit
    exec(compile(source, file, "exec", flags=_futures(written), dont_inherit=True), names)
    return names[written.__name__]


def using(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """``function`` with other objects in place of the ``names`` of its module: ``using(gelu, _gelu=broken)``.

    Raises ValueError for a name that the function does not use.
    """
    written = _written(function)
    used = _mentioned(written.__code__) & written.__globals__.keys()
    unused = [name for name in names if name not in used]
    if unused:
        raise ValueError(f"{written.__name__} does not use {', '.join(unused)}")
    copy = FunctionType(written.__code__, written.__globals__ | names, written.__name__, written.__defaults__)
    copy.__kwdefaults__, copy.__doc__, copy.__module__ = written.__kwdefaults__, written.__doc__, written.__module__
    return copy


def _mentioned(code: CodeType) -> set[str]:
    """Every name that a function looks up, also in the functions and generators inside it."""
    inner = (_mentioned(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _written(function: Callable[..., Any]) -> FunctionType:
    """The Python function below decorators and compilation."""
    written = inspect.unwrap(function)
    if not isinstance(written, FunctionType):
        raise ValueError(f"{function!r} is not a function written in Python")
    if written.__closure__:
        inside = ", ".join(written.__code__.co_freevars)
        raise ValueError(f"{written.__name__} is a closure over {inside}: only a function that stands alone can change")
    return written


def _futures(function: FunctionType) -> int:
    """The `from __future__ import …` under which the function was compiled."""
    features = (getattr(__future__, name) for name in __future__.all_feature_names)
    return function.__code__.co_flags & sum(feature.compiler_flag for feature in features)


def _njit(**options: Any) -> Callable[[Any], Any]:
    """The package's njit without its cache on disk: there is no file for what is compiled here."""

    def decorate(loop: Any) -> Any:
        if backend.BACKEND == "numpy":
            return loop
        import numba

        return numba.njit(nogil=True, error_model="numpy", **options)(loop)

    return decorate
