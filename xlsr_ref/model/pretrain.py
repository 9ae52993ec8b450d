"""Pre-training: the network learns from sound alone, by telling what it may not see from what stands elsewhere.

    features ─┬─ quantizer ─ project_q ────────────────────┬─ contrastive loss        the quantizer sees all frames,
              └─ projection ─ mask ─ encoder ─ project_hid ─┘                          the encoder not the masked ones
    total = Σ contrastive + α n diversity (+ weight n penalty)         n: masked frames of the whole batch

A batch is a list. Spans, negatives and contrastive loss belong to one utterance; the diversity loss looks at the codes
of all of them at once. So a step has two phases: all forward, one reduction in the order of the utterances, all
backward. Everything is a sum over masked frames: divide loss and gradients by n for a mean.
Where: wav2vec 2.0 §3.2, eq. 2 (α = 0.1; its losses are means, and toolkits' are sums, as here).
Checkpoint: `wav2vec2.masked_spec_embed` (C,), `quantizer`, `project_q`, `project_hid`, and the whole backbone.
Letters: L samples, T frames, C channels, n masked frames, K negatives of each, G groups, V codes of each, N utterances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.contrastive import ContrastiveCache, contrastive_loss, contrastive_loss_backward, hits
from xlsr_ref.losses.diversity import (
    CodeUseCache,
    code_use,
    code_use_backward,
    diversity_loss,
    diversity_loss_backward,
)
from xlsr_ref.losses.feature_penalty import feature_penalty, feature_penalty_backward
from xlsr_ref.model.network import for_one_step
from xlsr_ref.ops import threads
from xlsr_ref.ops.conv_length import frames
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.keep import Keep
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.spec_augment import NO_MASKS, Masks
from xlsr_ref.ops.tree import add_to
from xlsr_ref.wav2vec2.backbone import BackboneCache, backbone, backbone_backward
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.quantizer import QuantizerCache, quantize, quantize_backward

BASE = Config.base  # the backbone's name among the parameters


class PretrainLosses(NamedTuple):
    total: float  # what the gradients are of
    contrastive: float  # nats, summed over the masked frames
    accuracy: float  # share of masked frames whose positive beats every negative; NaN if none has one with other codes
    masked_frames: int  # n
    skipped: int  # utterances with fewer than two masked frames: no negatives, so no contrastive term
    diversity: float = 0.0  # 0 to 1, not yet times α n
    feature_penalty: float = 0.0  # mean of squares, not yet times its weight and n
    perplexity: np.ndarray = np.zeros(0)  # (G,)  codes in use over the masked frames; transformers reports their sum


class UtteranceCache(NamedTuple):
    backbone: BackboneCache
    dropout: DropoutCache  # of what the quantizer sees
    quantizer: QuantizerCache
    project_q: LinearCache
    project_hid: LinearCache
    contrastive: ContrastiveCache
    code_use: CodeUseCache

    @property
    def features(self) -> np.ndarray:
        """(T, conv_dim[-1])  what the penalty looks at."""
        return self.backbone.feature_projection.layer_norm.x


class UtteranceForward(NamedTuple):
    contrastive: float
    use: np.ndarray  # (G, V)  probabilities of the codes, added up
    hits: tuple[int, int]  # correct frames, of those that are counted
    skipped: bool
    cache: UtteranceCache


def pretrain_loss(
    waveforms: Sequence[np.ndarray],
    p: dict,
    config: Config,
    spans: Sequence[np.ndarray],
    negatives: Sequence[np.ndarray],
    gumbel: Sequence[np.ndarray],
    tau: float,
    *,
    feature_penalty_weight: float = 0.0,
    encoder_gradient_scale: float = 1.0,
    checkpoints: bool = False,
    masks: Sequence[Masks] | None = None,
) -> tuple[PretrainLosses, dict]:
    """The losses of a batch, and the gradient of their total, nested as the parameters ``p`` are.

    One of each per utterance: ``waveforms`` (L,), normalised; ``spans`` (T,) bool, which frames are masked;
    ``negatives`` (n, K) frames, see losses/masking.py; ``gumbel`` (T, G, V) noise, see wav2vec2/quantizer.py.
    ``checkpoints`` keeps only each block's input and computes the block again in the backward pass. ``masks`` are the
    utterances' dropout, from wav2vec2/masks.py; ``spans`` are the only spans, and as there is no head, nothing is
    dropped before it. Raises ObjectiveError for parameters without a quantizer, for arrays that do not go
    together, and if no frame at all is masked.
    """
    masks = [NO_MASKS] * len(waveforms) if masks is None else masks
    n = _checked(waveforms, p, spans, negatives, gumbel, masks)
    p = for_one_step(p)

    # all forward, side by side
    keep: Keep = "checkpoints" if checkpoints else True
    done: dict[int, UtteranceForward] = {}

    def one(i: int) -> None:
        draws = spans[i], negatives[i], gumbel[i]
        of_this = masks[i]._replace(frames=spans[i], channels=None)
        done[i] = _forward(waveforms[i], p, config, *draws, tau, keep, of_this)

    threads.run(partial(one, i) for i in range(len(waveforms)))
    forwards = [done.pop(i) for i in range(len(waveforms))]

    # one reduction, in the order of the utterances
    diversity, diversity_cache = diversity_loss([forward.use for forward in forwards], n)
    penalty, features = feature_penalty([forward.cache.features for forward in forwards])
    alpha = config.diversity_loss_weight
    losses = _losses(forwards, n, alpha * n * diversity + feature_penalty_weight * n * penalty)._replace(
        diversity=diversity, feature_penalty=penalty, perplexity=diversity_cache.perplexity
    )

    # all backward, side by side; gradients are added in the order of the utterances
    duse = diversity_loss_backward(alpha * n, diversity_cache)  # undoes: α n diversity
    dpenalties = feature_penalty_backward(feature_penalty_weight * n, features)  # undoes: weight n penalty
    waiting = {i: forward.cache for i, forward in enumerate(forwards)}
    del forwards, features
    grads: dict = {}

    def back(i: int) -> dict:
        return _backward(waiting.pop(i), p, config, duse, dpenalties[i], encoder_gradient_scale)  # a cache serves once

    threads.run_in_order((partial(back, i) for i in range(len(waveforms))), partial(add_to, grads))
    return losses, grads


def _losses(forwards: Sequence[UtteranceForward], n: int, regularisation: float) -> PretrainLosses:
    """The sums over the utterances; ``regularisation`` is what else is in the total."""
    contrastive = sum(forward.contrastive for forward in forwards)
    correct, counted = (sum(counts) for counts in zip(*(forward.hits for forward in forwards)))
    return PretrainLosses(
        total=contrastive + regularisation,
        contrastive=contrastive,
        accuracy=correct / counted if counted else math.nan,
        masked_frames=n,
        skipped=sum(forward.skipped for forward in forwards),
    )


def _forward(
    waveform: np.ndarray,
    p: dict,
    config: Config,
    span: np.ndarray,
    negatives: np.ndarray,
    gumbel: np.ndarray,
    tau: float,
    keep: Keep,
    masks: Masks,
) -> UtteranceForward:
    if span.shape != (T := frames(len(waveform), config.conv_kernel, config.conv_stride),):
        raise ObjectiveError(f"a mask is {span.shape}, but its {len(waveform)} samples make {T} frames")
    context, backbone_cache = backbone(waveform, p.get(BASE, p), config, masks, keep)

    # the targets: the normalised features as they are, never masked
    normed, dropout_cache = dropout(backbone_cache.feature_projection.projection.x, masks.quantized)
    quantized, quantizer_cache = quantize(normed, p["quantizer"], config.num_codevector_groups, gumbel, tau)
    targets, project_q_cache = linear(quantized, p["project_q"])  # (T, d)

    # the predictions: from a context that has not seen the masked frames
    masked = np.flatnonzero(span)  # (n,)
    predictions, project_hid_cache = linear(context[masked], p["project_hid"])  # (n, d)

    if len(masked) < 2:  # no other frame is a negative
        negatives = np.empty((len(masked), 0), int)
    kappa = config.contrastive_logits_temperature
    loss, contrastive = contrastive_loss(predictions, targets, quantizer_cache.codes, masked, negatives, kappa)
    use, use_cache = code_use(quantizer_cache.logits, span)
    quantizing = dropout_cache, quantizer_cache, project_q_cache
    cache = UtteranceCache(backbone_cache, *quantizing, project_hid_cache, contrastive, use_cache)
    return UtteranceForward(loss, use, hits(contrastive), len(masked) < 2, cache)


def _backward(
    cache: UtteranceCache, p: dict, config: Config, duse: np.ndarray, dpenalty: np.ndarray, gradient_scale: float
) -> dict:
    """Gradients of the total with respect to every parameter, through this utterance."""
    grads = {}
    dlogits = code_use_backward(duse, cache.code_use)  # undoes: code_use
    dpredictions, dtargets = contrastive_loss_backward(1.0, cache.contrastive)  # undoes: contrastive_loss

    dmasked_context, grads["project_hid"] = linear_backward(dpredictions, cache.project_hid)  # undoes: project_hid
    dcontext = np.zeros((len(cache.features), dmasked_context.shape[1]), dmasked_context.dtype)
    dcontext[cache.backbone.mask.frames] = dmasked_context  # undoes: context[masked]

    dquantized, grads["project_q"] = linear_backward(dtargets, cache.project_q)  # undoes: project_q
    dnormed, grads["quantizer"] = quantize_backward(dquantized, cache.quantizer, dlogits)  # undoes: quantize
    dnormed, _ = dropout_backward(dnormed, cache.dropout)  # undoes: dropout

    _, below = backbone_backward(
        dcontext, cache.backbone, p.get(BASE, p), config,
        dnormed=dnormed, dpenalty=dpenalty, feature_gradient_scale=gradient_scale,
    )  # fmt: skip
    return grads | ({BASE: below} if BASE in p else below)


def _checked(
    waveforms: Sequence, p: dict, spans: Sequence, negatives: Sequence, gumbel: Sequence, masks: Sequence
) -> int:
    """The number of masked frames, if everything goes together."""
    base = p.get(BASE, p)
    missing = [name for name in ("quantizer", "project_q", "project_hid") if name not in p]
    missing += [name for name in ("masked_spec_embed",) if name not in base]
    if missing:
        raise ObjectiveError(f"the parameters lack {', '.join(missing)}: take a checkpoint of Wav2Vec2ForPreTraining")
    N = len(waveforms)
    if not N or not N == len(spans) == len(negatives) == len(gumbel):
        raise ObjectiveError(
            f"there are {N} waveforms, {len(spans)} spans, {len(negatives)} negatives and {len(gumbel)} noises: "
            "give one of each for every utterance"
        )
    if len(masks) != N:
        raise ObjectiveError(f"there are {N} utterances and dropout for {len(masks)}: give one for each")
    if not all(isinstance(span, np.ndarray) and span.dtype == bool for span in spans):
        raise ObjectiveError("spans must be arrays of bool, one entry for each frame")
    n = sum(int(span.sum()) for span in spans)
    if n == 0:
        raise ObjectiveError(f"none of the {N} utterances has a masked frame: there is nothing to learn from")
    return n
