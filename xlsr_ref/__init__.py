"""XLSR-Wav2Vec2 from scratch in NumPy and Numba.

    import xlsr_ref
    model = xlsr_ref.load()                     # the small model that comes with the package; or a folder
    print(model.transcribe("speech.wav").text)

Start reading at wav2vec2/backbone.py. Importing the package is quick: what is heavy loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xlsr_ref.errors import AlignmentError as AlignmentError
    from xlsr_ref.errors import AudioError as AudioError
    from xlsr_ref.errors import CannotClassifyError as CannotClassifyError
    from xlsr_ref.errors import CannotTranscribeError as CannotTranscribeError
    from xlsr_ref.errors import ConfigError as ConfigError
    from xlsr_ref.errors import DecodingError as DecodingError
    from xlsr_ref.errors import ExerciseError as ExerciseError
    from xlsr_ref.errors import HubError as HubError
    from xlsr_ref.errors import LanguageModelError as LanguageModelError
    from xlsr_ref.errors import ManifestError as ManifestError
    from xlsr_ref.errors import ObjectiveError as ObjectiveError
    from xlsr_ref.errors import TrainingError as TrainingError
    from xlsr_ref.errors import VocabularyError as VocabularyError
    from xlsr_ref.errors import WeightsError as WeightsError
    from xlsr_ref.errors import XlsrError as XlsrError
    from xlsr_ref.model.load import load as load
    from xlsr_ref.model.model import Model as Model
    from xlsr_ref.text.transcript import Span as Span
    from xlsr_ref.text.transcript import Transcript as Transcript
    from xlsr_ref.wav2vec2.config import Config as Config

from xlsr_ref.version import __version__

_MODULE_OF = {
    "load": "model.load", "Model": "model.model", "Config": "wav2vec2.config",
    "Transcript": "text.transcript", "Span": "text.transcript",
    "XlsrError": "errors", "ConfigError": "errors", "WeightsError": "errors", "AudioError": "errors",
    "VocabularyError": "errors", "CannotTranscribeError": "errors", "CannotClassifyError": "errors",
    "AlignmentError": "errors", "HubError": "errors", "DecodingError": "errors", "LanguageModelError": "errors",
    "ObjectiveError": "errors", "ManifestError": "errors", "TrainingError": "errors", "ExerciseError": "errors",
}  # fmt: skip
__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'xlsr_ref' has no attribute {name!r}")
    return getattr(import_module(f"xlsr_ref.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
