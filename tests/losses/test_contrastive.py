"""The contrastive loss against its equation, its gradients against finite differences, and what is known of it."""

import math

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.contrastive import (
    EPS,
    contrastive_loss,
    contrastive_loss_backward,
    direction,
    direction_backward,
    hits,
)
from xlsr_ref.teach import check

T, D, KAPPA = 9, 6, 0.3
MASKED = np.array([1, 2, 5, 8])
NEGATIVES = np.array([[2, 5, 2, 2], [8, 1, 5, 8], [1, 2, 8, 1], [5, 5, 5, 1]])  # some are drawn twice
CODES = np.array([[0, 0], [1, 2], [3, 1], [0, 1], [2, 2], [1, 2], [0, 0], [1, 1], [1, 3]])  # frames 1 and 5 are equal


@pytest.fixture
def context(rng):
    return rng.standard_normal((len(MASKED), D))


@pytest.fixture
def quantized(rng):
    return rng.standard_normal((T, D))


def cosine(a, b):
    return a @ b / (max(np.linalg.norm(a), EPS) * max(np.linalg.norm(b), EPS))


def equation(context, quantized, codes, masked, negatives, kappa):
    total = 0.0
    for i, own in enumerate(masked):
        rivals = [k for k in negatives[i] if tuple(codes[k]) != tuple(codes[own])]
        true = math.exp(cosine(context[i], quantized[own]) / kappa)
        total -= math.log(true / (true + sum(math.exp(cosine(context[i], quantized[k]) / kappa) for k in rivals)))
    return total


def test_the_loss_is_its_equation(context, quantized):
    loss, cache = contrastive_loss(context, quantized, CODES, MASKED, NEGATIVES, KAPPA)
    assert isinstance(loss, float)
    assert loss == pytest.approx(equation(context, quantized, CODES, MASKED, NEGATIVES, KAPPA), rel=1e-13)
    assert np.isneginf(cache.logits).sum() == 3  # frames 1 and 5 as each other's negatives: one, and two draws
    other_kappa, _ = contrastive_loss(context, quantized, CODES, MASKED, NEGATIVES)
    assert other_kappa == pytest.approx(equation(context, quantized, CODES, MASKED, NEGATIVES, 0.1), rel=1e-13)


def test_equal_codes_decide_and_not_equal_floats(context, quantized):
    nearly = quantized.copy()
    nearly[5] = quantized[1] + 1e-9  # the same code, not the same bits
    exactly = quantized.copy()
    exactly[2] = quantized[1]  # the same bits, not the same code
    for q, outs in ((nearly, 3), (exactly, 3)):
        loss, cache = contrastive_loss(context, q, CODES, MASKED, NEGATIVES, KAPPA)
        assert loss == pytest.approx(equation(context, q, CODES, MASKED, NEGATIVES, KAPPA), rel=1e-13)
        assert np.isneginf(cache.logits).sum() == outs


@pytest.mark.parametrize("of", ["context", "quantized"])
def test_gradients(rng, context, quantized, of):
    def forward(x, p):
        pair = (x, quantized) if of == "context" else (context, x)
        loss, cache = contrastive_loss(*pair, CODES, MASKED, NEGATIVES, KAPPA)
        return np.array([loss]), cache

    def backward(dy, cache):
        return contrastive_loss_backward(float(dy[0]), cache)[of == "quantized"], {}

    comparison = check.gradient(forward, backward, context if of == "context" else quantized, rng=rng)
    assert comparison.worst < 1e-6, str(comparison)


def test_frames_that_nobody_asked_about_have_no_gradient(context, quantized):
    _, cache = contrastive_loss(context, quantized, CODES, MASKED, NEGATIVES, KAPPA)
    _, dquantized = contrastive_loss_backward(1.0, cache)
    np.testing.assert_array_equal(np.flatnonzero(np.abs(dquantized).sum(axis=1)), MASKED)


def test_all_similarities_equal_cost_ln_101_a_step(rng):
    T, n = 150, 140
    quantized = np.tile(rng.standard_normal(D), (T, 1))
    codes = np.arange(T)[:, None]
    masked = np.arange(n)
    negatives = (masked[:, None] + rng.integers(1, n, (n, 100))) % n
    loss, _ = contrastive_loss(rng.standard_normal((n, D)), quantized, codes, masked, negatives)
    assert loss / n == pytest.approx(4.61512, abs=5e-6)  # as many digits as are given
    assert loss / n == pytest.approx(math.log(101), rel=1e-12)


def test_a_collapsed_codebook_costs_nothing_and_teaches_nothing(context, quantized):
    loss, cache = contrastive_loss(context, quantized, np.zeros((T, 2), int), MASKED, NEGATIVES, KAPPA)
    assert loss == 0
    for gradient in contrastive_loss_backward(1.0, cache):
        np.testing.assert_array_equal(gradient, 0)


