"""The CTC loss against sums over all paths, known values and finite differences; kernel against twin."""

import itertools
import math

import numpy as np
import pytest
from ctc_batches import ctc_batch_loss, ctc_batch_loss_backward

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses import ctc
from xlsr_ref.losses.ctc import (
    ctc_loss,
    ctc_loss_backward,
    log_beta,
    posteriors,
)
from xlsr_ref.teach import check


def collapse(path, blank):
    return [token for token, _ in itertools.groupby(path) if token != blank]


def by_enumeration(logits, targets, blank):
    """−ln of the sum of the probabilities of every path that collapses to the targets."""
    T, V = logits.shape
    y = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    paths = (path for path in itertools.product(range(V), repeat=T) if collapse(path, blank) == list(targets))
    total = math.fsum(math.prod(y[t, token] for t, token in enumerate(path)) for path in paths)
    return -math.log(total) if total else math.inf


@pytest.mark.parametrize(
    ("T", "targets", "loss"),
    [
        (10, [1, 2, 3, 4], 8.087012),
        (10, [1, 1, 2, 2], 9.889822),
        (10, [], 10 * math.log(5)),
        (2, [1, 1], math.inf),
        (3, [1, 1], 4.828314),
    ],
)
def test_uniform_probabilities_give_the_known_losses(T, targets, loss):
    assert ctc_loss(np.zeros((T, 5)), targets, 0)[0] == pytest.approx(loss, abs=1e-6)


def test_the_number_of_paths():
    """Uniform over 5 tokens: p = paths / 5^10, and 3003 paths spell four different targets in ten frames."""
    loss, _ = ctc_loss(np.zeros((10, 5)), [1, 2, 3, 4], 0)
    assert math.exp(-loss) * 5**10 == pytest.approx(3003)


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("blank", [0, 1, 2])
def test_it_is_the_sum_over_all_paths(rng, T, blank):
    tokens = [token for token in range(3) if token != blank]
    for S in range(T + 1):
        targets = rng.choice(tokens, S)
        logits = rng.standard_normal((T, 3)) * 2
        assert ctc_loss(logits, targets, blank)[0] == pytest.approx(by_enumeration(logits, targets, blank), rel=1e-12)


@pytest.mark.parametrize("targets", [[], [1], [1, 1], [3, 1, 1, 2], [1, 2, 1, 2, 1, 2, 1]])
def test_the_gradient(rng, targets):
    logits = rng.standard_normal((9, 4)) * 2
    dloss = 1.7

    def forward(x, p):
        loss, cache = ctc_loss(x, targets, 0)
        return np.array(loss), cache

    def backward(dy, cache):
        return ctc_loss_backward(float(dy), cache), {}

    comparison = check.gradient(forward, backward, logits, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    gradient = ctc_loss_backward(dloss, ctc_loss(logits, targets, 0)[1])
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-14)  # every frame's softmax and posterior sum to 1


@pytest.mark.parametrize("targets", [[], [1], [1, 1], [1, 2, 1]])
def test_posteriors(rng, targets):
    """How probable a place is at a frame: the share of the paths through it. Each frame passes all paths."""
    T, V = 5, 3
    logits = rng.standard_normal((T, V))
    loss, cache = ctc_loss(logits, targets, 0)
    gamma = posteriors(cache)
    np.testing.assert_allclose(gamma.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.logaddexp.reduce(cache.log_alpha + log_beta(cache), axis=1), -loss, rtol=1e-12)
    y = np.exp(cache.log_y)
    expected = np.zeros((T, V))
    for path in itertools.product(range(V), repeat=T):
        if collapse(path, 0) == list(targets):
            expected[range(T), path] += math.prod(y[range(T), path]) / math.exp(-loss)
    by_token = np.stack([gamma[:, cache.places == token].sum(axis=1) for token in range(V)], axis=1)
    np.testing.assert_allclose(by_token, expected, atol=1e-13)


def test_a_blank_that_is_last_or_in_the_middle(rng):
    logits, targets = rng.standard_normal((7, 4)), np.array([1, 1, 2])
    loss, _ = ctc_loss(logits, targets, 0)
    for order in ([1, 2, 3, 0], [1, 0, 2, 3]):  # the same tokens under other ids
        assert ctc_loss(logits[:, order], [order.index(id) for id in targets], order.index(0))[0] == pytest.approx(loss)


