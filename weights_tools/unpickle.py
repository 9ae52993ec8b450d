"""Read a pickle without running it.

A pickle is a program for a small machine with a stack. Most of its instructions put a number, a text or a container on
the stack. Two of them are the danger: GLOBAL names any function of any module, REDUCE calls it. This machine has both
and never imports or calls anything. A global must stand on a closed list, and is one of three things:

    built   storages, tensors, parameters, OrderedDict, defaultdict, Size: made here, as Storage, Tensor, dict, tuple
    inert   configs' own objects (argparse, omegaconf, enum, fairseq …): a Record of their name and arguments
    else    refused, by name

Sizes, instructions and bytes have limits, so that a bomb ends early; whoever walks through a result must expect cycles.
Where: Python's pickletools lists the instructions; torch/_utils.py the functions that rebuild tensors.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from weights_tools.errors import CheckpointError, shown
from weights_tools.tensors import DTYPES, Storage, Tensor

MOST_INSTRUCTIONS = 1_000_000  # XLSR-53 has some 30,000; each makes one object at most
MOST_BYTES = 2**26
MOST_COPIED = 2**26  # bytes, nearly, of what instructions copy from objects that are there already; XLSR-53 has 20,000
ITEM = 16  # bytes, nearly, of one entry of a container
LONGEST_NUMBER = 64  # bytes of one whole number
LONGEST_NAME = 1000  # of a global, and of a number that is written in letters


class Global(NamedTuple):
    """A name that would be imported. It is not."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Record:
    """An object that was not made: the name of its class or function, what it would have got, and its state."""

    kind: Global
    arguments: tuple = ()
    state: Any = None
    items: list = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.kind}>"


# --- the closed list -------------------------------------------------------------------------------------------------

