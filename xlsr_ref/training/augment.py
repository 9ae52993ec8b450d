"""The same words a little different, so that a small corpus goes further.

    speed → room → microphone → noise → silence on either side

Each has a chance of its own, and all is drawn from the generator that is passed in. Where: Ko et al. 2015 (speed), Ko
et al. 2017 (rooms). Letters: L samples, f a frequency in Hz, T60 the seconds in which a room's echo falls by 60 dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from xlsr_ref.errors import TrainingError

ECHO_BELOW = (3.0, 15.0)  # dB
KNOTS = np.geomspace(60.0, 8000.0, 9)  # Hz
SLOPE = 60.0  # dB an octave above the cutoff


@dataclass(frozen=True)
class Augmentation:
    """How much; the default is nothing."""

    speeds: tuple[float, ...] = ()  # one of these, all equally likely; 1.1 is faster, and higher
    room: tuple[float, float] = (0.0, 0.0)  # T60 of a room, from and to
    room_chance: float = 0.0
    colour: float = 0.0  # dB: standard deviation of a microphone's frequency response
    cutoff: tuple[float, float] = (8000.0, 8000.0)  # Hz where a microphone or a line ends, from and to
    microphone_chance: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)  # dB that the speech is above white noise, from and to
    noise_chance: float = 0.0
    silence: float = 0.0  # at most so many seconds on either side
    silence_chance: float = 0.0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("speeds", all(0.1 <= speed <= 10 for speed in self.speeds), "numbers from 0.1 to 10"),
            ("room", len(self.room) == 2 and 0 <= self.room[0] <= self.room[1], "two times in s, the smaller first"),
            ("room_chance", 0 <= self.room_chance <= 1, "a number from 0 to 1"),
            ("colour", self.colour >= 0, "dB, at least 0"),
            (
                "cutoff",
                len(self.cutoff) == 2 and 100 <= self.cutoff[0] <= self.cutoff[1],
                "two frequencies of 100 Hz or more, the smaller first",
            ),
            ("microphone_chance", 0 <= self.microphone_chance <= 1, "a number from 0 to 1"),
            ("noise", len(self.noise) == 2 and self.noise[0] <= self.noise[1], "two numbers of dB, the smaller first"),
            ("noise_chance", 0 <= self.noise_chance <= 1, "a number from 0 to 1"),
            ("silence", self.silence >= 0, "seconds, at least 0"),
            ("silence_chance", 0 <= self.silence_chance <= 1, "a number from 0 to 1"),
        ):
            if not good:
                raise TrainingError(f"augment.{name} must be {wanted}, found {getattr(self, name)}")


def augment(x: np.ndarray, rate: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """From ``x`` (L,) at ``rate`` Hz, before it is normalised, its augmented form (L',) in the same dtype.

    ``x`` itself is not changed; it is what comes back where nothing happens.
    """
    if how.speeds:
        x = _faster(x, float(rng.choice(how.speeds)))
    if how.room_chance and rng.random() < how.room_chance:  # without a draw where the recipe has no rooms
        x = _in_a_room(x, rate, how, rng)
    if how.microphone_chance and rng.random() < how.microphone_chance:
        x = _through_a_microphone(x, rate, how, rng)
    if rng.random() < how.noise_chance:
        decibels = rng.uniform(*how.noise)
        x = x + rng.standard_normal(len(x)).astype(x.dtype) * x.dtype.type(x.std() * 10 ** (-decibels / 20))
    if rng.random() < how.silence_chance:
        x = np.pad(x, tuple(rng.integers(0, int(how.silence * rate) + 1, 2)))
    return x


def _faster(x: np.ndarray, speed: float) -> np.ndarray:
    """Between the samples lies a straight line: good enough for a tenth more or less."""
    if speed == 1:
        return x
    places = np.arange(int(len(x) / speed)) * speed
    return np.interp(places, np.arange(len(x)), x).astype(x.dtype)


def _in_a_room(x: np.ndarray, rate: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """The sound and its echo: noise that falls by 60 dB in T60, together 3 to 15 dB below the sound itself."""
    t60 = rng.uniform(*how.room)
    length = max(1, int(t60 * rate))
    echo = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    echo *= 10 ** (-rng.uniform(*ECHO_BELOW) / 20) / np.sqrt(np.sum(echo**2))
    return x + fftconvolve(x, echo)[: len(x)].astype(x.dtype)


def _through_a_microphone(x: np.ndarray, rate: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response, drawn in dB at nine frequencies, and an end at the cutoff."""
    decibels = rng.normal(0.0, how.colour, len(KNOTS))
    cutoff = rng.uniform(*how.cutoff)
    f = np.maximum(np.fft.rfftfreq(len(x), 1 / rate), KNOTS[0])
    response = np.interp(np.log(f), np.log(KNOTS), decibels) - SLOPE * np.maximum(np.log2(f / cutoff), 0.0)
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (response / 20), len(x)).astype(x.dtype)
