"""The packed product: its specification, its edges, and memory that it must not touch."""

import ctypes
import itertools
import mmap
import os
import platform
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from xlsr_ref.ops import product, threads
from xlsr_ref.ops.micro_kernel import BLOCKS, Block, blocks_for

packed = pytest.mark.skipif(not BLOCKS, reason="this processor, or the backend, multiplies by BLAS")
SIZES = st.integers(1, 70)


def operands(M, K, N, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape).astype(np.float32) for shape in ((M, K), (N, K), (N,)))


def tolerance(K):
    return 2 * np.sqrt(K) * np.finfo(np.float32).eps + 4e-7  # of sums of K products near 1


@given(M=SIZES, K=SIZES, N=SIZES)
@example(M=1, K=1, N=1)
@example(M=product.TILE_ROWS + 1, K=3, N=2)
@example(M=5, K=product.SLICE + product.PARTIAL + 1, N=3)
@example(M=7, K=2 * product.PARTIAL, N=product.TILE_COLUMNS + 1)
@settings(max_examples=60, deadline=None)
def test_it_is_the_sum_over_k_plus_the_bias(M, K, N):
    x, weight, bias = operands(M, K, N)
    exact = x.astype(float) @ weight.astype(float).T
    np.testing.assert_allclose(product.product(x, weight, bias), exact + bias, rtol=0, atol=10 * tolerance(K))
    np.testing.assert_allclose(product.product(x, weight), exact, rtol=0, atol=10 * tolerance(K))
    assert product.product(x, weight).dtype == np.float32


def test_weights_may_be_transposed_and_rows_of_x_may_overlap_or_run_down(rng):
    x, weight, _ = operands(40, 30, 20)
    y = x @ weight.T
    np.testing.assert_allclose(product.product(x, np.ascontiguousarray(weight.T).T), y, atol=1e-5)
    np.testing.assert_allclose(product.product(np.asfortranarray(x), weight), y, atol=1e-5)
    np.testing.assert_allclose(product.product(x.T, x.T), x.T @ x, atol=1e-5)
    np.testing.assert_allclose(
        product.product(x[::-1, ::2], weight[:, ::2]), x[::-1, ::2] @ weight[:, ::2].T, atol=1e-5
    )
    sound = rng.standard_normal(200).astype(np.float32)
    windows = as_strided(sound, (57, 30), (12, 4), writeable=False)
    np.testing.assert_allclose(product.product(windows, weight), windows.copy() @ weight.T, atol=1e-5)


def test_several_weights_share_one_x():
    x, weight, bias = operands(9, 8, 7)
    both = product.products(x, [(weight, bias), (weight[:3], None)])
    np.testing.assert_array_equal(both[0], product.product(x, weight, bias))
    np.testing.assert_array_equal(both[1], product.product(x, weight[:3]))


def test_another_k_is_refused():
    x, weight, _ = operands(9, 8, 7)
    with pytest.raises(ValueError, match=r"8|size"):
        product.product(x, weight[:, :7])


@packed
def test_weights_of_another_dtype_are_converted_before_they_are_packed():
    x, weight, bias = operands(9, 8, 7)
    y = product.product(x, weight.astype(float), bias.astype(np.float16))
    np.testing.assert_allclose(y, x @ weight.T + bias, atol=1e-2)
    assert y.dtype == np.float32


def test_in_float64_blas_multiplies(rng):
    x, weight = rng.standard_normal((9, 8)), rng.standard_normal((7, 8))
    np.testing.assert_allclose(product.product(x, weight), x @ weight.T, rtol=1e-14, atol=1e-14)


@packed
def test_the_bits_depend_neither_on_the_threads_nor_on_the_other_rows():
    x, weight, bias = operands(700, 300, 600)
    with threads.use(1):
        one = product.product(x, weight, bias)
    for n in (2, 3):
        with threads.use(n):
            np.testing.assert_array_equal(product.product(x, weight, bias), one)
    for rows in (slice(0, 1), slice(5, 8), slice(690, 700), slice(3, 400)):
        np.testing.assert_array_equal(product.product(x[rows], weight, bias), one[rows])
    np.testing.assert_array_equal(product.product(x, weight[100:101], bias[100:101]), one[:, 100:101])


@packed
def test_errors_do_not_grow_with_the_length_of_the_sum():
    x, weight, _ = operands(64, 1 << 14, 48)
    exact = x.astype(float) @ weight.astype(float).T

    def error(y):
        return np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2))

    one_by_one = np.zeros((64, 48), np.float32)
    for k in range(x.shape[1]):
        one_by_one += x[:, k : k + 1] * weight[:, k]
    assert error(product.product(x, weight)) < error(one_by_one) / 4


@packed
def test_what_is_packed_is_kept_as_long_as_the_weight(rng, monkeypatch):
    packs = []
    monkeypatch.setattr(product, "pack", lambda *arrays, pack=product.pack: packs.append(1) or pack(*arrays))
    x, weight, bias = operands(9, 8, 7)
    for array in (weight, bias):
        array.flags.writeable = False
    first = product.product(x, weight, bias)
    np.testing.assert_array_equal(product.product(x, weight, bias), first)
    assert len(packs) == 1
    _, other, bias = operands(9, 8, 7, seed=1)
    assert not np.array_equal(product.product(x, other, bias), first)
    assert len(packs) == 2


# --- memory -----------------------------------------------------------------------------------------------------------


NO_ACCESS = 0  # PROT_NONE of mprotect(2)


