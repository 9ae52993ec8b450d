"""Another sampling rate: the same sound, measured more or less often.

    y[m] = Σ_n x[n] · kernel(m·down - n·up)         up / down = to_rate / from_rate in lowest terms

The kernel is a windowed sinc, centred, so nothing is delayed; beyond both ends x counts as silence.
In pieces: x moved by `down` samples gives y moved by `up`, term by term. So a stretch of x that begins at a multiple of
`down` and has the kernel's reach on both sides gives the same bits in its middle as the whole recording does there.
Where: Smith & Gossett 1984, windowed-sinc interpolation. Nothing here knows the network.
Letters: L samples.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from xlsr_ref.errors import AudioError, XlsrError

SLOWEST, FASTEST = 1_000, 1_000_000  # Hz. Beyond lie damaged headers: 1 Hz would turn a minute into a week
# Of what lies below the lower rate's Nyquist frequency all up to 0.91 of it passes, changed by less than 0.08 dB; from
# that frequency on everything is 100 dB down or more. Measured, by tones and by the transform of the kernel: −0.076 dB
# at 0.91, −100.5 dB at the highest lobe beyond. tests/audio/test_resample.py holds both.
LOBES = 61  # periods of the lower rate on each side; with 59 no window of this kind has both
ROLL_OFF = 0.947  # the cutoff, where half of the amplitude passes, as a part of the lower Nyquist frequency
BETA = 10.1  # of the Kaiser window: how far down the stop band lies, and how wide the band between the two is
MOST_TAPS = 1 << 23  # a table stays below 200 MB; 96001 Hz, which shares no factor with 16000 Hz, would need more
AT_ONCE = 1 << 18  # kernel values that the sum without a table holds
MARGINS, FEWEST = 4, 1 << 16  # a stretch of a recording in pieces waits for this many times its margin, and samples


def resample(x: np.ndarray, from_rate: Any, to_rate: Any) -> np.ndarray:
    """``x`` (L,) at ``from_rate`` Hz as (round(L·to/from),) samples at ``to_rate``, in x's dtype; halves round to even.

    Returns x itself where the rates agree. SciPy runs the sum from a table of the kernel; ``_resample_slowly`` is the
    equation as it stands. Raises AudioError.
    """
    float_type(x.dtype)
    ratio = Fraction(check_rate(to_rate), check_rate(from_rate))
    length = round(len(x) * ratio)
    return x[:length] if ratio == 1 else _resampler(ratio, x.dtype)(x, length)


def resample_pieces(pieces: Iterable[np.ndarray], from_rate: Any, to_rate: Any) -> Iterator[np.ndarray]:
    """:func:`resample` of a recording that comes in ``pieces`` (n,) of any sizes: the same samples to the bit, in
    pieces, of which the last may be empty."""
    stream = Resampler(from_rate, to_rate)
    if stream.ratio == 1:
        yield from pieces
        return
    for piece in pieces:
        y = stream.feed(piece)
        if len(y):
            yield y
    yield stream.finish()


class Resampler:
    """:func:`resample` of a recording that comes piece by piece: what :meth:`feed` and at the end :meth:`finish` give,
    one after the other, is the same to the bit. A result comes when ``fewest`` samples were fed (None: many, which is
    faster) and the kernel's reach beyond them, ``delay`` seconds."""

    def __init__(self, from_rate: Any, to_rate: Any, fewest: int | None = None) -> None:
        source = check_rate(from_rate)
        self.ratio = Fraction(check_rate(to_rate), source)
        up, down = self.ratio.numerator, self.ratio.denominator
        self._margin = -(-_reach(up, down) // (up * down)) * down  # samples of x: the kernel's reach, whole `down`s
        self._fewest = max(MARGINS * self._margin, FEWEST) if fewest is None else max(fewest, down)
        self.delay = 0.0 if self.ratio == 1 else (self._margin + down) / source
        self._held: list[np.ndarray] = []
        self._first = self._done = self._total = 0  # of x: held from here; turned into y; seen. The first two: · down
        self._sum: Callable[[np.ndarray, int], np.ndarray] | None = None

    def feed(self, x: np.ndarray) -> np.ndarray:
        """What follows from the next samples ``x`` (n,): (m,) samples of the result, m may be 0."""
        if self.ratio == 1:
            return x
        self._held.append(x)
        self._total += len(x)
        up, down = self.ratio.numerator, self.ratio.denominator
        stop = (self._total - self._margin) // down * down
        if stop - self._done < self._fewest:
            return x[:0]
        x = np.concatenate(self._held)
        y = self._made(x, (stop - self._first) // down * up)
        start = max(stop - self._margin, 0)
        self._held, self._done, self._first = [x[start - self._first :]], stop, start
        return y

    def finish(self) -> np.ndarray:
        """The rest of the result (m,), m may be 0."""
        if self.ratio == 1 or not self._held:
            return np.empty(0, np.float32)
        up, down = self.ratio.numerator, self.ratio.denominator
        return self._made(np.concatenate(self._held), round(self._total * self.ratio) - self._first // down * up)

    def _made(self, x: np.ndarray, length: int) -> np.ndarray:
        """From ``x``, which begins at sample `_first`, the results up to ``length``, without those that were given."""
        up, down = self.ratio.numerator, self.ratio.denominator
        self._sum = self._sum or _resampler(self.ratio, x.dtype)
        return self._sum(x, length)[(self._done - self._first) // down * up :]


# --- the sum ---------------------------------------------------------------------------------------------------------


def _reach(up: int, down: int) -> int:
    """How far the kernel reaches on each side, in steps of 1/up samples of x."""
    return LOBES * max(up, down)


def _kernel(k: np.ndarray, up: int, down: int) -> np.ndarray:
    """The filter at integer ``k``, in steps of 1/up samples of x: a Kaiser-windowed sinc with unit gain."""
    from scipy.special import i0

    reach, widest = _reach(up, down), max(up, down)
    inside = np.clip(1 - (k / reach) ** 2, 0, None)
    window = i0(BETA * np.sqrt(inside)) / i0(BETA) * (np.abs(k) <= reach)
    return ROLL_OFF * up / widest * np.sinc(ROLL_OFF * k / widest) * window


def _resampler(ratio: Fraction, dtype: np.dtype) -> Callable[[np.ndarray, int], np.ndarray]:
    """The sum as a function of x (L,) and of how many samples of y to make."""
    up, down = ratio.numerator, ratio.denominator
    if 2 * _reach(up, down) > MOST_TAPS:
        return partial(_resample_slowly, up, down)
    reach = _reach(up, down)
    table = np.empty(2 * reach + 1, dtype)
    for start in range(0, len(table), AT_ONCE):  # in float64, which needs several times the table's memory
        k = np.arange(start, min(start + AT_ONCE, len(table))) - reach
        table[start : start + AT_ONCE] = _kernel(k, up, down) / up  # resample_poly multiplies it by up

    def resample_quickly(x: np.ndarray, length: int) -> np.ndarray:
        from scipy.signal import resample_poly  # late: a second of import that 16 kHz recordings do not need

        return resample_poly(x, up, down, window=table)[:length] if length else x[:0]

    return resample_quickly


def _resample_slowly(up: int, down: int, x: np.ndarray, length: int) -> np.ndarray:
    """The specification: every output evaluates its own kernel values, in float64. Needs no table."""
    taps = 2 * _reach(up, down) // up + 2  # samples of x under one kernel
    padded = np.pad(x, taps)  # silence beyond both ends
    y = np.empty(length, x.dtype)
    at_once = max(1, AT_ONCE // taps)
    for start in range(0, length, at_once):
        m = np.arange(start, min(start + at_once, length))[:, None]  # (outputs, 1)
        n = -((_reach(up, down) - m * down) // up) + np.arange(taps)  # (outputs, taps), from the kernel's left edge
        y[start : start + at_once] = (padded[n + taps] * _kernel(m * down - n * up, up, down)).sum(axis=1)
    return y


# --- what is allowed -------------------------------------------------------------------------------------------------


def check_rate(rate: object, what: str = "the sampling rate", error: type[XlsrError] = AudioError) -> int:
    """``rate`` as a Python int in Hz; a float may stand for it if it is whole. Raises ``error`` for anything else."""
    number = isinstance(rate, (int, float, np.integer, np.floating))
    if number and SLOWEST <= rate <= FASTEST and rate == int(rate):  # type: ignore
        return int(rate)  # type: ignore
    raise error(f"{what} is {reprlib.repr(rate)}; give whole Hz from {SLOWEST} to {FASTEST}")


def float_type(dtype: Any) -> np.dtype:
    """``dtype`` as float32 or float64. Raises AudioError for anything else."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float32, np.float64):
        raise AudioError(f"audio is made in float32 or float64, not in {reprlib.repr(dtype)}")
    return kind
