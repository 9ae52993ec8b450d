"""The attention adapter (MMS): a narrow pair of linears at the end of every block, one set of them for each language.

    x ← x + relu(norm(x) W₁ᵀ + b₁) W₂ᵀ + b₂

One network serves a thousand languages: all share the blocks, and a language brings these few rows, its head and its
vocabulary (2 of 965 million parameters in MMS-1b). Only pre-norm blocks have them; the epsilon of the norm is always
1e-5. The name is transformers': inside, nothing attends.
Where: Pratap et al. 2023, "Scaling speech technology to 1,000+ languages" (MMS); adapters: Houlsby et al. 2019.
Checkpoint: `encoder.layers.{0…}.adapter_layer.{norm,linear_1,linear_2}`, and the same in `adapter.<language>` files.
Letters: T frames, C channels (`hidden_size`), A channels between the linears (`adapter_attn_dim`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.activation import ReluCache, relu, relu_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.norm import LayerNormCache, layer_norm, layer_norm_backward

EPS = 1e-5


class AttentionAdapterCache(NamedTuple):
    norm: LayerNormCache
    linear_1: LinearCache
    activation: ReluCache
    linear_2: LinearCache


def attention_adapter(x: np.ndarray, p: dict) -> tuple[np.ndarray, AttentionAdapterCache]:
    """What the adapter adds to ``x`` (T, C): (T, C)."""
    normed, norm_cache = layer_norm(x, p["norm"], EPS)
    narrow, narrow_cache = linear(normed, p["linear_1"])  # (T, A)
    active, relu_cache = relu(narrow)
    y, wide_cache = linear(active, p["linear_2"])  # (T, C)
    return y, AttentionAdapterCache(norm_cache, narrow_cache, relu_cache, wide_cache)


def attention_adapter_backward(dy: np.ndarray, cache: AttentionAdapterCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters, from ``dy`` (T, C)."""
    dactive, wide_grads = linear_backward(dy, cache.linear_2)  # undoes: … W₂ᵀ + b₂
    dnarrow, _ = relu_backward(dactive, cache.activation)  # undoes: relu
    dnormed, narrow_grads = linear_backward(dnarrow, cache.linear_1)  # undoes: … W₁ᵀ + b₁
    dx, norm_grads = layer_norm_backward(dnormed, cache.norm)  # undoes: norm(x)
    return dx, {"norm": norm_grads, "linear_1": narrow_grads, "linear_2": wide_grads}
