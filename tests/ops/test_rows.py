"""Blocks of rows: the result of the whole; one block keeps its cache, several keep nothing but what they start from."""

import numpy as np
import pytest

from xlsr_ref.ops.activation import gelu
from xlsr_ref.ops.feed_forward import FeedForwardCache, feed_forward, feed_forward_backward, feed_forward_rows_backward
from xlsr_ref.ops.feed_forward import feed_forward_rows as whole_feed_forward
from xlsr_ref.ops.rows import ROWS, RowsCache
from xlsr_ref.teach import check

C, F = 4, 6


@pytest.fixture
def p(rng):
    return {
        "intermediate_dense": {"weight": rng.standard_normal((F, C)), "bias": rng.standard_normal(F)},
        "output_dense": {"weight": rng.standard_normal((C, F)), "bias": rng.standard_normal(C)},
    }


@pytest.mark.parametrize("T", [1, 9, ROWS, ROWS + 1, 2 * ROWS + 5])
@pytest.mark.parametrize("dropping", [False, True])
def test_the_feed_forward_of_any_length(rng, p, T, dropping):
    x, dy = rng.standard_normal((2, T, C))
    factor = rng.random((T, F)) if dropping else None
    wide = gelu(x @ p["intermediate_dense"]["weight"].T + p["intermediate_dense"]["bias"])[0]
    wide = wide if factor is None else wide * factor
    y, cache = feed_forward(x, p, factor)
    np.testing.assert_allclose(y, wide @ p["output_dense"]["weight"].T + p["output_dense"]["bias"], atol=1e-13)
    assert isinstance(cache, FeedForwardCache if T <= ROWS else RowsCache)
    if T <= ROWS:
        np.testing.assert_allclose(cache.output_dense.x, wide, atol=1e-13)
        assert cache.output_dense.weight is p["output_dense"]["weight"]
    dx, grads = feed_forward_backward(dy, cache)
    dx_whole, grads_whole = feed_forward_rows_backward(dy, whole_feed_forward(x, p, factor, None, "gelu")[1])
    np.testing.assert_allclose(dx, dx_whole, atol=1e-12)
    assert check.compare(grads, grads_whole).worst < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(rng, dtype):
    p = {name: {"weight": rng.standard_normal(shape).astype(dtype), "bias": np.zeros(shape[0], dtype)}
         for name, shape in (("intermediate_dense", (F, C)), ("output_dense", (C, F)))}  # fmt: skip
    x = rng.standard_normal((ROWS + 3, C)).astype(dtype)
    y, cache = feed_forward(x, p)
    dx, grads = feed_forward_backward(x, cache)
    assert y.dtype == dx.dtype == grads["output_dense"]["bias"].dtype == dtype
