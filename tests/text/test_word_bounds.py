"""Where words begin and end by the level of the sound, on levels that are written down."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr_ref.text.transcript import Span
from xlsr_ref.text.word_bounds import FARTHEST, MARGIN, START_MARGIN, word_ends, word_starts


def sound(*stretches: tuple[float, float]) -> np.ndarray:
    """Levels of stretches of (seconds, dB), every 10 ms."""
    return np.concatenate([np.full(round(seconds * 100), level) for seconds, level in stretches])


def test_a_word_ends_where_its_sound_does():
    """Floor −70, word −20: the threshold is at −65 dB. The last letter stands 0.2 s before the end."""
    levels = sound((1, -70), (0.5, -20), (0.1, -60), (1, -70))
    (ending,) = word_ends([Span("a", 1.0, 1.4, 1.0)], levels, 0.01)
    assert ending.end == pytest.approx(1.595)  # in the middle of the last loud hundredth
    assert ending.pause
    assert ending.low == pytest.approx(1.5 - MARGIN, abs=0.11)  # −60 dB is at the threshold of EARLY
    assert ending.high == pytest.approx(1.6 + MARGIN)


def test_a_short_closure_is_no_end():
    levels = sound((1, -70), (0.3, -20), (0.06, -70), (0.1, -25), (1, -70))
    (ending,) = word_ends([Span("act", 1.0, 1.3, 1.0)], levels, 0.01)
    assert ending.end == pytest.approx(1.455)


def test_without_a_pause_it_ends_where_the_next_begins():
    levels = sound((1, -70), (1.5, -20), (1, -70))
    first, second = word_ends([Span("a", 1.0, 1.2, 1.0), Span("b", 1.5, 2.3, 1.0)], levels, 0.01)
    assert first.end == pytest.approx(1.5)
    assert not first.pause
    assert second.end == pytest.approx(2.495)
    assert second.pause


def test_music_does_not_prolong_it_for_ever():
    levels = sound((1, -70), (5, -20), (1, -70))
    (ending,) = word_ends([Span("a", 1.0, 1.5, 1.0)], levels, 0.01)
    assert ending.end == pytest.approx(1.5 + FARTHEST)
    assert not ending.pause


def test_an_end_is_never_before_the_last_letter():
    levels = sound((1, -70), (0.2, -20), (2, -70))
    (ending,) = word_ends([Span("a", 1.0, 1.6, 1.0)], levels, 0.01)
    assert ending.end == 1.6


@pytest.mark.parametrize("level", [-70.0, -61.0])
def test_what_is_hardly_above_the_floor_says_nothing(level):
    levels = sound((1, -70), (0.5, level), (1, -70))
    assert word_ends([Span("a", 1.0, 1.4, 1.0)], levels, 0.01) == [None]


def test_beyond_the_recording():
    assert word_ends([Span("a", 1.0, 1.02, 1.0)], sound((1, -20)), 0.01) == [None]
    assert word_ends([], sound((1, -20)), 0.01) == []


def test_a_word_begins_where_its_sound_does():
    """The first letter stands 0.2 s after the beginning; the sound rises in a step at 1.1 s."""
    levels = sound((1, -70), (0.1, -60), (0.8, -20), (1, -70))
    (beginning,) = word_starts([Span("a", 1.3, 1.8, 1.0)], levels, 0.01)
    assert beginning.start == pytest.approx(1.005)  # in the middle of the first loud hundredth
    assert beginning.low == pytest.approx(1.0 - START_MARGIN)
    assert beginning.high == pytest.approx(1.1 + START_MARGIN, abs=0.11)  # −60 dB is at the threshold of EARLY


def test_a_beginning_is_changed_only_after_a_pause_and_never_put_later():
    levels = sound((1, -70), (1.5, -20), (1, -70))
    first, second = word_starts([Span("a", 1.1, 1.4, 1.0), Span("b", 1.6, 2.3, 1.0)], levels, 0.01)
    assert first.start == pytest.approx(1.005)
    assert second is None
    (beginning,) = word_starts([Span("a", 0.9, 2.3, 1.0)], levels, 0.01)
    assert beginning.start == pytest.approx(0.9)


def test_several_words_keep_their_order():
    levels = sound((0.5, -70), (0.5, -20), (0.4, -70), (0.5, -30), (0.5, -70))
    words = [Span("a", 0.6, 0.8, 1.0), Span("b", 1.5, 1.7, 1.0)]
    starts = [one.start for one in word_starts(words, levels, 0.01)]
    assert starts == pytest.approx([0.505, 1.405])
