"""Players: the bytes in the page are the sound, and no page gets too large."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from xlsr_ref.errors import AudioError
from xlsr_ref.teach.show import player as players

RATE = 16000


def decoded(player):
    """What a browser would play: the samples and the rate of the bytes in the page."""
    page = player._repr_html_()
    kind, text = re.search(r'src="data:(audio/\w+);base64,([^"]+)"', page).groups()
    assert kind == player.kind
    return soundfile.read(io.BytesIO(base64.b64decode(text)))


def chirp(seconds, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 + 300 * t) * t)


def test_a_short_sound_keeps_every_sample():
    x = chirp(0.5)
    player = players.player(x, RATE, "A rising tone of half a second")
    y, rate = decoded(player)
    assert (player.kind, rate, len(y)) == ("audio/wav", RATE, len(x))
    assert np.abs(y - x).max() <= 1 / 32768  # half a step of 16 bits, and how libsndfile rounds


def test_a_long_sound_is_the_same_sound_as_mp3():
    x = chirp(3)
    player = players.player(x, RATE, "A rising tone of three seconds")
    y, rate = decoded(player)
    assert (player.kind, rate) == ("audio/mpeg", RATE)
    n = len(x) + len(y)
    at = int(np.fft.irfft(np.fft.rfft(y, n) * np.conj(np.fft.rfft(x, n)), n)[: len(y)].argmax())  # the coder's delay
    y = y[at : at + len(x)]
    middle = slice(2000, len(y) - 2000)  # the ends are faded by the coder
    assert abs(len(y) - len(x)) <= 2400
    assert np.corrcoef(y[middle], x[: len(y)][middle])[0, 1] > 0.99  # MP3 keeps what is heard, not the samples


def test_a_player_is_a_standard_element_with_a_label():
    page = players.player(chirp(0.1), RATE, 'A "tone" & nothing else')._repr_html_()
    assert page.count("<audio controls") == 1
    assert page.count("A &quot;tone&quot; &amp; nothing else") == 2  # to be read, and for a screen reader
    assert len(page) <= players.LIMIT
    assert "http" not in page


def test_peak_scales():
    y, _ = decoded(players.player(7 * chirp(0.2), RATE, "A tone that was too loud", peak=0.5))
    assert abs(np.abs(y).max() - 0.5) < 1e-3
    silence, _ = decoded(players.player(np.zeros(100), RATE, "A tenth of a second of silence", peak=0.5))
    assert not silence.any()


def test_the_size_is_limited():
    rng = np.random.default_rng(0)
    with pytest.raises(AudioError, match=r"60\.0 s at 16000 Hz take more than 60000 bytes of the page: play a part"):
        players.player(0.1 * rng.standard_normal(60 * RATE), RATE, "A minute of noise")
    odd = players.player(chirp(0.5, 7000), 7000, "A rate that MP3 does not have")
    assert odd.kind == "audio/wav"


@pytest.mark.parametrize("bad", [np.zeros((2, 5)), np.zeros(0), np.array([0.0, np.nan]), np.array([0.0, 1.5])])
def test_what_is_no_sound_is_refused(bad):
    with pytest.raises(AudioError, match=r"not a sound|give a peak"):
        players.player(bad, RATE, "No sound at all")


def test_a_player_needs_a_label():
    with pytest.raises(ValueError, match="needs an alt text"):
        players.player(chirp(0.1), RATE, " ")
