"""The machine that reads pickles: what it refuses, and that it never runs anything."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import operator
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import typing

import numpy as np
import pytest

from xlsr_ref.checkpoint import unpickle as machine
from xlsr_ref.checkpoint.tensors import Storage, Tensor
from xlsr_ref.checkpoint.unpickle import Global, Record, allowed, unpickle


def read(program: bytes):
    value, end = unpickle(program, "x.bin")
    assert end == len(program)
    return value


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """GLOBAL, its arguments, REDUCE."""
    return b"c" + f"{module}\n{name}\n(".encode() + b"".join(arguments) + b"tR"


# --- what every checkpoint has ---------------------------------------------------------------------------------------

PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    255,
    65535,
    -(2**31),
    2**40,
    -(2**63),
    1.5,
    float("inf"),
    "",
    "größer",
    "x" * 300,
    b"",
    b"bytes" * 100,
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [],
    [1, [2, [3]]],
    {},
    {"a": {"b": [1, None]}, 2: "c", 1.5: 0, None: 1},
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(value, protocol):
    if isinstance(value, bytes) and protocol == 2 and not value:
        pytest.skip("protocol 2 spells empty bytes as a call of bytes()")
    found = read(pickle.dumps(value, protocol))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("protocol", [0, 1])
@pytest.mark.parametrize("value", [None, True, 7, -3, 1.5, [1, 2], (1, 2), {"a": 1}], ids=repr)
def test_the_oldest_protocols(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_shared_and_circular_values():
    shared = [1]
    found = read(pickle.dumps([shared, shared], 2))
    assert found[0] is found[1]
    circle: list = []
    circle.append(circle)
    found = read(pickle.dumps(circle, 2))
    assert found[0] is found


def test_ordered_dicts_are_dicts_and_their_attributes_are_dropped():
    value = collections.OrderedDict([("b", 1), ("a", 2)])
    value.extra = "x"  # torch hangs its modules' versions there
    for protocol in (2, 4):
        assert list(read(pickle.dumps(value, protocol)).items()) == [("b", 1), ("a", 2)]
    counts = collections.defaultdict(list, {"a": [1]})
    assert read(pickle.dumps(counts, 2)) == {"a": [1]}


class Colour(enum.Enum):
    red = "r"


def test_configs_become_inert_records():
    found = read(pickle.dumps(argparse.Namespace(a=1, b=[2]), 2))
    assert isinstance(found, Record)
    assert (found.kind, found.state) == (Global("argparse", "Namespace"), {"a": 1, "b": [2]})
    found = read(pickle.dumps(pathlib.PurePosixPath("/a/b"), 2))
    assert (found.kind.name, found.arguments) == ("PurePosixPath", ("/", "a", "b"))
    found = read(call("fairseq.dataclass.constants", "Choice", text("layer_norm")) + b".")
    assert (str(found.kind), found.arguments) == ("fairseq.dataclass.constants.Choice", ("layer_norm",))
    member = b"c__builtin__\ngetattr\n(cfairseq.x\nChoice\n" + text("red") + b"tR."
    assert read(member).kind == Global("fairseq.x", "Choice")
    found = read(pickle.dumps({"a", "b"}, 2))
    assert sorted(found.arguments[0]) == ["a", "b"]
    assert sorted(read(pickle.dumps({"a", "b"}, 4)).items) == ["a", "b"]
    assert read(pickle.dumps(typing.Any, 2)) == Global("typing", "Any")
    found = read(pickle.dumps(np.float64(2.5), 2))
    assert found.kind.name == "scalar"


# --- what is refused -------------------------------------------------------------------------------------------------


class Reduced:
    """Pickled as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


MARKER = "the-marker"


