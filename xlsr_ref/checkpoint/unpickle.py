"""Read a pickle without running it.

A pickle is a program for a small machine with a stack. Most of its instructions put a number, a text or a container on
the stack. Two of them are the danger: GLOBAL names any function of any module, REDUCE calls it. This machine has both
and never imports or calls anything. A global must stand on the closed list of pickle_names.py, and is one of three:

    built   storages, tensors, parameters, OrderedDict, defaultdict, Size: made here, as Storage, Tensor, dict, tuple
    inert   configs' own objects (argparse, omegaconf, enum, fairseq …): a Record of their name and arguments
    else    refused, by name

Sizes, instructions and bytes have limits, so that a bomb ends early; whoever walks through a result must expect cycles.
Where: Python's pickletools lists the instructions; torch/_utils.py the functions that rebuild tensors.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.pickle_names import BUILT, BUILTINS, INERT_MODULES, STORAGES, TORCH_DTYPES, Global, allowed
from xlsr_ref.checkpoint.tensors import DTYPES, Storage, Tensor
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief

__all__ = ["STORAGES", "Global", "Record", "allowed", "unpickle"]

MOST_INSTRUCTIONS = 1_000_000  # XLSR-53 has some 30,000; each makes one object at most
MOST_BYTES = 2**26
MOST_COPIED = 2**26  # bytes, nearly, of what instructions copy from objects that are there already; XLSR-53 has 20,000
ITEM = 16  # bytes, nearly, of one entry of a container
LONGEST_NUMBER = 64  # bytes of one whole number
LONGEST_NAME = 1000  # of a global, and of a number that is written in letters


@dataclass(eq=False, slots=True)
class Record:
    """An object that was not made: the name of its class or function, what it would have got, and its state."""

    kind: Global
    arguments: tuple = ()
    state: Any = None
    items: list = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.kind}>"


# --- the machine -----------------------------------------------------------------------------------------------------


def unpickle(
    data: bytes | np.ndarray,
    what: str,
    begin: int = 0,
    persistent: Callable[[Any], Storage] | None = None,
) -> tuple[Any, int]:
    """The value that the pickle at ``begin`` describes, and where it ends. ``what`` begins each message.

    ``persistent`` gives the storage for what torch pickles in its place. Raises WeightsError.
    """
    machine = _Machine(data, what, begin, persistent)
    try:
        return machine.run(), machine.at
    except WeightsError as error:
        raise WeightsError(f"{what}: {error}") from None
    except UnicodeDecodeError:
        raise WeightsError(f"{what}: the pickle is damaged: the text before byte {machine.at:,} is no UTF-8") from None
    except (IndexError, ValueError):
        raise WeightsError(f"{what}: the pickle is damaged: byte {machine.at:,} does not fit the rest") from None


_MARK = object()


class _Machine:
    """The stack, the memo, and one method for each instruction that is known."""

    def __init__(self, data: Any, what: str, begin: int, persistent: Callable[[Any], Storage] | None) -> None:
        self.data = memoryview(data)  # type: ignore[arg-type]
        self.what, self.at, self.persistent = what, begin, persistent
        self.end = min(len(data), begin + MOST_BYTES)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        for number, (instruction, argument, _) in enumerate(pickletools.genops(self)):  # type: ignore[arg-type]
            if number >= MOST_INSTRUCTIONS:
                raise WeightsError(f"the pickle has more than {MOST_INSTRUCTIONS:,} instructions: refused")
            if instruction.name not in INSTRUCTIONS:
                name = instruction.name
                raise WeightsError(f"the pickle has the instruction {name}, which no checkpoint needs: refused")
            INSTRUCTIONS[instruction.name](self, argument)
        return self.pop()

    def spend(self, count: int) -> None:
        """Count what an instruction copies: one of a few bytes can copy a large object that the memo keeps."""
        self.copied += count
        if self.copied > MOST_COPIED:
            raise WeightsError(f"the pickle copies its own objects, more than {MOST_COPIED:,} bytes of them: refused")

    # reading, for pickletools.genops, which takes the instructions and their arguments apart

    def read(self, count: int) -> bytes:
        if count > self.end - self.at:
            if self.end < len(self.data):
                raise WeightsError(f"the pickle has more than {MOST_BYTES:,} bytes: refused")
            raise WeightsError("the pickle is cut short or damaged")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def readline(self) -> bytes:
        start = bytes(self.data[self.at : min(self.end, self.at + LONGEST_NAME)])
        length = start.find(b"\n") + 1
        if not length:
            raise WeightsError("the pickle is cut short or damaged: a line in it does not end")
        if b"\\" in start[:length]:
            raise WeightsError("the pickle has a text of protocol 0, which no checkpoint needs: refused")
        self.at += length
        return start[:length]

    # the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise IndexError
        return value

    def top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise IndexError
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                values = self.stack[i + 1 :]
                del self.stack[i:]
                return values
        raise IndexError

    # names and calls: nothing here imports or calls what the file names

    def find(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise WeightsError("the pickle asks for something that is no name: refused, nothing was run")
        found = Global(module, name)
        if not allowed(found):
            raise WeightsError(
                f"the pickle asks for {brief(str(found))}, which no checkpoint needs: refused, nothing was run"
            )
        return found

    def call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise WeightsError("the pickle calls something that is no function: refused, nothing was run")
        if function.name == "getattr" and function.module in BUILTINS:  # how some versions pickle an enum's member
            owner = arguments[0] if len(arguments) == 2 else None
            if (
                not isinstance(owner, Global)
                or not INERT_MODULES.fullmatch(owner.module)
                or type(arguments[1]) is not str
            ):
                raise WeightsError("the pickle calls getattr on something that is no enum: refused, nothing was run")
            return Record(owner, (arguments[1],))
        if function not in BUILT:
            return Record(function, arguments)
        try:
            return getattr(self, f"build_{BUILT[function]}")(*arguments)
        except TypeError:
            raise WeightsError(f"the pickle calls {function} with {len(arguments)} odd arguments: refused") from None

    def build_ordered_dict(self, pairs: Any = ()) -> dict:
        if isinstance(pairs, list | tuple):
            self.spend(ITEM * len(pairs))
        if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            raise TypeError
        return {_key(key): value for key, value in pairs}

    def build_default_dict(self, factory: Any = None) -> dict:
        return {}  # its items follow

    def build_size(self, sizes: Any = ()) -> tuple:
        if not isinstance(sizes, list | tuple):
            self._refuse("torch.Size")
        self.spend(ITEM * len(sizes))
        return tuple(sizes)

    def build_encode(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "utf-8"):
            raise TypeError
        self.spend(ITEM + len(text))
        try:
            return text.encode(encoding)
        except UnicodeEncodeError:
            raise WeightsError("the pickle is damaged: bytes in it are not bytes") from None

    def build_tensor(self, storage: Any, first: Any, shape: Any, strides: Any, *more: Any) -> Tensor:
        if not isinstance(storage, Storage) or len(more) > 3:
            raise TypeError
        if not isinstance(shape, list | tuple) or not isinstance(strides, list | tuple):
            raise TypeError
        self.spend(ITEM * (len(shape) + len(strides)))
        return Tensor(storage, first, tuple(shape), tuple(strides))

    def build_tensor_with_dtype(
        self, storage: Any, first: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, *more: Any
    ) -> Tensor:
        if not isinstance(storage, Storage) or not isinstance(dtype, Global) or dtype.module != "torch":
            raise TypeError
        if dtype.name not in TORCH_DTYPES or storage.dtype != "U8":
            raise TypeError
        name = TORCH_DTYPES[dtype.name]
        typed = _Typed(storage, name, storage.count // DTYPES[name].itemsize)
        return self.build_tensor(typed, first, shape, strides)

    def build_parameter(self, tensor: Any, *more: Any) -> Tensor:
        return tensor if isinstance(tensor, Tensor) else self._refuse("a parameter that is no tensor")

    def build_from_type(self, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
        value = self.call(function, arguments)
        return value if isinstance(value, Tensor) else self._refuse("a tensor's subclass that is no tensor")

    def _refuse(self, what: str) -> Any:
        raise WeightsError(f"the pickle is damaged: {what}")

    def set_state(self, target: Any, state: Any) -> None:
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # a state dict carries its modules' versions, which nothing needs
            raise WeightsError("the pickle changes something that is no object: refused, nothing was run")

    def add(self, values: list) -> None:
        target = self.top()
        if not isinstance(target, list | Record):
            raise IndexError
        (target if isinstance(target, list) else target.items).extend(values)

    def set_items(self, pairs: list) -> None:
        target = self.top()
        if len(pairs) % 2 or not isinstance(target, dict | Record):
            raise IndexError
        for key, value in zip(pairs[::2], pairs[1::2]):
            if isinstance(target, dict):
                target[_key(key)] = value
            else:
                target.items.append((key, value))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise IndexError
        self.push(self.memo[index])

    def load_storage(self) -> None:
        found = self.pop()
        if self.persistent is None:
            raise WeightsError("the pickle asks for a storage where there are none: refused")
        self.push(self.persistent(found))

    def constant(self, value: Any) -> None:
        if isinstance(value, int) and value.bit_length() > 8 * LONGEST_NUMBER:
            raise WeightsError(f"the pickle has a whole number of more than {LONGEST_NUMBER} bytes: refused")
        self.push(bytes(value) if isinstance(value, bytearray) else value)

    def protocol(self, version: int) -> None:
        if version > 5:
            raise WeightsError("the pickle is of a protocol above 5, which is unknown: refused")

    def make(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(values[::-1]))

    def make_dict(self) -> None:
        pairs = self.pop_mark()
        self.push({})
        self.set_items(pairs)

    def make_object(self, keywords: bool = False) -> None:
        named = self.pop() if keywords else {}
        arguments, kind = self.pop(), self.pop()
        if not isinstance(named, dict):
            raise IndexError
        made = self.call(kind, arguments)
        if named and isinstance(made, Record):
            self.spend(ITEM * len(named))
            made.items.extend(named.items())
        self.push(made)

    def old_object(self) -> None:
        found = self.pop_mark()
        self.push(self.call(found[0], tuple(found[1:])))

    def instance(self, name: str) -> None:
        kind = self.find(*name.split(" ", 1))
        self.push(self.call(kind, tuple(self.pop_mark())))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.push(self.find(module, name))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.push(self.call(function, arguments))

    def build(self) -> None:
        state = self.pop()
        self.set_state(self.top(), state)


class _Typed(Storage):
    """A storage of bytes, seen with another dtype; it stands where the bytes stand, once that is known."""

    def __init__(self, source: Storage, dtype: str, count: int) -> None:
        self.source = source
        super().__init__(source.path, dtype, count)

    @property
    def offset(self) -> int:  # type: ignore[override]
        return self.source.offset

    @offset.setter
    def offset(self, value: int) -> None:
        pass


def _key(key: Any) -> Any:
    """A dictionary's key. What is not plain gets one of its own: its hash could be chosen to collide with others'."""
    if key is None or isinstance(key, str | bytes | bool | float | Global):
        return key
    if isinstance(key, int) and -(2**63) <= key < 2**64:
        return key
    return Record(Global("dict", "key"), (key,))


_M = _Machine
CONSTANTS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
# by pickletools' names, each with what its reader has made of the argument
INSTRUCTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(CONSTANTS, _M.constant),
    "PROTO": _M.protocol,
    "FRAME": lambda m, size: None,  # a hint for buffered reading
    "STOP": lambda m, _: None,
    "MARK": lambda m, _: m.push(_MARK),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.pop_mark(),
    "DUP": lambda m, _: m.push(m.top()),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.make(1),
    "TUPLE2": lambda m, _: m.make(2),
    "TUPLE3": lambda m, _: m.make(3),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "LIST": lambda m, _: m.push(m.pop_mark()),
    "APPEND": lambda m, _: m.add([m.pop()]),
    "APPENDS": lambda m, _: m.add(m.pop_mark()),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "DICT": lambda m, _: m.make_dict(),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "EMPTY_SET": lambda m, _: m.push(Record(Global("builtins", "set"))),
    "ADDITEMS": lambda m, _: m.add(m.pop_mark()),
    "FROZENSET": lambda m, _: m.push(Record(Global("builtins", "frozenset"), tuple(m.pop_mark()))),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _M.put),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _M.get),
    "GLOBAL": lambda m, name: m.push(m.find(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
    "INST": _M.instance,
    "OBJ": lambda m, _: m.old_object(),
    "NEWOBJ": lambda m, _: m.make_object(),
    "NEWOBJ_EX": lambda m, _: m.make_object(keywords=True),
    "BINPERSID": lambda m, _: m.load_storage(),
}
