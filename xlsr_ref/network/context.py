"""The context network: features become context vectors that have seen the whole utterance.

    project:    x = norm(features) Wᵀ + b
    pre-norm:   x ← x + positional(x);         x ← block(x) for every block;   context = norm(x)
    post-norm:  x ← norm(x + positional(x));   x ← block(x) for every block;   context = x

Hidden states are what enters block 0 and what leaves each block, L + 1 in all; the final norm of a pre-norm model is
not among them. Where: wav2vec 2.0 §2 "Contextualized representations with Transformers".
Checkpoint: `feature_projection.{layer_norm,projection}`, `encoder.{pos_conv_embed,layers,layer_norm}`.
Letters: T frames, C channels (`hidden_size`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.network.block import post_norm_block, pre_norm_block
from xlsr_ref.network.positional import Kernel, positional
from xlsr_ref.network.stage import Keep, Stages, remember
from xlsr_ref.ops.linear import LinearCache, linear
from xlsr_ref.ops.norm import LayerNormCache, layer_norm


class ProjectionCache(NamedTuple):
    layer_norm: LayerNormCache
    projection: LinearCache  # its x, the normalised features, is also what pre-training quantises


def feature_projection(features: np.ndarray, p: dict, eps: float) -> tuple[np.ndarray, ProjectionCache]:
    """``features`` (T, conv_dim[-1]) to the width of the blocks: (T, C)."""
    normed, norm_cache = layer_norm(features, p["layer_norm"], eps)
    x, projection_cache = linear(normed, p["projection"])
    return x, ProjectionCache(norm_cache, projection_cache)


def encoder(
    x: np.ndarray, p: dict, config: Config, keep: Keep = False, kernel: Kernel | None = None
) -> tuple[np.ndarray, Stages]:
    """``x`` (T, C) to context vectors (T, C), and the stages `pos_conv_embed`, `layers.i` and `layer_norm`.

    ``kernel`` is the positional convolution's weight norm, where it has been computed before.
    """
    pre_norm, eps, heads = config.do_stable_layer_norm, config.layer_norm_eps, config.num_attention_heads
    block = pre_norm_block if pre_norm else post_norm_block
    stages: Stages = {}

    position, cache = positional(x, p["pos_conv_embed"], config.num_conv_pos_embedding_groups, kernel)
    remember(stages, "pos_conv_embed", position, cache, keep)
    x = x + position
    if not pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
        remember(stages, "layer_norm", x, norm_cache, keep)
    for i in range(config.num_hidden_layers):
        x, block_cache = block(x, p["layers"][str(i)], heads, eps, keep == "attention")
        remember(stages, f"layers.{i}", x, block_cache, keep)
        del block_cache  # unless it was kept, it dies before the next block needs its memory
    if pre_norm:
        x, norm_cache = layer_norm(x, p["layer_norm"], eps)
        remember(stages, "layer_norm", x, norm_cache, keep)
    return x, stages


def hidden_states(projected: np.ndarray, stages: Stages, config: Config) -> list[np.ndarray]:
    """The L + 1 hidden states, each (T, C), from the projection's output and the stages of :func:`encoder`."""
    pre_norm = config.do_stable_layer_norm
    first = projected + stages["pos_conv_embed"].output if pre_norm else stages["layer_norm"].output
    return [first, *(stages[f"layers.{i}"].output for i in range(config.num_hidden_layers))]