def _attacks() -> dict[str, tuple[bytes, str]]:
    """Programs that would make a file, or change this process, if they ran; and the name that is refused."""
    touch = f"touch {MARKER}"
    shell = call("os", "system", text(touch))
    return {
        "os.system": (pickle.dumps(Reduced(os.system, touch), 2), f"{os.name}.system"),
        "os.system by its common name": (shell + b".", "os.system"),
        "protocol 4": (pickle.dumps(Reduced(os.system, touch), 4), f"{os.name}.system"),
        "protocol 0": (pickle.dumps(Reduced(os.system, touch), 0), f"{os.name}.system"),
        "eval": (pickle.dumps(Reduced(eval, "1+1"), 2), "__builtin__.eval"),
        "eval in protocol 4": (pickle.dumps(Reduced(eval, "1+1"), 4), "builtins.eval"),
        "exec": (call("builtins", "exec", text("import os")) + b".", "builtins.exec"),
        "__import__": (call("builtins", "__import__", text("os")) + b".", "builtins.__import__"),
        "open": (pickle.dumps(Reduced(open, MARKER, "w"), 2), "open"),
        "compile": (pickle.dumps(Reduced(compile, "1", "x", "eval"), 2), "compile"),
        "subprocess": (pickle.dumps(Reduced(subprocess.Popen, touch, -1, None), 4), "subprocess.Popen"),
        "sys.exit": (pickle.dumps(Reduced(sys.exit, 3), 2), "sys.exit"),
        "partial": (pickle.dumps(functools.partial(os.system, touch), 2), "functools.partial"),
        "attrgetter": (pickle.dumps(operator.attrgetter("system"), 2), "operator.attrgetter"),
        "methodcaller": (pickle.dumps(operator.methodcaller("system"), 2), "operator.methodcaller"),
        "nested in containers": (pickle.dumps({"a": [{"b": (1, Reduced(os.system, touch))}]}, 2), f"{os.name}.system"),
        "as an argument of what is allowed": (
            b"ccollections\nOrderedDict\n(]]" + text("a") + b"a" + shell + b"aatR.",
            "os.system",
        ),
        "below a torch module": (call("torch.serialization", "os.system", text(touch)) + b".", "os.system"),
        "below a module of fairseq": (b"cfairseq\nx.y.z\n.", "x.y.z"),
        "torch's own way in": (
            call("torch.storage", "_load_from_bytes", b"C\x01x") + b".",
            "torch.storage._load_from_bytes",
        ),
        "torch.load": (call("torch", "load", text("x")) + b".", "torch.load"),
        "torch.hub": (call("torch.hub", "load", text("x")) + b".", "torch.hub.load"),
        "codecs": (call("_codecs", "lookup", text("x")) + b".", "_codecs.lookup"),
        "copyreg": (call("copyreg", "_reconstructor", b"N") + b".", "copyreg._reconstructor"),
        "pickle in pickle": (call("pickle", "loads", b"C\x01.") + b".", "pickle.loads"),
        "numpy's": (call("numpy", "load", text("x")) + b".", "numpy.load"),
        "aliased by the memo": (b"cos\nsystem\nq\x00" + b"h\x00(" + text(touch) + b"tR.", "os.system"),
        "by stack": (text("os") + text("system") + b"\x93(" + text(touch) + b"tR.", "os.system"),
        "by stack and memo": (text("os") + b"q\x00" + text("system") + b"q\x01h\x00h\x01\x93.", "os.system"),
        "a module that is no text": (b"K\x01" + text("system") + b"\x93.", "no name"),
        "instance": (b"(" + text(touch) + b"ios\nsystem\n.", "os.system"),
        "old object": (b"(cos\nsystem\n" + text(touch) + b"o.", "os.system"),
        "new object": (b"cos\nsystem\n(" + text(touch) + b"t\x81.", "os.system"),
        "new object with names": (b"cos\nsystem\n(" + text(touch) + b"t}\x92.", "os.system"),
        "getattr of anything": (call("builtins", "getattr", b"cbuiltins\ndict\n", text("pop")) + b".", "getattr"),
        "getattr of a record": (
            call("builtins", "getattr", call("argparse", "Namespace"), text("__class__")) + b".",
            "getattr",
        ),
        "getattr of a name within": (
            call("builtins", "getattr", b"cfairseq\nA\n", call("fairseq", "B")) + b".",
            "getattr",
        ),
        "a call of a text": (text("os.system") + b"(" + text(touch) + b"tR.", "no function"),
        "a call of a record": (call("fairseq", "A") + b"(tR.", "no function"),
        "arguments that are no tuple": (b"ccollections\nOrderedDict\n]R.", "no function"),
        "state for a name": (b"cfairseq\nA\n}b.", "changes something"),
        "state for a list": (b"]}b.", "changes something"),
        "extension": (b"\x82\x01.", "instruction"),
        "extension of two bytes": (b"\x83\x01\x00.", "instruction"),
        "buffer outside": (b"\x97.", "instruction"),
        "persistent id in text": (b"Pstorage\n.", "instruction"),
        "persistent id where none belongs": (b"(" + text("storage") + b"tQ.", "storage"),
        "a decimal": (pickle.dumps(decimal.Decimal("1"), 2), "decimal.Decimal"),
        "a fraction": (pickle.dumps(fractions.Fraction(1, 2), 2), "fractions.Fraction"),
        "a date": (pickle.dumps(datetime.date(2020, 1, 1), 2), "datetime.date"),
        "an enum of somebody's": (pickle.dumps(Colour.red, 2), "Colour"),
    }


