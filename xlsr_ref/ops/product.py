"""The matrix product with weights that are packed once (GEMM), in float32.

    y = x Wᵀ + b         x (M, K), W (N, K), b (N,), y (M, N)

BLAS copies both operands into an order of its own in every call. Weights do not change, so here they are copied once,
into panels of as many output channels as a block of registers has columns, [panel][k][column]: the inner loop
(micro_kernel.py) reads a panel from front to back. x is read where it lies, so its rows may overlap, as the windows of
a convolution do. A tile of y begins as the bias, and each panel is used for all its rows while a core's cache holds it.

Every y[m, n] is one sum over k in the same order, whatever M, the tile and the number of threads: the same bits.
Where: linear layers and the feature encoder's convolutions, on the way forward. In float64, or where the processor
lacks the instructions, BLAS multiplies (matmul.py), which is the specification. Goto & van de Geijn 2008, "Anatomy of
high-performance matrix multiplication".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import njit
from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.matmul import matmuls
from xlsr_ref.ops.memory import give_back_mapped
from xlsr_ref.ops.micro_kernel import BLOCK, BYTES, multiply_add_for, pointer_type

Rows = Callable[[np.ndarray], np.ndarray]  # from a parameter to the matrix (N, K), one row per output channel

TILE_ROWS, TILE_COLUMNS = 128, 256  # of y, which one task computes
LINE = 16  # numbers of a cache line
SLICE = 1024  # of K: as much of x as a core's cache holds beside a panel
PACKED = 1 << 17  # numbers that one task packs
PARTIAL = 256  # of K: so many products are added up before they join the sum of the others


def as_it_is(weight: np.ndarray) -> np.ndarray:
    return weight


def product(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None, rows: Rows = as_it_is) -> np.ndarray:
    """``x`` (M, K) times the transpose of ``rows(weight)`` (N, K), plus ``bias`` (N,): (M, N) in the dtype of ``x``.

    ``rows`` is a function of a module: what is derived from a read-only ``weight`` through it is kept.
    """
    (y,) = products(x, [(weight, bias)], rows)
    return y


def products(
    x: np.ndarray, layers: Sequence[tuple[np.ndarray, np.ndarray | None]], rows: Rows = as_it_is
) -> list[np.ndarray]:
    """``x`` (M, K) times each of several (weight, bias) as :func:`product` has them: the threads share all tiles.

    Raises ValueError where x and a weight do not have the same K.
    """
    if BLOCK is None or x.dtype != np.float32:
        return matmuls(x, [(_matrix(rows, weight).T, bias) for weight, bias in layers])
    M, K = x.shape
    if BLOCK.rows > M:  # the inner loop reads whole blocks of rows
        padded = np.zeros((BLOCK.rows, K), x.dtype)
        padded[:M] = x
        return [y[:M] for y in products(padded, layers, rows)]
    packs = [derived(_packer(rows), *(array for array in layer if array is not None)) for layer in layers]
    for panels, _ in packs:
        if panels.shape[1] != 1 + K:
            raise ValueError(f"x has {K} columns, but the weight {panels.shape[1] - 1}")
    results = [np.empty((M, N), x.dtype) for _, N in packs]
    work = M * K * sum(N for _, N in packs)
    of_x = x.ctypes.data, x.strides[0], x.strides[1], M, K
    tasks = (
        partial(_tile, *of_x, panels.ctypes.data, y, y.ctypes.data, m.start, m.stop, p.start, p.stop)
        for (panels, _), y in zip(packs, results)
        for p in _panel_blocks(len(panels), work)
        for m in _row_blocks(M)
    )
    threads.run(tasks, work)
    return results


def _matrix(rows: Rows, weight: np.ndarray) -> np.ndarray:
    """``rows(weight)``, kept where it is a copy: a kept weight would live for ever."""
    return weight if rows is as_it_is else derived(rows, weight)


# --- packing ----------------------------------------------------------------------------------------------------------


@functools.cache
def _packer(rows: Rows) -> Callable[..., tuple[np.ndarray, int]]:
    """A function that packs what ``rows`` makes of a weight: always the same one, as ops/derived.py needs it."""

    def pack_rows(weight: np.ndarray, bias: np.ndarray | None = None) -> tuple[np.ndarray, int]:
        matrix = rows(weight).astype(np.float32, copy=False)
        panels = pack(matrix, bias)
        give_back_mapped(weight)
        return panels, len(matrix)

    return pack_rows


def pack(matrix: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``matrix`` (N, K) and ``bias`` (N,) in panels (⌈N / columns⌉, 1 + K, columns), the bias before the first k.

    Both are float32; ``matrix`` may have any strides. Beyond the last output channel there are zeros.
    """
    assert BLOCK is not None
    (N, K), columns = matrix.shape, BLOCK.columns
    panels = np.empty((-(-N // columns), 1 + K, columns), np.float32)
    panels[:, 0] = 0
    panels[-1, :, N % columns or columns :] = 0
    if bias is not None:
        panels[:, 0].flat[:N] = bias
    row, step = (stride // BYTES for stride in matrix.strides)
    tasks = (
        partial(_pack, matrix.ctypes.data, row, step, N, panels, some.start, some.stop)
        for some in threads.blocks(len(panels), max(1, PACKED // ((1 + K) * columns)))
    )
    threads.run(tasks, panels.size)
    return panels


# --- tiles ------------------------------------------------------------------------------------------------------------


def _row_blocks(M: int) -> list[slice]:
    """Rows of each tile: whole blocks of registers, but for the last."""
    assert BLOCK is not None
    whole = -(-M // BLOCK.rows)
    blocks = threads.blocks(whole, TILE_ROWS // BLOCK.rows)
    return [slice(some.start * BLOCK.rows, min(M, some.stop * BLOCK.rows)) for some in blocks]


def _panel_blocks(panels: int, work: int) -> list[slice]:
    """Panels of each tile: an even number of tiles, or one where there is too little to share."""
    assert BLOCK is not None
    if work < threads.WORTH_SHARING:
        return [slice(0, panels)]
    pairs = -(-panels * BLOCK.columns // (2 * TILE_COLUMNS))
    return threads.blocks(panels, -(-panels // (2 * pairs)))


if BLOCK is not None:
    from numba import carray

    ROWS, COLUMNS = BLOCK.rows, BLOCK.columns
    multiply_add = multiply_add_for(BLOCK)
    float32_at = pointer_type()

    @njit()
    def _pack(matrix, row, step, N, panels, first_panel, stop_panel):
        """Some panels of a matrix (N, K) at an address; row and step lead from n to n + 1 and from k to k + 1."""
        K = panels.shape[1] - 1
        numbers = carray(float32_at(matrix), (N - 1) * row + (K - 1) * step + 1)
        for p in range(first_panel, stop_panel):
            n, panel = p * COLUMNS, panels[p, 1:]
            width = min(COLUMNS, N - n)
            if row == 1 and width == COLUMNS:  # the columns lie side by side
                for k in range(K):
                    source, target = numbers[n + k * step :], panel[k]
                    for j in range(COLUMNS):
                        target[j] = source[j]
            else:
                for k in range(0, K, LINE):
                    for j in range(width):
                        source = numbers[(n + j) * row + k * step :]
                        for i in range(min(LINE, K - k)):
                            panel[k + i, j] = source[i * step]

    @njit(inline="always")
    def _block(x, x_row, x_k, panel, y, y_row, first_k, K):
        """Add to a block of y what ``K`` k from ``first_k`` on give; before the first k it is the bias.

        The sums over PARTIAL k are added up: so errors stay small.
        """
        for k in range(first_k, first_k + K, PARTIAL):
            start, start_row = (panel, 0) if k == 0 else (y, y_row)
            w, n = panel + (1 + k) * BYTES * COLUMNS, min(PARTIAL, first_k + K - k)
            multiply_add(x + k * x_k, x_row, x_k, w, start, start_row, y, y_row, n)

    @njit()
    def _tile(x, x_row, x_k, M, K, panels, y, y_start, first, stop, first_panel, stop_panel):
        """Rows first … stop − 1 of y (M, N), and the columns of some panels.

        x, panels and y_start are addresses; x_row and x_k, from one row and one k of x to the next, are in bytes.
        A block that y has no room for, at its right edge or below its last row, is computed in `edge`.
        """
        whole, N = (stop - first) // ROWS * ROWS, y.shape[1]
        panel_size, row = BYTES * COLUMNS * (1 + K), BYTES * N
        for k in range(0, K, SLICE):  # so much of x stays in a core's cache while the panels go by
            for p in range(first_panel, min(stop_panel, N // COLUMNS)):
                bias, block = panels + p * panel_size, y_start + BYTES * (first * N + p * COLUMNS)
                for i in range(0, whole, ROWS):
                    _block(x + (first + i) * x_row, x_row, x_k, bias, block + i * row, row, k, min(SLICE, K - k))

        edge = np.empty((stop - first + ROWS, COLUMNS), np.float32)
        edge_start, edge_row = edge.ctypes.data, BYTES * COLUMNS
        last = x + (M - ROWS) * x_row  # the last ROWS rows of x, some of them for the second time
        for p in range(first_panel, stop_panel):
            bias, width = panels + p * panel_size, min(COLUMNS, N - p * COLUMNS)
            if width < COLUMNS:
                for i in range(0, whole, ROWS):
                    _block(x + (first + i) * x_row, x_row, x_k, bias, edge_start + i * edge_row, edge_row, 0, K)
                for i in range(whole):
                    for j in range(width):
                        y[first + i, p * COLUMNS + j] = edge[i, j]
            if first + whole < stop:
                _block(last, x_row, x_k, bias, edge_start + whole * edge_row, edge_row, 0, K)
                for m in range(first + whole, stop):
                    for j in range(width):
                        y[m, p * COLUMNS + j] = edge[whole + ROWS - (stop - m), j]
