"""Arrays as pictures: learned filters, feature maps, matrices, languages side by side, code use, curves, histograms.

A map with values on both sides of 0 is drawn from orange to purple with white at 0; any other from dark to light. The
scale ends where 99 % of the values lie, so that one outlier does not darken the rest; its colour bar then has a point.
More rows or columns than the paper can show are averaged in blocks. Letters: T frames, C channels, K taps, G groups,
V codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from xlsr_ref.losses.diversity import perplexity
from xlsr_ref.teach.show.style import (
    COLOURS,
    CYCLE,
    DASHES,
    DIVERGING,
    INK,
    LANGUAGES,
    SEQUENTIAL,
    below,
    dashes,
    legible,
    tones,
)

Extent = tuple[float, float, float, float]
MOST = 640  # rows or columns of a map


def filters(axes: Iterable[Axes] | Axes, weight: np.ndarray, rate: float, names: Sequence[str] | None = None) -> None:
    """The taps of filters over milliseconds, one filter on each of ``axes``, as many as there are.

    ``weight`` (C, K) or, as a checkpoint has the first convolution, (C, 1, K); ``rate`` in Hz. The title is the
    filter's name (its row, without ``names``) and the frequency that it lets through best.
    """
    weight = np.asarray(weight, np.float64).reshape(len(weight), -1)
    limit = np.abs(weight).max() * 1.1
    for i, (ax, taps) in enumerate(zip(np.ravel(np.asarray(axes, object)), weight)):
        best = np.argmax(np.abs(np.fft.rfft(taps, 4096))) * rate / 4096
        time = np.arange(len(taps)) / rate * 1000
        ax.axhline(0, color=COLOURS["quiet"], linewidth=0.7)
        ax.vlines(time, 0, taps, color=COLOURS["features"], linewidth=1)
        ax.plot(time, taps, "o", color=COLOURS["features"], markersize=3)
        ax.set_ylim(-limit, limit)
        ax.set_title(f"{names[i] if names else i}: {best / 1000:.1f} kHz", size=9, weight="normal")
        below(ax, "time (ms)")
        if ax.get_subplotspec() is not None and not ax.get_subplotspec().is_first_col():
            ax.set_yticklabels([])


def feature_map(
    ax: Axes, x: np.ndarray, seconds_per_frame: float | None = None, label: str = "", centre: bool | None = None
) -> AxesImage:
    """``x`` (T, C) with time from left to right and channel 0 at the bottom; time in seconds, or frames without them.

    ``label`` stands at the colour bar; ``centre`` says whether white is 0 (None: if there is much below 0).
    """
    T, C = x.shape
    image = _map(ax, np.asarray(x).T, centre, label, (0, T * (seconds_per_frame or 1), 0, C), origin="lower")
    below(ax, "time (s)" if seconds_per_frame else "frame")
    ax.set_ylabel("channel")
    return image


def matrix(
    ax: Axes,
    m: np.ndarray,
    xlabel: str = "",
    ylabel: str = "",
    label: str = "",
    columns: Sequence[Any] | None = None,
    rows: Sequence[Any] | None = None,
    centre: bool | None = None,
    values: str | None = None,
) -> AxesImage:
    """``m`` (rows, columns) as a table of colours, row 0 on top, as it is written.

    ``columns`` and ``rows`` name them; ``values``, a format such as ".2f", writes each number into its field; ``label``
    stands at the colour bar; ``centre`` says whether white is 0 (None: if there is much below 0).
    """
    m = np.asarray(m)
    high, wide = m.shape
    image = _map(ax, m, centre, label, (-0.5, wide - 0.5, high - 0.5, -0.5), origin="upper")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.tick_params(length=0)
    for axis, names in ((ax.xaxis, columns), (ax.yaxis, rows)):
        if names is not None:
            axis.set_ticks(np.arange(len(names)), [str(name) for name in names])
        else:
            axis.set_major_locator(MaxNLocator("auto", integer=True))
    if values is not None:
        for (row, column), value in np.ndenumerate(m):
            colour = legible(image.cmap(image.norm(value))[:3])
            ax.text(
                column, row, format(value, values).replace("-", "−"), color=colour, size=8, ha="center", va="center"
            )
    return image


def similarity(ax: Axes, m: np.ndarray, labels: Sequence[str], label: str = "similarity") -> AxesImage:
    """How alike each two of ``labels`` are, ``m`` (n, n), with the numbers written in; languages have their colours."""
    image = matrix(ax, m, label=label, columns=labels, rows=labels, values=".2f")
    for tick in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        colour = LANGUAGES.get(tick.get_text())
        tick.set_color(legible(colour) if colour else INK)
        if colour:
            tick.set_bbox({"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.25"})
    return image


def code_usage(ax: Axes, counts: np.ndarray) -> None:
    """What share of the frames each code has, the most used first: ``counts`` (G, V) or (V,), of frames or of p.

    The dashed line is equal use; the legend says how many codes are in use: the perplexity, exp(−Σ p ln p).
    """
    counts = np.atleast_2d(np.asarray(counts, np.float64))
    G, V = counts.shape
    share = counts / counts.sum(axis=1, keepdims=True)
    for g, (row, used) in enumerate(zip(share, perplexity(share))):
        colour = (COLOURS["quantizer"], INK)[g] if g < 2 else CYCLE[g % len(CYCLE)]
        name = f"group {g}: " if G > 1 else ""
        ax.stairs(
            np.sort(row)[::-1], np.arange(V + 1) + 0.5, label=f"{name}{used:.1f} of {V} codes",
            color=colour, linestyle=DASHES[g % len(DASHES)], linewidth=1.5, baseline=None,
        )  # fmt: skip
    ax.axhline(1 / V, color=COLOURS["quiet"], linestyle="--", linewidth=1, label="equal use")
    ax.set_xlim(0.5, V + 0.5)
    ax.set_ylim(0)
    ax.set_xlabel("code, the most used first")
    ax.set_ylabel("share of the frames")
    ax.legend()


def curves(
    ax: Axes,
    lines: Mapping[str, np.ndarray],
    x: np.ndarray | None = None,
    log: bool = False,
    xlabel: str = "",
    ylabel: str = "",
) -> None:
    """Lines by name, over ``x`` or their index. A name that is a key of COLOURS or LANGUAGES has that colour.

    Each line has its own dashes too, for print. ``log`` makes the upright axis logarithmic.
    """
    for i, (name, y) in enumerate(lines.items()):
        ax.plot(np.arange(len(y)) if x is None else x, y, label=name, **dashes(i, name))
    if log:
        ax.set_yscale("log")
    ax.grid(axis="y")
    below(ax, xlabel)
    ax.set_ylabel(ylabel)
    if len(lines) > 1:
        ax.legend()


def histogram(
    ax: Axes, groups: Mapping[str, np.ndarray], bins: int = 60, log: bool = False, xlabel: str = "value"
) -> None:
    """How the values of each group are spread, in the same ``bins``: the share of a group's values in each."""
    flat = {name: np.ravel(values).astype(np.float64) for name, values in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(flat.values())), bins)
    for i, (name, values) in enumerate(flat.items()):
        share = np.histogram(values, edges)[0] / max(1, len(values))
        look = dashes(i, name)
        ax.stairs(share, edges, fill=True, color=look["color"], alpha=0.18)
        ax.stairs(share, edges, label=name, lw=1.4, **look)
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("share of the values")
    if len(groups) > 1:
        ax.legend()


