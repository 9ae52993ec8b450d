"""The arithmetic of each layer is tested in ops; here: what is done in which order, and what is remembered."""

import numpy as np
import pytest

from xlsr_ref.ops import threads
from xlsr_ref.ops.activation import gelu
from xlsr_ref.ops.conv import conv1d
from xlsr_ref.ops.norm import group_norm, layer_norm
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.feature_encoder import EPS, conv_layer, feature_encoder


def layer_parameters(rng, C_in, C_out, K):
    norm = {"weight": rng.standard_normal(C_out), "bias": rng.standard_normal(C_out)}
    return {
        "conv": {"weight": rng.standard_normal((C_out, C_in, K)), "bias": rng.standard_normal(C_out)},
        "layer_norm": norm,
    }


@pytest.fixture
def network(rng):
    p = {
        "conv_layers": {
            "0": layer_parameters(rng, 1, 4, 5),
            "1": layer_parameters(rng, 4, 3, 3),
            "2": layer_parameters(rng, 3, 2, 2),
        }
    }
    sizes = {"conv_dim": [4, 3, 2], "conv_kernel": [5, 3, 2], "conv_stride": [3, 2, 1]}
    return p, sizes


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_which_layers_are_normalised(rng, network, norm):
    p, sizes = network
    config = Config.from_dict({"model_type": "wav2vec2", "feat_extract_norm": norm, **sizes})
    waveform = rng.standard_normal(100)
    features, cache = feature_encoder(waveform, p, config, keep=True)
    x = waveform[:, None]
    for i, stride in enumerate(sizes["conv_stride"]):
        layer = p["conv_layers"][str(i)]
        y, _ = conv1d(x, layer["conv"], stride)
        if norm == "layer":
            y, _ = layer_norm(y, layer["layer_norm"], 1e-5)
        elif i == 0:
            y, _ = group_norm(y, layer["layer_norm"], 1e-5)
        x, _ = gelu(y)
        np.testing.assert_array_equal(cache.outputs[i], x)
        assert (cache.layers[i].norm == "none") == (norm == "group" and i > 0)
    np.testing.assert_array_equal(features, x)
    assert EPS == 1e-5


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neither_what_is_kept_nor_the_threads_change_a_bit(rng, network, norm, dtype):
    p, sizes = network
    p = nest({name: array.astype(dtype) for name, array in flatten(p).items()})
    config = Config.from_dict({"model_type": "wav2vec2", "feat_extract_norm": norm, **sizes})
    waveform = rng.standard_normal(1201).astype(dtype)  # four tiles
    kept, _ = feature_encoder(waveform, p, config, keep=True)
    plain, cache = feature_encoder(waveform, p, config, keep=False)
    np.testing.assert_array_equal(plain, kept)
    assert cache == ([], [])
    assert plain.dtype == dtype
    with threads.use(3):
        np.testing.assert_array_equal(feature_encoder(waveform, p, config)[0], kept)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("samples", [100, 500, 1199, 1200, 1201, 1202])
def test_tiles_give_what_the_whole_recording_gives(rng, network, norm, samples):
    p, sizes = network
    config = Config.from_dict({"model_type": "wav2vec2", "feat_extract_norm": norm, **sizes})
    waveform = rng.standard_normal(samples)
    features, cache = feature_encoder(waveform, p, config, keep=True)
    x = waveform[:, None]
    for i, stride in enumerate(sizes["conv_stride"]):
        layer_norm_here = norm if norm == "layer" or i == 0 else "none"
        x, whole = conv_layer(x, p["conv_layers"][str(i)], stride, layer_norm_here)
        np.testing.assert_allclose(cache.outputs[i], x, atol=1e-12)
        assert cache.layers[i].norm == whole.norm
        ours, theirs = arrays_of(cache.layers[i]), arrays_of(whole)
        assert len(ours) == len(theirs)
        for mine, theirs_whole in zip(ours, theirs):
            np.testing.assert_allclose(mine, theirs_whole, atol=1e-12)
    np.testing.assert_array_equal(features, cache.outputs[2])


def arrays_of(cache):
    over = [] if cache.norm != "group" else [cache.stats.mean, cache.stats.squares]
    return [cache.conv.x, cache.convolved, *over]


def test_the_cache_holds_what_backward_needs(rng):
    p, x = layer_parameters(rng, 2, 3, 4), rng.standard_normal((20, 2))
    y, cache = conv_layer(x, p, 2, "layer")
    assert cache.conv.x is x
    assert cache.convolved.shape == y.shape == (9, 3)
