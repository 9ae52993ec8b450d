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

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.network.stage import Keep, Stage, Stages, remember
from xlsr_ref.network.tiles import Tile, tiles
from xlsr_ref.ops import threads
from xlsr_ref.ops.activation import GeluCache, gelu, gelu_backward
from xlsr_ref.ops.conv import ConvCache, conv1d, conv1d_backward, kernel_matrix
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

EPS = 1e-5
NUMBERS = 256 * 512  # that are normalised and activated at once: they fit into a core's cache


class ConvLayerCache(NamedTuple):
    conv: ConvCache
    layer_norm: LayerNormCache | GroupNormCache | None  # the checkpoint calls either of them layer_norm
    activation: GeluCache


def feature_encoder(
    waveform: np.ndarray,
    p: dict,
    config: Config,
    keep: Keep = False,
    matrices: Sequence[np.ndarray] = (),
    whole: Moments | None = None,
) -> tuple[np.ndarray, Stages]:
    """``waveform`` (L,) to features (T, conv_dim[-1]), and the stages `conv_layers.i`.

    Each tile of network/tiles.py goes through all layers; the tiles run side by side. ``matrices`` are the layers'
    kernels as network/prepare.py makes them, where that has been done; ``whole`` are the :func:`first_moments` of the
    recording, where ``waveform`` is a part of it.
    """
    layers = [p["conv_layers"][str(i)] for i in range(len(config.conv_stride))]
    norms = [
        config.feat_extract_norm,
        *("layer" if config.feat_extract_norm == "layer" else "none" for _ in layers[1:]),
    ]
    matrices = matrices or [kernel_matrix(layer["conv"]["weight"]) for layer in layers]
    pieces = tiles(len(waveform), config.conv_kernel, config.conv_stride)
    if norms[0] == "group" and whole is None:
        whole = _moments(waveform, pieces, layers[0], matrices[0], config.conv_stride[0])
    features = np.empty((pieces[-1].rows[-1].stop, config.conv_dim[-1]), waveform.dtype)
    kept: list[list[Stage]] = [[] for _ in pieces]  # of each tile, its layers

    def one(number: int, tile: Tile) -> None:
        x = waveform[tile.rows[0], None]  # (samples, 1): one channel
        for i, layer in enumerate(layers):
            x, cache = conv_layer(x, layer, config.conv_stride[i], norms[i], matrices[i], whole, bool(keep))
            if keep:
                kept[number].append(Stage(x, cache))
        features[tile.own[-1]] = x

    threads.run(partial(one, number, tile) for number, tile in enumerate(pieces))
    stages: Stages = {}
    x = waveform[:, None]
    for i in range(len(layers) if keep else 0):
        own = [tile.own[i].stop - tile.own[i].start for tile in pieces]
        stage = _put_together([tile_stages.pop(0) for tile_stages in kept], own, x)
        remember(stages, f"conv_layers.{i}", stage.output, stage.cache, keep)
        x = stage.output
    return features, stages


def feature_encoder_backward(dfeatures: np.ndarray, stages: Stages) -> tuple[np.ndarray, dict]:
    """Gradients with respect to the waveform (L,) and every layer, from ``dfeatures`` (T, conv_dim[-1])."""
    grads: dict[str, dict] = {}
    dx = dfeatures
    for i in reversed(range(len(stages))):  # undoes: x ← conv_layer(x), the last layer first
        dx, grads[str(i)] = conv_layer_backward(dx, stages[f"conv_layers.{i}"].cache)
    return dx[:, 0], {"conv_layers": grads}  # undoes: waveform[:, None]


