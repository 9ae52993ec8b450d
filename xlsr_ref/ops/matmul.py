"""Matrix product, cut into tiles that the threads share.

    y = a b (+ bias)         a (M, K), b (K, N), bias (N,), y (M, N)

BLAS multiplies; what is decided here is only who computes which tile. The backward pass and float64 multiply so;
product.py is faster where one operand is a weight and the numbers are float32. Tiles of 512 rows by 256 columns keep
one thread's panels in its cache and give two to four cores something to do from the shortest utterance on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from xlsr_ref.ops import threads

TILE_ROWS, TILE_COLUMNS = 512, 256


def matmul(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``a`` (M, K) times ``b`` (K, N), plus ``bias`` (N,) on every row: (M, N) in the dtype of ``a``."""
    (y,) = matmuls(a, [(b, bias)])
    return y


def matmuls(a: np.ndarray, others: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> list[np.ndarray]:
    """``a`` (M, K) times each of several (b, bias) as :func:`matmul` has them: the threads share all their tiles."""
    results = [np.empty((a.shape[0], b.shape[1]), a.dtype) for b, _ in others]
    work = a.size * sum(b.shape[1] for b, _ in others)
    threads.run(
        (
            partial(_tile, a[rows], b[:, columns], None if bias is None else bias[columns], y[rows, columns])
            for y, (b, bias) in zip(results, others)
            for columns in _columns(b.shape[1], work)
            for rows in threads.blocks(a.shape[0], TILE_ROWS)
        ),
        work,
    )
    return results


def _columns(N: int, work: int) -> list[slice]:
    """The columns of each tile: an even number of tiles, or one where there is too little to share."""
    pairs = math.ceil(N / (2 * TILE_COLUMNS))
    return threads.blocks(N, N if work < threads.WORTH_SHARING else math.ceil(N / (2 * pairs)))


def _tile(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None, out: np.ndarray) -> None:
    # Rows that overlap, as windows do, are copied: BLAS wants them apart. A transposed matrix it reads as it is.
    if a.strides[1] <= a.strides[0] < a.shape[1] * a.strides[1]:
        a = np.ascontiguousarray(a)
    np.matmul(a, b, out=out)
    if bias is not None:
        out += bias
