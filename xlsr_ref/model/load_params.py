"""The strict check: the tensors of a checkpoint are those that its config implies, by name, shape and kind of number.

Names stay as the checkpoint has them: p["encoder"]["layers"]["0"]["attention"]["q_proj"]["weight"] is
"encoder.layers.0.attention.q_proj.weight", under p["wav2vec2"] where the file's names begin with "wav2vec2.".
Nothing is ever initialised, and nothing is copied that can be mapped. do_stable_layer_norm and num_attention_heads
leave no trace in the tensors: a wrong value of theirs cannot be seen here, and gives wrong numbers.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.checkpoint import infer
from xlsr_ref.checkpoint.eight_bits import may_be_int8, scale_of, unsound_scales
from xlsr_ref.checkpoint.floats import to_float
from xlsr_ref.checkpoint.read import read_folder
from xlsr_ref.checkpoint.tensors import DTYPE_NAMES, FLOATS, Flat, Tensors, arrays
from xlsr_ref.errors import WeightsError
from xlsr_ref.model.networks import architecture_of
from xlsr_ref.model.report import LoadReport
from xlsr_ref.ops.micro_kernel import BLOCKS
from xlsr_ref.ops.shapes import Shapes
from xlsr_ref.ops.tree import nest
from xlsr_ref.settings import Settings
from xlsr_ref.untrusted import brief, listed
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED

# Names of what a second array of the same size is derived from (ops/derived.py) end so: every convolution's kernel, and
# where weights are packed (ops/product.py) the matrix of every linear layer.
POSITIONAL = (f".conv.{PARAMETRIZED[1]}", f".conv.{CLASSIC[1]}")


class Fit(NamedTuple):
    """How a config's network is called in a checkpoint."""

    kind: str  # one of the config's kinds()
    prefix: str  # the network's name with a dot, or ""
    weight_norm: tuple[str, ...]  # PARAMETRIZED or CLASSIC; () in a network without one
    shapes: Shapes  # of every tensor that the network needs


def load_params(
    folder: str | Path,
    config: Settings,
    dtype: str = "float32",
    found: tuple[Tensors, tuple[Path, ...]] | None = None,
    *,
    instead: Mapping[str, np.ndarray] | None = None,
    copy: bool = False,
) -> tuple[dict[str, Any], LoadReport]:
    """The parameters of a model folder, nested, as read-only arrays of ``dtype`` (float32 or float64), and the report.

    ``found`` are tensors and files that were opened already; None: those of the folder. ``instead`` are tensors that
    take the place of the folder's own, such as a language's adapters. ``copy`` reads all into memory: nothing stays
    mapped. Strict: raises WeightsError, with the names, where a tensor is missing, has another shape than the config
    implies, or holds no floats. What this kind of model does not need is left and reported.
    """
    if dtype not in ("float32", "float64"):
        raise WeightsError(f"dtype must be 'float32' or 'float64', found {reprlib.repr(dtype)}")
    if found is None:
        read, files = read_folder(folder)
        found = read.tensors, files
    tensors, files = found
    stamps = _stamps(files)
    flat = arrays(tensors) | dict(instead or {})
    fit = _fit(config, flat)
    if dtype == "float64" and any(array.dtype == np.int8 for array in flat.values()):
        raise WeightsError(f"{Path(folder)}: int8 weights are computed in float32, not float64")
    if problems := _problems(config, fit, flat, instead or {}):
        raise WeightsError(f"{Path(folder)}: {'; '.join(problems)}")
    used = {name: flat[name] for name in fit.shapes if name in flat}
    params = {name: _converted(name, array, dtype, copy) for name, array in used.items()}
    if changed := [path for path, stamp in _stamps(files).items() if stamp != stamps[path]]:
        raise WeightsError(f"{changed[0]} has changed while it was read: load it again")
    mapped = sum(array.nbytes for name, array in params.items() if array is used[name])
    report = LoadReport(
        files=tuple(path.name for path in files),
        kind=fit.kind,
        prefix=fit.prefix,
        weight_norm=fit.weight_norm,
        tensors=len(params),
        parameters=sum(array.size for array in params.values()),
        stored=tuple(Counter(_stored(array) for array in used.values()).most_common()),
        dtype=dtype,
        mapped_bytes=mapped,
        copied_bytes=sum(array.nbytes for array in params.values()) - mapped,
        prepared_bytes=sum(array.nbytes for name, array in params.items() if _is_derived_from(name, array)),
        surplus=tuple(name for name in flat if name not in fit.shapes),
        missing=tuple(name for name in fit.shapes if name not in flat),
    )
    return nest(params), report


