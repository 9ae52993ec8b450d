"""Recordings in files: formats, rates, channels, pieces, and files that are damaged or no audio."""

from __future__ import annotations

import os
import struct
import tracemalloc
from importlib import import_module

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.audio.read import BLOCK, blocks
from xlsr_ref.errors import AudioError

sf = pytest.importorskip("soundfile")


def tone(hertz: float, rate: int, seconds: float = 1.0, phase: float = 0.3) -> np.ndarray:
    """A sine of amplitude 0.5, float64."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate + phase)


def decibels(y: np.ndarray, x: np.ndarray) -> float:
    """Level of y against x, both without the tenth at each end where the filter meets silence."""
    y, x = (part[len(part) // 10 : -len(part) // 10] for part in (y, x))
    return 20 * np.log10(np.sqrt(np.mean(y**2)) / np.sqrt(np.mean(x**2)))


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


# --- reading ---------------------------------------------------------------------------------------------------------

LOSSLESS = [  # format, subtype, largest error: half a step of the coarsest rounding between here and there
    ("WAV", "PCM_U8", 1 / 128),
    ("WAV", "PCM_16", 2**-15),
    ("WAV", "PCM_24", 2**-23),
    ("WAV", "PCM_32", 2**-31),
    ("WAV", "FLOAT", 2**-24),
    ("WAV", "DOUBLE", 0),
    ("WAV", "ULAW", 2**-5),
    ("WAV", "ALAW", 2**-5),
    ("WAVEX", "PCM_16", 2**-15),
    ("RF64", "PCM_16", 2**-15),
    ("W64", "PCM_16", 2**-15),
    ("FLAC", "PCM_16", 2**-15),
    ("FLAC", "PCM_24", 2**-23),
    ("AIFF", "PCM_16", 2**-15),
    ("AIFF", "FLOAT", 2**-24),
    ("AU", "PCM_16", 2**-15),
    ("CAF", "PCM_16", 2**-15),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("container", "subtype", "step"), LOSSLESS)
def test_every_lossless_format_gives_the_samples_back(tmp_path, container, subtype, step):
    x = tone(440, 16000)
    sf.write(tmp_path / "x", x, 16000, format=container, subtype=subtype)
    y = audio.read(tmp_path / "x", 16000, "float64")
    assert y.dtype == np.float64
    assert y.shape == x.shape
    assert np.abs(y - x).max() <= step
    single = audio.read(tmp_path / "x", 16000, "float32")
    assert single.dtype == np.float32
    assert np.array_equal(single, y.astype(np.float32))


@pytest.mark.parametrize(("container", "subtype"), LOSSY)
def test_every_lossy_format_sounds_the_same(tmp_path, container, subtype):
    if not sf.check_format(container, subtype):
        pytest.skip("this libsndfile does not write it")
    x = tone(440, 16000)
    sf.write(tmp_path / "x", x, 16000, format=container, subtype=subtype)
    y = audio.read(tmp_path / "x", 16000, "float64")
    assert y.shape == x.shape
    assert decibels(y - x, x) < -25  # measured -33 (mp3) to -47: the codec's noise, at no delay


def test_integers_are_scaled_by_their_range(tmp_path):
    ends = np.array([-(2**15), -1, 0, 1, 2**15 - 1], np.int16)
    sf.write(tmp_path / "x.wav", ends, 16000, subtype="PCM_16")
    expected = [-1, -(2**-15), 0, 2**-15, 1 - 2**-15]
    assert audio.read(tmp_path / "x.wav", 16000, "float64").tolist() == expected
    assert audio.from_array(ends, 16000, 16000, "float64").tolist() == expected


@pytest.mark.parametrize("channels", [1, 2, 6, 40])
def test_channels_are_mixed_by_their_mean(tmp_path, channels):
    x = np.random.default_rng(channels).uniform(-1, 1, (1000, channels))
    sf.write(tmp_path / "x.wav", x, 16000, subtype="DOUBLE")
    # the order of adding 40 numbers below 1 may differ: 40 * 2**-53
    np.testing.assert_allclose(audio.read(tmp_path / "x.wav", 16000, "float64"), x.mean(axis=1), rtol=0, atol=5e-15)
    np.testing.assert_allclose(audio.mono(x), x.mean(axis=1), rtol=0, atol=5e-15)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_any_rate_becomes_the_models(tmp_path, rate):
    sf.write(tmp_path / "x.wav", tone(440, rate, 0.4), rate, subtype="DOUBLE")
    y = audio.read(tmp_path / "x.wav", 16000, "float64")
    assert len(y) == 6400
    assert np.abs(y - tone(440, 16000, 0.4))[1000:-1000].max() < 1e-4  # the pass band's ripple


@pytest.mark.parametrize(("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), *LOSSY])
def test_reading_in_blocks_leaves_no_seams(tmp_path, monkeypatch, container, subtype):
    """Seeking between blocks, as soundfile does, puts clicks of half the full scale into an MP3."""
    if not sf.check_format(container, subtype):
        pytest.skip("this libsndfile does not write it")
    noise = np.random.default_rng(0).standard_normal(40000)
    sf.write(tmp_path / "x", 0.5 * np.sin(np.cumsum(noise) * 0.1), 16000, format=container, subtype=subtype)
    whole = audio.read(tmp_path / "x", 16000)
    monkeypatch.setattr(import_module("xlsr_ref.audio.read"), "BLOCK", 3001)
    assert np.array_equal(audio.read(tmp_path / "x", 16000), whole)
    assert len(list(blocks(tmp_path / "x"))) == 14


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_pieces_are_the_whole_at_another_rate(tmp_path, monkeypatch, rate):
    x = tone(440, rate, 1.7)
    sf.write(tmp_path / "x.wav", np.stack([x, -0.5 * x], axis=1), rate, subtype="DOUBLE")
    monkeypatch.setattr(import_module("xlsr_ref.audio.read"), "BLOCK", 5000)
    monkeypatch.setattr(import_module("xlsr_ref.audio.resample"), "FEWEST", 1)
    found = list(audio.pieces(tmp_path / "x.wav", 16000, "float64"))
    assert len(found) > 5
    np.testing.assert_array_equal(np.concatenate(found), audio.resample(0.25 * x, rate, 16000))


@pytest.mark.skipif(os.name == "nt", reason="Windows names are Unicode")
def test_a_name_that_is_not_text(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n.wav")
    sf.write(name, tone(440, 16000), 16000, format="WAV")
    assert len(audio.read(os.fsdecode(name), 16000)) == 16000
    with open(name, "wb") as file:
        file.write(b"nothing")
    with pytest.raises(AudioError) as error:
        audio.read(os.fsdecode(name), 16000)
    one_line(error).encode()  # can be printed


# --- files that are not whole, or not audio --------------------------------------------------------------------------


def wav(riff_size, data_size, data, rate=16000, channels=1, tail=b""):
    """A 16-bit WAV with these sizes in its header, right or wrong."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return (
        struct.pack("<4sI4s4sI16s4sI", b"RIFF", riff_size, b"WAVE", b"fmt ", 16, form, b"data", data_size) + data + tail
    )


