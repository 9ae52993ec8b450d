"""Dropout: while training, multiply by 0 at random, and by enough elsewhere that the expectation stays.

    y = x · factor         factor = 0 with probability p, else 1 / (1 − p)

The factor is drawn outside and passed in: the same factor gives the same numbers, and evaluation passes none.
Where: between the parts of every block and around them (wav2vec 2.0 §4.2; Srivastava et al. 2014). Layer drop does the
same to whole blocks (Fan et al. 2019): a dropped block hands its input on. Neither has parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.upstream import require_upstream


class DropoutCache(NamedTuple):
    factor: np.ndarray | None  # the shape of x; None: nothing was dropped


def dropout(x: np.ndarray, factor: np.ndarray | None) -> tuple[np.ndarray, DropoutCache]:
    """``x`` times ``factor``, an array of its shape from :func:`dropout_factor`; ``x`` itself where that is None."""
    return (x if factor is None else x * factor), DropoutCache(factor)


def dropout_backward(dy: np.ndarray, cache: DropoutCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x, from ``dy`` of the same shape. There are no parameters."""
    if cache.factor is not None:
        require_upstream(dy, cache.factor.shape, cache.factor.dtype)
    return (dy if cache.factor is None else dy * cache.factor), {}  # undoes: x · factor


def dropout_factor(
    rng: np.random.Generator, shape: tuple[int, ...], p: float, dtype: type | np.dtype = np.float32
) -> np.ndarray | None:
    """0 with probability ``p`` (0 to 1), else 1 / (1 − p); None for p = 0. At p = 1 nothing is left."""
    if p == 0:
        return None
    kept = rng.random(shape) >= p
    return kept.astype(dtype) / np.dtype(dtype).type(1 - p if p < 1 else 1)
