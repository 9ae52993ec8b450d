"""The learning-rate range test as a picture: the loss by the rate, which grows from left to right (find_rate.py)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlsr_ref.teach.show.picture import Picture, figure
from xlsr_ref.teach.show.style import COLOURS


def rate_curve(
    rates: Sequence[float], losses: Sequence[float], means: Sequence[float], chosen: float | None
) -> Picture:
    """The learning-rate range test: the loss of each step and its smoothed course, by the rate, and the one ``chosen``.

    Raises ValueError where there is no step.
    """
    if not rates:
        raise ValueError("there is nothing to draw: no step had a loss")
    told = "no rate is suggested" if chosen is None else f"the rate {chosen:.1e} is suggested"
    words = f"Loss by learning rate, from {rates[0]:.1e} to {rates[-1]:.1e}; smoothed, it is lowest at " + (
        f"{rates[int(np.argmin(means))]:.1e}; {told}."
    )
    drawing = figure(words, 1, 1, 6.0, 3.2)
    with drawing as ax:
        ax.plot(rates, losses, color=COLOURS["quiet"], linewidth=0.8, label="loss of each step")
        ax.plot(rates, means, color=COLOURS["text"], label="smoothed")
        if chosen is not None:
            ax.axvline(chosen, color=COLOURS["error"], linestyle="--", label="suggested")
        ax.set_xscale("log")
        ax.set_ylim(0, 1.5 * max(means[: len(means) // 2 + 1]))
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss (nats)")
        ax.legend()
    assert drawing.picture is not None
    return drawing.picture
