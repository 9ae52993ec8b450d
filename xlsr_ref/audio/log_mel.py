"""Log-mel features: a recording becomes rows of energies in bands of pitch, two neighbouring frames to a row.

    frame     400 samples, 160 apart, times 2¹⁵; less their mean; x_i − 0.97 x_{i−1}; times the Povey window, Hann^0.85
    energy    ln max(Σ_k filter_k |FFT_512|²_k, 2⁻²³)          80 triangles, as wide as each other in mel
    mel       1127 ln(1 + f / 700)                             the scale of Kaldi; 20 Hz to half the sampling rate
    feature   (energy − mean) / sqrt(var + 1e-7)               of each band over the recording; var with frames − 1
    row t     frames 2t and 2t + 1, side by side               one row every 20 ms

An odd last frame gets a partner of `padding_value`, and its row counts like any other, as in transformers without an
attention mask; with one, transformers masks that row. As there, all that follows the logarithm is float32.
Where: transformers' SeamlessM4TFeatureExtractor; Povey et al. 2011, Kaldi. Letters: L samples, n frames, M bands.
"""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.audio.array import require_finite
from xlsr_ref.audio.chunks import cut
from xlsr_ref.audio.preprocessor import extractor_settings, rate_of
from xlsr_ref.errors import AudioError, ConfigError

FRAME, STEP, FFT = 400, 160, 512  # samples of a frame, from one to the next, and of the transform
FLOOR = 1.192092955078125e-07  # 2⁻²³: the least energy
PAIR = 2  # frames are padded to a whole number of pairs, whatever the stride
BLOCK = 2048  # frames that are computed at once
LARGEST = 1024  # bands, and frames of a row


@dataclass(frozen=True)
class LogMel:
    """What a model expects of its input. The defaults are those of transformers' SeamlessM4TFeatureExtractor."""

    sampling_rate: int = 16000  # Hz
    num_mel_bins: int = 80  # M
    stride: int = 2  # frames of a row
    padding_value: float = 0.0  # of what is put beside an odd last frame, after normalising

    def normalised(self, x: np.ndarray) -> np.ndarray:
        """A whole recording ``x`` (L,) as the network takes it: (rows, stride · M), in the dtype of ``x``."""
        return self.features([x], len(x), x.dtype)

    def features(self, pieces: Iterable[np.ndarray], samples: int, dtype: Any) -> np.ndarray:
        """The same of a recording of so many ``samples`` that comes in ``pieces`` (n,): it is never whole in memory.

        Raises AudioError for fewer than two frames, whose variance is none, and for NaN or Inf.
        """
        n = frames(samples)
        if n < 2:
            raise AudioError(f"{samples} samples make {n} frames of {FRAME}: give at least {FRAME + STEP} samples")
        starts = range(0, n, BLOCK)
        parts = [slice(start * STEP, (min(start + BLOCK, n) - 1) * STEP + FRAME) for start in starts]
        energies = np.concatenate(
            [log_energies(part, self.sampling_rate, self.num_mel_bins) for part in cut(pieces, parts)]
        )
        return rows_of(energies, self.stride, self.padding_value).astype(dtype)

    @classmethod
    def from_folder(cls, folder: str | Path) -> LogMel:
        """The settings in a model's folder. Raises ConfigError, naming the file: see extractor_settings."""
        path, settings = extractor_settings(folder, "SeamlessM4TFeatureExtractor")
        bands = settings.get("num_mel_bins", settings.get("feature_size", cls.num_mel_bins))
        stride, value = settings.get("stride", cls.stride), settings.get("padding_value", cls.padding_value)
        for name, given, whole in (
            ("num_mel_bins", bands, True),
            ("feature_size", settings.get("feature_size", bands), True),
            ("stride", stride, True),
            ("padding_value", value, False),
        ):
            fine = type(given) is int and 1 <= given <= LARGEST if whole else type(given) in (int, float)
            if not fine or not np.isfinite(given):
                wanted = f"a whole number from 1 to {LARGEST}" if whole else "a number"
                raise ConfigError(f"{path}: {name} is {reprlib.repr(given)}; it should be {wanted}")
        if settings.get("feature_size", bands) != bands:
            raise ConfigError(f"{path}: feature_size is {settings['feature_size']}, but num_mel_bins is {bands}")
        if settings.get("padding_side", "right") != "right":
            raise ConfigError(f"{path}: padding_side is {reprlib.repr(settings['padding_side'])}; only right is known")
        return cls(rate_of(path, settings, cls.sampling_rate), bands, stride, float(value))


def frames(samples: int) -> int:
    """How many frames of 400 samples begin 160 apart in a recording; what is left at its end is dropped."""
    return (samples - FRAME) // STEP + 1 if samples >= FRAME else 0


def log_energies(x: np.ndarray, rate: int, bands: int) -> np.ndarray:
    """The logarithm of the energy in each band of every frame of ``x`` (L,) at ``rate`` Hz: (n, M) float32."""
    require_finite(x, rate)
    wide = x.astype(np.float32).astype(np.float64) * 2**15  # as 16-bit samples; transformers takes float32
    framed = np.lib.stride_tricks.sliding_window_view(wide, FRAME)[::STEP]  # (n, 400)
    framed = framed - framed.mean(axis=1, keepdims=True)
    framed[:, 1:] -= 0.97 * framed[:, :-1]
    framed[:, 0] *= 1 - 0.97
    spectrum = np.fft.rfft(framed * povey_window(), FFT)  # (n, 257)
    power = np.abs(spectrum.astype(np.complex64), dtype=np.float64) ** 2  # rounded as transformers does
    return np.log(np.maximum(power @ mel_filters(rate, bands), FLOOR)).astype(np.float32)


def rows_of(energies: np.ndarray, stride: int, padding_value: float = 0.0) -> np.ndarray:
    """The features (rows, stride · M) of a whole recording's ``energies`` (n, M): normalised, then side by side."""
    n, M = energies.shape
    bands = np.ascontiguousarray(energies.T)  # (M, n)  summed as transformers does, band by band
    mean, var = bands.mean(axis=1, keepdims=True), bands.var(axis=1, ddof=1, keepdims=True)
    y = np.full((n + n % PAIR, M), padding_value, energies.dtype)
    y[:n] = ((bands - mean) / np.sqrt(var + energies.dtype.type(1e-7))).T
    rows = len(y) // stride
    return y[: rows * stride].reshape(rows, stride * M)


@functools.cache
def povey_window() -> np.ndarray:
    """The window of a frame (400,): Hann's, symmetric, to the power 0.85, so it falls less steeply at its ends."""
    return np.hanning(FRAME) ** 0.85


@functools.cache
def mel_filters(rate: int, bands: int) -> np.ndarray:
    """How much each bin of the spectrum counts in each band: (257, M). Straight lines in mel, 0 beyond a band."""
    edges = np.linspace(mel(20), mel(rate // 2), bands + 2)  # of band m: edges m, m + 1 (its peak), m + 2
    bins = mel(np.arange(FFT // 2 + 1) * (rate / FFT))[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling))


def mel(hertz: Any) -> Any:
    """Kaldi's scale of pitch: nearly linear below 700 Hz, logarithmic above."""
    return 1127 * np.log(1 + np.asarray(hertz) / 700)