STORAGES = {  # torch's class → dtype
    **{"DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"},
    **{"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8"},
    **{"BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128", "UntypedStorage": "U8"},
}
TORCH_DTYPES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"},
    **{f"{sign}int{bits}": f"{'U' if sign else 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{"complex64": "C64", "complex128": "C128", "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3"},
    **{"float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0"},
}
BUILTINS = ("__builtin__", "builtins")  # Python 2 and 3
INERT = {
    Global("argparse", "Namespace"),
    Global("numpy", "dtype"),
    Global("numpy", "ndarray"),
    *(Global(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(Global("pathlib", f"{kind}Path") for kind in ("", "Posix", "Windows", "PurePosix", "PureWindows")),
    *(Global(module, name) for module in BUILTINS for name in ("set", "frozenset", "bytearray", "complex", "getattr")),
    *(Global(module, name) for module in BUILTINS for name in ("int", "float", "bool", "str", "bytes", "object")),
    *(Global(module, name) for module in BUILTINS for name in ("list", "tuple", "dict")),
    *(Global("__builtin__", name) for name in ("long", "unicode")),  # how protocol 2 spells int and str
    *(Global(module, "getitem") for module in ("operator", "_operator")),  # typing's Dict[str, int]
    *(Global("torch", name) for name in (*TORCH_DTYPES, "device", "Tensor", "strided")),
    *(Global(module, "Parameter") for module in ("torch.nn", "torch.nn.parameter")),
    *(Global(module, name) for module in ("torch", "torch.storage", "torch.cuda") for name in STORAGES),
    Global("torch.serialization", "_get_layout"),
}
INERT_MODULES = re.compile(r"typing|(fairseq|omegaconf)(\.[A-Za-z_]\w*)*")
BUILT = {
    Global("collections", "OrderedDict"): "ordered_dict",
    Global("collections", "defaultdict"): "default_dict",
    Global("torch", "Size"): "size",
    Global("_codecs", "encode"): "encode",
    Global("torch._utils", "_rebuild_tensor"): "tensor",
    Global("torch._utils", "_rebuild_tensor_v2"): "tensor",
    Global("torch._utils", "_rebuild_tensor_v3"): "tensor_with_dtype",
    Global("torch._utils", "_rebuild_parameter"): "parameter",
    Global("torch._utils", "_rebuild_parameter_with_state"): "parameter",
    Global("torch._tensor", "_rebuild_from_type_v2"): "from_type",
}


def allowed(name: Global) -> bool:
    """Whether the closed list has this global."""
    if name in BUILT or name in INERT:
        return True
    return INERT_MODULES.fullmatch(name.module) is not None and re.fullmatch(r"\w+(\.\w+)?", name.name) is not None


# --- the machine -----------------------------------------------------------------------------------------------------


def unpickle(
    data: bytes | np.ndarray,
    what: str,
    begin: int = 0,
    persistent: Callable[[Any], Storage] | None = None,
) -> tuple[Any, int]:
    """The value that the pickle at ``begin`` describes, and where it ends. ``what`` begins each message.

    ``persistent`` gives the storage for what torch pickles in its place. Raises CheckpointError.
    """
    machine = _Machine(data, what, begin, persistent)
    try:
        return machine.run(), machine.at
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from None
    except (IndexError, struct.error):
        raise CheckpointError(f"{what}: the pickle is damaged: byte {machine.at:,} does not fit the rest") from None
    except UnicodeDecodeError:
        raise CheckpointError(
            f"{what}: the pickle is damaged: a text before byte {machine.at:,} is not UTF-8"
        ) from None


_MARK = object()
_END = object()


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
        for _ in range(MOST_INSTRUCTIONS):
            code = self.take(1)[0]
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                raise CheckpointError(
                    f"the pickle has the instruction {bytes([code])!r}, which no checkpoint needs: refused"
                )
            if instruction(self) is _END:
                return self.pop()
        raise CheckpointError(f"the pickle has more than {MOST_INSTRUCTIONS:,} instructions: refused")

    def spend(self, count: int) -> None:
        """Count what an instruction copies: one of a few bytes can copy a large object that the memo keeps."""
        self.copied += count
        if self.copied > MOST_COPIED:
            raise CheckpointError(
                f"the pickle copies its own objects, more than {MOST_COPIED:,} bytes of them: refused"
            )

    # reading

    def take(self, count: int) -> bytes:
        if count > self.end - self.at:
            if self.end < len(self.data):
                raise CheckpointError(f"the pickle has more than {MOST_BYTES:,} bytes: refused")
            raise CheckpointError("the pickle is cut short or damaged")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        start = bytes(self.data[self.at : min(self.end, self.at + LONGEST_NAME)])
        length = start.find(b"\n")
        if length < 0:
            raise CheckpointError("the pickle is cut short or damaged: a line in it does not end")
        self.at += length + 1
        return start[:length].decode("utf-8")

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
            raise CheckpointError("the pickle asks for something that is no name: refused, nothing was run")
        found = Global(module, name)
        if not allowed(found):
            raise CheckpointError(
                f"the pickle asks for {shown(str(found))}, which no checkpoint needs: refused, nothing was run"
            )
        return found

    def call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise CheckpointError("the pickle calls something that is no function: refused, nothing was run")
        if function.name == "getattr" and function.module in BUILTINS:  # how some versions pickle an enum's member
            owner = arguments[0] if len(arguments) == 2 else None
            if (
                not isinstance(owner, Global)
                or not INERT_MODULES.fullmatch(owner.module)
                or type(arguments[1]) is not str
            ):
                raise CheckpointError("the pickle calls getattr on something that is no enum: refused, nothing was run")
            return Record(owner, (arguments[1],))
        if function not in BUILT:
            return Record(function, arguments)
        try:
            return getattr(self, f"build_{BUILT[function]}")(*arguments)
        except TypeError:
            raise CheckpointError(f"the pickle calls {function} with {len(arguments)} odd arguments: refused") from None

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
            raise CheckpointError("the pickle is damaged: bytes in it are not bytes") from None

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
        raise CheckpointError(f"the pickle is damaged: {what}")

    def set_state(self, target: Any, state: Any) -> None:
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # a state dict carries its modules' versions, which nothing needs
            raise CheckpointError("the pickle changes something that is no object: refused, nothing was run")

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
            raise CheckpointError("the pickle asks for a storage where there are none: refused")
        self.push(self.persistent(found))

    def whole(self, length: int) -> None:
        if not 0 <= length <= LONGEST_NUMBER:
            raise CheckpointError(f"the pickle has a whole number of {length:,} bytes: refused")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def written_number(self) -> None:
        text = self.line().removesuffix("L")
        if text in ("00", "01"):
            return self.push(text == "01")
        if not re.fullmatch(r"-?[0-9]{1,150}", text, re.ASCII):
            raise IndexError
        return self.push(int(text))

    def written_float(self) -> None:
        text = self.line()
        try:
            self.push(float(text))
        except ValueError:
            raise IndexError from None

    def text(self, length: int) -> None:
        self.push(self.take(length).decode("utf-8", "surrogatepass"))

    def short_text(self, length: int) -> None:  # Python 2's str: bytes that are read as text
        if length < 0:
            raise IndexError
        self.push(self.take(length).decode("latin1"))

    def written_text(self) -> None:
        text = self.line()
        if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"" or "\\" in text:
            raise CheckpointError("the pickle has a text of protocol 0, which no checkpoint needs: refused")
        self.push(text[1:-1])

    def protocol(self) -> None:
        if self.take(1)[0] > 5:
            raise CheckpointError("the pickle is of a protocol above 5, which is unknown: refused")

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

    def instance(self) -> None:
        kind = self.find(self.line(), self.line())
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

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self) -> None:
        value = self.pop()
        self.add([value])

    def pop_one(self) -> None:
        self.stack.pop()

    def short_frame(self) -> None:
        self.number("<Q")  # a hint for buffered reading


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
INSTRUCTIONS: dict[int, Callable[[_Machine], Any]] = {
    ord("("): lambda m: m.push(_MARK),
    ord("."): lambda m: _END,
    ord("0"): _M.pop_one,
    ord("1"): lambda m: m.pop_mark() and None,
    ord("2"): lambda m: m.push(m.top()),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    0x80: _M.protocol,
    0x95: _M.short_frame,
    ord("I"): _M.written_number,
    ord("L"): _M.written_number,
    ord("F"): _M.written_float,
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    ord("G"): lambda m: m.push(m.number(">d")),
    0x8A: lambda m: m.whole(m.number("<B")),
    0x8B: lambda m: m.whole(m.number("<i")),
    ord("S"): _M.written_text,
    ord("V"): lambda m: m.push(m.line()),
    ord("T"): lambda m: m.short_text(m.number("<i")),
    ord("U"): lambda m: m.short_text(m.number("<B")),
    ord("X"): lambda m: m.text(m.number("<I")),
    0x8C: lambda m: m.text(m.number("<B")),
    0x8D: lambda m: m.text(m.number("<Q")),
    ord("B"): lambda m: m.push(m.take(m.number("<I"))),
    ord("C"): lambda m: m.push(m.take(m.number("<B"))),
    0x8E: lambda m: m.push(m.take(m.number("<Q"))),
    0x96: lambda m: m.push(m.take(m.number("<Q"))),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    0x85: lambda m: m.make(1),
    0x86: lambda m: m.make(2),
    0x87: lambda m: m.make(3),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.pop_mark()),
    ord("a"): _M.append,
    ord("e"): lambda m: m.add(m.pop_mark()),
    ord("}"): lambda m: m.push({}),
    ord("d"): _M.make_dict,
    ord("s"): _M.set_item,
    ord("u"): lambda m: m.set_items(m.pop_mark()),
    0x8F: lambda m: m.push(Record(Global("builtins", "set"))),
    0x90: lambda m: m.add(m.pop_mark()),
    0x91: lambda m: m.push(Record(Global("builtins", "frozenset"), tuple(m.pop_mark()))),
    ord("p"): lambda m: m.put(_index(m.line())),
    ord("q"): lambda m: m.put(m.number("<B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    ord("g"): lambda m: m.get(_index(m.line())),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    ord("c"): lambda m: m.push(m.find(m.line(), m.line())),
    0x93: _M.stack_global,
    ord("R"): _M.reduce,
    ord("b"): _M.build,
    ord("i"): _M.instance,
    ord("o"): _M.old_object,
    0x81: _M.make_object,
    0x92: lambda m: m.make_object(keywords=True),
    ord("Q"): _M.load_storage,
}


def _index(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise IndexError
    return int(text)
