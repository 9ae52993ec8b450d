"""The diversity loss: known values, its gradient through a batch, and what it must not depend on."""

import math

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.diversity import code_use, code_use_backward, diversity_loss, diversity_loss_backward
from xlsr_ref.teach import check

G, V = 2, 5
MASKS = [np.array([0, 1, 1, 0, 1, 0], bool), np.array([1, 0, 1, 1], bool), np.zeros(3, bool)]  # the last has none
FRAMES = 6


@pytest.fixture
def batch(rng):
    return [2 * rng.standard_normal((len(mask), G, V)) for mask in MASKS]


def loss_of(batch):
    uses, caches = zip(*(code_use(logits, mask) for logits, mask in zip(batch, MASKS)))
    loss, cache = diversity_loss(uses, FRAMES)
    return loss, cache, caches


def test_the_loss_is_its_equation(batch):
    loss, cache, _ = loss_of(batch)
    total = 0.0
    for g in range(G):
        rows = [logits[t, g] for logits, mask in zip(batch, MASKS) for t in np.flatnonzero(mask)]
        mean = sum(np.exp(row) / np.exp(row).sum() for row in rows) / len(rows)
        perplexity = math.exp(-sum(p * math.log(p) for p in mean))
        assert cache.perplexity[g] == pytest.approx(perplexity, rel=1e-13)
        total += perplexity
    assert loss == pytest.approx((G * V - total) / (G * V), rel=1e-12)


def test_the_mean_comes_before_the_entropy(batch):
    """Two utterances that each use one code, not the same, use two together."""
    apart = [np.full((1, 1, 2), 0.0), np.full((1, 1, 2), 0.0)]
    apart[0][0, 0, 0] = apart[1][0, 0, 1] = 800.0
    mask = np.ones(1, bool)
    uses = [code_use(logits, mask)[0] for logits in apart]
    assert diversity_loss(uses, 2)[0] == 0
    assert [diversity_loss([use], 1)[0] for use in uses] == [0.5, 0.5]


def test_gradient_through_the_whole_batch(rng, batch):
    lengths = [logits.size for logits in batch]

    def apart(x):
        pieces = np.split(x, np.cumsum(lengths)[:-1])
        return [piece.reshape(logits.shape) for piece, logits in zip(pieces, batch)]

    def forward(x, p):
        loss, *caches = loss_of(apart(x))
        return np.array([loss]), caches

    def backward(dy, caches):
        duse = diversity_loss_backward(float(dy[0]), caches[0])
        return np.concatenate([code_use_backward(duse, cache).ravel() for cache in caches[1]]), {}

    x = np.concatenate([logits.ravel() for logits in batch])
    comparison = check.gradient(forward, backward, x, rng=rng)
    assert comparison.worst < 1e-6, str(comparison)


def test_frames_that_are_not_masked_have_no_gradient(batch):
    _, cache, caches = loss_of(batch)
    duse = diversity_loss_backward(1.0, cache)
    for mask, each in zip(MASKS, caches):
        dlogits = code_use_backward(duse, each)
        np.testing.assert_array_equal(np.abs(dlogits).sum(axis=(1, 2)) > 0, mask)


def test_uniform_is_0_and_a_collapsed_codebook_is_nearly_1():
    mask = np.ones(4, bool)
    uniform, _ = code_use(np.zeros((4, 2, 320)), mask)
    assert diversity_loss([uniform], 4)[0] == pytest.approx(0, abs=1e-14)  # sums of 320 terms
    collapsed = np.zeros((4, 2, 320))
    collapsed[:, 0, 17] = collapsed[:, 1, 3] = 2000.0
    use, _ = code_use(collapsed, mask)
    loss, cache = diversity_loss([use], 4)
    assert loss == 0.996875
    assert cache.perplexity.sum() == 2


def test_a_code_of_probability_0_does_not_make_nan(batch):
    batch[0][..., 2] = batch[1][..., 2] = -2000.0
    _, cache, caches = loss_of(batch)
    assert (cache.mean[:, 2] == 0).all()
    duse = diversity_loss_backward(1.0, cache)
    for each in caches:
        dlogits = code_use_backward(duse, each)
        assert np.isfinite(dlogits).all()
        np.testing.assert_array_equal(dlogits[..., 2], 0)


def test_float32_logits_have_float32_gradients(batch):
    use, each = code_use(batch[0].astype(np.float32), MASKS[0])
    assert use.dtype == np.float64  # a sum over all frames of a batch
    _, cache = diversity_loss([use], 3)
    assert code_use_backward(diversity_loss_backward(1.0, cache), each).dtype == np.float32


def test_bad_input(batch):
    with pytest.raises(ObjectiveError, match=r"bool of shape \(4,\): 6 frames need \(6,\)"):
        code_use(batch[0], MASKS[1])
    with pytest.raises(ObjectiveError, match="int64 of shape"):
        code_use(batch[0], np.array([1, 2, 4, 0, 0, 0]))
    with pytest.raises(ObjectiveError, match="0 frames are masked"):
        diversity_loss([np.zeros((G, V))], 0)
