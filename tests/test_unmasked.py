"""Masked arrays are refused wherever an array comes in: what lies under the mask is no sound and no gradient."""

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.errors import AudioError, CannotTranscribeError, DecodingError, ObjectiveError
from xlsr_ref.losses.ctc import ctc_loss
from xlsr_ref.ops.linear import linear, linear_backward
from xlsr_ref.text.align import align
from xlsr_ref.text.greedy import greedy
from xlsr_ref.text.search.beam import beam_search, search
from xlsr_ref.text.search.labels import make_labels

SAYS = "a masked array, 1 of whose .* values are hidden, is not taken: fill the gaps"


def hidden(array):
    mask = np.zeros(np.shape(array), bool)
    mask.flat[0] = True
    return np.ma.MaskedArray(array, mask)


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


@pytest.mark.parametrize(
    "use",
    [
        lambda model, x: model.transcribe(x, 16000),
        lambda model, x: model.transcribe([x], 8000),
        lambda model, x: model.align(x, "a", 16000),
        lambda model, x: model.logits(x, 16000),
        lambda model, x: model.forward(x, 16000),
        lambda model, x: model.hidden_states(x, 16000),
        lambda model, x: model.ctc_loss(x, 16000, [5]),
        lambda model, x: audio.normalise(x),
    ],
)
def test_sound(model, use):
    with pytest.raises(AudioError, match=SAYS):
        use(model, hidden(np.ones(16000, np.float32)))


def test_a_mask_that_hides_nothing_is_a_mask(model):
    with pytest.raises(AudioError, match="a masked array, 0 of whose 16000 values are hidden"):
        model.transcribe(np.ma.MaskedArray(np.ones(16000)), 16000)


def test_gradients_and_targets(model):
    x = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    logits, stages = model.forward(x, 16000)
    with pytest.raises(ObjectiveError, match=SAYS):
        model.backward(hidden(np.ones_like(logits)), stages)
    with pytest.raises(ObjectiveError, match=f"targets: {SAYS}"):
        model.ctc_loss(x, 16000, hidden(np.array([5, 6])))
    with pytest.raises(ObjectiveError, match=f"logits: {SAYS}"):
        ctc_loss(hidden(logits), [5], 0)
    p = {"weight": np.ones((2, 3)), "bias": np.ones(2)}
    y, cache = linear(np.ones((4, 3)), p)
    with pytest.raises(ObjectiveError, match=SAYS):
        linear_backward(hidden(y), cache)


def test_arrays_of_pretraining(model):
    x, good = np.ones(2000), [np.ones(3)]
    for i, name in enumerate(("spans", "negatives", "gumbel")):
        arrays = [good, good, good]
        arrays[i] = [hidden(np.ones(3))]
        with pytest.raises(ObjectiveError, match=f"{name}: {SAYS}"):
            model.pretrain_loss([x], 16000, *arrays, 1.0)


def test_scores_of_frames(model):
    log_y = np.log(np.full((3, 4), 0.25))
    with pytest.raises(ObjectiveError, match=f"log_probs: {SAYS}"):
        align(hidden(log_y), [1], 0)
    with pytest.raises(ObjectiveError, match=f"targets: {SAYS}"):
        align(log_y, hidden(np.array([1, 2])), 0)
    with pytest.raises(DecodingError, match=SAYS):
        beam_search(hidden(log_y), search(make_labels(["", "a", "b", " "])))
    with pytest.raises(CannotTranscribeError, match=SAYS):
        greedy(hidden(log_y), model.tokenizer, 0.02)
