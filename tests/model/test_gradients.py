"""The whole network backwards, from the CTC loss to the first convolution, against finite differences and itself."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import CannotTranscribeError, ObjectiveError
from xlsr_ref.losses.ctc import ctc_loss
from xlsr_ref.ops import threads
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2 import backbone

GOLDEN = Path(__file__).parents[1] / "golden"
TARGETS = [1, 2, 2, 3]


def load(name, dtype="float64"):
    return xlsr_ref.load(GOLDEN / name, dtype)


@pytest.fixture
def waveform(rng):
    return rng.standard_normal(5000)


@pytest.mark.parametrize("name", ["xlsr", "base"])
def test_finite_differences_through_the_whole_model(rng, waveform, name):
    """One entry of every tensor: the loss is moved by it as the gradient says."""
    model = load(name)
    loss, grads = model.ctc_loss(waveform, 16000, TARGETS)
    flat, step = {name: np.array(array) for name, array in flatten(model.params).items()}, 1e-5

    def loss_with(changed):
        other = type(model)(model.config, nest(changed), model.preprocessor, model.tokenizer, model.report)
        return ctc_loss(other.logits(waveform, 16000), TARGETS, model.config.pad_token_id)[0]

    assert loss_with(flat) == loss
    for name, grad in flatten(grads).items():
        i = tuple(rng.integers(0, n) for n in grad.shape)
        losses = []
        for sign in (1, -1):
            moved = flat[name].copy()
            moved[i] += sign * step
            losses.append(loss_with(flat | {name: moved}))
        numeric = (losses[0] - losses[1]) / (2 * step)
        # the quotient's own error: the loss is near 100 and rounded to 1e-14 of that, over 2e-5
        assert abs(grad[i] - numeric) < 1e-6 * max(1.0, np.abs(grad).max()), name


def under(model, *, config=None, preprocessor=None):
    """The same parameters under other settings."""
    config, preprocessor = (
        dataclasses.replace(old, **new or {})
        for old, new in ((model.config, config), (model.preprocessor, preprocessor))
    )
    return type(model)(config, model.params, preprocessor, model.tokenizer, model.report)


@pytest.mark.parametrize("name", ["xlsr", "base", "odd", "bare"])
def test_the_gradient_of_the_waveform(rng, waveform, name):
    model = under(load(name), preprocessor={"do_normalize": False})  # the gradient is that of the normalised waveform
    forward = lambda x, p: model.forward(x, 16000)  # noqa: E731
    backward = lambda dy, stages: (model.backward(dy, stages)[0], {})  # noqa: E731
    comparison = check.gradient(forward, backward, waveform, rng=rng, entries=20)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    y, stages = forward(waveform, None)
    assert model.backward(y, stages)[0].shape == waveform.shape


def test_the_blank_is_the_pad_token(waveform):
    model = under(load("xlsr"), config={"pad_token_id": 4})
    logits = model.logits(waveform, 16000)
    assert (
        model.ctc_loss(waveform, 16000, TARGETS)[0]
        == ctc_loss(logits, TARGETS, 4)[0]
        != ctc_loss(logits, TARGETS, 0)[0]
    )
    with pytest.raises(ObjectiveError, match="pad_token_id"):
        under(model, config={"pad_token_id": None}).ctc_loss(waveform, 16000, TARGETS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["xlsr", "base", "odd", "bare"])
def test_gradients_are_nested_as_the_parameters(waveform, name, dtype):
    model = load(name, dtype)
    y, stages = model.forward(waveform, 16000)
    dwaveform, grads = model.backward(y, stages)
    assert dwaveform.dtype == dtype
    parameters = flatten(model.params)
    missing = parameters.keys() - flatten(grads).keys()
    assert {name.rpartition(".")[2] for name in missing} <= {"masked_spec_embed"}  # nothing was masked
    for name, grad in flatten(grads).items():
        assert grad.shape == parameters[name].shape
        assert grad.dtype == parameters[name].dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_checkpoints_change_no_bit(waveform, dtype):
    model = load("xlsr", dtype)
    loss, grads = model.ctc_loss(waveform, 16000, TARGETS)
    again, same = model.ctc_loss(waveform, 16000, TARGETS, checkpoints=True)
    assert again == loss
    assert check.compare(same, grads).worst == 0


@pytest.mark.parametrize("checkpoints", [True, False])
def test_checkpoints_are_passed_on(waveform, monkeypatch, checkpoints):
    model, asked = load("xlsr"), []
    encoder = backbone.encoder
    monkeypatch.setattr(backbone, "encoder", lambda *inputs: asked.append(inputs[3]) or encoder(*inputs))
    model.ctc_loss(waveform, 16000, TARGETS, checkpoints)
    model.ctc_losses([waveform], 16000, [TARGETS], checkpoints)
    assert asked == ["checkpoints" if checkpoints else True] * 2


def test_any_number_of_threads_gives_the_same_bits(rng):
    model = xlsr_ref.load()
    waveform = rng.standard_normal(16000 * 6)
    results = []
    for n in (1, 2, 3):
        with threads.use(n):
            results.append(model.ctc_loss(waveform, 16000, [4, 5, 6])[1])
    assert check.compare(results[1], results[0]).worst == 0
    assert check.compare(results[2], results[0]).worst == 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_several_utterances_add_up_in_their_order(rng, n):
    model = load("xlsr", "float32")
    waveforms = [rng.standard_normal(length) for length in (5000, 4000, 7000, 3000)]
    targets = [TARGETS, [1], [], [3, 3]]
    expected: dict = {}
    losses = []
    for waveform, labels in zip(waveforms, targets):
        loss, grads = model.ctc_loss(waveform, 16000, labels)
        losses.append(loss)
        for name, grad in flatten(grads).items():
            expected[name] = expected[name] + grad if name in expected else grad
    with threads.use(n):
        together, total = model.ctc_losses(waveforms, 16000, targets)
    assert together == losses
    assert check.compare(total, expected).worst == 0


def test_what_cannot_be_is_named(waveform):
    model = load("xlsr")
    frames = len(model.logits(waveform, 16000))
    with pytest.raises(ObjectiveError, match=f"need {2 * frames - 1} frames, but there are {frames}"):
        model.ctc_loss(waveform, 16000, [1] * frames)
    with pytest.raises(ObjectiveError, match=r"\[99\]"):
        model.ctc_loss(waveform, 16000, [99])
    for targets in (None, 3):
        with pytest.raises(ObjectiveError, match="row of ids"):
            model.ctc_loss(waveform, 16000, targets)
    with pytest.raises(ObjectiveError, match="1 utterances and 0 targets"):
        model.ctc_losses([waveform], 16000, [])
    with pytest.raises(ObjectiveError, match="0 utterances"):
        model.ctc_losses([], 16000, [])
    with pytest.raises(CannotTranscribeError):
        load("bare").ctc_loss(waveform, 16000, TARGETS)


def test_a_wrong_upstream_gradient_is_named(waveform):
    model = load("xlsr")
    logits, stages = model.forward(waveform, 16000)
    for wrong, message in [
        (logits[1:], "shape"),
        (logits.astype(np.float32), "float32"),
        (None, "NoneType"),
    ]:
        with pytest.raises(ObjectiveError, match=message):
            model.backward(wrong, stages)
    for keep in (False, "outputs"):
        with pytest.raises(ObjectiveError, match="keep=True"):
            model.backward(logits, model.forward(waveform, 16000, keep)[1])
