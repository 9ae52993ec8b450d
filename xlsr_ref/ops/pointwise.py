"""Pointwise convolution: a kernel of one frame, so every frame goes through the same matrix, without a bias.

    y = x Wᵀ         x (T, C_in), W (C_out, C_in, 1), y (T, C_out)

Where: the convolution module of a Conformer (Gulati et al. 2020). Checkpoint: `….weight` (C_out, C_in, 1).
Letters: T frames, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.derived import derived
from xlsr_ref.ops.matmul import matmul
from xlsr_ref.ops.upstream import require_upstream


class PointwiseCache(NamedTuple):
    x: np.ndarray  # (T, C_in)
    weight: np.ndarray  # (C_out, C_in, 1)


def pointwise(x: np.ndarray, p: dict) -> tuple[np.ndarray, PointwiseCache]:
    """A convolution that sees one frame, without a bias: ``x`` (T, C_in) times the transpose of its weight."""
    return matmul(x, derived(_matrix, p["weight"]).T), PointwiseCache(x, p["weight"])


def pointwise_backward(dy: np.ndarray, cache: PointwiseCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C_in) and weight (C_out, C_in, 1), from ``dy`` (T, C_out)."""
    x, weight = cache
    require_upstream(dy, (len(x), len(weight)), x.dtype)
    return matmul(dy, derived(_matrix, weight)), {"weight": matmul(dy.T, x)[:, :, None]}


def _matrix(weight: np.ndarray) -> np.ndarray:
    return weight[:, :, 0]
