"""A picture that a screen reader, a printer and a slide can use: vectors, pixels and words from one drawing.

`figure` opens the axes and, on leaving, renders and displays. A `Picture` is an SVG (letters as outlines, so that no
font is asked for; heat maps as pixels inside it), a PNG for viewers that do not show an SVG, and the alt text, which
both carry. The same drawing gives the same bytes.
Nothing here imports IPython outside a notebook or touches Matplotlib's backend, and its settings are changed only
inside ``with figure(…)``. Pillow, which makes the PNGs small, comes with Matplotlib.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xlsr_ref.files import write_whole
from xlsr_ref.teach.show.style import SETTINGS

PNG_DPI, SVG_DPI = 104, 144  # of the whole picture; of the heat maps inside the SVG
DENSE = 5000  # a line or a cloud of more points is stored as pixels inside the SVG


@dataclass(frozen=True)
class Picture:
    """A finished picture: its alt text, its SVG, its PNG, and its size on the page in pixels of 1/96 inch."""

    alt: str
    svg: str
    png: bytes
    width: int
    height: int

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """All three forms, for a notebook to choose from: vectors, pixels, words."""
        size = {"alt": self.alt, "width": self.width, "height": self.height}
        pixels = base64.b64encode(self.png).decode()
        data = {"image/svg+xml": self.svg, "image/png": pixels, "text/plain": self.alt}
        return data, {"image/svg+xml": {"alt": self.alt}, "image/png": size}

    def save(self, path: str | Path) -> None:
        """Write the picture; the suffix of ``path`` says as what. Raises ValueError if that is not .svg or .png."""
        path = Path(path)
        if path.suffix == ".svg":
            write_whole(path, self.svg)
        elif path.suffix == ".png":
            write_whole(path, self.png)
        else:
            raise ValueError(f"{path.name!r} must end in .svg or .png")


class figure:
    """``with figure("what a blind reader should know") as ax:`` draws a picture, and displays it on leaving.

    ``rows`` × ``columns`` axes (an array of them if there are several) on ``width`` × ``height`` inches of paper.
    ``save`` writes the picture to a file as well. Further keywords are those of ``plt.subplots`` (``sharex``,
    ``width_ratios``, ``squeeze``…). Outside a notebook nothing is displayed; the picture is the ``picture`` of this
    object in any case. An error in the body is raised as it is, and nothing is shown.
    Raises ValueError for an empty alt text.
    """

    def __init__(
        self,
        alt: str,
        rows: int = 1,
        columns: int = 1,
        width: float = 8,
        height: float = 3,
        save: str | Path | None = None,
        **keywords: Any,
    ) -> None:
        self.alt = require_alt(alt)
        self.save = save
        self.picture: Picture | None = None
        self._grid: dict[str, Any] = {"nrows": rows, "ncols": columns}
        own = ("sharex", "sharey", "squeeze", "width_ratios", "height_ratios", "subplot_kw", "gridspec_kw")
        self._grid |= {name: keywords.pop(name) for name in own if name in keywords}
        self._paper = {"figsize": (width, height), "layout": "constrained"} | keywords
        self._settings = ExitStack()

    def __enter__(self) -> Any:
        self._settings.enter_context(matplotlib.rc_context())  # whatever the reader has set comes back afterwards
        try:
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(SETTINGS)
            self.figure = Figure(**self._paper)
            FigureCanvasAgg(self.figure)
            return self.figure.subplots(**self._grid)
        except BaseException:
            self._settings.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._settings:
            if kind is None:
                self.picture = render(self.figure, self.alt)
        if self.picture is not None:
            if self.save is not None:
                self.picture.save(self.save)
            display(self.picture)


def render(drawn: Figure, alt: str) -> Picture:
    """The picture of a Matplotlib figure, with its ``alt`` text: the same drawing gives the same bytes.

    Meshes, and lines and clouds of more than 5000 points, become pixels inside the SVG; the rest stays vectors.
    """
    require_alt(alt)
    for ax in drawn.axes:
        for artist in (*ax.lines, *ax.collections):
            if _dense(artist):
                artist.set_rasterized(True)
    pixels, vectors = io.BytesIO(), io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "xlsr_ref"}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that no font of ours has is drawn as a box
        drawn.dpi = PNG_DPI
        FigureCanvasAgg(drawn).print_png(pixels, metadata={"Software": None})
        drawn.set_layout_engine("none")  # everything stands in its place by now
        drawn.dpi = SVG_DPI
        FigureCanvasSVG(drawn).print_svg(vectors)
    width, height = (round(96 * inches) for inches in drawn.get_size_inches())
    return Picture(alt, _accessible(vectors.getvalue(), alt), _small(pixels.getvalue()), width, height)


def display(shown: Any) -> None:
    """Show an object in a running notebook; elsewhere do nothing."""
    if in_notebook():
        from IPython.display import display as show

        show(shown)


def in_notebook() -> bool:
    """Whether this runs under IPython: nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def require_alt(alt: str) -> str:
    """``alt`` without its outer blanks. Raises ValueError where nothing is left."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("a picture needs an alt text: say in a sentence what a reader who cannot see it should know")
    return " ".join(alt.split())


def _dense(artist: Artist) -> bool:
    """Whether an artist would fill an SVG with tiny paths."""
    if isinstance(artist, Line2D):
        return np.size(artist.get_xdata(orig=False)) > DENSE
    if isinstance(artist, PathCollection):  # a cloud
        return len(np.asarray(artist.get_offsets())) > DENSE
    return isinstance(artist, QuadMesh)


def _accessible(svg: str, alt: str) -> str:
    """The SVG with a title and a role, without what a page does not need, and with coordinates of two decimals."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # nothing refers to these, and two pictures on a page share them
    svg = re.sub(r' (?:d|x|y)="[^"]*"', _shorter, svg)
    svg = re.sub(r' d="([^"]*)" transform="scale\(0\.015625\)"', _outline, svg)
    svg = re.sub(r'"translate\((\d+\.\d\d)\d+ 0\)"', r'"translate(\1 0)"', svg)  # from one letter to the next
    svg = re.sub(r"data:image/png;base64,([^\"]+)", _small_inside, svg)
    svg = re.sub(r">\s+<", "><", svg)
    words = escape(alt, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1).replace(">", f"><title>{words}</title>", 1)


