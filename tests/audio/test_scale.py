"""Normalising: mean, variance, float32, and recordings in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.audio import scale as scale_module
from xlsr_ref.errors import AudioError


def tone(hertz: float, rate: int, seconds: float = 1.0, phase: float = 0.3) -> np.ndarray:
    """A sine of amplitude 0.5, float64."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate + phase)


def test_mean_zero_and_population_variance_one():
    x = np.array([1.0, 2.0, 3.0, 6.0])  # mean 3, population variance 14 / 4, sample variance 14 / 3
    np.testing.assert_allclose(audio.normalise(x), (x - 3) / np.sqrt(3.5 + 1e-7), rtol=1e-15)


def test_epsilon_stands_inside_the_root():
    x = 1e-4 * np.array([-1.0, 1.0])  # variance 1e-8: smaller than epsilon
    np.testing.assert_allclose(audio.normalise(x), x / np.sqrt(1.1e-7), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 0.1, -1, 12345.678])
def test_silence_and_constants_become_silence(value, dtype):
    y = audio.normalise(np.full(100_003, value, dtype))
    assert y.dtype == dtype
    assert np.abs(y).max() < 1e-6  # the mean's last bit: 2**-53 * 12345 / sqrt(1e-7) = 4e-9, and the sum's


def test_scale_and_offset_do_not_matter():
    x = tone(440, 16000)
    np.testing.assert_allclose(audio.normalise(3 * x + 0.1), audio.normalise(x), rtol=0, atol=1e-6)


def test_float32_is_the_float64_answer_rounded_once():
    """A mean of 1000 eats the digits of a float32 sum; statistics in float64 lose nothing."""
    x = (np.random.default_rng(0).standard_normal(200_000) + 1000).astype(np.float32)
    y = audio.normalise(x)
    assert y.dtype == np.float32
    assert np.array_equal(y, audio.normalise(x.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_scale_does_not_depend_on_the_pieces(monkeypatch, rng, dtype):
    """Means that differ from stretch to stretch must be joined; where the pieces end changes no bit."""
    monkeypatch.setattr(scale_module, "BLOCK", 1000)
    x = (rng.standard_normal(5432) * np.linspace(0.1, 3, 5432) + np.linspace(-1000, 50, 5432)).astype(dtype)
    wide = x.astype(np.float64)
    scale = audio.measure([x])
    assert scale.samples == 5432
    assert scale.mean == pytest.approx(wide.mean(), rel=1e-14)
    assert scale.std == pytest.approx(np.sqrt(wide.var() + 1e-7), rel=1e-14)
    for edges in ([], [1], [999, 1000, 1001, 3500], range(0, 5432, 7), [0, 5432]):
        assert audio.measure(iter(np.split(x, edges))) == scale
    whole = audio.normalise(x)
    np.testing.assert_array_equal(audio.rescale(x[1234:4321], scale), whole[1234:4321])
    np.testing.assert_allclose(whole, (wide - wide.mean()) / np.sqrt(wide.var() + 1e-7), rtol=0, atol=1e-6)


def test_nothing_to_normalise_is_refused():
    with pytest.raises(AudioError, match="no samples"):
        audio.normalise(np.zeros(0))
    with pytest.raises(AudioError, match="float32 or float64"):
        audio.normalise(np.zeros(10, np.int16))
    with pytest.raises(AudioError, match=r"nan \(sample 3\)"):
        audio.normalise(np.array([0, 0, 0, np.nan]))
