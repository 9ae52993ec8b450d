"""What is derived from a parameter: computed once while the array is read-only and lives; the same bits either way."""

import gc
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.ops import derived as derived_file
from xlsr_ref.ops.conv import kernel_rows
from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.micro_kernel import BLOCKS
from xlsr_ref.ops.tree import flatten, nest, read_only
from xlsr_ref.ops.weight_norm import effective_kernel, weight_norm

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def doubled():
    """A function that counts how often it is called."""
    calls = []

    def function(x):
        calls.append(x)
        return 2 * x

    function.calls = calls
    return function


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def test_a_read_only_array_is_computed_with_once(doubled):
    x = frozen(np.arange(3.0))
    first, second = derived(doubled, x), derived(doubled, x)
    assert first is second
    assert len(doubled.calls) == 1
    np.testing.assert_array_equal(first, [0, 2, 4])
    assert derived(kernel_rows, frozen(np.ones((2, 2, 3)))).shape == (2, 6)


def test_another_array_or_function_is_another_value(doubled):
    x, y = frozen(np.arange(3.0)), frozen(np.arange(3.0))
    derived(doubled, x)
    derived(doubled, y)
    assert len(doubled.calls) == 2
    assert derived(np.negative, x)[1] == -1


def test_what_can_be_written_to_is_computed_anew(doubled):
    x = np.arange(3.0)
    derived(doubled, x)
    x[:] = 5
    np.testing.assert_array_equal(derived(doubled, x), [10, 10, 10])


def test_the_value_goes_with_its_array(doubled):
    gc.collect()  # what other tests left in circles
    before = len(derived_file._known)
    x = frozen(np.arange(3.0))
    derived(lambda array: 2 * array, x)
    assert len(derived_file._known) == before + 1
    del x
    gc.collect()
    assert len(derived_file._known) == before


def test_views_of_a_step_are_read_only_and_the_parameters_are_not():
    p = {"a": {"b": np.zeros(3)}}
    views = read_only(p)
    with pytest.raises(ValueError, match="read-only"):
        views["a"]["b"][0] = 1
    p["a"]["b"][0] = 1
    assert views["a"]["b"][0] == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_networks_bits_do_not_depend_on_it(dtype, rng):
    model, x = xlsr_ref.load(dtype=dtype), rng.standard_normal(4000)
    logits = model.logits(x, 16000)
    writeable = nest({name: array.copy() for name, array in flatten(model.params).items()})
    model.network.params = writeable
    np.testing.assert_array_equal(model.logits(x, 16000), logits)
    writeable["wav2vec2"]["feature_extractor"]["conv_layers"]["2"]["conv"]["weight"][:] = 0
    assert not np.array_equal(model.logits(x, 16000), logits)


def test_a_kernel_is_a_matrix_tap_after_tap(rng):
    weight = rng.standard_normal((4, 3, 5))
    np.testing.assert_array_equal(kernel_rows(weight)[:, :3], weight[:, :, 0])  # the first tap comes first
    g, v = rng.standard_normal((1, 1, 5)), rng.standard_normal((4, 3, 5))
    np.testing.assert_array_equal(weight_norm({"weight_g": g, "weight_v": v})[0], effective_kernel(g, v)[0])


@pytest.mark.parametrize("name", ["xlsr", "base", "bare"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_report_of_a_load_says_how_much_it_will_be(name, dtype):
    model = xlsr_ref.load(GOLDEN / name, dtype)
    base = model.network.base
    layers = base["feature_extractor"]["conv_layers"].values()
    size = sum(kernel_rows(layer["conv"]["weight"]).nbytes for layer in layers)
    size += weight_norm(base["encoder"]["pos_conv_embed"]["conv"])[0].nbytes
    if BLOCKS and dtype == "float32":  # the matrices of all linear layers are packed
        size += sum(w.nbytes for name, w in flatten(model.params).items() if name.endswith(".weight") and w.ndim == 2)
    assert model.report.prepared_bytes == size
    assert f"prepared {size / 2**20:,.1f} MiB" in str(model.report)
