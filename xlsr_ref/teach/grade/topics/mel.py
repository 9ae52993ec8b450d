"""Exercises: the features of Wav2Vec2-BERT (audio/log_mel.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.audio import log_mel
from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise


def mel_filterbank(rate, bands):
    """Triangles on the mel scale: how much each bin of a spectrum counts in each band.

        mel(f) = 1127 ln(1 + f / 700)          bins k = 0 … 256 stand at k · rate / 512 Hz

    bands + 2 edges lie equally far apart in mel, from 20 Hz to rate // 2. Band m rises in a straight line *in mel* from
    0 at edge m to 1 at edge m + 1, falls to 0 at edge m + 2, and is 0 elsewhere. Return (257, bands), float64.
    Source: Povey et al. 2011 (Kaldi); the features of Wav2Vec2-BERT.
    """
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(mel(20), mel(rate // 2), bands + 2)
    places = mel(np.arange(257) * rate / 512)
    weights = np.zeros((257, bands))
    for m in range(bands):
        left, peak, right = edges[m : m + 3]
        rising = (places - left) / (peak - left)
        falling = (right - places) / (right - peak)
        weights[:, m] = np.clip(np.minimum(rising, falling), 0, None)
    return weights


def feature_rows(energies):
    """From log energies to rows of features: each band to mean 0 and variance 1, then two frames to a row.

        z[t, m] = (e[t, m] - mean_m) / sqrt(var_m + 1e-7)          var_m: Σ_t (e[t, m] - mean_m)² / (n - 1)

    energies e is (n, M), n at least 2. Where n is odd, a frame of zeros follows the last z. Row t of the result is z of
    frame 2t, then of frame 2t + 1. Return (⌈n/2⌉, 2M), in the dtype of energies.
    Source: the features of Wav2Vec2-BERT.
    """
    n = len(energies)
    mean = energies.mean(axis=0)
    var = ((energies - mean) ** 2).sum(axis=0) / (n - 1)
    z = (energies - mean) / np.sqrt(var + 1e-7)
    if n % 2:
        z = np.concatenate([z, np.zeros_like(z[:1])])
    return np.concatenate([z[0::2], z[1::2]], axis=1)


def _filters(rng: np.random.Generator) -> tuple[Case, ...]:
    return cases({"usual": (16000, 80), "few bands": (16000, 7), "another rate": (8000, 20), "one band": (22050, 1)})


def _energies(rng: np.random.Generator) -> tuple[Case, ...]:
    tries = {
        "usual": (rng.standard_normal((8, 5)) * 2 + 3,),
        "odd number of frames": (rng.standard_normal((7, 3)) - 1,),
        "two frames": (rng.standard_normal((2, 4)),),
        "nearly constant": (5 + 1e-4 * rng.standard_normal((6, 3)),),
    }
    return cases(tries, 1e-5, {"nearly constant": 1e-2})


MEL_FILTERBANK = exercise(
    mel_filterbank,
    log_mel.mel_filters,
    module="audio.log_mel",
    notebook="17",
    title="Mel filters",
    battery=_filters,
    mistakes={
        "triangles are linear in Hz, not in mel": (
            "places = mel(np.arange(257) * rate / 512)",
            "edges = 700 * (np.exp(edges / 1127) - 1)\n    places = np.arange(257) * rate / 512",
        ),
        "Slaney's mel scale": (
            "1127 * np.log(1 + hertz / 700)",
            "np.where(np.asarray(hertz) < 1000, 3 * np.asarray(hertz) / 200, "
            "15 + 27 * np.log(np.maximum(hertz, 1e-9) / 1000) / np.log(6.4))",
        ),
        "the lowest edge is 0 Hz, not 20": ("mel(20)", "mel(0)"),
        "triangles of equal area, not of equal height": (
            "np.clip(np.minimum(rising, falling), 0, None)",
            "np.clip(np.minimum(rising, falling), 0, None) * 2 / (right - left)",
        ),
        "edges in equal steps of Hz": (
            "edges = np.linspace(mel(20), mel(rate // 2), bands + 2)",
            "edges = mel(np.linspace(20, rate // 2, bands + 2))",
        ),
        "the highest edge is the rate, not half of it": ("mel(rate // 2)", "mel(rate)"),
        "one edge too few": ("bands + 2)\n", "bands + 1)\n    edges = np.append(edges, 2 * edges[-1] - edges[-2])\n"),
        "no triangle stops at 0": ("np.clip(np.minimum(rising, falling), 0, None)", "np.minimum(rising, falling)"),
    },
)

FEATURE_ROWS = exercise(
    feature_rows,
    lambda energies: log_mel.rows_of(energies, 2),
    module="audio.log_mel",
    notebook="17",
    title="Features of two frames",
    battery=_energies,
    mistakes={
        "variance divided by n, not by n − 1": ("/ (n - 1)", "/ n"),
        "mean and variance over all bands together": (
            "    mean = energies.mean(axis=0)\n    var = ((energies - mean) ** 2).sum(axis=0) / (n - 1)\n",
            "    mean = energies.mean()\n    var = ((energies - mean) ** 2).sum() / (energies.size - 1)\n",
        ),
        "frame t beside frame t + n/2, not beside its neighbour": (
            "[z[0::2], z[1::2]]",
            "[z[: len(z) // 2], z[len(z) // 2 :]]",
        ),
        "1e-7 forgotten": (" + 1e-7", ""),
        "an odd last frame is dropped": ("z = np.concatenate([z, np.zeros_like(z[:1])])", "z = z[:-1]"),
        "an odd last frame is repeated, not followed by zeros": ("np.zeros_like(z[:1])", "z[-1:]"),
        "the frame of zeros comes first": ("[z, np.zeros_like(z[:1])]", "[np.zeros_like(z[:1]), z]"),
        "mean and variance with the frame of zeros": (
            "    n = len(energies)\n",
            "    if len(energies) % 2:\n"
            "        energies = np.concatenate([energies, np.zeros_like(energies[:1])])\n"
            "    n = len(energies)\n",
        ),
        "mean and variance of each frame, over its bands": (
            "    mean = energies.mean(axis=0)\n    var = ((energies - mean) ** 2).sum(axis=0) / (n - 1)\n",
            "    mean = energies.mean(axis=1, keepdims=True)\n    var = energies.var(axis=1, ddof=1, keepdims=True)\n",
        ),
        "divided by the variance, not by its root": ("np.sqrt(var + 1e-7)", "(var + 1e-7)"),
        "the mean of the squares, E[x²], in place of the variance": ("((energies - mean) ** 2)", "(energies**2)"),
        "the bands of two frames interleaved": (
            "np.concatenate([z[0::2], z[1::2]], axis=1)",
            "np.stack([z[0::2], z[1::2]], axis=2).reshape(len(z) // 2, -1)",
        ),
        "the mean is not taken out": ("z = (energies - mean)", "z = energies"),
        "the two frames of a row exchanged": ("[z[0::2], z[1::2]]", "[z[1::2], z[0::2]]"),
    },
)
