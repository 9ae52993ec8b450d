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

from xlsr_ref.ops.blocks import (
    Block,
    BlocksCache,
    EncoderMasks,
    through_blocks,
    through_blocks_backward,
)
from xlsr_ref.ops.keep import Keep, kept_cache, kept_output
from xlsr_ref.ops.norm import layer_norm, layer_norm_backward
from xlsr_ref.wav2vec2.block import (
    BlockCache,
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.masks import NO_BLOCK_MASKS
from xlsr_ref.wav2vec2.positional import positional, positional_backward


class EncoderCache(NamedTuple):
    position: Any  # (T, C)  what the positional convolution added; None where it was not kept, as the next two
    positional: Any  # PositionalCache
    layer_norm: Any  # LayerNormCache: the first thing of a post-norm encoder, the last of a pre-norm one
    stack: BlocksCache

    @property
    def states(self) -> list[np.ndarray]:
        """The hidden states, each (T, C), one more than there are blocks."""
        return self.stack.states

    @property
    def blocks(self) -> list[BlockCache | None]:
        """Each block's cache; None where it was not kept, or the block was dropped."""
        return self.stack.blocks


def encoder(
    x: np.ndarray, p: dict, config: Config, keep: Keep = True, masks: EncoderMasks | None = None
) -> tuple[np.ndarray, EncoderCache]:
    """``x`` (T, C) to context vectors (T, C), and the cache; ``masks`` are for training."""
    pre_norm, eps = config.do_stable_layer_norm, config.layer_norm_eps
    block = pre_norm_block if pre_norm else post_norm_block
    masks = masks or no_encoder_masks(config)

    position, positional_cache = positional(x, p["pos_conv_embed"], config.num_conv_pos_embedding_groups)
    x = x + position
    position, positional_cache = kept_output(position, keep), kept_cache(positional_cache, keep)
    norm_cache = None
    if not pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
    x, stack_cache = through_blocks(x, _numbered(block, p["layers"], config), masks, keep)  # x ← block(x) for each
    if pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
    return x, EncoderCache(position, positional_cache, kept_cache(norm_cache, keep), stack_cache)


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
    block = _numbered(pre_norm_block if pre_norm else post_norm_block, p["layers"], config)
    backward = pre_norm_block_backward if pre_norm else post_norm_block_backward

    def one_backward(dy: np.ndarray, i: int, block_cache: BlockCache) -> tuple[np.ndarray, dict]:
        dx, of_block = backward(dy, block_cache)
        return dx, {"adapter_layer": of_block["adapter_layer"]} if adapters_only else of_block

    grads: dict = {}
    dx = dcontext
    if pre_norm:
        dx, grads["layer_norm"] = layer_norm_backward(dx, cache.layer_norm)  # undoes: context = norm(x)
    dx, grads["layers"] = through_blocks_backward(dx, cache.stack, block, one_backward, p["layers"], dstates)
    if adapters_only:
        return dx, {
            "layers": {i: {"adapter_layer": of_block["adapter_layer"]} for i, of_block in grads["layers"].items()}
        }
    if not pre_norm:
        dx, grads["layer_norm"] = layer_norm_backward(dx, cache.layer_norm)  # undoes: norm(x + …)
    dposition_x, grads["pos_conv_embed"] = positional_backward(dx, cache.positional)  # undoes: positional(x)
    return dx + dposition_x, grads  # undoes: x + …


def no_encoder_masks(config: Config) -> EncoderMasks:
    """Every block takes part, and nothing is dropped."""
    return EncoderMasks(None, (NO_BLOCK_MASKS,) * config.num_hidden_layers)


def _numbered(block: Callable[..., tuple[np.ndarray, BlockCache]], layers: dict, config: Config) -> Block:
    """A ``block`` of either family as ops/blocks.py takes it: of x, its number and its masks."""
    heads, eps = config.num_attention_heads, config.layer_norm_eps
    return lambda x, i, masks: block(x, layers[str(i)], heads, eps, masks)