DATA = (np.sin(np.arange(8000) * 0.1) * 9000).astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("riff_size", "data_size"),
    [
        (36 + len(DATA), len(DATA)),  # whole
        (0, len(DATA)),
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg to a pipe
        (0x7FFFF024, 0x7FFFF000),  # sox to a pipe
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0x80000000, 0x80000000),
        (0, 0),  # never filled in
        (8, 0),
        (36, 0),  # a recorder that died
        (0xFFFFFFFF, 0),
    ],
)
def test_a_wav_whose_writer_could_not_go_back_is_read_to_its_end(tmp_path, riff_size, data_size):
    (tmp_path / "x.wav").write_bytes(wav(riff_size, data_size, DATA))
    y = audio.read(tmp_path / "x.wav", 16000, "float64")
    assert np.array_equal(y, np.frombuffer(DATA, "<i2") / 2.0**15)


def test_a_wav_without_samples_does_not_play_its_tags(tmp_path):
    tags = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf59.27.100\0"
    (tmp_path / "x.wav").write_bytes(wav(36 + len(tags), 0, b"", tail=tags))
    with pytest.raises(AudioError, match="no samples"):
        audio.read(tmp_path / "x.wav", 16000)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAV", "IMA_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("SVX", "PCM_16"),
        ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"),
        ("FLAC", "PCM_16"),
        *LOSSY,
    ],
)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_is_refused(tmp_path, container, subtype, part):
    if not sf.check_format(container, subtype):
        pytest.skip("this libsndfile does not write it")
    noise = np.random.default_rng(0).standard_normal(48000)
    sf.write(tmp_path / "x", 0.5 * np.sin(np.cumsum(noise) * 0.1), 16000, format=container, subtype=subtype)
    raw = (tmp_path / "x").read_bytes()
    audio.read(tmp_path / "x", 16000)
    (tmp_path / "x").write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(AudioError, match=r"is cut short or damaged|is not audio") as error:
        audio.read(tmp_path / "x", 16000)
    one_line(error)