# --- shared ----------------------------------------------------------------------------------------------------------


def _map(ax: Axes, x: np.ndarray, centre: bool | None, label: str, extent: Extent, origin: Any) -> AxesImage:
    """Both kinds of map, with a colour bar; ``extent`` is left, right, bottom, top."""
    x = shrink(np.asarray(x, np.float64))
    low, high = scale_of(x)
    if centre if centre is not None else -low > high / 4:
        cmap, high = DIVERGING, max(-low, high)
        low = -high
    else:
        cmap = SEQUENTIAL
    image = ax.imshow(x, aspect="auto", origin=origin, cmap=tones(cmap), vmin=low, vmax=high, extent=extent)
    beyond = (bool((x < low).any()), bool((x > high).any()))
    points = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]
    bar = ax.figure.colorbar(image, ax=ax, label=label, extend=points, pad=0.015, fraction=0.04, aspect=25)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    return image


def scale_of(x: np.ndarray) -> tuple[float, float]:
    """Between which values 99 % of ``x`` lie; all of it where there are few."""
    finite = x[np.isfinite(x)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size > 1000 else (finite.min(), finite.max())
    return float(low), float(high)


def shrink(x: np.ndarray, most: int = MOST, axes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """``x`` with at most ``most`` rows and columns: each the mean of a block of them, and no row is left out.

    ``axes`` are those that may become shorter: 0 rows, 1 columns.
    """
    for axis in axes:
        size = x.shape[axis]
        if size > most:
            starts = np.linspace(0, size, most + 1).astype(int)
            counts = np.diff(starts).reshape((-1, 1) if axis == 0 else (1, -1))
            x = np.add.reduceat(x, starts[:-1], axis=axis) / counts
    return x
