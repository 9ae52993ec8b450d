"""Functions with a piece of their source replaced: what changes, what stays, what is refused."""

import inspect
import math

import numpy as np
import pytest

from xlsr_ref.ops import activation, norm
from xlsr_ref.ops.norm import layer_norm
from xlsr_ref.teach import check


def area(r):
    return 3 * math.pow(r, 2) / 3 * math.pi


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((5, 8)), {"weight": rng.standard_normal(8), "bias": rng.standard_normal(8)}


def test_one_piece_is_replaced_and_the_function_itself_stays():
    double = check.changed(area, "math.pi", "math.tau")
    assert double(2.0) == 2 * area(2.0)
    assert area(1.0) == math.pi
    assert double.__name__ == "area"


def test_the_source_of_the_changed_function_can_be_read_and_changed_again():
    double = check.changed(area, "math.pi", "math.tau")
    assert inspect.getsource(double) == inspect.getsource(area).replace("math.pi", "math.tau")
    assert check.changed(double, "math.tau", "1")(3.0) == pytest.approx(9)
    assert "math.tau" in inspect.getsource(double)  # each has its own


@pytest.mark.parametrize(("old", "count"), [("math.e", 0), ("math", 2), ("", 0)])
def test_a_piece_that_does_not_occur_once_is_refused(old, count):
    with pytest.raises(ValueError, match=f"must occur once in area, but occurs {count} times"):
        check.changed(area, old, "1")


def test_a_closure_is_refused():
    offset = 1

    def shifted(x):
        return x + offset

    with pytest.raises(ValueError, match="shifted is a closure over offset"):
        check.changed(shifted, "x +", "x -")


def test_what_is_not_written_in_python_is_refused():
    with pytest.raises(ValueError, match="not a function written in Python"):
        check.changed(math.sqrt, "a", "b")


def test_the_library_keeps_its_own_line(inputs):
    x, p = inputs
    y, _ = layer_norm(x, p)
    broken = check.changed(norm._layer_norm_numpy, "x - mean", "x + mean")
    assert not np.allclose(broken(x, p["weight"], p["bias"], 1e-5)[0], y)
    np.testing.assert_array_equal(layer_norm(x, p)[0], y)


def test_a_kernel_is_compiled_again_and_put_into_its_room(inputs):
    x, p = inputs
    loop = check.changed(norm._layer_norm_loop, "x[t, c] - mean) * scale", "x[t, c] + mean) * scale")
    kernel = check.using(norm._layer_norm_numba, _layer_norm_loop=loop)
    changed_norm = check.using(layer_norm, _layer_norm=kernel)
    mean = x.mean(axis=1, keepdims=True)
    wrong = layer_norm(x, p)[0] + 2 * mean / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) * p["weight"]
    check.close(changed_norm(x, p)[0], wrong, 1e-13)
    assert type(loop) is type(norm._layer_norm_loop)  # compiled if the kernels are
    assert changed_norm.__doc__ == layer_norm.__doc__


def test_using_keeps_defaults(inputs):
    x, p = inputs
    changed_norm = check.using(layer_norm, _layer_norm=norm._layer_norm_numpy)
    np.testing.assert_array_equal(changed_norm(x, p)[0], changed_norm(x, p, 1e-5)[0])
    assert not np.array_equal(changed_norm(x, p)[0], changed_norm(x, p, eps=1e-1)[0])


@pytest.mark.parametrize("name", ["_gelu", "normalised", "weight", "_layer_normm"])
def test_using_refuses_a_name_that_the_function_does_not_look_up(name):
    with pytest.raises(ValueError, match=f"layer_norm does not use {name}"):
        check.using(layer_norm, **{name: activation._gelu})


def test_an_attribute_is_no_name_that_the_function_looks_up():
    with pytest.raises(ValueError, match="_layer_norm_numpy does not use mean"):
        check.using(norm._layer_norm_numpy, mean=sum)
