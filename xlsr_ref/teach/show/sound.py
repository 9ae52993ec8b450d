"""Sound: a waveform with its frames, a spectrogram, and how a filter treats each frequency.

    spectrogram(t, f) = 20 log10 |Σ_n w(n) x(n + t·hop) e^(−2πi f n / N)|        w a Hann window of N samples
    response(f) = 20 log10 |Σ_k taps(k) e^(−2πi f k / rate)|

A waveform of many samples is drawn as its envelope: the smallest and the largest sample of each column of the picture,
which looks the same as all of them. Letters: L samples, K taps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from xlsr_ref.teach.show.style import COLOURS, SEQUENTIAL, below, dashes, tones
from xlsr_ref.wav2vec2.config import Config

COLUMNS = 800  # of an envelope, and at most of a spectrogram
FEW_FRAMES = 24  # drawn as numbered bars; of more only the beginnings


def waveform(
    ax: Axes, x: np.ndarray, rate: float, frames: Config | tuple[int, int] | None = None, start: float = 0.0
) -> None:
    """``x`` (L,) at ``rate`` Hz over seconds; ``start`` is the time of its first sample.

    ``frames``, a config or (hop, receptive field) in samples, adds what each frame sees, as numbered bars; of more than
    24 frames only where each begins. More than 1600 samples are drawn as an envelope.
    """
    x = np.asarray(x)
    if len(x) > 2 * COLUMNS:
        low, high = envelope(x)
        edges = start + np.linspace(0, len(x), len(low) + 1) / rate
        middle = (edges[:-1] + edges[1:]) / 2
        ax.fill_between(middle, low, high, color=COLOURS["sound"], linewidth=0.5)
    else:
        ax.plot(start + np.arange(len(x)) / rate, x, color=COLOURS["sound"], linewidth=1)
    ax.set_xlim(start, start + len(x) / rate)
    below(ax, "time (s)")
    ax.set_ylabel("amplitude")
    if frames is not None:
        hop, field = (frames.hop, frames.receptive_field) if isinstance(frames, Config) else frames
        _frames(ax, len(x), rate, hop, field, start)


def envelope(x: np.ndarray, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest of ``x`` (L,) in each of ``columns`` stretches, as equal as can be: two (columns,).

    No sample is left out. Fewer samples than columns are as many stretches of one.
    """
    x = np.asarray(x)
    starts = np.linspace(0, len(x), min(columns, len(x)) + 1).astype(int)[:-1]
    return np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)


def _frames(ax: Axes, samples: int, rate: float, hop: int, field: int, start: float) -> None:
    """What each whole frame of ``samples`` sees, below the waveform."""
    begins = np.arange(0, samples - field + 1, hop)
    low, high = ax.get_ylim()
    ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= high])  # none beside the bars
    unit = (high - low) * 0.11  # a bar's height and the space below it
    if len(begins) > FEW_FRAMES:
        marks = np.stack([begins, begins, begins], axis=1).ravel() / rate + start  # one line, with gaps
        ax.plot(marks, np.tile([low - unit, low, np.nan], len(begins)), color=COLOURS["features"], linewidth=0.6)
        ax.set_ylim(low - unit, high)
        return
    rows = -(-field // hop) if hop else 1  # bars that overlap stand below each other
    for t, begin in enumerate(begins):
        bottom = low - unit * (1 + t % rows)
        left, width = start + begin / rate, field / rate
        ax.barh(
            bottom, width, unit * 0.8, left, align="edge", color=COLOURS["features"], alpha=0.25,
            edgecolor=COLOURS["features"], linewidth=0.8,
        )  # fmt: skip
        ax.text(left + width / 2, bottom + unit * 0.37, str(t), size=8, ha="center", va="center")
    ax.set_ylim(low - unit * (rows + 0.3), high)


def spectrogram(
    ax: Axes, x: np.ndarray, rate: float, window: float = 0.025, hop: float = 0.01, floor: float = 70.0
) -> AxesImage:
    """The spectrogram of ``x`` (L,) at ``rate`` Hz: kHz over seconds, in dB below the loudest, down to ``floor``.

    ``window`` and ``hop`` are in seconds; of a long sound the hop grows until there are 800 columns. Returns the image.
    Raises ValueError where ``x`` is shorter than the window.
    """
    n, step = round(window * rate), max(1, round(hop * rate), len(x) // COLUMNS)
    level = decibels(x, n, step)
    side, top = n / 2 / rate, rate / 2000  # a column stands in the middle of its window
    last = side + (len(level) - 1) * step / rate
    image = ax.imshow(
        level.T, aspect="auto", origin="lower", cmap=tones(SEQUENTIAL), vmin=-floor, vmax=0,
        extent=(side - step / rate / 2, last + step / rate / 2, 0, top),
    )  # fmt: skip
    ax.set_xlim(0, len(x) / rate)
    below(ax, "time (s)")
    ax.set_ylabel("frequency (kHz)")
    return image


def decibels(x: np.ndarray, window: int, hop: int) -> np.ndarray:
    """The levels of a spectrogram of ``x`` (L,): (columns, window // 2 + 1), in dB below the loudest, which is 0.

    ``window`` and ``hop`` are in samples. Raises ValueError where ``x`` is shorter than the window.
    """
    if len(x) < window:
        raise ValueError(f"{len(x)} samples are fewer than the window's {window}")
    cut = np.lib.stride_tricks.sliding_window_view(np.asarray(x, np.float64), window)[::hop]  # (columns, window)
    power = np.abs(np.fft.rfft(cut * np.hanning(window))) ** 2
    level = 10 * np.log10(np.maximum(power, 1e-30))
    return level - level.max()


def response(ax: Axes, taps: np.ndarray | Mapping[str, np.ndarray], rate: float, floor: float = -100.0) -> None:
    """The magnitude response of a filter's ``taps`` (K,) at ``rate`` Hz: dB over kHz, not below ``floor``.

    Several filters, by name, are a dict.
    """
    several = taps if isinstance(taps, Mapping) else {"": taps}
    points = max(4096, *(2 * len(one) for one in several.values()))
    frequencies = np.fft.rfftfreq(points, 1 / rate) / 1000
    for i, (name, one) in enumerate(several.items()):
        size = np.abs(np.fft.rfft(np.asarray(one, np.float64), points))
        level = 20 * np.log10(np.maximum(size, 10 ** (floor / 20)))
        ax.plot(frequencies, level, label=name, **dashes(i, name, alone="features"))
    ax.set_xlim(0, rate / 2000)
    below(ax, "frequency (kHz)")
    ax.set_ylabel("gain (dB)")
    if len(several) > 1:
        ax.legend()
