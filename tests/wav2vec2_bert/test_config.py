"""A wrong config is refused in one sentence that names the field; frames are counted as the features are made."""

import numpy as np
import pytest

from xlsr_ref.audio import LogMel
from xlsr_ref.errors import ConfigError
from xlsr_ref.wav2vec2_bert.config import Config

BERT = {"model_type": "wav2vec2-bert"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"position_embeddings_type": "absolute"}, "position_embeddings_type must be null or 'relative_key'"),
        ({"hidden_act": "mish"}, 'hidden_act must be "swish" or "silu" or "relu" or "gelu", found \'mish\''),
        ({"adapter_act": "selu"}, "adapter_act must be"),
        ({"conv_depthwise_kernel_size": 30}, "conv_depthwise_kernel_size must be an odd number"),
        ({"position_embeddings_type": "rotary", "hidden_size": 48}, "takes channels by twos, and there are 3 of them"),
        ({"use_intermediate_ffn_before_adapter": True}, "but add_adapter is false"),
        ({"add_adapter": True, "output_hidden_size": 100}, "does not divide output_hidden_size=100"),
        ({"num_attention_heads": 3}, "num_attention_heads=3 does not divide hidden_size=1024"),
        ({"architectures": ["Wav2Vec2BertForPreTraining"]}, "'Wav2Vec2BertForPreTraining' is not implemented"),
        (
            {"architectures": ["Wav2Vec2BertForAudioFrameClassification"], "add_adapter": True},
            "no convolutional adapter",
        ),
        ({"model_type": "wav2vec2"}, "model_type must be 'wav2vec2-bert', found 'wav2vec2'"),
    ],
)
def test_a_wrong_config_is_refused(values, says):
    with pytest.raises(ConfigError) as error:
        Config.from_dict(BERT | values)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5])
def test_frames_are_the_rows_of_features(stride):
    config, preprocessor = Config(stride=stride, num_mel_bins=3), LogMel(num_mel_bins=3, stride=stride)
    assert config.frames(config.fewest_samples) >= 1
    assert config.frames(config.fewest_samples - 1) == 0
    for samples in range(config.fewest_samples, 2400, 97):
        x = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
        assert preprocessor.normalised(x).shape == (config.frames(samples), 3 * stride)


def test_times_of_the_released_model():
    config = Config()
    assert (config.hop, config.receptive_field, config.fewest_samples) == (320, 560, 560)
    assert config.frames(16000) == 49
