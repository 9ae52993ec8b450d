"""Exercises: what sampling, windows and strides do (audio/resample.py, audio/log_mel.py, ops/conv_length.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.ops import conv_length
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise

FLOAT32 = 1e-5  # a sum of some 16 products of float32, squared


def alias(frequency, rate):
    """At which frequency a tone is heard that was sampled too slowly, and without a filter.

        heard = |f - rate · n|,      n: the whole number that makes it least

    frequency f and rate are in Hz, whole numbers. Return the frequency that is heard, from 0 to rate / 2. (A tone of
    10 kHz, sampled at 16 kHz, is heard at 6 kHz.) Source: Shannon 1949; notebook 01.
    """
    n = round(frequency / rate)
    return abs(frequency - rate * n)


def receptive_field(conv_kernel, conv_stride):
    """How many samples one frame of the feature encoder sees.

        R = 1 + Σ_i (kernel_i - 1) · Π_{j < i} stride_j          layer by layer, from the first

    conv_kernel and conv_stride are tuples with one number for each layer. Return a whole number. (Those of wav2vec 2.0
    see 400 samples.) Source: wav2vec 2.0 §4.2; notebook 02.
    """
    field, step = 1, 1
    for kernel, stride in zip(conv_kernel, conv_stride):
        field += (kernel - 1) * step
        step *= stride
    return field


def power_spectrogram(x, window, hop):
    """The power of every frequency in every stretch of a sound: a short-time Fourier transform, squared.

        P[t, k] = | Σ_n window[n] x[t · hop + n] e^(-2πi k n / N) |²          k = 0 … N/2

    x is (L,), window (N,), N even and L at least N; only whole stretches count, T = ⌊(L - N) / hop⌋ + 1 of them.
    np.fft.rfft is the sum. Return P (T, N/2 + 1), in the dtype of x. Source: any text on speech; notebook 01b.
    """
    N = len(window)
    T = (len(x) - N) // hop + 1
    stretches = np.stack([x[t * hop : t * hop + N] for t in range(T)])
    spectrum = np.fft.rfft(stretches * window, axis=1)
    return spectrum.real**2 + spectrum.imag**2


def _tones(rng: np.random.Generator) -> tuple[Case, ...]:
    tries: dict[str, tuple] = {
        "usual": (10000, 16000),
        "just above half of the rate": (8100, 16000),
        "below half of the rate": (3000, 16000),
        "above the rate": (17500, 16000),
        "far above the rate": (16000 * int(rng.integers(2, 6)) + 700, 16000),
        "just below a multiple": (47300, 16000),
        "another rate": (9300, 8000),
        "a multiple of the rate": (32000, 16000),
        "half of the rate": (4000, 8000),
    }
    return cases(tries)


def _layers(rng: np.random.Generator) -> tuple[Case, ...]:
    tries: dict[str, tuple] = {
        "usual": ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)),
        "two layers": ((4, 7), (3, 2)),
        "one layer": ((int(rng.integers(3, 9)),), (2,)),
        "strides of one": ((3, 5, 2), (1, 1, 1)),
        "kernels of one": ((1, 1, 1), (2, 3, 2)),
        "strides above the kernels": ((2, 3, 2), (4, 5, 3)),
        "no layer": ((), ()),
        "any": (tuple(rng.integers(2, 7, 4).tolist()), tuple(rng.integers(1, 5, 4).tolist())),
    }
    return cases(tries)


def _sounds(rng: np.random.Generator) -> tuple[Case, ...]:
    def drawn(L: int, N: int, hop: int) -> tuple:
        return rng.standard_normal(L) + 0.2, 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(N) + 0.5) / N), hop

    tries = {
        "usual": drawn(50, 16, 6),
        "one stretch": drawn(12, 12, 5),
        "samples left over": drawn(45, 8, 7),
        "hop above the window": drawn(60, 8, 11),
        "hop of one": drawn(14, 8, 1),
        "a window of 2": drawn(9, 2, 2),
    }
    return cases(tries, FLOAT32)


def _their_powers(x: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    views = np.lib.stride_tricks.sliding_window_view(x, len(window))[::hop]
    return np.abs(np.fft.rfft(views * window)) ** 2


ALIAS = exercise(
    alias,
    lambda frequency, rate: min(frequency % rate, -frequency % rate),
    module="audio.resample",
    notebook="01",
    title="What is heard of a tone that was sampled too slowly",
    battery=_tones,
    returns=("heard",),
    mistakes={
        "the rest after the rate: not turned back at half of it": ("abs(frequency - rate * n)", "frequency % rate"),
        "the rest after half of the rate": ("abs(frequency - rate * n)", "frequency % (rate // 2)"),
        "only once less the rate": ("n = round(frequency / rate)", "n = 1"),
        "with a sign": ("abs(frequency - rate * n)", "frequency - rate * n"),
        "rounded up": ("round(frequency / rate)", "-(-frequency // rate)"),
        "turned back once at half of the rate": (
            "abs(frequency - rate * n)",
            "frequency if 2 * frequency <= rate else rate - frequency",
        ),
        "multiples of half of the rate": ("rate * n", "rate // 2 * round(2 * frequency / rate)"),
        "at most half of the rate: cut off": ("abs(frequency - rate * n)", "min(frequency, rate // 2)"),
    },
)

RECEPTIVE_FIELD = exercise(
    receptive_field,
    conv_length.receptive_field,
    module="ops.conv_length",
    notebook="02",
    title="The receptive field",
    battery=_layers,
    returns=("samples",),
    mistakes={
        "the first sample forgotten: no 1 +": ("field, step = 1, 1", "field, step = 0, 1"),
        "kernel in place of kernel − 1": ("(kernel - 1) * step", "kernel * step"),
        "strides forgotten": ("        step *= stride\n", ""),
        "a layer's own stride counts, too": (
            "        field += (kernel - 1) * step\n        step *= stride\n",
            "        step *= stride\n        field += (kernel - 1) * step\n",
        ),
        "from the last layer to the first": (
            "zip(conv_kernel, conv_stride)",
            "zip(conv_kernel[::-1], conv_stride[::-1])",
        ),
        "strides are added, not multiplied": ("step *= stride", "step += stride"),
        "the kernels multiplied": ("field += (kernel - 1) * step", "field *= kernel"),
        "this is the hop: the strides multiplied": ("return field", "return step"),
        "the stride of the layer before only": ("step *= stride", "step = stride"),
    },
)

POWER_SPECTROGRAM = exercise(
    power_spectrogram,
    _their_powers,
    module="audio.log_mel",
    notebook="01b",
    title="A power spectrogram",
    battery=_sounds,
    mistakes={
        "the magnitude, not its square": (
            "spectrum.real**2 + spectrum.imag**2",
            "np.sqrt(spectrum.real**2 + spectrum.imag**2)",
        ),
        "window forgotten": ("stretches * window", "stretches"),
        "the window squared": ("stretches * window", "stretches * window**2"),
        "only the real part": ("spectrum.real**2 + spectrum.imag**2", "spectrum.real**2"),
        "divided by N": ("spectrum.real**2 + spectrum.imag**2", "(spectrum.real**2 + spectrum.imag**2) / N"),
        "divided by N²": ("spectrum.real**2 + spectrum.imag**2", "(spectrum.real**2 + spectrum.imag**2) / N**2"),
        "stretches side by side: the hop is N": (
            "T = (len(x) - N) // hop + 1",
            "hop = N\n    T = (len(x) - N) // hop + 1",
        ),
        "all N frequencies: fft, not rfft": ("np.fft.rfft(", "np.fft.fft("),
        "one stretch too few": ("// hop + 1", "// hop"),
        "the logarithm": (
            "return spectrum.real**2 + spectrum.imag**2",
            "return np.log(spectrum.real**2 + spectrum.imag**2)",
        ),
        "the mean of each stretch is taken out": (
            "stretches * window",
            "(stretches - stretches.mean(axis=1, keepdims=True)) * window",
        ),
        "transformed along time: the wrong axis": ("axis=1)\n    return", "axis=0)\n    return"),
        "transposed: a row for each frequency": (
            "return spectrum.real**2 + spectrum.imag**2",
            "return (spectrum.real**2 + spectrum.imag**2).T",
        ),
    },
)
