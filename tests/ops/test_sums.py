import numpy as np
import pytest

from xlsr_ref.ops.sums import _sum_over_time_numba, _sum_over_time_numpy, sum_over_time


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "C"), [(1, 1), (7, 5), (1000, 64)])
def test_the_kernel_equals_its_twin(rng, dtype, T, C):
    for x in (rng.standard_normal((T, C)).astype(dtype), rng.standard_normal((C, T)).astype(dtype).T):
        found, wanted = _sum_over_time_numba(x), _sum_over_time_numpy(x)
        assert found.dtype == wanted.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 if dtype == np.float64 else 1e-5)


def test_no_digit_is_lost_on_the_way(rng):
    x = (1000 + rng.standard_normal((100_000, 3))).astype(np.float32)
    exact = x.astype(float).sum(axis=0)
    np.testing.assert_array_equal(sum_over_time(x), exact.astype(np.float32))  # one rounding, at the end
    running = np.add.accumulate(x, axis=0)[-1]
    assert np.abs(running - exact).max() > 10 * np.spacing(np.float32(1e8))  # a float32 running sum is far off
