"""Turn any checkpoint into a clean safetensors folder: transformers', or one with the names of another toolkit.

    --to hf           a folder that transformers and xlsr_ref open
    --to fairseq      the same with fairseq's names in model.safetensors, config.json beside it
    --to torchaudio   the same with torchaudio's names
    --dtype           float32, float16 or bfloat16 in place of what the file has; int8 for the blocks (eight_bits.py)
    --merge-weight-norm   the positional convolution's one weight g · v / |v| in place of the pair

What is not asked for stays: a tensor keeps its bytes, and within one toolkit its name. The adapters of a multilingual
model come along. Tensors stream from file to file, so memory stays small; the new folder appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref import files
from xlsr_ref.checkpoint.eight_bits import NOTE, QUANT_METHOD, eight_bit_sources, may_be_int8
from xlsr_ref.checkpoint.floats import from_float, widened
from xlsr_ref.checkpoint.languages import adapters_of
from xlsr_ref.checkpoint.names import SCHEMES, to_scheme
from xlsr_ref.checkpoint.open import Opened, open_checkpoint, to_json
from xlsr_ref.checkpoint.read import read_file
from xlsr_ref.checkpoint.safetensors_file import InMemory, Source, write_safetensors
from xlsr_ref.checkpoint.tensors import DTYPES, FLOATS, Tensor
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, listed, shown

GROWTH = 4  # how many times the size of its source a conversion may have: many tensors can share one storage
PAIRS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
STORED = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "int8": "F32"}  # int8: of the other tensors
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
    Raises WeightsError with one line; then ``target`` does not exist.
    """
    _require_sense(to, dtype, merge_weight_norm)
    checkpoint = open_checkpoint(source, settings, dictionary)
    weights = checkpoint.weights
    if dtype is not None and "quantization_config" in checkpoint.config:
        raise WeightsError(
            f"{shown(source)} has int8 weights, whose dtype stays: convert the model that they were made of"
        )
    sources, dropped = _sources(checkpoint, to, dtype, merge_weight_norm)
    nbytes = sum(one.nbytes for one in sources.values())
    if nbytes > GROWTH * sum(path.stat().st_size for path in weights.files) + 2**20:
        raise WeightsError(f"{shown(weights.files[0])} would grow to {nbytes:,} bytes: many tensors share few numbers")
    adapters = adapters_of(weights.folder) if weights.has_config else {}
    adapters = {name: path for name, path in adapters.items() if languages is None or name in languages}
    with whole_folder(Path(target)) as folder:
        write_safetensors(folder / "model.safetensors", sources, NOTE if dtype == "int8" else None)
        for language, path in adapters.items():
            own = read_file(path).tensors
            stored = {name: in_dtype(one, dtype, name) if dtype else one for name, one in own.items()}
            write_safetensors(folder / f"adapter.{language}.safetensors", stored)
        for name, content in checkpoint.files.items():
            (folder / name).write_bytes(content)
        (folder / "config.json").write_bytes(to_json(_config(checkpoint, dtype)))
    return Conversion(Path(target), checkpoint.kind, len(sources), nbytes, dropped)


def _require_sense(to: str, dtype: str | None, merge_weight_norm: bool) -> None:
    """Raise WeightsError for options that do not exist, or cannot go together."""
    if to not in SCHEMES:
        raise WeightsError(f"{brief(to)} is no toolkit: known are {', '.join(SCHEMES)}")
    if dtype is not None and dtype not in STORED:
        raise WeightsError(f"{brief(dtype)} is no dtype to store weights in: known are {', '.join(STORED)}")
    if dtype == "int8" and to != "hf":
        raise WeightsError(f"{to} has no place for the scales of int8 weights: --dtype int8 goes with --to hf")
    if merge_weight_norm and to == "hf":
        raise WeightsError("a merged weight norm cannot go with --to hf: transformers cannot open it")


def _sources(
    checkpoint: Opened, to: str, dtype: str | None, merge_weight_norm: bool
) -> tuple[dict[str, Source], tuple[str, ...]]:
    """What is to be written under each name, and the tensors that the other toolkit has no place for."""
    weights = checkpoint.weights
    group_norm = checkpoint.config.get("feat_extract_norm", "group") == "group"
    as_they_are = to == weights.scheme and not weights.has_other_names
    names = weights.named if as_they_are else to_scheme(weights.tensors, to, checkpoint.kind, group_norm)
    dropped = tuple(name for name in weights.tensors if name not in names)
    if lost := sorted(set(dropped) - {"masked_spec_embed"}):
        raise WeightsError(f"{to} has no place for {listed(lost)}")
    kept: dict[str, Source] = {name: tensor for name, tensor in weights.tensors.items() if name in names}
    if merge_weight_norm:
        kept = {name: one for name, one in kept.items() if not name.startswith(POSITIONAL) or name.endswith("bias")}
        kept |= _merged(checkpoint, dtype)
    sources: dict[str, Source] = {}
    for name, one in kept.items():
        written = names[name] if name in names else _beside(names)
        if dtype == "int8" and isinstance(one, Tensor) and may_be_int8(name):
            sources |= eight_bit_sources(one, written)
        else:
            sources[written] = in_dtype(one, dtype, name) if dtype else one
    return sources, dropped


