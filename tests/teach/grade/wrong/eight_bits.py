"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import numpy as np


def packed_product__loops(x, weight, columns):
    """right"""
    N, K = weight.shape
    count = (N + columns - 1) // columns
    panels, y = np.zeros((count, K, columns), x.dtype), np.zeros((len(x), N), x.dtype)
    for n, row in enumerate(weight):
        panels[n // columns, :, n % columns] = row
        y[:, n] = x @ panels[n // columns, :, n % columns]
    return panels, y


def packed_product__in_turn(x, weight, columns):
    """columns are dealt out to the panels in turn"""
    count = -(-len(weight) // columns)
    panels = np.zeros((count, weight.shape[1], columns), weight.dtype)
    padded = np.zeros((count * columns, weight.shape[1]), weight.dtype)
    padded[: len(weight)] = weight
    for n, row in enumerate(padded):
        panels[n % count, :, n // count] = row
    return panels, np.hstack([x @ panel for panel in panels])[:, : len(weight)]


def quantize_per_channel__rows(weight):
    """right"""
    q, scale = np.zeros_like(weight), np.ones(len(weight), weight.dtype)
    for n, row in enumerate(weight):
        if np.any(row):
            scale[n] = np.max(np.abs(row)) / 63
        q[n] = np.round(row / scale[n])
    return q, scale


def quantize_per_channel__tensor(weight):
    """one scale for the whole matrix"""
    scale = np.abs(weight).max() / weight.dtype.type(63)
    return np.round(weight / scale), np.repeat(scale, len(weight))


def quantize_per_channel__astype(weight):
    """cut off in place of rounded"""
    top = np.max(np.abs(weight), 1)
    scale = np.where(top == 0, 1, top / 63).astype(weight.dtype)
    return (weight / scale[:, None]).astype(np.int8).astype(weight.dtype), scale


def int8_linear__integers(x, q, scale, bias):
    """right"""
    top = np.abs(x).max(1)
    s = np.where(top == 0, 1, top / 127).astype(x.dtype)
    total = np.round(x / s[:, None]).astype(np.int64) @ q.T.astype(np.int64)
    return total.astype(x.dtype) * (s[:, None] * scale[None]) + bias


def int8_linear__not_rounded(x, q, scale, bias):
    """the input is not rounded"""
    return x @ (q * scale[:, None]).T.astype(x.dtype) + bias


def int8_linear__no_channel_scale(x, q, scale, bias):
    """the scale of the channels is forgotten"""
    top = np.abs(x).max(1, keepdims=True)
    s = np.where(top == 0, 1, top / 127).astype(x.dtype)
    return s * (np.round(x / s) @ q.T.astype(x.dtype)) + bias


def packed_product__zeros_stay(x, weight, columns):
    """the zeros beyond N stay in y"""
    rows = [*weight, *[np.zeros_like(weight[0])] * (-len(weight) % columns)]
    panels = np.array([np.stack(rows[i : i + columns], axis=1) for i in range(0, len(rows), columns)])
    return panels, np.hstack([x @ panel for panel in panels])


def packed_product__reshaped(x, weight, columns):
    """panels are not transposed: [panel, column, k] read as [panel, k, column]"""
    count = -(-len(weight) // columns)
    flat = np.zeros(count * columns * weight.shape[1], weight.dtype)
    flat[: weight.size] = weight.ravel()
    panels = flat.reshape(count, weight.shape[1], columns)
    return panels, np.hstack([x @ panel for panel in panels])[:, : len(weight)]


def quantize_per_channel__steps(weight):
    """127 steps in place of 63"""
    top = np.max(np.abs(weight), axis=1, keepdims=True)
    top[top == 0] = 127
    return np.round(weight * (127 / top)), (top / 127)[:, 0]


def int8_linear__one_scale(x, q, scale, bias):
    """one scale for all frames"""
    s = np.abs(x).max() / x.dtype.type(127)
    return np.einsum("tk,nk->tn", np.round(x / s), q.astype(x.dtype)) * s * scale + bias
