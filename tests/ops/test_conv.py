import numpy as np
import pytest

from xlsr_ref.ops import grouped_conv
from xlsr_ref.ops.conv import conv1d, windows
from xlsr_ref.ops.grouped_conv import grouped_conv1d, grouped_conv1d_backward
from xlsr_ref.ops.matmul import TILE_ROWS
from xlsr_ref.ops.weight_norm import in_tap_order, weight_norm


def convolve(x, weight, stride, groups=1):
    """y[t, o] = Σ_k Σ_i W[o, i, k] x[t·stride + k, i], one number at a time."""
    C_out, width, K = weight.shape
    T = (len(x) - K) // stride + 1
    y = np.zeros((T, C_out))
    for t in range(T):
        for o in range(C_out):
            first = o // (C_out // groups) * width  # the group's first input channel
            for k in range(K):
                y[t, o] += weight[o, :, k] @ x[t * stride + k, first : first + width]
    return y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("K", "stride"), [(1, 1), (2, 2), (3, 2), (10, 5), (3, 7)])
@pytest.mark.parametrize("C_in", [1, 4])
def test_strided_equals_the_sum(rng, dtype, K, stride, C_in):
    x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in ((37, C_in), (5, C_in, K), (5,)))
    y, cache = conv1d(x, {"weight": weight, "bias": bias}, stride)
    np.testing.assert_allclose(
        y, convolve(x, weight, stride) + bias, atol=40 * np.finfo(dtype).eps
    )  # 40 products near 1
    assert y.dtype == dtype
    assert cache.x is x
    assert cache.stride == stride
    without, _ = conv1d(x, {"weight": weight}, stride)
    np.testing.assert_allclose(without, convolve(x, weight, stride), atol=40 * np.finfo(dtype).eps)


def test_strided_over_more_than_one_task(rng):
    x, weight = rng.standard_normal((2 * TILE_ROWS + 5, 2)), rng.standard_normal((3, 2, 2))
    np.testing.assert_allclose(conv1d(x, {"weight": weight}, 1)[0], convolve(x, weight, 1), atol=1e-12)


def test_a_kernel_longer_than_the_input_is_refused(rng):
    with pytest.raises(ValueError, match="at least 4 frames, not 3"):
        conv1d(np.zeros((3, 1)), {"weight": np.zeros((1, 1, 4))}, 1)
    assert conv1d(np.zeros((4, 1)), {"weight": np.zeros((1, 1, 4))}, 1)[0].shape == (1, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("K", [1, 2, 5, 7, 8, 9, 16, 31])
@pytest.mark.parametrize("T", [1, 4, 20])
@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("at_once", [None, 8])
def test_grouped_equals_the_sum_over_a_padded_input(rng, monkeypatch, dtype, K, T, groups, at_once):
    if at_once:  # taps: the larger kernels take more than one product
        monkeypatch.setattr(grouped_conv, "COLUMNS", at_once * 6 // groups)
    x, weight, bias = (rng.standard_normal(s).astype(dtype) for s in ((T, 6), (6, 6 // groups, K), (6,)))
    y, _ = grouped_conv1d(x, weight, bias, groups)
    padded = np.pad(x, ((K // 2, K // 2), (0, 0)))
    expected = convolve(padded, weight, 1, groups)
    if K % 2 == 0:
        assert len(expected) == T + 1
        expected = expected[:-1]  # the last, not the first
    np.testing.assert_allclose(y, expected + bias, atol=6 * K * np.finfo(dtype).eps * 4)
    assert y.dtype == dtype


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_groups_have_the_same_bits_alone_and_together(rng, monkeypatch, at_once):
    T, C, groups, K = 9, 15, 5, 6
    x, weight, dy = (rng.standard_normal(s).astype(np.float32) for s in ((T, C), (C, C // groups, K), (T, C)))

    def both_ways():
        y, cache = grouped_conv1d(x, weight, x[0], groups)
        dx, grads = grouped_conv1d_backward(dy, cache)
        return y, dx, grads["weight"]

    whole = both_ways()
    monkeypatch.setattr(grouped_conv, "WINDOWS", at_once * (T + K) * K * (C // groups))
    assert len(grouped_conv._group_blocks(groups, T, K, C // groups)) == -(-groups // at_once)
    for mine, expected in zip(both_ways(), whole):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weight_norm_is_over_both_channel_axes(rng, dtype):
    v, g = rng.standard_normal((4, 3, 5)).astype(dtype), rng.standard_normal((1, 1, 5)).astype(dtype)
    weight, cache = weight_norm({"weight_g": g, "weight_v": v})
    for k in range(5):
        expected = v[:, :, k] / np.linalg.norm(v[:, :, k]) * g[0, 0, k]
        np.testing.assert_allclose(weight[:, :, k], expected, rtol=4 * np.finfo(dtype).eps)
    assert weight.dtype == cache.inv_norm.dtype == dtype
    new_spelling = {"parametrizations": {"weight": {"original0": g, "original1": v}}}
    np.testing.assert_array_equal(weight_norm(new_spelling)[0], weight)


def test_windows_are_views():
    x = np.arange(12.0).reshape(6, 2)
    seen = windows(x, 3, 2)
    np.testing.assert_array_equal(seen, [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9]])
    assert np.shares_memory(seen, x)
    assert not seen.flags.writeable
    np.testing.assert_array_equal(windows(x[:, 1:], 3, 2), [[1, 3, 5], [5, 7, 9]])


@pytest.mark.parametrize(("C", "groups", "K"), [(12, 4, 8), (40, 2, 7), (33, 1, 5), (17, 17, 16)])
def test_tap_order_is_only_another_order_in_memory(rng, C, groups, K):
    weight, x, bias = rng.standard_normal((C, C // groups, K)), rng.standard_normal((20, C)), rng.standard_normal(C)
    ordered = in_tap_order(weight)
    assert np.array_equal(ordered, weight)
    taps = ordered[: C // groups].transpose(2, 1, 0)[:2].reshape(-1, C // groups)
    assert np.shares_memory(taps, ordered)  # what the product takes is not copied
    y, cache = grouped_conv1d(x, weight, bias, groups)
    assert np.array_equal(grouped_conv1d(x, ordered, bias, groups)[0], y)
    ours, theirs = (grouped_conv1d_backward(y, cache._replace(weight=w)) for w in (ordered, weight))
    assert np.array_equal(ours[0], theirs[0])
