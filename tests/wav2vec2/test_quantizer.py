"""The quantizer against its equation, its gradients against finite differences, and the numbers that are known."""

import math

import numpy as np
import pytest
from scipy.special import xlogy

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.diversity import perplexity
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.quantizer import gumbel_noise, quantize, quantize_backward, quantize_eval, temperature

T, C, G, V, WIDTH, TAU = 7, 5, 2, 4, 3, 0.6


@pytest.fixture
def p(rng):
    affine = {"weight": rng.standard_normal((G * V, C)), "bias": rng.standard_normal(G * V)}
    return {"weight_proj": affine, "codevectors": rng.standard_normal((1, G * V, WIDTH))}


@pytest.fixture
def features(rng):
    return rng.standard_normal((T, C))


@pytest.fixture
def noise(rng):
    return gumbel_noise(rng, (T, G, V))


def scores(features, p, t, g):
    rows = slice(g * V, (g + 1) * V)
    return p["weight_proj"]["weight"][rows] @ features[t] + p["weight_proj"]["bias"][rows]


def test_hard_takes_the_codevector_of_the_best_score_with_noise(features, p, noise):
    quantized, cache = quantize(features, p, G, noise, TAU)
    for t in range(T):
        for g in range(G):
            code = np.argmax(scores(features, p, t, g) + noise[t, g])
            assert cache.codes[t, g] == code
            np.testing.assert_array_equal(quantized[t, g * WIDTH : (g + 1) * WIDTH], p["codevectors"][0, g * V + code])
    assert set(np.unique(cache.choice)) == {0, 1}
    np.testing.assert_array_equal(cache.choice.sum(axis=-1), 1)


def test_soft_mixes_the_codevectors(features, p, noise):
    quantized, cache = quantize(features, p, G, noise, TAU, hard=False)
    for t in range(T):
        for g in range(G):
            weights = np.exp((scores(features, p, t, g) + noise[t, g]) / TAU)
            mixed = weights / weights.sum() @ p["codevectors"][0, g * V : (g + 1) * V]
            np.testing.assert_allclose(quantized[t, g * WIDTH : (g + 1) * WIDTH], mixed, atol=1e-13)
    np.testing.assert_array_equal(cache.codes, quantize(features, p, G, noise, TAU)[1].codes)


def test_the_cache_has_the_scores_without_noise_and_temperature(features, p, noise):
    _, cache = quantize(features, p, G, noise, TAU)
    for t in range(T):
        for g in range(G):
            np.testing.assert_allclose(cache.logits[t, g], scores(features, p, t, g), atol=1e-13)


def both(quantized, logits):
    return np.concatenate([quantized.ravel(), logits.ravel()])


def test_soft_gradients(rng, features, p, noise):
    """Of the codevectors and of the scores together: the diversity loss comes in through the scores."""

    def forward(x, p):
        quantized, cache = quantize(x, p, G, noise, TAU, hard=False)
        return both(quantized, cache.logits), cache

    def backward(dy, cache):
        dquantized, dlogits = dy[: T * G * WIDTH], dy[T * G * WIDTH :]
        return quantize_backward(dquantized.reshape(T, -1), cache, dlogits.reshape(T, G, V))

    comparison = check.gradient(forward, backward, features, p, rng=rng)
    assert comparison.worst < 1e-6, str(comparison)


def test_straight_through(rng, features, p, noise):
    """The value is the one-hot's; the slope of the scores is the soft one's, that of the codevectors its own."""
    dquantized = rng.standard_normal((T, G * WIDTH))
    hard, soft = (quantize(features, p, G, noise, TAU, hard)[1] for hard in (True, False))
    dfeatures, grads = quantize_backward(dquantized, hard)
    soft_dfeatures, soft_grads = quantize_backward(dquantized, soft)
    np.testing.assert_array_equal(dfeatures, soft_dfeatures)
    for name in ("weight", "bias"):
        np.testing.assert_array_equal(grads["weight_proj"][name], soft_grads["weight_proj"][name])
    assert np.abs(dfeatures).max() > 0.01
    used = np.zeros((1, G * V, WIDTH))
    for t in range(T):
        for g in range(G):
            used[0, g * V + hard.codes[t, g]] += dquantized[t, g * WIDTH : (g + 1) * WIDTH]
    np.testing.assert_allclose(grads["codevectors"], used, atol=1e-13)


