"""Blocks of rows: what treats every frame alone takes a long recording block by block.

    y = [f(x[0:n]); f(x[n:2n]); …]         n rows at a time

A recording of one block is computed as a whole, and its cache is f's own. Of a longer one only what f itself refers to
is kept, since the inner channels of ten minutes would be gigabytes: the backward pass computes each block again.
Whether there are blocks depends on the number of frames alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.tree import add_to

ROWS = 1024  # frames of a block: 20 s of the released models


class RowsCache(NamedTuple):
    forward: Callable[[slice], tuple[np.ndarray, Any]]  # of some rows: their result and its cache
    blocks: list[slice]


def by_rows(forward: Callable[[slice], tuple[np.ndarray, Any]], T: int) -> tuple[np.ndarray, Any]:
    """``forward(rows)`` for the rows of ``T`` frames, one block after the other: their results (T, C) and a cache."""
    blocks = threads.blocks(T, ROWS)
    first, cache = forward(blocks[0])
    if len(blocks) == 1:
        return first, cache
    del cache
    y = np.empty((T, *first.shape[1:]), first.dtype)
    y[blocks[0]] = first
    for rows in blocks[1:]:
        y[rows], _ = forward(rows)
    return y, RowsCache(forward, blocks)


def by_rows_backward(
    backward: Callable[[np.ndarray, Any], tuple[np.ndarray, dict]], dy: np.ndarray, cache: Any
) -> tuple[np.ndarray, dict]:
    """The gradients of :func:`by_rows` from ``dy`` (T, C), where ``backward(dy, cache)`` is the way back of f."""
    if not isinstance(cache, RowsCache):
        return backward(dy, cache)
    parts = []
    grads: dict = {}
    for rows in cache.blocks:
        _, inner = cache.forward(rows)
        dx, of_the_block = backward(dy[rows], inner)
        parts.append(dx)
        add_to(grads, of_the_block)
    return np.concatenate(parts), grads
