"""Every backward function of ops and of the blocks against torch's autograd, one at a time, in double."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xlsr_ref.heads.ctc import ctc_head, ctc_head_backward  # noqa: E402
from xlsr_ref.ops.activation import gelu, gelu_backward  # noqa: E402
from xlsr_ref.ops.attention import attention, attention_backward  # noqa: E402
from xlsr_ref.ops.conv import conv1d, conv1d_backward  # noqa: E402
from xlsr_ref.ops.dropout import dropout, dropout_backward, dropout_factor  # noqa: E402
from xlsr_ref.ops.feature_projection import feature_projection, feature_projection_backward  # noqa: E402
from xlsr_ref.ops.feed_forward import feed_forward, feed_forward_backward  # noqa: E402
from xlsr_ref.ops.grouped_conv import grouped_conv1d, grouped_conv1d_backward  # noqa: E402
from xlsr_ref.ops.linear import linear, linear_backward  # noqa: E402
from xlsr_ref.ops.norm import group_norm, group_norm_backward, layer_norm, layer_norm_backward  # noqa: E402
from xlsr_ref.ops.softmax import softmax, softmax_backward  # noqa: E402
from xlsr_ref.ops.tree import flatten, nest  # noqa: E402
from xlsr_ref.ops.weight_norm import weight_norm, weight_norm_backward  # noqa: E402
from xlsr_ref.teach import check  # noqa: E402
from xlsr_ref.wav2vec2.block import (  # noqa: E402
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from xlsr_ref.wav2vec2.feature_encoder import conv_layer, conv_layer_backward  # noqa: E402
from xlsr_ref.wav2vec2.masks import BlockMasks  # noqa: E402
from xlsr_ref.wav2vec2.positional import positional, positional_backward  # noqa: E402

F = torch.nn.functional
TOLERANCE = 1e-11  # of each tensor's largest value; measured 1e-14
EPS, HEADS = 1e-3, 3


def hold(rng, forward, backward, theirs, x, p=None, zero=()):
    """Ours and torch's, forward and backward from the same random upstream gradient; ``theirs(x, p)`` is torch's.

    ``zero``: the names whose true gradient is exactly 0, so that they are judged absolutely, on both sides.
    """
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in flatten({"x": x, "p": p or {}}).items()}
    tree = nest(leaves)
    reference = theirs(tree["x"], tree.get("p"))
    y, cache = forward(x, p)
    np.testing.assert_allclose(y, reference.detach().numpy(), rtol=0, atol=1e-12 * np.abs(y).max())
    dy = rng.standard_normal(y.shape)
    reference.backward(torch.from_numpy(dy))
    dx, grads = backward(dy, cache)
    comparison = check.compare(
        {"x": dx} | ({"p": grads} if grads else {}), {name: leaf.grad.numpy() for name, leaf in leaves.items()}
    )
    for row in comparison.rows:
        assert (row.absolute if row.name in zero else row.relative) < TOLERANCE, f"\n{comparison}"
    for name in zero:
        assert np.abs(leaves[name].grad.numpy()).max() < TOLERANCE
    assert not comparison.missing
    assert not comparison.extra


def draw(rng, **shapes):
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def affine(rng, C_in, C_out):
    return draw(rng, weight=(C_out, C_in), bias=C_out)


# --- the same in torch, for one utterance (T, C) ---------------------------------------------------------------------


def torch_linear(x, p):
    return F.linear(x, p["weight"], p["bias"])


def torch_layer_norm(x, p):
    return F.layer_norm(x, x.shape[-1:], p["weight"], p["bias"], EPS)


def torch_group_norm(x, p):
    return F.group_norm(x.T[None], x.shape[1], p["weight"], p["bias"], EPS)[0].T


def torch_conv1d(x, p, stride):
    return F.conv1d(x.T[None], p["weight"], p.get("bias"), stride=stride)[0].T


def torch_weight_norm(p):
    return p["weight_g"] * p["weight_v"] / p["weight_v"].norm(dim=(0, 1), keepdim=True)


def torch_grouped_conv1d(x, weight, bias, groups):
    return F.conv1d(x.T[None], weight, bias, padding=weight.shape[2] // 2, groups=groups)[0].T[: len(x)]


def torch_attention(x, p, factor=None):
    q, k, v = (torch_linear(x, p[f"{name}_proj"]).unflatten(1, (HEADS, -1)).transpose(0, 1) for name in "qkv")
    weights = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1)
    if factor is not None:
        weights = weights * torch.from_numpy(factor)
    return torch_linear((weights @ v).transpose(0, 1).flatten(1), p["out_proj"])


def torch_feed_forward(x, p, drop):
    active = F.gelu(torch_linear(x, p["intermediate_dense"])) * torch.from_numpy(drop.active)
    return torch_linear(active, p["output_dense"]) * torch.from_numpy(drop.transformed)


def torch_pre_norm_block(x, p, drop):
    attended = torch_attention(torch_layer_norm(x, p["layer_norm"]), p["attention"], drop.weights)
    x = x + attended * torch.from_numpy(drop.attended)
    return x + torch_feed_forward(torch_layer_norm(x, p["final_layer_norm"]), p["feed_forward"], drop)


def torch_post_norm_block(x, p, drop):
    attended = torch_attention(x, p["attention"], drop.weights) * torch.from_numpy(drop.attended)
    x = torch_layer_norm(x + attended, p["layer_norm"])
    return torch_layer_norm(x + torch_feed_forward(x, p["feed_forward"], drop), p["final_layer_norm"])


# --- ops -------------------------------------------------------------------------------------------------------------


def test_linear(rng):
    hold(rng, linear, linear_backward, torch_linear, rng.standard_normal((7, 5)), affine(rng, 5, 3))


def test_gelu(rng):
    hold(rng, lambda x, p: gelu(x), gelu_backward, lambda x, p: F.gelu(x), rng.standard_normal((7, 5)) * 3)


def test_softmax(rng):
    theirs = lambda x, p: torch.softmax(x, -1)  # noqa: E731
    hold(rng, lambda x, p: softmax(x), softmax_backward, theirs, rng.standard_normal((7, 5)) * 2)


@pytest.mark.parametrize(
    ("forward", "backward", "theirs"),
    [
        (layer_norm, layer_norm_backward, torch_layer_norm),
        (group_norm, group_norm_backward, torch_group_norm),
    ],
)
def test_norms(rng, forward, backward, theirs):
    x, p = rng.standard_normal((1501, 5)) * 2 + 1, draw(rng, weight=5, bias=5)  # more frames than one task takes
    hold(rng, lambda x, p: forward(x, p, EPS), backward, theirs, x, p)


@pytest.mark.parametrize(
    ("T", "K", "stride"), [(9001, 3, 2), (43, 10, 5), (43, 2, 2), (43, 1, 1), (43, 3, 5), (3, 3, 2)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_strided_convolution(rng, T, K, stride, bias):
    x, p = rng.standard_normal((T, 2)), draw(rng, weight=(5, 2, K), **({"bias": 5} if bias else {}))
    theirs = lambda x, p: torch_conv1d(x, p, stride)  # noqa: E731
    hold(rng, lambda x, p: conv1d(x, p, stride), conv1d_backward, theirs, x, p)


@pytest.mark.parametrize("K", [1, 2, 5, 8, 9, 16, 31])
@pytest.mark.parametrize("T", [2, 13])
def test_grouped_convolution_with_weight_norm(rng, K, T):
    x, p = rng.standard_normal((T, 6)), draw(rng, weight_g=(1, 1, K), weight_v=(6, 3, K), bias=6)

    def forward(x, p):
        weight, norm_cache = weight_norm(p)
        y, cache = grouped_conv1d(x, weight, p["bias"], 2)
        return y, (norm_cache, cache)

    def backward(dy, caches):
        dx, grads = grouped_conv1d_backward(dy, caches[1])
        return dx, {"bias": grads["bias"], **weight_norm_backward(grads["weight"], caches[0])}

    theirs = lambda x, p: torch_grouped_conv1d(x, torch_weight_norm(p), p["bias"], 2)  # noqa: E731
    hold(rng, forward, backward, theirs, x, p)


@pytest.mark.parametrize("dropping", [True, False])
@pytest.mark.parametrize("T", [1, 7, 261])
def test_attention(rng, dropping, T):
    x, p = rng.standard_normal((T, 6)), {f"{name}_proj": affine(rng, 6, 6) for name in ("q", "k", "v", "out")}
    factor = dropout_factor(rng, (HEADS, T, T), 0.3, np.float64) if dropping else None
    zero = ["p.k_proj.bias"]  # softmax ignores a shift of a whole row
    if T == 1:  # the only weight is 1, whatever q and k are
        zero += [f"p.{name}_proj.{kind}" for name in "qk" for kind in ("weight", "bias")]
    forward = lambda x, p: attention(x, p, HEADS, factor)  # noqa: E731
    hold(rng, forward, attention_backward, lambda x, p: torch_attention(x, p, factor), x, p, zero)


def test_dropout(rng):
    factor = dropout_factor(rng, (7, 5), 0.4, np.float64)
    theirs = lambda x, p: x * torch.from_numpy(factor)  # noqa: E731
    hold(rng, lambda x, p: dropout(x, factor), dropout_backward, theirs, rng.standard_normal((7, 5)))


# --- network ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["layer", "group", "none"])
def test_layer_of_the_feature_encoder(rng, norm, monkeypatch):
    monkeypatch.setattr("xlsr_ref.wav2vec2.feature_encoder.EPS", EPS)
    x, p = rng.standard_normal((43, 2)), {"conv": draw(rng, weight=(5, 2, 3), bias=5)}
    if norm != "none":
        p["layer_norm"] = draw(rng, weight=5, bias=5)

    def theirs(x, p):
        y = torch_conv1d(x, p["conv"], 2)
        if norm != "none":
            y = {"layer": torch_layer_norm, "group": torch_group_norm}[norm](y, p["layer_norm"])
        return F.gelu(y)

    zero = ["p.conv.bias"] if norm == "group" else []  # group norm takes out a shift of a whole channel
    hold(rng, lambda x, p: conv_layer(x, p, 2, norm), conv_layer_backward, theirs, x, p, zero)


def test_feature_projection(rng):
    x, p = rng.standard_normal((13, 5)), {"layer_norm": draw(rng, weight=5, bias=5), "projection": affine(rng, 5, 6)}
    theirs = lambda x, p: torch_linear(torch_layer_norm(x, p["layer_norm"]), p["projection"])  # noqa: E731
    hold(rng, lambda x, p: feature_projection(x, p, EPS), feature_projection_backward, theirs, x, p)


@pytest.mark.parametrize("K", [3, 8])
def test_positional(rng, K):
    x, p = rng.standard_normal((13, 6)), {"conv": draw(rng, weight_g=(1, 1, K), weight_v=(6, 2, K), bias=6)}
    theirs = lambda x, p: F.gelu(  # noqa: E731
        torch_grouped_conv1d(x, torch_weight_norm(p["conv"]), p["conv"]["bias"], 3)
    )
    hold(rng, lambda x, p: positional(x, p, 3), positional_backward, theirs, x, p)


@pytest.fixture
def layer(rng):
    return {
        "layer_norm": draw(rng, weight=6, bias=6),
        "attention": {f"{name}_proj": affine(rng, 6, 6) for name in ("q", "k", "v", "out")},
        "final_layer_norm": draw(rng, weight=6, bias=6),
        "feed_forward": {"intermediate_dense": affine(rng, 6, 11), "output_dense": affine(rng, 11, 6)},
    }


def block_dropout(rng, T, probability):
    shapes = (HEADS, T, T), (T, 6), (T, 11), (T, 6)
    if not probability:
        return BlockMasks(*(np.ones(shape) for shape in shapes))
    return BlockMasks(*(dropout_factor(rng, shape, probability, np.float64) for shape in shapes))


@pytest.mark.parametrize("probability", [0, 0.3])
def test_feed_forward(rng, layer, probability):
    drop = block_dropout(rng, 13, probability)
    hold(
        rng,
        lambda x, p: feed_forward(x, p, drop.active if probability else None),
        feed_forward_backward,
        lambda x, p: torch_feed_forward(x, p, drop._replace(transformed=np.ones((13, 6)))),  # that is the block's
        rng.standard_normal((13, 6)),
        layer["feed_forward"],
    )


@pytest.mark.parametrize("probability", [0, 0.3])
@pytest.mark.parametrize(
    ("block", "backward", "theirs"),
    [
        (pre_norm_block, pre_norm_block_backward, torch_pre_norm_block),
        (post_norm_block, post_norm_block_backward, torch_post_norm_block),
    ],
)
def test_block(rng, layer, probability, block, backward, theirs):
    drop = block_dropout(rng, 13, probability)
    hold(
        rng,
        lambda x, p: block(x, p, HEADS, EPS, drop if probability else BlockMasks()),
        backward,
        lambda x, p: theirs(x, p, drop),
        rng.standard_normal((13, 6)),
        layer,
        zero=("p.attention.k_proj.bias",),
    )


def test_ctc_head(rng):
    theirs = lambda x, p: torch_linear(x, p["lm_head"])  # noqa: E731
    hold(rng, ctc_head, ctc_head_backward, theirs, rng.standard_normal((13, 6)), {"lm_head": affine(rng, 6, 7)})