class Guarded:
    """Arrays that end, or begin, at a page which nobody may touch."""

    def __init__(self):
        self.maps = []

    def copy(self, array, at_the_end=True):
        page = mmap.PAGESIZE
        pages = -(-array.nbytes // page)
        area = mmap.mmap(-1, (pages + 2) * page)
        self.maps.append(area)
        start = np.frombuffer(area, np.uint8).ctypes.data
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (start, start + (pages + 1) * page):
            assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), NO_ACCESS) == 0
        offset = page + (pages * page - array.nbytes if at_the_end else 0)
        placed = np.frombuffer(area, array.dtype, array.size, offset).reshape(array.shape)
        placed[...] = array
        return placed


TOUCHES = """
import sys
sys.path.insert(0, {here!r})
from test_product import check_edges
check_edges()
"""


def packed_by(block, weight, bias):
    """Panels for this block, whichever the number of columns would choose."""
    with using_block(block):
        return product.pack(weight, bias).panels


@contextmanager
def using_block(block):
    chosen, product.block_of = product.block_of, lambda N: block
    try:
        yield
    finally:
        product.block_of = chosen


def check_edges():
    """Every size up to two blocks, operands and result against pages that may not be touched: a crash is a failure."""
    guarded = Guarded()
    for block in BLOCKS:
        rows, columns = block.rows, block.columns
        for M, N, K in itertools.product(
            range(rows, 2 * rows + 2), (1, columns - 1, columns, columns + 1, 2 * columns), (1, 2, 7)
        ):
            for at_the_end in (True, False):
                x, weight, bias = (guarded.copy(one, at_the_end) for one in operands(M, K, N))
                panels = guarded.copy(packed_by(block, weight, bias), at_the_end)
                y = guarded.copy(np.full((M, N), np.nan, np.float32), at_the_end)
                product._tile(x.ctypes.data, *x.strides, M, panels, y, rows, 0, M, 0, len(panels))
                np.testing.assert_allclose(y, x @ weight.T + bias, atol=1e-5)
                guarded.maps[:] = guarded.maps[-8:]
    print("touched nothing else")


@packed
@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
def test_no_byte_beside_the_arrays_is_touched():
    script = TOUCHES.format(here=str(Path(__file__).parent))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "touched nothing else", run.stderr[-2000:] or run.returncode


@packed
def test_a_tile_writes_its_own_rows_and_columns_only():
    for block in BLOCKS:
        x, weight, bias = operands(40, 9, 100)
        panels = packed_by(block, weight, bias)
        y = np.full((40, 100), np.nan, np.float32)
        product._tile(x.ctypes.data, *x.strides, 40, panels, y, block.rows, block.rows, 3 * block.rows, 1, 2)
        inside = np.zeros_like(y, bool)
        inside[block.rows : 3 * block.rows, block.columns : 2 * block.columns] = True
        np.testing.assert_allclose(y[inside], (x @ weight.T + bias)[inside], atol=1e-5)
        assert np.isnan(y[~inside]).all()


@packed
def test_both_blocks_give_the_same_bits():
    x, weight, bias = operands(50, 300, 100)
    results = []
    for block in BLOCKS:
        with using_block(block):
            results.append(product.product(x, weight, bias))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# --- which processor --------------------------------------------------------------------------------------------------


def test_the_blocks_follow_from_the_processor():
    assert blocks_for({"avx2", "fma"}, "x86_64") == (Block(4, 3, 8), Block(6, 2, 8))
    assert blocks_for({"avx2", "fma", "avx512f"}, "AMD64") == (Block(6, 4, 16),)
    assert blocks_for(set(), "arm64") == (Block(6, 4, 4),)
    assert blocks_for({"avx2"}, "x86_64") == ()
    assert blocks_for({"sse2", "fma"}, "x86_64") == ()
    for block in (Block(4, 3, 8), Block(6, 2, 8), Block(6, 4, 16), Block(6, 4, 4)):
        registers = 16 if block.lanes == 8 else 32
        assert block.rows * block.vectors + block.vectors + 1 <= registers  # the sums, one k of w, one spread x


def test_the_narrow_block_is_taken_where_the_wide_one_computes_columns_for_nothing(monkeypatch):
    wide, narrow = Block(4, 3, 8), Block(6, 2, 8)
    monkeypatch.setattr(product, "BLOCKS", (wide, narrow))
    chosen = {N: product.block_of(N) for N in (1, 16, 24, 64, 78, 192, 512, 1024, 4096)}
    assert {N for N, block in chosen.items() if block is narrow} == {1, 16, 64, 78, 512}


NO_VECTORS = """
import numpy as np
from xlsr_ref.ops.micro_kernel import BLOCKS
from xlsr_ref.ops.product import product
x, w = np.ones((5, 3), np.float32), np.ones((2, 3), np.float32)
print(BLOCKS, product(x, w).sum())
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names of x86's features")
@pytest.mark.parametrize(
    "setting",
    [
        {"NUMBA_CPU_FEATURES": "+sse2", "NUMBA_CPU_NAME": "x86-64"},
        {"NUMBA_ENABLE_AVX": "0"},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_DISABLE_JIT": "1"},
        {"XLSR_REF_BACKEND": "numpy"},
    ],
)
def test_without_the_instructions_blas_multiplies(setting):
    environment = os.environ | setting
    run = subprocess.run(
        [sys.executable, "-c", NO_VECTORS], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.split() == ["()", "30.0"]
