"""The CTC head: from each context vector, one score for every token of the vocabulary.

    logits = context Wᵀ + b         unnormalised log-probabilities; softmax turns a frame's row into probabilities

Where: wav2vec 2.0 §3.3 (fine-tuning). Checkpoint: `lm_head.{weight,bias}`. Letters: T frames, C channels, V tokens.
"""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops.linear import LinearCache, linear, linear_backward


def ctc_head(context: np.ndarray, p: dict) -> tuple[np.ndarray, LinearCache]:
    """``context`` (T, C) to logits (T, V)."""
    return linear(context, p["lm_head"])


def ctc_head_backward(dlogits: np.ndarray, cache: LinearCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to context (T, C) and the head's parameters, from ``dlogits`` (T, V)."""
    dcontext, grads = linear_backward(dlogits, cache)  # undoes: context Wᵀ + b
    return dcontext, {"lm_head": grads}
