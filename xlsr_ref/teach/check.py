"""Checks: a gradient against finite differences, and two sets of arrays against each other, by name.

    numeric(θ) = (L(θ + h) − L(θ − h)) / 2h          L = Σ dy · forward(θ), dy random: every output counts

Central differences are wrong by O(h²) and by rounding, O(ε/h): in float64 with h = 1e-5 that is about 1e-10 of L.
The error of a tensor is its largest difference divided by the largest value of the reference: a gradient whose true
value is exactly zero has no such scale, and is judged by its absolute difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlsr_ref.params import flatten, nest


@dataclass(frozen=True)
class Row:
    """One tensor: how far mine is from the reference."""

    name: str
    shape: tuple[int, ...]
    absolute: float  # largest difference
    relative: float  # divided by the reference's largest value; the absolute one where that is 0


@dataclass(frozen=True)
class Comparison:
    """The rows, and the names that only one side has. Printed, it is a table with the worst first."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()  # in the reference, not in mine
    extra: tuple[str, ...] = ()  # in mine, not in the reference

    @property
    def worst(self) -> float:
        """The largest relative error; infinite where a name is missing or extra, NaN where a number is."""
        if self.missing or self.extra:
            return float("inf")
        return float(np.max([row.relative for row in self.rows], initial=0.0))

    def __str__(self) -> str:
        width = max((len(row.name) for row in self.rows), default=4)
        lines = [f"{'name':<{width}}  {'shape':<16}  absolute  relative"]
        for row in sorted(self.rows, key=lambda row: -row.relative):
            lines.append(f"{row.name:<{width}}  {row.shape!s:<16}  {row.absolute:8.1e}  {row.relative:8.1e}")
        lines += [f"missing: {name}" for name in self.missing] + [f"extra: {name}" for name in self.extra]
        return "\n".join(lines)


def compare(mine: Mapping[str, Any], reference: Mapping[str, Any]) -> Comparison:
    """Compare two dicts of arrays, flat or nested, by dotted name. Another shape counts as missing and extra."""
    ours, theirs = flatten(mine), flatten(reference)
    same = [name for name in theirs if name in ours and np.shape(ours[name]) == np.shape(theirs[name])]
    rows = (_row(name, np.asarray(ours[name]), np.asarray(theirs[name])) for name in same)
    missing, extra = (tuple(name for name in names if name not in same) for names in (theirs, ours))
    return Comparison(tuple(rows), missing, extra)


def gradient(
    forward: Callable[[np.ndarray, dict], tuple[np.ndarray, Any]],
    backward: Callable[[np.ndarray, Any], tuple[np.ndarray, dict]],
    x: np.ndarray,
    p: Mapping[str, Any] | None = None,
    *,
    rng: np.random.Generator,
    step: float = 1e-5,
    entries: int = 200,
) -> Comparison:
    """Hold ``backward`` against finite differences of ``forward``, in float64.

    ``forward(x, p) → (y, cache)``, ``backward(dy, cache) → (dx, grads)``; ``p`` and ``grads`` are nested alike. ``rng``
    draws the upstream gradient dy, and which entries are tried of a tensor with more than ``entries``.
    """
    inputs = {"x": x.astype(np.float64)} | {
        f"p.{name}": np.array(array, np.float64) for name, array in flatten(p or {}).items()
    }

    def run() -> tuple[np.ndarray, Any]:
        flat = {name.removeprefix("p."): array for name, array in inputs.items() if name != "x"}
        return forward(inputs["x"], nest(flat))

    y, cache = run()
    dy = rng.standard_normal(y.shape)
    dx, grads = backward(dy, cache)
    analytic = {"x": dx} | {f"p.{name}": array for name, array in flatten(grads).items()}
    mine: dict[str, Any] = {}
    numeric: dict[str, Any] = {}
    for name, array in inputs.items():
        if name not in analytic or np.shape(analytic[name]) != array.shape:
            numeric[name] = array  # reported as missing
            mine |= {name: analytic[name]} if name in analytic else {}  # and, of another shape, as extra
            continue
        tried = rng.permutation(array.size)[:entries]
        mine[name] = np.asarray(analytic[name]).reshape(-1)[tried]
        numeric[name] = np.array([_difference(run, dy, array.reshape(-1), i, step) for i in tried])
    mine |= {name: array for name, array in analytic.items() if name not in inputs}  # reported as extra
    return compare(mine, numeric)


def _difference(
    run: Callable[[], tuple[np.ndarray, Any]], dy: np.ndarray, flat: np.ndarray, i: int, step: float
) -> float:
    """The slope of Σ dy · y along entry ``i`` of ``flat``, a view of one of the inputs of ``run``."""
    value = flat[i]
    flat[i] = value + step
    above = run()[0].copy()  # y may be x itself, or a view of it
    flat[i] = value - step
    below = run()[0].copy()
    flat[i] = value
    return float((dy * (above - below)).sum() / (2 * step))


def _row(name: str, mine: np.ndarray, reference: np.ndarray) -> Row:
    absolute = float(np.abs(mine - reference).max(initial=0))
    scale = float(np.abs(reference).max(initial=0))
    return Row(name, reference.shape, absolute, absolute / scale if scale else absolute)
