"""What the tests of the readers share: files in torch's formats, made without torch, and a check of refusals."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.errors import WeightsError

GOLDEN = Path(__file__).parents[1] / "golden"
FOREIGN = GOLDEN / "foreign"


class Refusals:
    """``refused(act, *arguments)`` is the one line with which ``act`` refuses."""

    def __call__(self, act, *arguments, **named) -> str:
        with pytest.raises(WeightsError) as raised:
            act(*arguments, **named)
        message = str(raised.value)
        assert "\n" not in message
        assert 0 < len(message) < 4000
        return message


@pytest.fixture
def refused():
    return Refusals()


class TorchFiles:
    """Files as torch.save lays them out, around any pickle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def zip(
        self, program: bytes, storages: dict[str, bytes] | None = None, more: dict[str, bytes] | None = None, **how
    ):
        path = self.folder / "x.bin"
        with zipfile.ZipFile(path, "w", how.get("compression", zipfile.ZIP_STORED)) as archive:
            archive.writestr("x/data.pkl", program)
            for key, content in (storages or {}).items():
                archive.writestr(f"x/data/{key}", content)
            for name, content in (more or {}).items():
                archive.writestr(name, content)
        return path

    def legacy(self, program: bytes, keys: list[str], storages: list[tuple[int, bytes]]):
        path = self.folder / "x.bin"
        parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        parts += [program, pickle.dumps(keys, 2)]
        parts += [struct.pack("<q", count) + content for count, content in storages]
        path.write_bytes(b"".join(parts))
        return path

    @staticmethod
    def state(tensors: dict[str, tuple], dtype: str = "FloatStorage", protocol: int = 2) -> bytes:
        """The pickle of a state dict: name → (key, count, first, shape, strides), in torch's words."""
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, protocol)
        pickler.dtype = dtype
        pickler.dump({name: _Tensor(*about) for name, about in tensors.items()})
        return buffer.getvalue()


class _Storage:
    def __init__(self, key, count):
        self.key, self.count = key, count


class _Tensor:
    def __init__(self, key, count, first, shape, strides):
        self.storage, self.about = _Storage(key, count), (first, shape, strides)

    def __reduce__(self):
        return _Global("torch._utils", "_rebuild_tensor_v2"), (self.storage, *self.about, False, None)


class _Global:
    """Pickled as a name that need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("nothing is called")


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]  # the one in Python can be told what a global is
    dtype = "FloatStorage"

    def persistent_id(self, value):
        if isinstance(value, _Storage):
            return "storage", _Global("torch", self.dtype), value.key, "cpu", value.count
        return None

    def save_it(self, value):
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())

    dispatch = dict(pickle._Pickler.dispatch) | {_Global: save_it}  # type: ignore[attr-defined]


@pytest.fixture
def torch_files(tmp_path):
    return TorchFiles(tmp_path)


@pytest.fixture
def numbers():
    """Four float32, as bytes and as an array."""
    array = np.array([1.5, -2.0, 0.25, 8.0], np.float32)
    return array.tobytes(), array