def test_a_colder_temperature_has_another_slope(rng, features, p, noise):
    dquantized = rng.standard_normal((T, G * WIDTH))
    warm, cold = (quantize_backward(dquantized, quantize(features, p, G, noise, tau)[1])[0] for tau in (2.0, 0.5))
    assert np.abs(warm - cold).max() > 0.01


def test_evaluation_has_no_noise(features, p):
    quantized, codes = quantize_eval(features, p, G)
    silent, cache = quantize(features, p, G, np.zeros((T, G, V)), 1.7)
    np.testing.assert_array_equal(codes, cache.codes)
    np.testing.assert_array_equal(quantized, silent)
    assert codes.shape == (T, G)


def test_float32_stays_float32(rng, features, p, noise):
    p32 = {
        "weight_proj": {name: array.astype(np.float32) for name, array in p["weight_proj"].items()},
        "codevectors": p["codevectors"].astype(np.float32),
    }
    quantized, cache = quantize(features.astype(np.float32), p32, G, noise, np.float64(TAU))  # a temperature of NumPy's
    dfeatures, grads = quantize_backward(np.ones_like(quantized), cache)
    arrays = quantized, cache.logits, cache.choice, dfeatures, grads["codevectors"], grads["weight_proj"]["weight"]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_noise_makes_the_argmax_a_draw_from_the_softmax(rng):
    """Standard deviations: 0.0035 of a frequency in 20,000; of 80,000 values' mean 0.0045, of their variance 0.012."""
    scores = np.array([0.3, -1.0, 1.2, 0.0])
    noise = gumbel_noise(rng, (20000, 4))
    frequency = np.bincount((scores + noise).argmax(axis=1), minlength=4) / 20000
    np.testing.assert_allclose(frequency, np.exp(scores) / np.exp(scores).sum(), atol=4 * 0.0035)
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=4 * 0.0045)
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=4 * 0.012)


def test_no_draw_is_infinite():
    class Zeros:
        def standard_exponential(self, shape):
            return np.zeros(shape)

    assert np.isfinite(gumbel_noise(Zeros(), (3,))).all()


@pytest.mark.parametrize(("floor", "reached"), [(0.5, 277_259), (0.1, 599_145)])
def test_temperature_reaches_its_floor(floor, reached):
    assert temperature(0, floor=floor) == 2
    assert temperature(reached - 1, floor=floor) > floor
    assert temperature(reached, floor=floor) == floor
    assert temperature(1000) == 2 * 0.999995**1000


def test_perplexity_counts_the_codes_in_use(rng):
    uniform, one, half = np.full(320, 1 / 320), np.eye(320)[7], np.r_[0.5, 0.5, np.zeros(318)]
    np.testing.assert_allclose(perplexity(np.stack([uniform, one, half])), [320, 1, 2], rtol=1e-12)
    p = rng.dirichlet(np.ones(320), 2)
    p[0, :5] = 0
    np.testing.assert_allclose(perplexity(p), np.exp(-xlogy(p, p).sum(axis=1)), rtol=1e-12)  # transformers' definition
    fairseq = np.exp(-(p * np.log(p + 1e-7)).sum(axis=1))
    assert np.abs(perplexity(p) / fairseq - 1).max() > 1e-6  # another number, though not by much


def test_bad_input(features, p, noise):
    with pytest.raises(ObjectiveError, match="tau is 0"):
        quantize(features, p, G, noise, 0)
    with pytest.raises(ObjectiveError, match=r"\(6, 2, 4\).*\(7, 2, 4\)"):
        quantize(features, p, G, noise[1:], TAU)
    _, cache = quantize(features, p, G, noise, TAU)
    with pytest.raises(ObjectiveError, match=r"\(7, 3\).*\(7, 6\)"):
        quantize_backward(np.ones((T, WIDTH)), cache)
    with pytest.raises(ObjectiveError, match=r"float32 \(7, 6\), .* float64 \(7, 6\)"):
        quantize_backward(np.ones((T, G * WIDTH), np.float32), cache)
