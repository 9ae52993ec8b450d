"""Masked arrays: NumPy's arrays with gaps, which `np.asarray` fills with whatever numbers lie under the mask.

A gap has no sound, no gradient and no letter, and a number in its place would give a result all the same: so an array
with a mask is refused, also where the mask hides nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xlsr_ref.errors import XlsrError


def refuse_masked(value: Any, what: str, error: type[XlsrError]) -> None:
    """Raise ``error`` if ``value``, which a message calls ``what``, is a masked array."""
    if isinstance(value, np.ma.MaskedArray):
        hidden = int(np.ma.count_masked(value))
        raise error(
            f"{what}: a masked array, {hidden} of whose {value.size} values are hidden, is not taken: fill the gaps "
            "(array.filled(0)) or cut them out (array.compressed()) first"
        )
