"""The pictures as they stand without JavaScript, and the colours of those that the script draws.

A map is a PNG of its levels with a palette: the levels themselves, an eighth of a picture's bytes. The waveform is an
SVG of its envelope.
"""

from __future__ import annotations

import base64
import io
from html import escape

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from xlsr_ref.teach.explain.compact import Levels
from xlsr_ref.teach.show.sound import envelope
from xlsr_ref.teach.show.style import COLOURS, DIVERGING, SEQUENTIAL

NIGHT = ("#fdb863", "#e08214", "#8a4a0b", "#171b21", "#5b4a8a", "#8073ac", "#c9c0ec")  # signed, on a dark page


def palettes() -> dict[str, np.ndarray]:
    """Colours (256, 3) uint8 of the levels: of maps from low to high, and of signed ones on a light and a dark page."""
    steps = np.linspace(0, 1, 256)
    night = LinearSegmentedColormap.from_list("night", [to_rgb(colour) for colour in NIGHT])
    maps = {"sequential": matplotlib.colormaps[SEQUENTIAL], "day": matplotlib.colormaps[DIVERGING], "night": night}
    return {name: np.rint(255 * cmap(steps)[:, :3]).astype(np.uint8) for name, cmap in maps.items()}


def map_still(levels: Levels, alt: str, which: int | None = None) -> str:
    """A map as ``<img>``; ``which`` of several."""
    shown = levels.levels if which is None else levels.levels[which]
    return image(png(shown, palettes()["day" if levels.signed else "sequential"]), alt)


def scale(low: str, high: str, signed: bool = False) -> str:
    """The colours of a map from ``low`` to ``high``, as a bar with both numbers, for the page's caption."""
    colours = palettes()

    def gradient(name: str) -> str:
        stops = colours[name][np.linspace(0, 255, 9).astype(int)]
        return f"linear-gradient(90deg,{','.join(f'#{r:02x}{g:02x}{b:02x}' for r, g, b in stops)})"

    day, night = ("day", "night") if signed else ("sequential", "sequential")
    style = f"--day:{gradient(day)};--night:{gradient(night)}"
    return f"<span class='scale'><span>{escape(low)}</span><i style='{style}'></i><span>{escape(high)}</span></span>"


def image(content: bytes, alt: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img class="still" src="data:image/png;base64,{data}" alt="{escape(alt)}">'


def png(levels: np.ndarray, palette: np.ndarray) -> bytes:
    """Levels (rows, columns) in the colours of ``palette``, as a file."""
    from PIL import Image  # comes with Matplotlib

    picture = Image.fromarray(levels)
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def waveform_still(x: np.ndarray, alt: str) -> str:
    """The envelope of ``x`` (L,) as an SVG."""
    low, high = envelope(x, 600)
    limit = float(np.abs(x).max()) or 1.0
    n = len(low)
    up = [f"{i},{50 - 48 * value / limit:.1f}" for i, value in enumerate(high)]
    down = [f"{i},{50.4 - 48 * value / limit:.1f}" for i, value in zip(range(n - 1, -1, -1), low[::-1])]
    words = escape(alt)
    return (
        f'<svg class="still" viewBox="0 0 {n} 100" preserveAspectRatio="none" role="img" aria-label="{words}">'
        f'<title>{words}</title><polygon points="{" ".join(up + down)}" fill="{COLOURS["sound"]}"/></svg>'
    )
