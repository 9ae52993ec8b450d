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
    tries["strides that differ much"] = (1000 + int(rng.integers(0, 7)), (10, 3, 3), (7, 2, 3))
    tries["one frame is nearly there"] = (104, (4, 3), (5, 2))
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
        "scaled by the largest sample: peak normalisation": [
            ("(x - mean) / np.sqrt(var + 1e-7)", "x / np.abs(x).max()"),
            ("(x - mean) / np.sqrt(var + 1e-7)", "x / (np.abs(x).max() or 1.0)"),
            ("(x - mean) / np.sqrt(var + 1e-7)", "x / (np.abs(x).max() + 1e-7)"),
        ],
        "the mean taken away, then scaled by the largest sample: peak normalisation": [
            ("np.sqrt(var + 1e-7)", "np.abs(x - mean).max()"),
            ("np.sqrt(var + 1e-7)", "(np.abs(x - mean).max() or 1.0)"),
            ("np.sqrt(var + 1e-7)", "(np.abs(x - mean).max() + 1e-7)"),
        ],
        "from the least sample, 0, to the largest, 1": [
            ("(x - mean) / np.sqrt(var + 1e-7)", "(x - x.min()) / np.float64(x.max() - x.min())"),
            ("(x - mean) / np.sqrt(var + 1e-7)", "(x - x.min()) / (x.max() - x.min() + 1e-7)"),
        ],
        "the mean of the squares, E[x²], in place of the variance": ("((x - mean) ** 2)", "(x**2)"),
        "only the mean is taken away": ("(x - mean) / np.sqrt(var + 1e-7)", "x - mean"),
        "the median in place of the mean": ("mean = x.mean()", "mean = np.median(x)"),
        "the root of the energy, not of the mean square": (
            "np.sqrt(var + 1e-7)",
            "np.sqrt(((x - mean) ** 2).sum() + 1e-7)",
        ),
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
        "rounded to the nearest, not down": [
            ("(n - kernel) // stride + 1", "round((n - kernel) / stride) + 1"),
            ("(n - kernel) // stride + 1", "math.floor((n - kernel) / stride + 0.5) + 1"),
        ],
        "all strides multiplied, all kernels added": (
            "    return n\n",
            "    total = math.prod(conv_stride)\n    return max((samples - sum(conv_kernel)) // total + 1, 0)\n",
        ),
        "stride forgotten: kernels only": ("(n - kernel) // stride + 1", "n - kernel + 1"),
        "only the first layer": (
            "    return n\n",
            "    return (samples - conv_kernel[0]) // conv_stride[0] + 1 if conv_kernel else samples\n",
        ),
        "kernel forgotten: samples / stride": ("(n - kernel) // stride + 1", "n // stride"),
        "padded: no frame is lost at the ends": ("(n - kernel) // stride + 1", "(n - 1) // stride + 1"),
        "too few samples are not looked for": ("        if n < kernel:\n            return 0\n", ""),
        "strides in the order from last to first": (
            "zip(conv_kernel, conv_stride)",
            "zip(conv_kernel, conv_stride[::-1])",
        ),
    },
)
