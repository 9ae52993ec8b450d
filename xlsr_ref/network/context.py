"""The context network: features become context vectors that have seen the whole utterance.

    project:    x = norm(features) Wᵀ + b
    pre-norm:   x ← x + positional(x);         x ← block(x) for every block;   context = norm(x)
    post-norm:  x ← norm(x + positional(x));   x ← block(x) for every block;   context = x

Hidden states are what enters the first block and what leaves each one; the final norm of a pre-norm model is
not among them. Where: wav2vec 2.0 §2 "Contextualized representations with Transformers".
Checkpoint: `feature_projection.{layer_norm,projection}`, `encoder.{pos_conv_embed,layers,layer_norm}`.
Letters: T frames, C channels (`hidden_size`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.network.block import (
    NOTHING,
    BlockDropout,
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from xlsr_ref.network.positional import Kernel, positional, positional_backward
from xlsr_ref.network.stage import Keep, Stages, remember
from xlsr_ref.ops.dropout import dropout, dropout_backward, dropout_factor
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward


class ProjectionCache(NamedTuple):
    layer_norm: LayerNormCache
    projection: LinearCache  # its x, the normalised features, is also what pre-training quantises


class EncoderDropout(NamedTuple):
    """What the encoder multiplies by while it trains, from ops/dropout.py."""

    entering: np.ndarray | None  # (T, C)  what enters block 0: `hidden_dropout`
    blocks: tuple[BlockDropout | None, ...]  # one for each block; None: layer drop, the block hands its input on


def draw_dropout(rng: np.random.Generator, T: int, config: Config, dtype: type | np.dtype) -> EncoderDropout:
    """Draw everything that one utterance of ``T`` frames drops, by the probabilities in the config."""
    C, F, H = config.hidden_size, config.intermediate_size, config.num_attention_heads
    entering = dropout_factor(rng, (T, C), config.hidden_dropout, dtype)
    blocks: list[BlockDropout | None] = []
    for _ in range(config.num_hidden_layers):
        if rng.random() < config.layerdrop:
            blocks.append(None)
            continue
        weights = dropout_factor(rng, (H, T, T), config.attention_dropout, dtype)
        attended = dropout_factor(rng, (T, C), config.hidden_dropout, dtype)
        active = dropout_factor(rng, (T, F), config.activation_dropout, dtype)
        transformed = dropout_factor(rng, (T, C), config.hidden_dropout, dtype)
        blocks.append(BlockDropout(weights, attended, active, transformed))
    return EncoderDropout(entering, tuple(blocks))


def feature_projection(features: np.ndarray, p: dict, eps: float) -> tuple[np.ndarray, ProjectionCache]:
    """``features`` (T, conv_dim[-1]) to the width of the blocks: (T, C)."""
    normed, norm_cache = layer_norm(features, p["layer_norm"], eps)
    x, projection_cache = linear(normed, p["projection"])
    return x, ProjectionCache(norm_cache, projection_cache)


def feature_projection_backward(dx: np.ndarray, cache: ProjectionCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to features (T, conv_dim[-1]) and the parameters, from ``dx`` (T, C)."""
    dnormed, projection_grads = linear_backward(dx, cache.projection)  # undoes: … Wᵀ + b
    dfeatures, norm_grads = layer_norm_backward(dnormed, cache.layer_norm)  # undoes: norm(features)
    return dfeatures, {"layer_norm": norm_grads, "projection": projection_grads}


