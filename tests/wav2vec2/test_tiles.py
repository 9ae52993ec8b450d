import numpy as np
import pytest

from xlsr_ref.ops import conv_length
from xlsr_ref.wav2vec2.tiles import FRAMES, tiles

RELEASED = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
ODD = (5, 3, 2, 4), (3, 2, 1, 5)  # strides above, below and at the kernel


@pytest.mark.parametrize(("kernels", "strides"), [RELEASED, ODD])
@pytest.mark.parametrize("samples", [400, 401, 719, 720, 16000, 50001, 200003])
def test_every_row_has_one_owner_and_every_tile_has_what_it_needs(kernels, strides, samples):
    pieces = tiles(samples, kernels, strides)
    lengths = [samples]
    for kernel, stride in zip(kernels, strides):
        lengths.append((lengths[-1] - kernel) // stride + 1)
    assert lengths[-1] == conv_length.frames(samples, kernels, strides)
    for i in range(len(kernels)):
        owned = np.concatenate([np.arange(tile.own[i].start, tile.own[i].stop) for tile in pieces])
        np.testing.assert_array_equal(owned, np.arange(lengths[i + 1]))
    for tile in pieces:
        assert tile.rows[-1] == tile.own[-1]
        for i, (kernel, stride) in enumerate(zip(kernels, strides)):
            needed = tile.rows[i].stop - tile.rows[i].start
            made = tile.rows[i + 1].stop - tile.rows[i + 1].start
            assert (needed - kernel) // stride + 1 == made
            assert tile.rows[i].start == tile.rows[i + 1].start * stride
            assert tile.own[i].start == tile.rows[i + 1].start
            assert tile.own[i].stop <= tile.rows[i + 1].stop


def test_neighbours_overlap_by_what_a_frame_sees_beyond_its_hop():
    first, second, *_ = tiles(160000, *RELEASED)
    assert first.rows[0].stop - second.rows[0].start == 400 - 320


def test_tiles_of_a_long_recording_are_full_and_of_a_short_one_are_several():
    assert max(tile.own[-1].stop - tile.own[-1].start for tile in tiles(1600000, *RELEASED)) == FRAMES
    assert len(tiles(3 * 16000, *RELEASED)) == 4
    assert len(tiles(400, *RELEASED)) == 1
