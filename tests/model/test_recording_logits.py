"""Long recordings: chunks give what the whole gives, a file is read in pieces, and who is cut when."""

from __future__ import annotations

import tracemalloc
from importlib import import_module

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import AudioError, audio
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.model.network import Network
from xlsr_ref.ops import threads
from xlsr_ref.text.read_tokenizer import read_tokenizer

sf = pytest.importorskip("soundfile")

GOLDEN = BUNDLED.parents[2] / "tests" / "golden"
RATE = 16000
LIMITS = {"float32": 1e-6, "float64": 1e-13}  # of the largest logit; measured 4e-7 and 5e-15


def load(name: str, dtype: str = "float64"):
    """A model of random weights, a few thousand of them, with letters to write."""
    model = xlsr_ref.load(GOLDEN / name, dtype)
    model.tokenizer = read_tokenizer(BUNDLED)
    return model


def deaf(model):
    """The same model without attention: a frame then knows only what the convolutions reach."""
    for block in model.params["wav2vec2"]["encoder"]["layers"].values():
        parts = block["attention"]["out_proj"]
        block["attention"]["out_proj"] = {name: np.zeros_like(array) for name, array in parts.items()}
    return model


def swelling(rng, samples: int) -> np.ndarray:
    """Noise that grows a hundredfold and drifts: no chunk has the mean and the variance of the whole."""
    t = np.linspace(0, 1, samples)
    return 100**t * (0.005 * rng.standard_normal(samples) + 0.002 * t)


# --- the network in chunks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["xlsr", "base"])  # layer norm and pre-norm; group norm and post-norm
def test_without_attention_chunks_give_what_the_whole_gives(rng, name, dtype):
    """The context, 0.2 s, covers half a positional kernel: 8 frames and 4."""
    model = deaf(load(name, dtype))
    x = swelling(rng, 5 * RATE + 333).astype(dtype)
    whole = model.logits(x, RATE)
    inside = np.abs(whole).max()
    for seconds in (0.7, 1, 4.98, 30):
        logits = model.logits(x, RATE, chunk_seconds=seconds, stride_seconds=0.2)
        assert (logits.shape, logits.dtype) == (whole.shape, whole.dtype)
        assert np.abs(logits - whole).max() <= LIMITS[dtype] * inside
    without = model.logits(x, RATE, chunk_seconds=1, stride_seconds=0)
    assert np.abs(without - whole).max() > 1e-3 * inside  # what the context is for


@pytest.mark.parametrize("name", ["xlsr", "base"])
def test_with_attention_chunks_differ(rng, name):
    """What is lost: frames from further away than the chunk."""
    model, x = load(name), swelling(rng, 3 * RATE)
    whole, logits = model.logits(x, RATE), model.logits(x, RATE, chunk_seconds=1)
    assert np.abs(logits - whole).max() > 1e-3
    assert np.array_equal(model.logits(x, RATE, chunk_seconds=3), whole)  # one chunk: all of it
    assert np.array_equal(model.logits(x, RATE, chunk_seconds=0), whole)


def test_without_normalising_nothing_is_rescaled(rng):
    model, x = deaf(load("xlsr")), 3 * rng.standard_normal(2 * RATE)
    object.__setattr__(model.preprocessor, "do_normalize", False)
    whole = model.logits(x, RATE)
    logits = model.logits(x, RATE, chunk_seconds=1, stride_seconds=0.2)
    np.testing.assert_allclose(logits, whole, rtol=0, atol=1e-13 * np.abs(whole).max())


@pytest.mark.parametrize("samples", [400, 719, 720, 16079, 16080, 16400, 31999])
def test_as_many_frames_as_the_whole(rng, samples):
    model, x = load("xlsr", "float32"), rng.standard_normal(samples)
    logits = model.logits(x, RATE, chunk_seconds=0.3, stride_seconds=0.1)
    assert logits.shape == model.logits(x, RATE).shape
    assert np.isfinite(logits).all()


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, results = rng.standard_normal(3 * RATE), []
    for name in ("xlsr", "base"):
        model = load(name, "float32")
        for n in (1, 2, 3):
            with threads.use(n):
                results.append(model.logits(x, RATE, chunk_seconds=1))
        assert np.array_equal(results[-3], results[-2])
        assert np.array_equal(results[-3], results[-1])


