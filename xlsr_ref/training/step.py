"""One training step: the two tasks, each as a function from a batch to numbers and a gradient.

    finetune_step    CTC: the text is known           loss: nats per token, the mean over the utterances
    pretrain_step    contrastive: sound alone         loss: nats per masked frame

All randomness comes from one generator for each utterance, seeded by (seed, step, number in the batch): what a step
does depends on nothing that came before it except the weights.
A clip with fewer frames than its text needs has an infinite loss. It takes no part, and the others of its batch are
learnt from: with `ctc_zero_infinity` it still counts where the mean over the batch is taken, as in transformers, and
without it, where transformers' loss would be infinite, it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from xlsr_ref import audio
from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.ctc import reduction_weights
from xlsr_ref.losses.masking import draw_negatives, draw_spans
from xlsr_ref.model.finetune import ctc_losses
from xlsr_ref.model.networks import architecture_of
from xlsr_ref.model.pretrain import pretrain_loss
from xlsr_ref.ops import threads
from xlsr_ref.ops.lattice import frames_needed
from xlsr_ref.ops.spec_augment import NO_MASKS, Masks
from xlsr_ref.ops.tree import flatten
from xlsr_ref.settings import Settings
from xlsr_ref.training.augment import augment
from xlsr_ref.training.recipe import Recipe, TrainingStage
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.masks import draw_masks
from xlsr_ref.wav2vec2.quantizer import gumbel_noise, temperature

Result = TypeVar("Result")
Input = audio.Preprocessor | audio.LogMel
Fits = Callable[[np.ndarray, np.ndarray, Settings], bool]  # can this clip with these targets be learnt from?


class Utterance(NamedTuple):
    """A clip, ready to learn from."""

    x: np.ndarray  # (L,) normalised, or features (T, F)
    targets: np.ndarray  # (S,) ids; empty in pre-training
    frames: int  # T
    rng: np.random.Generator  # for all that is still to be drawn


@dataclass(frozen=True)
class Batch:
    """Clips as they are in the corpus, and what happens to them in this step."""

    waveforms: Sequence[np.ndarray]
    targets: Sequence[np.ndarray]
    step: int
    stage: TrainingStage


Numbers = dict[str, Any]  # what a step reports


def frames_of(samples: int, config: Settings) -> int:
    """How many frames the network makes of a clip: T, or fewer above a convolutional adapter."""
    return config.adapter_frames(config.frames(samples))


def fits_ctc(x: np.ndarray, targets: np.ndarray, config: Settings) -> bool:
    """Has a clip ``x`` (L,) as many frames as its ``targets`` (S,) need, and at least one?"""
    return frames_of(len(x), config) >= max(frames_needed(targets), 1)


def fits_masks(x: np.ndarray, targets: np.ndarray, config: Settings) -> bool:
    """Does a masked span fit into a clip ``x`` (L,)?"""
    return config.frames(len(x)) >= config.mask_time_length


def finetune_step(
    params: dict, config: Settings, recipe: Recipe, preprocessor: Input, batch: Batch
) -> tuple[Numbers, dict]:
    """The CTC loss of a batch, as transformers reduces it, and its gradient.

    Raises ObjectiveError for NaN, and where no clip has as many frames as its text needs.
    """
    fit = _fitting(fits_ctc, batch, config, "as many frames as its text needs")
    made = _side_by_side(lambda i: _utterance(config, recipe, preprocessor, batch, fit[i]), len(fit))
    masks = _side_by_side(lambda i: _masks(config, batch.stage, made[i]), len(made))
    counted = range(len(batch.targets)) if config.ctc_zero_infinity else fit
    weight_of = dict(
        zip(counted, reduction_weights([len(batch.targets[i]) for i in counted], config.ctc_loss_reduction))
    )
    weights, sizes = [weight_of[i] for i in fit], [max(len(one.targets), 1) for one in made]
    results, grads = ctc_losses(
        [one.x for one in made],
        [one.targets for one in made],
        params,
        config,
        masks=masks,
        weights=weights,
        learn=batch.stage.learn,
    )
    numbers: Numbers = {
        "loss": math.fsum(one.loss * weight for one, weight in zip(results, weights)),
        "nats_per_token": math.fsum(one.loss for one in results) / sum(sizes),
        "blanks": math.fsum(one.blanks for one in results) / len(made),
    }
    return numbers, flatten(grads)


def pretrain_step(
    params: dict, config: Settings, recipe: Recipe, preprocessor: Input, batch: Batch
) -> tuple[Numbers, dict]:
    """The loss of pre-training per masked frame, and its gradient.

    Raises ObjectiveError for NaN, and where a masked span fits into no clip.
    """
    if not isinstance(config, Config):
        raise ObjectiveError(f"only wav2vec 2.0 can be pre-trained, not {config.model_type}")
    part, c = recipe.pretrain, config
    fit = _fitting(fits_masks, batch, config, f"the {config.mask_time_length} frames of a masked span")
    made = _side_by_side(lambda i: _utterance(config, recipe, preprocessor, batch, fit[i]), len(fit))
    tau = temperature(batch.step - 1, part.tau_start, part.tau_decay, part.tau_floor)
    shape = c.num_codevector_groups, c.num_codevectors_per_group

    def draw(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Masks]:
        one = made[i]
        spans = _spans(one.frames, c.mask_time_prob, c.mask_time_length, c.mask_time_min_masks, one.rng)
        negatives = draw_negatives(spans, c.num_negatives, one.rng)
        gumbel = gumbel_noise(one.rng, (one.frames, *shape))
        masks = draw_masks(one.rng, one.frames, c, one.x.dtype) if batch.stage.noise else NO_MASKS
        return spans, negatives, gumbel, masks

    spans, negatives, gumbel, masks = zip(*_side_by_side(draw, len(made)))
    losses, grads = pretrain_loss(
        [one.x for one in made],
        params,
        config,
        spans,
        negatives,
        gumbel,
        tau,
        feature_penalty_weight=part.feature_penalty,
        encoder_gradient_scale=part.encoder_gradient_scale,
        masks=masks,
    )
    n, flat = losses.masked_frames, flatten(grads)
    for g in flat.values():
        g /= n
    numbers: Numbers = {
        "loss": losses.total / n,
        "contrastive": losses.contrastive / n,
        "diversity": losses.diversity,
        "accuracy": losses.accuracy,
        "perplexity": [float(perplexity) for perplexity in losses.perplexity],
        "tau": tau,
        "masked_frames": n,
    }
    return numbers, flat


def generator(recipe: Recipe, step: int, i: int) -> np.random.Generator:
    """Of utterance ``i`` in the batch of ``step``."""
    return np.random.default_rng([recipe.seed, step, i])


def _fitting(fits: Fits, batch: Batch, config: Settings, needed: str) -> list[int]:
    """The numbers of the clips that can be learnt from. Raises ObjectiveError where there is none."""
    pairs = zip(batch.waveforms, batch.targets)
    fitting = [i for i, (x, targets) in enumerate(pairs) if fits(x, targets, config)]
    if not fitting:
        raise ObjectiveError(f"none of its {len(batch.waveforms)} clips has {needed}")
    return fitting


def _utterance(config: Settings, recipe: Recipe, preprocessor: Input, batch: Batch, i: int) -> Utterance:
    x, targets = batch.waveforms[i], batch.targets[i]
    rng = generator(recipe, batch.step, i)

    if batch.stage.augment:
        varied = augment(x, preprocessor.sampling_rate, recipe.augment, rng)
        if fits_ctc(varied, targets, config):  # faster speech may have too few frames
            x = varied
    return Utterance(preprocessor.normalised(x), targets, config.frames(len(x)), rng)


def _masks(config: Settings, stage: TrainingStage, one: Utterance) -> Masks:
    """Dropout, and spans of frames and channels, as the config has them."""
    if not stage.noise:
        return NO_MASKS
    draw = architecture_of(config).draw_masks
    masks, c = draw(one.rng, one.frames, config, one.x.dtype), config
    if not c.apply_spec_augment:
        return masks
    frames = channels = None
    if c.mask_time_prob > 0:
        frames = _spans(one.frames, c.mask_time_prob, c.mask_time_length, c.mask_time_min_masks, one.rng)
    if c.mask_feature_prob > 0:
        channels = _spans(c.hidden_size, c.mask_feature_prob, c.mask_feature_length, c.mask_feature_min_masks, one.rng)
    return masks._replace(frames=frames, channels=channels)


def _spans(length: int, prob: float, M: int, least: int, rng: np.random.Generator) -> np.ndarray:
    """Spans of ``M``; ``prob`` is the config's, the chance that one starts times M."""
    return draw_spans(length, prob / M, M, rng, least)


def _side_by_side(one: Callable[[int], Result], N: int) -> list[Result]:
    """``one(i)`` for every i, on all cores, in order."""
    results: list[Result] = []
    threads.run_in_order((partial(one, i) for i in range(N)), results.append)
    return results
