"""Parts of recordings: the same samples as cut from the whole, in every format; and how long a recording is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from xlsr_ref import audio
from xlsr_ref.audio.manifest import Clip
from xlsr_ref.audio.segment import as_recording, read_clip, seconds_of
from xlsr_ref.errors import AudioError

RATE = 16000


def clip_of(path: Path, start: float = 0.0, end: float | None = None) -> Clip:
    return Clip(path, "en", "anna", 1.0, "", "", start, end)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.mp3"])
def test_a_part_is_what_the_whole_has_there(tmp_path, rng, name):
    path = tmp_path / name
    t = np.arange(10 * RATE) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 30 * t) * t) + 0.01 * rng.standard_normal(len(t)), RATE)
    whole = audio.read(path, RATE)
    part = read_clip(clip_of(path, 4.25, 6.5), RATE)
    assert len(part) == round(2.25 * RATE)
    # MP3 and Vorbis overlap their windows: after a jump the decoder may round differently
    np.testing.assert_allclose(part, whole[round(4.25 * RATE) : round(6.5 * RATE)], atol=1e-4)
    assert np.array_equal(read_clip(clip_of(path, 9.5), RATE), read_clip(clip_of(path, 9.5, 20.0), RATE))
    assert seconds_of(path) == len(whole) / RATE


def test_a_part_is_resampled_as_a_file_would_be(tmp_path, rng):
    x = rng.uniform(-0.5, 0.5, 44100)
    soundfile.write(tmp_path / "whole.wav", x, 44100, subtype="DOUBLE")
    soundfile.write(tmp_path / "part.wav", x[11025:33075], 44100, subtype="DOUBLE")
    part = read_clip(clip_of(tmp_path / "whole.wav", 0.25, 0.75), RATE)
    assert np.array_equal(part, audio.read(tmp_path / "part.wav", RATE))


def test_as_recording(tmp_path, rng):
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, 8000), 8000)
    assert as_recording(clip_of(tmp_path / "a.wav"), RATE) == tmp_path / "a.wav"
    found = as_recording(clip_of(tmp_path / "a.wav", 0.5), RATE)
    assert found["sampling_rate"] == RATE
    assert len(found["array"]) == 8000


def test_what_cannot_be_read_is_named(tmp_path, rng):
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, 8000), 8000)
    with pytest.raises(AudioError, match=r"a\.wav: has no sound from 3 s on"):
        read_clip(clip_of(tmp_path / "a.wav", 3.0, 4.0), RATE)
    with pytest.raises(AudioError, match=r"b\.wav: cannot be opened"):
        read_clip(clip_of(tmp_path / "b.wav", 3.0, 4.0), RATE)
    (tmp_path / "c.wav").write_text("no sound at all, whatever the name")
    for fails in (seconds_of, lambda path: read_clip(clip_of(path, 1.0), RATE)):
        with pytest.raises(AudioError, match=r"c\.wav: is not audio"):
            fails(tmp_path / "c.wav")
