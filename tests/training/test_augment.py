"""Augmentation: what it does to the sound, that a generator decides all of it, and what it leaves alone."""

import numpy as np
import pytest

from xlsr_ref.errors import TrainingError
from xlsr_ref.training.augment import Augmentation, augment

RATE = 16000
ALL = Augmentation(
    speeds=(0.9, 1.0, 1.1),
    room=(0.1, 0.4),
    room_chance=0.5,
    colour=4.0,
    cutoff=(3000.0, 8000.0),
    microphone_chance=0.5,
    noise=(5.0, 20.0),
    noise_chance=0.7,
    silence=0.1,
    silence_chance=0.7,
)


@pytest.fixture
def x(rng):
    return rng.standard_normal(4000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_generator_decides_all_and_the_input_stays(x, dtype):
    x = x.astype(dtype)
    kept, lengths = x.copy(), set()
    for seed in range(20):
        y = augment(x, RATE, ALL, np.random.default_rng(seed))
        again = augment(x, RATE, ALL, np.random.default_rng(seed))
        np.testing.assert_array_equal(y, again)
        assert y.dtype == dtype
        lengths.add(len(y))
    np.testing.assert_array_equal(x, kept)
    assert len(lengths) > 5


def test_by_default_nothing_happens(x, rng):
    assert augment(x, RATE, Augmentation(), rng) is x


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.1, 1.5])
def test_faster_is_shorter_and_higher(rng, speed):
    time = np.arange(RATE) / RATE
    y = augment(np.sin(2 * np.pi * 200 * time), RATE, Augmentation(speeds=(speed,)), rng)
    assert len(y) == int(RATE / speed)
    expected = np.sin(2 * np.pi * 200 * speed * np.arange(len(y)) / RATE)
    # a straight line misses a sine by at most (2π f / rate)² / 8; the last sample has nothing after it
    np.testing.assert_allclose(y[:-2], expected[:-2], atol=(2 * np.pi * 200 / RATE) ** 2 / 8)


def test_every_speed_has_its_turn(x, rng):
    lengths = [len(augment(x, RATE, Augmentation(speeds=(0.5, 1.0, 2.0)), rng)) for _ in range(300)]
    assert set(lengths) == {8000, 4000, 2000}
    assert min(lengths.count(length) for length in (8000, 4000, 2000)) > 70  # 100 of each, four deviations


def test_noise_lies_so_many_decibels_below(x, rng):
    x = np.tile(3 * x, 10)
    added = augment(x, RATE, Augmentation(noise=(12.0, 12.0), noise_chance=1.0), rng) - x
    assert 20 * np.log10(x.std() / added.std()) == pytest.approx(12, abs=0.1)  # 40,000 draws: 0.03 dB is one deviation
    assert abs(np.corrcoef(x, added)[0, 1]) < 0.03
    silent = np.zeros(100)
    np.testing.assert_array_equal(augment(silent, RATE, Augmentation(noise_chance=1.0), rng), silent)


def test_silence_comes_before_and_after(x, rng):
    how = Augmentation(silence=0.01, silence_chance=1.0)  # at most 160 samples on either side
    before = []
    for _ in range(200):
        y = augment(x, RATE, how, rng)
        start = int(np.flatnonzero(y)[0])
        before.append((start, len(y) - len(x) - start))
        np.testing.assert_array_equal(y[start : start + len(x)], x)
    for side in zip(*before):
        assert 0 <= min(side) < 20
        assert 140 < max(side) <= 160


def test_chances_are_kept(x, rng):
    how = Augmentation(silence=0.01, silence_chance=0.3)
    changed = [augment(x, RATE, how, rng) is not x for _ in range(500)]
    assert 0.2 < np.mean(changed) < 0.4  # five deviations


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speeds", (1.0, 0.0)),
        ("noise", (10.0,)),
        ("noise", (20.0, 10.0)),
        ("noise_chance", 1.5),
        ("silence", -0.1),
        ("silence_chance", -0.1),
    ],
)
def test_what_cannot_be_is_named(name, value):
    with pytest.raises(TrainingError, match=rf"augment\.{name} must be"):
        Augmentation(**{name: value})


def test_an_echo_falls_by_60_dB_in_t60_and_lies_below_the_sound():
    click, below = np.zeros(2 * RATE), []
    click[0] = 1.0
    for seed in range(30):
        y = augment(click, RATE, Augmentation(room=(0.5, 0.5), room_chance=1.0), np.random.default_rng(seed)) - click
        first, later = y[:400], y[int(0.25 * RATE) : int(0.25 * RATE) + 400]
        assert 20 * np.log10(first.std() / later.std()) == pytest.approx(
            30, abs=2
        )  # of 400 draws 0.3 dB is one deviation
        assert np.abs(y[int(0.5 * RATE) + 1 :]).max() < 1e-9  # rounding of the transform
        below.append(-10 * np.log10(np.sum(y**2)))
    assert 3 <= min(below) < 5
    assert 13 < max(below) <= 15


def test_a_microphone_colours_smoothly_and_ends_at_its_cutoff(rng):
    x = rng.standard_normal(RATE)
    how = Augmentation(colour=6.0, cutoff=(2000.0, 2000.0), microphone_chance=1.0)
    gains = []
    for seed in range(200):
        ratio = np.fft.rfft(augment(x, RATE, how, np.random.default_rng(seed))) / np.fft.rfft(x)
        np.testing.assert_allclose(ratio.imag, 0, atol=1e-9)  # nothing is moved in time
        gains.append(20 * np.log10(ratio.real))
    gains = np.array(gains)
    at = [int(np.searchsorted(np.fft.rfftfreq(RATE, 1 / RATE), f)) for f in (60, 1000, 4000)]
    assert gains[:, at[0]].std() == pytest.approx(6, abs=1)
    assert np.abs(np.diff(gains[:, 60:2000], axis=1)).max() < 1  # from one Hz to the next
    assert gains[:, at[2]].mean() == pytest.approx(-60, abs=2)  # an octave above 2 kHz
    assert abs(gains[:, at[1]].mean()) < 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_rooms_and_microphones_the_draws_are_as_before(x, dtype):
    """Recipes of old give the same bits."""
    how = Augmentation(noise=(10.0, 10.0), noise_chance=1.0)
    rng = np.random.default_rng(5)
    rng.random()
    rng.uniform(10, 10)
    x = x.astype(dtype)
    expected = x + rng.standard_normal(len(x)).astype(dtype) * dtype(x.std() * 10**-0.5)
    np.testing.assert_array_equal(augment(x, RATE, how, np.random.default_rng(5)), expected)