def test_long_recordings_do_not_underflow(rng):
    logits = rng.standard_normal((3000, 32)) * 4
    loss, cache = ctc_loss(logits, rng.integers(1, 32, 600), 0)
    assert math.isfinite(loss)
    assert np.isfinite(ctc_loss_backward(1.0, cache)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_the_input_untouched(rng, dtype):
    logits = rng.standard_normal((7, 4)).astype(dtype)
    before = logits.copy()
    loss, cache = ctc_loss(logits, [1, 2], 0)
    gradient = ctc_loss_backward(1.0, cache)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(logits, before)
    exact, exact_cache = ctc_loss(logits.astype(float), [1, 2], 0)
    assert loss == exact  # α and β are float64 either way
    np.testing.assert_allclose(gradient, ctc_loss_backward(1.0, exact_cache), atol=1e-7)


@pytest.mark.parametrize(("T", "targets"), [(1, []), (1, [1]), (5, [1, 1, 2]), (3, [1, 1, 1]), (40, [1, 2, 2, 3] * 4)])
def test_kernels_equal_their_twins(rng, T, targets):
    log_y = np.log(rng.dirichlet(np.ones(4), T))
    places = np.zeros(2 * len(targets) + 1, np.int64)
    places[1::2] = targets
    for name in ("alpha", "beta"):
        kernel, twin = (getattr(ctc, f"_log_{name}_{kind}")(log_y, places) for kind in ("numba", "numpy"))
        np.testing.assert_allclose(kernel, twin, rtol=1e-12)


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_an_infinite_loss_has_no_gradient():
    loss, cache = ctc_loss(np.zeros((2, 3)), [1, 1], 0)
    assert loss == math.inf
    with pytest.raises(ObjectiveError, match="2 targets with 1 equal neighbours need 3 frames, but there are 2"):
        ctc_loss_backward(1.0, cache)


@pytest.mark.parametrize(
    ("logits", "targets", "blank", "message"),
    [
        (np.zeros((5, 3)), [1, 0], 0, r"\[0\].*blank 0"),
        (np.zeros((5, 3)), [1, 3], 0, r"\[3\].*0 to 2"),
        (np.zeros((5, 3)), [-1], 0, r"\[-1\]"),
        (np.zeros((5, 3)), [1], 3, "blank is 3.*0 to 2"),
        (np.zeros((5, 3)), [1], None, "blank is None"),
        (np.full((5, 3), np.nan), [1], 0, "frame 0"),
        (np.full((5, 3), np.inf), [1], 0, "frame 0"),
        (np.zeros((0, 3)), [], 0, r"shape \(0, 3\)"),
        (np.zeros(3), [1], 0, "shape"),
        (np.zeros((5, 3), int), [1], 0, "int64"),
        (np.zeros((5, 3)), [1.5], 0, "float64"),
        (np.zeros((5, 3)), [[1]], 0, "shape"),
    ],
)
def test_bad_input_is_named(logits, targets, blank, message):
    with pytest.raises(ObjectiveError, match=message):
        ctc_loss(logits, targets, blank)


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch(rng):
    return [rng.standard_normal((T, 4)) for T in (6, 9, 2)], [[1, 2], [], [3, 3]]  # the last does not fit


def test_a_batch_adds_or_averages(batch):
    logits, targets = batch
    each = [ctc_loss(x, labels, 0)[0] for x, labels in zip(logits, targets)]
    total, cache = ctc_batch_loss(logits, targets, 0, reduction="sum", zero_infinity=True)
    assert total == pytest.approx(each[0] + each[1])
    assert cache.zeroed == 1
    mean, _ = ctc_batch_loss(logits, targets, 0, reduction="mean", zero_infinity=True)
    assert mean == pytest.approx((each[0] / 2 + each[1] / 1 + 0) / 3)
    assert ctc_batch_loss(logits, targets, 0, reduction="sum", zero_infinity=False)[0] == math.inf


def test_the_gradient_of_a_batch(batch):
    logits, targets = batch
    _, cache = ctc_batch_loss(logits, targets, 0, reduction="mean", zero_infinity=True)
    gradients = ctc_batch_loss_backward(2.0, cache)
    for gradient, x, labels, scale in zip(gradients[:2], logits, targets, (1 / 6, 1 / 3)):
        alone = ctc_loss_backward(2.0 * scale, ctc_loss(x, labels, 0)[1])
        np.testing.assert_allclose(gradient, alone, atol=1e-15)
    assert (gradients[2] == 0).all()
    assert gradients[2].shape == logits[2].shape
    narrow = [x.astype(np.float32) for x in logits]
    _, cache = ctc_batch_loss(narrow, targets, 0, reduction="mean", zero_infinity=True)
    assert {gradient.dtype for gradient in ctc_batch_loss_backward(2.0, cache)} == {np.dtype(np.float32)}
    _, cache = ctc_batch_loss(logits, targets, 0, reduction="sum", zero_infinity=False)
    with pytest.raises(ObjectiveError, match="need 3 frames"):
        ctc_batch_loss_backward(1.0, cache)


def test_reduction_and_zero_infinity_have_no_defaults(batch):
    with pytest.raises(TypeError):
        ctc_batch_loss(*batch, 0)
    with pytest.raises(ObjectiveError, match="'none'"):
        ctc_batch_loss(*batch, 0, reduction="none", zero_infinity=True)
    with pytest.raises(ObjectiveError, match="3 utterances and 2 targets"):
        ctc_batch_loss(batch[0], batch[1][:2], 0, reduction="sum", zero_infinity=True)
