"""The config: which wav2vec 2.0 this is (how many layers, which norms, how wide), as a model folder's config.json says.

Field names and defaults are Hugging Face's Wav2Vec2Config; a file that leaves a field out means the default.
Two families:      feat_extract_norm  do_stable_layer_norm  conv_bias
    XLSR           layer              true (pre-norm)       true
    wav2vec2-base  group              false (post-norm)     false

A wrong value is often silent: 8 heads and 12 both divide 768, and both give numbers. So every field is checked for type
and range, what is not implemented is refused by name, and model/load_params.py compares the rest with the weights.
Keys that nothing here uses are ignored: old configs are full of them.
Where: w2v2 §2 (conv encoder, context network), §3 and §4.2 (quantizer, masking); XLSR §3.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlsr_ref.errors import ConfigError
from xlsr_ref.ops.conv_length import frames, hop, receptive_field
from xlsr_ref.untrusted import model_folder, read_json, shown

CLASSIFIERS = ("Wav2Vec2ForSequenceClassification", "Wav2Vec2ForAudioFrameClassification", "Wav2Vec2ForXVector")
KINDS = ("Wav2Vec2Model", "Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining", *CLASSIFIERS)
PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")
LARGEST_SIZE = 2**20  # of any one axis; the largest released model has 8192
MOST_LAYERS = 1000


def _field(default: Any, accepts: str, check: Any) -> Any:
    """A dataclass field with what it ``accepts``, in words for the error message, and the same as a function."""
    return dataclasses.field(default=default, metadata={"accepts": accepts, "check": check})


def _names() -> Any:
    return _field((), "null or a list of names", lambda v: isinstance(v, tuple) and all(isinstance(n, str) for n in v))


def _whole(default: int, least: int = 1, most: int = LARGEST_SIZE) -> Any:
    return _field(default, f"a whole number from {least} to {most}", lambda v: type(v) is int and least <= v <= most)


def _whole_or_null(default: int | None, least: int) -> Any:
    accepts = f"null or a whole number from {least} to {LARGEST_SIZE}"
    return _field(default, accepts, lambda v: v is None or (type(v) is int and least <= v <= LARGEST_SIZE))


def _wholes(default: tuple[int, ...]) -> Any:
    def check(v: Any) -> bool:
        sized = isinstance(v, tuple) and 1 <= len(v) <= MOST_LAYERS
        return sized and all(type(n) is int and 1 <= n <= LARGEST_SIZE for n in v)

    return _field(default, f"a list of 1 to {MOST_LAYERS} whole numbers from 1 to {LARGEST_SIZE}", check)


def _real(default: float, accepts: str, check: Any) -> Any:
    return _field(default, accepts, lambda v: type(v) in (int, float) and check(v))  # NaN passes no comparison


def _fraction(default: float) -> Any:
    return _real(default, "a number from 0 to 1", lambda v: 0 <= v <= 1)


def _positive(default: float) -> Any:
    return _real(default, f"a number above 0, at most {LARGEST_SIZE}", lambda v: 0 < v <= LARGEST_SIZE)


def _at_least_0(default: float) -> Any:
    return _real(default, f"a number from 0 to {LARGEST_SIZE}", lambda v: 0 <= v <= LARGEST_SIZE)


def _flag(default: bool) -> Any:
    return _field(default, "true or false", lambda v: type(v) is bool)


def _one_of(*choices: str) -> Any:
    return _field(choices[0], " or ".join(map(json.dumps, choices)), lambda v: isinstance(v, str) and v in choices)


def _null_or_one_of(*choices: str) -> Any:
    accepts = " or ".join(["null", *map(json.dumps, choices)])
    return _field(None, accepts, lambda v: v is None or (isinstance(v, str) and v in choices))


def _are_labels(v: Any) -> bool:
    if not isinstance(v, dict) or not v:
        return v is None
    named = all(isinstance(label, str) for label in v.values())
    return named and [*v] == [*range(len(v))] and len(set(v.values())) == len(v)


@dataclass(frozen=True)
class Config:
    """One model's config. Sizes count channels unless the name says otherwise. Raises ConfigError, naming the field."""

    architectures: tuple[str, ...] = _names()  # one of KINDS, or () where the file does not say: the tensors decide

    # conv encoder: waveform → frames of conv_dim[-1] channels
    feat_extract_norm: str = _one_of("group", "layer")  # group: on the first convolution only; layer: after every one
    feat_extract_activation: str = _one_of("gelu")
    conv_dim: tuple[int, ...] = _wholes((512, 512, 512, 512, 512, 512, 512))
    conv_stride: tuple[int, ...] = _wholes((5, 2, 2, 2, 2, 2, 2))
    conv_kernel: tuple[int, ...] = _wholes((10, 3, 3, 3, 3, 2, 2))
    conv_bias: bool = _flag(False)

    # context network: num_hidden_layers Transformer blocks of hidden_size channels
    hidden_size: int = _whole(768)
    num_hidden_layers: int = _whole(12, most=MOST_LAYERS)
    num_attention_heads: int = _whole(12)
    intermediate_size: int = _whole(3072)
    hidden_act: str = _one_of("gelu")
    do_stable_layer_norm: bool = _flag(False)  # True: norm before attention and feed-forward; False: after them
    layer_norm_eps: float = _positive(1e-5)  # not inside the conv encoder, where it is always 1e-5
    num_conv_pos_embeddings: int = _whole(128)  # K of the positional convolution, in frames
    num_conv_pos_embedding_groups: int = _whole(16)

    # heads and losses
    vocab_size: int | None = _whole_or_null(32, least=1)  # rows of lm_head
    pad_token_id: int | None = _whole_or_null(0, least=0)  # the CTC blank
    ctc_loss_reduction: str = _one_of("sum", "mean")
    ctc_zero_infinity: bool = _flag(False)
    num_codevector_groups: int = _whole(2)  # G
    num_codevectors_per_group: int = _whole(320)  # V
    codevector_dim: int = _whole(256)  # of all G groups together
    proj_codevector_dim: int = _whole(256)
    num_negatives: int = _whole(100)  # K of the contrastive loss
    contrastive_logits_temperature: float = _positive(0.1)  # kappa
    diversity_loss_weight: float = _at_least_0(0.1)  # alpha

    # classification
    id2label: Mapping[int, str] | None = _field(  # null: LABEL_0, LABEL_1
        None, "null or an object that gives each id, 0, 1, 2 and so on, a label of its own", _are_labels
    )
    problem_type: str | None = _null_or_one_of(*PROBLEMS)  # what the scores mean; null: one label is right
    use_weighted_layer_sum: bool = _flag(False)  # of all hidden states, in place of the last layer's output
    classifier_proj_size: int = _whole(256)
    tdnn_dim: tuple[int, ...] = _wholes((512, 512, 512, 512, 1500))
    tdnn_kernel: tuple[int, ...] = _wholes((5, 3, 3, 1, 1))
    tdnn_dilation: tuple[int, ...] = _wholes((1, 2, 3, 1, 1))
    xvector_output_dim: int = _whole(512)

    # adapters: convolutions above the encoder, and a small pair of linears in every block (MMS: one set a language)
    add_adapter: bool = _flag(False)
    adapter_kernel_size: int = _whole(3)
    adapter_stride: int = _whole(2)
    num_adapter_layers: int = _whole(3, least=0, most=MOST_LAYERS)
    output_hidden_size: int | None = _whole_or_null(None, least=1)  # channels after the adapter; null: hidden_size
    adapter_attn_dim: int | None = _whole_or_null(None, least=1)  # channels between the linears; null: there are none

    # masking: a prob is (chance that a span starts at a step) × (span length), as in all toolkits
    apply_spec_augment: bool = _flag(True)
    mask_time_prob: float = _at_least_0(0.05)
    mask_time_length: int = _whole(10)
    mask_time_min_masks: int = _whole(2, least=0)
    mask_feature_prob: float = _at_least_0(0.0)
    mask_feature_length: int = _whole(10)
    mask_feature_min_masks: int = _whole(0, least=0)

    # training
    hidden_dropout: float = _fraction(0.1)
    activation_dropout: float = _fraction(0.1)
    attention_dropout: float = _fraction(0.1)
    feat_proj_dropout: float = _fraction(0.0)
    feat_quantizer_dropout: float = _fraction(0.0)
    final_dropout: float = _fraction(0.1)
    layerdrop: float = _fraction(0.1)
    initializer_range: float = _at_least_0(0.02)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if isinstance(getattr(self, field.name), list):  # JSON has no tuples
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
            if field.name == "id2label":
                object.__setattr__(self, field.name, _by_id(self.id2label))
            value = getattr(self, field.name)
            if not field.metadata["check"](value):
                raise ConfigError(f"{field.name} must be {field.metadata['accepts']}, found {reprlib.repr(value)}")
        self._require_one_model()
        self._require_equal_lengths("conv_dim", "conv_stride", "conv_kernel")
        self._require_equal_lengths("tdnn_dim", "tdnn_kernel", "tdnn_dilation")
        if self.output_hop > LARGEST_SIZE:
            where = "conv_stride" if self.hop > LARGEST_SIZE else "conv_stride and adapter_stride"
            raise ConfigError(f"{where}: the strides multiply to more than {LARGEST_SIZE} samples per frame")
        for divisor in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % getattr(self, divisor):
                raise ConfigError(f"{divisor}={getattr(self, divisor)} does not divide hidden_size={self.hidden_size}")
        if self.adapter_attn_dim is not None and not self.do_stable_layer_norm:
            raise ConfigError(
                f"adapter_attn_dim is {self.adapter_attn_dim}, but do_stable_layer_norm is false: only pre-norm blocks "
                "have attention adapters"
            )
        if self.architectures:
            self.require_adapters_of(self.architectures[0])

    def _require_one_model(self) -> None:
        for name in self.architectures:
            if name not in KINDS:
                raise ConfigError(f"architectures: {reprlib.repr(name)} is not implemented; {', '.join(KINDS)} are")
        if len(self.architectures) > 1:
            raise ConfigError(f"architectures must name one model, found {reprlib.repr(list(self.architectures))}")

    def _require_equal_lengths(self, *names: str) -> None:
        lengths = [len(getattr(self, name)) for name in names]
        if len(set(lengths)) > 1:
            entries = "{}, {} and {}".format(*lengths)
            raise ConfigError("{}, {} and {}".format(*names) + f" must be equally long, found {entries} entries")

    def require_adapters_of(self, kind: str) -> None:
        """Raise ConfigError where a model of ``kind`` has no place for the convolutional adapter that is asked for."""
        if not self.add_adapter or kind not in CLASSIFIERS:
            return
        if kind != "Wav2Vec2ForXVector":
            raise ConfigError(f"add_adapter is true, but a {kind} has no convolutional adapter: one of them is wrong")
        if self.output_size != self.hidden_size and not self.use_weighted_layer_sum:
            raise ConfigError(
                f"output_hidden_size is {self.output_size}, but the head of a {kind} takes hidden_size="
                f"{self.hidden_size} channels"
            )

    @property
    def hop(self) -> int:
        """Samples from one frame to the next: the product of the strides (320 in the released models)."""
        return hop(self.conv_stride)

    @property
    def output_hop(self) -> int:
        """Samples from one frame of the result to the next: more than ``hop`` after a convolutional adapter."""
        return self.hop * (self.adapter_stride**self.num_adapter_layers if self.add_adapter else 1)

    @property
    def output_size(self) -> int:
        """Channels of what the head takes: hidden_size, unless a convolutional adapter changes it."""
        return (self.output_hidden_size or self.hidden_size) if self.add_adapter else self.hidden_size

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class, in the order of the scores."""
        return ("LABEL_0", "LABEL_1") if self.id2label is None else tuple(self.id2label.values())

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees (400 in the released models)."""
        return receptive_field(self.conv_kernel, self.conv_stride)

    def frames(self, samples: int) -> int:
        """Frames T that the feature encoder makes of ``samples``; 0 where there are too few for one."""
        return frames(samples, self.conv_kernel, self.conv_stride)

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The config that the keys of a config.json describe. Raises ConfigError, naming the key."""
        if not isinstance(values, dict):
            raise ConfigError(f"a config must be a JSON object, found {reprlib.repr(values)}")
        model_type = values.get("model_type")
        if model_type not in (None, "wav2vec2"):  # very old files have none
            raise ConfigError(f"model_type must be 'wav2vec2', found {reprlib.repr(model_type)}, another network")
        names = {field.name for field in dataclasses.fields(cls)}
        known = {name: value for name, value in values.items() if name in names}
        if values.get("architectures") is None:
            known["architectures"] = ()
        number = values.get("num_labels")
        if known.get("id2label") is None and type(number) is int and 1 <= number <= LARGEST_SIZE:
            known["id2label"] = {i: f"LABEL_{i}" for i in range(number)}  # as older files say it
        config = cls(**known)
        layers = values.get("num_feat_extract_layers", len(config.conv_dim))
        if layers != len(config.conv_dim):
            told = f"{reprlib.repr(layers)}, but conv_dim has {len(config.conv_dim)} entries"
            raise ConfigError(f"num_feat_extract_layers is {told}: one of them is wrong")
        return config

    @classmethod
    def from_folder(cls, folder: str | Path) -> Config:
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
