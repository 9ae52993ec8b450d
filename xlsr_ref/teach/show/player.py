"""A sound that a reader can hear: a standard HTML player with the bytes of the sound inside the page.

    waveform ─ 16-bit WAV, where that is small enough, else MP3 ─ base64 ─ <audio controls src="data:audio/…">

Nothing is downloaded and nothing else is needed: every browser plays both. A page of many players stays small, because
none may take more than LIMIT bytes. WAV keeps each sample to 1/32768; MP3 keeps what is heard.
Letters: L samples.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import numpy as np

from xlsr_ref.errors import AudioError
from xlsr_ref.teach.show.picture import display, require_alt

LIMIT = 60_000  # bytes of a player in the page
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz: those that MPEG layer III has


class Player:
    """A finished player: what stands beside it, its bytes and what they are ("audio/wav" or "audio/mpeg")."""

    def __init__(self, label: str, data: bytes, kind: str, seconds: float) -> None:
        self.label, self.data, self.kind, self.seconds = label, data, kind, seconds

    def __repr__(self) -> str:
        return f"{self.label} ({self.seconds:.1f} s of sound)"

    def _repr_html_(self) -> str:
        label = escape(self.label, quote=True)
        source = f"data:{self.kind};base64,{base64.b64encode(self.data).decode()}"
        return f'<p>{label}<br><audio controls preload="metadata" aria-label="{label}" src="{source}"></audio></p>'


def play(waveform: np.ndarray, rate: int, label: str, peak: float | None = None) -> None:
    """Show a player of ``waveform`` (L,) at ``rate`` Hz, as :func:`player` makes it; outside a notebook, nothing."""
    display(player(waveform, rate, label, peak))


def player(waveform: np.ndarray, rate: int, label: str, peak: float | None = None) -> Player:
    """A player of ``waveform`` (L,), samples from −1 to 1 at ``rate`` Hz, with ``label`` above it.

    ``peak`` scales the sound so that its largest sample has this size; without it the sound is as loud as it is.
    Raises ValueError for an empty label, and AudioError for no sound, for a sample beyond 1, and for a sound that is
    larger than LIMIT even as MP3.
    """
    label = require_alt(label)
    x = np.asarray(waveform, np.float64)
    largest = float(np.abs(x).max()) if x.ndim == 1 and len(x) else np.nan
    if not np.isfinite(largest):
        raise AudioError(f"a player takes samples (L,) that are finite, and this has the shape {x.shape}: not a sound")
    if peak is not None:
        x, largest = x * (peak / largest if largest else 1.0), peak
    if largest > 1:
        raise AudioError(f"the largest sample is {largest:.3g}, and a player takes −1 to 1: give a peak, such as 0.5")
    data, kind = _encoded(x, rate)
    made = Player(label, data, kind, len(x) / rate)
    if len(made._repr_html_()) > LIMIT:
        raise AudioError(f"{len(x) / rate:.1f} s at {rate} Hz take more than {LIMIT} bytes of the page: play a part")
    return made


def _encoded(x: np.ndarray, rate: int) -> tuple[bytes, str]:
    """The bytes and what they are: WAV where it fits into LIMIT with room for the words, or where there is no MP3."""
    import soundfile

    def written(**how: Any) -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, x, rate, **how)
        return buffer.getvalue()

    if len(x) * 2 * 4 / 3 < LIMIT - 1000 or rate not in MP3_RATES or "MP3" not in soundfile.available_formats():
        return written(format="WAV", subtype="PCM_16"), "audio/wav"
    return written(format="MP3", subtype="MPEG_LAYER_III"), "audio/mpeg"
