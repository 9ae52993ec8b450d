"""How loud a recording is from one hundredth of a second to the next.

    level[n] = 10 log10( mean of x² over samples n · rate / 100 … (n + 1) · rate / 100 )         in dB of full scale

What remains at the end and is shorter is left out. Letters: L samples.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

STEP = 0.01  # seconds
SILENCE = 1e-12  # power of −120 dB: the least


def levels(pieces: Iterable[np.ndarray], sampling_rate: int) -> np.ndarray:
    """The levels in dB (n,), STEP apart, of a recording that comes in ``pieces`` (m,) of any sizes."""
    block, held, found = round(sampling_rate * STEP), np.empty(0), [np.empty(0)]
    for piece in pieces:
        x = np.concatenate([held, piece])
        whole = len(x) // block * block
        power = np.square(x[:whole].astype(np.float64)).reshape(-1, block).mean(axis=1)
        found.append(10 * np.log10(np.maximum(power, SILENCE)))
        held = x[whole:]
    return np.concatenate(found)
