"""The whole network below its head: a waveform becomes context vectors, and a gradient goes back.

    waveform ─ feature_encoder ─ feature_projection ─ mask ─ encoder ─ context vectors ─ adapter, in some models
    (L,)        (T, 512)          (T, 1024)                   (T, 1024)                   (T', C)

The widths are XLSR-53's. Inference, fine-tuning, pre-training and everything that looks inside call this and nothing
else; they differ in what they pass in (`masks`, `keep`) and in what they do with the context vectors. A head is put on
top by model/network.py.
Where: wav2vec 2.0 §2; XLSR §2. Checkpoint: everything under `wav2vec2.`; in a model without a head, everything.
Letters: L samples, T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.norm import Moments
from xlsr_ref.wav2vec2.adapter import AdapterCache, adapter, adapter_backward
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.encoder import EncoderCache, encoder, encoder_backward
from xlsr_ref.wav2vec2.feature_encoder import FeatureEncoderCache, feature_encoder, feature_encoder_backward
from xlsr_ref.wav2vec2.feature_projection import feature_projection, feature_projection_backward
from xlsr_ref.wav2vec2.keep import Keep, kept_cache, kept_output
from xlsr_ref.wav2vec2.masks import NO_MASKS, MaskCache, Masks, mask_spans, mask_spans_backward


class BackboneCache(NamedTuple):
    feature_encoder: FeatureEncoderCache
    projected: Any  # (T, C)  what the feature projection put out; None where it was not kept, as the next
    feature_projection: Any  # ProjectionCache
    dropout: DropoutCache
    mask: MaskCache
    encoder: EncoderCache
    context: Any  # (T, C)  what the encoder put out; None where nothing was kept
    adapter: AdapterCache | None


def backbone(
    x: np.ndarray,
    p: dict,
    config: Config,
    masks: Masks = NO_MASKS,
    keep: Keep = True,
    *,
    freeze_feature_encoder: bool = False,
    over: Moments | None = None,
) -> tuple[np.ndarray, BackboneCache]:
    """``x`` (L,), normalised, to context vectors (T, C), and the cache.

    ``masks`` are for training, and ``keep`` says what the cache holds (keep.py). The feature encoder keeps nothing
    where it is frozen, as in fine-tuning. ``over`` are the first layer's moments of the recording that ``x`` is a part
    of, for group norm: see feature_encoder.first_moments.
    """
    keep_features = False if freeze_feature_encoder else keep
    features, conv_cache = feature_encoder(x, p["feature_extractor"], config, keep_features, over)
    projected, projection_cache = feature_projection(features, p["feature_projection"], config.layer_norm_eps)
    dropped, dropout_cache = dropout(projected, masks.projected)
    masked, mask_cache = mask_spans(dropped, masks, p.get("masked_spec_embed"))
    projected, projection_cache = kept_output(projected, keep), kept_cache(projection_cache, keep)
    del features, dropped  # what is not kept leaves its memory to the encoder
    context, encoder_cache = encoder(masked, p["encoder"], config, keep, masks.encoder)
    y, adapter_cache = adapter(context, p["adapter"], config) if "adapter" in p else (context, None)
    return y, BackboneCache(
        feature_encoder=conv_cache,
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
    dfeatures: np.ndarray | None = None,
    feature_gradient_scale: float = 1.0,
) -> tuple[np.ndarray | None, dict]:
    """Gradients with respect to x (L,) and every parameter that took part, nested as ``p`` is.

    ``dy`` is that of the context vectors. Others may have a gradient for what stands inside: ``dstates`` for the hidden
    states (a weighted layer sum), ``dnormed`` for the normalised features (pre-training's quantizer), ``dfeatures`` for
    the features (the L2 penalty). ``feature_gradient_scale`` slows the feature encoder down (wav2vec 2.0 §4.2: 0.1).
    Where the feature encoder kept nothing it is frozen: it has no gradient, and that of x is None.
    """
    grads: dict = {}
    if cache.adapter is not None:
        dy, grads["adapter"] = adapter_backward(dy, cache.adapter)  # undoes: adapter
    dmasked, grads["encoder"] = encoder_backward(dy, cache.encoder, p["encoder"], config, dstates)  # undoes: encoder
    ddropped, mask_grads = mask_spans_backward(dmasked, cache.mask)  # undoes: mask_spans
    dprojected, _ = dropout_backward(ddropped, cache.dropout)  # undoes: dropout
    grads |= mask_grads
    projection_cache = cache.feature_projection
    dx, grads["feature_projection"] = feature_projection_backward(dprojected, projection_cache, dnormed)  # undoes: it
    if not cache.feature_encoder.layers:
        return None, grads
    if dfeatures is not None:
        dx += dfeatures
    if feature_gradient_scale != 1:
        dx = dx * feature_gradient_scale
    dx, grads["feature_extractor"] = feature_encoder_backward(dx, cache.feature_encoder)  # undoes: feature_encoder
    return dx, grads
