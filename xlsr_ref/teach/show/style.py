"""One visual language: the colours, the lines and the type of every picture.

The colours are Okabe and Ito's, which colour-blind readers can tell apart; the same thing has the same one everywhere.
Lines have dashes too, so that they differ in grey. The two colour maps keep their order in grey. The paper is white and
opaque: a picture reads on dark pages too.
"""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, to_rgb
from matplotlib.rcsetup import cycler

INK, SOFT, PALE = "#1f2328", "#57606a", "#d0d7de"  # text; axes and their labels; what is only a hint

COLOURS = {
    "sound": "#4a5560",  # slate: waveforms
    "features": "#0072b2",  # blue: the feature encoder and what it puts out
    "context": "#d55e00",  # vermilion: the blocks and what they put out
    "text": "#009e73",  # green: scores of characters, words
    "quantizer": "#cc79a7",  # purple: codes and codevectors
    "masked": "#e69f00",  # orange: frames that are hidden
    "positive": "#009e73",  # green: the right answer
    "negative": "#56b4e9",  # sky blue: the wrong answers beside it
    "target": "#009e73",  # green: what is to be found
    "blank": "#8c959f",  # grey: no character
    "mine": "#0072b2",  # blue: this package's numbers
    "reference": "#1f2328",  # ink: the numbers that they are held against
    "error": "#d55e00",  # vermilion: how far apart the two are
    "quiet": "#aab2bb",  # grey: what is there but not spoken of
}

LANGUAGES = {"en": "#0072b2", "es": "#e69f00", "fr": "#56b4e9", "it": "#009e73", "ru": "#1f2328"}

SEQUENTIAL, DIVERGING = "cividis", "PuOr"  # both keep their order in grey

CYCLE = ("#0072b2", "#e69f00", "#1f2328", "#cc79a7", "#d55e00", "#56b4e9", "#009e73")  # of lines without a meaning
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))  # a second mark, for print

SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8c959f",
    "axes.facecolor": "white",
    "axes.labelcolor": SOFT,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "white",
    "figure.titlesize": 11,
    "font.family": ["DejaVu Sans"],  # it comes with Matplotlib: the same letters on every machine
    "font.size": 9,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.6,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "none",  # in the SVG an array's own pixels, not those of the screen
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.fontsize": 8.5,
    "legend.framealpha": 0.85,  # lines behind a legend fade
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "savefig.facecolor": "white",
    "savefig.transparent": False,
    "text.color": INK,
    "xtick.color": "#8c959f",
    "xtick.labelcolor": SOFT,
    "xtick.labelsize": 8,
    "xtick.major.width": 0.7,
    "xtick.minor.visible": False,
    "ytick.color": "#8c959f",
    "ytick.labelcolor": SOFT,
    "ytick.labelsize": 8,
    "ytick.major.width": 0.7,
}


def tones(cmap: str, number: int = 64) -> Colormap:
    """The colour map in so many steps: fewer than the eye tells apart in a picture of noise, and half the bytes."""
    return matplotlib.colormaps[cmap].resampled(number)


def pale(colour: str, part: float = 0.15) -> str:
    """``colour`` thinned with white: ``part`` of it is left."""
    return "#" + "".join(f"{round(255 * (1 - part * (1 - value))):02x}" for value in to_rgb(colour))


def dashes(number: int, name: str = "", alone: str = "") -> dict[str, Any]:
    """Colour and dashes of line ``number``: the colour of ``name`` where it has one, else the next of the cycle.

    ``alone`` names the colour of a line that has no name.
    """
    colour = COLOURS.get(name or alone) or LANGUAGES.get(name) or CYCLE[number % len(CYCLE)]
    return {"color": colour, "linestyle": DASHES[number % len(DASHES)]}


def below(ax: Axes, text: str) -> None:
    """Label the horizontal axis, unless the axes below share it and say the same."""
    place = ax.get_subplotspec()
    if len(ax.get_shared_x_axes().get_siblings(ax)) == 1 or place is None or place.is_last_row():
        ax.set_xlabel(text)


def legible(colour: Any) -> str:
    """White or ink, whichever reads better on ``colour``."""
    red, green, blue = ((v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4) for v in to_rgb(colour))
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.23 else "#ffffff"
