"""Parameters: from the bytes of a safetensors file to a nested dict of arrays, checked by name and shape, and back.

A safetensors file is three things in a row:

    8 bytes     N, a little-endian integer
    N bytes     JSON: {"lm_head.bias": {"dtype": "F32", "shape": [78], "data_offsets": [0, 312]}, …}
    the rest    the tensors' numbers, row by row; offsets count from here and leave no hole

Nothing in it can run and nothing needs copying: a tensor is a view of the mapped file, at its offset, with its shape,
read from disk when a kernel first touches it. A lying header is refused before any view is made.
Names stay as the checkpoint has them: p["encoder"]["layers"]["0"]["attention"]["q_proj"]["weight"] is
"encoder.layers.0.attention.q_proj.weight", under p["wav2vec2"] where the file's names begin with "wav2vec2.".
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.errors import WeightsError
from xlsr_ref.files import whole_file
from xlsr_ref.foreign import read_foreign
from xlsr_ref.ops.tree import add_to, flatten, nest  # noqa: F401
from xlsr_ref.untrusted import LONGEST_JSON, model_folder, parse_json, read_json
from xlsr_ref.wav2vec2.config import CLASSIFIERS, Config
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED, Shapes, expected_shapes, parameter_count  # noqa: F401

Flat = dict[str, np.ndarray]

MOST_DIMENSIONS, MOST_ELEMENTS = 64, 2**58  # NumPy's, with elements of up to 16 bytes

FOREIGN = ("pytorch_model.bin", "pytorch_model.bin.index.json", "flax_model.msgpack")  # read by weights_tools

# What NumPy lacks is a record of one field that bears its name: nobody can mistake its bits for whole numbers.
BF16 = np.dtype([("BF16", "<u2")])
DTYPES: dict[str, np.dtype] = {
    **{"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": BF16, "C64": np.dtype("<c8")},
    **{f"{sign}{8 * size}": np.dtype(f"<{sign.lower()}{size}") for sign in "IU" for size in (1, 2, 4, 8)},
    **{name: np.dtype([(name, "u1")]) for name in ("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ")},
    "BOOL": np.dtype("?"),
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

# Names of what a second array of the same size is derived from (ops/derived.py) end so: every convolution's kernel.
PREPARED = (".conv.weight", f".conv.{PARAMETRIZED[1]}", f".conv.{CLASSIC[1]}")


# --- safetensors in and out ------------------------------------------------------------------------------------------


def read_safetensors(path: str | Path) -> Flat:
    """Read-only views of every tensor in the file, by name, in the header's order; bfloat16 has the dtype ``BF16``.

    Raises WeightsError for a file that the safetensors library would refuse, for a name that stands twice, and for what
    NumPy cannot hold. The file must stay as it is while its views live.
    """
    path = Path(path)
    mapped = _map(path)
    header_bytes = int.from_bytes(mapped[:8].tobytes(), "little")
    if header_bytes > min(LONGEST_JSON, len(mapped) - 8):
        raise WeightsError(f"{path} is cut short or not safetensors: its header would have {header_bytes:,} bytes")
    data = 8 + header_bytes
    if mapped[8:11].tobytes() == b"\xef\xbb\xbf":  # which other JSON may have
        raise WeightsError(f"{path}: the header is not valid JSON for safetensors: it has a byte order mark")
    header = parse_json(mapped[8:data].tobytes(), f"{path}: the header", WeightsError)
    notes = header.pop("__metadata__", None)
    if notes is not None and not (isinstance(notes, dict) and all(isinstance(note, str) for note in notes.values())):
        raise WeightsError(f"{path}: __metadata__ must hold texts only")
    entries = {name: _entry(f"{path}: tensor {shown(name)}", entry) for name, entry in header.items()}
    position = 0
    for name, (_, _, (begin, end)) in sorted(entries.items(), key=lambda item: item[1][2]):
        if begin != position:
            found = "overlaps another" if begin < position else f"leaves {begin - position:,} bytes unused before it"
            raise WeightsError(f"{path}: tensor {shown(name)} {found}: the header lies")
        position = end
    if data + position != len(mapped):
        found = f"{len(mapped):,} bytes, but its header promises {data + position:,}: it is cut short or damaged"
        raise WeightsError(f"{path} has {found}")
    return {name: np.ndarray(shape, dtype, mapped, data + at[0]) for name, (dtype, shape, at) in entries.items()}


def _map(path: Path) -> np.memmap:
    """The file's bytes, mapped and read-only; NumPy frees the map when the last view dies."""
    try:
        if not os.path.isfile(path):  # a pipe or a device would never end
            raise WeightsError(f"{path} is {'not a regular file' if os.path.exists(path) else 'missing'}")
        if path.stat().st_size < 8:
            raise WeightsError(f"{path} has {path.stat().st_size} bytes: it is not a safetensors file")
        return np.memmap(path, np.uint8, mode="r")
    except OSError as problem:
        raise WeightsError(f"{path} cannot be read: {problem.strerror or problem}") from None


