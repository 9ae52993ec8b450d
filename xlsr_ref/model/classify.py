"""Audio in, labels or a vector out: sequence classification, frame classification and x-vectors."""

from __future__ import annotations

import numpy as np

from xlsr_ref.errors import CannotClassifyError
from xlsr_ref.heads.sequence_classification import probabilities
from xlsr_ref.heads.xvector import embedding
from xlsr_ref.model.parts import Parts
from xlsr_ref.model.recording_logits import pieces_of
from xlsr_ref.model.source import Recording, as_source
from xlsr_ref.ops import threads


def classify(model: Parts, recording: Recording, sampling_rate: int | None = None) -> dict[str, float]:
    """The probability of each label of a recording, the likeliest first.

    ``recording`` is a path or an array with its ``sampling_rate``, as for :meth:`transcribe`; it is computed in one
    piece. The labels are the config's (`id2label`). Their probabilities sum to 1, unless the config says that
    several labels may be right (`problem_type`): then each stands for itself. Raises AudioError, and
    CannotClassifyError for a model that gives no label to a recording.
    """
    model.require_head("sequence classification", "gives no label to a recording")
    logits, _ = model.network.forward(_whole(model, recording, sampling_rate), keep=False)
    (row,) = probabilities(logits[None], _multi_label(model, None))
    order = np.argsort(-row, kind="stable")
    return {model.config.labels[i]: float(row[i]) for i in order}


def frame_labels(
    model: Parts, recording: Recording, sampling_rate: int | None = None, multi_label: bool | None = None
) -> np.ndarray:
    """The probability of each label in each frame of a recording: (T, N), its columns in the order of
    ``config.labels``, its rows ``seconds_per_frame`` apart.

    ``multi_label``: may labels be right together, as two speakers are who talk at once? Then each probability
    stands for itself. None for what the config's `problem_type` says. Raises as :meth:`classify` does.
    """
    model.require_head("frame classification", "gives no labels to frames")
    logits, _ = model.network.forward(_whole(model, recording, sampling_rate), keep=False)
    return probabilities(logits, _multi_label(model, multi_label))


def embed(model: Parts, recording: Recording, sampling_rate: int | None = None) -> np.ndarray:
    """The x-vector (E,) of the speaker in a recording. The cosine of two is near 1 for one speaker, lower for others.

    ``recording`` is as for :meth:`classify`. Raises AudioError, and CannotClassifyError for another kind of model.
    """
    model.require_head("xvector", "makes no x-vectors")
    x = model.network.context(_whole(model, recording, sampling_rate))
    with threads.computing(model.threads):
        return embedding(x, model.params, model.config.tdnn_kernel, model.config.tdnn_dilation)[0]


def _whole(model: Parts, recording: Recording, sampling_rate: int | None) -> np.ndarray:
    """A whole recording as the network takes it."""
    with as_source(recording, sampling_rate) as (source, rate):
        return model.normalised(np.concatenate(list(pieces_of(model, source, rate)())))


def _multi_label(model: Parts, multi_label: bool | None) -> bool:
    problem = model.config.problem_type
    if problem == "regression":
        raise CannotClassifyError(
            "config.json says problem_type: regression, so the scores are no probabilities: take forward(…)"
        )
    return problem == "multi_label_classification" if multi_label is None else multi_label
