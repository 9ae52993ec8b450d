"""Weight norm: a kernel is kept as its direction v and, for each of its taps, a length g.

    W[o, i, k] = g[k] · v[o, i, k] / ‖v[:, :, k]‖         the norm of one tap, over all output and input channels

Where: Salimans & Kingma 2016; wav2vec 2.0's positional convolution. Checkpoint: `weight_g` (1, 1, K) and `weight_v`
(C_out, C_in/G, K) or, as newer files spell it, `parametrizations.weight.original0` and `original1`.
Letters: C channels, G groups, K kernel.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops import threads
from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.upstream import require_upstream

CHANNELS = 16  # of a kernel that are copied at once: they fit into a core's cache


class WeightNormCache(NamedTuple):
    v: np.ndarray  # (C_out, C_in/G, K)
    g: np.ndarray  # (1, 1, K)
    inv_norm: np.ndarray  # (1, 1, K)  1 / ‖v‖
    old_spelling: bool  # gradients go by the names that the checkpoint has


def weight_norm(p: dict) -> tuple[np.ndarray, WeightNormCache]:
    """The effective kernel (C_out, C_in/G, K) from its direction ``v`` and, for each tap, its length ``g``."""
    g, v = weight_norm_parts(p)
    weight, inv_norm = derived(effective_kernel, g, v)
    return weight, WeightNormCache(v, g, inv_norm, "weight_g" in p)


def effective_kernel(g: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W and 1 / ‖v‖ from ``g`` (1, 1, K) and ``v`` (C_out, C_in/G, K)."""
    squares = (v * v).sum(axis=(0, 1), keepdims=True, dtype=np.float64)  # (1, 1, K)
    inv_norm = (1 / np.sqrt(squares)).astype(v.dtype)
    return in_tap_order(v * (g * inv_norm)), inv_norm


def weight_norm_backward(dweight: np.ndarray, cache: WeightNormCache) -> dict:
    """Gradients of g (1, 1, K) and v, under the checkpoint's names, from ``dweight`` (C_out, C_in/G, K)."""
    v, g, inv_norm, old_spelling = cache
    require_upstream(dweight, v.shape, v.dtype)
    direction = v * inv_norm
    dg = (dweight * direction).sum(axis=(0, 1), keepdims=True, dtype=np.float64).astype(v.dtype)  # undoes: g · …
    dv = (g * inv_norm) * (dweight - direction * dg)  # undoes: v / ‖v‖. Along v itself nothing changes: it is taken out
    if old_spelling:
        return {"weight_g": dg, "weight_v": dv}
    return {"parametrizations": {"weight": {"original0": dg, "original1": dv}}}


def weight_norm_parts(p: dict) -> tuple[np.ndarray, np.ndarray]:
    """``(g, v)`` in whichever of the two spellings the checkpoint has."""
    if "weight_g" in p:
        return p["weight_g"], p["weight_v"]
    parts = p["parametrizations"]["weight"]
    return parts["original0"], parts["original1"]


def in_tap_order(weight: np.ndarray) -> np.ndarray:
    """The same ``weight`` (C, C/G, K), stored in Fortran order: each tap is contiguous for the grouped convolution."""
    ordered = np.empty_like(weight, order="F")

    def some(channels: slice) -> None:
        ordered[channels] = weight[channels]

    threads.run(partial(some, channels) for channels in threads.blocks(len(weight), CHANNELS))
    return ordered