def test_without_negatives_there_is_no_loss(context, quantized):
    loss, cache = contrastive_loss(context[:1], quantized, CODES, MASKED[:1], np.empty((1, 0), int))
    assert loss == 0
    assert hits(cache) == (0, 0)
    for gradient in contrastive_loss_backward(1.0, cache):
        np.testing.assert_array_equal(gradient, 0)
    none, cache = contrastive_loss(context[:0], quantized, CODES, MASKED[:0], np.empty((0, 4), int))
    assert none == 0
    assert [gradient.shape for gradient in contrastive_loss_backward(1.0, cache)] == [(0, D), (T, D)]


def test_hits_count_what_is_told_correctly(quantized):
    context = quantized[MASKED].copy()  # every one points to its own target,
    context[2] = quantized[8]  # but for this
    _, cache = contrastive_loss(context, quantized, CODES, MASKED, NEGATIVES)
    assert hits(cache) == (3, 4)
    _, cache = contrastive_loss(context, np.ones((T, D)), CODES, MASKED, NEGATIVES[:, :1])
    assert hits(cache) == (0, 3)  # a tie is not told apart; and the only negative of frame 5 has the same codes


# --- cosine ----------------------------------------------------------------------------------------------------------


def test_direction_gradients(rng):
    def forward(x, p):
        return direction(x)

    comparison = check.gradient(
        forward, lambda dy, cache: (direction_backward(dy, cache), {}), rng.standard_normal((3, D)), rng=rng
    )
    assert comparison.worst < 1e-6, str(comparison)


def test_short_vectors_are_divided_by_epsilon(rng):
    """A step of 1e-11 stays below EPS = 1e-8, where the result is linear and a difference exact but for rounding."""
    x = rng.standard_normal((2, D)) * 1e-10
    unit, _ = direction(x)
    np.testing.assert_allclose(unit, x / EPS, rtol=1e-12)
    comparison = check.gradient(
        lambda x, p: direction(x), lambda dy, cache: (direction_backward(dy, cache), {}), x, rng=rng, step=1e-11
    )
    assert comparison.worst < 1e-6, str(comparison)


def test_a_zero_vector_is_no_accident(context, quantized):
    context[0] = 0
    quantized[2] = 0
    loss, cache = contrastive_loss(context, quantized, CODES, MASKED, NEGATIVES, KAPPA)
    assert loss == pytest.approx(equation(context, quantized, CODES, MASKED, NEGATIVES, KAPPA), rel=1e-13)
    assert all(np.isfinite(gradient).all() for gradient in contrastive_loss_backward(1.0, cache))


def test_float32_stays_float32_and_close(context, quantized):
    arguments = CODES, MASKED, NEGATIVES, KAPPA
    loss, cache = contrastive_loss(context.astype(np.float32), quantized.astype(np.float32), *arguments)
    wide, wide_cache = contrastive_loss(context, quantized, *arguments)
    assert loss == pytest.approx(wide, rel=1e-5)  # a similarity is good to 1e-7, and κ makes 3e-7 of it
    for mine, reference in zip(contrastive_loss_backward(1.0, cache), contrastive_loss_backward(1.0, wide_cache)):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, reference, atol=1e-5 * np.abs(reference).max())


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input(context, quantized):
    def loss(context=context, quantized=quantized, codes=CODES, masked=MASKED, negatives=NEGATIVES, kappa=KAPPA):
        return contrastive_loss(context, quantized, codes, masked, negatives, kappa)

    with pytest.raises(ObjectiveError, match=r"\(4, 5\) and quantized \(9, 6\)"):
        loss(context=context[:, 1:])
    with pytest.raises(ObjectiveError, match=r"4 context vectors and 9 frames .* \(3,\)"):
        loss(masked=MASKED[1:])
    with pytest.raises(ObjectiveError, match=r"not \(4,\), \(3, 4\)"):
        loss(negatives=NEGATIVES[1:])
    with pytest.raises(ObjectiveError, match=r"and \(8, 2\)"):
        loss(codes=CODES[1:])
    with pytest.raises(ObjectiveError, match="from 1 to 9, of 9 frames"):
        loss(negatives=NEGATIVES + (NEGATIVES == 8))
    with pytest.raises(ObjectiveError, match="from -1 to 8"):
        loss(masked=np.array([-1, 2, 5, 8]))
    with pytest.raises(ObjectiveError, match="kappa is 0"):
        loss(kappa=0)
    for value in (np.nan, np.inf):
        broken = context.copy()
        broken[2, 1] = value
        with pytest.raises(ObjectiveError, match="context is NaN or infinite in row 2"):
            loss(context=broken)
