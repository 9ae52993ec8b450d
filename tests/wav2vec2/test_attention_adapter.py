"""The attention adapter: by hand, its gradient, and its place in a block."""

import numpy as np

from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.attention_adapter import attention_adapter, attention_adapter_backward
from xlsr_ref.wav2vec2.block import pre_norm_block, pre_norm_block_backward


def parameters(rng, C, A):
    draw = rng.standard_normal
    return {
        "norm": {"weight": draw(C), "bias": draw(C)},
        "linear_1": {"weight": draw((A, C)), "bias": draw(A)},
        "linear_2": {"weight": draw((C, A)), "bias": draw(C)},
    }


def test_by_hand():
    """One channel between: what is below 0 there does not pass."""
    p = {
        "norm": {"weight": np.ones(2), "bias": np.zeros(2)},
        "linear_1": {"weight": np.array([[3.0, 1.0]]), "bias": np.array([0.5])},
        "linear_2": {"weight": np.array([[2.0], [-1.0]]), "bias": np.array([0.1, 0.2])},
    }
    y, _ = attention_adapter(np.array([[5.0, 1.0], [1.0, 5.0]]), p)  # normalised: (1, −1) and (−1, 1), nearly
    norm = 1 / np.sqrt(1 + 1e-5 / 4)  # variance 4; the epsilon is 1e-5 whatever the config says
    np.testing.assert_allclose(y[0], [0.1 + 2 * (2 * norm + 0.5), 0.2 - (2 * norm + 0.5)], rtol=1e-14)
    np.testing.assert_allclose(y[1], [0.1, 0.2], rtol=1e-14)


def test_gradient(rng):
    p = parameters(rng, 6, 4)
    comparison = check.gradient(attention_adapter, attention_adapter_backward, rng.standard_normal((5, 6)), p, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


def test_it_is_added_to_what_leaves_the_block(rng):
    C, F, H, draw = 6, 8, 2, rng.standard_normal
    block = {
        "attention": {f"{n}_proj": {"weight": draw((C, C)), "bias": draw(C)} for n in ("q", "k", "v", "out")},
        "layer_norm": {"weight": draw(C), "bias": draw(C)},
        "final_layer_norm": {"weight": draw(C), "bias": draw(C)},
        "feed_forward": {
            "intermediate_dense": {"weight": draw((F, C)), "bias": draw(F)},
            "output_dense": {"weight": draw((C, F)), "bias": draw(C)},
        },
    }
    x, adapter = draw((5, C)), parameters(rng, C, 3)
    without, _ = pre_norm_block(x, block, H, 1e-3)
    both = block | {"adapter_layer": adapter}
    with_it, _ = pre_norm_block(x, both, H, 1e-3)
    np.testing.assert_array_equal(with_it, without + attention_adapter(without, adapter)[0])
    forward = lambda x, p: pre_norm_block(x, p, H, 1e-3)  # noqa: E731
    comparison = check.gradient(forward, pre_norm_block_backward, x, both, rng=rng, entries=20)
    for row in comparison.rows:
        assert (row.absolute if row.name.endswith("k_proj.bias") else row.relative) < 1e-6, f"\n{comparison}"
    assert not comparison.missing
    assert not comparison.extra
