"""Normalising: zero mean and unit variance over a whole recording, even one that is read in pieces.

    y = (x − mean) / sqrt(var + 1e-7)           var: of the population, Σ (x − mean)² / L

Mean and variance are taken in float64, and the result is rounded once. ``measure`` reads a recording once, in pieces,
and ``rescale`` then normalises any part of it as the whole would be.
Where: wav2vec 2.0 §2, "normalized to zero mean and unit variance". Letters: L samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from xlsr_ref.audio.array import require_finite
from xlsr_ref.audio.resample import float_type
from xlsr_ref.errors import AudioError
from xlsr_ref.unmasked import refuse_masked

BLOCK = (
    1 << 18
)  # samples of a stretch, whose moments are taken at once: little of a recording is in float64 at any time


class Scale(NamedTuple):
    """What normalising must know of a whole recording."""

    samples: int
    mean: float
    std: float  # sqrt(var + 1e-7)


class Sums(NamedTuple):
    """What is known of a recording as far as it was heard: its samples, their mean, and squares = Σ (x − mean)².

        mean = m₁ + δ n₂/n      squares = s₁ + s₂ + δ² n₁ n₂/n      δ = m₂ − m₁, n = n₁ + n₂

    joins two stretches that follow each other (Chan, Golub & LeVeque 1983). ops/norm.py's ``joined_moments`` adds the
    same three terms of squares in another order, which would change the last bit here.
    """

    samples: int
    mean: float
    squares: float

    def joined(self, stretch: np.ndarray) -> Sums:
        """The same with a ``stretch`` (n,) of samples more; n may be 0."""
        if len(stretch) == 0:
            return self
        wide = stretch.astype(np.float64)
        its_mean = wide.mean()
        delta, total = its_mean - self.mean, self.samples + len(wide)
        squares = np.square(wide - its_mean).sum() + delta * delta * (self.samples * len(wide) / total)
        return Sums(total, self.mean + delta * (len(wide) / total), self.squares + squares)

    def scale(self) -> Scale:
        """What normalises the recording as far as it was heard."""
        return Scale(self.samples, float(self.mean), math.sqrt(self.squares / max(self.samples, 1) + 1e-7))


def normalise(x: np.ndarray, sampling_rate: int | None = None) -> np.ndarray:
    """(x - mean) / sqrt(var + 1e-7) over all of ``x`` (L,), population variance, in x's dtype; silence stays silence.

    Mean and variance are taken in float64 and the result is rounded once. Raises AudioError for no samples, and for
    NaN or Inf (with its second where ``sampling_rate`` is given). As Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
    """
    refuse_masked(x, "the samples", AudioError)
    float_type(x.dtype)
    if len(x) == 0:
        raise AudioError("there are no samples to normalise")
    require_finite(x, sampling_rate)
    return rescale(x, measure([x]))


def measure(pieces: Iterable[np.ndarray]) -> Scale:
    """The scale of a recording that comes in ``pieces`` (n,) of any sizes, in float64. Their sizes change no bit."""
    so_far = Sums(0, 0.0, 0.0)
    for stretch in _even(pieces, BLOCK):
        so_far = so_far.joined(stretch)
    return so_far.scale()


def rescale(x: np.ndarray, scale: Scale) -> np.ndarray:
    """``x`` (n,), a part of the recording that has this ``scale``, normalised as the whole would be."""
    y = np.empty_like(x)
    for start in range(0, len(x), BLOCK):  # little of it is in float64 at any time
        y[start : start + BLOCK] = (x[start : start + BLOCK].astype(np.float64) - scale.mean) / scale.std
    return y


def _even(pieces: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The samples of ``pieces`` in stretches of ``length``; the last one is what remains."""
    held: list[np.ndarray] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= length:
            x = np.concatenate(held) if len(held) > 1 else piece
            whole = len(x) // length * length
            yield from (x[start : start + length] for start in range(0, whole, length))
            held = [x[whole:]]
    if any(map(len, held)):
        yield np.concatenate(held)
