"""How loud a recording is, every hundredth of a second."""

import numpy as np
import pytest

from xlsr_ref.audio.levels import levels


def test_a_sine_has_its_power():
    """A sine of amplitude ½ has the power ⅛, −9.03 dB; silence is −120 dB."""
    x = np.concatenate([0.5 * np.sin(2 * np.pi * np.arange(1600) / 16), np.zeros(1600)])
    found = levels([x], 16000)
    np.testing.assert_allclose(found, [10 * np.log10(1 / 8)] * 10 + [-120.0] * 10, rtol=1e-12)


@pytest.mark.parametrize("sizes", [[0, 5, 159, 160, 1000], [3333]])
def test_pieces_change_nothing(rng, sizes):
    x = rng.standard_normal(5000).astype(np.float32)
    pieces = np.split(x, np.cumsum(sizes))
    np.testing.assert_array_equal(levels(pieces, 16000), levels([x], 16000))
    assert len(levels([x], 16000)) == 31
    assert len(levels([], 16000)) == 0
