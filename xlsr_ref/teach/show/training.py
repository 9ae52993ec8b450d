"""The curves of a training run, drawn from its metrics.jsonl: one small picture for each thing to watch.

    pre-training   loss, accuracy, codes in use (perplexity) and the diversity loss, temperature
    fine-tuning    loss, error on the dev split by group, share of blanks
    both           norm of the gradient, learning rate, speed

The axis below is the step, the same for all. A cross marks where steps had to be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from xlsr_ref.teach.show.picture import Picture, figure
from xlsr_ref.teach.show.style import COLOURS, CYCLE, INK, LANGUAGES, dashes

Reports = Sequence[Mapping[str, Any]]
PANEL = 3.3, 2.5  # inches of paper for each


def training_curves(task: str, metrics: Reports) -> Picture:
    """All curves of a ``"pretrain"`` or ``"finetune"`` run, from the lines of its metrics.jsonl.

    Raises ValueError where there is no report yet.
    """
    reports = [line for line in metrics if "loss" in line]
    checks = [line for line in metrics if "dev" in line]
    if not reports:
        raise ValueError("there is nothing to draw: no step has been reported")
    panels: list[Callable[[Axes], None]] = [lambda ax: _loss(ax, reports)]
    if task == "pretrain":
        panels += [
            lambda ax: _one(ax, reports, "accuracy", "contrastive accuracy", COLOURS["positive"]),
            lambda ax: _codes(ax, reports),
            lambda ax: _one(ax, reports, "diversity", "diversity loss (share of unused codes)", CYCLE[0], 1.02),
            lambda ax: _one(ax, reports, "tau", "temperature of the quantizer", COLOURS["quantizer"]),
        ]
    else:
        if checks:
            panels.append(lambda ax: _dev(ax, checks))
        panels.append(lambda ax: _one(ax, reports, "blanks", "share of blank frames", COLOURS["blank"], 1.02))
    panels += [
        lambda ax: _norm(ax, reports),
        lambda ax: _one(ax, reports, "rate", "learning rate (thousandths)", INK, scale=1000),
        lambda ax: _one(ax, reports, "seconds_of_audio_per_second", "seconds of audio per second", COLOURS["quiet"]),
    ]
    columns = min(4, -(-len(panels) // 2))
    rows = -(-len(panels) // columns)
    words, width = _in_words(task, reports, checks), columns * PANEL[0]
    drawing = figure(words, rows, columns, width, rows * PANEL[1], squeeze=False)
    with drawing as axes:
        for ax, panel in zip(axes.flat, panels):
            panel(ax)
            ax.grid(axis="y")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.set_xlim(0, max(line["step"] for line in metrics) * 1.01)
        for number, ax in enumerate(axes.flat):
            if number >= len(panels):
                ax.remove()
            elif number >= len(panels) - columns:  # nothing stands below it
                ax.set_xlabel("step")
    assert drawing.picture is not None
    return drawing.picture


def _one(
    ax: Axes, reports: Reports, name: str, title: str, colour: str, top: float | None = None, scale: float = 1
) -> None:
    ax.plot(_steps(reports), [line[name] * scale for line in reports], color=colour)
    ax.set_ylim(0, top)
    ax.set_title(title)


def _loss(ax: Axes, reports: Reports) -> None:
    steps = _steps(reports)
    if "contrastive" in reports[0]:
        ax.plot(steps, [line["loss"] for line in reports], label="all terms", **dashes(0))
        ax.plot(steps, [line["contrastive"] for line in reports], label="contrastive", **dashes(1))
        ax.set_title("loss (nats per masked frame)")
        ax.legend()
    else:
        ax.plot(steps, [line["nats_per_token"] for line in reports], color=COLOURS["text"])
        ax.set_ylim(0)
        ax.set_title("CTC loss (nats per token)")
    _crosses(ax, reports)


def _codes(ax: Axes, reports: Reports) -> None:
    for g, line in enumerate(np.array([line["perplexity"] for line in reports]).T):
        ax.plot(_steps(reports), line, label=f"group {g}", **dashes(g, "quantizer" if g == 0 else ""))
    ax.axhline(1, color=COLOURS["error"], linewidth=1, linestyle=":", label="collapse")
    ax.set_ylim(0)
    ax.set_title("codes in use (perplexity)")
    ax.legend()


def _dev(ax: Axes, checks: Reports) -> None:
    steps, groups = _steps(checks), list(checks[-1]["dev"])
    one_list = len({group.rpartition("-")[0] for group in groups}) == 1
    for number, group in enumerate(groups):
        lang = group.rpartition("-")[2]
        look = dashes(number) | {"color": LANGUAGES.get(lang, CYCLE[number % len(CYCLE)])}
        errors = [line["dev"][group] for line in checks]
        ax.plot(steps, errors, marker="o", markersize=3, label=lang if one_list else group, **look)
    if len(groups) > 1:
        ax.plot(steps, [line["mean"] for line in checks], color=INK, linewidth=3, alpha=0.3, label="mean")
    best = min(checks, key=lambda line: line["mean"])
    ax.plot(best["step"], best["mean"], "o", markersize=9, markerfacecolor="none", color=INK, label="kept")
    ax.set_ylim(0)
    ax.set_title("character error rate, dev")
    ax.legend(fontsize=7, loc="upper right")


def _norm(ax: Axes, reports: Reports) -> None:
    ax.plot(_steps(reports), [line["norm"] for line in reports], color=CYCLE[0])
    ax.set_yscale("log")
    for axis in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else ""))
    ax.set_title("norm of the gradient")


def _crosses(ax: Axes, reports: Reports) -> None:
    """Where steps were left out since the report before."""
    so_far = np.array([line.get("left_out", 0) for line in reports])
    rises = [int(i) for i in np.flatnonzero(np.diff(so_far, prepend=0) > 0)]
    if rises:
        height = [reports[i].get("nats_per_token", reports[i]["loss"]) for i in rises]
        ax.plot(np.array(_steps(reports))[rises], height, "x", color=COLOURS["error"], label="left out")
        ax.legend()


def _steps(reports: Reports) -> list[int]:
    return [line["step"] for line in reports]


def _in_words(task: str, reports: Reports, checks: Reports) -> str:
    """The alt text: the numbers at both ends."""
    first, last = reports[0], reports[-1]
    kind = "Pre-training" if task == "pretrain" else "Fine-tuning"
    words = [f"{kind}, steps {first['step']} to {last['step']}: the loss goes from {first['loss']:.2f} to "
             f"{last['loss']:.2f}"]  # fmt: skip
    if task == "pretrain":
        words.append(f"the contrastive accuracy from {first['accuracy']:.2f} to {last['accuracy']:.2f}")
        codes = " and ".join(f"{x:.1f}" for x in last["perplexity"])
        words.append(f"at the end {codes} codes of the groups are in use")
    if checks:
        best = min(checks, key=lambda line: line["mean"])
        words.append(f"the lowest mean character error rate on the dev split is {best['mean']:.3f}, "
                     f"at step {best['step']}")  # fmt: skip
    return "; ".join(words) + "."