def _config(checkpoint: Opened, dtype: str | None) -> dict[str, Any]:
    config = dict(checkpoint.config)
    if dtype is not None:
        config.pop("torch_dtype", None)
        config["dtype"] = "float32" if dtype == "int8" else dtype
    if dtype == "int8":
        config["quantization_config"] = {"quant_method": QUANT_METHOD}
    return config


def _merged(checkpoint: Opened, dtype: str | None) -> dict[str, Source]:
    """The positional convolution's weight, g · v / |v|; the length is taken over the first two axes.

    It is computed in float64 and rounded once, to ``dtype`` or to that of v.
    """
    tensors = checkpoint.weights.tensors
    for g_name, v_name in PAIRS:
        if POSITIONAL + g_name in tensors and POSITIONAL + v_name in tensors:
            g, v = tensors[POSITIONAL + g_name], tensors[POSITIONAL + v_name]
            long_g, long_v = (widened(one.read()).astype(np.float64) for one in (g, v))
            length = np.sqrt((long_v**2).sum(axis=(0, 1), keepdims=True))
            if g.shape != length.shape or not (length > 0).all():
                raise WeightsError("the weight norm cannot be merged: a tap of v has no length, or g another shape")
            name, stored = f"{POSITIONAL}weight", STORED[dtype] if dtype else v.dtype
            return {name: Converted(InMemory(long_g * long_v / length, "F64"), stored, name)}
    raise WeightsError("there is no weight norm to merge: the positional convolution has one weight already")


def _beside(names: Mapping[str, str]) -> str:
    """The name of the merged weight: that of the convolution's bias, with another leaf."""
    return names[f"{POSITIONAL}bias"].removesuffix("bias") + "weight"


# --- another dtype ---------------------------------------------------------------------------------------------------


class Converted:
    """A tensor of floats in another dtype, rounded to the nearest. What the new dtype cannot hold is refused."""

    def __init__(self, source: Source, dtype: str, name: str) -> None:
        self.source, self.dtype, self.name = source, dtype, name
        self.shape = source.shape
        self.nbytes = source.nbytes // DTYPES[source.dtype].itemsize * DTYPES[dtype].itemsize

    def pieces(self) -> Iterator[np.ndarray]:
        for piece in self.source.pieces():
            values = widened(piece)
            found = from_float(values, self.dtype)
            if self.dtype in ("F16", "BF16", "F32"):
                back = widened(found)
                lost = np.isfinite(values) & ~np.isfinite(back)
                if lost.any():
                    raise WeightsError(
                        f"{brief(self.name)} reaches {np.abs(values[lost]).max():g}, beyond {self.dtype}"
                    )
            yield found


def in_dtype(source: Source, dtype: str, name: str) -> Source:
    """``source`` as "float32", "float16" or "bfloat16"; itself where it is that, or holds no floats."""
    wanted = STORED[dtype]
    return Converted(source, wanted, name) if source.dtype in FLOATS and source.dtype != wanted else source


# --- the new folder ---------------------------------------------------------------------------------------------------


def require_free(target: Path) -> None:
    """Raise WeightsError where a new folder ``target`` cannot be made."""
    if os.path.lexists(target):
        raise WeightsError(f"{shown(target)} is there already: give a new name, or remove it first")
    if not target.parent.is_dir():
        raise WeightsError(f"{shown(target)} cannot be made: there is no folder {shown(target.parent)}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise WeightsError(f"{shown(target)} cannot be made: {shown(target.parent)} may not be written to")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``target`` when all went well and disappears when it did not."""
    require_free(target)
    try:
        with files.whole_folder(target) as unfinished:
            yield unfinished
    except FileExistsError:
        raise WeightsError(f"{shown(target)} has appeared meanwhile: nothing was written over it") from None
    except OSError as problem:
        raise WeightsError(f"{shown(target)} cannot be written: {problem.strerror or problem}") from None
