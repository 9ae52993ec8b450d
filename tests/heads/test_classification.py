"""Heads that classify: the weighted layer sum, the mean over time, probabilities, and all gradients."""

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.heads.frame_classification import frame_head, frame_head_backward
from xlsr_ref.heads.layer_sum import layer_sum, layer_sum_backward
from xlsr_ref.heads.sequence_classification import probabilities, sequence_head, sequence_head_backward
from xlsr_ref.teach import check


def parameters(rng, C, P, N):
    draw = rng.standard_normal
    projector = {"weight": draw((P, C)), "bias": draw(P)}
    return {"projector": projector, "classifier": {"weight": draw((N, P)), "bias": draw(N)}}


def test_equal_weights_are_the_mean_and_a_large_one_is_its_state(rng):
    states = list(rng.standard_normal((3, 4, 5)))
    x, _ = layer_sum(states, np.full(3, 0.7))
    np.testing.assert_allclose(x, np.mean(states, axis=0), atol=1e-15)
    x, _ = layer_sum(states, np.array([0.0, 800, 0]))
    np.testing.assert_array_equal(x, states[1])
    x, _ = layer_sum(states, np.log([0.2, 0.5, 0.3]))
    np.testing.assert_allclose(x, 0.2 * states[0] + 0.5 * states[1] + 0.3 * states[2], atol=1e-15)


def test_gradient_of_the_layer_sum(rng):
    states = {str(i): state for i, state in enumerate(rng.standard_normal((3, 4, 5)))}

    def forward(layer_weights, p):
        return layer_sum(list(p.values()), layer_weights)

    def backward(dx, cache):
        dstates, dlayer_weights = layer_sum_backward(dx, cache)
        return dlayer_weights, {str(i): dstate for i, dstate in enumerate(dstates)}

    comparison = check.gradient(forward, backward, rng.standard_normal(3), states, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


def test_a_recording_is_the_mean_of_its_frames(rng):
    p, x = parameters(rng, 5, 6, 3), rng.standard_normal((4, 5))
    logits, _ = sequence_head(x, p)
    assert logits.shape == (3,)
    of_frames = (x @ p["projector"]["weight"].T + p["projector"]["bias"]) @ p["classifier"]["weight"].T
    np.testing.assert_allclose(logits, of_frames.mean(axis=0) + p["classifier"]["bias"], atol=1e-13)
    np.testing.assert_allclose(sequence_head(np.concatenate([x, x]), p)[0], logits, atol=1e-13)


def test_gradient_of_a_recording(rng):
    p = parameters(rng, 5, 6, 3)
    comparison = check.gradient(sequence_head, sequence_head_backward, rng.standard_normal((4, 5)), p, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


def test_gradient_of_frames(rng):
    p = {"classifier": parameters(rng, 1, 5, 3)["classifier"]}
    comparison = check.gradient(frame_head, frame_head_backward, rng.standard_normal((4, 5)), p, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities(dtype):
    logits = np.array([[0, np.log(3)], [-1000, 1000]], dtype)
    one, several = probabilities(logits), probabilities(logits, multi_label=True)
    np.testing.assert_allclose(one, [[0.25, 0.75], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(several, [[0.5, 0.75], [0, 1]], rtol=1e-6)
    assert one.dtype == several.dtype == dtype


def test_a_gradient_of_another_shape_is_refused(rng):
    states = list(rng.standard_normal((3, 4, 5)))
    _, cache = layer_sum(states, np.zeros(3))
    with pytest.raises(ObjectiveError, match="the gradient is"):
        layer_sum_backward(np.zeros((1, 5)), cache)
