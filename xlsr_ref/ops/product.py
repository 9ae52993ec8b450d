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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.backend import njit
from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.matmul import matmuls
from xlsr_ref.ops.memory import give_back_mapped
from xlsr_ref.ops.micro_kernel import BLOCKS, BYTES, Block, multiply_add_for, pointer_type

Rows = Callable[[np.ndarray], np.ndarray]  # from a parameter to the matrix (N, K), one row per output channel

TILE_ROWS, TILE_COLUMNS = 128, 256  # of y, which one task computes
SPARE = 48  # columns of a block beyond the last one are accepted up to a part of 1/48
LINE = 16  # numbers of a cache line
SLICE = 1024  # of K: as much of x as a core's cache holds beside a panel
PACKED = 1 << 17  # numbers that one task packs
PARTIAL = 256  # of K: so many products are added up before they join the sum of the others


class Packed(NamedTuple):
    panels: np.ndarray  # (⌈N / columns⌉, 1 + K, columns)  the bias, then one k after the other
    N: int
    block: Block


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
    if not BLOCKS or x.dtype != np.float32:
        return matmuls(x, [(_matrix(rows, weight).T, bias) for weight, bias in layers])
    M, K = x.shape
    if M < MOST_ROWS:  # the inner loop reads whole blocks of rows
        padded = np.zeros((MOST_ROWS, K), x.dtype)
        padded[:M] = x
        return [y[:M] for y in products(padded, layers, rows)]
    packs = [derived(_packer(rows), *(array for array in layer if array is not None)) for layer in layers]
    for packed in packs:
        if packed.panels.shape[1] != 1 + K:
            raise ValueError(f"x has {K} columns, but the weight {packed.panels.shape[1] - 1}")
    results = [np.empty((M, packed.N), x.dtype) for packed in packs]
    work = M * K * sum(packed.N for packed in packs)
    of_x = x.ctypes.data, x.strides[0], x.strides[1], M
    tasks = (
        partial(_tile, *of_x, packed.panels, y, packed.block.rows, *tile)
        for packed, y in zip(packs, results)
        for tile in _tiles(M, len(packed.panels), packed.block, work)
    )
    threads.run(tasks, work)
    return results


def _matrix(rows: Rows, weight: np.ndarray) -> np.ndarray:
    """``rows(weight)``, kept where it is a copy: a kept weight would live for ever."""
    return weight if rows is as_it_is else derived(rows, weight)


# --- packing ----------------------------------------------------------------------------------------------------------


@functools.cache
def _packer(rows: Rows) -> Callable[..., Packed]:
    """A function that packs what ``rows`` makes of a weight: always the same one, as ops/derived.py needs it."""

    def pack_rows(weight: np.ndarray, bias: np.ndarray | None = None) -> Packed:
        packed = pack(rows(weight).astype(np.float32, copy=False), bias)
        give_back_mapped(weight)
        return packed

    return pack_rows


def pack(matrix: np.ndarray, bias: np.ndarray | None = None) -> Packed:
    """``matrix`` (N, K) and ``bias`` (N,) in panels (⌈N / columns⌉, 1 + K, columns), the bias before the first k.

    Both are float32; ``matrix`` may have any strides. Beyond the last output channel there are zeros.
    """
    N, K = matrix.shape
    block = block_of(N)
    columns = block.columns
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
    return Packed(panels, N, block)