# --- who is cut, and where -------------------------------------------------------------------------------------------


@pytest.fixture
def heard(monkeypatch):
    """The lengths that the network hears. The network itself: it answers each frame with the letter that its first
    sample names, sure of it."""
    lengths = []

    def network(self, x, keep, stats=None):
        T = self.config.frames(len(x))
        lengths.append(len(x))
        logits = np.zeros((T, 11))
        logits[np.arange(T), np.round(x[:: self.config.hop][:T]).astype(int) % 11] = 50
        return logits, {}

    monkeypatch.setattr(Network, "forward", network)
    return lengths


@pytest.fixture
def model():
    model = load("xlsr")
    object.__setattr__(model.preprocessor, "do_normalize", False)
    return model


def spoken(rng, samples: int) -> np.ndarray:
    """What that network reads as a random text, every frame's first sample a small whole number."""
    x = np.zeros(samples)
    x[::320] = np.repeat(rng.integers(0, 11, samples), rng.integers(1, 4, samples))[: len(x[::320])]
    return x


@pytest.mark.parametrize(
    ("seconds", "how", "expected"),
    [
        (59, {}, [59]),
        (60, {}, [60]),
        (61, {}, [30.005, 30.005, 21]),
        (61, {"chunk_seconds": 0}, [61]),
        (61, {"stride_seconds": 2}, [30.005, 30.005, 9]),
        (5, {"chunk_seconds": 3}, [3.005, 3]),
        (5, {"chunk_seconds": 4, "stride_seconds": 0}, [4.005, 1]),
        (5, {"chunk_seconds": 5}, [5]),
    ],
)
def test_what_is_cut_into_which_chunks(heard, model, rng, tmp_path, seconds, how, expected):
    x = spoken(rng, seconds * RATE)
    sf.write(tmp_path / "x.wav", x, RATE, subtype="DOUBLE")
    for recording in (x, tmp_path / "x.wav", str(tmp_path / "x.wav"), np.stack([x, x], axis=1)):
        heard.clear()
        model.transcribe(recording, RATE, **how)
        assert [length / RATE for length in heard] == pytest.approx(expected, abs=1e-9)


def test_logits_are_cut_on_request_only(heard, model, rng):
    x = spoken(rng, 61 * RATE)
    model.logits(x, RATE)
    model.logits(x, RATE, chunk_seconds=0)
    assert heard == [len(x), len(x)]
    model.logits(x, RATE, chunk_seconds=30)
    assert len(heard) == 2 + 3


@pytest.mark.parametrize("seconds", [10, 9.987, 10.013])
@pytest.mark.parametrize("how", [{"chunk_seconds": 1}, {"chunk_seconds": 2, "stride_seconds": 0.5}])
def test_every_frame_is_read_once_and_in_its_place(heard, model, rng, seconds, how):
    """Text, times and scores as from one piece, also of words that lie across a seam."""
    x = spoken(rng, round(seconds * RATE))
    whole = model.transcribe(x, RATE, chunk_seconds=0)
    assert len(whole.words) > 10
    assert model.transcribe(x, RATE, **how) == whole
    assert len(heard) > 5
    assert whole.chars[-1].end <= len(x) / RATE
    assert np.array_equal(model.logits(x, RATE, **how), model.logits(x, RATE))


