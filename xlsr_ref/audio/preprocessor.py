"""What a model expects of its input: the sampling rate, and whether a recording is normalised.

    processor_config.json (its feature_extractor)   or else   preprocessor_config.json

A network was trained at one rate and on one scale, so both are fixed before the first convolution. The defaults, and
the order in which the files are looked at, are those of transformers' Wav2Vec2FeatureExtractor.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlsr_ref.audio.resample import check_rate
from xlsr_ref.audio.scale import normalise
from xlsr_ref.errors import AudioError, ConfigError
from xlsr_ref.ops.conv_length import receptive_field
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
        kind = settings.get("feature_extractor_type") or "Wav2Vec2FeatureExtractor"
        if kind != "Wav2Vec2FeatureExtractor":
            raise ConfigError(
                f"{path}: feature_extractor_type is {reprlib.repr(kind)}; only Wav2Vec2FeatureExtractor is implemented"
            )
        if settings.get("feature_size", 1) != 1:
            raise ConfigError(
                f"{path}: feature_size is {reprlib.repr(settings['feature_size'])}; a waveform has size 1"
            )
        rate = check_rate(settings.get("sampling_rate", cls.sampling_rate), f"{path}: sampling_rate", ConfigError)
        do_normalize = settings.get("do_normalize", cls.do_normalize)
        if not isinstance(do_normalize, bool):
            raise ConfigError(f"{path}: do_normalize is {reprlib.repr(do_normalize)}; it should be true or false")
        return cls(rate, do_normalize)


def require_a_frame(
    samples: int, sampling_rate: int, conv_kernel: tuple[int, ...], conv_stride: tuple[int, ...]
) -> None:
    """Raise AudioError if ``samples`` are too few for one frame."""
    field = receptive_field(conv_kernel, conv_stride)
    if samples < field:
        raise AudioError(
            f"{samples} samples ({samples / sampling_rate:.4f} s at {sampling_rate} Hz) are too few: "
            f"one frame needs {field} ({field / sampling_rate:.4f} s)"
        )
