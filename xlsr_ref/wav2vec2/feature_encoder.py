"""The feature encoder: a waveform becomes 49 feature frames a second, by strided convolutions.

    x ← GELU(norm(conv(x)))         for every layer; released models have seven

Frames begin 320 samples apart (the hop) and each sees 400 (its receptive field): 16000 samples make 49 frames, not 50.
Two families. "layer" (XLSR): every convolution is followed by a layer norm over its channels. "group" (wav2vec2-base):
only the first one is normalised, each channel over time; the others have no norm. The epsilon of these norms is always
1e-5; `layer_norm_eps` of the config governs the other norms only.
Where: wav2vec 2.0 §2 "Feature encoder". Checkpoint: `feature_extractor.conv_layers.{0…}.{conv,layer_norm}`.
Letters: L samples, T frames, C channels (`conv_dim`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.conv import ConvCache, conv1d, conv1d_backward
from xlsr_ref.ops.keep import Keep, kept_cache, kept_output
from xlsr_ref.ops.norm import (
    GroupNormCache,
    LayerNormCache,
    Moments,
    group_norm,
    group_norm_backward,
    joined_moments,
    layer_norm,
    layer_norm_backward,
    moments,
)
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.tiles import Tile, tiles

EPS = 1e-5
NUMBERS = 256 * 512  # that are normalised and activated at once: they fit into a core's cache


class ConvLayerCache(NamedTuple):
    conv: ConvCache
    convolved: np.ndarray  # (T, C)  norm and GELU are computed again from it: cheaper than keeping what they make
    norm: str  # "layer", "group" or "none"
    layer_norm: dict | None  # the norm's parameters; the checkpoint calls either of the two layer_norm
    stats: Moments | None  # of the whole recording, for group norm


class FeatureEncoderCache(NamedTuple):
    outputs: list[np.ndarray]  # of each layer (T, C)
    layers: list[ConvLayerCache]  # none where only outputs are kept


def feature_encoder(
    waveform: np.ndarray, p: dict, config: Config, keep: Keep = True, stats: Moments | None = None
) -> tuple[np.ndarray, FeatureEncoderCache]:
    """``waveform`` (L,) to features (T, conv_dim[-1]), and the cache.

    Each tile of tiles.py goes through all layers; the tiles run side by side. ``stats`` are the :func:`first_moments`
    of the recording, where ``waveform`` is a part of it.
    """
    layers = [p["conv_layers"][str(i)] for i in range(len(config.conv_stride))]
    norms = norms_of(config)
    pieces = tiles(len(waveform), config.conv_kernel, config.conv_stride)
    if norms[0] == "group" and stats is None:
        stats = _moments(waveform, pieces, layers[0], config.conv_stride[0])
    features = np.empty((pieces[-1].rows[-1].stop, config.conv_dim[-1]), waveform.dtype)
    kept: list[list[tuple[np.ndarray, ConvLayerCache]]] = [[] for _ in pieces]  # of each tile, its layers

    def one(number: int, tile: Tile) -> None:
        x = waveform[tile.rows[0], None]  # (samples, 1): one channel
        for i, layer in enumerate(layers):
            x, cache = conv_layer(x, layer, config.conv_stride[i], norms[i], stats)
            if kept_output(x, keep) is not None:
                kept[number].append((x, cache))
            del cache
        features[tile.own[-1]] = x

    threads.run(partial(one, number, tile) for number, tile in enumerate(pieces))
    outputs, caches = [], []
    x = waveform[:, None]
    for i in range(len(kept[0])):
        own = [tile.own[i].stop - tile.own[i].start for tile in pieces]
        y, cache = _joined([layers_of_tile.pop(0) for layers_of_tile in kept], own, x)
        outputs.append(y)
        caches.append(cache)
        x = y
    return features, FeatureEncoderCache(outputs, kept_cache(caches, keep) or [])


def feature_encoder_backward(dfeatures: np.ndarray, cache: FeatureEncoderCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to the waveform (L,) and every layer, from ``dfeatures`` (T, conv_dim[-1])."""
    grads: dict[str, dict] = {}
    dx = dfeatures
    for i in reversed(range(len(cache.layers))):  # undoes: x ← conv_layer(x), the last layer first
        dx, grads[str(i)] = conv_layer_backward(dx, cache.layers[i])
    return dx[:, 0], {"conv_layers": grads}  # undoes: waveform[:, None]