def block_of(N: int) -> Block:
    """The fastest block unless it computes far more than ``N`` columns; then the one that computes the fewest."""

    def computed(block: Block) -> int:
        return -(-N // block.columns) * block.columns

    return BLOCKS[0] if computed(BLOCKS[0]) <= N + N // SPARE else min(BLOCKS, key=computed)


# --- tiles ------------------------------------------------------------------------------------------------------------


def _tiles(M: int, panels: int, block: Block, work: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each tile the first row, the row after the last, and the same of its panels.

    Rows are whole blocks of registers, but for the last. There is an even number of tiles side by side, or a single
    one where there is too little to share.
    """
    if work < threads.WORTH_SHARING:
        yield 0, M, 0, panels
        return
    pairs = -(-panels * block.columns // (2 * TILE_COLUMNS))
    for p in threads.blocks(panels, -(-panels // (2 * pairs))):
        for m in threads.blocks(-(-M // block.rows), TILE_ROWS // block.rows):
            yield m.start * block.rows, min(M, m.stop * block.rows), p.start, p.stop


if BLOCKS:
    from numba import carray

    WIDE, NARROW = BLOCKS[0].columns, BLOCKS[-1].columns
    MOST_ROWS = max(block.rows for block in BLOCKS)
    multiply_add, multiply_add_narrow = multiply_add_for(BLOCKS[0]), multiply_add_for(BLOCKS[-1])
    float32_at = pointer_type()

    @njit()
    def _pack(matrix, row, step, N, panels, first_panel, stop_panel):
        """Some panels of a matrix (N, K) at an address; row and step lead from n to n + 1 and from k to k + 1."""
        K, columns = panels.shape[1] - 1, panels.shape[2]
        numbers = carray(float32_at(matrix), (N - 1) * row + (K - 1) * step + 1)
        for p in range(first_panel, stop_panel):
            n, panel = p * columns, panels[p, 1:]
            width = min(columns, N - n)
            if row == 1 and width == columns:  # the columns lie side by side
                for k in range(K):
                    source, target = numbers[n + k * step :], panel[k]
                    for j in range(columns):
                        target[j] = source[j]
            else:
                for k in range(0, K, LINE):
                    for j in range(width):
                        source = numbers[(n + j) * row + k * step :]
                        for i in range(min(LINE, K - k)):
                            panel[k + i, j] = source[i * step]

    @njit()
    def _block(x, x_row, x_k, panel, columns, y, y_row, first_k, K):
        """Add to a block of y what ``K`` k from ``first_k`` on give; before the first k it is the bias.

        The sums over PARTIAL k are added up: so errors stay small.
        """
        for k in range(first_k, first_k + K, PARTIAL):
            start, start_row = (panel, 0) if k == 0 else (y, y_row)
            w, n = panel + (1 + k) * BYTES * columns, min(PARTIAL, first_k + K - k)
            if columns == WIDE:
                multiply_add(x + k * x_k, x_row, x_k, w, start, start_row, y, y_row, n)
            else:
                multiply_add_narrow(x + k * x_k, x_row, x_k, w, start, start_row, y, y_row, n)

    @njit()
    def _tile(x, x_row, x_k, M, panels, y, rows, first, stop, first_panel, stop_panel):
        """Rows first … stop − 1 of y (M, N), and the columns of some panels.

        x is an address; x_row and x_k, from one row and one k of x to the next, are in bytes. A block that y has no
        room for, at its right edge or below its last row, is computed in `edge`.
        """
        K, columns, N = panels.shape[1] - 1, panels.shape[2], y.shape[1]
        whole = (stop - first) // rows * rows
        panels_start, panel_size = panels.ctypes.data, BYTES * columns * (1 + K)
        y_start, row = y.ctypes.data, BYTES * N
        for k in range(0, K, SLICE):  # so much of x stays in a core's cache while the panels go by
            for p in range(first_panel, min(stop_panel, N // columns)):
                panel, block = panels_start + p * panel_size, y_start + BYTES * (first * N + p * columns)
                n = min(SLICE, K - k)
                for i in range(0, whole, rows):
                    _block(x + (first + i) * x_row, x_row, x_k, panel, columns, block + i * row, row, k, n)

        edge = np.empty((stop - first + rows, columns), np.float32)
        edge_start, edge_row = edge.ctypes.data, BYTES * columns
        last = x + (M - rows) * x_row  # the last rows of x, some of them for the second time
        for p in range(first_panel, stop_panel):
            panel, width = panels_start + p * panel_size, min(columns, N - p * columns)
            if width < columns:
                for i in range(0, whole, rows):
                    place = edge_start + i * edge_row
                    _block(x + (first + i) * x_row, x_row, x_k, panel, columns, place, edge_row, 0, K)
                for i in range(whole):
                    for j in range(width):
                        y[first + i, p * columns + j] = edge[i, j]
            if first + whole < stop:
                _block(last, x_row, x_k, panel, columns, edge_start + whole * edge_row, edge_row, 0, K)
                for m in range(first + whole, stop):
                    for j in range(width):
                        y[m, p * columns + j] = edge[whole + rows - (stop - m), j]
