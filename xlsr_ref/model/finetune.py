"""Fine-tuning: the network learns to write. CTC loss of utterances with their texts, and its gradients.

    waveform ─ backbone, with masks ─ dropout ─ lm_head ─ logits ─ CTC loss

Not everything must learn. wav2vec 2.0 never trains the convolutions here, and at first only the new head:
    learn = "head"      lm_head alone
            "adapters"  and the attention adapters in the blocks: all that a language of MMS has of its own
            "context"   and the context network with its projection
            "all"       and the feature encoder, in a network that has one
What does not learn is computed without keeping anything, and has no gradient. Utterances run side by side, each at its
own length, and their gradients are added in their order.
Where: wav2vec 2.0 §3.3 and §4.2 (fine-tuning), Appendix B (masks); the loss is losses/ctc.py.
Letters: L samples, T frames, S targets, V tokens, N utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.ctc import ctc_loss, ctc_loss_backward
from xlsr_ref.model.network import Network, for_one_step
from xlsr_ref.ops import threads
from xlsr_ref.ops.keep import Keep
from xlsr_ref.ops.spec_augment import NO_MASKS, Masks
from xlsr_ref.ops.tree import add_to
from xlsr_ref.settings import Settings

Learn = Literal["head", "adapters", "context", "all"]


class UtteranceLoss(NamedTuple):
    """What came of one utterance."""

    loss: float  # −ln p(targets), in nats
    blanks: float  # share of frames whose likeliest token is the blank
    grads: dict


def ctc_losses(
    waveforms: Sequence[np.ndarray],
    targets: Sequence[Sequence[int] | np.ndarray],
    p: dict,
    config: Settings,
    *,
    masks: Sequence[Masks] | None = None,
    weights: Sequence[float] | None = None,
    learn: Learn = "all",
    checkpoints: bool = False,
) -> tuple[list[UtteranceLoss], dict]:
    """The loss of each utterance, and the gradient of Σ weight · loss, nested as the parameters ``p`` are.

    One of each per utterance: ``waveforms`` (L,), normalised; ``targets`` (S,) ids; ``masks`` from wav2vec2/masks.py
    (None: no masks); ``weights`` (None: 1 each). Each result comes without its own gradients. ``checkpoints`` keeps
    only each block's input and computes the block again in the backward pass. Raises ObjectiveError, with the numbers,
    for targets that do not fit into the frames, and for logits that are NaN.
    """
    N = len(waveforms)
    if len(targets) != N or N == 0:
        raise ObjectiveError(f"there are {N} utterances and {len(targets)} targets: give one for each")
    masks = [NO_MASKS] * N if masks is None else masks
    weights = [1.0] * N if weights is None else weights
    if not N == len(masks) == len(weights):
        raise ObjectiveError(f"there are {N} utterances, {len(masks)} masks and {len(weights)} weights: one for each")
    network = Network(for_one_step(p), config)
    results: list[UtteranceLoss] = []
    total: dict = {}

    def take(one: UtteranceLoss) -> None:
        add_to(total, one.grads)
        results.append(one._replace(grads={}))

    task = partial(one_ctc_loss, network=network, learn=learn, checkpoints=checkpoints)
    threads.run_in_order((partial(task, *each) for each in zip(waveforms, targets, masks, weights)), take)
    return results, total


def one_ctc_loss(
    waveform: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    masks: Masks,
    weight: float,
    *,
    network: Network,
    learn: Learn,
    checkpoints: bool,
) -> UtteranceLoss:
    """One utterance forward and back: see :func:`ctc_losses`."""
    blank = network.config.pad_token_id
    if blank is None:
        raise ObjectiveError("config.json has no pad_token_id, which is the blank of CTC")
    if learn == "adapters" and getattr(network.config, "adapter_attn_dim", None) is None:
        raise ObjectiveError("the model has no attention adapters (adapter_attn_dim): let another part learn")
    keep: Keep = False if learn == "head" else "checkpoints" if checkpoints else True
    options = {"freeze_feature_encoder": learn != "all"} if "feature_extractor" in network.base else {}
    logits, cache = network.forward(waveform, keep, masks, **options)
    loss, ctc_cache = ctc_loss(logits, targets, blank)
    dlogits = ctc_loss_backward(weight, ctc_cache)  # undoes: weight · CTC loss
    _, grads = network.backward(dlogits, cache, learn == "adapters")  # undoes: the network
    return UtteranceLoss(loss, float((logits.argmax(axis=1) == blank).mean()), grads)
