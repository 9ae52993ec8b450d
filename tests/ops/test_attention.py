import math

import numpy as np
import pytest

from xlsr_ref.ops import attention as ops_attention
from xlsr_ref.ops.attention import (
    QUERIES,
    AttentionCache,
    LongAttentionCache,
    attention,
    attention_backward,
    attention_weights,
    scaled_dot_product,
    scaled_dot_product_backward,
    whole_attention,
)
from xlsr_ref.ops.rows import ROWS


def reference(q, k, v, heads):
    """One query at a time, in float64: (T, C) and the weights (H, T, T)."""
    T, C = q.shape
    D = C // heads
    mixed, weights = np.zeros((T, C)), np.zeros((heads, T, T))
    for h in range(heads):
        own = slice(h * D, (h + 1) * D)
        for t in range(T):
            scores = [float(q[t, own].astype(float) @ k[s, own]) / math.sqrt(D) for s in range(T)]
            exps = [math.exp(score - max(scores)) for score in scores]
            weights[h, t] = np.array(exps) / math.fsum(exps)
        mixed[:, own] = weights[h] @ v[:, own]
    return mixed, weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("T", "C", "heads"), [(1, 4, 2), (7, 6, 1), (7, 6, 3), (7, 6, 6), (QUERIES + 3, 4, 2)])
def test_equals_the_equation(rng, dtype, T, C, heads):
    q, k, v = (rng.standard_normal((T, C)).astype(dtype) * 2 for _ in range(3))
    mixed, _ = scaled_dot_product(q, k, v, heads)
    found = attention_weights(q, k, heads)
    expected, weights = reference(q, k, v, heads)
    tolerance = 3e-6 if dtype == np.float32 else 1e-13  # float32: scores up to 20 are rounded to 1e-6
    np.testing.assert_allclose(mixed, expected, atol=tolerance)
    np.testing.assert_allclose(found, weights, atol=tolerance)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6 if dtype == np.float32 else 1e-14)
    assert mixed.dtype == found.dtype == dtype


def affine(rng, C):
    return {"weight": rng.standard_normal((C, C)), "bias": rng.standard_normal(C)}


@pytest.mark.parametrize("dropping", [False, True])
def test_a_long_recording_goes_query_block_by_query_block(rng, dropping):
    """Its result and its gradients are those of the whole, up to rounding; only x is kept."""
    T, C, heads = ROWS + 9, 4, 2
    p = {f"{name}_proj": affine(rng, C) for name in ("q", "k", "v", "out")}
    x, dy = rng.standard_normal((2, T, C))
    factor = rng.random((heads, T, T)) if dropping else None
    y, cache = attention(x, p, heads, factor)
    expected, whole = whole_attention(x, p, heads, factor)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    assert isinstance(cache, LongAttentionCache)
    assert cache.x is x
    (dx, grads), (dx_whole, grads_whole) = (attention_backward(dy, each) for each in (cache, whole))
    np.testing.assert_array_equal(dx, dx_whole)
    np.testing.assert_array_equal(grads["k_proj"]["weight"], grads_whole["k_proj"]["weight"])
    assert isinstance(attention(x[:ROWS], p, heads)[1], AttentionCache)


@pytest.mark.parametrize("scores", [1, 2 * 9 * 9, 5 * 9 * 9])
def test_heads_have_the_same_bits_alone_and_together(rng, monkeypatch, scores):
    T, heads = 9, 5
    q, k, v, dmixed = (rng.standard_normal((T, 15)).astype(np.float32) for _ in range(4))

    def both_ways():
        mixed, cache = scaled_dot_product(q, k, v, heads)
        return mixed, *scaled_dot_product_backward(dmixed, cache)

    whole = both_ways()
    monkeypatch.setattr(ops_attention, "SCORES", scores)
    for mine, expected in zip(both_ways(), whole):
        np.testing.assert_array_equal(mine, expected)


def test_projections_are_the_checkpoints(rng):
    T, C = 5, 4
    p = {
        f"{n}_proj": {"weight": rng.standard_normal((C, C)), "bias": rng.standard_normal(C)}
        for n in ("q", "k", "v", "out")
    }
    x = rng.standard_normal((T, C))
    q, k, v = (x @ p[f"{n}_proj"]["weight"].T + p[f"{n}_proj"]["bias"] for n in "qkv")
    expected = reference(q, k, v, 2)[0] @ p["out_proj"]["weight"].T + p["out_proj"]["bias"]
    y, cache = attention(x, p, 2)
    np.testing.assert_allclose(y, expected, atol=1e-13)
    np.testing.assert_allclose(cache.heads.k, k, atol=1e-13)
