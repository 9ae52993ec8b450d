"""The config of a Wav2Vec2-BERT model, as its folder's config.json says.

Field names and defaults are Hugging Face's Wav2Vec2BertConfig, which are those of the released model of 580 million
parameters. Two fields stand in preprocessor_config.json instead, since they decide how wide a row of features is.
Where: Barrault et al. 2023 (Seamless), §3.2.1; Gulati et al. 2020, Conformer. What all networks have: settings.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xlsr_ref import settings
from xlsr_ref.errors import ConfigError
from xlsr_ref.ops.conv_length import conv_length
from xlsr_ref.settings import LARGEST_SIZE, MOST_LAYERS, Settings, field, flag, fraction, one_of, whole, whole_or_null

FRAME, STEP = 400, 160  # samples of a frame of audio/log_mel.py, and from one to the next
POSITIONS = ("relative_key", "relative", "rotary")


@dataclass(frozen=True)
class Config(Settings):
    """One model's config. Sizes count channels unless the name says otherwise. Raises ConfigError, naming the field."""

    model_type: ClassVar[str] = "wav2vec2-bert"
    family: ClassVar[str] = "Wav2Vec2Bert"
    base: ClassVar[str] = "wav2vec2_bert"
    tasks: ClassVar[tuple[str, ...]] = ("Model", "ForCTC", *settings.CLASSIFIERS)

    # features: the first two from preprocessor_config.json
    num_mel_bins: int = whole(80)
    stride: int = whole(2)  # frames of a row of features
    feature_projection_input_dim: int = whole(160)  # num_mel_bins · stride

    # num_hidden_layers Conformer blocks of hidden_size channels
    hidden_size: int = whole(1024)
    num_hidden_layers: int = whole(24, most=MOST_LAYERS)
    num_attention_heads: int = whole(16)
    intermediate_size: int = whole(4096)
    hidden_act: str = one_of("swish", "silu", "relu", "gelu")
    conv_depthwise_kernel_size: int = field(
        31, f"an odd number from 1 to {LARGEST_SIZE}", lambda v: type(v) is int and 1 <= v <= LARGEST_SIZE and v % 2
    )
    position_embeddings_type: str | None = field(
        "relative_key", " or ".join(["null", *map(repr, POSITIONS)]), lambda v: v is None or v in POSITIONS
    )
    left_max_position_embeddings: int = whole(64, least=0)  # of relative_key: further away counts as this far
    right_max_position_embeddings: int = whole(8, least=0)
    rotary_embedding_base: int = whole(10000)

    # heads
    vocab_size: int | None = whole_or_null(None, least=1)  # rows of lm_head
    classifier_proj_size: int = whole(768)

    # above the blocks, in some models
    num_adapter_layers: int = whole(1, least=0, most=MOST_LAYERS)
    adapter_act: str = one_of("relu", "swish", "silu", "gelu")
    use_intermediate_ffn_before_adapter: bool = flag(False)

    # training
    hidden_dropout: float = fraction(0.0)
    activation_dropout: float = fraction(0.0)
    attention_dropout: float = fraction(0.0)
    conformer_conv_dropout: float = fraction(0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = self.position_embeddings_type
        even = {"relative": self.hidden_size, "rotary": self.head_dim}.get(kind or "", 0)
        if even % 2:
            raise ConfigError(f"position_embeddings_type {kind!r} takes channels by twos, and there are {even} of them")
        if self.use_intermediate_ffn_before_adapter and not self.add_adapter:
            raise ConfigError("use_intermediate_ffn_before_adapter is true, but add_adapter is false: one is wrong")
        if self.output_size % self.num_attention_heads:
            heads, output = self.num_attention_heads, self.output_size
            raise ConfigError(f"num_attention_heads={heads} does not divide output_hidden_size={output}")
        if self.output_hop > LARGEST_SIZE:
            raise ConfigError(f"stride and adapter_stride multiply to more than {LARGEST_SIZE} samples per frame")

    def require_input(self) -> None:
        """Raise ConfigError where the features of the preprocessor are not as wide as the projection takes them."""
        wide, taken = self.num_mel_bins * self.stride, self.feature_projection_input_dim
        if wide != taken:
            raise ConfigError(
                f"feature_projection_input_dim is {taken}, but preprocessor_config.json makes rows of {wide} numbers, "
                f"num_mel_bins={self.num_mel_bins} times stride={self.stride}: one of them is wrong"
            )

    @property
    def hop(self) -> int:
        """Samples from one row of features to the next: 320 in the released model."""
        return STEP * self.stride

    @property
    def receptive_field(self) -> int:
        """Samples that one row of features sees: 560 in the released model."""
        return FRAME + STEP * (self.stride - 1)

    @property
    def fewest_samples(self) -> int:
        """Samples that a recording needs: two frames, whose variance is something, and as many as a row has."""
        return FRAME + STEP * (max(2, self.stride - (self.stride + 1) % 2) - 1)

    def frames(self, samples: int) -> int:
        """Rows T of features that the preprocessor makes of ``samples``, an odd last frame with a partner."""
        n = conv_length(samples, FRAME, STEP)
        return (n + n % 2) // self.stride if n > 1 else 0

    @property
    def adapter_padding(self) -> int:
        """Frames of zeros that each convolution of an adapter has on either side."""
        return self.adapter_stride // 2
