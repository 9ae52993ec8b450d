"""Sound that is fed piece by piece gives what `transcribe` gives, and what is final stays."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import AudioError, audio
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.text.read_tokenizer import read_tokenizer

GOLDEN = BUNDLED.parents[2] / "tests" / "golden"
CLIPS = BUNDLED.parent / "clips"
RATE = 16000


@cache
def bundled():
    return xlsr_ref.load()


@cache
def speech() -> np.ndarray:
    """13 s: the same sentence three times, louder each time."""
    clip = audio.read(CLIPS / "es" / "vm-savefolder.flac", RATE)
    return np.concatenate([clip, 2 * clip, 3 * clip])[: 13 * RATE + 77]


def tiny(name: str):
    """A model of random weights, a few thousand of them, with letters to write."""
    model = xlsr_ref.load(GOLDEN / name, "float64")
    if model.tokenizer is None:
        model.tokenizer = read_tokenizer(BUNDLED)
    return model


def fed(stream, x: np.ndarray, rng, most: int):
    """The transcript of ``x`` in random pieces of up to ``most`` samples, and all texts on the way."""
    at, texts = 0, []
    while at < len(x):
        n = int(rng.integers(0, most))
        texts.append(stream.feed(x[at : at + n]))
        at += n
    return stream.finish(), texts


@pytest.mark.parametrize(
    ("chunk", "stride", "how"),
    [(6.0, None, {}), (3.0, 0.5, {}), (40.0, 5.0, {}), (3.0, 0.5, {"beam": 10}), (6.0, None, {"lm": "bundled"})],
)
def test_the_transcript_is_that_of_transcribe_in_the_same_chunks(rng, chunk, stride, how):
    """To the bit, with the scale that transcribe takes from the whole recording; and what is final never changes."""
    x, model = speech(), bundled()
    same = {"chunk_seconds": chunk, "stride_seconds": chunk / 3 if stride is None else stride}
    whole = model.transcribe(x, RATE, **same, **how)
    stream = model.stream(chunk_seconds=chunk, stride_seconds=stride, scale=audio.measure([x]), **how)
    transcript, texts = fed(stream, x, rng, 30_000)
    assert transcript == whole
    assert all(one.text.startswith(one.final) for one in texts)
    finals = [*(one.final for one in texts), transcript.text]
    assert all(later.startswith(earlier) for earlier, later in pairwise(finals))
    if chunk == 3.0:
        assert len({*finals}) > 3
        assert len({one.text for one in texts}) > 3
        words = finals[-2].split()
        assert words == transcript.text.split()[: len(words)]  # whole words


def test_before_the_first_window_nothing_is_said():
    stream = bundled().stream()
    assert stream.feed(speech()[: 6 * RATE]) == ("", "", 0.0)
    assert stream.feed(speech()[6 * RATE : 7 * RATE]).text != ""


@pytest.mark.parametrize("name", ["xlsr", "base", "bert/text"])
def test_pieces_change_no_bit(rng, name):
    """Normalised by what was heard, or with log-mel features or group norm by the window: however sound comes."""
    model, x = tiny(name), 0.1 * rng.standard_normal(4 * RATE + 123)
    one = model.stream(chunk_seconds=1)
    one.feed(x)
    transcript, _ = fed(model.stream(chunk_seconds=1), x, rng, 4000)
    assert transcript == one.finish()
    assert transcript.duration == len(x) / RATE


def test_what_comes_later_is_not_known_yet(rng):
    """The first window is normalised by itself: what follows it changes nothing that was final."""
    model, x = bundled(), speech()
    louder = np.concatenate([x[: 7 * RATE], 30 * x[7 * RATE :]])
    first = [model.stream().feed(y[: 7 * RATE]) for y in (x, louder)]
    assert first[0] == first[1]
    whole = model.stream()
    assert whole.feed(louder).final.startswith(first[0].final)


def test_any_rate_and_any_channels(rng):
    """The same as resampled before; int16 and two channels as `transcribe` takes them."""
    x, model = speech()[: 7 * RATE], tiny("xlsr")
    stereo = np.stack([x, 0.5 * x], axis=1)
    samples = (stereo * 2**14).astype(np.int16)
    transcript, _ = fed(model.stream(44100, chunk_seconds=1), samples, rng, 9999)
    before = audio.from_array(samples, 44100, RATE, "float64")
    other = model.stream(chunk_seconds=1)
    other.feed(before)
    expected = other.finish()
    assert transcript.text == expected.text
    assert transcript.words == expected.words


@pytest.mark.parametrize("rate", [16000, 44100])
def test_the_latency_is_as_stated(rate):
    """Each frame is final after `latency` seconds of sound at the latest, and never before `context` seconds."""
    model = tiny("xlsr")
    stream = model.stream(rate, chunk_seconds=1, stride_seconds=0.2)
    piece, waits = rate // 100, []
    decoded = 0
    for step in range(1, 400):
        seconds = stream.feed(np.full(piece, 1e-3 * (step % 7))).seconds
        first, last = decoded, round(seconds / model.seconds_per_frame)
        if last > first:
            heard = step * piece / rate
            waits += [heard - first * model.seconds_per_frame, heard - (last - 1) * model.seconds_per_frame]
        decoded = last
    waits = waits[2:]  # the first window begins without context, and its first frame waits for all of it
    assert stream.latency - 0.03 < max(waits) <= stream.latency + 0.03  # a piece is 0.01 s, a frame 0.02 s
    assert stream.context - 0.03 < min(waits) <= stream.context + 0.03


def test_what_cannot_be_streamed_is_refused():
    model = bundled()
    for wrong in ({"chunk_seconds": 0}, {"chunk_seconds": 1, "stride_seconds": 0.5}, {"chunk_seconds": "long"}):
        with pytest.raises(AudioError):
            model.stream(**wrong)
    with pytest.raises(AudioError, match="the sampling rate is 5"):
        model.stream(5)
    with pytest.raises(xlsr_ref.errors.CannotTranscribeError):
        xlsr_ref.load(BUNDLED.parent / "small-pretrained").stream()
    stream = model.stream()
    with pytest.raises(AudioError, match="sample is nan"):
        stream.feed(np.array([0.0, np.nan]))
    with pytest.raises(AudioError, match="too few"):
        stream.finish()
    stream.feed(speech()[:RATE])
    stream.finish()
    with pytest.raises(AudioError, match="is finished"):
        stream.feed(speech()[:RATE])


def test_a_model_with_a_convolutional_adapter_is_refused():
    model = tiny("xlsr")
    model.config.__dict__["add_adapter"] = True
    with pytest.raises(AudioError, match="in one piece"):
        model.stream()
