"""Dropout masks: what training multiplies by in the network at random, by the probabilities in the config.

They are drawn here and passed in, for one utterance at a time: the same masks give the same numbers. Where they go,
and SpecAugment's spans, which come with them: ops/spec_augment.py. `feat_quantizer_dropout` is for what the quantizer
sees, in pre-training.
Where: wav2vec 2.0 §4.2; layer drop: Fan et al. 2019.
Letters: T frames, C channels (`hidden_size`), F inner channels of the feed-forward, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.blocks import EncoderMasks
from xlsr_ref.ops.dropout import dropout_factor
from xlsr_ref.ops.spec_augment import Masks
from xlsr_ref.wav2vec2.config import Config


class BlockMasks(NamedTuple):
    """What a block multiplies by while it trains, from ops/dropout.py; None: nothing is dropped there."""

    weights: np.ndarray | None = None  # (H, T, T)  of the attention: `attention_dropout`
    attended: np.ndarray | None = None  # (T, C)  what attention puts out: `hidden_dropout`
    active: np.ndarray | None = None  # (T, F)  between the halves of the feed-forward: `activation_dropout`
    transformed: np.ndarray | None = None  # (T, C)  what the feed-forward puts out: `hidden_dropout`


NO_BLOCK_MASKS = BlockMasks()


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
