"""Checks: a gradient against finite differences, a number against its reference, and a check against a broken line.

    numeric(θ) = (L(θ + h) − L(θ − h)) / 2h          L = Σ dy · forward(θ), dy random: every output counts

Central differences are wrong by O(h²) and by rounding, O(ε/h): in float64 with h = 1e-5 that is about 1e-10 of L.
The error of a tensor is its largest difference divided by the largest value of the reference: a gradient whose true
value is exactly zero has no such scale, and is judged by its absolute difference.
`compare` and `stages` are in compare.py, `shapes` in shapes.py, `changed` and `using` in change.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.teach.change import changed, using
from xlsr_ref.teach.compare import Comparison, Departure, Row, compare, difference, stages
from xlsr_ref.teach.shapes import Shapes, shapes

__all__ = [
    "Comparison",
    "Departure",
    "Row",
    "Shapes",
    "changed",
    "close",
    "compare",
    "fails",
    "gradient",
    "shapes",
    "stages",
    "using",
]


def close(mine: Any, reference: Any, expected: float, name: str = "") -> None:
    """Print how far ``mine`` is from ``reference``, beside the error that is ``expected`` at most.

    Arrays or numbers. The error is the largest difference divided by the largest value of the reference; equal
    infinities do not differ. Raises AssertionError where it is above ``expected`` or NaN, or the shapes differ.
    """
    label = f"{name}: " if name else ""
    if np.shape(mine) != np.shape(reference):
        raise AssertionError(f"{label}the shape is {np.shape(mine)}, but the reference's is {np.shape(reference)}")
    error = difference(name, mine, reference).relative
    line = f"{label}error {f'{error:.1e}' if error else 0}, expected {f'below {expected:g}' if expected else 'none'}"
    if not error <= expected:  # NaN is not
        raise AssertionError(line)
    print(line)


@contextmanager
def fails() -> Iterator[None]:
    """The body must raise AssertionError: its message is printed. Raises AssertionError if it does not."""
    try:
        yield
    except AssertionError as error:
        print(f"failed, as it must: {str(error).strip() or 'an assertion without a message'}")
        return
    raise AssertionError("this passed, but it had to fail: the check does not see what was broken")


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
