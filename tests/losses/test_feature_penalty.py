"""The L2 penalty on the features."""

import numpy as np
import pytest

from xlsr_ref.losses.feature_penalty import feature_penalty, feature_penalty_backward
from xlsr_ref.teach import check

LENGTHS, C = (5, 3), 4


def test_the_penalty_is_the_mean_of_all_squares(rng):
    batch = [rng.standard_normal((T, C)) for T in LENGTHS]
    penalty, _ = feature_penalty(batch)
    assert penalty == pytest.approx((np.concatenate(batch) ** 2).mean(), rel=1e-14)
    assert penalty != pytest.approx(np.mean([(x**2).mean() for x in batch]), rel=1e-3)  # not a mean of means


def test_its_gradient(rng):
    def forward(x, p):
        penalty, cache = feature_penalty([x[:5], x[5:]])
        return np.array([penalty]), cache

    def backward(dy, cache):
        return np.concatenate(feature_penalty_backward(dy[0], cache)), {}

    comparison = check.gradient(forward, backward, rng.standard_normal((sum(LENGTHS), C)), rng=rng)
    assert comparison.worst < 1e-6, str(comparison)


def test_float32_stays_float32(rng):
    x = rng.standard_normal((5, C)).astype(np.float32)
    _, cache = feature_penalty([x])
    assert feature_penalty_backward(np.float64(3), cache)[0].dtype == np.float32
