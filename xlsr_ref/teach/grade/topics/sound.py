"""Exercises: normalising a recording, and how many frames it has (audio/scale.py, ops/conv_length.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref import audio
from xlsr_ref.ops import conv_length
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise

FLOAT32 = 2e-6  # some ten roundings of 6e-8
LARGE_MEAN = 1e-3  # the mean of numbers near 1000 is known to a few times 3e-5 in float32


def normalise(x):
    """Zero mean, unit variance: what every recording is brought to before the network takes it.

        y = (x - mean) / sqrt(var + 1e-7)

    x is (L,), one channel of samples; mean and var (population) are of the whole recording. Silence stays silence.
    Return y (L,), in the dtype of x. Source: Wav2Vec2FeatureExtractor in transformers; notebook 01.
    """
    mean = x.mean()
    var = ((x - mean) ** 2).mean()
    return (x - mean) / np.sqrt(var + 1e-7)


def frames(samples, conv_kernel, conv_stride):
    """How many frames the feature encoder makes of a number of samples.

        n → ⌊(n - kernel) / stride⌋ + 1      layer by layer

    samples is a whole number, conv_kernel and conv_stride are tuples with one number for each layer. Return a whole
    number: 0 where a layer has fewer frames than its kernel is long. (16000 samples make 49 frames in wav2vec 2.0.)
    Source: wav2vec 2.0 §2; notebook 01.
    """
    n = samples
    for kernel, stride in zip(conv_kernel, conv_stride):
        if n < kernel:
            return 0
        n = (n - kernel) // stride + 1
    return n


def _samples(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (0.1 * rng.standard_normal(400) + 0.02,),
        "one sample": (rng.standard_normal(1),),
        "odd sizes": (rng.standard_normal(37),),
        "few samples": (rng.standard_normal(3),),
        "quiet": (1e-4 * rng.standard_normal(50),),
        "large mean": (rng.standard_normal(64) + 1000,),
        "silence": (np.zeros(16),),
    }
    return cases(tries, FLOAT32, {"large mean": LARGE_MEAN, "quiet": 1e-5})


def _frames(rng: np.random.Generator) -> tuple[Case, ...]:
    kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
    tries: dict[str, tuple] = {f"{n} samples": (n, kernels, strides) for n in (16000, 400, 719, 720, 3280, 240000)}
    tries |= {f"{n} samples are too few": (n, kernels, strides) for n in (399, 9, 0)}
    tries["one layer"] = (int(rng.integers(20, 90)), (7,), (3,))
    tries["no layer"] = (int(rng.integers(5, 90)), (), ())
    tries["strides above the kernels"] = (int(rng.integers(500, 900)), (3, 2), (4, 5))
    return cases(tries)


NORMALISE = exercise(
    normalise,
    audio.normalise,
    module="audio",
    notebook="01",
    title="Zero mean, unit variance",
    battery=_samples,
    mistakes={
        "n-1 variance": [
            ("((x - mean) ** 2).mean()", "((x - mean) ** 2).sum() / np.float64(len(x) - 1)"),
            ("((x - mean) ** 2).mean()", "((x - mean) ** 2).sum() / max(len(x) - 1, 1)"),
        ],
        "eps outside the root": ("np.sqrt(var + 1e-7)", "(np.sqrt(var) + 1e-7)"),
        "no eps": ("np.sqrt(var + 1e-7)", "np.sqrt(var)"),
        "eps is 1e-5, that of layer norm": ("1e-7", "1e-5"),
        "the mean is not taken away": ("return (x - mean)", "return x"),
        "divided by the variance, not by its root": ("np.sqrt(var + 1e-7)", "(var + 1e-7)"),
        "scaled by the largest sample": ("(x - mean) / np.sqrt(var + 1e-7)", "x / np.abs(x).max()"),
        "variance as mean of squares minus square of the mean": ("((x - mean) ** 2).mean()", "(x**2).mean() - mean**2"),
    },
    rounding=("variance as mean of squares minus square of the mean",),
)

FRAMES = exercise(
    frames,
    conv_length.frames,
    module="ops.conv_length",
    notebook="01",
    title="How many frames",
    battery=_frames,
    returns=("frames",),
    mistakes={
        "+ 1 forgotten": ("// stride + 1", "// stride"),
        "rounded up, not down": ("(n - kernel) // stride + 1", "-((kernel - n) // stride) + 1"),
        "kernel forgotten: samples / stride": ("(n - kernel) // stride + 1", "n // stride"),
        "padded: no frame is lost at the ends": ("(n - kernel) // stride + 1", "(n - 1) // stride + 1"),
        "too few samples are not looked for": ("        if n < kernel:\n            return 0\n", ""),
        "strides in the order from last to first": (
            "zip(conv_kernel, conv_stride)",
            "zip(conv_kernel, conv_stride[::-1])",
        ),
    },
)
