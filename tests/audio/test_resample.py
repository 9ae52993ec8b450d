"""Another sampling rate: what passes, when it arrives, how long it is, and that pieces give the same bits."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest

from xlsr_ref.audio.resample import LOBES, MOST_TAPS, _kernel, _reach, resample, resample_pieces

HOME = import_module("xlsr_ref.audio.resample")  # audio.resample is the function


def tone(hertz: float, rate: int, seconds: float = 1.0, phase: float = 0.3) -> np.ndarray:
    """A sine of amplitude 0.5, float64."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate + phase)


def decibels(y: np.ndarray, x: np.ndarray) -> float:
    """Level of y against x, both without the tenth at each end where the filter meets silence."""
    y, x = (part[len(part) // 10 : -len(part) // 10] for part in (y, x))
    return 20 * np.log10(np.sqrt(np.mean(y**2)) / np.sqrt(np.mean(x**2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rate", "hertz", "low", "high"),
    [
        (48000, 7000, -0.1, 0.1),
        (44100, 7000, -0.1, 0.1),
        (48000, 9000, -np.inf, -60),
        (44100, 9000, -np.inf, -60),
        (8000, 3000, -0.1, 0.1),
        (16001, 7000, -0.1, 0.1),
    ],
)
def test_what_passes_and_what_does_not(rate, hertz, low, high, dtype):
    x = tone(hertz, rate).astype(dtype)
    y = resample(x, rate, 16000)
    assert y.dtype == dtype
    assert low <= decibels(y, x) <= high


# soxr's HQ is the measure: what it passes, and how far down what it does not pass lies
PASSES, STOPS = 0.91, 1.0  # of the lower rate's Nyquist frequency


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("part", [0.01, 0.5, 0.8, 0.9, PASSES])
def test_the_pass_band_is_flat(rate, part):
    x = tone(part * 8000, rate, 0.3)
    assert abs(decibels(resample(x, rate, 16000), x)) < 0.1


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("part", [STOPS, 1.001, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.08, 1.1, 1.2, 1.3])
def test_what_would_fold_back_is_gone(rate, part):
    x = tone(part * 8000, rate, 0.3)
    assert decibels(resample(x, rate, 16000), x) < -100


@pytest.mark.parametrize(("rate", "target"), [(48000, 16000), (44100, 16000), (8000, 16000), (16001, 16000)])
def test_the_whole_response_is_within_the_two(rate, target):
    """Of the kernel as it stands, at every frequency; tones show a few."""
    ratio = Fraction(target, rate)
    up, down = ratio.numerator, ratio.denominator
    reach = _reach(up, down)
    step = max(1, max(up, down) // 32)  # 32 values a period of the lower rate are enough
    k = np.arange(-(reach // step), reach // step + 1) * step
    response = np.abs(np.fft.rfft(_kernel(k, up, down) / up, 1 << 19)) * step
    part = np.arange(len(response)) / (1 << 18) * max(up, down) / step  # of the lower rate's Nyquist frequency
    level = 20 * np.log10(response + 1e-30)
    assert np.abs(level[part <= PASSES]).max() < 0.1
    assert level[part >= STOPS].max() < -100


@pytest.mark.parametrize("hertz", [400, 2000, 3640, 3900])
def test_a_higher_rate_brings_no_images(hertz):
    """What is not the tone itself lies 100 dB below it."""
    y = resample(tone(hertz, 8000), 8000, 16000)[2000:-2000]
    angle = 2 * np.pi * hertz * np.arange(len(y)) / 16000
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    rest = y - waves @ np.linalg.lstsq(waves, y, rcond=None)[0]
    assert 20 * np.log10(np.sqrt(np.mean(rest**2)) / (0.5 / np.sqrt(2))) < -100


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 16001])
def test_a_tone_arrives_in_time(monkeypatch, rate, slowly):
    """Equal to the same tone sampled at 16 kHz: no delay, no drift, up to the ripple of the pass band."""
    if slowly:
        monkeypatch.setattr(HOME, "MOST_TAPS", 0)
    y = resample(tone(3000, rate, 0.4), rate, 16000)
    error = np.abs(y - tone(3000, 16000, 0.4))
    assert error[500:-500].max() < 1e-4


@pytest.mark.parametrize("rate", [8000, 11025, 16001, 22050, 32000, 44100, 48000, 96000, 655350])
def test_length_is_rounded_halves_to_even(rate):
    for samples in (0, 1, 2, 3, 5, 7, 100, 441, 1001):
        y = resample(np.ones(samples, np.float32), rate, 16000)
        exact = samples * 16000 / rate  # both below 2**53: the division rounds correctly and hits halves exactly
        assert len(y) == round(exact)
        assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("rate", "target"), [(8000, 16000), (44100, 16000), (48000, 16000), (1009, 16000), (16001, 16000), (16000, 11025)]
)
@pytest.mark.parametrize("samples", [3, 400, 3000])
def test_the_table_and_the_equation_agree(monkeypatch, rate, target, samples):
    x = np.random.default_rng(samples).uniform(-1, 1, samples)
    quick = resample(x, rate, target)
    single = resample(x.astype(np.float32), rate, target)
    monkeypatch.setattr(HOME, "MOST_TAPS", 0)
    slow = resample(x, rate, target)
    np.testing.assert_allclose(quick, slow, rtol=0, atol=1e-12)
    # float32 adds 122·down/up products of size below 1 in turn, each rounded
    np.testing.assert_allclose(single, slow, rtol=0, atol=2e-6)


def test_the_filter_is_scipys_kaiser_design():
    from scipy.signal import firwin

    for up, down in ((160, 441), (1, 3), (2, 1)):
        widest = max(up, down)
        ours = _kernel(np.arange(-61 * widest, 61 * widest + 1), up, down) / up
        theirs = firwin(122 * widest + 1, 0.947 / widest, window=("kaiser", 10.1))
        # firwin makes the sum exactly one; the window leaves ours within its ripple of that
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-9)


def test_beyond_the_ends_is_silence():
    """An impulse in the middle gives the symmetric kernel; the same impulse near an end gives the same, cut off."""
    x = np.zeros(301)
    x[150] = 1
    middle = resample(x, 8000, 16000)
    assert np.array_equal(np.argsort(np.abs(middle))[-1], 300)
    np.testing.assert_allclose(middle[300 - 64 : 300], middle[300 + 64 : 300 : -1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(resample(x[145:], 8000, 16000)[:12], middle[290:302], rtol=0, atol=1e-15)


@pytest.mark.parametrize(("rate", "megabytes"), [(655349, 60), (999983, 60), (655350, 120), (16001, 120)])
def test_awkward_rates_stay_small(rate, megabytes):
    """The first two share no factor with 16000: a table of the kernel would take gigabytes, so there is none."""
    x = tone(1000, rate, 0.04).astype(np.float32)
    tracemalloc.start()
    y = resample(x, rate, 16000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert y.shape == (640,)
    assert y.dtype == np.float32
    assert peak < megabytes * 1e6  # measured: 18 where there is no table, at most 60 where there is
    assert np.abs(y - tone(1000, 16000, 0.04))[200:-200].max() < 1e-4  # the pass band's ripple


def test_resampling_to_the_same_rate_changes_nothing():
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    y = resample(x, 22050, 22050)
    assert np.array_equal(y, x)
    assert np.shares_memory(y, x)


# --- in pieces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rate", "most_taps"),
    [*((rate, MOST_TAPS) for rate in (8000, 11025, 16000, 22050, 44100, 48000, 96000, 1009)), (44100, 0)],
)
def test_pieces_give_the_same_bits(monkeypatch, rng, rate, most_taps, dtype):
    """Every sum has the same terms in the same order, whatever piece its samples came in."""
    monkeypatch.setattr(HOME, "MOST_TAPS", most_taps)  # with 0 there is no table
    monkeypatch.setattr(HOME, "FEWEST", 1)  # turn each stretch into y as soon as the margins allow it
    up, down = Fraction(16000, rate).as_integer_ratio()
    margin = down * math.ceil(LOBES * max(up, down) / (up * down))
    samples = 6 * margin + 2 * down + 12345 % down + 7
    x = rng.uniform(-1, 1, samples).astype(dtype)
    whole = resample(x, rate, 16000)
    for sizes in ([samples], [1, 5, 0, 3 * margin, samples], [2 * margin + 1] * 4):
        edges = np.minimum(np.cumsum([0, *sizes]), samples)
        pieces = [x[a:b] for a, b in pairwise([*edges, samples])]
        y = list(resample_pieces(iter(pieces), rate, 16000))
        np.testing.assert_array_equal(np.concatenate(y), whole)
        assert all(part.dtype == dtype for part in y)
    assert rate == 16000 or len(y) > 1  # the last sizes did make more than one stretch


@pytest.mark.parametrize("samples", [1, 2, 3, 22, 441, 442, 1001, 1323])
def test_pieces_round_halves_as_the_whole_does(monkeypatch, samples):
    """From 32 kHz an odd number of samples makes a half: the parity of what went before must not tip it."""
    monkeypatch.setattr(HOME, "FEWEST", 1)
    x = np.ones(samples, np.float32)
    for rate in (32000, 44100):
        y = np.concatenate(list(resample_pieces(np.array_split(x, 3), rate, 16000)))
        assert len(y) == round(samples * 16000 / rate)


def test_pieces_need_little_memory(rng):
    """A minute of 48 kHz: 11.5 MB of float32 that never stand there at once."""
    second = rng.uniform(-1, 1, 48000).astype(np.float32)
    resample(second, 48000, 16000)  # imports
    tracemalloc.start()
    samples = sum(map(len, resample_pieces((second for _ in range(60)), 48000, 16000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples == 960_000
    assert peak < 3e6  # measured: 1.3e6, two pieces in and one out
