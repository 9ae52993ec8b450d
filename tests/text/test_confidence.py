"""Confidence by hand."""

import numpy as np
import pytest

from xlsr_ref.text.confidence import of_token, of_tokens


def test_a_token_has_the_mean_of_its_frames():
    assert of_token(np.array([0.5, 0.7, 0.9])) == pytest.approx(0.7)
    assert of_token(np.array([0.25], np.float32)) == 0.25


def test_a_word_has_the_geometric_mean_of_its_tokens():
    assert of_tokens([0.5]) == pytest.approx(0.5)
    assert of_tokens([0.9, 0.4]) == pytest.approx(0.6)  # √0.36
    assert of_tokens([0.8] * 1000) == pytest.approx(0.8)  # whatever the length


def test_one_impossible_token_makes_the_word_impossible():
    assert of_tokens([0.0, 1.0]) == 0.0