def _entry(what: str, entry: Any) -> tuple[np.dtype, tuple[int, ...], tuple[int, int]]:
    """One tensor's dtype, shape and (begin, end), from its part of the header."""

    def wholes(value: Any) -> bool:
        return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{what} must have dtype, shape and data_offsets, found {reprlib.repr(entry)}")
    name, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(name, str) or name not in DTYPES:
        raise WeightsError(f"{what} has the unknown dtype {reprlib.repr(name)}; known are {', '.join(DTYPES)}")
    # The sizes of an empty tensor, (0, 10**18, 10**18), multiply to 0 and still must fit NumPy.
    if not wholes(shape) or len(shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in shape) > MOST_ELEMENTS:
        raise WeightsError(f"{what} has the impossible shape {reprlib.repr(shape)}")
    if not wholes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise WeightsError(f"{what} has the impossible data_offsets {reprlib.repr(offsets)}")
    dtype, (begin, end) = DTYPES[name], offsets
    if math.prod(shape) * dtype.itemsize != end - begin:
        needed = f"{math.prod(shape) * dtype.itemsize:,} bytes"
        raise WeightsError(f"{what} is {name} of shape {tuple(shape)}, {needed}, but its offsets span {end - begin:,}")
    return dtype, tuple(shape), (begin, end)