def test_an_mp3_that_promises_no_length_is_taken_as_it_is(tmp_path):
    """Without a Xing or Info header libsndfile guesses the length from the bit rate; a wrong guess is no damage."""
    if not sf.check_format("MP3"):
        pytest.skip("this libsndfile does not write it")
    quiet_then_loud = np.concatenate([np.zeros(48000), np.random.default_rng(0).uniform(-0.5, 0.5, 48000)])
    sf.write(tmp_path / "x.mp3", quiet_then_loud, 16000, bitrate_mode="VARIABLE")
    raw = (tmp_path / "x.mp3").read_bytes()
    second = raw.index(raw[:2], 40)  # the next frame's sync word: the first frame is the Xing header
    assert b"Xing" in raw[:second]
    (tmp_path / "x.mp3").write_bytes(raw[second:])
    assert len(audio.read(tmp_path / "x.mp3", 16000)) == pytest.approx(96000, abs=4 * 1152)


def flac_promising(path, samples):
    """A whole FLAC whose header claims another number of samples (36 bits, 18 bytes into the stream info)."""
    sf.write(path, tone(440, 16000), 16000, format="FLAC")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"fLaC") + 8 + 10
    field = int.from_bytes(raw[at : at + 8], "big")
    raw[at : at + 8] = (field >> 36 << 36 | samples).to_bytes(8, "big")
    path.write_bytes(raw)


def test_a_flac_from_a_pipe_does_not_know_its_length(tmp_path):
    flac_promising(tmp_path / "x.flac", 0)
    assert len(audio.read(tmp_path / "x.flac", 16000)) == 16000


def test_tags_behind_a_flac_are_not_decoded(tmp_path):
    sf.write(tmp_path / "x.flac", tone(440, 16000), 16000)
    with open(tmp_path / "x.flac", "ab") as file:
        file.write(b"TAG" + bytes(125))  # ID3v1
    assert len(audio.read(tmp_path / "x.flac", 16000)) == 16000


def test_a_header_that_lies_costs_no_memory(tmp_path):
    flac_promising(tmp_path / "x.flac", 2**36 - 1)
    tracemalloc.start()
    with pytest.raises(AudioError, match="68719476735 samples"):
        audio.read(tmp_path / "x.flac", 16000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * BLOCK * 8  # a few blocks of float64


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"RIFF", "not audio"),
        (b"The quick brown fox jumps over the lazy dog.\n" * 50, "not audio"),
        (bytes(5000), "not audio"),
        (wav(36 + len(DATA), len(DATA), DATA, channels=0), "[Cc]hannel"),
        (wav(36, 0, b""), "no samples"),
        (wav(36 + len(DATA), len(DATA), b""), "cut short"),
        (wav(36 + len(DATA), len(DATA), DATA[:-2]), "cut short"),
        (wav(36 + len(DATA), len(DATA), DATA, rate=2**31 - 1), "2147483647"),
        (wav(36 + len(DATA), len(DATA), DATA, rate=1), "sampling rate"),
    ],
)
@pytest.mark.parametrize("ending", ["wav", "au", "vox", "raw", "mp3"])
def test_a_file_that_is_not_audio_is_refused_whatever_its_name(tmp_path, content, says, ending):
    """libsndfile itself decodes any bytes called x.au or x.vox."""
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    if ending == "raw":  # soundfile asks for a rate before it looks into the file
        says = "empty" if not content else "not audio"
    with pytest.raises(AudioError, match=says) as error:
        audio.read(path, 16000)
    assert str(path) in one_line(error)


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(AudioError, match="No such file"):
        audio.read(tmp_path / "absent.wav", 16000)
    with pytest.raises(AudioError, match="folder"):
        audio.read(tmp_path, 16000)
    with pytest.raises(AudioError, match="cannot be opened"):
        audio.read("nul\0.wav", 16000)
    with pytest.raises(AudioError, match="cannot be opened"):
        audio.read(None, 16000)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(AudioError, match="not a regular file"):
            audio.read(tmp_path / "pipe", 16000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_sample_that_is_no_number_is_named_with_its_second(tmp_path, monkeypatch, bad):
    x = np.zeros((16000, 2))
    x[12000, 1] = x[13000, 0] = bad
    sf.write(tmp_path / "x.wav", x, 8000, subtype="DOUBLE")
    monkeypatch.setattr(import_module("xlsr_ref.audio.read"), "BLOCK", 3000)
    for act in (
        lambda: audio.read(tmp_path / "x.wav", 16000),
        lambda: audio.from_array(x, 8000, 16000),
        lambda: audio.normalise(x[:, 1], 8000),
    ):
        with pytest.raises(AudioError, match=r"sample 12000, at 1\.5000 s") as error:
            act()
        one_line(error)
