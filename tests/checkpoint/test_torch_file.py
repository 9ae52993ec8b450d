"""torch's two formats: what torch wrote is read byte for byte, and what torch never writes is refused."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.checkpoint.read import read_file, read_folder
from xlsr_ref.checkpoint.tensors import Storage, Tensor, arrays
from xlsr_ref.checkpoint.unpickle import STORAGES

FOREIGN = Path(__file__).parents[1] / "golden" / "foreign"


@pytest.mark.parametrize("name", ["odd.bin", "odd_old.bin"])
def test_every_dtype_and_every_kind_of_view(name):
    recorded = json.loads((FOREIGN / "odd" / "odd.json").read_text())
    found = read_file(FOREIGN / "odd" / name)
    assert found.form == ("torch" if name == "odd.bin" else "torch before 1.6")
    ours = arrays(found.tensors)
    assert ours.keys() == recorded["shapes"].keys()
    for key, array in ours.items():
        assert list(array.shape) == recorded["shapes"][key], key
        assert array.tobytes() == bytes(recorded["bytes"][key]), key
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        assert found.tensors[key].read().tobytes() == array.tobytes()
        assert b"".join(piece.tobytes() for piece in found.tensors[key].pieces()) == array.tobytes()
    shared = {found.tensors[f"view.{part}"].storage for part in ("whole", "transposed", "cut", "row", "number")}
    assert len(shared) == 1


def test_nothing_is_copied():
    views = arrays(read_file(FOREIGN / "torch" / "pytorch_model.bin").tensors)
    assert all(isinstance(array.base, np.memmap) for array in views.values() if array.size)


def test_a_file_made_here_is_read(torch_files, numbers):
    content, array = numbers
    program = torch_files.state({"a": ("0", 4, 0, (2, 2), (2, 1)), "b": ("0", 4, 1, (2, 2), (1, 1))})
    for path in (torch_files.zip(program, {"0": content}), torch_files.legacy(program, ["0"], [(4, content)])):
        ours = arrays(read_file(path).tensors)
        np.testing.assert_array_equal(ours["a"], array.reshape(2, 2))
        np.testing.assert_array_equal(ours["b"], [[array[1], array[2]], [array[2], array[3]]])


@pytest.mark.parametrize("kind", [name for name in STORAGES if name != "UntypedStorage"])
def test_every_storage(torch_files, kind):
    tensor = Tensor.of(Storage(Path("x"), STORAGES[kind], 3, 0), (3,))
    content = bytes(range(100))[: tensor.nbytes]
    program = torch_files.state({"a": ("7", 3, 0, (3,), (1,))}, kind)
    assert arrays(read_file(torch_files.zip(program, {"7": content})).tensors)["a"].tobytes() == content


def test_parameters_and_the_state_dict_that_trainers_wrap(torch_files, numbers):
    inner = {"a": ("0", 4, 0, (4,), (1,))}
    program = torch_files.state(inner)
    wrapped = b"\x80\x02}(X\x05\0\0\0model" + program[2:-1] + b"X\x05\0\0\0epochK\x03u."
    found = read_file(torch_files.zip(wrapped, {"0": numbers[0]}))
    assert (list(found.tensors), found.beside) == (["a"], {"epoch": 3})
    program = torch_files.state({"module.a": inner["a"], "module.b": inner["a"]})
    assert list(read_file(torch_files.zip(program, {"0": numbers[0]})).tensors) == ["a", "b"]


def test_shards_with_their_index(tmp_path, torch_files, numbers):
    for name, file in (("a", "one.bin"), ("b", "two.bin")):
        torch_files.zip(torch_files.state({name: ("0", 4, 0, (4,), (1,))}), {"0": numbers[0]}).rename(tmp_path / file)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.bin", "b": "two.bin"}}))
    found, files = read_folder(tmp_path)
    assert (sorted(found.tensors), [path.name for path in files]) == (["a", "b"], ["one.bin", "two.bin"])


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"weight_map": {"a": "../one.bin"}}', "file name in this folder"),
     ('{"weight_map": {"a": "/etc/x"}}', "file name in this folder"),
     ('{"weight_map": {"z": "one.bin"}}', "lacks what"), ('{"weight_map": {}}', "must be an object"),
     ("[]", "must hold a JSON object"), ("{", "not valid JSON"), ('{"weight_map": {"a": "none.bin"}}', "is missing")],
)  # fmt: skip
def test_an_index_that_lies(tmp_path, torch_files, numbers, refused, content, said):
    torch_files.zip(torch_files.state({"a": ("0", 4, 0, (4,), (1,))}), {"0": numbers[0]}).rename(tmp_path / "one.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(content)
    assert said in refused(read_folder, tmp_path)


# --- lies of the zip format ------------------------------------------------------------------------------------------


def test_a_storage_that_lies_about_its_size(torch_files, numbers, refused):
    for claimed in (5, 2**40, 2**62):
        program = torch_files.state({"a": ("0", claimed, 0, (claimed,), (1,))})
        assert "it lies" in refused(read_file, torch_files.zip(program, {"0": numbers[0]}))
        said = refused(read_file, torch_files.legacy(program, ["0"], [(claimed, numbers[0])]))
        assert "cut short" in said or "impossible shape" in said
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    assert "promised 4" in refused(read_file, torch_files.legacy(program, ["0"], [(3, numbers[0])]))
    assert "not in the file" in refused(read_file, torch_files.zip(program, {"1": numbers[0]}))
    both = torch_files.state({"a": ("0", 4, 0, (4,), (1,)), "b": ("0", 3, 0, (3,), (1,))})
    assert "two ways" in refused(read_file, torch_files.zip(both, {"0": numbers[0]}))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "does not fit"),
        (["1"], "does not fit"),
        (["0", "0"], "twice"),
        (["0", "1"], "does not fit"),
        ("0", "does not"),
    ],
)
def test_a_list_of_storages_that_lies(torch_files, numbers, refused, keys, said):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    assert said in refused(read_file, torch_files.legacy(program, keys, [(4, numbers[0])]))


def test_bytes_behind_the_last_storage(torch_files, numbers, refused):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    assert "3 bytes after" in refused(read_file, torch_files.legacy(program, ["0"], [(4, numbers[0] + b"abc")]))


NAMES = ["../x", "a/../../x", "/etc/passwd", "C:/x", "a\\..\\x", "x\0y"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out_of_the_folder(torch_files, numbers, refused, name):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    path = torch_files.zip(program, {"0": numbers[0]}, {"x/data/QQQQ" + "Q" * len(name): b"x"})
    old = b"x/data/QQQQ" + b"Q" * len(name)  # zipfile itself would not write such a name
    path.write_bytes(path.read_bytes().replace(old, name.encode().ljust(len(old), b"_")))
    assert "leads out of its folder" in refused(read_file, path)


def test_compressed_entries_are_refused(torch_files, refused):
    """A zip bomb needs compression: 10 MB of zeros in 10 kB."""
    path = torch_files.zip(
        torch_files.state({"a": ("0", 2_500_000, 0, (1,), (1,))}),
        {"0": bytes(10_000_000)},
        compression=zipfile.ZIP_DEFLATED,
    )
    assert path.stat().st_size < 100_000
    assert "compressed" in refused(read_file, path)


@pytest.mark.parametrize(
    ("field", "value", "said"), [(8, 1, "encrypted"), (10, 8, "compressed"), (34, 1, "another disk")]
)
def test_flags_that_torch_never_sets(torch_files, numbers, refused, field, value, said):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    path = torch_files.zip(program, {"0": numbers[0]})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.rindex(b"PK\1\2") + field, value)
    path.write_bytes(data)
    assert said in refused(read_file, path)


def test_links_are_refused(torch_files, numbers, refused):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    path = torch_files.zip(program, {"0": numbers[0]})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("x/data/1")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in refused(read_file, path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entries_twice_and_over_one_another(torch_files, numbers, refused):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    assert "twice" in refused(read_file, torch_files.zip(program, {"0": numbers[0]}, {"x/data/0": b"0123"}))
    path = torch_files.zip(program, {"0": numbers[0], "1": numbers[0]})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 42  # where the directory says that data/0 begins
    last = data.rindex(b"PK\1\2") + 42
    data[last : last + 4] = data[at : at + 4]
    path.write_bytes(data)
    assert "not where the directory says" in refused(read_file, path)
    grown = bytearray(torch_files.zip(program, {"0": numbers[0], "1": numbers[0]}).read_bytes())
    entry = grown.index(b"PK\1\2", grown.index(b"PK\1\2") + 1)
    for field in (20, 24):
        grown[entry + field : entry + field + 4] = struct.pack("<I", 60)
    path.write_bytes(grown)
    assert "lies over another" in refused(read_file, path)


def test_zip64(torch_files, numbers, tmp_path, refused):
    """The fields that large files need, in a small one: 32 bits are full, and the true sizes follow."""
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))})
    data = torch_files.zip(program, {"0": numbers[0]}).read_bytes()
    end = data.rindex(b"PK\5\6")
    entries, _, start = struct.unpack_from("<HII", data, end + 10)
    directory, larger = data[start:end], b""
    at = 0
    while at < len(directory):
        n, e, c = struct.unpack_from("<HHH", directory, at + 28)
        head = bytearray(directory[at : at + 46 + n])
        packed, unpacked = struct.unpack_from("<II", head, 20)
        (offset,) = struct.unpack_from("<I", head, 42)
        struct.pack_into("<II", head, 20, 2**32 - 1, 2**32 - 1)
        struct.pack_into("<I", head, 42, 2**32 - 1)
        extra = struct.pack("<HHQQQ", 1, 24, unpacked, packed, offset)
        struct.pack_into("<H", head, 30, len(extra))
        larger += bytes(head) + extra
        at += 46 + n + e + c
    place = start + len(larger)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, len(larger), start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, place, 1)
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    path = tmp_path / "zip64.bin"
    path.write_bytes(data[:start] + larger + record + locator + tail)
    np.testing.assert_array_equal(arrays(read_file(path).tensors)["a"], numbers[1])
    path.write_bytes(data[:start] + larger + record + struct.pack("<4sIQI", b"PK\6\7", 0, 2**63, 1) + tail)
    assert "zip64" in refused(read_file, path)


@pytest.mark.parametrize("size", [0, 1, 4, 21, 22, 100, 2000, 5000])
def test_a_zip_file_that_is_cut_short(tmp_path, refused, size):
    data = (FOREIGN / "odd" / "odd.bin").read_bytes()
    (tmp_path / "x.bin").write_bytes(data[:size])
    refused(read_file, tmp_path / "x.bin")


def test_what_is_no_checkpoint(tmp_path, torch_files, refused):
    def holding(content: bytes) -> str:
        (tmp_path / "x.bin").write_bytes(content)
        return refused(read_file, tmp_path / "x.bin")

    assert "is empty" in holding(b"")
    assert "Git LFS pointer" in holding(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "first bytes are" in holding(b"hello")
    assert "archive" in holding(b"\x1f\x8b\x08" + bytes(20))
    assert "not one of torch's" in holding(b"".join(pickle.dumps(value, 2) for value in (1, 2, {})))
    assert "no state dict" in refused(read_file, torch_files.zip(pickle.dumps([1, 2], 2)))
    assert "holds no tensors" in refused(read_file, torch_files.zip(pickle.dumps({"a": 1}, 2)))
    assert "TorchScript" in refused(read_file, torch_files.zip(b"N.", more={"x/constants.pkl": b"N."}))
    assert "big-endian" in refused(read_file, torch_files.zip(b"N.", more={"x/byteorder": b"big"}))
    assert "is missing" in refused(read_file, tmp_path / "nowhere")
    assert "not a regular file" in refused(read_file, tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "not a regular file" in refused(read_file, tmp_path / "pipe")


@pytest.mark.parametrize(
    "found",
    ["storage", ("storage",), ("module", 1, "0", "cpu", 4), ("storage", 1, "0", "cpu", 4)],
)
def test_persistent_ids_that_are_no_storages(torch_files, refused, found):
    program = pickle.dumps(found, 2)[:-1] + b"Q."
    refused(read_file, torch_files.zip(program))
    refused(read_file, torch_files.legacy(program, [], []))


def test_a_storage_may_not_be_any_name(torch_files, numbers, refused):
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))}).replace(b"torch\nFloatStorage", b"os\nsystem")
    assert "os.system" in refused(read_file, torch_files.zip(program, {"0": numbers[0]}))
    program = torch_files.state({"a": ("0", 4, 0, (4,), (1,))}).replace(b"torch\nFloatStorage", b"argparse\nNamespace")
    assert "unknown kind" in refused(read_file, torch_files.zip(program, {"0": numbers[0]}))
    program = torch_files.state({"a": ("../../etc/passwd", 4, 0, (4,), (1,))})
    assert "not in the file" in refused(read_file, torch_files.zip(program, {"0": numbers[0]}))
