"""Sources of live sound: a file that is played, and a microphone, which a stand-in for sounddevice plays."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from fake_microphone import fake_sounddevice

from xlsr_ref import AudioError, audio
from xlsr_ref.audio import live
from xlsr_ref.audio.clips import bundled_clips
from xlsr_ref.audio.live import Microphone, Player

CLIP = next(clip.path for clip in bundled_clips() if clip.path.suffix == ".flac")


def test_a_player_gives_the_file_in_time():
    """Ten times as fast as it was spoken: no piece comes early, and together they are the file."""
    x, player = audio.read(CLIP, 16000), Player(CLIP, 16000, speed=10)
    given, begin = [], time.monotonic()
    with player as sound:
        for samples in sound:
            given.append(samples)
            due = sum(map(len, given)) / 16000 / 10
            assert time.monotonic() - begin >= due - 1e-3
    np.testing.assert_array_equal(np.concatenate(given), x)
    assert {len(samples) for samples in given[:-1]} == {1600}


def test_what_is_due_waits_in_a_player():
    with Player(CLIP, 16000, speed=1000) as sound:
        next(iter(sound))
        time.sleep(0.01)
        assert sound.waiting >= 9.9


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_player_needs_a_speed(speed):
    with pytest.raises(AudioError, match="give a number above 0"):
        Player(CLIP, 16000, speed)


def test_a_player_reads_at_once_what_cannot_be_read(tmp_path):
    with pytest.raises(AudioError, match="No such file"):
        Player(tmp_path / "not.wav", 16000)


@pytest.mark.parametrize("rates", [(16000.0,), (48000.0, 16000.0), (48000.0,)])
def test_a_microphone_gives_what_it_hears(monkeypatch, rng, rates):
    """At the rate that is asked for where the device has it, else at its own."""
    x = rng.uniform(-1, 1, 20_000).astype(np.float32)
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(x, rates))
    microphone = Microphone(16000)
    assert microphone.sampling_rate == (16000 if 16000 in rates else 48000)
    given: list[np.ndarray] = []
    with microphone as sound:
        for samples in sound:
            given.append(samples)
            if sum(map(len, given)) == len(x):
                break
    np.testing.assert_array_equal(np.concatenate(given), x)
    assert (microphone.lost, microphone.waiting, microphone._stream.closed) == (0, 0.0, True)


def test_a_microphone_counts_what_it_lost(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(np.zeros(3200), (16000.0,), lost=True))
    with Microphone(16000) as microphone:
        sound = iter(microphone)
        next(sound), next(sound)
    assert microphone.lost == 2


def test_a_microphone_that_is_silent_is_taken_for_unplugged(monkeypatch):
    monkeypatch.setattr(live, "SILENT", 0.01)
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(np.zeros(0), (16000.0,)))
    with Microphone(16000) as microphone, pytest.raises(AudioError, match=r"given nothing for 0\.01 s"):
        next(iter(microphone))


def test_a_microphone_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(np.zeros(0), ()))
    with pytest.raises(AudioError, match=r"^no microphone was found \(Error querying device -1\): `python -m"):
        Microphone(16000)
    with pytest.raises(AudioError, match=r"^there is no microphone 'none'"):
        Microphone(16000, "none")


def test_without_the_package_or_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match=r'pip install "xlsr_ref\[listen\]"'):
        Microphone(16000)

    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(AudioError, match=r"PortAudio library not found.*libportaudio2"):
        Microphone(16000)
