"""The error on the dev split. Whose edits count for which group."""

from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import Clip
from xlsr_ref.training.dev import errors_on
from xlsr_ref.training.recipe import from_table
from xlsr_ref.training.start import start_of


def test_errors_of_groups(rng):
    """What the bundled model hears in noise is the text of two clips; of a third it is wrong by a letter."""
    recipe = from_table({"model": {"start": "small-ctc", "head": "keep"}, "data": {"manifests": ["none.tsv"]}})
    bundled = Path(xlsr_ref.__file__).parent / "data"
    start = start_of(recipe, "Wav2Vec2ForCTC", [], Path(), bundled=bundled)
    model = xlsr_ref.load(bundled / "small-ctc")
    sounds = [rng.standard_normal(length).astype(np.float32) for length in (9000, 7000, 8000)]
    texts = [one.text for one in model.transcribe(sounds, 16000)]

    def clip(text):
        return Clip(Path(), "en", "", 0.5, "dev", text)

    groups = {"right": [clip(texts[0] or "x"), clip(texts[1] or "x")], "wrong": [clip(texts[2] + "zz")]}
    errors = errors_on(groups, sounds, start, model.tokenizer)
    silent = sum(not text for text in texts[:2])
    assert errors.characters["right"] == silent / sum(len(text) or 1 for text in texts[:2])
    assert set(errors.words) == {"right", "wrong"}
    assert 0 < errors.words["wrong"] <= 1
    assert errors.mean == (errors.characters["right"] + errors.characters["wrong"]) / 2
    assert errors.characters["wrong"] == pytest.approx(2 / (len(texts[2]) + 2))


def test_a_clip_that_is_too_short_for_a_frame_is_heard_as_nothing(rng):
    recipe = from_table({"model": {"start": "small-ctc", "head": "keep"}, "data": {"manifests": ["none.tsv"]}})
    bundled = Path(xlsr_ref.__file__).parent / "data"
    start = start_of(recipe, "Wav2Vec2ForCTC", [], Path(), bundled=bundled)
    sounds = [np.zeros(0, np.float32), np.zeros(399, np.float32)]
    groups = {"short": [Clip(Path(), "en", "", 0.5, "dev", "ab"), Clip(Path(), "en", "", 0.5, "dev", "c")]}
    assert errors_on(groups, sounds, start, xlsr_ref.load().tokenizer) == ({"short": 1.0}, {"short": 1.0})
