"""What can go wrong, by kind. Every message is one sentence that says what was found and what to do."""


class XlsrError(ValueError):
    """The base of every error that this package raises on purpose."""


class ConfigError(XlsrError):
    """A model folder's config is missing, broken, or asks for something that is not implemented."""


class WeightsError(XlsrError):
    """A weights file is missing, damaged, or does not fit the config."""


class AudioError(XlsrError):
    """A recording cannot be read, or holds nothing that can be transcribed."""


class VocabularyError(XlsrError):
    """A vocabulary is missing, broken, or does not fit the model."""


class CannotTranscribeError(XlsrError):
    """The model has no head or no vocabulary to make text with."""


class CannotClassifyError(XlsrError):
    """The model has no head that names labels, or that tells voices apart."""


class HubError(XlsrError):
    """A model could not be had from the Hugging Face Hub."""


class ObjectiveError(XlsrError):
    """A loss was asked for something that it cannot compute, such as targets that do not fit into the frames."""


class ManifestError(XlsrError):
    """A list of recordings cannot be read, or names what is not there."""


class TrainingError(XlsrError):
    """A recipe, a corpus or a run's folder does not allow training to begin or to go on."""


class AlignmentError(XlsrError):
    """A text cannot be laid over a recording: it is empty, too long, or has what the model's vocabulary lacks."""


class DecodingError(XlsrError):
    """Log-probabilities, or a setting of the search, that cannot be turned into text."""


class LanguageModelError(XlsrError):
    """A language model's file is missing or broken, or a text cannot make one."""


class ExerciseError(XlsrError):
    """There is no exercise of that name, or what was handed in cannot be graded."""
