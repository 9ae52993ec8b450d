"""The same words a little different: faster or slower, noisier, with silence around. So a small corpus goes further.

All is drawn from the generator that is passed in. Where: Ko et al. 2015 (speed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlsr_ref.errors import TrainingError


@dataclass(frozen=True)
class Augmentation:
    """How much; the default is nothing."""

    speeds: tuple[float, ...] = ()  # one of these, all equally likely; 1.1 is faster, and higher
    noise: tuple[float, float] = (0.0, 0.0)  # dB that the speech is above white noise, from and to
    noise_chance: float = 0.0
    silence: float = 0.0  # at most so many seconds on either side
    silence_chance: float = 0.0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("speeds", all(0.1 <= speed <= 10 for speed in self.speeds), "numbers from 0.1 to 10"),
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
