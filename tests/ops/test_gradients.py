"""Every backward function of ops against finite differences in float64."""

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops import conv, grouped_conv
from xlsr_ref.ops.activation import _gelu_backward_numba, _gelu_backward_numpy, gelu, gelu_backward
from xlsr_ref.ops.attention import (
    QUERIES,
    attention,
    attention_backward,
    scaled_dot_product,
    scaled_dot_product_backward,
)
from xlsr_ref.ops.conv import conv1d, conv1d_backward
from xlsr_ref.ops.dropout import dropout, dropout_backward
from xlsr_ref.ops.grouped_conv import grouped_conv1d, grouped_conv1d_backward
from xlsr_ref.ops.linear import linear, linear_backward
from xlsr_ref.ops.norm import group_norm, group_norm_backward, layer_norm, layer_norm_backward
from xlsr_ref.ops.softmax import softmax, softmax_backward
from xlsr_ref.ops.weight_norm import weight_norm, weight_norm_backward
from xlsr_ref.teach import check

TOLERANCE = 1e-6  # of the largest value; the difference quotient itself is good to about 1e-9


def parameters(rng, **shapes):
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def hold(comparison):
    assert comparison.worst < TOLERANCE, f"\n{comparison}"


@pytest.mark.parametrize(("T", "C_in", "C_out"), [(1, 1, 1), (7, 5, 3)])
def test_linear(rng, T, C_in, C_out):
    p = parameters(rng, weight=(C_out, C_in), bias=C_out)
    hold(check.gradient(linear, linear_backward, rng.standard_normal((T, C_in)), p, rng=rng))


def test_gelu(rng):
    hold(check.gradient(lambda x, p: gelu(x), gelu_backward, rng.standard_normal((7, 5)) * 2, rng=rng))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gelu_backward_kernel_equals_its_twin(rng, dtype):
    x = np.concatenate([np.linspace(-15, 15, 100_001), [0, -0.0, 40, -40]]).astype(dtype)
    dy = rng.choice([-1.0, 1.0, 0.5], x.shape).astype(dtype)  # no larger than 1: the error is that of the slope
    kernel, twin = _gelu_backward_numba(dy, x), _gelu_backward_numpy(dy.astype(float), x.astype(float))
    assert kernel.dtype == dtype
    assert np.abs(kernel - twin).max() < (
        3e-7 if dtype == np.float32 else 1e-14
    )  # float32: x² / 2 is rounded to 6e-8 of it


def test_softmax(rng):
    hold(check.gradient(lambda x, p: softmax(x), softmax_backward, rng.standard_normal((3, 5)) * 2, rng=rng))


@pytest.mark.parametrize(
    ("forward", "backward"), [(layer_norm, layer_norm_backward), (group_norm, group_norm_backward)]
)
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_norms(rng, forward, backward, eps):
    p = parameters(rng, weight=5, bias=5)
    x = rng.standard_normal((7, 5)) * 2 + 1
    hold(check.gradient(lambda x, p: forward(x, p, eps), backward, x, p, rng=rng))


