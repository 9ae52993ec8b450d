"""Compare two checkpoints tensor by tensor, or two recordings of a network's stages, and name the first that departs.

A checkpoint is any file or folder that read.py reads; names of different toolkits meet under transformers' names. A
recording is an .npz of arrays: "stage encoder.layers.0" and the like, in the order in which they were computed, so the
first that departs is where to look (compare.py says how stages are measured).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.checkpoint.compare import relative_error
from xlsr_ref.checkpoint.floats import widened
from xlsr_ref.checkpoint.open import open_weights
from xlsr_ref.checkpoint.tensors import FLOATS, Tensor
from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, shown

SPELLINGS = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
LARGEST_RECORDING = 2**31


class Verdict(NamedTuple):
    """What two of a kind have in common, and where they depart: one line for each tensor or stage, in order."""

    compared: int
    identical: int
    departures: tuple[str, ...]
    what: str  # "tensors" or "stages"


def verify(first: str | Path, second: str | Path, tolerance: float = 0.0) -> Verdict:
    """Compare ``first`` with ``second``, the reference. ``tolerance`` is max |a − b| / max |b| of one tensor or stage.

    0, the default, asks for the same numbers to the bit, after both are read as float64. Raises WeightsError.
    """
    a, b = Path(first), Path(second)
    if not tolerance >= 0:
        raise WeightsError(f"a tolerance of {tolerance} makes no sense: give 0 or more")
    if (a.suffix == ".npz") != (b.suffix == ".npz"):
        raise WeightsError("one is a recording of stages (.npz), the other is not: give two of a kind")
    return _stages(a, b, tolerance) if a.suffix == ".npz" else _tensors(a, b, tolerance)


def _tensors(a: Path, b: Path, tolerance: float) -> Verdict:
    ours, reference = ({_spelled(name): t for name, t in open_weights(path).tensors.items()} for path in (a, b))
    return _verdict(ours, reference, _distance, tolerance, "tensors")


def _stages(a: Path, b: Path, tolerance: float) -> Verdict:
    def distance(ours: np.ndarray, reference: np.ndarray) -> float:
        return 0.0 if np.array_equal(ours, reference, equal_nan=True) else relative_error(ours, reference)

    return _verdict(_recording(a), _recording(b), distance, tolerance, "stages")


def _verdict(
    ours: Mapping[str, Any],
    reference: Mapping[str, Any],
    distance: Callable[[Any, Any], float],
    tolerance: float,
    what: str,
) -> Verdict:
    lines, identical = [], 0
    for name, expected in reference.items():
        if name not in ours:
            lines.append(f"{brief(name)}: only in the second")
        elif ours[name].shape != expected.shape:
            lines.append(f"{brief(name)}: shape {ours[name].shape}, in the second {expected.shape}")
        else:
            error = distance(ours[name], expected)
            identical += error == 0
            if not error <= tolerance:
                lines.append(f"{brief(name)}: relative error {error:.3g} > {tolerance:.3g}")
    lines += [f"{brief(name)}: only in the first" for name in ours if name not in reference]
    return Verdict(len(reference), identical, tuple(lines), what)


def _spelled(name: str) -> str:
    for new, old in SPELLINGS.items():
        name = name.removesuffix(new) + old if name.endswith(new) else name
    return name


def _distance(a: Tensor, b: Tensor) -> float:
    """max |a − b| / max |b|, piece by piece; 0 only where every number is the same, NaN included."""
    if a.dtype not in FLOATS or b.dtype not in FLOATS:
        return 0.0 if a.dtype == b.dtype and np.array_equal(_bytes(a), _bytes(b)) else float("inf")
    if a.nbytes == b.nbytes and a.dtype == b.dtype and a.contiguous and b.contiguous:
        pairs: Iterable[tuple[np.ndarray, np.ndarray]] = zip(a.pieces(), b.pieces())
    else:
        pairs = [(a.read().reshape(-1), b.read().reshape(-1))]
    largest = error = 0.0
    for x, y in pairs:
        x64, y64 = widened(x).astype(np.float64), widened(y).astype(np.float64)
        same = (x64 == y64) | (np.isnan(x64) & np.isnan(y64))
        with np.errstate(invalid="ignore"):
            apart = np.abs(x64 - y64)[~same]
        if len(apart) and not np.isfinite(apart).all():
            return float("inf")
        error = max(error, float(apart.max(initial=0.0)))
        largest = max(largest, float(np.abs(y64[np.isfinite(y64)]).max(initial=0.0)))
    return error / largest if largest else error


def _bytes(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.read().tobytes(), np.uint8)


def _recording(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in an .npz file, in its order; no pickles."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_RECORDING:
                raise WeightsError(f"{shown(path)} would unpack to more than {LARGEST_RECORDING:,} bytes: refused")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except OSError as problem:
        raise WeightsError(f"{shown(path)} cannot be read: {problem.strerror or 'it is damaged'}") from None
    except WeightsError:
        raise
    except Exception as problem:  # zipfile and NumPy raise many kinds for a damaged file
        raise WeightsError(
            f"{shown(path)} is no .npz file, or damaged: {' '.join(str(problem).split())[:200]}"
        ) from None
    return {name: array for name, array in found.items() if array.dtype.kind in "fiub"}
