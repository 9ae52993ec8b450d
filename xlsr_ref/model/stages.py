"""The stages of a forward pass by the checkpoint's module paths.

    stages["wav2vec2.encoder.layers.0"].output         what that module put out
    stages["wav2vec2.encoder.layers.0"].cache          what its backward pass needs; None where only outputs were kept

A stage holds references to arrays of the cache that the backward pass takes: naming them costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.model.heads import head_of
from xlsr_ref.model.network import Network, NetworkCache
from xlsr_ref.model.networks import architecture_of
from xlsr_ref.ops.keep import kept_cache, kept_output


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
    base = f"{network.config.base}." if network.config.base in network.params else ""
    below = architecture_of(network.config).stages
    named = [
        *((base + name, *stage) for name, *stage in below(cache.backbone, network.config)),
        *_head(network, cache),
    ]
    stages |= {name: Stage(output, kept_cache(part, cache.keep)) for name, output, part in named}
    return stages


def _head(network: Network, cache: NetworkCache) -> Iterator[tuple[str, np.ndarray, Any]]:
    if cache.layer_sum is not None:
        yield "layer_weights", cache.summed, cache.layer_sum
    yield from head_of(network.params).stages(cache.y, cache.head)
