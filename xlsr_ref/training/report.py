"""What a run says of itself: the means over some steps, and a line of at most 120 columns to read them in.

loss          nats for each masked frame (pre-training) or token (fine-tuning), all terms together
accuracy      how often the right frame is more alike than all its negatives
diversity     the share of the codes that is not in use
perplexity    how many codes of each group are in use
tau           the quantizer's temperature
blanks        the share of the frames whose likeliest token is the blank
norm          of the gradient, before it is clipped
s/s           seconds of audio for each second of work
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

WIDTH = 120
SHOWN = ("loss", "nats_per_token", "accuracy", "diversity", "perplexity", "tau", "blanks", "norm")
LEGEND = {
    "pretrain": "accuracy: the right frame beats all negatives; diversity: share of unused codes; perplexity: codes "
    "in use\nnorm: of the gradient; s/s: seconds of audio per second; more in metrics.jsonl",
    "finetune": "nats/token: loss per letter; blanks: share of frames that are blank\n"
    "norm: of the gradient; rate: learning rate; s/s: seconds of audio per second; more in metrics.jsonl",
}


class Step(NamedTuple):
    """One step that went well."""

    seconds: float  # of audio
    took: float  # seconds of work
    numbers: dict[str, Any]


def means(steps: list[Step]) -> dict[str, Any]:
    """The mean of every number over ``steps``, at least one, and the speed."""
    averages: dict[str, Any] = {}
    for name, value in steps[-1].numbers.items():
        values = [step.numbers[name] for step in steps]
        mean = np.mean(values, axis=0)
        averages[name] = [float(x) for x in mean] if isinstance(value, list) else float(mean)
    speed = sum(step.seconds for step in steps) / sum(step.took for step in steps)
    return averages | {"seconds_of_audio_per_second": speed}


def progress_line(report: dict[str, Any], N: int) -> str:
    """One report as a line to read; ``N`` steps are all."""
    parts = [f"step {report['step']:{len(str(N))}}/{N}"]
    for name in SHOWN:
        if name in report:
            parts.append(f"{name.replace('nats_per_token', 'nats/token')} {_shown(report[name])}")
    if "blanks" in report:  # a line of pre-training would be too long with it
        parts.append(f"rate {report['rate']:.1e}")
    parts.append(f"{report['seconds_of_audio_per_second']:.1f} s/s")
    if "seconds_left" in report:
        parts.append(f"{_clock(report['seconds_left'])} left")
    if report.get("left_out"):
        parts.append(f"left out {report['left_out']}")
    if report.get("clips_left_out"):
        parts.append(f"clips left out {report['clips_left_out']}")
    if sum(map(len, parts)) + 2 * (len(parts) - 1) > WIDTH:  # the temperature falls by plan: it can be missed
        parts = [part for part in parts if not part.startswith("tau ")]
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    """Hours, or minutes and seconds."""
    minutes, second = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{second:02}"
    return f"{minutes / 60:.1f}h" if minutes < 600 else f"{minutes // 60}h"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"
