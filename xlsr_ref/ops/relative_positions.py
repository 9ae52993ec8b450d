"""Relative positions in attention: a score that depends on how far the key is from its query.

    score[i, j] gains g[i, clip(j − i, −left, right) + left]          g = q_i · e_r for each row e_r of a table

Row 0 of the table is the distance −left, a key so far before its query; what is further away counts as the last row.
Only the products with the table's P rows are made, not one for each pair of frames: they are looked up.
Where: Shaw et al. 2018; Dai et al. 2019 (Transformer-XL), whose table has a row for every distance.
Letters: T frames, H heads, D channels of a head, P rows of the table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.backend import choose, njit


class Positions(NamedTuple):
    """What attention needs of the positions, for some queries of an utterance."""

    q: np.ndarray  # (T', C)  the queries as they meet the table
    table: np.ndarray  # (H, P, D), or (1, P, D) where the heads share it
    left: int
    first: int = 0  # the frame of the first query


def distances(first: int, rows: int, T: int, left: int, P: int) -> np.ndarray:
    """The table's row for each of ``rows`` queries, from frame ``first`` on, and each of ``T`` keys: (rows, T)."""
    return np.clip(np.arange(T) - np.arange(first, first + rows)[:, None], -left, P - 1 - left) + left


def add_positions(scores: np.ndarray, g: np.ndarray, first: int, left: int) -> None:
    """Add to ``scores`` (H, rows, T), in place, what ``g`` (H, rows, P) says of each distance."""
    _add_positions(scores, g, first, left)


def add_positions_backward(dscores: np.ndarray, P: int, first: int, left: int) -> np.ndarray:
    """The gradient with respect to g (H, rows, P), from ``dscores`` (H, rows, T): a sum over the keys of a distance."""
    return _add_positions_backward(dscores, P, first, left)


# --- kernels ---------------------------------------------------------------------------------------------------------


def _add_positions_numpy(scores, g, first, left):
    """The specification."""
    _, rows, T = scores.shape
    scores += np.take_along_axis(g, distances(first, rows, T, left, g.shape[2])[None], axis=2)


def _add_positions_backward_numpy(dscores, P, first, left):
    """The specification of the backward pass."""
    heads, rows, T = dscores.shape
    row = distances(first, rows, T, left, P)
    dg = np.zeros((heads, rows, P), dscores.dtype)
    np.add.at(dg, (np.arange(heads)[:, None, None], np.arange(rows)[:, None], row), dscores)
    return dg


def _add_positions_backward_numba(dscores, P, first, left):
    dg = np.zeros((*dscores.shape[:2], P), dscores.dtype)
    _add_positions_backward_loop(dscores, dg, first, left)
    return dg


@njit()
def _add_positions_loop(scores, g, first, left):
    heads, rows, T = scores.shape
    right = g.shape[2] - 1 - left
    for h in range(heads):
        for r in range(rows):
            i = first + r
            near, far = min(max(i - left, 0), T), min(i + right + 1, T)  # keys within the table's reach
            for j in range(near):
                scores[h, r, j] += g[h, r, 0]
            for j in range(near, far):
                scores[h, r, j] += g[h, r, j - i + left]
            for j in range(max(near, far), T):
                scores[h, r, j] += g[h, r, left + right]


@njit()
def _add_positions_backward_loop(dscores, dg, first, left):
    heads, rows, T = dscores.shape
    right = dg.shape[2] - 1 - left
    for h in range(heads):
        for r in range(rows):
            i = first + r
            before, after = 0.0, 0.0
            for j in range(T):
                distance = j - i
                if distance < -left:
                    before += dscores[h, r, j]
                elif distance > right:
                    after += dscores[h, r, j]
                else:
                    dg[h, r, distance + left] += dscores[h, r, j]
            dg[h, r, 0] += before
            dg[h, r, left + right] += after


_add_positions = choose(_add_positions_loop, _add_positions_numpy)
_add_positions_backward = choose(_add_positions_backward_numba, _add_positions_backward_numpy)