ATTACKS = _attacks()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_by_name_and_nothing_runs(attack, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    program, name = ATTACKS[attack]
    before = set(sys.modules)
    message = refused(unpickle, program, "x.bin")
    assert message.startswith("x.bin: ")
    assert name in message
    assert os.listdir(tmp_path) == []
    assert set(sys.modules) == before  # not even imported


def test_the_attacks_work_where_pickles_are_run(tmp_path, monkeypatch):
    """The guard of the test above: Python's own unpickler does what they ask for."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(ATTACKS["nested in containers"][0])
    assert os.listdir(tmp_path) == [MARKER]


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch.load", "fairseqx.A", "typing_extensions.A"])
def test_names_that_only_resemble_are_not_on_the_list(name):
    module, _, last = name.rpartition(".")
    assert not allowed(Global(module, last))
    assert allowed(Global("fairseq.models.x", "A"))
    assert not allowed(Global("fairseq.models.x", "A\nB"))


def bomb(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts)


BOMBS = {
    "a stack that never ends": bomb(b"N" * 30_000),
    "marks": bomb(b"(" * 30_000),
    "memo": bomb(*(b"Nr" + struct.pack("<I", i) for i in range(1_100_000))),
    "a memo's index": bomb(b"Nr\xff\xff\xff\xff" * 3, b"0" * 4),
    "a text that is not there": bomb(b"\x8d" + struct.pack("<Q", 2**62)),
    "bytes that are not there": bomb(b"\x8e" + struct.pack("<Q", 2**63)),
    "a bytearray that is not there": bomb(b"\x96" + struct.pack("<Q", 2**40)),
    "a text of 4 GiB": bomb(b"X\xff\xff\xff\xff"),
    "a negative text": bomb(b"T\xff\xff\xff\xff"),
    "a number of 2 GiB": bomb(b"\x8b\xff\xff\xff\x7f"),
    "a negative number of bytes": bomb(b"\x8b\xff\xff\xff\xff"),
    "a number of 255 bytes": bomb(b"\x8a\xff" + b"\1" * 255),
    "a number of a million digits": bomb(b"L" + b"9" * 1_000_000 + b"L\n."),
    "a line that never ends": bomb(b"c" + b"a" * 1_000_000),
    "a frame": bomb(b"\x95" + b"\xff" * 8),
    "copies of copies": bomb(b"N" + b"2\x86" * 15_000 + b"."),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_ends_early(kind, refused, monkeypatch):
    if kind != "memo":  # one at full size; the others need only be longer than the limit
        monkeypatch.setattr(machine, "MOST_INSTRUCTIONS", 20_000)
    refused(unpickle, BOMBS[kind], "x.bin")


LIST = b"]q\0(" + b"K\1" * 1000 + b"e0"  # memo 0: a list of 1,000 numbers
PAIRS = b"]q\0(" + b"".join(b"M" + struct.pack("<H", i) + b"N\x86" for i in range(1000)) + b"e0"
NAMED = b"}q\0(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(1000)) + b"u0"
COPIES = {
    "torch.Size": b"\x80\2" + LIST + b"ctorch\nSize\nq\x010(" + b"h\1h\0\x85R" * 100 + b"l.",
    "OrderedDict": b"\x80\2" + PAIRS + b"ccollections\nOrderedDict\nq\x010" + b"h\1h\0\x85R0" * 100 + b"N.",
    "bytes": b"\x80\2" + text("a" * 9000) + b"q\x000" + b"c_codecs\nencode\nq\x010("
    + (b"h\1h\0" + text("latin1") + b"\x86R") * 100 + b"l.",
    "named arguments": b"\x80\4" + NAMED + b"cargparse\nNamespace\nq\x010(" + b"h\1)h\0\x92" * 100 + b"l.",
}  # fmt: skip


@pytest.mark.parametrize("kind", COPIES)
def test_what_a_pickle_copies_is_counted(kind, refused, monkeypatch):
    """A few bytes of a pickle can copy a large object that it has made before."""
    read(COPIES[kind])
    monkeypatch.setattr(machine, "MOST_COPIED", 2**17)
    assert "copies its own objects" in refused(unpickle, COPIES[kind], "x.bin")


def test_a_pickle_may_not_be_longer_than_any_checkpoints(monkeypatch, refused):
    monkeypatch.setattr(machine, "MOST_BYTES", 100)
    assert read(pickle.dumps("x" * 50, 2)) == "x" * 50
    assert "more than 100 bytes" in refused(unpickle, pickle.dumps("x" * 200, 2), "x")
    monkeypatch.setattr(machine, "MOST_INSTRUCTIONS", 5)
    assert "more than 5 instructions" in refused(unpickle, b"NNNNNNNN.", "x")


def test_keys_that_would_collide_cost_nothing():
    """Tuples and huge numbers can be made to have one hash: as keys they are told apart by what they are, not equal."""
    keys = [(2**61 - 1) * i for i in range(2, 20_000)]
    assert len({hash(key) for key in keys}) == 1
    program = pickle.dumps(list(zip(keys, keys)), 2)
    found = read(b"\x80\x02}(" + b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in keys) + b"u.")
    assert len(found) == len(keys)
    assert len(program) > 0
    circle = b"]q\x00h\x00\x85a0}(h\x00\x85Nu."
    assert len(read(circle)) == 1  # not even a circle is hashed


@pytest.mark.parametrize("at", range(0, 120, 7))
def test_a_pickle_that_is_cut_short(at, refused):
    program = pickle.dumps({"a": [1, 2.5, "text", (None, True)], "b": argparse.Namespace(x=1)}, 2)
    refused(unpickle, program[: min(at, len(program) - 1)], "x")


@pytest.mark.parametrize(
    "program",
    [b".", b"0.", b"1.", b"2.", b"a.", b"Na.", b"NNs.", b"NNa.", b"(NNu.", b"}(Nu.", b"(Nd.", b"h\x00.", b"R.", b"b.",
     b"(.", b"\x85.", b"\x93.", b"Q.", b"g1\n.", b"gx\n.", b"Ix\n.", b"Fx\n.", b"S'a\\x41'\n.",
     b"X\1\0\0\0\xff.", b"\x80\x09N.", b"N(.", b"o.", b"(o.", b"ix\n", b"\x94."],
    ids=repr,
)  # fmt: skip
def test_programs_that_make_no_sense(program, refused):
    refused(unpickle, program, "x")


# --- tensors ---------------------------------------------------------------------------------------------------------


def rebuilt(*arguments: bytes, name: str = "_rebuild_tensor_v2") -> bytes:
    return b"\x80\x02" + call("torch._utils", name, *arguments) + b"."


def storage_of(found):
    return Storage(pathlib.Path("x"), "F32", 12, 0)


def number(n: int) -> bytes:
    return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)


def sizes(*numbers: int) -> bytes:
    return b"(" + b"".join(map(number, numbers)) + b"t"


def test_a_tensor_is_a_window_on_its_storage():
    program = rebuilt(b"NQ", number(2), sizes(2, 3), sizes(3, 1), b"\x89", b"N")
    tensor, _ = unpickle(program, "x", 0, storage_of)
    assert isinstance(tensor, Tensor)
    assert (tensor.first, tensor.shape, tensor.strides) == (2, (2, 3), (3, 1))


LIES = {
    "beyond the storage": (number(0), sizes(13), sizes(1)),
    "a first beyond the storage": (number(13), sizes(1), sizes(1)),
    "strides beyond the storage": (number(0), sizes(2, 2), sizes(11, 2)),
    "a negative first": (number(-1), sizes(1), sizes(1)),
    "a negative size": (number(0), sizes(-1), sizes(1)),
    "a negative stride": (number(3), sizes(2), sizes(-1)),
    "sizes without strides": (number(0), sizes(2, 2), sizes(1)),
    "a size that is no number": (number(0), b"(Nt", sizes(1)),
    "a size that is true": (number(0), b"(\x88t", sizes(1)),
    "too many axes": (number(0), sizes(*[1] * 65), sizes(*[1] * 65)),
    "sizes that overflow": (number(0), sizes(2**62, 2**62), sizes(0, 0)),
    "sizes that overflow to nothing": (number(0), sizes(2**62, 2**62, 0), sizes(0, 0, 0)),
    "a repetition that is a bomb": (number(0), sizes(2**40), sizes(0)),
    "sizes that are a text": (number(0), text("ab"), sizes(1, 1)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_tensor_that_lies_is_refused(lie, refused):
    refused(unpickle, rebuilt(b"NQ", *LIES[lie], b"\x89", b"N"), "x", 0, storage_of)


@pytest.mark.parametrize(
    "arguments", [(), (b"N",), (b"NQ",), (b"NQ", b"N", b"N", b"N"), (b"NQ", *[number(0)] * 9)], ids=len
)
def test_a_call_with_odd_arguments_is_refused(arguments, refused):
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"):
        refused(unpickle, rebuilt(*arguments, name=name), "x", 0, storage_of)
