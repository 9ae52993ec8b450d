"""Names and shapes of parameters, from which a network's shapes.py puts together a whole model; and those of the heads.

The parts come in the order of the signal; a head's names have no prefix, the rest begins with the network's name where
there is a head. Names are those of transformers.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator

from xlsr_ref.errors import ConfigError
from xlsr_ref.settings import Settings

Shapes = dict[str, tuple[int, ...]]
Named = Iterator[tuple[str, tuple[int, ...]]]


def norm(name: str, channels: int) -> Named:
    """A layer norm's scale and shift."""
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Named:
    """A linear layer, one row of the weight for each output."""
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def model_shapes(
    config: Settings,
    kind: str,
    prefix: str | None,
    parts: Iterable[Named],
    heads: dict[str, Callable[..., Named]] | None = None,
) -> Shapes:
    """Every parameter of a model of ``kind``, one of config.kinds(): the network's ``parts``, and the head.

    ``prefix`` is "" or the network's name with a dot (None: what transformers writes for this kind). ``heads`` are
    those that only this network has, by the end of the kind's name. Raises ConfigError where there is no such model.
    """
    if kind not in config.kinds():
        raise ConfigError(f"{reprlib.repr(kind)} is not one of {', '.join(config.kinds())}")
    task = config.task_of(kind)
    if prefix is None:
        prefix = "" if task == "Model" else f"{config.base}."
    if config.add_adapter:
        config.require_adapters_of(kind)
    shapes: Shapes = {"layer_weights": (config.num_hidden_layers + 1,)} if config.sums_layers(kind) else {}
    shapes |= {prefix + name: shape for part in parts for name, shape in part}
    head = (HEADS | (heads or {})).get(task)
    return shapes if head is None else shapes | dict(head(config))


def adapter_projection(config: Settings) -> Named:
    """What brings the encoder's channels to those of a convolutional adapter, where they differ."""
    if config.add_adapter and config.hidden_size != config.output_size:
        yield from linear("adapter.proj", config.hidden_size, config.output_size)
        yield from norm("adapter.proj_layer_norm", config.output_size)


# --- heads -----------------------------------------------------------------------------------------------------------


def _ctc(config: Settings) -> Named:
    if config.vocab_size is None:
        raise ConfigError(f"vocab_size is null, but a {config.family}ForCTC needs the number of rows of its lm_head")
    yield from linear("lm_head", config.output_size, config.vocab_size)


def _sequence_classification(config: Settings) -> Named:
    yield from linear("projector", config.hidden_size, config.classifier_proj_size)
    yield from linear("classifier", config.classifier_proj_size, len(config.labels))


def _frame_classification(config: Settings) -> Named:
    yield from linear("classifier", config.hidden_size, len(config.labels))


def _xvector(config: Settings) -> Named:
    inputs, E = config.tdnn_dim[0], config.xvector_output_dim
    yield from linear("projector", config.hidden_size, inputs)
    for i, (outputs, kernel) in enumerate(zip(config.tdnn_dim, config.tdnn_kernel)):
        yield from linear(f"tdnn.{i}.kernel", inputs * kernel, outputs)
        inputs = outputs
    yield from linear("feature_extractor", 2 * inputs, E)
    yield from linear("classifier", E, E)
    yield "objective.weight", (E, len(config.labels))


HEADS: dict[str, Callable[..., Named]] = {
    "ForCTC": _ctc,
    "ForSequenceClassification": _sequence_classification,
    "ForAudioFrameClassification": _frame_classification,
    "ForXVector": _xvector,
}
