"""Read any checkpoint file: its first bytes say what it is, whatever its name says.

    80 …               a pickle: torch before 1.6
    50 4b 03 04 "PK"   a zip file: torch since 1.6
    N, then "{"        safetensors: a length of 8 bytes, then JSON
    8x, de, df         MessagePack's map: flax

A folder in the Hugging Face layout has one of the files below, the first that is there is read; an index names the
files of a checkpoint that was cut into several.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.checkpoint.msgpack import read_msgpack
from xlsr_ref.checkpoint.safetensors_file import read_safetensors
from xlsr_ref.checkpoint.tensors import Tensor, Tensors, map_file
from xlsr_ref.checkpoint.torch_file import read_torch
from xlsr_ref.checkpoint.torch_legacy import SIGNATURE, read_torch_legacy
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, listed, model_folder, read_json, shown

WEIGHTS = (  # of a folder; the best first
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "flax_model.msgpack",
)
SIDE_FILES = (  # of a Hugging Face folder: kept as they are
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
)
MOST_SHARED, SMALL = 8, 2**26  # tensors may share their numbers: together at most so many files, and bytes beyond
STATE_KEYS = ("model", "state_dict", "model_state_dict")  # under which trainers keep the state dict


class Found(NamedTuple):
    """A file's tensors by name, and what else was saved beside them (fairseq's cfg, args and task_state)."""

    tensors: Tensors
    beside: dict[str, Any]
    form: str  # "safetensors", "torch", "torch before 1.6" or "flax"
    left: tuple[str, ...] = ()  # entries of the state dict that are no tensors


def read_file(path: str | Path) -> Found:
    """The tensors of one file of any format. Reads no number and runs nothing. Raises WeightsError."""
    path = Path(path)
    data = map_file(path)
    start = data[:16].tobytes()
    if path.suffix == ".safetensors" or (start[8:9] == b"{" and start[4:8] == bytes(4)):
        return _from_safetensors(path, data)
    if start[:2] == b"PK":
        return _from_torch(read_torch(path, data), path, "torch")
    if start[:1] == b"\x80" and (start[2:14] == SIGNATURE or start[1:2] in (b"\2", b"\3", b"\4", b"\5")):
        return _from_torch(read_torch_legacy(path, data), path, "torch before 1.6")
    if start[0] >> 4 == 8 or start[0] in (0xDE, 0xDF):
        return Found(from_flax(read_msgpack(path, data)), {}, "flax")
    if b"\0ustar" in data[250:264].tobytes() or start[:2] == b"\x1f\x8b":
        raise WeightsError(f"{shown(path)} is an archive: unpack it first")
    if start[:7] == b"version":
        raise WeightsError(f"{shown(path)} is a Git LFS pointer, not the file itself: run git lfs pull")
    found = f"its first bytes are {start[:8].hex(' ')}"
    raise WeightsError(f"{shown(path)} is no safetensors, torch or flax file: {found}")


def read_folder(folder: str | Path) -> tuple[Found, tuple[Path, ...]]:
    """The tensors of a folder in the Hugging Face layout, and their files. Raises WeightsError.

    What an index of safetensors names is safetensors, whatever its first bytes say.
    """
    folder = model_folder(folder, WeightsError)
    name = next((name for name in WEIGHTS if os.path.lexists(folder / name)), None)
    if name is None:
        raise WeightsError(f"{shown(folder)} has no weights: expected {', '.join(WEIGHTS)}")
    if not name.endswith(".index.json"):
        return read_file(folder / name), (folder / name,)
    weight_map = _weight_map(folder / name)
    tensors: Tensors = {}
    form, files = "", shards_of(folder / name)
    for file in files:
        shard = (_from_safetensors if name.startswith("model.safetensors") else read_file)(folder / file)
        lacking = [tensor for tensor, home in weight_map.items() if home == file and tensor not in shard.tensors]
        if lacking:
            raise WeightsError(f"{shown(folder / file)} lacks what {name} says it has: {listed(lacking)}")
        tensors |= {tensor: value for tensor, value in shard.tensors.items() if weight_map.get(tensor, file) == file}
        form = shard.form
    return Found(tensors, {}, form), tuple(folder / file for file in files)


def shards_of(index: Path) -> list[str]:
    """The files that an index names, in order. Raises WeightsError."""
    return sorted(set(_weight_map(index).values()))


def _weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{shown(index)}: weight_map must be an object that gives each tensor's file")
    for name, file in weight_map.items():
        if not isinstance(file, str) or not re.fullmatch(r"\w[\w.-]{,250}", file):  # no folder, "..", drive letter
            found = f"{brief(name)} must be a file name in this folder, found {brief(file)}"
            raise WeightsError(f"{shown(index)}: the shard of {found}")
    return weight_map


def _from_safetensors(path: Path, data: np.ndarray | None = None) -> Found:
    return Found(read_safetensors(path, data), {}, "safetensors")


def _from_torch(saved: Any, path: Path, form: str) -> Found:
    """The state dict in what torch.save was given, whether it is that itself or holds it, and what stands beside it."""
    if isinstance(saved, Tensor) or not isinstance(saved, dict):
        raise WeightsError(f"{shown(path)} holds no state dict, a dictionary of tensors: save model.state_dict()")
    state, beside = saved, {}
    for key in STATE_KEYS:
        if isinstance(saved.get(key), dict) and any(isinstance(value, Tensor) for value in saved[key].values()):
            state, beside = saved[key], {str(k): v for k, v in saved.items() if isinstance(k, str) and k != key}
            break
    tensors = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    left = tuple(str(name) for name in state if not isinstance(name, str) or name not in tensors)
    if not tensors:
        raise WeightsError(f"{shown(path)} holds no tensors: its keys are {listed(map(str, saved), 6)}")
    for name, tensor in tensors.items():
        if tensor.storage.offset < 0:
            raise WeightsError(f"{shown(path)}: the numbers of {brief(name)} are not in the file")
    total, size = sum(tensor.nbytes for tensor in tensors.values()), path.stat().st_size
    if total > MOST_SHARED * size + SMALL:
        raise WeightsError(f"{shown(path)} has {size:,} bytes, but its tensors would have {total:,}: refused")
    if all(name.startswith("module.") for name in tensors):  # what torch's DataParallel puts before every name
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return Found(tensors, beside, form, left)


# --- flax ------------------------------------------------------------------------------------------------------------


def from_flax(tensors: Tensors) -> Tensors:
    """flax's arrays under the names, and in the layouts, that transformers' torch models have.

    A kernel is called weight, and has its axes in the opposite order: (K, C_in, C_out) → (C_out, C_in, K) for a
    convolution, (C_in, C_out) → (C_out, C_in) for a linear layer. A norm's scale is called weight.
    """
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        stem, _, leaf = name.removeprefix("params.").rpartition(".")
        value = tensor.transposed() if leaf == "kernel" else tensor
        ours = f"{stem}.{'weight' if leaf in ('kernel', 'scale', 'embedding') else leaf}" if stem else leaf
        if ours in renamed:
            raise WeightsError(f"the file has two arrays for {brief(ours)}: refused")
        renamed[ours] = value
    return renamed
