"""What a model expects of its input: the sampling rate, and whether a recording is normalised.

    processor_config.json (its feature_extractor)   or else   preprocessor_config.json

A network was trained at one rate and on one scale, so both are fixed before the first convolution. The defaults, and
the order in which the files are looked at, are those of transformers' Wav2Vec2FeatureExtractor.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.audio.resample import check_rate
from xlsr_ref.audio.scale import normalise
from xlsr_ref.errors import AudioError, ConfigError
from xlsr_ref.untrusted import model_folder, read_json


@dataclass(frozen=True)
class Preprocessor:
    """What a model expects of its input. The defaults are those of transformers' Wav2Vec2FeatureExtractor."""

    sampling_rate: int = 16000  # Hz
    do_normalize: bool = True  # zero mean, unit variance over the whole recording

    def normalised(self, x: np.ndarray) -> np.ndarray:
        """A whole recording ``x`` (L,) as the network takes it: by :func:`normalise`, where the model asks for that."""
        return normalise(x) if self.do_normalize else x

    @classmethod
    def from_folder(cls, folder: str | Path) -> Preprocessor:
        """Read ``processor_config.json`` (its ``feature_extractor`` part, if it has one) or else
        ``preprocessor_config.json``, in transformers' order; a setting or file that is absent keeps its default.

        Raises ConfigError, naming the file: broken JSON, a wrong type, a rate that cannot be, another extractor.
        """
        path, settings = extractor_settings(folder, "Wav2Vec2FeatureExtractor")
        if settings.get("feature_size", 1) != 1:
            raise ConfigError(
                f"{path}: feature_size is {reprlib.repr(settings['feature_size'])}; a waveform has size 1"
            )
        do_normalize = settings.get("do_normalize", cls.do_normalize)
        if not isinstance(do_normalize, bool):
            raise ConfigError(f"{path}: do_normalize is {reprlib.repr(do_normalize)}; it should be true or false")
        return cls(rate_of(path, settings, cls.sampling_rate), do_normalize)


def extractor_settings(folder: str | Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """The settings of a feature extractor of ``kind`` in a model's folder, and the file that they stand in.

    Raises ConfigError, naming the file: broken JSON, or the settings of another kind, which another network takes.
    """
    path = model_folder(folder, ConfigError) / "processor_config.json"
    settings = None
    if path.exists():
        nested = read_json(path, ConfigError)
        settings = nested.get("feature_extractor", nested.get("audio_processor"))
    if settings is None:
        path = path.with_name("preprocessor_config.json")
        settings = read_json(path, ConfigError) if path.exists() else {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: feature_extractor is {reprlib.repr(settings)}; it should be a JSON object")
    found = settings.get("feature_extractor_type") or kind
    if found != kind:
        raise ConfigError(
            f"{path}: feature_extractor_type is {reprlib.repr(found)}, but the network of config.json takes only what "
            f"a {kind} makes: the two files belong to different models"
        )
    return path, settings


def rate_of(path: Path, settings: dict[str, Any], usual: int) -> int:
    """The sampling rate in Hz that the ``settings`` of a file say. Raises ConfigError for one that cannot be."""
    return check_rate(settings.get("sampling_rate", usual), f"{path}: sampling_rate", ConfigError)


def require_a_frame(samples: int, sampling_rate: int, fewest: int) -> None:
    """Raise AudioError if ``samples`` are too few for one frame, which needs ``fewest`` of them."""
    if samples < fewest:
        raise AudioError(
            f"{samples} samples ({samples / sampling_rate:.4f} s at {sampling_rate} Hz) are too few: "
            f"one frame needs {fewest} ({fewest / sampling_rate:.4f} s)"
        )
