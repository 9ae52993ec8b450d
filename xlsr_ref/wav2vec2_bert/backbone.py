"""The whole network below its head: log-mel features become context vectors, and a gradient goes back.

    features ─ feature_projection ─ mask ─ blocks ─ context vectors ─ intermediate ffn and adapter, in some models
    (T, 160)    (T, 1024)                   (T, 1024)                  (T', C)

The widths are those of the released model. There is no convolutional feature encoder and no positional convolution:
audio/log_mel.py makes the features, and attention sees the distances itself. Hidden states are what enters the first
block and what leaves each one.
Where: Barrault et al. 2023 (Seamless), §3.2.1. Checkpoint: the names under `wav2vec2_bert.`, or all names of a model
without a head. Letters: T rows of features, T' frames after an adapter, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.blocks import Block, BlockBackward, BlocksCache, through_blocks, through_blocks_backward
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.feature_projection import feature_projection, feature_projection_backward
from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward
from xlsr_ref.ops.keep import Keep, kept_cache, kept_output
from xlsr_ref.ops.spec_augment import NO_MASKS, MaskCache, Masks, mask_spans, mask_spans_backward
from xlsr_ref.wav2vec2_bert.adapter import AdapterCache, adapter, adapter_backward
from xlsr_ref.wav2vec2_bert.config import Config
from xlsr_ref.wav2vec2_bert.conformer_block import conformer_block, conformer_block_backward
from xlsr_ref.wav2vec2_bert.masks import no_encoder_masks, no_masks_above
from xlsr_ref.wav2vec2_bert.relative_attention import form_of


class BackboneCache(NamedTuple):
    projected: Any  # (T, C)  the feature projection's output; None if not kept
    feature_projection: Any  # its cache; None if not kept
    dropout: DropoutCache
    mask: MaskCache
    encoder: BlocksCache
    intermediate: Any  # (T, C)  what the intermediate feed-forward leaves; None if not kept, or if there is none
    intermediate_ffn: Any  # its cache
    adapter: AdapterCache | None


def backbone(
    x: np.ndarray, p: dict, config: Config, masks: Masks = NO_MASKS, keep: Keep = True
) -> tuple[np.ndarray, BackboneCache]:
    """From features ``x`` (T, F) to context vectors (T, C), or (T', C) with an adapter; and the cache.

    ``masks`` are for training, ``keep`` says what the cache holds (ops/keep.py).
    """
    projected, projection_cache = feature_projection(x, p["feature_projection"], config.layer_norm_eps)
    dropped, dropout_cache = dropout(projected, masks.projected)
    masked, mask_cache = mask_spans(dropped, masks, p.get("masked_spec_embed"))
    kept = kept_output(projected, keep), kept_cache(projection_cache, keep), dropout_cache, mask_cache
    del projected, projection_cache, dropped  # the blocks may use the memory of what is not kept
    block, _ = _block_and_its_backward(p, config, masked)
    y, encoder_cache = through_blocks(masked, block, masks.encoder or no_encoder_masks(config), keep)
    above = masks.adapter or no_masks_above(config)
    intermediate, ffn_cache, adapter_cache = None, None, None
    if "intermediate_ffn" in p:
        inner, outer = above.ffn
        step, ffn_cache = feed_forward(y, p["intermediate_ffn"], inner, outer, "relu")
        intermediate = y = y + 0.5 * step
    if "adapter" in p:
        y, adapter_cache = adapter(y, p["adapter"], config, above.layers)
    kept_above = kept_output(intermediate, keep), kept_cache(ffn_cache, keep), kept_cache(adapter_cache, keep)
    return y, BackboneCache(*kept, encoder_cache, *kept_above)


def backbone_backward(
    dy: np.ndarray, cache: BackboneCache, p: dict, config: Config, *, dstates: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, dict]:
    """The gradients with respect to x (T, F) and to every parameter that took part, nested as ``p`` is.

    ``dy`` is the gradient of the output, ``dstates`` those of the hidden states (from a weighted layer sum).
    """
    grads: dict = {}
    if cache.adapter is not None:
        dy, grads["adapter"] = adapter_backward(dy, cache.adapter, p["adapter"])  # undoes: adapter
    if cache.intermediate_ffn is not None:
        dstep, grads["intermediate_ffn"] = feed_forward_backward(0.5 * dy, cache.intermediate_ffn)
        dy = dy + dstep  # undoes: x + ½ ffn(x)
    block, backward = _block_and_its_backward(p, config, cache.encoder.states[0])
    layers = p["encoder"]["layers"]
    dmasked, of_blocks = through_blocks_backward(dy, cache.encoder, block, backward, layers, dstates)
    ddropped, of_mask = mask_spans_backward(dmasked, cache.mask)  # undoes: mask_spans
    dprojected, _ = dropout_backward(ddropped, cache.dropout)  # undoes: dropout
    dx, of_projection = feature_projection_backward(dprojected, cache.feature_projection)  # undoes: feature_projection
    return dx, grads | of_mask | {"encoder": {"layers": of_blocks}, "feature_projection": of_projection}


def stages(cache: BackboneCache, config: Config) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Each stage of a pass by its path in the checkpoint, with what it put out and its cache."""
    yield "feature_projection", cache.projected, cache.feature_projection
    for i, block in enumerate(cache.encoder.blocks):
        yield f"encoder.layers.{i}", cache.encoder.states[i + 1], block
    if cache.intermediate is not None:
        yield "intermediate_ffn", cache.intermediate, cache.intermediate_ffn
    if cache.adapter is not None:
        above = iter(cache.adapter.outputs)
        if cache.adapter.proj_layer_norm is not None:
            yield "adapter.proj_layer_norm", next(above), cache.adapter.proj_layer_norm
        for i, (output, layer) in enumerate(zip(above, cache.adapter.layers)):
            yield f"adapter.layers.{i}", output, layer


def _block_and_its_backward(p: dict, config: Config, x: np.ndarray) -> tuple[Block, BlockBackward]:
    """A block as ops/blocks.py takes it, and the way back; all blocks of ``x`` (T, C) share one table of positions."""
    layers, form = p["encoder"]["layers"], form_of(config, len(x), x.dtype)
    return (
        lambda x, i, masks: conformer_block(x, layers[str(i)], config, form, masks),
        lambda dy, i, cache: conformer_block_backward(dy, cache, layers[str(i)]),
    )
