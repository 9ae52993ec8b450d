"""Spans and negatives: what is filled from given draws, and how what is drawn is distributed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers_masks import compute_mask_indices, sample_negative_indices

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.masking import (
    draw_negatives,
    draw_spans,
    negatives_from_draws,
    span_count,
    spans_from_draws,
)


def runs(mask):
    """The lengths of the masked runs."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(int), 0]))
    return edges[1::2] - edges[::2]


# --- spans -----------------------------------------------------------------------------------------------------------


def test_spans_are_filled_where_they_start():
    mask = spans_from_draws(12, 0.0, np.array([1, 3, 9]), 3)
    np.testing.assert_array_equal(np.flatnonzero(mask), [1, 2, 3, 4, 5, 9, 10, 11])
    assert mask.dtype == bool
    assert not spans_from_draws(12, 0.0, [], 3).any()
    assert not spans_from_draws(2, 0.0, [0], 3).any()  # too short for any


def test_epsilon_rounds_the_number_of_spans():
    order = np.array([7, 0, 3, 10, 1])
    for epsilon, count in ((0.0, 2), (0.19, 2), (0.21, 3), (0.99, 3)):  # 0.2 · 14 = 2.8
        mask = spans_from_draws(14, epsilon, order, 2, p=0.2)
        np.testing.assert_array_equal(mask, spans_from_draws(14, epsilon, order[:count], 2))


def test_the_papers_statistics(rng):
    """Fact: 49.1 % masked, mean span 14.6, median 10, the longest about 100, for 15 s.

    1000 utterances: the share of one is off by 0.024 and a span's length by 7.1 (standard deviations), so the means of
    1000 shares and 25,000 spans are off by 0.0008 and 0.045; four times that, and half a unit of the last digit given.
    """
    masks = [draw_spans(749, 0.065, 10, rng) for _ in range(1000)]
    lengths = np.concatenate([runs(mask) for mask in masks])
    assert np.mean(masks) == pytest.approx(0.491, abs=4 * 0.0008 + 0.0005)
    assert lengths.mean() == pytest.approx(14.6, abs=4 * 0.045 + 0.05)
    assert np.median(lengths) == 10
    assert lengths.min() == 10  # contiguous: no span is ever shorter
    assert 70 < lengths.max() < 130


def test_starts_come_everywhere_and_without_replacement(rng):
    masks = np.array([draw_spans(20, 0.1, 5, rng) for _ in range(2000)])
    assert masks.any(axis=0).all()
    assert masks[:, 0].mean() == pytest.approx(2 / 16, abs=4 * np.sqrt(2 / 16 * 14 / 16 / 2000))  # 2 of 16 places
    np.testing.assert_array_equal(draw_spans(20, 1.0, 5, rng), True)


@given(st.integers(0, 60), st.integers(1, 12), st.floats(0, 1), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_any_length_gets_whole_spans_and_no_exception(T, M, p, min_masks, seed):
    mask = draw_spans(T, p, M, np.random.default_rng(seed), min_masks)
    assert mask.shape == (T,)
    assert (runs(mask) >= M).all()
    if T < M:
        assert not mask.any()
    elif p > 0 and min_masks > 0:
        assert mask.any()


def test_ten_frames_get_one_span_and_nine_get_none(rng):
    for _ in range(100):
        np.testing.assert_array_equal(draw_spans(10, 0.065, 10, rng), True)
        assert not draw_spans(9, 0.065, 10, rng).any()
        assert not draw_spans(0, 0.065, 10, rng).any()


def test_how_many_spans():
    assert [span_count(749, epsilon, 10, 0.065) for epsilon in (0.0, 0.31, 0.32)] == [48, 48, 49]
    assert span_count(25, 0.0, 10, 0.01, min_masks=4) == 2  # as many as fit side by side
    assert span_count(25, 0.0, 10, 0.01, min_masks=0) == 0
    assert span_count(12, 0.9, 10, 1.0) == 3  # one from each place
    assert span_count(25, 0.9, 10, 0.0, min_masks=3) == 0


def test_bad_spans():
    with pytest.raises(ObjectiveError, match="5 in 12 frames start at 0 to 7, not at 3 to 8"):
        spans_from_draws(12, 0.0, [3, 8], 5)
    with pytest.raises(ObjectiveError, match="not at -1 to 2"):
        spans_from_draws(12, 0.0, [-1, 2], 5)
    with pytest.raises(ObjectiveError, match="a span has 0 frames"):
        spans_from_draws(12, 0.0, [1], 0)


# --- negatives -------------------------------------------------------------------------------------------------------

MASK = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)  # frames 1, 2, 4, 7


