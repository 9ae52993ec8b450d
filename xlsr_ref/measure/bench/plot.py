"""The roofline: what each stage reaches, under what the machine allows.

    GFLOP/s ≤ min(peak, bandwidth · intensity)       intensity: FLOPs per byte that must move (stages.py)

Under the slope a stage waits for memory, under the flat roof for multiplications; the gap to the roof is what an
implementation wastes. Peak and bandwidth were measured between the rounds. Where: Williams, Waterman & Patterson 2009.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from xlsr_ref.files import write_whole
from xlsr_ref.measure.bench import stages
from xlsr_ref.measure.bench.programs import OURS
from xlsr_ref.measure.bench.result import Result

# Okabe & Ito's colours can be told apart by colour-blind readers; one for each stage that multiplies, black for all.
# Wav2Vec2-BERT's convolution module has that of the positional convolution: no network has both.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MARKERS = "osD^vP*X"  # one for each workload


def write(path: Path, results: Sequence[Result], title: str) -> None:
    """Draw the stages of all ``results`` that have some into ``path``, an .svg or .png. Raises XlsrError."""
    from matplotlib import rc_context

    picture, suffix = BytesIO(), path.suffix.lower().lstrip(".")
    with rc_context({"svg.hashsalt": "roofline", "svg.fonttype": "none"}):
        figure = draw([result for result in results if result.stage_seconds], title)
        figure.savefig(picture, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    write_whole(path, picture.getvalue())


def draw(results: Sequence[Result], title: str) -> Any:
    """The figure. ``results`` have stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale="log", yscale="log")
    peak = statistics.median([value for result in results for value in result.peak]) / 1e9
    bandwidth = statistics.median([value for result in results for value in result.bandwidth]) / 1e9
    points = [point for result in results for point in _points(result)]
    x = [point[1] for point in points]
    left, right = min(*x, peak / bandwidth) / 2, max(*x, peak / bandwidth) * 2
    axes.plot([left, peak / bandwidth, right], [bandwidth * left, peak, peak], color="black", linewidth=1.5)
    axes.annotate(
        f"multiply-adds: {peak:.0f} GFLOP/s",
        (right, peak),
        (-4, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
    )
    axes.annotate(
        f"copy: {bandwidth:.1f} GB/s", (left, bandwidth * left), (6, -2), textcoords="offset points", va="top"
    )
    multiplying = [stage for stage in stages.FUNCTIONS if stage != "norms"]
    colours = {**dict(zip(multiplying, COLOURS)), "convolution module": COLOURS[2], "total": "black"}
    for number, result in enumerate(results):
        for stage, intensity, speed in _points(result):
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(
                intensity,
                speed,
                marker,
                color=colours[stage],
                markeredgecolor="black",
                markeredgewidth=0.5,
                markersize=8,
            )
    there = {point[0] for point in points}
    keys = [
        Line2D([], [], color=c, marker="s", linestyle="", label=stage) for stage, c in colours.items() if stage in there
    ]
    if len(results) > 1:
        keys += [
            Line2D([], [], color="none", markeredgecolor="black", marker=marker, label=result.workload.name)
            for result, marker in zip(results, MARKERS)
        ]
    figure.legend(handles=keys, loc="outside right upper", frameon=False)
    axes.set_xlim(left, right)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(LogFormatter())  # 100, not 10²
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.set_xlabel("FLOPs per byte that must move")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(title)
    axes.grid(which="both", alpha=0.2)
    return figure


def _points(result: Result) -> list[tuple[str, float, float]]:
    """(stage, FLOP/byte, GFLOP/s) of each stage that multiplies, and of all together."""
    points = []
    for stage, work in result.stage_work.items():
        if work.flops:
            seconds = statistics.median(result.stage_seconds[stage])
            points.append((stage, work.intensity, work.flops / seconds / 1e9))
    moved = sum(work.bytes for work in result.stage_work.values())
    points.append(("total", result.flops / moved, result.flops / statistics.median(result.seconds[OURS]) / 1e9))
    return points
