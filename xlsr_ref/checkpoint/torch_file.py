"""torch's file format since 1.6 (pytorch_model.bin, fairseq's .pt): a zip file whose entries are not compressed.

    NAME/data.pkl     a pickle of the state dict, in which each tensor's numbers are a "persistent id":
                      ("storage", torch.FloatStorage, "17", "cpu", 1048576), a reference to
    NAME/data/17      1048576 floats, as they are: 4 MiB that can be mapped
    NAME/byteorder    "little"
    NAME/version      "3"

The pickle is read by unpickle.py, which runs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.tensors import DTYPES, Storage
from xlsr_ref.checkpoint.unpickle import STORAGES, Global, unpickle
from xlsr_ref.checkpoint.zip_directory import Entry, read_zip_directory
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, shown


def read_torch(path: Path, data: np.ndarray) -> Any:
    """What was saved: plain containers, Tensors and Records. ``data`` is the mapped file. Raises WeightsError."""
    what = shown(path)
    entries = read_zip_directory(data, what)
    pickles = [name for name in entries if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise WeightsError(f"{what} is a zip file with {len(pickles)} entries …/data.pkl: torch writes one")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise WeightsError(f"{what} is a TorchScript program, not a checkpoint: save its state_dict() instead")
    order = entries.get(f"{root}byteorder")
    if order is not None and data[order.offset : order.offset + min(order.size, 10)].tobytes() != b"little":
        raise WeightsError(f"{what} was written by a big-endian machine, which is not implemented")
    storages: dict[str, Storage] = {}

    def persistent(found: Any) -> Storage:
        dtype, key, count = storage_id(found)
        entry = entries.get(f"{root}data/{key}")
        if entry is None:
            raise WeightsError(f"the storage {brief(key)} is not in the file")
        return one_storage(storages, path, key, dtype, count, entry)

    here = entries[pickles[0]]
    value, _ = unpickle(data[here.offset : here.offset + here.size], what, 0, persistent)
    return value


def storage_id(found: Any) -> tuple[str, str, int]:
    """dtype, key and number of elements, from a persistent id. Raises WeightsError for any other than torch's."""
    if not isinstance(found, tuple) or len(found) not in (5, 6) or found[0] != "storage":
        raise WeightsError("the pickle has a persistent id that is no storage: refused")
    kind, key, count = found[1], found[2], found[4]
    if not isinstance(kind, Global) or kind.module.split(".")[0] != "torch" or kind.name not in STORAGES:
        raise WeightsError(f"the pickle has a storage of the unknown kind {brief(str(kind))}: refused")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise WeightsError("the pickle has a storage without a key or a size: refused")
    return STORAGES[kind.name], key, count


def one_storage(
    storages: dict[str, Storage], path: Path, key: str, dtype: str, count: int, entry: Entry | None = None
) -> Storage:
    """The storage with this key, which all its tensors share; it may not change its size, and must fit its entry."""
    known = storages.setdefault(key, Storage(path, dtype, count, -1 if entry is None else entry.offset))
    if (known.dtype, known.count) != (dtype, count):
        raise WeightsError(f"the storage {brief(key)} is described in two ways: refused")
    if entry is not None and count * DTYPES[dtype].itemsize > entry.size:
        found = f"{count:,} numbers of {dtype}, but has {entry.size:,} bytes"
        raise WeightsError(f"the storage {brief(key)} says that it has {found}: it lies")
    return known