def encoder(
    x: np.ndarray,
    p: dict,
    config: Config,
    keep: Keep = False,
    kernel: Kernel | None = None,
    drop: EncoderDropout | None = None,
) -> tuple[np.ndarray, Stages]:
    """``x`` (T, C) to context vectors (T, C), and the stages `pos_conv_embed`, `layers.i` and `layer_norm`.

    ``kernel`` is the positional convolution's weight norm, where it has been computed before; ``drop`` is for training.
    """
    pre_norm, eps, heads = config.do_stable_layer_norm, config.layer_norm_eps, config.num_attention_heads
    block = pre_norm_block if pre_norm else post_norm_block
    stages: Stages = {}
    drop = drop or EncoderDropout(None, (NOTHING,) * config.num_hidden_layers)
    keep_of_a_block: Keep = False if keep in ("outputs", "checkpoints") else keep

    position, cache = positional(x, p["pos_conv_embed"], config.num_conv_pos_embedding_groups, kernel)
    remember(stages, "pos_conv_embed", position, cache, keep)
    x = x + position
    del position, cache  # what is not kept dies before the next stage needs its memory
    if not pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
        remember(stages, "layer_norm", x, norm_cache, keep)
    x, _ = dropout(x, drop.entering)
    for i, block_drop in enumerate(drop.blocks):
        block_cache = None
        if block_drop is not None:
            x, block_cache = block(x, p["layers"][str(i)], heads, eps, keep_of_a_block, block_drop)
        remember(stages, f"layers.{i}", x, block_cache, keep)
        del block_cache
    if pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
        remember(stages, "layer_norm", x, norm_cache, keep)
    return x, stages


def encoder_backward(
    dcontext: np.ndarray,
    stages: Stages,
    p: dict,
    config: Config,
    drop: EncoderDropout | None = None,
    dstates: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters ``p``, from ``dcontext`` (T, C); ``drop`` as forward.

    ``dstates`` are gradients (T, C) of the hidden states themselves, where a head has looked at them (a weighted sum).
    """
    pre_norm, eps, heads = config.do_stable_layer_norm, config.layer_norm_eps, config.num_attention_heads
    block = pre_norm_block if pre_norm else post_norm_block
    block_backward = pre_norm_block_backward if pre_norm else post_norm_block_backward
    drop = drop or EncoderDropout(None, (NOTHING,) * config.num_hidden_layers)
    position = stages["pos_conv_embed"]
    grads: dict = {"layers": {}}
    dx = dcontext
    if pre_norm:
        dx, grads["layer_norm"] = layer_norm_backward(dx, stages["layer_norm"].cache)  # undoes: context = norm(x)
    inputs = hidden_states(position.cache.conv.x, stages, config)  # the convolution kept what the projection put out
    inputs[0], entering_cache = dropout(inputs[0], drop.entering)  # forward again: what entered block 0
    for i, block_drop in reversed(list(enumerate(drop.blocks))):  # undoes: x ← block(x), the last block first
        dx = dx if dstates is None else dx + dstates[i + 1]  # a head looked at what left this block, too
        layer, cache = p["layers"][str(i)], stages[f"layers.{i}"].cache
        if block_drop is None:  # the block was dropped
            grads["layers"][str(i)] = _zeros(layer)
            continue
        if cache is None:  # only its input was kept
            _, cache = block(inputs[i], layer, heads, eps, True, block_drop)
        dx, grads["layers"][str(i)] = block_backward(dx, cache)
        del cache
    dx, _ = dropout_backward(dx, entering_cache)  # undoes: dropout
    dx = dx if dstates is None else dx + dstates[0]
    if not pre_norm:
        dx, grads["layer_norm"] = layer_norm_backward(dx, stages["layer_norm"].cache)  # undoes: norm(x + …)
    dposition_x, grads["pos_conv_embed"] = positional_backward(dx, position.cache)  # undoes: positional(x)
    return dx + dposition_x, grads  # undoes: x + …


def _zeros(p: dict) -> dict:
    """Gradients of parameters that took no part."""
    return {name: _zeros(value) if isinstance(value, dict) else np.zeros_like(value) for name, value in p.items()}


def hidden_states(projected: np.ndarray, stages: Stages, config: Config) -> list[np.ndarray]:
    """The hidden states, each (T, C), one more than there are blocks.

    They come from the projection's output (T, C) and the stages of :func:`encoder`.
    """
    pre_norm = config.do_stable_layer_norm
    first = projected + stages["pos_conv_embed"].output if pre_norm else stages["layer_norm"].output
    return [first, *(stages[f"layers.{i}"].output for i in range(config.num_hidden_layers))]
