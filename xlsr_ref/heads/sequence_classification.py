"""Sequence classification: one label for a whole recording, such as its language.

    logits = mean_t(x Wᵀ + b) Vᵀ + c         (N,)

Where: Yang et al. 2021 (SUPERB). Checkpoint: `projector`, `classifier` (`Wav2Vec2ForSequenceClassification`).
Letters: T frames, C channels, P channels of the projector, N labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.activation import sigmoid
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.softmax import softmax


class SequenceCache(NamedTuple):
    projected: np.ndarray  # (T, P)
    projector: LinearCache
    classifier: LinearCache


def sequence_head(x: np.ndarray, p: dict) -> tuple[np.ndarray, SequenceCache]:
    """``x`` (T, C) to one score for each label: logits (N,), and the cache."""
    projected, projector_cache = linear(x, p["projector"])  # (T, P)
    pooled = projected.mean(axis=0, keepdims=True, dtype=np.float64).astype(x.dtype)  # (1, P)
    logits, classifier_cache = linear(pooled, p["classifier"])  # (1, N)
    return logits[0], SequenceCache(projected, projector_cache, classifier_cache)


def sequence_head_backward(dlogits: np.ndarray, cache: SequenceCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dlogits`` (N,)."""
    T = len(cache.projected)
    dpooled, classifier_grads = linear_backward(dlogits[None], cache.classifier)  # undoes: … Vᵀ + c
    dprojected = np.repeat(dpooled / T, T, axis=0)  # undoes: mean_t
    dx, projector_grads = linear_backward(dprojected, cache.projector)  # undoes: x Wᵀ + b
    return dx, {"projector": projector_grads, "classifier": classifier_grads}


def probabilities(logits: np.ndarray, multi_label: bool = False) -> np.ndarray:
    """Of each row of ``logits`` (rows, N): softmax where one label is right, σ of each where several may be."""
    return sigmoid(logits) if multi_label else softmax(logits)[0]
