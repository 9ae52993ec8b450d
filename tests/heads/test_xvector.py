"""X-vectors: dilated windows by hand, statistic pooling against NumPy's own, the fewest frames, and all gradients."""

import numpy as np
import pytest

from xlsr_ref.heads.xvector import (
    embedding,
    embedding_backward,
    fewest_frames,
    statistic_pooling,
    statistic_pooling_backward,
    tdnn,
    tdnn_backward,
    xvector_head,
    xvector_head_backward,
)
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.config import Config

KERNELS, DILATIONS = (3, 2), (2, 3)


def linear(rng, inputs, outputs):
    return {"weight": rng.standard_normal((outputs, inputs)), "bias": rng.standard_normal(outputs)}


def parameters(rng):
    return {
        "projector": linear(rng, 7, 4),
        "tdnn": {"0": {"kernel": linear(rng, 3 * 4, 4)}, "1": {"kernel": linear(rng, 2 * 4, 5)}},
        "feature_extractor": linear(rng, 10, 6),
    }


def test_taps_stand_apart():
    """One channel, taps 1, 10 and 100, two frames apart: y_t = x_t + 10 x_{t+2} + 100 x_{t+4}."""
    p = {"kernel": {"weight": np.array([[1.0, 10, 100]]), "bias": np.array([-300.0])}}
    y, _ = tdnn(np.arange(1.0, 8)[:, None], p, 3, 2)
    np.testing.assert_array_equal(y[:, 0], [531 - 300, 642 - 300, 753 - 300])
    p["kernel"]["bias"][0] = -600
    np.testing.assert_array_equal(tdnn(np.arange(1.0, 8)[:, None], p, 3, 2)[0][:, 0], [0, 42, 153])  # relu


def test_a_window_is_its_frames_one_after_the_other(rng):
    """Not channel by channel: the kernel's columns are tap 0's channels, then tap 1's."""
    p = {"kernel": {"weight": np.array([[1.0, 2, 3, 4]]), "bias": np.zeros(1)}}
    y, _ = tdnn(np.array([[1.0, 10], [100, 1000]]), p, 2, 1)
    assert y.tolist() == [[1 + 20 + 300 + 4000]]


def test_too_few_frames(rng):
    p = {"kernel": linear(rng, 9, 1)}
    assert tdnn(np.ones((5, 3)), p, 3, 2)[0].shape == (1, 1)
    with pytest.raises(ValueError, match="3 taps, 2 frames apart, need more than 4 frames"):
        tdnn(np.ones((4, 3)), p, 3, 2)
    with pytest.raises(ValueError, match="two frames, not 1"):
        statistic_pooling(np.ones((1, 3)))


def test_the_fewest_frames(rng):
    fewest = fewest_frames(KERNELS, DILATIONS)
    assert fewest == 2 + 4 + 3
    vector, _ = embedding(rng.standard_normal((fewest, 7)), parameters(rng), KERNELS, DILATIONS)
    assert vector.shape == (6,)
    with pytest.raises(ValueError, match="two frames, not 1"):
        embedding(rng.standard_normal((fewest - 1, 7)), parameters(rng), KERNELS, DILATIONS)
    released = Config()
    assert fewest_frames(released.tdnn_kernel, released.tdnn_dilation) == 16  # 0.3 s


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistic_pooling(rng, dtype):
    x = (rng.standard_normal((9, 4)) + 100).astype(dtype)
    y, _ = statistic_pooling(x)
    assert y.dtype == dtype
    wanted = np.concatenate([x.astype(float).mean(axis=0), x.astype(float).std(axis=0, ddof=1)])
    np.testing.assert_allclose(y, wanted, rtol=1e-6 if dtype == np.float32 else 1e-13)


def test_gradients(rng):
    layer = {"kernel": linear(rng, 3 * 4, 5)}
    forward = lambda x, p: tdnn(x, p, 3, 2)  # noqa: E731
    comparison = check.gradient(forward, tdnn_backward, rng.standard_normal((9, 4)), layer, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    pool = lambda x, p: statistic_pooling(x)  # noqa: E731
    comparison = check.gradient(pool, statistic_pooling_backward, rng.standard_normal((9, 4)), rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    whole = lambda x, p: embedding(x, p, KERNELS, DILATIONS)  # noqa: E731
    comparison = check.gradient(whole, embedding_backward, rng.standard_normal((12, 7)), parameters(rng), rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    head = parameters(rng) | {"classifier": linear(rng, 6, 6)}
    forward = lambda x, p: xvector_head(x, p, KERNELS, DILATIONS)  # noqa: E731
    comparison = check.gradient(forward, xvector_head_backward, rng.standard_normal((12, 7)), head, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"


def test_a_channel_that_never_moves_has_no_slope():
    """Its std is 0, whose root has none; torch takes 0 as well, so that nothing becomes NaN."""
    x = np.array([[1.0, 2], [1, 4]])
    _, cache = statistic_pooling(x)
    dx, _ = statistic_pooling_backward(np.ones(4), cache)
    np.testing.assert_allclose(dx, [[0.5, 0.5 - np.sqrt(0.5)], [0.5, 0.5 + np.sqrt(0.5)]])