def conv_layer(
    x: np.ndarray,
    p: dict,
    stride: int,
    norm: str,
    matrix: np.ndarray | None = None,
    whole: Moments | None = None,
    keep: bool = True,
) -> tuple[np.ndarray, Any]:
    """One layer on ``x`` (T_in, C_in): (T_out, C_out), and its ConvLayerCache. ``norm`` is "layer", "group" or "none".

    ``matrix`` is the kernel as a matrix, where it is known; ``whole`` are the moments that group norm needs of the
    whole recording, where ``x`` is a piece of it. Without ``keep`` there is no cache, and less memory to walk through.
    """
    convolved, conv_cache = conv1d(x, p["conv"], stride, matrix)
    if keep:
        y, norm_cache, gelu_cache = norm_and_gelu(convolved, p, norm, whole)
        return y, ConvLayerCache(conv_cache, norm_cache, gelu_cache)
    if norm == "group":
        whole = whole or moments(convolved)
    for rows in threads.blocks(
        len(convolved), max(1, NUMBERS // convolved.shape[1])
    ):  # in place, while the rows are in a core's cache
        convolved[rows], _, _ = norm_and_gelu(convolved[rows], p, norm, whole)
    return convolved, None


def norm_and_gelu(
    convolved: np.ndarray, p: dict, norm: str, whole: Moments | None
) -> tuple[np.ndarray, LayerNormCache | GroupNormCache | None, GeluCache]:
    """GELU(norm(``convolved``)) (T, C) and the two caches; ``norm`` and ``whole`` as for :func:`conv_layer`."""
    normalised = convolved
    norm_cache: LayerNormCache | GroupNormCache | None = None
    if norm == "layer":
        normalised, norm_cache = layer_norm(convolved, p["layer_norm"], EPS)
    elif norm == "group":
        normalised, norm_cache = group_norm(convolved, p["layer_norm"], EPS, whole)
    y, gelu_cache = gelu(normalised)
    return y, norm_cache, gelu_cache


def conv_layer_backward(dy: np.ndarray, cache: ConvLayerCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T_in, C_in) and the layer's parameters, from ``dy`` (T_out, C_out)."""
    grads = {}
    dconvolved, _ = gelu_backward(dy, cache.activation)  # undoes: GELU
    if isinstance(cache.layer_norm, LayerNormCache):  # undoes: norm
        dconvolved, grads["layer_norm"] = layer_norm_backward(dconvolved, cache.layer_norm)
    elif isinstance(cache.layer_norm, GroupNormCache):
        dconvolved, grads["layer_norm"] = group_norm_backward(dconvolved, cache.layer_norm)
    dx, grads["conv"] = conv1d_backward(dconvolved, cache.conv)  # undoes: conv
    return dx, grads


# --- tiles -----------------------------------------------------------------------------------------------------------


def _moments(waveform: np.ndarray, pieces: list[Tile], p: dict, matrix: np.ndarray, stride: int) -> Moments:
    """What group norm must know of the first convolution of the whole recording, which never stands in memory."""
    found: dict[int, Moments] = {}

    def one(number: int, tile: Tile) -> None:
        convolved, _ = conv1d(waveform[tile.rows[0], None], p["conv"], stride, matrix)
        found[number] = moments(convolved[: tile.own[0].stop - tile.own[0].start])

    threads.run(partial(one, number, tile) for number, tile in enumerate(pieces))
    return joined_moments([found[number] for number in range(len(pieces))])


def first_moments(stretches: Iterable[np.ndarray], p: dict, config: Config) -> Moments | None:
    """The moments that group norm needs of a recording that is too long to be heard at once.

    ``stretches`` (n,) of sound: what the first convolution makes of each follows what it makes of the one before.
    """
    layer, whole = p["conv_layers"]["0"], None
    matrix = kernel_matrix(layer["conv"]["weight"])
    for stretch in stretches:
        convolved, _ = conv1d(stretch[:, None], layer["conv"], config.conv_stride[0], matrix)
        here = moments(convolved)
        whole = here if whole is None else joined_moments([whole, here])
    return whole


def _put_together(parts: list[Stage], own: list[int], x: np.ndarray) -> Stage:
    """One layer's stage from those of its tiles, of which the first ``own`` rows count; ``x`` is the layer's input."""

    def whole(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([array[:rows] for array, rows in zip(arrays, own)])

    caches = [part.cache for part in parts]
    norm = caches[0].layer_norm
    if norm is not None:
        norm = norm._replace(normalised=whole(cache.layer_norm.normalised for cache in caches))
    if isinstance(norm, LayerNormCache):
        norm = norm._replace(inv_std=whole(cache.layer_norm.inv_std for cache in caches))
    activation = GeluCache(whole(cache.activation.x for cache in caches))
    cache = ConvLayerCache(caches[0].conv._replace(x=x), norm, activation)
    return Stage(whole(part.output for part in parts), cache)
