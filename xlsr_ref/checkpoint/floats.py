"""Floats of every width: bfloat16 is the upper half of a float32, and NumPy does not have it.

widened      the same values in a dtype that NumPy computes with
to_float     as float32 or float64, for a network's parameters
from_float   rounded to a stored dtype, to nearest, ties to even
"""

from __future__ import annotations

import numpy as np

from xlsr_ref.checkpoint.tensors import BF16, DTYPE_NAMES, DTYPES
from xlsr_ref.errors import WeightsError


def widened(array: np.ndarray) -> np.ndarray:
    """bfloat16 as float32: exact for subnormals, infinities and NaN too. All others stay as they are."""
    if array.dtype != BF16:
        return array
    bits = array["BF16"].astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def to_float(array: np.ndarray, dtype: str | np.dtype) -> np.ndarray:
    """``array``, of any float dtype, as read-only float32 or float64; itself where it already is, and is aligned.

    What is too large becomes infinite, and NaN stays NaN, as in torch. Raises WeightsError for what holds no floats.
    """
    if array.dtype == dtype and array.flags.aligned:
        return array
    if array.dtype != BF16 and array.dtype.kind != "f":
        raise WeightsError(f"a tensor of dtype {DTYPE_NAMES.get(array.dtype, array.dtype)} holds no floats")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = widened(array).astype(dtype, copy=array.dtype != BF16)
    converted.flags.writeable = False
    return converted


def from_float(values: np.ndarray, dtype: str) -> np.ndarray:
    """float16, 32 or 64 as the stored ``dtype`` ("F16", "BF16" …), rounded to nearest, ties to even."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype != "BF16":
            return values.astype(DTYPES[dtype])
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        nan = (bits & 0x7FFFFFFF) > 0x7F800000
        return np.where(nan, bits >> 16 | 0x40, rounded).astype("<u2").view(BF16)
