"""The whole network below its head: a waveform becomes context vectors, and a gradient goes back.

    waveform ─ feature_encoder ─ feature_projection ─ mask ─ encoder ─ context vectors ─ adapter, in some models
    (L,)        (T, 512)          (T, 1024)                   (T, 1024)                   (T', C)

The widths are XLSR-53's. Inference, fine-tuning, pre-training and the inspection tools all call this. They differ in
the arguments `masks` and `keep`, and in what they do with the context vectors; model/network.py puts a head on top.
Where: wav2vec 2.0 §2; XLSR §2. Checkpoint: the names under `wav2vec2.`, or all names of a model without a head; there
the feature encoder is called `feature_extractor`.
Letters: L samples, T frames, T' frames after an adapter, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.feature_projection import feature_projection, feature_projection_backward
from xlsr_ref.ops.keep import Keep, kept_cache, kept_output
from xlsr_ref.ops.norm import Moments
from xlsr_ref.ops.spec_augment import NO_MASKS, MaskCache, Masks, mask_spans, mask_spans_backward
from xlsr_ref.wav2vec2.adapter import AdapterCache, adapter, adapter_backward
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.encoder import EncoderCache, encoder, encoder_backward
from xlsr_ref.wav2vec2.feature_encoder import FeatureEncoderCache, feature_encoder, feature_encoder_backward


class BackboneCache(NamedTuple):
    feature_encoder: FeatureEncoderCache
    projected: Any  # (T, C)  the feature projection's output; None if not kept
    feature_projection: Any  # its cache; None if not kept
    dropout: DropoutCache
    mask: MaskCache
    encoder: EncoderCache
    context: Any  # (T, C)  the encoder's output; None if not kept
    adapter: AdapterCache | None  # None if not kept, or if there is no adapter


def backbone(
    x: np.ndarray,
    p: dict,
    config: Config,
    masks: Masks = NO_MASKS,
    keep: Keep = True,
    *,
    freeze_feature_encoder: bool = False,
    stats: Moments | None = None,
) -> tuple[np.ndarray, BackboneCache]:
    """From ``x`` (L,), normalised, to context vectors (T, C), or (T', C) with an adapter; and the cache.

    ``masks`` are for training: dropout's and SpecAugment's. ``keep`` says what the cache holds (keep.py); a frozen
    feature encoder (fine-tuning) keeps nothing. ``stats`` are the first layer's moments over the whole recording, where
    ``x`` is one part of it and the model has group norm: see feature_encoder.first_moments.
    """
    keep_features = False if freeze_feature_encoder else keep
    features, feature_cache = feature_encoder(x, p["feature_extractor"], config, keep_features, stats)
    projected, projection_cache = feature_projection(features, p["feature_projection"], config.layer_norm_eps)
    dropped, dropout_cache = dropout(projected, masks.projected)
    masked, mask_cache = mask_spans(dropped, masks, p.get("masked_spec_embed"))
    projected = kept_output(projected, keep)
    projection_cache = kept_cache(projection_cache, keep)
    del features, dropped  # the encoder may use the memory of what is not kept
    context, encoder_cache = encoder(masked, p["encoder"], config, keep, masks.encoder)
    y, adapter_cache = adapter(context, p["adapter"], config) if "adapter" in p else (context, None)
    return y, BackboneCache(
        feature_encoder=feature_cache,
        projected=projected,
        feature_projection=projection_cache,
        dropout=dropout_cache,
        mask=mask_cache,
        encoder=encoder_cache,
        context=kept_output(context, keep),
        adapter=kept_cache(adapter_cache, keep),
    )


def backbone_backward(
    dy: np.ndarray,
    cache: BackboneCache,
    p: dict,
    config: Config,
    *,
    dstates: Sequence[np.ndarray] | None = None,
    dnormed: np.ndarray | None = None,
    dpenalty: np.ndarray | None = None,
    feature_gradient_scale: float = 1.0,
    adapters_only: bool = False,
) -> tuple[np.ndarray | None, dict]:
    """The gradients with respect to x (L,) and to every parameter that took part, nested as ``p`` is.

    ``dy`` is the gradient of the output. Gradients may also enter inside: ``dstates`` at the hidden states (from a
    weighted layer sum), ``dnormed`` at the normalised features (from pre-training's quantizer) and ``dpenalty`` at the
    features (from the L2 penalty). ``feature_gradient_scale`` scales what enters the feature encoder, the penalty's
    gradient with it (wav2vec 2.0 §4.2: 0.1). A feature encoder that was frozen has no gradient, and x's is None. With
    ``adapters_only`` nothing but the attention adapters has one.
    """
    grads: dict = {}
    if cache.adapter is not None:
        dy, grads["adapter"] = adapter_backward(dy, cache.adapter)  # undoes: adapter
    if adapters_only:
        _, of_adapters = encoder_backward(dy, cache.encoder, p["encoder"], config, dstates, adapters_only=True)
        return None, {"encoder": of_adapters}
    dmasked, grads["encoder"] = encoder_backward(dy, cache.encoder, p["encoder"], config, dstates)  # undoes: encoder
    ddropped, mask_grads = mask_spans_backward(dmasked, cache.mask)  # undoes: mask_spans
    dprojected, _ = dropout_backward(ddropped, cache.dropout)  # undoes: dropout
    grads |= mask_grads
    dfeatures, grads["feature_projection"] = feature_projection_backward(  # undoes: feature_projection
        dprojected, cache.feature_projection, dnormed
    )
    if not cache.feature_encoder.layers:  # frozen
        return None, grads
    if dpenalty is not None:
        dfeatures += dpenalty
    if feature_gradient_scale != 1:
        dfeatures = dfeatures * feature_gradient_scale
    dx, grads["feature_extractor"] = feature_encoder_backward(
        dfeatures, cache.feature_encoder
    )  # undoes: feature_encoder
    return dx, grads


def stages(cache: BackboneCache, config: Config) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Each stage of a pass by its path in the checkpoint, with what it put out and its cache."""
    pre_norm = config.do_stable_layer_norm
    for i, (output, convolution) in enumerate(zip_longest(*cache.feature_encoder)):
        yield f"feature_extractor.conv_layers.{i}", output, convolution
    yield "feature_projection", cache.projected, cache.feature_projection
    encoder = cache.encoder
    yield "encoder.pos_conv_embed", encoder.position, encoder.positional
    norm = "encoder.layer_norm", encoder.states[0] if not pre_norm else cache.context, encoder.layer_norm
    if not pre_norm:
        yield norm
    for i, block in enumerate(encoder.blocks):
        yield f"encoder.layers.{i}", encoder.states[i + 1], block
    if pre_norm:
        yield norm
    if cache.adapter is not None:
        if cache.adapter.projected is not None:
            yield "adapter.proj_layer_norm", cache.adapter.projected, cache.adapter.projection
        for i, (output, layer) in enumerate(zip(cache.adapter.outputs, cache.adapter.layers)):
            yield f"adapter.layers.{i}", output, layer
