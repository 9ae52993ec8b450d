"""How a student's function is sent to the process that checks it: as a file, by name, as source, or pickled.

In this order, the first that can be done:
    file     ``xlsr-ref grade solution.py``: the whole text of the file is run there
    module   a function of a module that can be imported: it is imported there, as its file is now
    source   a function of a notebook cell or a script: its source, with the imports, numbers and helpers that it names
    pickle   any other (made by exec, a lambda, a closure, with arrays among its globals): by cloudpickle, if installed
Where none can be done the function stays, and is checked in the process that has it.
"""

from __future__ import annotations

import ast
import base64
import dis
import importlib
import importlib.util
import inspect
import linecache
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class PackedFunction(NamedTuple):
    """A function as texts that can be sent to another process."""

    kind: str  # file, module, source or pickle
    name: str  # of the function in it
    pieces: tuple[str, ...]  # texts to run in turn, the last one with the function; or the module's name, or the pickle
    where: str  # the file name of the last piece, as a traceback gives it


class CannotUnpack(Exception):
    """The text that holds the function does not run. The message says what happened, in one line."""


def pack_file(name: str, text: str, path: str) -> PackedFunction:
    """The function ``name`` in a whole file."""
    return PackedFunction("file", name, (text,), path)


def pack(function: Callable) -> PackedFunction | None:
    """A function that is in memory, packed; None if it cannot leave this process."""
    return _by_module(function) or _by_source(function) or _by_pickle(function)


def unpack(packed: PackedFunction) -> Any:
    """The function. Raises CannotUnpack where running the text, or importing the module, raises."""
    try:
        if packed.kind == "module":
            value: Any = importlib.import_module(packed.pieces[0])
            for part in packed.name.split("."):
                value = getattr(value, part)
            return value
        if packed.kind == "pickle":
            import cloudpickle

            return cloudpickle.loads(base64.b64decode(packed.pieces[0]))
        return _run(packed)
    except BaseException as error:  # SystemExit too: nothing that a text does at its top level ends the checker
        raise CannotUnpack(happened(error, packed)) from None


def happened(error: BaseException, packed: PackedFunction) -> str:
    """An exception in one line, with the line of the student's text in which it was raised."""
    words = " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: {words}"
    lines = [frame.tb_lineno for frame in _frames(error) if frame.tb_frame.f_code.co_filename == packed.where]
    return f"line {lines[-1]}: {words}" if lines else words


def _run(packed: PackedFunction) -> Any:
    if packed.kind == "file":
        sys.path.insert(0, str(Path(packed.where).resolve().parent))  # its own neighbours can be imported
    module = types.ModuleType(Path(packed.where).stem if packed.kind == "file" else "__solution__")
    module.__file__ = packed.where
    sys.modules[module.__name__] = module  # NamedTuples and dataclasses look themselves up there
    flags = 0 if packed.kind == "file" else annotations.compiler_flag  # names in type hints need not exist
    for i, text in enumerate(packed.pieces):
        where = packed.where if i == len(packed.pieces) - 1 else f"<{packed.name}, part {i}>"
        linecache.cache[where] = (len(text), None, text.splitlines(keepends=True), where)
        exec(compile(text, where, "exec", flags, dont_inherit=True), module.__dict__)
    return getattr(module, packed.name)


def _frames(error: BaseException) -> Iterator[types.TracebackType]:
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


# --- by name ---------------------------------------------------------------------------------------------------------


def _by_module(function: Callable) -> PackedFunction | None:
    owner, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not owner or owner == "__main__" or _lookup(sys.modules.get(owner), name) is not function:
        return None
    if not _can_be_imported(owner):
        return None
    return PackedFunction("module", name, (owner,), getattr(sys.modules[owner], "__file__", None) or owner)


