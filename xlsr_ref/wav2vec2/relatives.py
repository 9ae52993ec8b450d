"""The networks that are wav2vec 2.0 under other names: they differ in how they were trained, and in few settings.

    HuBERT, UniSpeech, UniSpeech-SAT    the same network
    data2vec-audio                      several small positional convolutions, each with a norm, in place of a large one

Their own pre-training is not implemented; a fine-tuned model, and fine-tuning from a pretrained one, is.
Where: Hsu et al. 2021 (HuBERT); Wang et al. 2021 (UniSpeech); Chen et al. 2021 (UniSpeech-SAT); Baevski et al. 2022
(data2vec). Field names and defaults are those of transformers' config of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xlsr_ref.settings import CLASSIFIERS, field, one_of, whole
from xlsr_ref.wav2vec2.config import Config


@dataclass(frozen=True)
class HubertConfig(Config):
    """HuBERT: `facebook/hubert-large-ls960-ft` and its like."""

    model_type: ClassVar[str] = "hubert"
    family: ClassVar[str] = "Hubert"
    base: ClassVar[str] = "hubert"
    tasks: ClassVar[tuple[str, ...]] = ("Model", "ForCTC", "ForSequenceClassification")

    feat_proj_layer_norm: bool = field(
        True, "true: a projection without a norm is not implemented", lambda v: v is True
    )
    conv_pos_batch_norm: bool = field(False, "false: batch norm is not implemented", lambda v: v is False)


@dataclass(frozen=True)
class UniSpeechConfig(Config):
    """UniSpeech: `microsoft/unispeech-large-1500h-cv` and its like."""

    model_type: ClassVar[str] = "unispeech"
    family: ClassVar[str] = "UniSpeech"
    base: ClassVar[str] = "unispeech"
    tasks: ClassVar[tuple[str, ...]] = ("Model", "ForCTC", "ForSequenceClassification")


@dataclass(frozen=True)
class UniSpeechSatConfig(Config):
    """UniSpeech-SAT: `microsoft/unispeech-sat-base-plus-sv` and its like."""

    model_type: ClassVar[str] = "unispeech-sat"
    family: ClassVar[str] = "UniSpeechSat"
    base: ClassVar[str] = "unispeech_sat"
    tasks: ClassVar[tuple[str, ...]] = ("Model", "ForCTC", *CLASSIFIERS)


@dataclass(frozen=True)
class Data2VecAudioConfig(Config):
    """data2vec-audio: `facebook/data2vec-audio-base-960h` and its like."""

    model_type: ClassVar[str] = "data2vec-audio"
    family: ClassVar[str] = "Data2VecAudio"
    base: ClassVar[str] = "data2vec_audio"
    tasks: ClassVar[tuple[str, ...]] = ("Model", "ForCTC", *CLASSIFIERS)

    feat_extract_norm: str = one_of("layer")
    do_stable_layer_norm: bool = field(False, "false: its blocks are post-norm", lambda v: v is False)
    num_conv_pos_embeddings: int = whole(5, most=100)  # how many positional convolutions follow each other
    conv_pos_kernel_size: int = whole(19)  # K of each

    @property
    def positional_convolutions(self) -> tuple[int, int]:
        """How many positional convolutions there are, and their kernel."""
        return self.num_conv_pos_embeddings, self.conv_pos_kernel_size
