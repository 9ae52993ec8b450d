"""The convolutional adapter: by hand, how many frames it leaves, and its gradient."""

import numpy as np
import pytest

from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.adapter import adapter, adapter_backward, adapter_frames
from xlsr_ref.wav2vec2.config import Config


def config(hidden, output, kernel, stride, layers):
    return Config(
        hidden_size=hidden,
        num_attention_heads=1,
        num_conv_pos_embedding_groups=1,
        add_adapter=True,
        output_hidden_size=output,
        adapter_kernel_size=kernel,
        adapter_stride=stride,
        num_adapter_layers=layers,
    )


def parameters(rng, c):
    C, K, draw = c.output_size, c.adapter_kernel_size, rng.standard_normal
    convs = {
        str(i): {"conv": {"weight": draw((2 * C, C, K)), "bias": draw(2 * C)}} for i in range(c.num_adapter_layers)
    }
    p = {"layers": convs} if convs else {}
    if c.hidden_size != C:
        p["proj"] = {"weight": draw((C, c.hidden_size)), "bias": draw(C)}
        p["proj_layer_norm"] = {"weight": draw(C), "bias": draw(C)}
    return p


def test_by_hand():
    """One channel, kernel 3, stride 2: the value is the sum of three frames, the gate is open by half."""
    weight = np.array([[[1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]])  # first the values, then the gates
    p = {"layers": {"0": {"conv": {"weight": weight, "bias": np.zeros(2)}}}}
    x = np.array([[1.0], [10], [100], [1000]])
    y, _ = adapter(x, p, config(1, 1, 3, 2, 1))
    np.testing.assert_allclose(y[:, 0], [(0 + 1 + 10) / 2, (10 + 100 + 1000) / 2])  # a zero frame before the first


@pytest.mark.parametrize(("kernel", "stride", "layers"), [(3, 2, 3), (4, 3, 2), (1, 1, 1), (2, 5, 2), (3, 2, 0)])
@pytest.mark.parametrize("T", [1, 2, 5, 16, 49])
def test_frames(rng, kernel, stride, layers, T):
    c = config(4, 4, kernel, stride, layers)
    left = adapter_frames(T, c)
    x = rng.standard_normal((T, 4))
    if left:
        y, cache = adapter(x, parameters(rng, c), c)
        assert y.shape == (left, 4)
        assert len(cache.layers) == layers
    else:
        with pytest.raises(ValueError, match="a kernel of"):
            adapter(x, parameters(rng, c), c)


def test_released_adapters_leave_an_eighth():
    c = config(1024, 1024, 3, 2, 3)
    assert [adapter_frames(T, c) for T in (1, 8, 9, 49, 50, 499)] == [1, 1, 2, 7, 7, 63]
    assert adapter_frames(49, Config()) == 49  # there is none


@pytest.mark.parametrize(("hidden", "output"), [(6, 4), (4, 4)])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_gradient(rng, hidden, output, layers):
    c = config(hidden, output, 3, 2, layers)
    forward = lambda x, p: adapter(x, p, c)  # noqa: E731
    p = parameters(rng, c)
    comparison = check.gradient(forward, adapter_backward, rng.standard_normal((7, hidden)), p, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    assert not comparison.missing
    assert not comparison.extra
