"""What the page's script reads: maps as levels, the scores and the lattice of every frame, as one JSON block.

Arrays are in base64 (compact.py). Frame t is the samples from t · hop on.
"""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import numpy as np

from xlsr_ref.teach.explain import stills
from xlsr_ref.teach.explain.compact import Levels, described, feature_map, quantise, text
from xlsr_ref.teach.explain.trace import Trace
from xlsr_ref.teach.show.sound import COLUMNS, decibels

FLOOR = 70.0  # dB below the loudest, where the spectrogram ends
BAND = 6  # places on each side of the best path whose posteriors the page carries
TOP = 5  # characters of each frame
ROWS = 26  # characters in the map of the scores


def maps_of(seen: Trace) -> dict[str, Levels]:
    added = {} if seen.positions is None else {"positions": feature_map(seen.positions)}
    return added | {
        "spectrogram": _spectrogram(seen),
        "features": feature_map(seen.features),
        "projection": feature_map(seen.projected),
        "states": feature_map(*seen.states, rows=48, columns=400),
        "scores": Levels(quantise(np.exp(seen.log_probs[:, shown_tokens(seen)]).T, 0, 1), 0, 1, False),
    }


def _spectrogram(seen: Trace) -> Levels:
    """From 0 Hz at the bottom; a column every 10 ms, fewer in a long recording."""
    window, hop = _spectrogram_steps(seen)
    level = decibels(seen.waveform, window, hop)
    if not seen.waveform.any():
        level[:] = -FLOOR
    return Levels(quantise(level.T[::-1], -FLOOR, 0), -FLOOR, 0, False)


def _spectrogram_steps(seen: Trace) -> tuple[int, int]:
    L = len(seen.waveform)
    return min(L, round(0.025 * seen.rate)), max(1, round(0.01 * seen.rate), L // COLUMNS)


def shown_tokens(seen: Trace) -> list[int]:
    """The tokens in the map of the scores: the blank, then those of the text and the likeliest others, by their id."""
    highest = np.exp(seen.log_probs.max(axis=0))
    text = {int(token) for token in seen.best}
    order = sorted(range(len(highest)), key=lambda token: (token not in text, -highest[token]))
    kept = [token for token in order if token in text or highest[token] > 0.05]
    chosen = [token for token in kept if token != seen.blank][: ROWS - 1]
    return [seen.blank, *sorted(chosen)]


def data_of(seen: Trace, maps: dict[str, Levels]) -> dict[str, Any]:
    """What the script reads. Frame t is the samples from t · hop, ``field`` of them."""
    T = len(seen.best)
    count = min(TOP, seen.log_probs.shape[1])
    top = np.argsort(-seen.log_probs, axis=1, kind="stable")[:, :count]
    probability = np.exp(np.take_along_axis(seen.log_probs, top, axis=1))
    path = seen.alignment.places
    near = path[:, None] + np.arange(-BAND, BAND + 1)  # (T, 2·BAND+1)
    inside = (near >= 0) & (near < seen.posterior.shape[1])
    band = np.where(inside, np.take_along_axis(seen.posterior, np.where(inside, near, 0), axis=1), 0)
    window, step = _spectrogram_steps(seen)
    attention = seen.attention
    targets = [span.target for span in seen.alignment.spans]
    return {
        "L": len(seen.waveform), "T": T, "rate": seen.rate, "hop": seen.hop, "field": seen.field,
        "labels": [label(seen, token) for token in range(len(seen.labels))], "blank": seen.blank,
        "palettes": {name: text(colours) for name, colours in stills.palettes().items()},
        "maps": {name: described(levels) for name, levels in maps.items()},
        "spectrogram": {"left": (window - step) / 2, "width": maps["spectrogram"].levels.shape[1] * step},
        "rows": shown_tokens(seen),
        "top": {"count": count, "tokens": text(top.astype(np.uint16)),
                "probabilities": text(np.rint(65535 * probability).astype(np.uint16))},
        "attention": {
            "layers": len(attention.heads), "heads": attention.heads.shape[1], "n": attention.heads.shape[-1],
            "block": attention.heads_block, "data": text(attention.heads),
            "tops": attention.heads_tops.ravel().tolist(), "mean_tops": attention.means_tops.tolist(),
            "mean_n": attention.means.shape[-1], "mean_block": attention.means_block, "mean": text(attention.means),
        },
        "lattice": {"half": BAND, "path": text(path.astype(np.uint16)), "targets": targets,
                    "band": text(quantise(band, 0, 1))},
        "characters": [{"text": label(seen, span.target), "first": span.first, "stop": span.stop}
                       for span in seen.alignment.spans],
        "words": [{"text": word.text, "first": word.first, "stop": word.stop} for word in seen.words],
    }  # fmt: skip


def label(seen: Trace, token: int) -> str:
    """A token as the page writes it: – for the blank, ␣ for a space."""
    return "–" if token == seen.blank else "␣" if seen.labels[token].isspace() else seen.labels[token]


def json_of(data: dict[str, Any]) -> str:
    """JSON that can stand inside ``<script>``."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def wav(x: np.ndarray, rate: int) -> bytes:
    """``x`` (L,) as a WAV file of 16 bits; made quieter as a whole where it goes beyond ±1."""
    loudest = max(1.0, float(np.abs(x).max()))
    samples = np.rint(32767 * (x.astype(np.float64) / loudest)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()
