import math
from itertools import pairwise

import numpy as np
import pytest

from xlsr_ref.ops import norm
from xlsr_ref.ops.norm import group_norm, joined_moments, layer_norm, moments


def one_row(values, eps):
    """The equation, one number at a time, in float64."""
    mean = math.fsum(values) / len(values)
    var = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(var + eps) for v in values]


def parameters(rng, C, dtype):
    return {"weight": rng.standard_normal(C).astype(dtype), "bias": rng.standard_normal(C).astype(dtype)}


def reference(x, p, eps, axis):
    normalised = np.apply_along_axis(lambda values: one_row(values, eps), axis, x.astype(float))
    return normalised * p["weight"] + p["bias"]


CASES = [(1, 1), (1, 7), (7, 1), (5, 6), (1500, 70)]  # the last one is more than one block of rows


@pytest.mark.parametrize(("normalise", "axis"), [(layer_norm, 1), (group_norm, 0)])
@pytest.mark.parametrize(("T", "C"), CASES)
@pytest.mark.parametrize("eps", [1e-5, 0.5])  # 0.5 shows where eps stands
def test_equals_the_equation(rng, normalise, axis, T, C, eps):
    x, p = rng.standard_normal((T, C)) * 2 + 3, parameters(rng, C, float)
    y, cache = normalise(x, p, eps)
    np.testing.assert_allclose(y, reference(x, p, eps, axis), atol=1e-12)
    assert cache.x is x
    assert cache.weight is p["weight"]
    if normalise is layer_norm:
        np.testing.assert_allclose(cache.mean, x.mean(axis=1, keepdims=True), atol=1e-12)
        np.testing.assert_allclose(cache.inv_std.ravel(), 1 / np.sqrt(x.var(axis=1) + eps), rtol=1e-12)


@pytest.mark.parametrize(("normalise", "axis"), [(layer_norm, 1), (group_norm, 0)])
@pytest.mark.parametrize("mean", [0, 1000])
def test_float32_loses_no_digits_to_a_large_mean(rng, normalise, axis, mean):
    x = (rng.standard_normal((2000, 300)) + mean).astype(np.float32)
    p = {"weight": np.ones(300, np.float32), "bias": np.zeros(300, np.float32)}
    y, _ = normalise(x, p)
    assert np.abs(y - reference(x, p, 1e-5, axis)).max() < 1e-6  # float32's own rounding of numbers up to 5
    assert y.dtype == np.float32


@pytest.mark.parametrize("kind", ["layer_norm", "moments", "scale_columns"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "C"), CASES)
def test_kernel_equals_twin(rng, kind, dtype, T, C):
    x, p = (rng.standard_normal((T, C)) * 5 + 1).astype(dtype), parameters(rng, C, dtype)
    arguments = {
        "layer_norm": (x, p["weight"], p["bias"], 1e-5),
        "moments": (x,),
        "scale_columns": (x, rng.standard_normal(C), rng.random(C) + 0.1, p["weight"], p["bias"]),
    }[kind]
    kernel, twin = getattr(norm, f"_{kind}_numba")(*arguments), getattr(norm, f"_{kind}_numpy")(*arguments)
    if kind == "scale_columns":
        kernel, twin = (kernel,), (twin,)
    for i, (ours, theirs) in enumerate(zip(kernel, twin, strict=True)):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype == (dtype if i == 0 and kind != "moments" else np.float64)
        assert np.abs(ours - theirs).max() <= (2e-6 if dtype == np.float32 else 1e-12) * max(1, np.abs(theirs).max())


@pytest.mark.parametrize("cuts", [[0, 1, 50], [0, 20, 21, 49, 50]])
def test_moments_of_pieces_join_to_those_of_the_whole(rng, cuts):
    x = rng.standard_normal((50, 6)) * 3 + 1000
    joined = joined_moments([moments(x[a:b]) for a, b in pairwise(cuts)])
    assert joined.frames == 50
    np.testing.assert_allclose(joined.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(joined.squares, 50 * x.var(axis=0), rtol=1e-12)


def test_a_piece_is_normalised_by_the_moments_of_the_whole(rng):
    x, p = rng.standard_normal((50, 6)) + 2, parameters(rng, 6, float)
    y, _ = group_norm(x, p)
    piece, cache = group_norm(x[10:20], p, stats=moments(x))
    np.testing.assert_array_equal(piece, y[10:20])
    assert cache.x.shape == (10, 6)


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
