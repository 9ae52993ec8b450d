"""The parts of the recipe that need no torch."""

import random

import numpy as np
import pytest

from weights_tools.train_small_ctc import Clip, collate, greedy, learning_rate, longest_clip, make_batches

VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "|": 2, "a": 3, "b": 4}


def clip(seconds, text="ab"):
    sound = np.random.default_rng(0).standard_normal(int(seconds * 100)) * 3 + 1
    return Clip("asterisk", "en", "train", seconds, text, sound.astype(np.float16))


def test_learning_rate_rises_stays_and_falls():
    assert learning_rate(1.0, 0, 0.0) == 1 / 150
    assert learning_rate(1.0, 149, 0.1) == learning_rate(1.0, 10_000, 0.49) == 1
    assert learning_rate(1.0, 10_000, 0.75) == 0.5
    assert learning_rate(1.0, 10_000, 1.0) == 0.02


def test_only_a_fresh_model_begins_with_short_clips():
    assert [longest_clip(done, has_init=False) for done in (0.0, 0.2, 0.4)] == [1.3, 3.5, 10]
    assert longest_clip(0.0, has_init=True) == 10


def test_no_batch_is_longer_than_allowed_and_no_clip_is_lost():
    clips = [clip(seconds) for seconds in np.random.default_rng(1).uniform(0.3, 9, 60).round(3)]
    batches = make_batches(clips, 20, random.Random(0))
    assert sorted(c.seconds for batch in batches for c in batch) == sorted(c.seconds for c in clips)
    assert all(max(c.seconds for c in batch) * len(batch) <= 20 for batch in batches)
    assert len(batches) < 30  # filled: two clips of 9 seconds fit into one


def test_collate_normalises_pads_and_spells():
    x, mask, y = collate([clip(2, "a b"), clip(1, "ß")], VOCABULARY, None)
    assert x.shape == mask.shape == (2, 200)
    assert mask.sum(1).tolist() == [200, 100]
    assert not x[1, 100:].any()
    assert x[0].mean() == pytest.approx(0, abs=1e-6)  # of 200 float32 values near 1
    assert x[0].std() == pytest.approx(1, abs=1e-6)
    assert y.tolist() == [[3, 2, 4], [1, -100, -100]]


def test_greedy_merges_repeats_and_drops_blanks():
    assert greedy([0, 3, 3, 0, 3, 2, 4, 4, 0], VOCABULARY) == "aa b"
