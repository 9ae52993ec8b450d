"""The stages of a forward pass by the checkpoint's module paths.

    stages["wav2vec2.encoder.layers.0"].output         what that module put out
    stages["wav2vec2.encoder.layers.0"].cache          what its backward pass needs; None where only outputs were kept

A stage holds references to arrays of the cache that the backward pass takes: naming them costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.model.network import BASE, Network, NetworkCache
from xlsr_ref.wav2vec2.backbone import BackboneCache
from xlsr_ref.wav2vec2.keep import kept_cache, kept_output


class Stage(NamedTuple):
    output: np.ndarray  # (T, C)
    cache: Any  # the NamedTuple that the stage's function returned


class Stages(dict[str, Stage]):
    """The stages in the order of the signal, and the whole ``cache`` of the pass."""

    cache: NetworkCache


def stages_of(network: Network, cache: NetworkCache) -> Stages:
    """Every stage of a pass of ``network`` that was kept."""
    stages = Stages()
    stages.cache = cache
    if kept_output(cache.y, cache.keep) is None:
        return stages
    base = f"{BASE}." if BASE in network.params else ""
    named = [
        *((base + name, *stage) for name, *stage in _backbone(cache.backbone, network.config.do_stable_layer_norm)),
        *_head(network, cache),
    ]
    stages |= {name: Stage(output, kept_cache(part, cache.keep)) for name, output, part in named}
    return stages


def _backbone(cache: BackboneCache, pre_norm: bool) -> Iterator[tuple[str, np.ndarray, Any]]:
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


def _head(network: Network, cache: NetworkCache) -> Iterator[tuple[str, np.ndarray, Any]]:
    head = cache.head
    if cache.layer_sum is not None:
        yield "layer_weights", cache.summed, cache.layer_sum
    match network.head:
        case "ctc":
            yield "lm_head", cache.y, head
        case "sequence classification":
            yield "projector", head.projected, head.projector
            yield "classifier", cache.y, head.classifier
        case "frame classification":
            yield "classifier", cache.y, head
        case "xvector":
            inner = head.embedding
            yield "projector", inner.projected, inner.projector
            for i, (output, layer) in enumerate(zip(inner.outputs, inner.tdnn)):
                yield f"tdnn.{i}", output, layer
            yield "feature_extractor", inner.vector, inner.linear
            yield "classifier", cache.y, head.classifier
