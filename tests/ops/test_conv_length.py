"""How many frames a convolutional encoder makes, how far apart, and how much each sees."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr_ref.ops import conv_length

KERNEL, STRIDE = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # the released models


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (0, 0),
        (399, 0),
        (400, 1),
        (719, 1),
        (720, 2),
        (3200, 9),
        (3280, 10),
        (16000, 49),
        (16080, 50),
        (80000, 249),
        (160000, 499),
        (240000, 749),
        (320000, 999),
    ],
)
def test_frames_of_the_released_models(samples, expected):
    assert conv_length.frames(samples, KERNEL, STRIDE) == expected


def test_hop_and_field_of_the_released_models():
    assert conv_length.hop(STRIDE) == 320
    assert conv_length.receptive_field(KERNEL, STRIDE) == 400


def test_frames_hop_and_field_count_windows_for_any_encoder():
    rng = np.random.default_rng(0)
    for _ in range(200):
        layers = rng.integers(1, 5)
        kernel, stride = (tuple(int(v) for v in rng.integers(1, 6, layers)) for _ in range(2))
        field, hop = conv_length.receptive_field(kernel, stride), conv_length.hop(stride)
        for samples in range(3 * field):
            positions = range(samples)
            for k, s in zip(kernel, stride):  # slide each layer's window over the positions of the layer below
                positions = range(0, len(positions) - k + 1, s)
            assert conv_length.frames(samples, kernel, stride) == len(positions)
            assert (len(positions) > 0) == (samples >= field)
        assert conv_length.frames(field + hop - 1, kernel, stride) == 1
        assert conv_length.frames(field + hop, kernel, stride) == 2
