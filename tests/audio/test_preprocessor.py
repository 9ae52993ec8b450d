"""The preprocessor's files, and recordings that are too short for a frame."""

from __future__ import annotations

import json

import pytest

from xlsr_ref.audio.preprocessor import Preprocessor, require_a_frame
from xlsr_ref.errors import AudioError, ConfigError


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def test_too_short_for_a_frame_is_refused_with_the_numbers():
    require_a_frame(400, 16000, 400)
    with pytest.raises(AudioError) as error:
        require_a_frame(399, 16000, 400)
    text = one_line(error)
    assert "399" in text
    assert "400" in text
    assert "0.0250 s" in text


def folder_with(tmp_path, **files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (16000, True)),
        ({"preprocessor_config": {}}, (16000, True)),
        ({"preprocessor_config": {"sampling_rate": 8000, "do_normalize": False}}, (8000, False)),
        ({"preprocessor_config": {"sampling_rate": 8000.0, "feature_size": 1}}, (8000, True)),
        ({"processor_config": {"feature_extractor": {"sampling_rate": 8000}}}, (8000, True)),
        ({"processor_config": {"audio_processor": {"sampling_rate": 8000}}}, (8000, True)),
        # the nested one wins as a whole: what it leaves out is not looked up in the other file, broken or not
        (
            {
                "processor_config": {"feature_extractor": {"sampling_rate": 8000}},
                "preprocessor_config": {"do_normalize": False},
            },
            (8000, True),
        ),
        ({"processor_config": {"feature_extractor": {}}, "preprocessor_config": "{broken"}, (16000, True)),
        # a processor_config of the older kind says nothing about audio
        (
            {
                "processor_config": {"processor_class": "Wav2Vec2Processor"},
                "preprocessor_config": {"sampling_rate": 8000},
            },
            (8000, True),
        ),
        (
            {"processor_config": {"feature_extractor": None}, "preprocessor_config": {"do_normalize": False}},
            (16000, False),
        ),
    ],
)
def test_preprocessor_from_folder(tmp_path, files, expected):
    assert Preprocessor.from_folder(folder_with(tmp_path, **files)) == Preprocessor(*expected)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '"text"',
        "[" * 100_000,
        '{"sampling_rate": 1' + "0" * 5000 + "}",
        {"sampling_rate": 0},
        {"sampling_rate": -16000},
        {"sampling_rate": 1},
        {"sampling_rate": 10**12},
        {"sampling_rate": 16000.5},
        {"sampling_rate": "16000"},
        {"sampling_rate": True},
        {"sampling_rate": None},
        {"sampling_rate": float("nan")},
        {"do_normalize": 1},
        {"do_normalize": "false"},
        {"feature_size": 80},
        {"feature_size": "1"},
        {"feature_extractor_type": "WhisperFeatureExtractor"},
        {"feature_extractor_type": "SpeechT5FeatureExtractor\n" * 100},
        {"feature_extractor_type": ["Wav2Vec2FeatureExtractor"]},
    ],
)
def test_a_preprocessor_file_that_cannot_be_is_refused_by_name(tmp_path, content):
    with pytest.raises(ConfigError) as error:
        Preprocessor.from_folder(folder_with(tmp_path, preprocessor_config=content))
    assert "preprocessor_config.json" in one_line(error)
    if isinstance(content, dict):
        nested = folder_with(tmp_path, processor_config={"feature_extractor": content})
        with pytest.raises(ConfigError) as error:
            Preprocessor.from_folder(nested)
        assert "/processor_config.json" in one_line(error).replace("\\", "/")


def test_a_preprocessor_file_that_is_not_text_or_not_nested_is_refused(tmp_path):
    (tmp_path / "preprocessor_config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="preprocessor_config"):
        Preprocessor.from_folder(tmp_path)
    folder_with(tmp_path, processor_config={"feature_extractor": 3})
    with pytest.raises(ConfigError, match="feature_extractor is 3"):
        Preprocessor.from_folder(tmp_path)
    with pytest.raises(ConfigError, match="not there"):
        Preprocessor.from_folder(tmp_path / "absent")