def norms_of(config: Config) -> list[str]:
    """The norm after each convolution: "layer", "group" or "none"."""
    first = config.feat_extract_norm
    return [first, *("layer" if first == "layer" else "none" for _ in config.conv_stride[1:])]


def conv_layer(
    x: np.ndarray, p: dict, stride: int, norm: str, stats: Moments | None = None
) -> tuple[np.ndarray, ConvLayerCache]:
    """GELU(norm(conv(``x``))): (T_in, C_in) to (T_out, C_out). ``norm`` is "layer", "group" or "none".

    ``stats`` are the moments that group norm needs of the whole recording, where ``x`` is a piece of it.
    """
    convolved, conv_cache = conv1d(x, p["conv"], stride)
    if norm == "group":
        stats = stats or moments(convolved)
    y = np.empty_like(convolved)
    for rows in threads.blocks(len(y), max(1, NUMBERS // y.shape[1])):  # while they are in a core's cache
        normalised, _ = normalise(convolved[rows], p.get("layer_norm"), norm, stats)
        gelu(normalised, out=y[rows])
    return y, ConvLayerCache(conv_cache, convolved, norm, p.get("layer_norm"), stats)


def conv_layer_backward(dy: np.ndarray, cache: ConvLayerCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T_in, C_in) and the layer's parameters, from ``dy`` (T_out, C_out)."""
    grads = {}
    normalised, norm_cache = normalise(cache.convolved, cache.layer_norm, cache.norm, cache.stats)  # forward again
    dconvolved, _ = gelu_backward(dy, GeluCache(normalised))  # undoes: GELU
    if isinstance(norm_cache, LayerNormCache):  # undoes: norm
        dconvolved, grads["layer_norm"] = layer_norm_backward(dconvolved, norm_cache)
    elif isinstance(norm_cache, GroupNormCache):
        dconvolved, grads["layer_norm"] = group_norm_backward(dconvolved, norm_cache)
    dx, grads["conv"] = conv1d_backward(dconvolved, cache.conv)  # undoes: conv
    return dx, grads


def normalise(
    x: np.ndarray, p: dict | None, norm: str, stats: Moments | None
) -> tuple[np.ndarray, LayerNormCache | GroupNormCache | None]:
    """norm(``x``) (T, C) and its cache; ``p``, ``norm`` and ``stats`` as for :func:`conv_layer`."""
    if norm == "none" or p is None:
        return x, None
    return layer_norm(x, p, EPS) if norm == "layer" else group_norm(x, p, EPS, stats)


# --- tiles -----------------------------------------------------------------------------------------------------------


def _moments(waveform: np.ndarray, pieces: list[Tile], p: dict, stride: int) -> Moments:
    """The moments of the first convolution over the whole recording, whose output is never in memory as a whole."""
    of_tile: dict[int, Moments] = {}

    def one(number: int, tile: Tile) -> None:
        convolved, _ = conv1d(waveform[tile.rows[0], None], p["conv"], stride)
        of_tile[number] = moments(convolved[: tile.own[0].stop - tile.own[0].start])

    threads.run(partial(one, number, tile) for number, tile in enumerate(pieces))
    return joined_moments(of_tile[number] for number in range(len(pieces)))


def first_moments(stretches: Iterable[np.ndarray], p: dict, config: Config) -> Moments:
    """The moments that group norm needs of a recording that is too long to be computed in one piece.

    ``stretches`` (n,) of sound: what the first convolution makes of each follows what it makes of the one before.
    """
    layer, stride = p["conv_layers"]["0"], config.conv_stride[0]
    return joined_moments(moments(conv1d(stretch[:, None], layer["conv"], stride)[0]) for stretch in stretches)


def _joined(
    parts: list[tuple[np.ndarray, ConvLayerCache]], own: list[int], x: np.ndarray
) -> tuple[np.ndarray, ConvLayerCache]:
    """One layer's output and cache from those of its tiles, of which the first ``own`` rows count; ``x`` its input."""

    def whole(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([array[:rows] for array, rows in zip(arrays, own)])

    first = parts[0][1]
    convolved = whole(cache.convolved for _, cache in parts)
    return whole(y for y, _ in parts), first._replace(conv=first.conv._replace(x=x), convolved=convolved)
