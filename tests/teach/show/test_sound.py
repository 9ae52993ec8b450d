"""Waveforms, spectrograms and responses: what stands on the paper is what is in the array."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle

import xlsr_ref
from xlsr_ref.teach import show
from xlsr_ref.teach.show import picture


@pytest.fixture
def unrendered(monkeypatch):
    """The axes are looked at, not the paper: that takes a second each."""
    monkeypatch.setattr(picture, "render", lambda drawn, alt: None)


pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.mark.parametrize(("samples", "columns"), [(50_000, 800), (801, 800), (1000, 999), (5, 800), (1, 3)])
def test_the_envelope_leaves_no_sample_out(rng, samples, columns):
    x = rng.standard_normal(samples)
    low, high = show.envelope(x, columns)
    assert len(low) == len(high) == min(samples, columns)
    edges = np.linspace(0, samples, len(low) + 1).astype(int)
    assert np.diff(edges).min() >= 1
    for i, (begin, end) in enumerate(pairwise(edges)):
        assert (low[i], high[i]) == (x[begin:end].min(), x[begin:end].max())


def test_a_long_waveform_is_drawn_as_its_envelope(rng):
    x = rng.uniform(-0.1, 0.1, 50_000)
    x[31_000], x[47_123] = 0.9, -0.8  # one sample each
    with show.figure("x", height=2) as ax:
        show.waveform(ax, x, 16000, start=1.0)
    (band,) = (item for item in ax.collections if isinstance(item, PolyCollection))
    points = band.get_paths()[0].vertices
    assert (points[:, 1].min(), points[:, 1].max()) == (-0.8, 0.9)
    assert points[points[:, 1].argmax(), 0] == pytest.approx(1 + 31_000 / 16000, abs=50_000 / 16000 / 800)
    assert points[points[:, 1].argmin(), 0] == pytest.approx(1 + 47_123 / 16000, abs=50_000 / 16000 / 800)
    assert ax.get_xlim() == (1.0, 1 + 50_000 / 16000)


def test_a_short_waveform_is_drawn_sample_by_sample(rng):
    x = rng.standard_normal(100)
    with show.figure("x") as ax:
        show.waveform(ax, x, 8000)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), x)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), np.arange(100) / 8000)
    assert ax.get_xlabel() == "time (s)"


@pytest.mark.parametrize(("samples", "frames"), [(399, 0), (400, 1), (719, 1), (720, 2), (1600, 4)])
def test_each_frame_is_a_bar_over_what_it_sees(samples, frames):
    with show.figure("x") as ax:
        show.waveform(ax, np.sin(np.arange(samples)), 16000, frames=xlsr_ref.load().config, start=0.5)
    bars = [item for item in ax.patches if isinstance(item, Rectangle)]
    assert [text.get_text() for text in ax.texts] == [str(t) for t in range(frames)]
    np.testing.assert_allclose([bar.get_x() for bar in bars], 0.5 + np.arange(frames) * 0.02)
    np.testing.assert_allclose([bar.get_width() for bar in bars], np.full(frames, 0.025))
    for one, other in pairwise(bars):
        assert one.get_y() != other.get_y()  # they overlap in time
        assert one.get_y() + one.get_height() < -0.99  # below the waveform


def test_of_many_frames_the_beginnings(rng):
    with show.figure("x") as ax:
        show.waveform(ax, rng.standard_normal(16000), 16000, frames=(320, 400))
    (marks,) = ax.lines
    np.testing.assert_allclose(np.asarray(marks.get_xdata())[::3], np.arange(49) * 0.02)  # 49 frames, not 50
    assert len(marks.get_xdata()) == 49 * 3


def test_the_time_axis_is_named_once_where_it_is_shared(rng):
    with show.figure("x", rows=2, sharex=True) as axes:
        for ax in axes:
            show.waveform(ax, rng.standard_normal(1000), 16000)
    assert [ax.get_xlabel() for ax in axes] == ["", "time (s)"]
    with show.figure("x", rows=2) as axes:
        for ax in axes:
            show.waveform(ax, rng.standard_normal(1000), 16000)
    assert [ax.get_xlabel() for ax in axes] == ["time (s)"] * 2


def test_a_tone_stands_at_its_frequency_and_time():
    x = np.zeros(16000)
    x[8000:] = np.sin(2 * np.pi * 2000 * np.arange(8000) / 16000)
    with show.figure("x") as ax:
        image = show.spectrogram(ax, x, 16000)
    level = image.get_array()
    left, right, bottom, top = image.get_extent()
    assert (bottom, top) == (0, 8)
    rows, columns = level.shape
    assert level.max() == 0
    time = left + (np.arange(columns) + 0.5) * (right - left) / columns
    loud = level.max(axis=0) > -3
    assert time[loud].min() == pytest.approx(0.5, abs=0.0126)  # when the whole window is inside
    assert not loud[time < 0.48].any()
    np.testing.assert_array_equal(level.argmax(axis=0)[loud], (rows - 1) // 4)  # 2 of 8 kHz
    assert ax.get_xlim() == (0, 1)


def test_a_click_stands_at_its_time():
    x = np.zeros(16000)
    x[8000] = 1
    with show.figure("x") as ax:
        image = show.spectrogram(ax, x, 16000)
    left, right, *_ = image.get_extent()
    loudest = image.get_array()[10].argmax()
    assert left + (loudest + 0.5) * (right - left) / image.get_array().shape[1] == pytest.approx(0.5, abs=0.0051)


def test_the_spectrogram_of_a_long_sound_has_few_columns(rng):
    with show.figure("x") as ax:
        image = show.spectrogram(ax, rng.standard_normal(16000 * 30), 16000)
    assert 700 <= image.get_array().shape[1] <= 801
    with pytest.raises(ValueError, match="399 samples are fewer than the window's 400"):
        show.spectrogram(ax, np.zeros(399), 16000)


def test_the_response_of_a_mean_over_eight_samples():
    with show.figure("x", columns=2) as (one, two):
        show.response(one, np.ones(8) / 8, 16000)
        show.response(two, {"mean": np.ones(8) / 8, "twice": np.array([2.0])}, 16000)
    frequency, gain = one.lines[0].get_data()
    assert gain[0] == pytest.approx(0)
    assert gain[np.argmin(np.abs(frequency - 2))] == -100  # 16000 / 8: a whole period sums to nothing
    k = np.argmin(np.abs(frequency - 1))
    expected = abs(np.exp(-2j * np.pi * 1000 / 16000 * np.arange(8)).sum()) / 8
    assert gain[k] == pytest.approx(20 * np.log10(expected), abs=1e-6)
    np.testing.assert_allclose(two.lines[1].get_ydata(), 20 * np.log10(2))
    assert [text.get_text() for text in two.get_legend().get_texts()] == ["mean", "twice"]
    assert one.get_legend() is None
