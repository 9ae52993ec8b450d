"""Floats of every width, against what IEEE 754 says of their bits."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from small_checkpoints import craft, refusal

from xlsr_ref.checkpoint.floats import to_float
from xlsr_ref.checkpoint.safetensors_file import read_arrays
from xlsr_ref.checkpoint.tensors import BF16, DTYPES


def value_of(bits: np.ndarray, exponent_bits: int, fraction_bits: int) -> np.ndarray:
    """What IEEE 754 says these bits mean: sign, exponent, fraction, in float64."""
    sign = np.where(bits >> (exponent_bits + fraction_bits) & 1, -1.0, 1.0)
    exponent = (bits >> fraction_bits & (1 << exponent_bits) - 1).astype(int)
    fraction = (bits & (1 << fraction_bits) - 1) / (1 << fraction_bits)
    bias, largest = (1 << exponent_bits - 1) - 1, (1 << exponent_bits) - 1
    value = np.where(exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias))
    return sign * np.where(exponent == largest, np.where(fraction == 0, np.inf, np.nan), value)


@pytest.mark.parametrize(("stored", "exponent_bits", "fraction_bits"), [("BF16", 8, 7), ("F16", 5, 10)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_half_float_is_exact(stored, exponent_bits, fraction_bits, dtype):
    bits = np.arange(2**16, dtype="<u2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a NaN in a file is no accident of ours
        found = to_float(bits.view(DTYPES[stored]), dtype)
    assert found.dtype == dtype
    assert not found.flags.writeable
    expected = value_of(bits, exponent_bits, fraction_bits).astype(dtype)  # exact: both hold every half float
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), bits >= 2**15)  # minus zero, and the sign of NaN, too


def test_bfloat16_is_the_upper_half_of_a_float32():
    bits = np.arange(2**16, dtype="<u2")
    found = to_float(bits.view(BF16), "float32")
    np.testing.assert_array_equal(found.view(np.uint32), bits.astype(np.uint32) * 65536)  # NaN payloads too


def test_what_is_already_right_is_not_copied():
    array = np.ones((3, 4), np.float32)
    assert to_float(array, "float32") is array
    assert array.flags.writeable  # and not changed
    assert to_float(array, "float64").dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(to_float(np.array([1e300]), "float32"))  # as torch does


def test_unaligned_arrays_are_copied(tmp_path):
    content = craft(b"{%b}" % b'"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}', struct.pack("<f", 2.5))
    assert (len(content) - 4) % 4  # the data begins at an odd place
    (tmp_path / "x").write_bytes(content)
    view = read_arrays(tmp_path / "x")["a"]
    assert not view.flags.aligned
    copy = to_float(view, "float32")
    assert copy.flags.aligned
    assert not copy.flags.writeable
    assert copy == view == 2.5


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", DTYPES["F8_E5M2"]])
def test_what_holds_no_floats(dtype):
    assert "holds no floats" in refusal(to_float, np.zeros(3, dtype), "float32")
