"""Dropout masks and SpecAugment: what training changes in the network at random.

    projection ─ dropout ─ mask spans of frames ─ mask spans of channels ─ encoder, with dropout ─ dropout ─ head
                           by masked_spec_embed    by 0

Everything is drawn outside and passed in, for one utterance at a time: the same masks give the same numbers, and
NO_MASKS is the network as it is used. `feat_quantizer_dropout` is for what the quantizer sees, in pre-training.
Where: wav2vec 2.0 §3.1 (spans), Appendix B (spans of time and channels in fine-tuning); Park et al. 2019, SpecAugment.
Checkpoint: `masked_spec_embed` (C,), what a masked frame becomes.
Letters: T frames, C channels (`hidden_size`), F inner channels of the feed-forward, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.dropout import dropout_factor
from xlsr_ref.wav2vec2.config import Config


class BlockMasks(NamedTuple):
    """What a block multiplies by while it trains, from ops/dropout.py; None: nothing is dropped there."""

    weights: np.ndarray | None = None  # (H, T, T)  of the attention: `attention_dropout`
    attended: np.ndarray | None = None  # (T, C)  what attention puts out: `hidden_dropout`
    active: np.ndarray | None = None  # (T, F)  between the halves of the feed-forward: `activation_dropout`
    transformed: np.ndarray | None = None  # (T, C)  what the feed-forward puts out: `hidden_dropout`


NO_BLOCK_MASKS = BlockMasks()


class EncoderMasks(NamedTuple):
    """The same for the whole encoder."""

    entering: np.ndarray | None  # (T, C)  what enters block 0: `hidden_dropout`
    blocks: tuple[BlockMasks | None, ...]  # one for each block; None: layer drop, the block hands its input on


class Masks(NamedTuple):
    """All masks of one utterance; None: nothing happens there."""

    quantized: np.ndarray | None = None  # (T, conv_dim[-1])  `feat_quantizer_dropout`
    projected: np.ndarray | None = None  # (T, C)  `feat_proj_dropout`
    frames: np.ndarray | None = None  # (T,) bool  masked by masked_spec_embed
    channels: np.ndarray | None = None  # (C,) bool  masked by 0
    encoder: EncoderMasks | None = None
    final: np.ndarray | None = None  # (T, C)  `final_dropout`


NO_MASKS = Masks()


class MaskCache(NamedTuple):
    frames: np.ndarray | None
    channels: np.ndarray | None


def draw_masks(rng: np.random.Generator, T: int, config: Config, dtype: type | np.dtype) -> Masks:
    """The dropout of one utterance of ``T`` frames, by the probabilities in the config; no spans."""
    shape = T, config.hidden_size
    return Masks(
        quantized=dropout_factor(rng, (T, config.conv_dim[-1]), config.feat_quantizer_dropout, dtype),
        projected=dropout_factor(rng, shape, config.feat_proj_dropout, dtype),
        encoder=draw_encoder_masks(rng, T, config, dtype),
        final=dropout_factor(rng, shape, config.final_dropout, dtype),
    )


def draw_encoder_masks(rng: np.random.Generator, T: int, config: Config, dtype: type | np.dtype) -> EncoderMasks:
    """What the encoder drops of one utterance of ``T`` frames."""
    C, F, H = config.hidden_size, config.intermediate_size, config.num_attention_heads
    entering = dropout_factor(rng, (T, C), config.hidden_dropout, dtype)
    blocks: list[BlockMasks | None] = []
    for _ in range(config.num_hidden_layers):
        if rng.random() < config.layerdrop:
            blocks.append(None)
            continue
        weights = dropout_factor(rng, (H, T, T), config.attention_dropout, dtype)
        attended = dropout_factor(rng, (T, C), config.hidden_dropout, dtype)
        active = dropout_factor(rng, (T, F), config.activation_dropout, dtype)
        transformed = dropout_factor(rng, (T, C), config.hidden_dropout, dtype)
        blocks.append(BlockMasks(weights, attended, active, transformed))
    return EncoderMasks(entering, tuple(blocks))


def mask_spans(x: np.ndarray, masks: Masks, embed: np.ndarray | None) -> tuple[np.ndarray, MaskCache]:
    """``x`` (T, C) with the spans masked; ``embed`` (C,) is masked_spec_embed, needed where frames are.

    Raises ObjectiveError where it is not there, and for masks of another shape.
    """
    for what, given, wanted in zip(("frames", "channels"), (masks.frames, masks.channels), x.shape):
        if given is not None and (given.shape, given.dtype) != ((wanted,), bool):
            raise ObjectiveError(f"the mask of the {what} is {given.dtype} of {given.shape}: give bool of ({wanted},)")
    if masks.frames is not None:
        if embed is None:
            raise ObjectiveError("frames are masked, but the parameters lack masked_spec_embed: give it or no mask")
        x = np.where(masks.frames[:, None], embed, x)
    if masks.channels is not None:
        x = np.where(masks.channels, x.dtype.type(0), x)
    return x, MaskCache(masks.frames, masks.channels)


def mask_spans_backward(dy: np.ndarray, cache: MaskCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and, where frames were masked, `masked_spec_embed` (C,)."""
    grads = {}
    if cache.channels is not None:  # undoes: by 0
        dy = np.where(cache.channels, dy.dtype.type(0), dy)
    if cache.frames is not None:  # undoes: by masked_spec_embed, and on the other frames nothing
        grads["masked_spec_embed"] = dy[cache.frames].sum(axis=0, dtype=np.float64).astype(dy.dtype)
        dy = np.where(cache.frames[:, None], dy.dtype.type(0), dy)
    return dy, grads
