"""Spans and negatives, draw for draw, against transformers' own functions, which draw from NumPy's global state."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wav2vec2 = pytest.importorskip("transformers.models.wav2vec2.modeling_wav2vec2")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers_masks import compute_mask_indices, sample_negative_indices  # noqa: E402

from xlsr_ref.errors import ObjectiveError  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def global_state():
    """What is seeded here is put back."""
    before = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(before)  # noqa: NPY002


def ours_and_theirs(seed, ours, theirs, *arguments, **options):
    """The results, and the next draw of both: they have drawn equally often."""
    mine = np.random.RandomState(seed)
    np.random.seed(seed)  # noqa: NPY002
    expected = theirs(*arguments, **options)
    return ours(mine), expected, mine.rand(), np.random.rand()  # noqa: NPY002


@settings(max_examples=300, deadline=None)
@given(
    SEEDS,
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(1, 12),
    st.floats(0, 1.5),
    st.integers(0, 4),
    st.booleans(),
)
def test_spans(seed, lengths, M, mask_prob, min_masks, padded):
    N, T = len(lengths), max(lengths)
    attention_mask = (np.arange(T) < np.array(lengths)[:, None]).astype(int) if padded else None
    if T < M:
        with pytest.raises(ObjectiveError, match=f"mask_length is {M}"):
            compute_mask_indices((N, T), mask_prob, M, np.random.RandomState(seed))
        return
    mine, expected, my_next, their_next = ours_and_theirs(
        seed,
        lambda random: compute_mask_indices((N, T), mask_prob, M, random, attention_mask, min_masks),
        wav2vec2._compute_mask_indices,
        (N, T),
        mask_prob,
        M,
        attention_mask=None if attention_mask is None else torch.from_numpy(attention_mask),
        min_masks=min_masks,
    )
    np.testing.assert_array_equal(mine, expected)
    assert mine.dtype == expected.dtype
    assert my_next == their_next


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(2, 40), st.integers(1, 10), st.floats(0, 1))
def test_negatives(seed, N, T, K, share):
    mask = np.random.default_rng(seed).random((N, T)) < share
    mask[:, [0, -1]] = True  # two at least
    mine, expected, my_next, their_next = ours_and_theirs(
        seed,
        lambda random: sample_negative_indices((N, T), K, random, mask),
        wav2vec2._sample_negative_indices,
        (N, T),
        K,
        mask_time_indices=mask,
    )
    np.testing.assert_array_equal(mine, expected)
    assert mine.dtype == expected.dtype
    assert my_next == their_next


def test_negatives_among_all_frames():
    mine, expected, *_ = ours_and_theirs(
        5, lambda random: sample_negative_indices((2, 7), 3, random), wav2vec2._sample_negative_indices, (2, 7), 3
    )
    np.testing.assert_array_equal(mine, expected)


def test_a_single_masked_frame_is_refused_by_both():
    mask = np.zeros((2, 5), bool)
    mask[0, :3] = mask[1, 4] = True
    with pytest.raises(ValueError, match="high <= 0"):
        wav2vec2._sample_negative_indices((2, 5), 3, mask_time_indices=mask)
    with pytest.raises(ObjectiveError, match="utterance 1 has a single masked frame"):
        sample_negative_indices((2, 5), 3, np.random.RandomState(0), mask)


def test_an_utterance_without_masked_frames():
    mask = np.zeros((2, 5), bool)
    mask[1, :3] = True
    mine, expected, my_next, their_next = ours_and_theirs(
        9,
        lambda random: sample_negative_indices((2, 5), 3, random, mask),
        wav2vec2._sample_negative_indices,
        (2, 5),
        3,
        mask_time_indices=mask,
    )
    np.testing.assert_array_equal(mine, expected)
    assert my_next == their_next