def write_safetensors(path: str | Path, flat: Mapping[str, np.ndarray]) -> None:
    """Write float arrays as a safetensors file, through the library of that name; it appears whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    for name, array in flat.items():
        if array.dtype.kind != "f" or array.dtype not in DTYPE_NAMES:
            raise WeightsError(f"{shown(name)} is {array.dtype}; only float16, float32 and float64 arrays are written")
    arrays = {name: np.asarray(array, order="C") for name, array in flat.items()}  # the library writes memory as it is
    try:
        with whole_file(path) as unfinished:
            save_file(arrays, unfinished, metadata={"format": "pt"})  # the mark that older transformers insist on
    except (OSError, SafetensorError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise WeightsError(f"{path} cannot be written: {reason}") from problem


def to_float(array: np.ndarray, dtype: str | np.dtype) -> np.ndarray:
    """``array``, of any float dtype, as read-only float32 or float64; itself where it already is, and is aligned.

    A bfloat16 is the upper half of a float32: bits << 16 is exact, for subnormals, infinities and NaN too.
    """
    if array.dtype == dtype and array.flags.aligned:
        return array
    with np.errstate(over="ignore", invalid="ignore"):  # too large becomes inf, and NaN stays NaN, as in torch
        if array.dtype == BF16:
            bits = array["BF16"].astype(np.uint32)
            bits <<= 16
            converted = bits.view(np.float32).astype(dtype, copy=False)
        elif array.dtype.kind == "f":
            converted = array.astype(dtype)
        else:
            raise WeightsError(f"a tensor of dtype {DTYPE_NAMES.get(array.dtype, array.dtype)} holds no floats")
    converted.flags.writeable = False
    return converted


def read_checkpoint(folder: str | Path) -> tuple[Flat, tuple[Path, ...]]:
    """All tensors of a model folder, and their files: model.safetensors, or the shards that its index lists.

    Where there is none, weights_tools reads torch's or flax's file (foreign.py).
    """
    folder = model_folder(folder, WeightsError)
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if os.path.lexists(single):
        return read_safetensors(single), (single,)
    if os.path.lexists(index):
        return _read_shards(folder, index)
    if any(os.path.lexists(folder / name) for name in FOREIGN):
        return read_foreign(folder)
    raise WeightsError(f"{folder} has no weights: expected model.safetensors, its index, or {', '.join(FOREIGN)}")


def _read_shards(folder: Path, index: Path) -> tuple[Flat, tuple[Path, ...]]:
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: weight_map must be an object that gives each tensor's file")
    for name, file in weight_map.items():
        if not isinstance(file, str) or not re.fullmatch(r"\w[\w.-]{,250}", file):  # no folder, "..", drive letter
            found = reprlib.repr(file)
            raise WeightsError(f"{index}: the shard of {shown(name)} must be a file name in this folder, found {found}")
    flat: Flat = {}
    files = sorted(set(weight_map.values()))
    for file in files:
        shard = read_safetensors(folder / file)
        lacking = [name for name, home in weight_map.items() if home == file and name not in shard]
        if lacking:
            raise WeightsError(f"{folder / file} lacks what {index.name} says it has: {listed(lacking)}")
        flat |= {name: array for name, array in shard.items() if weight_map.get(name, file) == file}
    return flat, tuple(folder / file for file in files)


# --- the strict check ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LoadReport:
    """What a load used and what it left: printed by ``xlsr-ref inspect``."""

    files: tuple[str, ...]
    kind: str  # one of KINDS
    prefix: str  # "wav2vec2." or ""
    weight_norm: tuple[str, str]  # PARAMETRIZED or CLASSIC
    tensors: int  # used
    parameters: int  # in them
    stored: tuple[tuple[str, int], ...]  # (dtype name, number of used tensors), the commonest first
    dtype: str  # that was asked for
    mapped_bytes: int  # of used tensors that are views of the file
    copied_bytes: int  # of those that were converted or moved to an aligned place
    prepared_bytes: int  # of what is derived from them at the first pass, and kept beside them (ops/derived.py)
    surplus: tuple[str, ...]  # in the file and not used
    missing: tuple[str, ...]  # () or masked_spec_embed: only masking needs it
    language: str | None = None  # whose adapters, head and vocabulary these are; None: those of the folder itself

    @classmethod
    def of_arrays(cls, params: Flat, kind: str) -> LoadReport:
        """Of parameters that were not loaded, such as those that are being learnt: the report that says so."""
        return cls(
            files=(),
            kind=kind,
            prefix="wav2vec2.",
            weight_norm=PARAMETRIZED,
            tensors=len(params),
            parameters=sum(array.size for array in params.values()),
            stored=(),
            dtype=next(iter(params.values())).dtype.name,
            mapped_bytes=0,
            copied_bytes=0,
            prepared_bytes=0,
            surplus=(),
            missing=(),
        )

    def __str__(self) -> str:
        stored = ", ".join(f"{name} × {count}" for name, count in self.stored)
        sizes = (self.mapped_bytes, self.copied_bytes, self.prepared_bytes)
        mapped, copied, prepared = (f"{size / 2**20:,.1f} MiB" for size in sizes)
        missing = f"{listed(self.missing)} (only masking needs it)" if self.missing else "none"
        surplus = f"{len(self.surplus)}: {listed(self.surplus)}" if self.surplus else "none"
        switched = f"language {self.language}: its adapters, lm_head and vocabulary, from {self.files[-1]}"
        return "\n".join(
            (
                f"files    {listed(self.files)}",
                f"model    {self.kind}, prefix {self.prefix!r}, weight norm in {', '.join(self.weight_norm)}",
                f"used     {self.tensors} tensors, {self.parameters:,} parameters",
                f"stored   {stored}; used as {self.dtype}: {mapped} mapped, {copied} copied",
                f"prepared {prepared} beside them at the first pass: the convolutions' kernels",
                f"missing  {missing}",
                f"surplus  {surplus}",
                *([switched] if self.language is not None else []),
            )
        )


def load_params(
    folder: str | Path,
    config: Config,
    dtype: str = "float32",
    found: tuple[Flat, tuple[Path, ...]] | None = None,
    *,
    instead: Mapping[str, np.ndarray] | None = None,
    copy: bool = False,
) -> tuple[dict[str, Any], LoadReport]:
    """The parameters of a model folder, nested, as read-only arrays of ``dtype`` (float32 or float64), and the report.

    ``found`` are tensors and files that were read already; None: those of the folder. ``instead`` are tensors that take
    the place of the folder's own, such as a language's adapters. ``copy`` reads all into memory: nothing stays mapped.
    Strict: raises WeightsError, with the names, where a tensor is missing, has another shape than the config implies,
    or holds no floats. Nothing is ever initialised. What this kind of model does not need is left and reported.
    """
    if dtype not in ("float32", "float64"):
        raise WeightsError(f"dtype must be 'float32' or 'float64', found {reprlib.repr(dtype)}")
    flat, files = read_checkpoint(folder) if found is None else found
    stamps = _stamps(files)
    flat = flat | dict(instead or {})
    kind = config.architectures[0] if config.architectures else _kind_of(flat)
    weight_norm = CLASSIC if any(name.endswith("pos_conv_embed.conv.weight_v") for name in flat) else PARAMETRIZED
    candidates = {prefix: expected_shapes(config, kind, prefix, weight_norm) for prefix in ("wav2vec2.", "")}
    prefix, expected = max(candidates.items(), key=lambda candidate: len(candidate[1].keys() & flat.keys()))

    surplus = [name for name in flat if name not in expected]
    missing = [name for name in expected if name not in flat]
    stray = [name for name in instead or {} if name not in expected]
    needed = [name for name in missing if name != f"{prefix}masked_spec_embed"]
    used = {name: flat[name] for name in expected if name in flat}
    stored = {name: DTYPE_NAMES.get(array.dtype, str(array.dtype)) for name, array in used.items()}
    wrong = [f"{name} {a.shape} instead of {expected[name]}" for name, a in used.items() if a.shape != expected[name]]
    odd = [f"{name} {stored[name]}" for name in used if stored[name] not in ("F64", "F32", "F16", "BF16")]
    problems = list(_contradictions(config, kind, {name: array.shape for name, array in flat.items()}, prefix))
    if stray:
        problems = [f"nothing in this model is called {listed(stray)}, which was to be replaced"]
    if not problems and needed:
        problems += [f"a {kind} needs {listed(needed)}, which the weights lack"]
        problems += [f"they have instead {listed(surplus)}"] if surplus else []
    if not problems and wrong:
        problems += [f"the weights have other shapes than the config implies: {listed(wrong)}"]
    if not problems and odd:
        problems += [f"weights must be F64, F32, F16 or BF16, found {listed(odd)}"]
    if problems:
        raise WeightsError(f"{Path(folder)}: {'; '.join(problems)}")

    params = {name: _converted(name, array, dtype, copy) for name, array in used.items()}
    if changed := [path for path, stamp in _stamps(files).items() if stamp != stamps[path]]:
        raise WeightsError(f"{changed[0]} has changed while it was read: load it again")
    mapped = sum(array.nbytes for name, array in params.items() if array is used[name])
    report = LoadReport(
        files=tuple(path.name for path in files),
        kind=kind,
        prefix=prefix,
        weight_norm=weight_norm,
        tensors=len(params),
        parameters=sum(array.size for array in params.values()),
        stored=tuple(Counter(stored.values()).most_common()),
        dtype=dtype,
        mapped_bytes=mapped,
        copied_bytes=sum(array.nbytes for array in params.values()) - mapped,
        prepared_bytes=sum(array.nbytes for name, array in params.items() if name.endswith(PREPARED)),
        surplus=tuple(surplus),
        missing=tuple(missing),
    )
    return nest(params), report


def _converted(name: str, array: np.ndarray, dtype: str, copy: bool) -> np.ndarray:
    """One tensor as ``dtype``, in memory of its own where ``copy`` asks for it."""
    try:
        converted = to_float(array, dtype)
        if copy and converted is array:
            converted = array.copy()
            converted.flags.writeable = False
        return converted
    except MemoryError:
        needed = array.size * np.dtype(dtype).itemsize
        raise MemoryError(f"the tensor {shown(name)}, {needed:,} bytes as {dtype}") from None


def _stamps(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change of each file."""
    try:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
    except OSError as problem:
        raise WeightsError(f"{problem.filename} cannot be read: {problem.strerror or problem}") from None


