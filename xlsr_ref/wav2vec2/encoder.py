"""The encoder: features become context vectors, each of which has seen the whole utterance.

    pre-norm (XLSR):            x ← x + positional(x);         x ← block(x) for every block;   context = norm(x)
    post-norm (wav2vec2-base):  x ← norm(x + positional(x));   x ← block(x) for every block;   context = x

Hidden states are what enters the first block and what leaves each one; the final norm of a pre-norm model is
not among them. Where: wav2vec 2.0 §2 "Contextualized representations with Transformers".
Checkpoint: `encoder.{pos_conv_embed,layers,layer_norm}`. Letters: T frames, C channels (`hidden_size`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.norm import layer_norm, layer_norm_backward
from xlsr_ref.ops.tree import zeros_like
from xlsr_ref.wav2vec2.block import (
    BlockCache,
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.keep import Keep, kept_cache, kept_output
from xlsr_ref.wav2vec2.masks import NO_BLOCK_MASKS, EncoderMasks
from xlsr_ref.wav2vec2.positional import positional, positional_backward


class EncoderCache(NamedTuple):
    position: Any  # (T, C)  what the positional convolution added; None where it was not kept, as the next two
    positional: Any  # PositionalCache
    layer_norm: Any  # LayerNormCache: the first thing of a post-norm encoder, the last of a pre-norm one
    entering: DropoutCache
    states: list[np.ndarray]  # of (T, C)  the hidden states, one more than there are blocks
    blocks: list[BlockCache | None]  # None where only the block's input is kept, or the block was dropped
    masks: EncoderMasks


def encoder(
    x: np.ndarray, p: dict, config: Config, keep: Keep = True, masks: EncoderMasks | None = None
) -> tuple[np.ndarray, EncoderCache]:
    """``x`` (T, C) to context vectors (T, C), and the cache; ``masks`` are for training."""
    pre_norm, eps, heads = config.do_stable_layer_norm, config.layer_norm_eps, config.num_attention_heads
    block = pre_norm_block if pre_norm else post_norm_block
    masks = masks or no_encoder_masks(config)

    position, positional_cache = positional(x, p["pos_conv_embed"], config.num_conv_pos_embedding_groups)
    x = x + position
    position, positional_cache = kept_output(position, keep), kept_cache(positional_cache, keep)
    norm_cache = None
    if not pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
    states, blocks = [x], []  # what is not kept leaves its memory to the next block
    x, entering_cache = dropout(x, masks.entering)
    for i, block_masks in enumerate(masks.blocks):
        cache = None
        if block_masks is not None:
            x, cache = block(x, p["layers"][str(i)], heads, eps, block_masks)
        states = [*states, x] if keep else [x]
        blocks.append(cache if keep is True else None)
        del cache
    if pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
    outer = position, positional_cache, kept_cache(norm_cache, keep), entering_cache
    return x, EncoderCache(*outer, states if keep else [], blocks, masks)


def encoder_backward(
    dcontext: np.ndarray,
    cache: EncoderCache,
    p: dict,
    config: Config,
    dstates: Sequence[np.ndarray] | None = None,
    adapters_only: bool = False,
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters ``p``, from ``dcontext`` (T, C).

    ``dstates`` are gradients (T, C) of the hidden states themselves, where a head has looked at them (a weighted sum).
    With ``adapters_only`` the gradients are those of the attention adapters alone, and what is returned for x is that
    of what enters the first block.
    """
    pre_norm = config.do_stable_layer_norm
    grads: dict = {"layers": {}}
    dx = dcontext
    if pre_norm:
        dx, grads["layer_norm"] = layer_norm_backward(dx, cache.layer_norm)  # undoes: context = norm(x)
    for i in reversed(range(len(cache.blocks))):  # undoes: x ← block(x), the last block first
        dx = dx if dstates is None else dx + dstates[i + 1]  # a head looked at what left this block, too
        dx, of_block = _block_backward(i, dx, cache, p["layers"][str(i)], config)
        grads["layers"][str(i)] = {"adapter_layer": of_block["adapter_layer"]} if adapters_only else of_block
    if adapters_only:
        return dx, {"layers": grads["layers"]}
    dx, _ = dropout_backward(dx, cache.entering)  # undoes: dropout
    dx = dx if dstates is None else dx + dstates[0]
    if not pre_norm:
        dx, grads["layer_norm"] = layer_norm_backward(dx, cache.layer_norm)  # undoes: norm(x + …)
    dposition_x, grads["pos_conv_embed"] = positional_backward(dx, cache.positional)  # undoes: positional(x)
    return dx + dposition_x, grads  # undoes: x + …


def _block_backward(i: int, dy: np.ndarray, cache: EncoderCache, p: dict, config: Config) -> tuple[np.ndarray, dict]:
    """Through block ``i``, whose cache is computed again where only its input was kept."""
    masks, block_cache = cache.masks.blocks[i], cache.blocks[i]
    if masks is None:  # the block was dropped
        return dy, zeros_like(p)
    if block_cache is None:
        x = dropout(cache.states[0], cache.masks.entering)[0] if i == 0 else cache.states[i]
        block = pre_norm_block if config.do_stable_layer_norm else post_norm_block
        _, block_cache = block(x, p, config.num_attention_heads, config.layer_norm_eps, masks)
    backward: Callable = pre_norm_block_backward if config.do_stable_layer_norm else post_norm_block_backward
    return backward(dy, block_cache)


def no_encoder_masks(config: Config) -> EncoderMasks:
    """Every block takes part, and nothing is dropped."""
    return EncoderMasks(None, (NO_BLOCK_MASKS,) * config.num_hidden_layers)
