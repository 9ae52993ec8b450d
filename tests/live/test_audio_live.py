"""Normalisation and the preprocessor's files, side by side with transformers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xlsr_ref import audio

transformers = pytest.importorskip("transformers")
Extractor = transformers.Wav2Vec2FeatureExtractor


def theirs(x: np.ndarray) -> np.ndarray:
    """transformers' normalisation in x's own dtype (calling the extractor would make float32 of it first)."""
    return Extractor.zero_mean_unit_var_norm([x], None)[0]


def recordings():
    rng = np.random.default_rng(0)
    yield "noise", rng.standard_normal(160_000) * 0.05
    yield "offset", rng.standard_normal(160_000) * 0.05 + 0.8
    yield "quiet", rng.standard_normal(16_000) * 1e-5
    yield "16 bit", np.round(rng.standard_normal(16_000) * 3000).clip(-32768, 32767)
    yield "one loud sample", np.eye(1, 16_000, 77)[0]
    yield "silence", np.zeros(16_000)
    yield "constant", np.full(16_000, 0.25)
    yield "one sample", np.array([0.5])


@pytest.mark.parametrize(("name", "x"), list(recordings()))
def test_float64_is_theirs(name, x):
    expected = theirs(x)
    np.testing.assert_allclose(audio.normalise(x), expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("name", "x"), list(recordings()))
def test_float32_is_nearer_to_the_float64_answer_than_theirs(name, x):
    single = x.astype(np.float32)
    exact = theirs(single.astype(np.float64))
    ours, others = audio.normalise(single), theirs(single)
    assert ours.dtype == others.dtype == np.float32
    assert np.abs(ours - exact).max() <= np.abs(others - exact).max()
    assert np.abs(ours - exact).max() <= 2.0**-24 * np.abs(exact).max() * (1 + 1e-6)  # rounded once, and nothing more
    called = Extractor()(single, sampling_rate=16000, return_tensors="np").input_values[0]
    np.testing.assert_allclose(ours, called, rtol=0, atol=1e-4 * max(1, np.abs(exact).max()))


FILES = [
    {"preprocessor_config": {}},
    {"preprocessor_config": {"sampling_rate": 8000, "do_normalize": False}},
    {"processor_config": {"feature_extractor": {"sampling_rate": 8000}}},
    {"processor_config": {"audio_processor": {"sampling_rate": 8000}}},
    {"processor_config": {"feature_extractor": {"sampling_rate": 8000}, "audio_processor": {"sampling_rate": 4000}}},
    {
        "processor_config": {"feature_extractor": {"sampling_rate": 8000}},
        "preprocessor_config": {"sampling_rate": 4000, "do_normalize": False},
    },
    {"processor_config": {"feature_extractor": {}}, "preprocessor_config": {"do_normalize": False}},
    {"processor_config": {"feature_extractor": None}, "preprocessor_config": {"do_normalize": False}},
    {"processor_config": {"processor_class": "Wav2Vec2Processor"}, "preprocessor_config": {"sampling_rate": 8000}},
]


@pytest.mark.parametrize("files", FILES, ids=lambda files: json.dumps(files)[:60])
def test_the_two_files_are_read_in_their_order(tmp_path, files):
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2"}))
    ours = audio.Preprocessor.from_folder(tmp_path)
    for kind in (Extractor, transformers.AutoFeatureExtractor):
        found = kind.from_pretrained(tmp_path)
        assert (ours.sampling_rate, ours.do_normalize) == (found.sampling_rate, found.do_normalize)


@pytest.mark.parametrize(("rate", "do_normalize"), [(16000, True), (8000, False)])
def test_what_transformers_saves_is_read(tmp_path, rate, do_normalize):
    extractor = Extractor(sampling_rate=rate, do_normalize=do_normalize)
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "<unk>": 1, "|": 2, "a": 3}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    for saved, name in ((extractor, "alone"), (transformers.Wav2Vec2Processor(extractor, tokenizer), "processor")):
        saved.save_pretrained(tmp_path / name)
        assert audio.Preprocessor.from_folder(tmp_path / name) == audio.Preprocessor(rate, do_normalize)
    assert (tmp_path / "processor" / "processor_config.json").exists()
    assert audio.Preprocessor() == audio.Preprocessor(Extractor().sampling_rate, Extractor().do_normalize)