def test_a_bad_frame_is_counted_over_the_recording(heard, model, rng, monkeypatch):
    network = Network.forward

    def broken(self, x, keep, stats=None):
        logits, stages = network(self, x, keep, stats)
        logits[3] = np.nan if len(heard) == 2 else 0
        return logits, stages

    monkeypatch.setattr(Network, "forward", broken)
    with pytest.raises(xlsr_ref.CannotTranscribeError, match="frame 103 "):
        model.transcribe(spoken(rng, 5 * RATE), RATE, chunk_seconds=2, stride_seconds=0)


def test_a_list_gives_what_each_gives_alone(rng):
    model = load("xlsr", "float32")
    some = [rng.standard_normal(samples) for samples in (20000, 40000, 15000)]
    how = {"chunk_seconds": 0.5, "stride_seconds": 0.1}
    assert model.transcribe(some, RATE, **how) == [model.transcribe(x, RATE, **how) for x in some]


# --- files in pieces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [("WAV", "PCM_16", 16000), ("WAV", "FLOAT", 44100), ("FLAC", "PCM_16", 48000), ("MP3", "MPEG_LAYER_III", 44100)],
)
@pytest.mark.parametrize("name", ["xlsr", "base"])
def test_a_file_in_pieces_gives_what_its_samples_give(rng, monkeypatch, tmp_path, name, container, subtype, rate):
    """To the bit: decoding, resampling, mean and variance do not depend on where the pieces end."""
    if not sf.check_format(container, subtype):
        pytest.skip("this libsndfile does not write it")
    model = load(name, "float32")
    sf.write(tmp_path / "x", np.clip(swelling(rng, 3 * rate), -1, 1), rate, format=container, subtype=subtype)
    x = audio.read(tmp_path / "x", RATE)
    how = {"chunk_seconds": 0.7, "stride_seconds": 0.1}
    expected = model.transcribe(x, RATE, **how)
    monkeypatch.setattr(import_module("xlsr_ref.audio.read"), "BLOCK", 3001)
    monkeypatch.setattr(import_module("xlsr_ref.audio.resample"), "FEWEST", 1)
    assert len(list(audio.pieces(tmp_path / "x", RATE))) > 3
    assert np.array_equal(np.concatenate(list(audio.pieces(tmp_path / "x", RATE))), x)
    monkeypatch.undo()
    assert model.transcribe(tmp_path / "x", **how) == expected


def test_a_long_file_is_never_whole_in_memory(heard, model, rng, tmp_path):
    """Five minutes of FLAC: 38 MB of float64, 19 MB as the float32 that most would read."""
    model.params = load("xlsr", "float32").params
    with sf.SoundFile(tmp_path / "x.flac", "w", RATE, 1) as file:
        for _ in range(30):
            file.write(0.1 * rng.standard_normal(10 * RATE))
    model.transcribe(tmp_path / "x.flac", chunk_seconds=1)  # imports
    tracemalloc.start()
    model.transcribe(tmp_path / "x.flac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(heard) <= 30.005 * RATE
    assert peak < 22e6  # measured: 15e6; the 60 s that might have been all of it are 4e6


@pytest.mark.parametrize("how", [{"chunk_seconds": -1}, {"stride_seconds": float("nan")}, {"chunk_seconds": 1e-3}])
def test_lengths_that_cannot_be_are_refused_before_anything_is_read(model, how):
    with pytest.raises(AudioError, match=r"a chunk of|a stride of"):
        model.transcribe(["nowhere.wav", "nowhere.wav"], **how)
    with pytest.raises(AudioError, match=r"a chunk of|a stride of"):
        model.logits(np.zeros(3), RATE, **how)


def test_too_short_for_a_frame_is_refused_in_chunks_too(model):
    for ask in (model.transcribe, model.logits):
        with pytest.raises(AudioError, match="399 samples"):
            ask(np.ones(399), RATE, chunk_seconds=1)


def test_what_is_no_number_is_refused_in_chunks_too(model):
    x = np.zeros(2 * RATE)
    x[RATE] = np.inf
    for ask in (model.transcribe, model.logits):
        with pytest.raises(AudioError, match="sample 16000"):
            ask(x, RATE, chunk_seconds=1)
