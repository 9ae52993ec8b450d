import math

import numpy as np
import pytest

from xlsr_ref.ops import norm
from xlsr_ref.ops.norm import group_norm, layer_norm


def one_row(values, eps):
    """The equation, one number at a time, in float64."""
    mean = math.fsum(values) / len(values)
    var = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(var + eps) for v in values]


def parameters(rng, C, dtype):
    return {"weight": rng.standard_normal(C).astype(dtype), "bias": rng.standard_normal(C).astype(dtype)}


def reference(x, p, eps, axis):
    normalised = np.apply_along_axis(lambda values: one_row(values, eps), axis, x.astype(float))
    return normalised * p["weight"] + p["bias"], normalised


CASES = [(1, 1), (1, 7), (7, 1), (5, 6), (1500, 70)]  # the last one is more than one block of rows


@pytest.mark.parametrize(("normalise", "axis"), [(layer_norm, 1), (group_norm, 0)])
@pytest.mark.parametrize(("T", "C"), CASES)
@pytest.mark.parametrize("eps", [1e-5, 0.5])  # 0.5 shows where eps stands
def test_equals_the_equation(rng, normalise, axis, T, C, eps):
    x, p = rng.standard_normal((T, C)) * 2 + 3, parameters(rng, C, float)
    y, cache = normalise(x, p, eps)
    expected, normalised = reference(x, p, eps, axis)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    np.testing.assert_allclose(cache.normalised, normalised, atol=1e-12)
    np.testing.assert_allclose(cache.inv_std.ravel(), 1 / np.sqrt(x.var(axis=axis) + eps), rtol=1e-12)
    assert cache.weight is p["weight"]


@pytest.mark.parametrize(("normalise", "axis"), [(layer_norm, 1), (group_norm, 0)])
@pytest.mark.parametrize("mean", [0, 1000])
def test_float32_loses_no_digits_to_a_large_mean(rng, normalise, axis, mean):
    x = (rng.standard_normal((2000, 300)) + mean).astype(np.float32)
    p = {"weight": np.ones(300, np.float32), "bias": np.zeros(300, np.float32)}
    y, cache = normalise(x, p)
    expected, _ = reference(x, p, 1e-5, axis)
    assert np.abs(y - expected).max() < 1e-6  # float32's own rounding of numbers up to 5
    assert y.dtype == cache.normalised.dtype == cache.inv_std.dtype == np.float32


@pytest.mark.parametrize("kind", ["layer", "group"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "C"), CASES)
def test_kernel_equals_twin(rng, kind, dtype, T, C):
    x, p = (rng.standard_normal((T, C)) * 5 + 1).astype(dtype), parameters(rng, C, dtype)
    kernel = getattr(norm, f"_{kind}_norm_numba")(x, p["weight"], p["bias"], 1e-5)
    twin = getattr(norm, f"_{kind}_norm_numpy")(x, p["weight"], p["bias"], 1e-5)
    for ours, theirs in zip(kernel, twin):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype == dtype
        assert np.abs(ours - theirs).max() <= (2e-6 if dtype == np.float32 else 1e-12) * max(1, np.abs(theirs).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "C"), [(1, 1), (1, 7), (5, 6), (1500, 70)])
def test_the_backward_kernel_equals_its_twin(rng, dtype, T, C):
    x, p = (rng.standard_normal((T, C)) * 5 + 1).astype(dtype), parameters(rng, C, dtype)
    _, cache = layer_norm(x, p)
    dy = rng.standard_normal((T, C)).astype(dtype)
    kernel, twin = norm._layer_norm_backward_numba(dy, *cache), norm._norm_backward_numpy(dy, *cache)
    for ours, theirs in zip(kernel, twin):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype == dtype
        assert np.abs(ours - theirs).max() <= (2e-6 if dtype == np.float32 else 1e-12) * max(1, np.abs(theirs).max())


@pytest.mark.parametrize("normalise", [layer_norm, group_norm])
def test_a_constant_gives_the_bias(normalise):
    p = {"weight": np.full(4, 2.0), "bias": np.arange(4.0)}
    np.testing.assert_array_equal(normalise(np.full((3, 4), 7.0), p)[0], np.tile(np.arange(4.0), (3, 1)))


def test_read_only_and_strided_inputs(rng):
    x, p = rng.standard_normal((8, 6)), parameters(rng, 3, float)
    for array in p.values():
        array.flags.writeable = False
    view = x[::2, ::2]
    view.flags.writeable = False
    for normalise in (layer_norm, group_norm):
        np.testing.assert_array_equal(normalise(view, p)[0], normalise(view.copy(), p)[0])