def _can_be_imported(module: str) -> bool:
    """Whether another process finds the same file under this name."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return False
    here = getattr(sys.modules.get(module), "__file__", None)
    return spec is not None and module in sys.modules and (here is None or spec.origin == here)


def _lookup(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


# --- as source -------------------------------------------------------------------------------------------------------


def _by_source(function: Callable) -> PackedFunction | None:
    pieces: dict[str, str] = {}
    if not _gather(function, pieces, set()):
        return None
    name = function.__name__
    return PackedFunction("source", name, tuple(pieces.values()), f"<{name}>")


def _gather(function: Any, pieces: dict[str, str], begun: set[str]) -> bool:
    """Put the texts of all that the globals of ``function`` need, and then its own, into ``pieces``, in the order in
    which they can be run. False if some has no text. ``begun`` are the functions whose texts are on their way."""
    text = _source(function)
    if text is None:
        return False
    begun.add(function.__name__)
    for name in sorted(_global_names(function.__code__) | _default_names(text)):
        if name not in function.__globals__:
            continue  # of Python itself, or unknown here too: then the function itself will say so
        value = function.__globals__[name]
        line = _import_line(name, value) or _literal_line(name, value)
        if line is not None:
            pieces[name] = line
        elif getattr(value, "__globals__", None) is not function.__globals__ or value.__name__ != name:
            return False  # what it names would be looked up elsewhere, or under another name
        elif name not in begun and not _gather(value, pieces, begun):
            return False
    pieces[function.__name__] = text
    return True


def _source(function: Callable) -> str | None:
    """The text of a plain ``def`` that compiles to this very function, None otherwise."""
    if not isinstance(function, types.FunctionType):
        return None
    try:
        text = textwrap.dedent(inspect.getsource(function))
        body = ast.parse(text).body
        compiled = compile(text, "<source>", "exec", annotations.compiler_flag, dont_inherit=True)
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or body[0].decorator_list:
        return None
    codes = [code for code in compiled.co_consts if isinstance(code, types.CodeType)]
    same = [code for code in codes if code.co_name == function.__name__ and _alike(code, function.__code__)]
    return text if same else None


def _alike(one: types.CodeType, other: types.CodeType) -> bool:
    """Whether two functions do the same. Their bytes may differ: np.sqrt is compiled in one way below ``import numpy``
    and in another where the text does not show what np is."""

    def essence(code: types.CodeType) -> tuple:
        steps = ((i.opname.replace("LOAD_METHOD", "LOAD_ATTR"), i.argval) for i in dis.get_instructions(code))
        kept = (step for step in steps if step[0].startswith(STEPS) and not isinstance(step[1], types.CodeType))
        consts = (essence(c) if isinstance(c, types.CodeType) else (type(c), repr(c)) for c in code.co_consts)
        return tuple(kept), code.co_varnames, tuple(consts)

    return essence(one) == essence(other)


STEPS = ("LOAD", "STORE", "BINARY", "UNARY", "COMPARE", "IS_OP", "CONTAINS", "RETURN")


def _global_names(code: types.CodeType) -> set[str]:
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")}
    return names.union(*(_global_names(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _default_names(text: str) -> set[str]:
    """The names in the defaults of the arguments: they are looked up when the ``def`` runs."""
    (tree,) = ast.parse(text).body
    assert isinstance(tree, ast.FunctionDef)
    defaults = [*tree.args.defaults, *(d for d in tree.args.kw_defaults if d is not None)]
    return {node.id for default in defaults for node in ast.walk(default) if isinstance(node, ast.Name)}


def _import_line(name: str, value: Any) -> str | None:
    """The import that binds ``value`` to ``name``, if there is one."""
    if isinstance(value, types.ModuleType):
        return f"import {value.__name__} as {name}" if _can_be_imported(value.__name__) else None
    own = getattr(value, "__name__", None)
    owner = getattr(value, "__module__", None) or ("numpy" if type(value).__module__ == "numpy" else None)
    if not isinstance(own, str) or not own.isidentifier() or not isinstance(owner, str) or owner == "__main__":
        return None
    if _lookup(sys.modules.get(owner), own) is not value or not _can_be_imported(owner):
        return None
    return f"from {owner} import {own} as {name}"


def _literal_line(name: str, value: Any) -> str | None:
    try:
        again = ast.literal_eval(repr(value))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return f"{name} = {value!r}" if type(again) is type(value) and repr(again) == repr(value) else None


# --- pickled ---------------------------------------------------------------------------------------------------------


def _by_pickle(function: Callable) -> PackedFunction | None:
    try:
        import cloudpickle
    except ImportError:
        return None
    owner = sys.modules.get(getattr(function, "__module__", None) or "")
    alone = owner is not None and owner.__name__ != "__main__" and not _can_be_imported(owner.__name__)
    try:
        if alone:
            cloudpickle.register_pickle_by_value(owner)
        try:
            pickled = cloudpickle.dumps(function)
        finally:
            if alone:
                cloudpickle.unregister_pickle_by_value(owner)
    except Exception:  # whatever the function holds on to decides what is raised: an open file, a lock, a thread
        return None
    code = getattr(function, "__code__", None)
    where = getattr(code, "co_filename", "<function>")
    return PackedFunction(
        "pickle", getattr(function, "__name__", "function"), (base64.b64encode(pickled).decode(),), where
    )
