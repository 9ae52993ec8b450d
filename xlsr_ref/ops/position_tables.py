"""Positions as sines and cosines: a table of distances (Transformer-XL), and channels turned by an angle (rotary).

    pe[d] = (sin(d w₀), cos(d w₀), sin(d w₁), …)         w_m = 10000^(−2m/C)
    rotary turns channels m and m + D/2 of frame t by t / base^(2m/D)

The frequencies and pe are float32 whatever the model, as in transformers: a double model has rounded ones, too.
Where: Vaswani et al. 2017 §3.5; Dai et al. 2019 (Transformer-XL); Su et al. 2021 (RoPE). There are no parameters.
Letters: T frames, C channels, H heads, D channels of a head.
"""

from __future__ import annotations

import math

import numpy as np


def sinusoids(T: int, C: int) -> np.ndarray:
    """pe (2T − 1, C), float32: a row for each distance i − j, from T − 1, the key furthest before, to −(T − 1)."""
    distance = np.arange(T - 1, -T, -1, dtype=np.float32)[:, None]
    exponent = np.arange(0, C, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / C)
    w = np.exp(exponent.astype(np.float64)).astype(np.float32)
    angle = (distance * w).astype(np.float64)  # of a float32 product, and its sine rounded once
    pe = np.empty((2 * T - 1, C), np.float32)
    pe[:, 0::2], pe[:, 1::2] = np.sin(angle), np.cos(angle)
    return pe


def angles(T: int, D: int, base: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin (T, D) of t / base^(2m/D), for m of 0 to D/2 − 1, twice; the frequencies are float32 always."""
    frequency = 1 / (np.float32(base) ** (np.arange(0, D, 2, dtype=np.float32) / np.float32(D)))
    half = np.arange(T, dtype=dtype)[:, None] * frequency.astype(dtype)
    angle = np.concatenate([half, half], axis=1)
    return np.cos(angle), np.sin(angle)


def rotate(x: np.ndarray, heads: int, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """``x`` (T, C) with channels m and m + D/2 of each head turned by frame t's angle: (T, C)."""
    by_head = x.reshape(len(x), heads, -1)  # (T, H, D)
    begin, end = np.split(by_head, 2, axis=2)
    crossed = np.concatenate([-end, begin], axis=2)
    return (by_head * cos[:, None] + crossed * sin[:, None]).reshape(x.shape)
