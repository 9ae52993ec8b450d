import math

import numpy as np
import pytest

from xlsr_ref.ops import activation
from xlsr_ref.ops.activation import gelu, glu, glu_backward, relu, relu_backward, sigmoid, swish, swish_backward
from xlsr_ref.teach import check

GRID = np.concatenate([np.linspace(-12, 12, 200_001), [0.0, -0.0, 1e-30, -1e-30, 50.0, -50.0, 1e30, -1e30]])


def exact(x):
    return np.array([v / 2 * math.erfc(-v / math.sqrt(2)) for v in x])  # erfc: no cancellation on the negative side


def test_float64_is_exact():
    np.testing.assert_allclose(gelu(GRID)[0], exact(GRID), rtol=0, atol=1e-15 * np.maximum(1, np.abs(GRID)).max())
    small = GRID[np.abs(GRID) < 20]
    assert np.abs(gelu(small)[0] - exact(small)).max() < 1e-14


def test_float32_is_within_4e_7():
    x = GRID.astype(np.float32)
    error = np.abs(gelu(x)[0].astype(float) - exact(x.astype(float)))
    assert (error / np.maximum(1, np.abs(x))).max() < 1.2e-7  # one rounding of float32, and erf's 1.5e-8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_erf_form_not_tanh(dtype):
    """Near 2.70 the tanh form is 4.7e-4 away: this must fail for it."""
    x = np.array([2.70, -2.70], dtype)
    tanh_form = x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert np.abs(gelu(x)[0] - tanh_form).min() > 4e-4
    assert np.abs(gelu(x)[0] - exact(x.astype(float))).max() < 3e-7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity(dtype):
    with np.errstate(invalid="ignore"):
        y, _ = gelu(np.array([np.nan, np.inf], dtype))
    assert np.isnan(y[0])
    assert y[1] == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_equals_twin(rng, dtype):
    x = rng.standard_normal((301, 300)).astype(dtype) * 3  # more than one block
    kernel, twin = activation._gelu_numba(x), activation._gelu_numpy(x.astype(float))
    tolerance = 4e-7 if dtype == np.float32 else 1e-12
    assert np.abs(kernel - twin).max() < tolerance * np.abs(twin).max()
    assert kernel.dtype == dtype
    assert activation._gelu_numpy(x).dtype == dtype


def test_any_shape_and_layout(rng):
    x = rng.standard_normal((6, 5))
    for view in (x.T, x[::2, 1:4], x[0], x[:, :0]):
        y, cache = gelu(view)
        assert y.shape == view.shape
        np.testing.assert_allclose(y, exact(view.ravel()).reshape(view.shape), atol=1e-15)
        assert cache.x is view


def test_far_below_zero_nothing_is_left():
    """x Φ(x) falls to 0 faster than x grows; an error of Φ would grow with it."""
    assert np.abs(gelu(np.array([-5.6, -6, -100, -1e4, -1e30], np.float32))[0]).max() < 1e-7


# --- the activations of heads and adapters ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_glu_and_sigmoid_at_their_ends(dtype):
    x = np.array([[-1000, -1, 0, 2, 1000]], dtype)
    y, cache = relu(x)
    assert y.tolist() == [[0, 0, 0, 2, 1000]]
    assert relu_backward(np.ones_like(x), cache)[0].tolist() == [[0, 0, 0, 1, 1]]  # at 0 as torch
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(sigmoid(x), [[0, 1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2)), 1]], rtol=1e-6)
    gated, _ = glu(np.array([[3, 5, 0, 1000]], dtype))  # two values, then their two gates
    assert gated.tolist() == [[1.5, 5]]
    assert y.dtype == sigmoid(x).dtype == gated.dtype == dtype
    assert np.isnan(relu(np.array([np.nan], dtype))[0]).all()


def test_gradients_of_relu_and_glu(rng):
    x = rng.standard_normal((7, 6))
    for forward, backward in [(relu, relu_backward), (glu, glu_backward), (swish, swish_backward)]:
        comparison = check.gradient(lambda x, p, forward=forward: forward(x), backward, x, rng=rng)
        assert comparison.worst < 1e-6, f"\n{comparison}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 2), (300, 600)])
def test_the_kernel_of_glu_equals_its_twin(rng, dtype, shape):
    x = (rng.standard_normal(shape) * 5).astype(dtype)
    x[0, -1] = -1000  # a gate that is shut
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for kernel, twin in zip(activation._glu_numba(x), activation._glu_numpy(x.astype(np.float64))):
        np.testing.assert_allclose(kernel, twin, **tolerance)
        assert kernel.dtype == dtype
    strided = np.asfortranarray(x)
    np.testing.assert_array_equal(activation._glu_numba(strided)[0], activation._glu_numba(x)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swish_and_its_kernel(rng, dtype):
    """One rounding of float32, and one of its e^x, are 2e-7 of a value up to 100."""
    x = np.concatenate([rng.standard_normal(1000) * 10, [0, 88, -88, 1000, -1000, 1e-30]]).astype(dtype).reshape(1, -1)
    wide = x.astype(np.float64)
    wanted = wide * sigmoid(wide)
    dy = rng.standard_normal(x.shape).astype(dtype)
    slope = dy * sigmoid(wide) * (1 + wide * (1 - sigmoid(wide)))
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for forward in (activation._swish_numpy, activation._swish_numba):
        y = forward(x)
        assert y.dtype == dtype
        np.testing.assert_allclose(y, wanted, **tolerance)
    for backward in (activation._swish_backward_numpy, activation._swish_backward_numba):
        np.testing.assert_allclose(backward(dy, x), slope, **tolerance)
    assert np.isnan(activation._swish_numba(np.array([[np.nan]], np.float32))).all()
