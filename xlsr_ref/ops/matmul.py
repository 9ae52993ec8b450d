"""Matrix product, cut into tiles that the threads share.

    y = a b (+ bias)         a (M, K), b (K, N), bias (N,), y (M, N)

BLAS multiplies; what is decided here is only who computes which tile. Tiles of 512 rows by 256 columns keep one
thread's panels in its cache and give two to four cores something to do from the shortest utterance on.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from xlsr_ref.ops import threads

TILE_ROWS, TILE_COLUMNS = 512, 256


def matmul(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``a`` (M, K) times ``b`` (K, N), plus ``bias`` (N,) on every row: (M, N) in the dtype of ``a``."""
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)

    def tile(rows: slice, columns: slice) -> None:
        out = y[rows, columns]
        np.matmul(a[rows], b[:, columns], out=out)
        if bias is not None:
            out += bias[columns]

    row_blocks, column_blocks = threads.blocks(y.shape[0], TILE_ROWS), threads.blocks(y.shape[1], TILE_COLUMNS)
    threads.run(partial(tile, rows, columns) for columns in column_blocks for rows in row_blocks)
    return y
