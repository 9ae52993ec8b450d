"""Compare two forward passes stage by stage, and name the first stage that departs.

The error of a stage is max |ours - reference| / max |reference|: one number, the same for every scale of values. A
wrong line spoils its own stage and everything after it, so the first name is where to look.

A stage of a larger model is compared through a sketch: L @ stage @ R with signs +-1 in L (rows, T) and R (C, columns),
divided by sqrt(T C). Every entry of the stage enters every entry of the sketch, and in the mean over the signs the
square of a sketched error is the mean square of the error, so nothing can hide and little is stored. The signs are
the bits of a SHAKE-256 hash: the same for every version of everything.
Letters: T frames, C channels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """max |ours - reference| / max |reference|; infinite where the shapes differ or ours is not finite."""
    if ours.shape != reference.shape:
        return math.inf
    error = np.abs(ours.astype(np.float64) - reference).max(initial=0.0)
    scale = np.abs(reference).max(initial=0.0)
    if not np.isfinite(error):
        return math.inf
    return float(error / scale) if scale > 0 else float(error)


def departures(
    ours: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], tolerance: float | Mapping[str, float]
) -> list[str]:
    """One line per stage of ``reference`` that is missing in ``ours`` or further away than ``tolerance``, in its order.

    ``tolerance`` is relative to the stage's largest value, one for all stages or one for each.
    """
    lines = []
    for name, expected in reference.items():
        limit = tolerance[name] if isinstance(tolerance, Mapping) else tolerance
        if name not in ours:
            lines.append(f"{name}: not computed")
        elif ours[name].shape != expected.shape:
            lines.append(f"{name}: shape {ours[name].shape}, expected {expected.shape}")
        elif not (error := relative_error(ours[name], expected)) <= limit:
            lines.append(f"{name}: relative error {error:.3g} > {limit:.3g}")
    return lines


def assert_same(
    ours: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    tolerance: float | Mapping[str, float],
    what: str = "",
) -> None:
    """Raise AssertionError that names the first stage that departs; see ``departures``."""
    wrong = departures(ours, reference, tolerance)
    if wrong:
        raise AssertionError(f"{what}: first departs at {wrong[0]} ({len(wrong)} of {len(reference)} stages depart)")


def _signs(rows: int, columns: int, seed: str) -> np.ndarray:
    """(rows, columns) of +1 and -1: the bits of SHAKE-256 of the seed and the shape."""
    count = rows * columns
    digest = hashlib.shake_256(f"{seed} {rows} {columns}".encode()).digest((count + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8), count=count)
    return (2.0 * bits - 1.0).reshape(rows, columns)


def sketch(stage: np.ndarray, rows: int = 16, columns: int = 8) -> np.ndarray:
    """Press a stage (T, C) into (rows, columns) float64 numbers that all depend on all of it."""
    T, C = stage.shape
    left, right = _signs(rows, T, "left"), _signs(C, columns, "right")
    return left @ stage.astype(np.float64) @ right / math.sqrt(T * C)


def sketches(stages: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The sketch of every stage, under its name."""
    return {name: sketch(stage) for name, stage in dict(stages).items()}
