"""X-vector: one vector for the speaker of a recording. Those of two recordings of one speaker have a cosine near 1.

    x ← relu(W [x_t; x_{t+d}; … x_{t+(K−1)d}] + b)    for every TDNN layer: a convolution with taps d frames apart
    s = [mean_t x; std_t x]                           statistic pooling, the std with T − 1: any length, one vector
    embedding = s Eᵀ + e        logits = embedding Vᵀ + c

What is compared, by its cosine, is the embedding; transformers calls the second linear's result logits, though it has
as many channels and no labels. `objective.weight` is used by the training loss only (AM-softmax).
Where: Snyder et al. 2018; Yang et al. 2021 (SUPERB). Checkpoint: `projector`, `tdnn.{0…}.kernel` (C_out, K·C_in),
`feature_extractor` (a linear layer, not the feature encoder), `classifier`.
Letters: T frames, C channels, K kernel, d dilation, E channels of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.activation import ReluCache, relu, relu_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.upstream import require_upstream


class TdnnCache(NamedTuple):
    frames: int  # T, before
    taps: int  # K
    dilation: int
    kernel: LinearCache  # of the windows (T', K·C)
    activation: ReluCache


class PoolingCache(NamedTuple):
    centred: np.ndarray  # (T, C)  x less its mean
    std: np.ndarray  # (C,)


class EmbeddingCache(NamedTuple):
    projected: np.ndarray  # (T, C of the first layer)
    projector: LinearCache
    outputs: list[np.ndarray]  # of each TDNN layer
    tdnn: list[TdnnCache]
    pooling: PoolingCache
    vector: np.ndarray  # (E,)
    linear: LinearCache


class XVectorCache(NamedTuple):
    embedding: EmbeddingCache
    classifier: LinearCache


def tdnn(x: np.ndarray, p: dict, taps: int, dilation: int) -> tuple[np.ndarray, TdnnCache]:
    """``x`` (T, C) through one layer: (T − (K − 1)·d, C_out). Fewer frames than that leaves raise ValueError."""
    T = len(x) - (taps - 1) * dilation
    if T < 1:
        raise ValueError(f"{taps} taps, {dilation} frames apart, need more than {len(x)} frames")
    windows = np.concatenate([x[k * dilation :][:T] for k in range(taps)], axis=1)  # (T', K·C)
    convolved, kernel_cache = linear(windows, p["kernel"])
    y, relu_cache = relu(convolved)
    return y, TdnnCache(len(x), taps, dilation, kernel_cache, relu_cache)


def tdnn_backward(dy: np.ndarray, cache: TdnnCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the kernel, from ``dy`` (T', C_out)."""
    dconvolved, _ = relu_backward(dy, cache.activation)  # undoes: relu
    dwindows, kernel_grads = linear_backward(dconvolved, cache.kernel)  # undoes: W […] + b
    parts = np.split(dwindows, cache.taps, axis=1)
    dx = np.zeros((cache.frames, parts[0].shape[1]), dy.dtype)
    for k, part in enumerate(parts):  # undoes: windows. A frame that was in several of them gets the sum
        dx[k * cache.dilation :][: len(part)] += part
    return dx, {"kernel": kernel_grads}


def statistic_pooling(x: np.ndarray) -> tuple[np.ndarray, PoolingCache]:
    """Mean and standard deviation over time of each channel of ``x`` (T, C), T at least 2: (2C,)."""
    if len(x) < 2:
        raise ValueError(f"a standard deviation needs two frames, not {len(x)}")
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean
    std = np.sqrt((centred * centred).sum(axis=0) / (len(x) - 1))
    return np.concatenate([mean, std]).astype(x.dtype), PoolingCache(centred.astype(x.dtype), std.astype(x.dtype))


def statistic_pooling_backward(dy: np.ndarray, cache: PoolingCache) -> tuple[np.ndarray, dict]:
    """Gradient with respect to x (T, C), from ``dy`` (2C,). Where the std is 0 its slope is taken as 0, as in torch."""
    centred, std = cache
    require_upstream(dy, (2 * len(std),), std.dtype)
    T = len(centred)
    dmean, dstd = np.split(dy, 2)
    slope = np.divide(dstd, std * (T - 1), out=np.zeros_like(std), where=std > 0)
    return dmean / T + centred * slope, {}  # undoes: mean_t, and sqrt(Σ centred² / (T − 1)), whose mean part is 0


def embedding(
    x: np.ndarray, p: dict, kernels: Sequence[int], dilations: Sequence[int]
) -> tuple[np.ndarray, EmbeddingCache]:
    """``x`` (T, C) to the embedding (E,), and the cache; ``kernels`` and ``dilations`` are those of the TDNN layers.

    Raises ValueError for fewer frames than :func:`fewest_frames`.
    """
    projected, projector_cache = linear(x, p["projector"])  # (T, C of the first layer)
    x, outputs, layers = projected, [], []
    for i, (taps, dilation) in enumerate(zip(kernels, dilations)):
        x, tdnn_cache = tdnn(x, p["tdnn"][str(i)], taps, dilation)
        outputs.append(x)
        layers.append(tdnn_cache)
    statistics, pooling_cache = statistic_pooling(x)
    y, linear_cache = linear(statistics[None], p["feature_extractor"])  # (1, E)
    return y[0], EmbeddingCache(projected, projector_cache, outputs, layers, pooling_cache, y[0], linear_cache)


def embedding_backward(dy: np.ndarray, cache: EmbeddingCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dy`` (E,)."""
    grads: dict = {"tdnn": {}}
    dstatistics, grads["feature_extractor"] = linear_backward(dy[None], cache.linear)  # undoes: s Eᵀ + e
    dx, _ = statistic_pooling_backward(dstatistics[0], cache.pooling)  # undoes: [mean; std]
    for i in reversed(range(len(cache.tdnn))):  # the last layer first
        dx, grads["tdnn"][str(i)] = tdnn_backward(dx, cache.tdnn[i])
    dx, grads["projector"] = linear_backward(dx, cache.projector)
    return dx, grads


def xvector_head(
    x: np.ndarray, p: dict, kernels: Sequence[int], dilations: Sequence[int]
) -> tuple[np.ndarray, XVectorCache]:
    """``x`` (T, C) through :func:`embedding` to what transformers calls logits (E,), and the cache."""
    vector, embedding_cache = embedding(x, p, kernels, dilations)
    logits, cache = linear(vector[None], p["classifier"])
    return logits[0], XVectorCache(embedding_cache, cache)


def xvector_head_backward(dlogits: np.ndarray, cache: XVectorCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dlogits`` (E,)."""
    dvector, classifier_grads = linear_backward(dlogits[None], cache.classifier)  # undoes: embedding Vᵀ + c
    dx, grads = embedding_backward(dvector[0], cache.embedding)  # undoes: embedding
    return dx, grads | {"classifier": classifier_grads}


def fewest_frames(kernels: Sequence[int], dilations: Sequence[int]) -> int:
    """Frames that leave the two which a standard deviation needs."""
    return 2 + sum((taps - 1) * dilation for taps, dilation in zip(kernels, dilations))
