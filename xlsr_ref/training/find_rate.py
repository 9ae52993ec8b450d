"""The learning-rate range test: one short run in which the rate grows until training breaks, to choose the peak by.

    rate_n = low (high / low)^((n − 1) / (N − 1))                  n = 1 … N: it grows by the same factor each step
    s_n = β s_(n−1) + (1 − β) loss_n,   shown s_n / (1 − βⁿ)       smoothed over a tenth of the steps, β = 1 − 10 / N
it ends where the smoothed loss is TOO_MUCH its lowest
    suggestion = the rate where the smoothed loss is lowest / 10   there training is about to break

Nothing is suggested where the loss never fell by FELL of what it was at first. The weights that come of it are thrown
away. Losses are nats for each token (fine-tuning) or masked frame (pre-training).
Where: Smith 2017, "Cyclical learning rates for training neural networks", §3.3 (arXiv 1506.01186); smoothing and the
tenth are those of fastai. Letters: n a step, N all steps.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import NamedTuple

from xlsr_ref.errors import ObjectiveError, TrainingError
from xlsr_ref.ops import threads
from xlsr_ref.training.folder import write
from xlsr_ref.training.loop import Learner, batches_to_go, sounds_of, waveforms_of
from xlsr_ref.training.prepare import Run, Say, release
from xlsr_ref.training.watch import Lengths

LOW, HIGH = 1e-7, 1e-1
FEWEST = 10  # steps
SMOOTHED = 10  # of so many of 100 steps a smoothed loss is made, about
TOO_MUCH = 4.0  # times the lowest smoothed loss
FELL = 0.02  # of the first smoothed loss
TENTH = 0.1
RESULT = "learning_rate.json"


class Rates(NamedTuple):
    """What the test found: three numbers for each step, and the suggestion."""

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    why: str  # the suggestion, or why there is none, in words


def find_rate(run: Run, steps: int, say: Say) -> Rates:
    """Take at most so many ``steps`` (N) of ``run``, and write learning_rate.json into its folder.

    The run itself cannot go on afterwards. Raises TrainingError for fewer steps than FEWEST, and what training raises.
    """
    if steps < FEWEST:
        raise TrainingError(f"a range test of {steps} steps says nothing: give at least {FEWEST}")
    part = replace(run.recipe.run, steps=steps, stop=0, patience=0)
    run = replace(run, recipe=replace(run.recipe, run=part))
    learner, sounds = Learner(run), sounds_of(run, run.clips)
    lengths = Lengths(run.start.preprocessor.sampling_rate, run.recipe.data.longest)
    rates: list[float] = []
    losses: list[float] = []
    try:
        with threads.one_blas_thread():
            for chosen in batches_to_go(run):
                run.place.step += 1
                n = run.place.step
                rate = LOW * (HIGH / LOW) ** ((n - 1) / (steps - 1))
                waveforms = waveforms_of(run, sounds, chosen, lengths, say)
                try:
                    numbers = learner.step(n, waveforms, [run.targets[i] for i in chosen], rate)
                except ObjectiveError as error:
                    say(f"the loss is no number at a rate of {rate:.1e} ({error}): the test ends")
                    break
                rates.append(rate)
                losses.append(numbers.get("nats_per_token", numbers["loss"]))
                means = smoothed(losses, steps)
                if n % max(1, steps // 10) == 0:
                    say(f"step {n}/{steps}  rate {rate:.1e}  loss {means[-1]:.3f}")
                if means[-1] > TOO_MUCH * min(means) and n > FEWEST:
                    break
    finally:
        release(run)
    found = judged(rates, losses, steps)
    write(run.folder / RESULT, json.dumps(found._asdict(), indent=1) + "\n")
    return found


def smoothed(losses: list[float], steps: int) -> list[float]:
    """The exponential mean of each loss and those before it, without the bias of its beginning."""
    means, mean, beta = [], 0.0, max(0.0, 1 - SMOOTHED / steps)
    for n, loss in enumerate(losses, start=1):
        mean = beta * mean + (1 - beta) * loss
        means.append(mean / (1 - beta**n))
    return means


def judged(rates: list[float], losses: list[float], steps: int) -> Rates:
    """The suggestion, by the rule at the top of the file."""
    means = smoothed(losses, steps)
    if not means:
        return Rates(rates, losses, means, None, "no rate is suggested: the first step had no loss already")
    best = min(range(len(means)), key=means.__getitem__)
    if not math.isfinite(means[best]) or means[best] > (1 - FELL) * means[0]:
        why = "no rate is suggested: the loss did not fall at any; give more steps, or look at the data"
        return Rates(rates, losses, means, None, why)
    suggestion = TENTH * rates[best]
    still = best == len(means) - 1 and rates[best] >= 0.99 * HIGH
    why = f"schedule.peak = {suggestion:.1e} is suggested: a tenth of {rates[best]:.1e}, where the loss was lowest"
    return Rates(rates, losses, means, suggestion, why + (" (it was still falling)" if still else ""))