@pytest.mark.parametrize(("K", "stride"), [(3, 2), (10, 5), (2, 2), (1, 1), (3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_strided_convolution(rng, K, stride, bias):
    p = parameters(rng, weight=(4, 2, K), **({"bias": 4} if bias else {}))
    x = rng.standard_normal((23, 2))
    hold(check.gradient(lambda x, p: conv1d(x, p, stride), conv1d_backward, x, p, rng=rng))


def test_strided_convolution_over_more_than_one_block(rng, monkeypatch):
    monkeypatch.setattr(conv, "BACKWARD_ROWS", 4)
    p, x = parameters(rng, weight=(4, 2, 3), bias=4), rng.standard_normal((23, 2))
    hold(check.gradient(lambda x, p: conv1d(x, p, 2), conv1d_backward, x, p, rng=rng))


@pytest.mark.parametrize("K", [1, 2, 5, 8, 9, 16, 19])
@pytest.mark.parametrize("at_once", [None, 8])
def test_grouped_convolution(rng, monkeypatch, K, at_once):
    if at_once:  # taps: the larger kernels take more than one product
        monkeypatch.setattr(grouped_conv, "COLUMNS", at_once * 3)
    p, x = parameters(rng, weight=(6, 3, K), bias=6), rng.standard_normal((11, 6))
    forward = lambda x, p: grouped_conv1d(x, p["weight"], p["bias"], 2)  # noqa: E731
    hold(check.gradient(forward, grouped_conv1d_backward, x, p, rng=rng))


@pytest.mark.parametrize("old_spelling", [True, False])
def test_weight_norm(rng, old_spelling):
    g, v = rng.standard_normal((1, 1, 5)), rng.standard_normal((4, 3, 5))
    p = {"weight_g": g, "weight_v": v}
    if not old_spelling:
        p = {"parametrizations": {"weight": {"original0": g, "original1": v}}}
    backward = lambda dy, cache: (np.zeros(1), weight_norm_backward(dy, cache))  # noqa: E731  there is no x
    hold(check.gradient(lambda x, p: weight_norm(p), backward, np.zeros(1), p, rng=rng))


@pytest.mark.parametrize(("T", "heads"), [(1, 2), (7, 3), (QUERIES + 5, 2)])
def test_scaled_dot_product(rng, T, heads):
    inputs = parameters(rng, q=(T, 6), k=(T, 6), v=(T, 6))
    forward = lambda x, p: scaled_dot_product(p["q"], p["k"], p["v"], heads)  # noqa: E731

    def backward(dy, cache):
        return np.zeros(1), dict(zip("qkv", scaled_dot_product_backward(dy, cache)))

    comparison = check.gradient(forward, backward, np.zeros(1), inputs, rng=rng, entries=40)
    for row in comparison.rows:  # at T = 1 the gradients of q and k are exactly 0: judged absolutely
        assert (row.absolute if T == 1 else row.relative) < TOLERANCE, f"\n{comparison}"


def test_attention(rng):
    p = {f"{name}_proj": parameters(rng, weight=(6, 6), bias=6) for name in "qkv"} | {
        "out_proj": parameters(rng, weight=(6, 6), bias=6)
    }
    comparison = check.gradient(
        lambda x, p: attention(x, p, 3), attention_backward, rng.standard_normal((7, 6)), p, rng=rng
    )
    for row in comparison.rows:  # softmax ignores shifts: the true gradient of k_proj.bias is exactly 0
        assert (row.absolute if row.name == "p.k_proj.bias" else row.relative) < TOLERANCE, f"\n{comparison}"


def test_gradients_keep_float32(rng):
    x = rng.standard_normal((9, 6)).astype(np.float32)
    p = {name: array.astype(np.float32) for name, array in parameters(rng, weight=(6, 6), bias=6).items()}
    for forward, backward in ((linear, linear_backward),):
        y, cache = forward(x, p)
        dx, grads = backward(np.ones_like(y), cache)
        assert {dx.dtype, *(grad.dtype for grad in grads.values())} == {np.dtype(np.float32)}


def weight_norm_of(rng):
    return weight_norm({"weight_g": np.ones((1, 1, 3)), "weight_v": rng.standard_normal((6, 3, 3))})


PAIRS = {
    "linear": (lambda rng, x: linear(x, parameters(rng, weight=(4, 6), bias=4)), linear_backward),
    "gelu": (lambda rng, x: gelu(x), gelu_backward),
    "softmax": (lambda rng, x: softmax(x), softmax_backward),
    "layer_norm": (lambda rng, x: layer_norm(x, parameters(rng, weight=6, bias=6)), layer_norm_backward),
    "group_norm": (lambda rng, x: group_norm(x, parameters(rng, weight=6, bias=6)), group_norm_backward),
    "conv1d": (lambda rng, x: conv1d(x, parameters(rng, weight=(4, 6, 3)), 2), conv1d_backward),
    "grouped_conv1d": (
        lambda rng, x: grouped_conv1d(x, rng.standard_normal((6, 3, 3)), np.zeros(6), 2),
        grouped_conv1d_backward,
    ),
    "weight_norm": (lambda rng, x: weight_norm_of(rng), weight_norm_backward),
    "scaled_dot_product": (lambda rng, x: scaled_dot_product(x, x, x, 2), scaled_dot_product_backward),
    "dropout": (lambda rng, x: dropout(x, np.ones_like(x)), dropout_backward),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_wrong_upstream_gradient_is_named(rng, name):
    forward, backward = PAIRS[name]
    y, cache = forward(rng, rng.standard_normal((9, 6)))
    backward(np.ones_like(y), cache)
    for wrong in (y[:1], np.concatenate([y, y]), y[..., :1], y.astype(np.float32), y[None], y.tolist(), 1.0):
        with pytest.raises(ObjectiveError, match="the gradient is"):
            backward(wrong, cache)
