"""safetensors, the format that holds nothing but numbers: a length, a JSON header, the tensors.

The library of that name reads and checks the header (no overlap, no hole, nothing outside); where each tensor stands
follows from the same header. xlsr_ref/params.py shows the format byte by byte and reads it without the library.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from weights_tools.errors import CheckpointError, shown
from weights_tools.tensors import DTYPES, Storage, Tensor, Tensors
from xlsr_ref.untrusted import LONGEST_JSON, parse_json


def read_safetensors(path: Path, data: np.ndarray) -> Tensors:
    """The tensors of a file, by name, in the header's order; ``data`` is the mapped file. Raises CheckpointError."""
    from safetensors import SafetensorError, safe_open

    what = shown(path)
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > min(LONGEST_JSON, len(data) - 8):
        raise CheckpointError(f"{what} is cut short or not safetensors: its header would have {length:,} bytes")
    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError, ValueError, RecursionError) as problem:
        raise CheckpointError(f"{what} is damaged: {' '.join(str(problem).split())[:200]}") from None
    header = parse_json(data[8 : 8 + length].tobytes(), f"{what}: the header", CheckpointError)
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if dtype not in DTYPES:
            raise CheckpointError(f"{what}: {shown(name)} has the dtype {shown(dtype)}, which is not implemented")
        storage = Storage(path, dtype, (end - begin) // DTYPES[dtype].itemsize, 8 + length + begin)
        try:
            tensors[name] = Tensor.of(storage, shape)
        except CheckpointError as error:
            raise CheckpointError(f"{what}: {shown(name)}: {error}") from None
    return tensors