def _shorter(attribute: re.Match[str]) -> str:
    """Coordinates with two decimals, those of a long line with one (of 1/72 inch), and no blanks beside letters."""
    name, value, _ = attribute[0].split('"')
    kept = r"\.\d" if len(value) > 4000 else r"\.\d\d"
    value = re.sub(rf"({kept})\d+", r"\1", value)
    value = re.sub(r"\s*([A-Za-z])\s*", r"\1", value)
    return f'{name}"{value}"'


def _outline(letter: re.Match[str]) -> str:
    """A letter's outline in steps of 1/800 of its height, which is far below what can be seen."""
    coarse = re.sub(r"-?\d+(\.\d+)?", lambda number: str(round(float(number[0]) / 8)), letter[1])
    return f' d="{coarse}" transform="scale(0.125)"'


def _small_inside(image: re.Match[str]) -> str:
    small = _small(base64.b64decode(image[1]))
    return f"data:image/png;base64,{base64.b64encode(small).decode()}"


def _small(png: bytes) -> bytes:
    """The PNG with a palette of 256 colours, a third of the bytes: the common colours are exact, none is far off."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        if "A" in image.mode and image.getchannel("A").getextrema() != (255, 255):
            return png  # a transparent part of a picture
        pixels = np.asarray(image.convert("RGB"))
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, place, counts = np.unique(packed, return_inverse=True, return_counts=True)
    often = np.argsort(-counts, kind="stable")
    for bits in (0xF0F0F0, 0xE0E0E0, 0xC0C0C0):
        alike = np.unique(colours[often] & bits, return_index=True)[1]  # the commonest of each kind
        if len(alike) <= 256:
            break
    others = np.setdiff1d(np.arange(len(often)), alike)[: 256 - len(alike)]
    palette = _channels(colours[often[np.concatenate([alike, others])]])  # (256, 3)
    every = _channels(colours)
    nearest = ((palette**2).sum(axis=1) - 2 * every @ palette.T).argmin(axis=1)
    few = Image.fromarray(nearest.astype(np.uint8)[place].reshape(packed.shape))
    few.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    few.save(buffer, "PNG", optimize=True)
    return min(buffer.getvalue(), png, key=len)


def _channels(packed: np.ndarray) -> np.ndarray:
    """Packed colours (n,) as red, green and blue from 0 to 255: (n, 3)."""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.float64)
