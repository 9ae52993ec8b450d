"""The losses of a model on waveforms at its own rate: CTC of utterances with their texts, and pre-training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.model import finetune, pretrain
from xlsr_ref.model.parts import Parts
from xlsr_ref.ops import threads
from xlsr_ref.unmasked import refuse_masked
from xlsr_ref.wav2vec2.config import Config


def ctc_loss(
    model: Parts,
    waveform: np.ndarray,
    sampling_rate: int,
    targets: Sequence[int] | np.ndarray,
    checkpoints: bool = False,
) -> tuple[float, dict]:
    """−ln p(targets) of one utterance and its gradients, as `Model.backward` gives them.

    ``waveform`` (L,) is at the model's rate, ``targets`` (S,) are token ids (``tokenizer.encode``), the blank is
    the config's pad token. ``checkpoints`` saves memory: blocks are computed again in the backward pass.
    Raises ObjectiveError, with the numbers, where the targets do not fit into the frames.
    """
    (loss,), grads = ctc_losses(model, [waveform], sampling_rate, [targets], checkpoints)
    return loss, grads


def ctc_losses(
    model: Parts,
    waveforms: Sequence[np.ndarray],
    sampling_rate: int,
    targets: Sequence[Sequence[int] | np.ndarray],
    checkpoints: bool = False,
) -> tuple[list[float], dict]:
    """:func:`ctc_loss` of several utterances, side by side: each loss, and the sum of the gradients.

    Gradients are added in the order of the utterances: any number of threads gives the same bits.
    model/finetune.py has more: dropout, masks, and parts of the network that do not learn.
    """
    model.require_ctc_head()
    if len(waveforms) != len(targets) or len(waveforms) == 0:
        raise ObjectiveError(f"there are {len(waveforms)} utterances and {len(targets)} targets: give one for each")
    inputs = [model.input(waveform, sampling_rate) for waveform in waveforms]
    with threads.computing(model.threads):
        results, grads = finetune.ctc_losses(inputs, targets, model.params, model.config, checkpoints=checkpoints)
    return [one.loss for one in results], grads


def pretrain_loss(
    model: Parts,
    waveforms: Sequence[np.ndarray],
    sampling_rate: int,
    spans: Sequence[np.ndarray],
    negatives: Sequence[np.ndarray],
    gumbel: Sequence[np.ndarray],
    tau: float,
    *,
    feature_penalty_weight: float = 0.0,
    encoder_gradient_scale: float = 1.0,
    checkpoints: bool = False,
) -> tuple[pretrain.PretrainLosses, dict]:
    """The losses of pre-training on a list of ``waveforms`` (L,), and the total's gradient, nested like ``params``.

    One of each per utterance: ``spans`` (T,) bool and ``negatives`` (n, K) from losses/masking.py, ``gumbel``
    noise (T, G, V) from wav2vec2/quantizer.py. ``tau`` is the quantizer's temperature. The rest is described in
    model/pretrain.py. Raises AudioError and ObjectiveError.
    """
    for name, arrays in (("spans", spans), ("negatives", negatives), ("gumbel", gumbel)):
        for array in arrays:
            refuse_masked(array, name, ObjectiveError)
    config = model.config
    if not isinstance(config, Config):
        raise ObjectiveError(f"this is a {model.report.kind}, and only wav2vec 2.0 can be pre-trained: give one of it")
    inputs = [model.input(waveform, sampling_rate) for waveform in waveforms]
    with threads.computing(model.threads):
        return pretrain.pretrain_loss(
            inputs,
            model.params,
            config,
            spans,
            negatives,
            gumbel,
            tau,
            feature_penalty_weight=feature_penalty_weight,
            encoder_gradient_scale=encoder_gradient_scale,
            checkpoints=checkpoints,
        )
