"""Audio in: frames, the preprocessor's files, reading, arrays, resampling, normalising, and what is refused."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.errors import AudioError, ConfigError
from xlsr_ref.ops import conv_length

sf = pytest.importorskip("soundfile")

KERNEL, STRIDE = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # the released models


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


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (0, 0),
        (399, 0),
        (400, 1),
        (719, 1),
        (720, 2),
        (3200, 9),
        (3280, 10),
        (16000, 49),
        (16080, 50),
        (80000, 249),
        (160000, 499),
        (240000, 749),
        (320000, 999),
    ],
)
def test_frames_of_the_released_models(samples, expected):
    assert conv_length.frames(samples, KERNEL, STRIDE) == expected


def test_hop_and_field_of_the_released_models():
    assert conv_length.hop(STRIDE) == 320
    assert conv_length.receptive_field(KERNEL, STRIDE) == 400


def test_frames_hop_and_field_count_windows_for_any_encoder():
    rng = np.random.default_rng(0)
    for _ in range(200):
        layers = rng.integers(1, 5)
        kernel, stride = (tuple(int(v) for v in rng.integers(1, 6, layers)) for _ in range(2))
        field, hop = conv_length.receptive_field(kernel, stride), conv_length.hop(stride)
        for samples in range(3 * field):
            positions = range(samples)
            for k, s in zip(kernel, stride):  # slide each layer's window over the positions of the layer below
                positions = range(0, len(positions) - k + 1, s)
            assert conv_length.frames(samples, kernel, stride) == len(positions)
            assert (len(positions) > 0) == (samples >= field)
        assert conv_length.frames(field + hop - 1, kernel, stride) == 1
        assert conv_length.frames(field + hop, kernel, stride) == 2


def test_too_short_for_a_frame_is_refused_with_the_numbers():
    audio.require_a_frame(400, 16000, KERNEL, STRIDE)
    with pytest.raises(AudioError) as error:
        audio.require_a_frame(399, 16000, KERNEL, STRIDE)
    text = one_line(error)
    assert "399" in text
    assert "400" in text
    assert "0.0250 s" in text


# --- the preprocessor's files ----------------------------------------------------------------------------------------


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
    assert audio.Preprocessor.from_folder(folder_with(tmp_path, **files)) == audio.Preprocessor(*expected)


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
        audio.Preprocessor.from_folder(folder_with(tmp_path, preprocessor_config=content))
    assert "preprocessor_config.json" in one_line(error)
    if isinstance(content, dict):
        nested = folder_with(tmp_path, processor_config={"feature_extractor": content})
        with pytest.raises(ConfigError) as error:
            audio.Preprocessor.from_folder(nested)
        assert "/processor_config.json" in one_line(error).replace("\\", "/")


def test_a_preprocessor_file_that_is_not_text_or_not_nested_is_refused(tmp_path):
    (tmp_path / "preprocessor_config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="preprocessor_config"):
        audio.Preprocessor.from_folder(tmp_path)
    folder_with(tmp_path, processor_config={"feature_extractor": 3})
    with pytest.raises(ConfigError, match="feature_extractor is 3"):
        audio.Preprocessor.from_folder(tmp_path)
    with pytest.raises(ConfigError, match="not there"):
        audio.Preprocessor.from_folder(tmp_path / "absent")


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
    monkeypatch.setattr(audio, "BLOCK", 3001)
    assert np.array_equal(audio.read(tmp_path / "x", 16000), whole)
    assert len(list(audio.blocks(tmp_path / "x"))) == 14


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_pieces_are_the_whole_at_another_rate(tmp_path, monkeypatch, rate):
    x = tone(440, rate, 1.7)
    sf.write(tmp_path / "x.wav", np.stack([x, -0.5 * x], axis=1), rate, subtype="DOUBLE")
    monkeypatch.setattr(audio, "BLOCK", 5000)
    monkeypatch.setattr("xlsr_ref.resampling.FEWEST", 1)
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
    assert peak < 16 * audio.BLOCK * 8  # a few blocks of float64


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
    monkeypatch.setattr(audio, "BLOCK", 3000)
    for act in (
        lambda: audio.read(tmp_path / "x.wav", 16000),
        lambda: audio.from_array(x, 8000, 16000),
        lambda: audio.normalise(x[:, 1], 8000),
    ):
        with pytest.raises(AudioError, match=r"sample 12000, at 1\.5000 s") as error:
            act()
        one_line(error)


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")  # an overflow in half precision
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8", "g", "<i2", ">i2", "<i4", "|u1"])
def test_every_sample_type_is_the_same_recording(kind, dtype):
    x = tone(440, 16000)
    scale = {"<i2": 2**15, ">i2": 2**15, "<i4": 2**31, "|u1": 2**7}.get(kind, 1)
    samples = (np.round(x * scale) + (128 if kind == "|u1" else 0) if scale > 1 else x).astype(kind)
    before = samples.copy()
    y = audio.from_array(samples, 16000, 16000, dtype)
    step = 0.5 / scale if scale > 1 else float(np.finfo(kind).eps) / 2
    assert y.dtype == dtype
    assert np.abs(y - x).max() <= step + 2**-24  # float32's own rounding
    assert np.array_equal(samples, before)


def test_a_slice_becomes_an_array_that_kernels_take():
    unaligned = np.frombuffer(bytes(1) + tone(440, 16000).tobytes(), np.uint8)[1:].view(np.float64)
    for x in (tone(440, 32000)[::2], np.stack([tone(440, 16000)] * 2, axis=1)[:, :1], unaligned):
        y = audio.from_array(x, 16000, 16000, "float64")
        assert y.flags.c_contiguous
        assert y.flags.aligned
        assert np.array_equal(y, x.ravel())


def test_lists_stereo_and_rates():
    assert audio.from_array([0.0, 0.5, -0.5], 16000, 16000).tolist() == [0, 0.5, -0.5]
    x = np.stack([tone(440, 8000), -tone(440, 8000), 3 * tone(440, 8000)], axis=1)
    y = audio.from_array(x, 8000, 16000, "float64")
    assert y.shape == (16000,)
    assert np.array_equal(y, audio.resample(x.mean(axis=1), 8000, 16000))


@pytest.mark.parametrize("rate", [16000, 16000.0, np.int64(16000), np.float32(16000), np.uint16(16000)])
def test_rates_that_are_whole_numbers(rate):
    assert len(audio.from_array(np.zeros(10), rate, 16000)) == 10
    assert type(audio.check_rate(rate)) is int


@pytest.mark.parametrize(
    "rate",
    [
        0,
        -16000,
        1,
        999,
        1_000_001,
        2**31 - 1,
        10**30,
        16000.5,
        np.nan,
        np.inf,
        "16000",
        True,
        np.True_,
        [16000],
        16000j,
    ],
)
def test_rates_that_are_not(rate):
    for act in (lambda: audio.from_array(np.zeros(10), rate, 16000), lambda: audio.resample(np.zeros(10), 16000, rate)):
        with pytest.raises(AudioError, match="sampling rate") as error:
            act()
        one_line(error)


def test_an_array_without_a_rate_is_refused_never_guessed():
    with pytest.raises(AudioError, match="not guessed"):
        audio.from_array(np.zeros(16000), None, 16000)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((2, 16000)), "transpose"),
        (np.zeros((1, 16000), np.int16), "transpose"),
        (np.zeros(0), "no samples"),
        (np.zeros((0, 2)), "no samples"),
        (np.zeros((10, 0)), "no samples"),
        (np.zeros(()), "shape"),
        (np.zeros((4, 4, 4)), "shape"),
        (3.0, "shape"),
        (None, "shape"),
        ([], "no samples"),
        (np.zeros(9, bool), "bool"),
        (np.zeros(9, complex), "complex"),
        (np.zeros(9, object), "object"),
        (np.zeros(9, np.int64), "int64"),
        (np.zeros(9, np.uint16), "uint16"),
        (["a", "b"], "U"),
        ([[0.0, 1.0], [2.0]], "array of samples"),
    ],
)
def test_arrays_that_are_not_audio(array, says):
    with pytest.raises(AudioError, match=says) as error:
        audio.from_array(array, 16000, 16000)
    one_line(error)


@pytest.mark.parametrize("dtype", ["float16", "int16", "nonsense", object, 3, ">f4"])
def test_other_dtypes_are_refused(tmp_path, dtype):
    sf.write(tmp_path / "x.wav", tone(440, 16000), 16000)
    for act in (
        lambda: audio.from_array(np.zeros(9), 16000, 16000, dtype),
        lambda: audio.read(tmp_path / "x.wav", 16000, dtype),
    ):
        with pytest.raises(AudioError, match="float32 or float64"):
            act()


def test_inputs_are_not_modified():
    x = np.random.default_rng(0).standard_normal((1000, 2))
    x.setflags(write=False)
    before = x.copy()
    for rate in (16000, 44100):
        audio.from_array(x, rate, 16000)
        audio.from_array(x[:, 0], rate, 16000, "float64")
        audio.resample(x[:, 1], rate, 16000)
    audio.normalise(x[:, 0])
    assert np.array_equal(x, before)


# --- normalising -----------------------------------------------------------------------------------------------------


def test_mean_zero_and_population_variance_one():
    x = np.array([1.0, 2.0, 3.0, 6.0])  # mean 3, population variance 14 / 4, sample variance 14 / 3
    np.testing.assert_allclose(audio.normalise(x), (x - 3) / np.sqrt(3.5 + 1e-7), rtol=1e-15)


def test_epsilon_stands_inside_the_root():
    x = 1e-4 * np.array([-1.0, 1.0])  # variance 1e-8: smaller than epsilon
    np.testing.assert_allclose(audio.normalise(x), x / np.sqrt(1.1e-7), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 0.1, -1, 12345.678])
def test_silence_and_constants_become_silence(value, dtype):
    y = audio.normalise(np.full(100_003, value, dtype))
    assert y.dtype == dtype
    assert np.abs(y).max() < 1e-6  # the mean's last bit: 2**-53 * 12345 / sqrt(1e-7) = 4e-9, and the sum's


def test_scale_and_offset_do_not_matter():
    x = tone(440, 16000)
    np.testing.assert_allclose(audio.normalise(3 * x + 0.1), audio.normalise(x), rtol=0, atol=1e-6)


def test_float32_is_the_float64_answer_rounded_once():
    """A mean of 1000 eats the digits of a float32 sum; statistics in float64 lose nothing."""
    x = (np.random.default_rng(0).standard_normal(200_000) + 1000).astype(np.float32)
    y = audio.normalise(x)
    assert y.dtype == np.float32
    assert np.array_equal(y, audio.normalise(x.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_scale_does_not_depend_on_the_pieces(monkeypatch, rng, dtype):
    """Means that differ from stretch to stretch must be joined; where the pieces end changes no bit."""
    monkeypatch.setattr(audio, "BLOCK", 1000)
    x = (rng.standard_normal(5432) * np.linspace(0.1, 3, 5432) + np.linspace(-1000, 50, 5432)).astype(dtype)
    wide = x.astype(np.float64)
    scale = audio.measure([x])
    assert scale.samples == 5432
    assert scale.mean == pytest.approx(wide.mean(), rel=1e-14)
    assert scale.std == pytest.approx(np.sqrt(wide.var() + 1e-7), rel=1e-14)
    for edges in ([], [1], [999, 1000, 1001, 3500], range(0, 5432, 7), [0, 5432]):
        assert audio.measure(iter(np.split(x, edges))) == scale
    whole = audio.normalise(x)
    np.testing.assert_array_equal(audio.rescale(x[1234:4321], scale), whole[1234:4321])
    np.testing.assert_allclose(whole, (wide - wide.mean()) / np.sqrt(wide.var() + 1e-7), rtol=0, atol=1e-6)


def test_nothing_to_normalise_is_refused():
    with pytest.raises(AudioError, match="no samples"):
        audio.normalise(np.zeros(0))
    with pytest.raises(AudioError, match="float32 or float64"):
        audio.normalise(np.zeros(10, np.int16))
    with pytest.raises(AudioError, match=r"nan \(sample 3\)"):
        audio.normalise(np.array([0, 0, 0, np.nan]))
