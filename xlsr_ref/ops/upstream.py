"""The upstream gradient: what every backward function begins with.

A loss's gradient with respect to a result has that result's shape and dtype. Anything else would be stretched over the
wrong axis by broadcasting, or read past its end by a kernel, and give numbers all the same: so it is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.unmasked import refuse_masked


def require_upstream(dy: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise ObjectiveError unless ``dy`` is an array of the result's ``shape`` and ``dtype``."""
    refuse_masked(dy, "the gradient", ObjectiveError)
    if not isinstance(dy, np.ndarray):
        raise ObjectiveError(f"the gradient is a {type(dy).__name__}: it must be an array of {dtype}, shape {shape}")
    if (dy.shape, dy.dtype) != (shape, dtype):
        raise ObjectiveError(f"the gradient is {dy.dtype} of shape {dy.shape}, but the result was {dtype} of {shape}")
