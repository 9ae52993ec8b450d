"""torch's file format before 1.6, in which old fairseq .pt and old pytorch_model.bin files are: pickles in a row.

    pickle    the magic number 0x1950a86a20f9469cfc6c
    pickle    the format's version, 1001
    pickle    {"protocol_version": 1001, "little_endian": True, "type_sizes": …}
    pickle    what was saved; each tensor's numbers are a persistent id, as in torch_file.py
    pickle    ["94021", "94055", …]   the storages' keys, in the order in which they follow
    for each  8 bytes: how many numbers; then the numbers

Nothing says beforehand where the storages stand: that is known once the last pickle has been read. They can be mapped,
though nothing aligns them. The pickles are read by unpickle.py, which runs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.tensors import DTYPES, Storage
from xlsr_ref.checkpoint.torch_file import one_storage, storage_id
from xlsr_ref.checkpoint.unpickle import unpickle
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, shown

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
SIGNATURE = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")  # how the first pickle spells it


def read_torch_legacy(path: Path, data: np.ndarray) -> Any:
    """What was saved: plain containers, Tensors and Records. ``data`` is the mapped file. Raises WeightsError."""
    what = shown(path)
    magic, at = unpickle(data, what)
    version, at = unpickle(data, what, at)
    machine, at = unpickle(data, what, at)
    if type(magic) is not int or magic != MAGIC or type(version) is not int or version != VERSION:
        raise WeightsError(f"{what} is a pickle, but not one of torch's checkpoints")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise WeightsError(f"{what} was written by a big-endian machine, which is not implemented")
    storages: dict[str, Storage] = {}
    views: list[tuple[Storage, Storage, int]] = []  # a storage that is a part of another, and where in it

    def persistent(found: Any) -> Storage:
        dtype, key, count = storage_id(found)
        whole = one_storage(storages, path, key, dtype, count)
        part = found[5] if len(found) == 6 else None
        if part is None:
            return whole
        if not isinstance(part, tuple) or len(part) != 3 or not all(type(n) is int and n >= 0 for n in part[1:]):
            raise WeightsError("the pickle has a storage with an odd view: refused")
        _, first, size = part
        if first + size > count:
            raise WeightsError(f"a view of the storage {brief(key)} reaches outside it: refused")
        view = Storage(path, dtype, size)
        views.append((view, whole, first))
        return view

    value, at = unpickle(data, what, at, persistent)
    keys, at = unpickle(data, what, at)
    _place(storages, keys, data, at, what)
    for view, whole, first in views:
        view.offset = whole.offset + first * DTYPES[whole.dtype].itemsize
    return value


def _place(storages: dict[str, Storage], keys: Any, data: np.ndarray, at: int, what: str) -> None:
    """Say of each storage where its numbers begin; the first one's count stands at byte ``at``. Raises WeightsError."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise WeightsError(f"{what}: the list of storages does not fit the tensors: it is damaged")
    if len(keys) != len(storages):
        raise WeightsError(f"{what}: the list of storages names one twice: it is damaged")
    for key in keys:
        storage = storages[key]
        size = storage.count * DTYPES[storage.dtype].itemsize
        count = int.from_bytes(data[at : at + 8].tobytes(), "little", signed=True)
        if at + 8 + size > len(data):
            raise WeightsError(f"{what} is cut short: the storage {brief(key)} would end outside the file")
        if count != storage.count:
            raise WeightsError(f"{what}: the storage {brief(key)} has {count:,} numbers, promised {storage.count:,}")
        storage.offset = at + 8
        at += 8 + size
    if at != len(data):
        raise WeightsError(f"{what} has {len(data) - at:,} bytes after its last storage: it is damaged")
