"""The lattice of CTC, drawn: places on the left, frames along the bottom, the allowed steps between them.

`lattice` colours each place and frame by α, β or the posterior, and draws the best path on top; `lattices` draws all
four below each other; `alignment` writes
characters or words over the spectrogram, each where it was placed. The numbers come from losses/ctc.py and
text/align.py; nothing is computed here but positions on the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex

from xlsr_ref.losses.ctc import ctc_loss, log_beta, posteriors
from xlsr_ref.ops.lattice import may_skip
from xlsr_ref.teach.show.style import COLOURS, INK, PALE, SEQUENTIAL, SOFT, below, legible
from xlsr_ref.text.align import align

FLOOR = 15.0  # nats below the largest α or β where the colours end: a factor of three million
WRITTEN = 80  # a lattice of at most as many nodes has its numbers written into them
MEANINGS = {"alpha": "ln α: all ways to here", "beta": "ln β: all ways on", "posterior": "posterior γ"}
What = Literal["alpha", "beta", "posterior", "path"]
TITLES: dict[What, str] = {
    "alpha": "α: how probable are all ways to here? (logarithms)",
    "beta": "β: how probable are all ways from here to the end? (logarithms)",
    "posterior": "γ: given the text, how probable is it to be here?",
    "path": "the likeliest way of all: the alignment",
}


def lattice(
    ax: Axes,
    log_probs: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    blank: int,
    labels: Mapping[int, str] | Sequence[str],
    what: What = "posterior",
) -> None:
    """Draw the lattice of ``targets`` (S,), best for a short word, and the best path through it in green.

    ``log_probs`` (T, V) are log-probabilities, all finite; ``labels[id]`` is how a target is written. ``what`` a node
    shows: "alpha" and "beta" as natural logarithms (by colour), "posterior" as a probability (by size and colour),
    "path" only whether the best path stands there. A small lattice has its numbers written into it. Nodes and steps
    that no path uses are left out.
    Raises ValueError for another ``what``, and ObjectiveError for what ctc_loss and align refuse.
    """
    if what not in ("alpha", "beta", "posterior", "path"):
        raise ValueError(f"what is {what!r}: it must be alpha, beta, posterior or path")
    best = align(log_probs, targets, blank)
    _, cache = ctc_loss(log_probs, targets, blank)
    gamma, beta = posteriors(cache), log_beta(cache)
    T, n = gamma.shape
    used = np.isfinite(cache.log_alpha) & np.isfinite(beta)  # (T, 2S+1)  some path stands here

    ax.set_xlim(-0.6, T - 0.4)
    ax.set_ylim(n - 0.4, -0.6)  # the first place on top
    _axes(ax, T, cache.places, labels, blank)
    shown = {"alpha": cache.log_alpha, "beta": beta, "posterior": gamma, "path": gamma}[what]
    scale = _scale(shown[used], what)
    if what != "path":
        bar = ax.figure.colorbar(ScalarMappable(scale, SEQUENTIAL), ax=ax, pad=0.01, aspect=30)
        bar.set_label(MEANINGS[what] + (f" (at most {FLOOR:g} below)" if shown[used].min() < scale.vmin else ""))
        bar.outline.set_visible(False)  # type: ignore[operator]

    node = _node(ax, T, n)  # its diameter on the paper, points
    small = T * n <= WRITTEN
    _steps(ax, used, cache.places)
    ax.plot(range(T), best.places, color=COLOURS["target"], lw=max(2.0, 0.2 * node), solid_capstyle="round", zorder=2)
    dots: dict[float, list[Any]] = {}  # by size: dots of one size are one shape in an SVG
    for t, s in np.argwhere(used).tolist():
        on_path, value = best.places[t] == s, shown[t, s]
        edge = COLOURS["target"] if on_path else SOFT
        if what == "path":
            face, size = (edge, node) if on_path else (PALE, node / 4)
            words, ink = _name(cache.places[s], labels, blank) if on_path else "", "white"
        else:
            face = to_hex(matplotlib.colormaps[SEQUENTIAL](scale(value)))
            size = max(2.0, node * math.sqrt(value)) if what == "posterior" and not small else node
            words, ink = (f"{value:.2f}" if what == "posterior" else f"{value:.1f}").replace("-", "−"), legible(face)
        dots.setdefault(size, []).append((t, s, face, edge, 1.8 if on_path and small else 0.5))
        if small and words:
            ax.text(t, s, words, size=8, color=ink, ha="center", va="center", zorder=4)
    for size, same in dots.items():
        frames, places, faces, edges, widths = zip(*same)
        ax.scatter(frames, places, s=size**2, c=faces, edgecolors=edges, linewidths=widths, zorder=3)


def lattices(
    axes: Sequence[Axes],
    log_probs: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    blank: int,
    labels: Mapping[int, str] | Sequence[str],
) -> None:
    """Draw the lattice of a short word four times, with titles: α, β, the posterior γ and the best path.

    The arguments are those of :func:`lattice`, but for ``axes``: four of them, as of `show.figure(alt, rows=4)`.
    Raises ValueError for another number of axes, and what lattice raises.
    """
    if len(axes) != len(TITLES):
        raise ValueError(
            f"there are {len(axes)} axes: give {len(TITLES)}, as show.figure(alt, rows={len(TITLES)}) does"
        )
    for ax, (what, title) in zip(axes, TITLES.items()):
        lattice(ax, log_probs, targets, blank, labels, what)
        ax.set_title(title)


def alignment(ax: Axes, x: np.ndarray, rate: int, spans: Sequence[Any]) -> None:
    """Write each span over the spectrogram of ``x`` (L,), sampled at ``rate`` Hz, with lines where it begins and ends.

    A span is a :class:`~xlsr_ref.text.transcript.Span` or begins like one: (text, start, end), in seconds.
    """
    from xlsr_ref.teach.show.sound import spectrogram

    spectrogram(ax, x, rate)
    rows: list[float] = []  # where the last text of each row ends, in seconds
    inches = ax.figure.get_size_inches()[0] * ax.get_position().width  # type: ignore[union-attr]
    second = (ax.get_xlim()[1] - ax.get_xlim()[0]) / (inches * 72)  # per point
    placed = []
    for span in spans:
        text, start, end = (span.text, span.start, span.end) if hasattr(span, "text") else span[:3]
        middle, half = (start + end) / 2, (0.32 * len(text) + 0.15) * 9 * second
        row = next((i for i, last in enumerate(rows) if last <= middle - half), len(rows))
        rows[row : row + 1] = [middle + half]
        placed.append((text, start, end, middle, row))
    bottom, top = ax.get_ylim()
    height = 0.085 * (top - bottom)  # of a row of text
    ax.set_yticks([tick for tick in ax.get_yticks() if bottom <= tick <= top])
    ax.set_ylim(bottom, top + (len(rows) + 0.6) * height)
    ax.spines["left"].set_bounds(bottom, top)
    for text, start, end, middle, row in placed:
        ax.vlines((start, end), bottom, top, color="white", lw=0.6, alpha=0.6, zorder=3)
        ax.fill_between((start, end), top, top + 0.35 * height, fc=COLOURS["target"], ec="white", lw=0.6, zorder=3)
        low = top + (0.95 + row) * height
        ax.text(middle, low, text, ha="center", va="center", size=9, color=INK, zorder=4, clip_on=True)
        if row:
            ax.vlines(middle, top + 0.35 * height, low - 0.4 * height, color=COLOURS["quiet"], lw=0.6, zorder=2)


def _node(ax: Axes, T: int, n: int) -> float:
    """How large a node can be, in points: most of the way to its neighbours, once the layout is known."""
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    box, points = ax.get_window_extent(), 72 / ax.figure.dpi  # type: ignore[union-attr]
    return float(np.clip(0.72 * points * min(box.width / T, box.height / n), 3, 32))


def _steps(ax: Axes, used: np.ndarray, places: np.ndarray) -> None:
    """The steps that some path takes: between two nodes that are used, by 0, 1 or, where it is allowed, 2 places."""
    skip = may_skip(places)
    frames: list[float] = []
    heights: list[float] = []
    for t, s in np.argwhere(used).tolist():
        for step in (0, 1, 2):
            if t and s >= step and used[t - 1, s - step] and (step < 2 or skip[s]):
                frames += [t - 1, t, math.nan]
                heights += [s - step, s, math.nan]
    ax.plot(frames, heights, color=PALE, lw=0.8, zorder=1)  # one line with gaps: a single shape


def _scale(shown: np.ndarray, what: str) -> Normalize:
    """From a value to the place of its colour: posteriors from 0 to 1, logarithms from the largest to the floor."""
    if what == "posterior":
        return Normalize(0, 1)
    largest = float(shown.max())
    smallest = max(float(shown.min()), largest - FLOOR)
    return Normalize(smallest, largest if largest > smallest else smallest + 1)


def _axes(ax: Axes, T: int, places: np.ndarray, labels: Mapping[int, str] | Sequence[str], blank: int) -> None:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000, T) if T / step <= 25)
    ax.set_xticks(range(0, T, step))
    ax.set_yticks(range(len(places)), [_name(token, labels, blank) for token in places])
    for tick, token in zip(ax.get_yticklabels(), places):
        tick.set(color=SOFT if token == blank else INK, size=10)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    below(ax, "frame")
    ax.set_ylabel("place (– is the blank)")


def _name(token: int, labels: Mapping[int, str] | Sequence[str], blank: int) -> str:
    return "–" if token == blank else str(labels[int(token)])