def test_negatives_are_the_others_in_order():
    draws = np.tile([0, 1, 2], (4, 1))
    expected = [[2, 4, 7], [1, 4, 7], [1, 2, 7], [1, 2, 4]]
    np.testing.assert_array_equal(negatives_from_draws(MASK, draws), expected)


def test_negatives_are_uniform_over_the_others(rng):
    K = 3000
    negatives = draw_negatives(MASK, K, rng)
    assert negatives.shape == (4, K)
    for own, row in zip(np.flatnonzero(MASK), negatives):
        counts = np.bincount(row, minlength=8)
        assert counts[own] == 0
        assert not counts[~MASK].any()
        others = counts[MASK & (np.arange(8) != own)]
        assert np.abs(others / K - 1 / 3).max() < 4 * np.sqrt(1 / 3 * 2 / 3 / K)


def test_one_masked_frame_has_no_negatives(rng):
    assert draw_negatives(np.array([False, True, False]), 5, rng).shape == (1, 0)
    assert draw_negatives(np.zeros(3, bool), 5, rng).shape == (0, 0)


def test_bad_draws():
    with pytest.raises(ObjectiveError, match=r"\(3, 2\), but 4 frames are masked"):
        negatives_from_draws(MASK, np.zeros((3, 2), int))
    with pytest.raises(ObjectiveError, match=r"0 to 3.* has 3 others, 0 to 2"):
        negatives_from_draws(MASK, np.array([[0], [1], [2], [3]]))


# --- transformers' algorithm: values recorded from it; tests/live draws more of them ----------------------------------


RECORDED_SPANS = [[6, 7, 8, 9, 10, 11, 12, 13, 14], [4, 5, 6, 7, 12, 13, 14, 15], [29]]
RECORDED_FULL = [[2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7]]
RECORDED_NEGATIVES = [[4, 2, 4], [4, 1, 4], [7, 1, 2], [1, 1, 2], [11, 13, 11], [13, 8, 14], [8, 11, 14], [11, 11, 8]]


def test_recorded_spans_of_a_padded_batch():
    attention_mask = (np.arange(30) < np.array([[30], [17], [3]])).astype(int)
    mask = compute_mask_indices((3, 30), 0.5, 4, np.random.RandomState(11), attention_mask, min_masks=2)
    assert [np.flatnonzero(row).tolist() for row in mask] == RECORDED_SPANS


def test_recorded_spans_are_no_more_than_fit_side_by_side():
    mask = compute_mask_indices((2, 9), 1.5, 4, np.random.RandomState(11))  # 9 · 1.5 / 4 would be three or four
    assert [np.flatnonzero(row).tolist() for row in mask] == RECORDED_FULL


def test_recorded_negatives():
    mask = np.stack([MASK, ~MASK])
    negatives = sample_negative_indices((2, 8), 3, np.random.RandomState(11), mask)
    assert negatives[mask].tolist() == RECORDED_NEGATIVES
    assert (negatives[0][~MASK] == 0).all()
    assert (negatives[1][MASK] == 8).all()


def test_refusals_of_the_padded_kind():
    with pytest.raises(ObjectiveError, match=r"mask_length is 10: .* 9"):
        compute_mask_indices((1, 9), 0.5, 10, np.random.RandomState(0))
    with pytest.raises(ObjectiveError, match="utterance 0 has a single masked frame"):
        sample_negative_indices((1, 3), 4, np.random.RandomState(0), np.array([[True, False, False]]))
