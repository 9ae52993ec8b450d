"""Chunks: which samples each hears, which frames each gives, and what the lengths in seconds mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.audio.chunks import Chunking, chunking, chunks, cut, first_pass
from xlsr_ref.errors import AudioError
from xlsr_ref.ops import conv_length

KERNEL, STRIDE = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # the released models: 400 samples a frame, 320 a hop
FRAME = 0.02  # seconds


# --- seconds to frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "stride", "expected"),
    [
        (None, None, Chunking(60.0, 1500, 250)),  # 30 s, 5 s on each side, above 60 s
        (None, 2, Chunking(60.0, 1500, 100)),
        (0, None, Chunking(math.inf, 0, 0)),  # never
        (0.0, None, Chunking(math.inf, 0, 0)),
        (12, None, Chunking(0.0, 600, 100)),  # always, and a sixth
        (10, 0, Chunking(0.0, 500, 0)),
        (np.float32(10), np.int64(4), Chunking(0.0, 500, 200)),
        (10.009, 4.011, Chunking(0.0, 500, 201)),  # to the nearest whole number of hops
        (0.02, None, Chunking(0.0, 1, 0)),
        (0.06, 0.02, Chunking(0.0, 3, 1)),  # one frame of its own
        (1e9, 0, Chunking(0.0, 5 * 10**10, 0)),
    ],
)
def test_what_the_seconds_mean(chunk, stride, expected):
    assert chunking(chunk, stride, FRAME) == expected


@pytest.mark.parametrize(
    ("chunk", "stride", "says"),
    [
        (-1, None, "a chunk of -1 s"),
        (math.nan, None, "a chunk of nan s"),
        (math.inf, None, "a chunk of inf s"),
        (10**400, None, "a chunk of 1000.*000 s"),  # no float is that large
        ("30", None, "a chunk of '30' s"),
        (True, None, "a chunk of True s"),
        ([30], None, r"a chunk of \[30\] s"),
        (30, -1, "a stride of -1 s"),
        (30, math.nan, "a stride of nan s"),
        (None, "5", "a stride of '5' s"),
        (0, math.nan, "a stride of nan s"),
        (0, 5, "needs chunks"),
        (30, 15, "15 s on each side leaves nothing of a chunk of 30 s: give a stride below 15 s"),
        (None, 15, "leaves nothing of a chunk of 30 s"),
        (30, 14.995, "leaves nothing"),  # 750 hops, twice: all of the 1500
        (30, 1e9, "leaves nothing"),
        (0.02, 0.02, "leaves nothing"),
        (0.009, None, r"a chunk of 0\.009 s is shorter than a frame: give at least 0\.02 s"),
        (1e-300, None, "shorter than a frame"),
    ],
)
def test_lengths_that_cannot_be(chunk, stride, says):
    with pytest.raises(AudioError, match=says) as error:
        chunking(chunk, stride, FRAME)
    assert "\n" not in str(error.value)


# --- frames to samples -----------------------------------------------------------------------------------------------


def test_the_plan_of_a_minute():
    """61 s in chunks of 30 s with 5 s of context: 20 s of its own each, and 5 s more at either end."""
    first, second, last = chunks(976_000, 1500, 250, KERNEL, STRIDE)
    assert first == (slice(0, 1499 * 320 + 400), slice(0, 1250), slice(0, 1250))
    assert second == (slice(1000 * 320, 2499 * 320 + 400), slice(1250, 2250), slice(250, 1250))
    assert last == (slice(2000 * 320, 976_000), slice(2250, 3049), slice(250, 1049))  # with what makes no more frame


def test_what_is_no_longer_than_a_chunk_is_one():
    for T, n in ((1, 1), (20, 1), (21, 2), (30, 2), (31, 3)):
        found = chunks(T * 320 + 80, 20, 5, KERNEL, STRIDE)
        assert len(found) == n
        assert found[0].samples.start == found[0].own.start == 0
        assert found[-1].samples.stop == T * 320 + 80


def test_each_frame_counts_once_and_has_its_context():
    """For any encoder, length, chunk and context: what the rows of numbered frames become, cut and put together."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        layers = rng.integers(1, 4)
        kernel, stride = (tuple(int(v) for v in rng.integers(1, 6, layers)) for _ in range(2))
        hop, field = conv_length.hop(stride), conv_length.receptive_field(kernel, stride)
        samples = int(rng.integers(field, 40 * hop + field))
        size = int(rng.integers(1, 20))
        context = int(rng.integers(0, (size + 1) // 2))
        T = conv_length.frames(samples, kernel, stride)
        numbered = np.arange(T)
        kept = []
        for chunk in chunks(samples, size, context, kernel, stride):
            heard = range(samples)[chunk.samples]
            assert heard.start % hop == 0
            computed = numbered[heard.start // hop :][: conv_length.frames(len(heard), kernel, stride)]
            assert len(computed) == min(size, T - heard.start // hop)
            kept.append(computed[chunk.own])
            np.testing.assert_array_equal(kept[-1], numbered[chunk.frames])
            assert len(kept[-1]) > 0
            assert chunk.own.start == (context if chunk.frames.start > 0 else 0)
            assert len(computed) - chunk.own.stop == (context if chunk.frames.stop < T else 0)
            assert heard.stop == samples if computed[-1] == T - 1 else len(heard) == (len(computed) - 1) * hop + field
        np.testing.assert_array_equal(np.concatenate(kept), numbered)


@pytest.mark.parametrize("samples", [*range(6320, 6800, 7), 400, 719, 720, 16080])
def test_as_many_frames_as_the_whole(samples):
    found = chunks(samples, 7, 2, KERNEL, STRIDE)
    assert sum(chunk.own.stop - chunk.own.start for chunk in found) == conv_length.frames(samples, KERNEL, STRIDE)


# --- samples from a stream -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[100], [1] * 100, [30, 0, 30, 40], [99, 1]])
@pytest.mark.parametrize(
    "parts",
    [
        [slice(0, 100)],
        [slice(0, 40), slice(30, 70), slice(60, 100)],
        [slice(0, 10), slice(20, 21), slice(90, 95)],  # gaps: kernels may be shorter than their strides
        [slice(0, 50), slice(0, 60), slice(59, 60)],
        [],
    ],
)
def test_parts_of_a_stream(sizes, parts):
    x = np.arange(100, dtype=np.float32)
    found = list(cut(np.split(x, np.cumsum(sizes)[:-1]), parts))
    assert len(found) == len(parts)
    for part, samples in zip(parts, found):
        np.testing.assert_array_equal(samples, x[part])
        assert samples.dtype == np.float32


def test_a_recording_that_shrank_is_refused():
    with pytest.raises(AudioError, match="changed while it was read: it ends at sample 30"):
        list(cut([np.zeros(30)], [slice(0, 20), slice(10, 31)]))


@pytest.mark.parametrize("sizes", [[100], [40, 60], [10] * 10])
@pytest.mark.parametrize(("longest", "held"), [(0, False), (99, False), (100, True), (math.inf, True)])
def test_the_first_pass_holds_what_is_short(rng, sizes, longest, held):
    x = rng.standard_normal(100)
    scale, samples = first_pass(iter(np.split(x, np.cumsum(sizes)[:-1])), longest)
    assert scale == audio.measure([x])
    assert (samples is not None) == held
    if held:
        np.testing.assert_array_equal(samples, x)
