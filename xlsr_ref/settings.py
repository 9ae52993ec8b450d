"""What the configs of all networks have in common: fields that are checked, and the settings of heads and training.

A network's config is a dataclass that derives from Settings and adds what is its own. Field names and defaults are
Hugging Face's; a file that leaves a field out means the default. Every field is checked for type and range, and what
is not implemented is refused by name, since a wrong value is often silent. Keys that nothing here uses are ignored: old
configs are full of them.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from xlsr_ref.errors import ConfigError
from xlsr_ref.ops.conv_length import conv_length
from xlsr_ref.untrusted import model_folder, read_json, shown

CLASSIFIERS = ("ForSequenceClassification", "ForAudioFrameClassification", "ForXVector")  # with a network's name before
PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")
LARGEST_SIZE = 2**20  # of any one axis; the largest released model has 8192
MOST_LAYERS = 1000


def field(default: Any, accepts: str, check: Any) -> Any:
    """A dataclass field with what it ``accepts``, in words for the error message, and the same as a function."""
    return dataclasses.field(default=default, metadata={"accepts": accepts, "check": check})


def names() -> Any:
    return field((), "null or a list of names", lambda v: isinstance(v, tuple) and all(isinstance(n, str) for n in v))


def whole(default: int, least: int = 1, most: int = LARGEST_SIZE) -> Any:
    return field(default, f"a whole number from {least} to {most}", lambda v: type(v) is int and least <= v <= most)


def whole_or_null(default: int | None, least: int) -> Any:
    accepts = f"null or a whole number from {least} to {LARGEST_SIZE}"
    return field(default, accepts, lambda v: v is None or (type(v) is int and least <= v <= LARGEST_SIZE))


def wholes(default: tuple[int, ...]) -> Any:
    def check(v: Any) -> bool:
        sized = isinstance(v, tuple) and 1 <= len(v) <= MOST_LAYERS
        return sized and all(type(n) is int and 1 <= n <= LARGEST_SIZE for n in v)

    return field(default, f"a list of 1 to {MOST_LAYERS} whole numbers from 1 to {LARGEST_SIZE}", check)


def real(default: float, accepts: str, check: Any) -> Any:
    return field(default, accepts, lambda v: type(v) in (int, float) and check(v))  # NaN passes no comparison


def fraction(default: float) -> Any:
    return real(default, "a number from 0 to 1", lambda v: 0 <= v <= 1)


def positive(default: float) -> Any:
    return real(default, f"a number above 0, at most {LARGEST_SIZE}", lambda v: 0 < v <= LARGEST_SIZE)


def at_least_0(default: float) -> Any:
    return real(default, f"a number from 0 to {LARGEST_SIZE}", lambda v: 0 <= v <= LARGEST_SIZE)


def flag(default: bool) -> Any:
    return field(default, "true or false", lambda v: type(v) is bool)


def one_of(*choices: str) -> Any:
    return field(choices[0], " or ".join(map(json.dumps, choices)), lambda v: isinstance(v, str) and v in choices)


def null_or_one_of(*choices: str) -> Any:
    accepts = " or ".join(["null", *map(json.dumps, choices)])
    return field(None, accepts, lambda v: v is None or (isinstance(v, str) and v in choices))


def _are_labels(v: Any) -> bool:
    if not isinstance(v, dict) or not v:
        return v is None
    named = all(isinstance(label, str) for label in v.values())
    return named and [*v] == [*range(len(v))] and len(set(v.values())) == len(v)


@dataclass(frozen=True)
class Settings(ABC):
    """The part of a config that all networks share. Sizes count channels unless the name says otherwise.

    Raises ConfigError, naming the field.
    """

    model_type: ClassVar[str]  # as config.json names the network
    family: ClassVar[str]  # how the names of its classes begin in transformers
    base: ClassVar[str]  # the network's name in the parameters of a model that has a head
    tasks: ClassVar[tuple[str, ...]]  # how the names of its classes end

    architectures: tuple[str, ...] = names()  # one of kinds(), or () where the file does not say: the tensors decide

    # blocks
    hidden_size: int = whole(768)
    num_hidden_layers: int = whole(12, most=MOST_LAYERS)
    num_attention_heads: int = whole(12)
    intermediate_size: int = whole(3072)
    layer_norm_eps: float = positive(1e-5)

    # heads and losses
    vocab_size: int | None = whole_or_null(None, least=1)  # rows of lm_head
    pad_token_id: int | None = whole_or_null(0, least=0)  # the CTC blank
    ctc_loss_reduction: str = one_of("sum", "mean")
    ctc_zero_infinity: bool = flag(False)

    # classification
    id2label: Mapping[int, str] | None = field(  # null: LABEL_0, LABEL_1
        None, "null or an object that gives each id, 0, 1, 2 and so on, a label of its own", _are_labels
    )
    problem_type: str | None = null_or_one_of(*PROBLEMS)  # what the scores mean; null: one label is right
    use_weighted_layer_sum: bool = flag(False)  # of all hidden states, in place of the last layer's output
    classifier_proj_size: int = whole(256)
    tdnn_dim: tuple[int, ...] = wholes((512, 512, 512, 512, 1500))
    tdnn_kernel: tuple[int, ...] = wholes((5, 3, 3, 1, 1))
    tdnn_dilation: tuple[int, ...] = wholes((1, 2, 3, 1, 1))
    xvector_output_dim: int = whole(512)

    # a convolutional adapter above the encoder
    add_adapter: bool = flag(False)
    adapter_kernel_size: int = whole(3)
    adapter_stride: int = whole(2)
    num_adapter_layers: int = whole(3, least=0, most=MOST_LAYERS)
    output_hidden_size: int | None = whole_or_null(None, least=1)  # channels after the adapter; null: hidden_size

    # masking: a prob is (chance that a span starts at a step) × (span length), as in all toolkits
    apply_spec_augment: bool = flag(True)
    mask_time_prob: float = at_least_0(0.05)
    mask_time_length: int = whole(10)
    mask_time_min_masks: int = whole(2, least=0)
    mask_feature_prob: float = at_least_0(0.0)
    mask_feature_length: int = whole(10)
    mask_feature_min_masks: int = whole(0, least=0)

    # training
    hidden_dropout: float = fraction(0.1)
    activation_dropout: float = fraction(0.1)
    attention_dropout: float = fraction(0.1)
    feat_proj_dropout: float = fraction(0.0)
    final_dropout: float = fraction(0.1)
    layerdrop: float = fraction(0.1)
    initializer_range: float = at_least_0(0.02)

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            if isinstance(getattr(self, one.name), list):  # JSON has no tuples
                object.__setattr__(self, one.name, tuple(getattr(self, one.name)))
            if one.name == "id2label":
                object.__setattr__(self, one.name, _by_id(self.id2label))
            value = getattr(self, one.name)
            if not one.metadata["check"](value):
                raise ConfigError(f"{one.name} must be {one.metadata['accepts']}, found {reprlib.repr(value)}")
        self._require_one_model()
        self.require_equal_lengths("tdnn_dim", "tdnn_kernel", "tdnn_dilation")
        self.require_divisor_of_hidden_size("num_attention_heads")
        if self.architectures:
            self.require_adapters_of(self.architectures[0])

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """The models that this network can be, as transformers names them."""
        return tuple(cls.family + task for task in cls.tasks)

    @classmethod
    def task_of(cls, kind: str) -> str:
        """The end of a kind's name, which is the same for all networks: "ForCTC" of "Wav2Vec2ForCTC"."""
        return kind.removeprefix(cls.family)

    def _require_one_model(self) -> None:
        for name in self.architectures:
            if name not in self.kinds():
                known = ", ".join(self.kinds())
                raise ConfigError(f"architectures: {reprlib.repr(name)} is not implemented; {known} are")
        if len(self.architectures) > 1:
            raise ConfigError(f"architectures must name one model, found {reprlib.repr(list(self.architectures))}")

    def require_equal_lengths(self, *names: str) -> None:
        """Raise ConfigError where the lists of these names are not equally long."""
        lengths = [len(getattr(self, name)) for name in names]
        if len(set(lengths)) > 1:
            entries = "{}, {} and {}".format(*lengths)
            raise ConfigError("{}, {} and {}".format(*names) + f" must be equally long, found {entries} entries")

    def require_divisor_of_hidden_size(self, name: str) -> None:
        """Raise ConfigError where the field of this name does not divide hidden_size."""
        if self.hidden_size % getattr(self, name):
            raise ConfigError(f"{name}={getattr(self, name)} does not divide hidden_size={self.hidden_size}")

    def require_adapters_of(self, kind: str) -> None:
        """Raise ConfigError where a model of ``kind`` has no place for the convolutional adapter that is asked for."""
        if not self.add_adapter or self.task_of(kind) not in CLASSIFIERS:
            return
        if self.task_of(kind) != "ForXVector":
            raise ConfigError(f"add_adapter is true, but a {kind} has no convolutional adapter: one of them is wrong")
        if self.output_size != self.hidden_size and not self.use_weighted_layer_sum:
            raise ConfigError(
                f"output_hidden_size is {self.output_size}, but the head of a {kind} takes hidden_size="
                f"{self.hidden_size} channels"
            )

    # --- time: what the network makes of a recording ------------------------------------------------------------------

    @property
    @abstractmethod
    def hop(self) -> int:
        """Samples from one frame of the encoder to the next."""

    @property
    @abstractmethod
    def receptive_field(self) -> int:
        """Samples that one frame sees before the encoder."""

    @property
    @abstractmethod
    def fewest_samples(self) -> int:
        """Samples that a recording needs."""

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Frames T of the encoder for a recording of ``samples``; 0 where there are too few for one."""

    @property
    def output_hop(self) -> int:
        """Samples from one frame of the result to the next: more than ``hop`` after a convolutional adapter."""
        return self.hop * (self.adapter_stride**self.num_adapter_layers if self.add_adapter else 1)

    @property
    def has_final_norm(self) -> bool:
        """Does a norm of the whole encoder follow the last block, and so the last hidden state?"""
        return False

    @property
    def adapter_padding(self) -> int:
        """Frames of zeros that each convolution of an adapter has on either side."""
        return 1

    def adapter_frames(self, T: int) -> int:
        """How many frames the adapter makes of ``T``; 0 where a kernel is longer than what is left, with its zeros."""
        for _ in range(self.num_adapter_layers if self.add_adapter else 0):
            T = self.adapter_layer_frames(T)
        return T

    def adapter_layer_frames(self, T: int) -> int:
        """The same of one of its layers."""
        return conv_length(T, self.adapter_kernel_size, self.adapter_stride, self.adapter_padding)

    def require_input(self) -> None:  # noqa: B027 - a network that takes samples has nothing to require
        """Raise ConfigError where the preprocessor does not make what the network takes."""

    def sums_layers(self, kind: str) -> bool:
        """Does the head of a model of ``kind`` look at a weighted sum of all hidden states?"""
        return self.use_weighted_layer_sum and self.task_of(kind) in CLASSIFIERS

    @property
    def output_size(self) -> int:
        """Channels of what the head takes: hidden_size, unless a convolutional adapter changes it."""
        return (self.output_hidden_size or self.hidden_size) if self.add_adapter else self.hidden_size

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class, in the order of the scores."""
        return ("LABEL_0", "LABEL_1") if self.id2label is None else tuple(self.id2label.values())

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The config that the keys of a config.json describe. Raises ConfigError, naming the key."""
        if not isinstance(values, dict):
            raise ConfigError(f"a config must be a JSON object, found {reprlib.repr(values)}")
        model_type = values.get("model_type")
        if model_type not in (None, cls.model_type):  # very old files have none
            raise ConfigError(
                f"model_type must be {cls.model_type!r}, found {reprlib.repr(model_type)}, another network"
            )
        names = {one.name for one in dataclasses.fields(cls)}
        known = {name: value for name, value in values.items() if name in names}
        if values.get("architectures") is None:
            known["architectures"] = ()
        number = values.get("num_labels")
        if known.get("id2label") is None and type(number) is int and 1 <= number <= LARGEST_SIZE:
            known["id2label"] = {i: f"LABEL_{i}" for i in range(number)}  # as older files say it
        return cls(**known)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """The config in ``folder``/config.json. Raises ConfigError, naming the file."""
        path = model_folder(folder, ConfigError) / "config.json"
        values = read_json(path, ConfigError)
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{shown(path)}: {error}") from None


def _by_id(labels: Any) -> Any:
    """``labels`` with whole numbers as keys, in their order; JSON has strings. What is none of that stays as it is."""
    if not isinstance(labels, dict):
        return labels
    ids = {key if type(key) is int else int(key) if _is_id(key) else None: label for key, label in labels.items()}
    return labels if None in ids or len(ids) < len(labels) else dict(sorted(ids.items()))


def _is_id(key: Any) -> bool:
    return isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10
