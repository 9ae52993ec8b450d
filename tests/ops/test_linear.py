import numpy as np
import pytest

from xlsr_ref.ops.linear import linear
from xlsr_ref.ops.matmul import TILE_COLUMNS, TILE_ROWS, matmul


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "C_in", "C_out"), [(1, 1, 1), (3, 5, 7), (TILE_ROWS + 1, 6, TILE_COLUMNS + 1)])
def test_linear_is_the_sum_over_inputs(rng, dtype, T, C_in, C_out):
    x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in ((T, C_in), (C_out, C_in), (C_out,)))
    y, cache = linear(x, {"weight": weight, "bias": bias})
    expected = (x[:, None, :].astype(float) * weight[None]).sum(axis=-1) + bias
    np.testing.assert_allclose(y, expected, rtol=0, atol=np.finfo(dtype).eps * 20)  # a sum of six products near 1
    assert y.dtype == dtype
    assert cache.x is x
    assert cache.weight is weight


def test_matmul_without_a_bias(rng):
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    np.testing.assert_allclose(matmul(a, b), np.einsum("ik,kj->ij", a, b), atol=1e-14)
