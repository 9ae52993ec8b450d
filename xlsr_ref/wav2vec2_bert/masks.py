"""Dropout masks of Wav2Vec2-BERT: what training multiplies by at random, by the probabilities in the config.

Where they go, and SpecAugment's spans, which come with them: ops/spec_augment.py. transformers also drops whole layers
of an adapter while training, which changes how many frames there are; here an adapter keeps its layers.
Letters: T frames, C channels (`hidden_size`), F inner channels of the feed-forward, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.blocks import EncoderMasks
from xlsr_ref.ops.dropout import dropout_factor
from xlsr_ref.ops.feed_forward import Factor
from xlsr_ref.ops.spec_augment import Masks
from xlsr_ref.wav2vec2_bert.config import Config


class FeedForwardMasks(NamedTuple):
    active: Factor = None  # (T, F)  between the two halves: `activation_dropout`
    out: Factor = None  # (T, C)  `hidden_dropout`


class AttentionMasks(NamedTuple):
    weights: Factor = None  # (H, T, T)  `attention_dropout`
    out: Factor = None  # (T, C)  `attention_dropout`; in an adapter `conformer_conv_dropout`


class BlockMasks(NamedTuple):
    ffn1: FeedForwardMasks = FeedForwardMasks()
    attention: AttentionMasks = AttentionMasks()
    conv: Factor = None  # (T, C)  `conformer_conv_dropout`
    ffn2: FeedForwardMasks = FeedForwardMasks()


class AboveMasks(NamedTuple):
    """Of the intermediate feed-forward and of each layer of an adapter."""

    ffn: FeedForwardMasks
    layers: tuple[tuple[AttentionMasks, FeedForwardMasks], ...]


NO_BLOCK_MASKS = BlockMasks()


def no_encoder_masks(config: Config) -> EncoderMasks:
    """Every block takes part, and nothing is dropped."""
    return EncoderMasks(None, (NO_BLOCK_MASKS,) * config.num_hidden_layers)


def no_masks_above(config: Config) -> AboveMasks:
    """Nothing is dropped above the blocks."""
    return AboveMasks(FeedForwardMasks(), ((AttentionMasks(), FeedForwardMasks()),) * config.num_adapter_layers)


def draw_masks(rng: np.random.Generator, T: int, config: Config, dtype: type | np.dtype) -> Masks:
    """The dropout of one utterance of ``T`` frames, by the probabilities in the config; no spans."""
    c = config

    def factor(p: float, *shape: int) -> Factor:
        return dropout_factor(rng, shape, p, dtype)

    def feed_forward(T: int, C: int) -> FeedForwardMasks:
        return FeedForwardMasks(factor(c.activation_dropout, T, c.intermediate_size), factor(c.hidden_dropout, T, C))

    def attention(T: int, C: int, out: float) -> AttentionMasks:
        return AttentionMasks(factor(c.attention_dropout, c.num_attention_heads, T, T), factor(out, T, C))

    def block() -> BlockMasks | None:
        if rng.random() < c.layerdrop:
            return None
        first, attended = feed_forward(T, c.hidden_size), attention(T, c.hidden_size, c.attention_dropout)
        return BlockMasks(
            first, attended, factor(c.conformer_conv_dropout, T, c.hidden_size), feed_forward(T, c.hidden_size)
        )

    projected = factor(c.feat_proj_dropout, T, c.hidden_size)
    encoder = EncoderMasks(
        factor(c.hidden_dropout, T, c.hidden_size), tuple(block() for _ in range(c.num_hidden_layers))
    )
    intermediate, layers = feed_forward(T, c.hidden_size), []
    for _ in range(c.num_adapter_layers if c.add_adapter else 0):
        T = c.adapter_layer_frames(T)
        layers.append((attention(T, c.output_size, c.conformer_conv_dropout), feed_forward(T, c.output_size)))
    above = AboveMasks(intermediate, tuple(layers))
    return Masks(None, projected, None, None, encoder, factor(c.final_dropout, T, c.output_size), above)
