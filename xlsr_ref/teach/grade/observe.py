"""What can be seen in wrong numbers without knowing the mistake: a factor, an offset, a turned sign, an order.

Each sentence is true of the numbers in every float64 case that can show it, and so names no mistake that was not made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from xlsr_ref.teach.grade.battery import arrays
from xlsr_ref.teach.grade.case_run import Tried

EXPLAINS = "your numbers: "  # how each sentence begins
SAME = 1e-9


def observations(tried: Sequence[Tried]) -> tuple[str, ...]:
    """What the wrong numbers have in common, in sentences."""
    exact = [one for one in tried if one.case.dtype != np.float32 and one.outcome.numbers and not one.outcome.problem]
    names = tuple(dict.fromkeys(name for one in exact for name in one.right))
    wrong = [name for name in names if any(name in one.right and not _same(*_pair(one, name)) for one in exact)]
    notes = []
    if len(names) > 1 and 0 < len(wrong) < len(names):
        right = [name for name in names if name not in wrong]
        notes.append(f"{', '.join(right)} {'is' if len(right) == 1 else 'are'} right; wrong: {', '.join(wrong)}")
    for name in wrong:
        seen = _seen([(one, *_pair(one, name)) for one in exact if _telling(one, name)])
        notes += [f"{name} is {seen}" if len(names) > 1 else seen] if seen else []
    return tuple(EXPLAINS + note for note in notes)


def _telling(one: Tried, name: str) -> bool:
    """Cases of zeros and of what is right say little."""
    if name not in one.right:
        return False
    mine, right = _pair(one, name)
    usable = mine.shape == right.shape and bool(np.isfinite(mine).all() and np.isfinite(right).all())
    return usable and bool(np.abs(right).max(initial=0) > 0) and not one.holds


def _pair(one: Tried, name: str) -> tuple[np.ndarray, np.ndarray]:
    return one.outcome.numbers[name].astype(np.float64), one.right[name].astype(np.float64)


def _same(mine: np.ndarray, right: np.ndarray) -> bool:
    scale = np.abs(right[np.isfinite(right)]).max(initial=0) or 1.0
    return mine.shape == right.shape and bool(np.allclose(mine, right, rtol=0, atol=SAME * scale, equal_nan=True))


def _seen(cases: Sequence[tuple[Tried, np.ndarray, np.ndarray]]) -> str:
    """The first sentence that is true of all cases, of two at least."""
    if len(cases) < 2:
        return ""
    both = [(mine, right) for _, mine, right in cases]
    for words, changed in CHANGES.items():
        if all(_may(right, changed) and _same(mine, changed(right)) for mine, right in both):
            return words
    factors = [_factor(mine, right) for mine, right in both]
    if all(factor is not None for factor in factors):
        return _factor_words([float(factor or 0) for factor in factors], [one for one, _, _ in cases])
    offsets = [mine - right for mine, right in both]
    first = float(offsets[0].flat[0])
    if all(_same(offset, np.full(offset.shape, first)) for offset in offsets) and any(o.size > 1 for o in offsets):
        return f"the right ones plus {first:.6g}"
    ordered = [np.array_equal(np.sort(mine.ravel()), np.sort(right.ravel())) for mine, right in both]
    return "the right ones in another order" if all(ordered) and any(m.size > 1 for m, _ in both) else ""


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the right ones with the sign turned": lambda y: -y,
    "the right ones from the last row to the first": lambda y: y[::-1],
    "the right ones, reshaped where they should be transposed": lambda y: y.T.reshape(y.shape),
    "the right ones one row late": lambda y: np.concatenate([np.zeros_like(y[:1]), y[:-1]]),
    "the right ones one row early": lambda y: np.concatenate([y[1:], np.zeros_like(y[:1])]),
    "one over the right ones": lambda y: 1 / y,
    "the logarithm of the right ones": lambda y: np.log(y),
    "the exponential of the right ones": lambda y: np.exp(y),
    "the square of the right ones": lambda y: y * y,
    "the root of the right ones": lambda y: np.sqrt(y),
}
ROWS = ("the right ones from", "the right ones one row", "the right ones, reshaped")


def _may(right: np.ndarray, changed: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Rows are only looked at where there are some."""
    words = next(key for key, value in CHANGES.items() if value is changed)
    return right.ndim > 0 or not words.startswith(ROWS)


def _factor(mine: np.ndarray, right: np.ndarray) -> float | None:
    """c where mine = c · right, else None."""
    at = int(np.abs(right).argmax())
    factor = float(mine.flat[at] / right.flat[at])
    return factor if _same(mine / (factor or 1.0), right) and factor != 0 else None


def _factor_words(factors: Sequence[float], cases: Sequence[Tried]) -> str:
    if all(abs(factor / factors[0] - 1) < SAME for factor in factors):
        return f"the right ones times {factors[0]:.6g}"
    sizes = [dict(_sizes(one)) for one in cases]
    for name in sizes[0]:
        each = np.array([size.get(name, 0) for size in sizes], float)
        if not (each > 0).all():
            continue
        for words, power in (
            ("times", 1.0),
            ("divided by", -1.0),
            ("times the root of", 0.5),
            ("over the root of", -0.5),
        ):
            if np.allclose(factors, each**power, rtol=SAME, atol=0):
                return f"the right ones {words} {name}"
    return ""


def _sizes(one: Tried) -> Iterator[tuple[str, int]]:
    """How long each axis of the arguments is, by name."""
    for place, argument in enumerate(one.case.arguments):
        for name, array in arrays(argument, f"argument {place + 1}"):
            for axis, size in enumerate(array.shape):
                yield f"the length of axis {axis} of {name}", size
        if isinstance(argument, list | tuple):
            yield f"the length of argument {place + 1}", len(argument)
        if isinstance(argument, int | float) and not isinstance(argument, bool):
            yield f"argument {place + 1}", int(argument) if isinstance(argument, int) else 0
