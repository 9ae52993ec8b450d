import math

import numpy as np
import pytest

from xlsr_ref.ops import softmax as module
from xlsr_ref.ops.softmax import softmax_in_place


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_equation(rng, dtype):
    scores = (rng.standard_normal((7, 5)) * 3).astype(dtype)
    expected = [[math.exp(x) / math.fsum(math.exp(float(v)) for v in row) for x in row] for row in scores]
    given = scores.copy()
    result = softmax_in_place(given)
    assert result is given
    np.testing.assert_allclose(result, expected, rtol=2e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_do_not_overflow(dtype):
    scores = np.array([[1e4, 1e4, -1e4], [-3e4, -3e4, -3e4]], dtype)
    np.testing.assert_allclose(softmax_in_place(scores.copy()), [[0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)


def test_the_softmax_kernel_equals_its_twin(rng):
    scores = (rng.standard_normal((50, 333)) * 8).astype(np.float32)
    scores[0, :5] = -np.inf
    scores[1] = 0
    scores[2, 7] = 200  # everything else far below 2^-126
    kernel, twin = module._softmax_in_place_numba(scores.copy()), module._softmax_in_place_numpy(scores.astype(float))
    assert np.abs(kernel - twin).max() < 1e-6  # of the largest weight, 1
    assert (kernel[0, :5] == 0).all()
    likely = twin > 1e-4
    np.testing.assert_allclose(kernel[likely], twin[likely], rtol=3e-6)  # float32 rounds the score itself to 2e-6


def test_the_exponential_is_right_everywhere():
    x = np.concatenate([np.linspace(-87, 0, 50_001), [-87.4, -88, -1000, -np.inf, -0.0]]).astype(np.float32)
    ours = np.array([module.exp_float32(value) for value in x])
    exact = np.array([math.exp(float(value)) for value in x])
    large = x > -87.5
    assert (np.abs(ours[large] / exact[large] - 1)).max() < 2.5e-7
    assert (ours[~large] == 0).all()


def test_nan_stays_visible():
    with np.errstate(invalid="ignore"):
        weights = softmax_in_place(np.array([[0, np.nan, 1], [0, np.inf, 1], [0, 0, 0]], np.float32))
    assert np.isnan(weights[:2]).all()
    np.testing.assert_allclose(weights[2], 1 / 3, rtol=1e-6)


@pytest.mark.parametrize("shift", [0, -300, 300])
def test_the_largest_score_of_a_row_is_found_whatever_its_sign(rng, shift):
    """The kernel compares the bits of the scores as whole numbers; exp of what is above the maximum would overflow."""
    scores = (rng.standard_normal((40, 37)) * np.logspace(-3, 2.5, 40)[:, None] + shift).astype(np.float32)
    scores[0, :3] = 0.0, -0.0, -1e-40
    scores[1] = -np.abs(scores[1]) - 1e-3
    scores[2, 5], scores[3, 7] = -1e30, -np.inf
    scores[4, 0], scores[4, 1:] = -0.5, -100
    expected = module._softmax_in_place_numpy(scores.astype(np.float64))
    np.testing.assert_allclose(module._softmax_in_place_numba(scores), expected, rtol=2e-5, atol=1e-7)
