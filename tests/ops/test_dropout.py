import numpy as np
import pytest

from xlsr_ref.ops.attention import scaled_dot_product, scaled_dot_product_backward
from xlsr_ref.ops.dropout import dropout, dropout_backward, dropout_factor
from xlsr_ref.teach import check


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_expectation_stays(rng, dtype, p):
    factor = dropout_factor(rng, (300, 200), p, dtype)
    assert factor.dtype == dtype
    assert set(np.unique(factor)) == {0, dtype(1) / dtype(1 - p)}
    assert abs((factor == 0).mean() - p) < 0.01  # 60,000 draws: five standard deviations at p = 0.5
    assert abs(factor.mean() - 1) < 0.06


def test_the_ends(rng):
    assert dropout_factor(rng, (3,), 0) is None
    assert (dropout_factor(rng, (3,), 1) == 0).all()
    x = rng.standard_normal((3, 4))
    y, cache = dropout(x, None)
    assert y is x
    assert dropout_backward(x, cache)[0] is x


def test_gradient(rng):
    factor = dropout_factor(rng, (7, 5), 0.4, np.float64)
    comparison = check.gradient(lambda x, p: dropout(x, factor), dropout_backward, rng.standard_normal((7, 5)), rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


def test_dropout_of_the_attention_weights(rng):
    inputs = {name: rng.standard_normal((9, 6)) for name in "qkv"}
    factor = dropout_factor(rng, (2, 9, 9), 0.4, np.float64)
    forward = lambda x, p: scaled_dot_product(p["q"], p["k"], p["v"], 2, factor)  # noqa: E731
    backward = lambda dy, cache: (x, dict(zip("qkv", scaled_dot_product_backward(dy, cache))))  # noqa: E731
    x = np.zeros(1)
    comparison = check.gradient(forward, backward, x, inputs, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    mixed, cache = forward(None, inputs)
    plain, _ = scaled_dot_product(inputs["q"], inputs["k"], inputs["v"], 2)
    weights = cache.weights * factor  # as they were before anything was dropped
    np.testing.assert_allclose(mixed[:, :3], weights[0] @ inputs["v"][:, :3], atol=1e-14)
    assert np.abs(mixed - plain).max() > 0.1