def _kind_of(names: Iterable[str]) -> str:
    """For a config that names no architecture: the heads that are there decide."""
    heads = {name.split(".")[0] for name in names}
    tell = {"lm_head": "Wav2Vec2ForCTC", "quantizer": "Wav2Vec2ForPreTraining", "tdnn": "Wav2Vec2ForXVector"}
    tell |= {"projector": "Wav2Vec2ForSequenceClassification", "classifier": "Wav2Vec2ForAudioFrameClassification"}
    return next((kind for head, kind in tell.items() if head in heads), "Wav2Vec2Model")


def _contradictions(config: Config, kind: str, found: Shapes, prefix: str) -> Iterator[str]:
    """A sentence for each field of the config that the tensors' names or shapes deny.

    Two fields leave no trace in them, do_stable_layer_norm and num_attention_heads: a wrong value gives wrong numbers.
    """

    def layers(stem: str) -> int:
        number = re.compile(re.escape(stem) + r"\.(\d{1,4})\.")
        return max((int(match[1]) + 1 for match in map(number.match, found) if match), default=0)

    def size(name: str, axis: int, rank: int) -> int | None:
        return found[name][axis] if len(found.get(name, ())) == rank else None

    convs, blocks = f"{prefix}feature_extractor.conv_layers", f"{prefix}encoder.layers"
    n, depth = layers(convs), layers(blocks)
    bias, norm, kernel = f"{convs}.0.conv.bias", f"{convs}.1.layer_norm.weight", f"{convs}.*.conv.weight"
    width, dense = f"{prefix}feature_projection.projection.bias", f"{blocks}.0.feed_forward.intermediate_dense.bias"
    spellings = [f"{prefix}encoder.pos_conv_embed.conv.{v}" for _, v in (CLASSIC, PARAMETRIZED)]
    positional = next((name for name in spellings if name in found), "")
    per_group = size(positional, 1, 3)
    narrow, above = f"{blocks}.0.adapter_layer.linear_1.bias", f"{prefix}adapter.layers"
    labels = len(config.labels) if "classifier.bias" in found and kind in CLASSIFIERS[:2] else None
    evidence: list[tuple[str, Any, str]] = [  # field, what the weights say (None: nothing), the tensors that say so
        ("conv_bias", bias in found if n else None, bias),
        ("feat_extract_norm", ("layer" if norm in found else "group") if n > 1 else None, norm),
        ("conv_dim", [size(f"{convs}.{i}.conv.weight", 0, 3) for i in range(n)] or None, kernel),
        ("conv_kernel", [size(f"{convs}.{i}.conv.weight", 2, 3) for i in range(n)] or None, kernel),
        ("hidden_size", size(width, 0, 1), width),
        ("num_conv_pos_embeddings", size(positional, 2, 3), positional),
        ("num_conv_pos_embedding_groups", found[positional][0] // per_group if per_group else None, positional),
        ("num_hidden_layers", depth or None, f"{blocks}.{depth - 1}"),
        ("intermediate_size", size(dense, 0, 1), dense),
        ("vocab_size", size("lm_head.bias", 0, 1) if kind == "Wav2Vec2ForCTC" else None, "lm_head.bias"),
        ("adapter_attn_dim", size(narrow, 0, 1), narrow),
        ("num_adapter_layers", layers(above) or None if config.add_adapter else None, above),
        ("add_adapter", True if layers(above) else None, f"{above}.0.conv.weight"),
        ("use_weighted_layer_sum", True if kind in CLASSIFIERS and "layer_weights" in found else None, "layer_weights"),
        ("number of labels", size("classifier.bias", 0, 1) if labels else None, "classifier.bias"),
    ]
    for field, seen, where in evidence:
        said = labels if field == "number of labels" else getattr(config, field)
        said = list(said) if isinstance(said, tuple) else said
        if seen is None or seen == said or (isinstance(seen, list) and None in seen):
            continue
        by_name = field in ("conv_bias", "feat_extract_norm", "add_adapter", "use_weighted_layer_sum")
        proof = f"{'' if where in found else 'no '}{where}" if by_name else f"{_brief(seen)} ({where})"
        yield f"config.json says {field}={_brief(said)}, but the weights have {proof}"


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def shown(name: str) -> str:
    """A tensor's name for a message of one line: as it is, or quoted and cut where it is odd or very long."""
    return name if name.isprintable() and 0 < len(name) <= 160 else reprlib.repr(name)


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first ``most`` names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more
