"""Looking inside: the whole network with its stages, its hidden states, and the backward pass."""

from __future__ import annotations

import numpy as np

from xlsr_ref.model.network import require_kept
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.stages import Stages, stages_of
from xlsr_ref.ops.keep import Keep, require_known


def forward(model: Parts, waveform: np.ndarray, sampling_rate: int, keep: Keep = True) -> tuple[np.ndarray, Stages]:
    """The whole network on one utterance: logits (T, V) and its stages, by the checkpoint's module paths.

    ``waveform`` (L,) is mono, at the model's ``sampling_rate`` in Hz. A model without a head gives its last hidden
    state (T, C) in place of logits; one that classifies recordings gives (N,), a score for each label.
    ``stages["wav2vec2.encoder.layers.0"].output`` is what that module puts out and ``.cache`` what its backward
    pass needs. ``keep`` says what is kept (ops/keep.py): True for all of it, "checkpoints" for less
    memory, "outputs" for what every stage puts out, "states" and False for nothing; the logits are the same to the
    bit. Raises AudioError, and XlsrError for another ``keep``.
    """
    require_known(keep)
    y, cache = model.network.forward(model.input(waveform, sampling_rate), keep)
    return y, stages_of(model.network, cache)


def backward(model: Parts, dlogits: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
    """Gradients with respect to the normalised waveform (L,) and every parameter that took part, nested as
    ``params`` is. The quantizer and masked_spec_embed take no part: only pre-training uses them.

    ``dlogits`` (T, V) is a loss's gradient with respect to the result of :func:`forward`, and ``stages`` what that
    returned with ``keep=True`` or ``"checkpoints"``. Raises ObjectiveError for another shape or dtype.
    """
    require_kept(stages.cache)
    dx, grads = model.network.backward(dlogits, stages.cache)
    assert dx is not None  # everything was kept
    return dx, grads


def hidden_states(model: Parts, waveform: np.ndarray, sampling_rate: int) -> list[np.ndarray]:
    """The hidden states, each (T, C), one more than there are blocks: [0] enters the first block, [i] leaves the
    i-th. The final norm of a pre-norm model is not among them. ``waveform`` (L,) is at the model's rate. Raises
    AudioError."""
    _, cache = model.network.forward(model.input(waveform, sampling_rate), keep="states")
    return cache.backbone.encoder.states
