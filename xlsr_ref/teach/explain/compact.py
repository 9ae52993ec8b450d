"""Arrays as few bytes, for a page that carries them: levels from 0 to 255 in base64.

    value = low + (high − low) · level / 255            maps; what lies beyond the scale is cut
    weight = top · (level / 255)²                       attention: small weights keep their differences

A map of more rows or columns than a screen shows is averaged in blocks. Attention is put together so that a row still
sums to 1: frames that look are averaged, frames that are looked at are added up.
Letters: T frames, C channels, H heads.
"""

from __future__ import annotations

import base64
import math
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.teach.show.features import scale_of, shrink

ROWS, COLUMNS = 64, 750  # of a map


class Levels(NamedTuple):
    """A map, or several on one scale."""

    levels: np.ndarray  # (rows, columns) or (maps, rows, columns) uint8
    low: float
    high: float
    signed: bool  # 0 is in the middle of the scale


def text(array: np.ndarray) -> str:
    """The bytes of an array, little-endian, in base64."""
    array = np.ascontiguousarray(array)
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()).decode()


def feature_map(*maps: np.ndarray, rows: int = ROWS, columns: int = COLUMNS) -> Levels:
    """Maps (T, C) of one shape, each lying on its side, (rows, columns): channel 0 at the bottom, time to the right.

    99 % of the values are inside the scale. With much on both sides of 0 it is symmetric.
    """
    small = (shrink(shrink(x.astype(np.float64), columns, (0,)), rows, (1,)) for x in maps)
    shown = np.stack([x.T[::-1] for x in small])
    low, high = scale_of(shown)
    signed = -low > high / 4
    if signed:
        high = max(-low, high)
        low = -high
    levels = quantise(shown, low, high)
    return Levels(levels[0] if len(maps) == 1 else levels, low, high, signed)


def quantise(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """``x`` as levels: 0 for ``low`` and below, 255 for ``high`` and above."""
    return np.rint(255 * np.clip((x - low) / ((high - low) or 1.0), 0, 1)).astype(np.uint8)


def block_of(T: int, maps: int, budget: int) -> int:
    """Into blocks of how many frames ``maps`` pictures (T, T) must be put to take at most ``budget`` bytes."""
    side = max(1, math.isqrt(budget // maps))
    return -(-T // side)


def attention_levels(weights: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (…, T, T), rows summing to 1, in blocks of frames: levels (…, n, n), n = ⌈T / block⌉, and their tops (…).

    Looking: the mean of a block. Looked at: the sum of a block. The top is the largest weight of its matrix.
    """
    T = weights.shape[-1]
    starts = np.arange(0, T, block)
    sizes = np.diff(np.append(starts, T))
    looked_at = np.add.reduceat(weights, starts, axis=-1)
    looking = np.add.reduceat(looked_at, starts, axis=-2) / sizes[:, None]
    tops = looking.max(axis=(-2, -1))
    return np.rint(255 * np.sqrt(looking / tops[..., None, None])).astype(np.uint8), tops


def described(levels: Levels) -> dict[str, Any]:
    """A map for the page's script."""
    *several, rows, columns = levels.levels.shape
    return {
        "data": text(levels.levels),
        "maps": several[0] if several else 1,
        "rows": rows,
        "columns": columns,
        "low": float(f"{levels.low:.4g}"),
        "high": float(f"{levels.high:.4g}"),
        "signed": levels.signed,
    }
