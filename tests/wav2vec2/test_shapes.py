"""Which tensors a config implies, and how many numbers they hold."""

from __future__ import annotations

import dataclasses

from small_checkpoints import TINY, refusal

from xlsr_ref.errors import ConfigError
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import expected_shapes, parameter_count

XLSR_53 = Config(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    feat_extract_norm="layer",
    conv_bias=True,
    do_stable_layer_norm=True,
    codevector_dim=768,
    proj_codevector_dim=768,
)


def test_the_large_model_has_the_published_counts():
    assert parameter_count(XLSR_53, "Wav2Vec2ForPreTraining") == 317_390_592
    assert parameter_count(XLSR_53, "Wav2Vec2Model") == 315_438_720
    assert parameter_count(XLSR_53, "Wav2Vec2ForCTC") == 315_438_720 + 32 * 1025
    assert parameter_count(XLSR_53, "Wav2Vec2ForCTC", "feature_extractor.") == 4_210_176


def test_a_model_that_the_config_cannot_make():
    no_vocabulary = dataclasses.replace(TINY, vocab_size=None)
    assert expected_shapes(no_vocabulary, "Wav2Vec2Model")
    assert "vocab_size is null" in refusal(expected_shapes, no_vocabulary, "Wav2Vec2ForCTC", error=ConfigError)
    uneven = dataclasses.replace(TINY, num_codevector_groups=4)
    assert expected_shapes(uneven, "Wav2Vec2ForCTC")
    assert "num_codevector_groups=4" in refusal(expected_shapes, uneven, "Wav2Vec2ForPreTraining", error=ConfigError)
    assert "is not one of" in refusal(expected_shapes, TINY, "HubertModel", error=ConfigError)
