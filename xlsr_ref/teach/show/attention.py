"""Attention heads: which frame looks at which, a picture for each head.

A row is a frame that looks, a column a frame that is looked at, and each row sums to 1. Time runs down and to the
right, so a frame that looks at itself stands on the diagonal. Letters: H heads, T frames.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator

from xlsr_ref.teach.show.features import shrink
from xlsr_ref.teach.show.style import SEQUENTIAL, tones

MOST = 240  # rows and columns of one head's picture


def heads(
    axes: Iterable[Axes] | Axes, weights: np.ndarray, seconds_per_frame: float | None = None, first: int = 0
) -> None:
    """``weights`` (H, T, T), or (T, T) of one head, on as many ``axes``; over seconds, or frames without them.

    All have one scale, from 0 to the value that 1 weight in 200 exceeds; colours go by the square root of the weight,
    so that small ones are seen. The titles count from ``first``.
    """
    axes = np.ravel(np.asarray(axes, object))
    weights = np.asarray(weights, np.float64)
    weights = weights.reshape(-1, *weights.shape[-2:])
    end = weights.shape[1] * (seconds_per_frame or 1)
    unit = "s" if seconds_per_frame else "frame"
    shown = [shrink(head, MOST) for head in weights]
    top = float(np.percentile(np.stack(shown), 99.5)) or 1.0
    norm = PowerNorm(0.5, 0, top)
    for h, (ax, head) in enumerate(zip(axes, shown)):
        image = ax.imshow(head, cmap=tones(SEQUENTIAL), norm=norm, extent=(0, end, end, 0), aspect="equal")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.set_title(f"head {first + h}", size=9, weight="normal")
        place = ax.get_subplotspec()
        if place is None or place.is_last_row():
            ax.set_xlabel(f"looked at ({unit})")
        if place is None or place.is_first_col():
            ax.set_ylabel(f"looking ({unit})")
    bar = axes[0].figure.colorbar(
        image, ax=list(axes), label="weight", extend="max", pad=0.01, fraction=0.03, aspect=20
    )
    bar.set_ticks(MaxNLocator(4))
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.outline.set_visible(False)