def _fit(config: Settings, flat: Flat) -> Fit:
    """Which kind, prefix and spelling of the weight norm fit the names best."""
    kind = config.architectures[0] if config.architectures else config.family + infer.task_of(infer.kind_of(flat))
    network = architecture_of(config)
    candidates = [
        Fit(kind, prefix, spelling, network.shapes(config, kind, prefix, spelling))
        for spelling in network.spellings
        for prefix in (f"{config.base}.", "")
    ]
    fit = max(candidates, key=lambda fit: len(fit.shapes.keys() & flat.keys()))
    eight_bits = [name for name in fit.shapes if may_be_int8(name) and name in flat and flat[name].dtype == np.int8]
    return fit._replace(shapes=fit.shapes | {scale_of(name): fit.shapes[name][:1] for name in eight_bits})


def _problems(config: Settings, fit: Fit, flat: Flat, instead: Mapping[str, np.ndarray]) -> list[str]:
    """Why the tensors cannot be this config's: one kind of reason, the first that there is; [] where they can."""
    expected = fit.shapes
    if stray := [name for name in instead if name not in expected]:
        return [f"nothing in this model is called {listed(stray)}, which was to be replaced"]
    stated = {one.name: getattr(config, one.name) for one in dataclasses.fields(config)}
    stated |= {"architectures": [fit.kind], infer.LABELS: len(config.labels)}
    shapes = {name: array.shape for name, array in flat.items()}
    if contradictions := infer.contradictions(stated, shapes, "config.json", fit.prefix):
        return contradictions
    if lacking := [name for name in expected if name not in flat and name != f"{fit.prefix}masked_spec_embed"]:
        surplus = [name for name in flat if name not in expected]
        has = [f"they have instead {listed(surplus)}"] if surplus else []
        return [f"a {fit.kind} needs {listed(lacking)}, which the weights lack", *has]
    used = {name: flat[name] for name in expected if name in flat}
    if wrong := [
        f"{name} {a.shape} instead of {expected[name]}" for name, a in used.items() if a.shape != expected[name]
    ]:
        return [f"the weights have other shapes than the config implies: {listed(wrong)}"]
    eight_bits = [name for name in used if scale_of(name) in used]
    odd = [
        f"{name} {kind}" for name, a in used.items() if (kind := _stored(a)) not in FLOATS and name not in eight_bits
    ]
    if odd:
        return [f"weights must be F64, F32, F16 or BF16, found {listed(odd)}"]
    return [problem for name in eight_bits if (problem := unsound_scales(used, name))][:1]


def _is_derived_from(name: str, array: np.ndarray) -> bool:
    packed = bool(BLOCKS) and array.dtype == np.float32
    return name.endswith((".weight" if packed else ".conv.weight", *POSITIONAL)) and array.ndim > 1


def _stored(array: np.ndarray) -> str:
    return DTYPE_NAMES.get(array.dtype) or str(array.dtype)


def _converted(name: str, array: np.ndarray, dtype: str, copy: bool) -> np.ndarray:
    """One tensor as ``dtype``, in memory of its own where ``copy`` asks for it."""
    try:
        converted = array if array.dtype == np.int8 else to_float(array, dtype)
        if copy and converted is array:
            converted = array.copy()
            converted.flags.writeable = False
        return converted
    except MemoryError:
        needed = array.size * np.dtype(dtype).itemsize
        raise MemoryError(f"the tensor {brief(name)}, {needed:,} bytes as {dtype}") from None


def _stamps(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change of each file."""
    try:
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
    except OSError as problem:
        raise WeightsError(f"{problem.filename} cannot be read: {problem.strerror or problem}") from None
