"""Frame classification: labels for every frame, such as who speaks when.

    logits = x Vᵀ + c         (T, N)

Where: Yang et al. 2021 (SUPERB), diarization. Checkpoint: `classifier` (`Wav2Vec2ForAudioFrameClassification`).
Letters: T frames, C channels, N labels.
"""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops.linear import LinearCache, linear, linear_backward


def frame_head(x: np.ndarray, p: dict) -> tuple[np.ndarray, LinearCache]:
    """``x`` (T, C) to one score for each label and frame: logits (T, N)."""
    return linear(x, p["classifier"])


def frame_head_backward(dlogits: np.ndarray, cache: LinearCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dlogits`` (T, N)."""
    dx, classifier_grads = linear_backward(dlogits, cache)  # undoes: x Vᵀ + c
    return dx, {"classifier": classifier_grads}
