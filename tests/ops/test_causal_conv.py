"""Causal and pointwise convolution: by loops, kernel and twin, gradients, and that the future is not seen."""

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops import causal_conv as file
from xlsr_ref.ops.causal_conv import causal_conv, causal_conv_backward, taps_of
from xlsr_ref.ops.pointwise import pointwise, pointwise_backward
from xlsr_ref.teach import check


@pytest.mark.parametrize(("T", "K"), [(1, 1), (1, 5), (4, 7), (9, 3), (200, 31)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_equation_and_the_kernel(rng, T, K, dtype):
    x, weight = rng.standard_normal((T, 3)).astype(dtype), rng.standard_normal((3, 1, K)).astype(dtype)
    wanted = np.zeros((T, 3))
    for t in range(T):
        for k in range(K):
            if t - (K - 1) + k >= 0:
                wanted[t] += weight[:, 0, k].astype(float) * x[t - (K - 1) + k]
    tolerance = 1e-12 if dtype is np.float64 else 1e-5
    for slide in (file._causal_conv_numpy, file._causal_conv_numba):
        y = slide(x, taps_of(weight))
        assert y.dtype == dtype
        np.testing.assert_allclose(y, wanted, atol=tolerance)


@pytest.mark.parametrize(("T", "K"), [(1, 5), (4, 7), (9, 3)])
def test_gradients(rng, T, K):
    p = {"weight": rng.standard_normal((3, 1, K))}
    comparison = check.gradient(causal_conv, causal_conv_backward, rng.standard_normal((T, 3)), p, rng=rng)
    assert all(row.absolute < 1e-7 for row in comparison.rows), f"\n{comparison}"  # taps before the beginning have 0
    p = {"weight": rng.standard_normal((4, 3, 1))}
    comparison = check.gradient(pointwise, pointwise_backward, rng.standard_normal((T, 3)), p, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


def test_the_future_is_not_seen(rng):
    x, p = rng.standard_normal((20, 4)), {"weight": rng.standard_normal((4, 1, 7))}
    changed = x.copy()
    changed[12:] += 1
    np.testing.assert_array_equal(causal_conv(x, p)[0][:12], causal_conv(changed, p)[0][:12])


def test_a_gradient_of_another_shape_is_refused(rng):
    x = rng.standard_normal((5, 3))
    _, cache = causal_conv(x, {"weight": rng.standard_normal((3, 1, 3))})
    with pytest.raises(ObjectiveError):
        causal_conv_backward(x[:4], cache)
    _, cache = pointwise(x, {"weight": rng.standard_normal((2, 3, 1))})
    with pytest.raises(ObjectiveError):
        pointwise_backward(x, cache)
