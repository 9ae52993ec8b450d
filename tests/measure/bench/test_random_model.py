"""Random models: they load, they compute, and they have the sizes of the released ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import ConfigError
from xlsr_ref.measure.bench.random_model import SIZES, size_in_bytes, write_random_model
from xlsr_ref.ops.tree import flatten
from xlsr_ref.ops.weight_norm import weight_norm, weight_norm_parts


def test_it_loads_and_its_scores_are_numbers(tiny_model, noise):
    model = xlsr_ref.load(tiny_model)
    assert model.report.kind == "Wav2Vec2ForCTC"
    assert (model.report.missing, model.report.surplus) == ((), ())
    scores = model.logits(noise, 16000)
    assert scores.shape == (24, 11)
    assert np.isfinite(scores).all()
    assert scores.std(axis=0).min() > 0  # they depend on the sound


def test_its_weights_are_drawn_as_a_training_would_begin(tiny_model):
    flat = flatten(xlsr_ref.load(tiny_model).params)
    for name, array in flat.items():
        assert array.dtype == np.float32
        if name.endswith("layer_norm.weight"):
            assert (array == 1).all()
        elif array.ndim == 1:
            assert (array == 0).all()
    assert flat["wav2vec2.encoder.layers.0.feed_forward.output_dense.weight"].std() == pytest.approx(0.02, rel=0.1)
    kernels = flat["wav2vec2.feature_extractor.conv_layers.2.conv.weight"]  # (10, 8, 3)
    assert kernels.std() == pytest.approx((2 / (8 * 3)) ** 0.5, rel=0.2)


def test_the_positional_kernel_is_v(tiny_model):
    position = xlsr_ref.load(tiny_model).params["wav2vec2"]["encoder"]["pos_conv_embed"]["conv"]
    np.testing.assert_allclose(weight_norm(position)[0], weight_norm_parts(position)[1], rtol=1e-6)


def test_the_same_bytes_every_time(tiny_model, tmp_path):
    values = json.loads((tiny_model / "config.json").read_text())
    write_random_model(tmp_path / "again", values)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (tiny_model / file).read_bytes()


def test_the_size_of_xlsr_53():
    """Fact: 315,438,720 parameters without a head; the head has 32 rows here."""
    assert size_in_bytes(SIZES["xlsr-53"]) == 4 * (315_438_720 + 32 * 1024 + 32)


def test_a_config_that_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match="num_attention_heads=5"):
        write_random_model(tmp_path / "m", {"num_attention_heads": 5})
    assert not (tmp_path / "m").exists()
