"""Arrays of samples: their types, channels and rates, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.audio.resample import check_rate
from xlsr_ref.errors import AudioError

sf = pytest.importorskip("soundfile")


def tone(hertz: float, rate: int, seconds: float = 1.0, phase: float = 0.3) -> np.ndarray:
    """A sine of amplitude 0.5, float64."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate + phase)


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


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
    assert type(check_rate(rate)) is int


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
