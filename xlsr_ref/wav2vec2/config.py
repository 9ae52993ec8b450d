"""The config: which wav2vec 2.0 this is (how many layers, which norms, how wide), as a model folder's config.json says.

Field names and defaults are Hugging Face's Wav2Vec2Config; a file that leaves a field out means the default.
Two families:      feat_extract_norm  do_stable_layer_norm  conv_bias
    XLSR           layer              true (pre-norm)       true
    wav2vec2-base  group              false (post-norm)     false

A wrong value is often silent: 8 heads and 12 both divide 768, and both give numbers. So every field is checked for type
and range, and model/load_params.py compares the rest with the weights. What all networks have in common, such as the
settings of heads, masks and dropout, and the checks themselves: settings.py.
Where: w2v2 §2 (conv encoder, context network), §3 and §4.2 (quantizer, masking); XLSR §3.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from xlsr_ref import settings
from xlsr_ref.errors import ConfigError
from xlsr_ref.ops.conv_length import frames, hop, receptive_field
from xlsr_ref.settings import (
    LARGEST_SIZE,
    Settings,
    at_least_0,
    flag,
    fraction,
    one_of,
    positive,
    whole,
    whole_or_null,
    wholes,
)

FAMILY = "Wav2Vec2"
CLASSIFIERS = tuple(FAMILY + task for task in settings.CLASSIFIERS)


@dataclass(frozen=True)
class Config(Settings):
    """One model's config. Sizes count channels unless the name says otherwise. Raises ConfigError, naming the field."""

    model_type: ClassVar[str] = "wav2vec2"
    family: ClassVar[str] = FAMILY
    base: ClassVar[str] = "wav2vec2"
    tasks: ClassVar[tuple[str, ...]] = ("Model", "ForCTC", "ForPreTraining", *settings.CLASSIFIERS)

    # conv encoder: waveform → frames of conv_dim[-1] channels
    feat_extract_norm: str = one_of("group", "layer")  # group: on the first convolution only; layer: after every one
    feat_extract_activation: str = one_of("gelu")
    conv_dim: tuple[int, ...] = wholes((512, 512, 512, 512, 512, 512, 512))
    conv_stride: tuple[int, ...] = wholes((5, 2, 2, 2, 2, 2, 2))
    conv_kernel: tuple[int, ...] = wholes((10, 3, 3, 3, 3, 2, 2))
    conv_bias: bool = flag(False)

    # context network: num_hidden_layers Transformer blocks of hidden_size channels
    hidden_act: str = one_of("gelu")
    do_stable_layer_norm: bool = flag(False)  # True: norm before attention and feed-forward; False: after them
    layer_norm_eps: float = positive(1e-5)  # not inside the conv encoder, where it is always 1e-5
    num_conv_pos_embeddings: int = whole(128)  # K of the positional convolution, in frames
    num_conv_pos_embedding_groups: int = whole(16)

    # heads and losses
    vocab_size: int | None = whole_or_null(32, least=1)  # rows of lm_head
    num_codevector_groups: int = whole(2)  # G
    num_codevectors_per_group: int = whole(320)  # V
    codevector_dim: int = whole(256)  # of all G groups together
    proj_codevector_dim: int = whole(256)
    num_negatives: int = whole(100)  # K of the contrastive loss
    contrastive_logits_temperature: float = positive(0.1)  # kappa
    diversity_loss_weight: float = at_least_0(0.1)  # alpha

    # a small pair of linears in every block (MMS: one set a language)
    adapter_attn_dim: int | None = whole_or_null(None, least=1)  # channels between the linears; null: there are none

    # training
    feat_quantizer_dropout: float = fraction(0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_equal_lengths("conv_dim", "conv_stride", "conv_kernel")
        if self.output_hop > LARGEST_SIZE:
            where = "conv_stride" if self.hop > LARGEST_SIZE else "conv_stride and adapter_stride"
            raise ConfigError(f"{where}: the strides multiply to more than {LARGEST_SIZE} samples per frame")
        self.require_divisor_of_hidden_size("num_conv_pos_embedding_groups")
        if self.adapter_attn_dim is not None and not self.do_stable_layer_norm:
            raise ConfigError(
                f"adapter_attn_dim is {self.adapter_attn_dim}, but do_stable_layer_norm is false: only pre-norm blocks "
                "have attention adapters"
            )

    @property
    def hop(self) -> int:
        """Samples from one frame to the next: the product of the strides (320 in the released models)."""
        return hop(self.conv_stride)

    @property
    def positional_convolutions(self) -> tuple[int, int]:
        """How many positional convolutions there are, and their kernel."""
        return 1, self.num_conv_pos_embeddings

    @property
    def fewest_samples(self) -> int:
        """Samples that a recording needs: those of one frame."""
        return self.receptive_field

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees (400 in the released models)."""
        return receptive_field(self.conv_kernel, self.conv_stride)

    def frames(self, samples: int) -> int:
        """Frames T that the feature encoder makes of ``samples``; 0 where there are too few for one."""
        return frames(samples, self.conv_kernel, self.conv_stride)

    @property
    def has_final_norm(self) -> bool:
        """Does a norm of the whole encoder follow the last block, and so the last hidden state?"""
        return self.do_stable_layer_norm

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The config that the keys of a config.json describe. Raises ConfigError, naming the key."""
        config = super().from_dict(values)
        layers = values.get("num_feat_extract_layers", len(config.conv_dim))
        if layers != len(config.conv_dim):
            told = f"{reprlib.repr(layers)}, but conv_dim has {len(config.conv_dim)} entries"
            raise ConfigError(f"num_feat_extract_layers is {told}: one of them is wrong")
        return config


KINDS = Config.kinds()
