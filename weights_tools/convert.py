"""Turn any checkpoint into a clean safetensors folder: transformers', or one with the names of another toolkit.

    --to hf           a folder that transformers and xlsr_ref open
    --to fairseq      the same with fairseq's names in model.safetensors, config.json beside it
    --to torchaudio   the same with torchaudio's names
    --dtype           float32, float16 or bfloat16 in place of what the file has
    --merge-weight-norm   the positional convolution's one weight g · v / |v| in place of the pair

What is not asked for stays: a tensor keeps its bytes, and within one toolkit its name. The adapters of a multilingual
model come along. Tensors stream from file to file, so memory stays small; the new folder appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from weights_tools.checkpoint import Checkpoint, open_checkpoint, to_json
from weights_tools.errors import CheckpointError, listed, shown
from weights_tools.languages import adapters_of
from weights_tools.names import SCHEMES, to_scheme
from weights_tools.read import read_file
from weights_tools.write import (
    STORED,
    Computed,
    Converted,
    Source,
    in_dtype,
    to_float,
    whole_folder,
    write_safetensors,
)

GROWTH = 4  # how many times the size of its source a conversion may have: many tensors can share one storage
PAIRS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
POSITIONAL = "encoder.pos_conv_embed.conv."


class Conversion(NamedTuple):
    """What was written."""

    target: Path
    kind: str
    tensors: int
    nbytes: int
    dropped: tuple[str, ...]  # tensors for which the other toolkit has no place


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str = "hf",
    dtype: str | None = None,
    merge_weight_norm: bool = False,
    settings: Mapping[str, Any] | None = None,
    dictionary: str | Path | None = None,
    languages: Collection[str] | None = None,
) -> Conversion:
    """Convert the checkpoint ``source`` into the new folder ``target``; the module's docstring explains the options.

    ``languages`` are those of a multilingual model to take along; None: all that are in its folder.
    Raises CheckpointError with one line; then ``target`` does not exist.
    """
    if to not in SCHEMES:
        raise CheckpointError(f"{shown(to)} is no toolkit: known are {', '.join(SCHEMES)}")
    if dtype is not None and dtype not in STORED:
        raise CheckpointError(f"{shown(dtype)} is no dtype to store weights in: known are {', '.join(STORED)}")
    if merge_weight_norm and to == "hf":
        raise CheckpointError("a merged weight norm cannot go with --to hf: transformers cannot open it")
    checkpoint = open_checkpoint(source, settings, dictionary)
    weights = checkpoint.weights
    names = (
        weights.named
        if to == weights.scheme
        else to_scheme(
            weights.tensors, to, checkpoint.kind, checkpoint.config.get("feat_extract_norm", "group") == "group"
        )
    )
    dropped = tuple(name for name in weights.tensors if name not in names)
    if set(dropped) - {"masked_spec_embed"}:
        raise CheckpointError(f"{to} has no place for {listed(sorted(set(dropped) - {'masked_spec_embed'}))}")
    sources: dict[str, Source] = {}
    merged = _merged(checkpoint, dtype) if merge_weight_norm else {}
    for name, tensor in (dict(weights.tensors) | merged).items():
        if name in dropped or (
            merged and name.startswith(POSITIONAL) and name not in merged and not name.endswith("bias")
        ):
            continue
        theirs = names[name] if name in names else _beside(names)
        sources[theirs] = in_dtype(tensor, dtype, name) if dtype else tensor
    nbytes = sum(one.nbytes for one in sources.values())
    if nbytes > GROWTH * sum(path.stat().st_size for path in weights.files) + 2**20:
        raise CheckpointError(
            f"{shown(weights.files[0])} would grow to {nbytes:,} bytes: many tensors share few numbers"
        )
    adapters = adapters_of(weights.folder) if (weights.folder / "config.json").exists() else {}
    adapters = {name: path for name, path in adapters.items() if languages is None or name in languages}
    with whole_folder(Path(target)) as folder:
        write_safetensors(folder / "model.safetensors", sources)
        for language, path in adapters.items():
            own = read_file(path).tensors
            stored = {name: in_dtype(one, dtype, name) if dtype else one for name, one in own.items()}
            write_safetensors(folder / f"adapter.{language}.safetensors", stored)
        for name, content in checkpoint.files.items():
            (folder / name).write_bytes(content)
        (folder / "config.json").write_bytes(to_json(_config(checkpoint, dtype)))
    return Conversion(Path(target), checkpoint.kind, len(sources), nbytes, dropped)


def _config(checkpoint: Checkpoint, dtype: str | None) -> dict[str, Any]:
    config = dict(checkpoint.config)
    if dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = dtype
    return config


def _merged(checkpoint: Checkpoint, dtype: str | None) -> dict[str, Source]:
    """The positional convolution's weight, g · v / |v|; the length is taken over the first two axes.

    It is computed in float64 and rounded once, to ``dtype`` or to that of v.
    """
    tensors = checkpoint.weights.tensors
    for g_name, v_name in PAIRS:
        if POSITIONAL + g_name in tensors and POSITIONAL + v_name in tensors:
            g, v = tensors[POSITIONAL + g_name], tensors[POSITIONAL + v_name]
            long_g, long_v = (to_float(one.read()).astype(np.float64) for one in (g, v))
            length = np.sqrt((long_v**2).sum(axis=(0, 1), keepdims=True))
            if g.shape != length.shape or not (length > 0).all():
                raise CheckpointError("the weight norm cannot be merged: a tap of v has no length, or g another shape")
            name, stored = f"{POSITIONAL}weight", STORED[dtype] if dtype else v.dtype
            return {name: Converted(Computed(long_g * long_v / length, "F64"), stored, name)}
    raise CheckpointError("there is no weight norm to merge: the positional convolution has one weight already")


def _beside(names: Mapping[str, str]) -> str:
    """The name of the merged weight: that of the convolution's bias, with another leaf."""
    return names[f"{POSITIONAL}bias"].removesuffix("bias") + "weight"
