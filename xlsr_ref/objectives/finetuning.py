"""Fine-tuning: the network learns to write. CTC loss of utterances with their texts, and its gradients.

    waveform ─ feature_encoder ─ projection ─ (noise) ─ encoder ─ (noise) ─ lm_head ─ logits ─ CTC loss

Not everything must learn. wav2vec 2.0 never trains the convolutions here, and at first only the new head:
    learn = "head"      lm_head alone
            "context"   and the context network with its projection
            "all"       and the feature encoder
What does not learn is computed without keeping anything, and has no gradient. Utterances run side by side, each at its
own length, and their gradients are added in their order.
Where: wav2vec 2.0 §3.3 and §4.2 (fine-tuning), Appendix B (masks); the loss is objectives/ctc.py.
Letters: L samples, T frames, S targets, V tokens, N utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.errors import ObjectiveError
from xlsr_ref.network.adapter import adapter, adapter_backward
from xlsr_ref.network.context import encoder, encoder_backward, feature_projection, feature_projection_backward
from xlsr_ref.network.feature_encoder import feature_encoder, feature_encoder_backward
from xlsr_ref.network.heads import ctc_head, ctc_head_backward
from xlsr_ref.network.noise import SILENT, Noise, mask, mask_backward
from xlsr_ref.network.prepare import Prepared, prepare
from xlsr_ref.network.stage import Keep, Stages
from xlsr_ref.objectives.ctc import ctc_loss, ctc_loss_backward
from xlsr_ref.ops import threads
from xlsr_ref.ops.dropout import dropout, dropout_backward
from xlsr_ref.params import add_to

Learn = Literal["head", "context", "all"]


class Heard(NamedTuple):
    """What came of one utterance."""

    loss: float  # −ln p(targets), in nats
    blanks: float  # share of frames whose likeliest token is the blank
    grads: dict


def ctc_losses(
    waveforms: Sequence[np.ndarray],
    targets: Sequence[Sequence[int] | np.ndarray],
    p: dict,
    config: Config,
    *,
    noises: Sequence[Noise] | None = None,
    weights: Sequence[float] | None = None,
    learn: Learn = "all",
    checkpoints: bool = False,
) -> tuple[list[Heard], dict]:
    """The loss of each utterance, and the gradient of Σ weight · loss, nested as the parameters ``p`` are.

    One of each per utterance: ``waveforms`` (L,), normalised; ``targets`` (S,) ids; ``noises`` from network/noise.py
    (None: no noise); ``weights`` (None: 1 each). Each ``Heard`` comes without its own gradients. ``checkpoints`` keeps
    only each block's input and computes the block again on the way back. Raises ObjectiveError, with the numbers, for
    targets that do not fit into the frames, and for logits that are NaN.
    """
    N = len(waveforms)
    if len(targets) != N or N == 0:
        raise ObjectiveError(f"there are {N} utterances and {len(targets)} targets: give one for each")
    noises = [SILENT] * N if noises is None else noises
    weights = [1.0] * N if weights is None else weights
    if not N == len(noises) == len(weights):
        raise ObjectiveError(f"there are {N} utterances, {len(noises)} noises and {len(weights)} weights: one for each")
    prepared = prepare(p.get("wav2vec2", p))
    heard: list[Heard] = []
    total: dict = {}

    def take(one: Heard) -> None:
        add_to(total, one.grads)
        heard.append(one._replace(grads={}))

    task = partial(one_ctc_loss, p=p, config=config, learn=learn, checkpoints=checkpoints, prepared=prepared)
    threads.run_in_order((partial(task, *each) for each in zip(waveforms, targets, noises, weights)), take)
    return heard, total


def one_ctc_loss(
    waveform: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    noise: Noise,
    weight: float,
    *,
    p: dict,
    config: Config,
    learn: Learn,
    checkpoints: bool,
    prepared: Prepared,
) -> Heard:
    """One utterance forward and back: see :func:`ctc_losses`."""
    backbone, eps, blank = p.get("wav2vec2", p), config.layer_norm_eps, config.pad_token_id
    if blank is None:
        raise ObjectiveError("config.json has no pad_token_id, which is the blank of CTC")
    keep: Keep = "checkpoints" if checkpoints else True

    # forward
    keep_extractor, keep_encoder = (keep if learn == "all" else False), (False if learn == "head" else keep)
    features, extractor = feature_encoder(
        waveform, backbone["feature_extractor"], config, keep_extractor, prepared.matrices
    )
    projected, projection = feature_projection(features, backbone["feature_projection"], eps)
    thinned, projected_drop = dropout(projected, noise.projected)
    seen, masked = mask(thinned, noise, backbone.get("masked_spec_embed"))
    context, stages = encoder(seen, backbone["encoder"], config, keep_encoder, prepared.positional, noise.encoder)
    adapted: np.ndarray = context
    adapter_stages: Stages = {}
    if config.add_adapter:
        adapted, adapter_stages = adapter(context, backbone["adapter"], config, keep_encoder)
    final, final_drop = dropout(adapted, noise.final)
    logits, head = ctc_head(final, p["lm_head"])
    loss, ctc = ctc_loss(logits, targets, blank)
    blanks = float((logits.argmax(axis=1) == blank).mean())

    # backward
    grads: dict = {}
    dlogits = ctc_loss_backward(weight, ctc)  # undoes: weight · CTC loss
    dfinal, grads["lm_head"] = ctc_head_backward(dlogits, head)  # undoes: lm_head
    if learn == "head":
        return Heard(loss, blanks, grads)
    dcontext, _ = dropout_backward(dfinal, final_drop)  # undoes: dropout
    inner: dict = {}
    if config.add_adapter:
        dcontext, inner["adapter"] = adapter_backward(dcontext, adapter_stages)  # undoes: adapter
    dseen, encoder_grads = encoder_backward(dcontext, stages, backbone["encoder"], config, noise.encoder)
    dthinned, mask_grads = mask_backward(dseen, masked)  # undoes: mask
    dprojected, _ = dropout_backward(dthinned, projected_drop)  # undoes: dropout
    dfeatures, projection_grads = feature_projection_backward(dprojected, projection)  # undoes: the projection
    inner |= mask_grads | {"encoder": encoder_grads, "feature_projection": projection_grads}
    if learn == "all":
        _, inner["feature_extractor"] = feature_encoder_backward(dfeatures, extractor)  # undoes: feature_encoder
    return Heard(loss, blanks, grads | ({"wav2vec2": inner} if "wav2vec2" in p else inner))
