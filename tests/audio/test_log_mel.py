"""Log-mel features: recorded numbers of transformers, the properties of each step, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from xlsr_ref.audio import LogMel
from xlsr_ref.audio.log_mel import log_energies, mel, mel_filters, povey_window
from xlsr_ref.errors import AudioError, ConfigError

GOLDEN = Path(__file__).parents[1] / "golden" / "bert" / "features.npz"


def test_transformers_features():
    """The same bits, where FFT and logarithm round as on the machine that recorded them; else to one part in 10⁶."""
    recorded = np.load(GOLDEN)
    found = LogMel(padding_value=1.0).normalised(recorded["waveform"])
    assert found.dtype == np.float32
    assert found.shape == recorded["features"].shape == (3, 160)
    np.testing.assert_allclose(found, recorded["features"], rtol=0, atol=2e-6 * np.abs(recorded["features"]).max())
    np.testing.assert_array_equal(found[-1, 80:], 1)  # five frames: the last one's partner is padding


def test_each_band_has_mean_0_and_variance_1_by_n_minus_1(rng):
    x = rng.standard_normal(400 + 160 * 19).astype(np.float32)  # 20 frames
    bands = LogMel().normalised(x).reshape(20, 80).astype(np.float64)
    np.testing.assert_allclose(bands.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(bands.var(axis=0, ddof=1), 1, atol=1e-4)


def test_a_tone_is_loudest_in_the_band_of_its_pitch():
    for hertz in (200, 1000, 4000):
        x = np.sin(2 * np.pi * hertz * np.arange(8000) / 16000)
        loudest = log_energies(x, 16000, 80).mean(axis=0).argmax()
        edges = np.linspace(mel(20), mel(8000), 82)
        assert edges[loudest] < mel(hertz) < edges[loudest + 2]


def test_the_window_and_the_filters():
    window = povey_window()
    np.testing.assert_allclose(window, np.hanning(400) ** 0.85)
    filters = mel_filters(16000, 80)
    assert filters.shape == (257, 80)
    assert filters.min() == 0
    assert 0 < filters.max() <= 1
    assert not filters[0].any()  # below 20 Hz
    assert not filters[256].any()  # 8000 Hz is the end of the last triangle


def test_silence_is_nearly_0():
    """Not 0, since the mean of equal float32 numbers is rounded, and the root of 1e-7 is what it is divided by."""
    assert np.abs(LogMel().normalised(np.zeros(4000, np.float32))).max() < 0.01


@pytest.mark.parametrize("size", [1, 700, 5000, 10**6])
def test_pieces_of_any_size_give_the_same_bits(rng, size):
    x = rng.standard_normal(30000).astype(np.float32)
    pieces = (x[start : start + size] for start in range(0, len(x), size))
    np.testing.assert_array_equal(LogMel().features(pieces, len(x), np.float32), LogMel().normalised(x))


@pytest.mark.parametrize("samples", [0, 399, 400, 559])
def test_fewer_than_two_frames_are_refused(samples):
    with pytest.raises(AudioError, match=f"{samples} samples make . frames of 400: give at least 560 samples"):
        LogMel().normalised(np.zeros(samples, np.float32))


def test_nan_is_refused():
    x = np.zeros(1000, np.float32)
    x[17] = np.nan
    with pytest.raises(AudioError, match="sample 17"):
        LogMel().normalised(x)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "the two files belong to different models"),
        ({"num_mel_bins": 0}, "num_mel_bins is 0"),
        ({"stride": "two"}, "stride is 'two'"),
        ({"padding_value": None}, "padding_value is None"),
        ({"feature_size": 80, "num_mel_bins": 40}, "feature_size is 80, but num_mel_bins is 40"),
        ({"padding_side": "left"}, "padding_side is 'left'"),
        ({"sampling_rate": -1}, "sampling_rate"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, settings, says):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError) as error:
        LogMel.from_folder(tmp_path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_is_read(tmp_path):
    own = {"num_mel_bins": 40, "stride": 1, "padding_value": 1, "sampling_rate": 8000}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(own))
    assert LogMel.from_folder(tmp_path) == LogMel(8000, 40, 1, 1.0)
