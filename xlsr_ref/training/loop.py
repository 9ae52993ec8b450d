"""The training loop: step after step a batch, a gradient, an update; now and then a report and a checkpoint.

    for every step:   batch ─ finetune_step or pretrain_step ─ clip ─ Adam, at the schedule's rate
    now and then:     a line of progress; a checkpoint; the error on the dev split, which says which checkpoint is best

Everything is a function of the recipe, the corpus and the step. So a run that was stopped and resumed ends with the
same bits as one that was not, and any number of threads gives the same bits, too.
What comes before the first step is in prepare.py. Where: wav2vec 2.0 §4.2, XLSR §3. Letters: n a step, N all steps.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.errors import CannotTranscribeError, ObjectiveError, TrainingError
from xlsr_ref.ops import adam as optim
from xlsr_ref.ops import threads
from xlsr_ref.ops.lattice import frames_needed
from xlsr_ref.ops.memory import keep_freed_memory
from xlsr_ref.ops.schedule import SCHEDULES
from xlsr_ref.ops.tree import nest
from xlsr_ref.training import checkpoint, report
from xlsr_ref.training.data import Sounds, batches
from xlsr_ref.training.dev import errors_on
from xlsr_ref.training.folder import add_metrics, read_metrics
from xlsr_ref.training.memory import memory_lines
from xlsr_ref.training.prepare import Run, Say, prepare_run, release
from xlsr_ref.training.recipe import Recipe
from xlsr_ref.training.report import progress_line
from xlsr_ref.training.step import Batch, finetune_step, fits_ctc, fits_masks, frames_of, pretrain_step
from xlsr_ref.training.tensorboard import Events
from xlsr_ref.training.watch import Lengths, Watch

__all__ = ["prepare_run", "progress_line", "train"]

STEPS = {"pretrain": pretrain_step, "finetune": finetune_step}
FITS = {"pretrain": fits_masks, "finetune": fits_ctc}


def train(run: Run, say: Say) -> Path:
    """Train to the recipe's last step, and return the folder of the finished model. Raises XlsrError."""
    for line in memory_lines(run):
        say(line)
    if run.recipe.run.tensorboard:
        run.events = Events(run.folder, read_metrics(run.folder))
    keep_freed_memory()
    part, place = run.recipe.run, run.place
    learner, sounds = Learner(run), sounds_of(run, run.clips)
    watch = Watch(part.bad_steps, place.bad, place.bad_in_a_row)
    lengths = Lengths(run.start.preprocessor.sampling_rate, run.recipe.data.longest)
    since: list[report.Step] = []  # the last report
    try:
        with threads.one_blas_thread():
            for chosen in batches_to_go(run):
                place.step += 1
                began = time.perf_counter()
                try:
                    waveforms = waveforms_of(run, sounds, chosen, lengths, say)
                    numbers = learner.step(place.step, waveforms, [run.targets[i] for i in chosen])
                except ObjectiveError as error:
                    say(watch.failed(place.step, str(error)))
                else:
                    for line in watch.good(numbers):
                        say(line)
                    seconds = sum(map(len, waveforms)) / lengths.rate
                    since.append(report.Step(seconds, time.perf_counter() - began, numbers))
                place.bad, place.bad_in_a_row = watch.bad, watch.in_a_row
                if _now(part.report_every, run) and since:
                    _report(run, since, say)
                if _now(part.evaluate_every, run):
                    _evaluate(run, lengths, say)
                if _now(part.evaluate_every, run) or _now(part.save_every, run):
                    _save(run)
        if place.bad == place.step:
            raise TrainingError(f"all {place.step} steps were left out, so the model has learnt nothing: mend what the "
                                "warnings name, and begin anew with another --out")  # fmt: skip
        if _is_stale(run):
            say(f"stopped after step {place.step}: {place.stale} checks on the dev split were no better")
        best = place.best[1] if place.best else place.step
        chosen_folder = run.folder / "checkpoints" / checkpoint.name_of(best)
        mean = average(run, say)
        checkpoint.publish(mean or chosen_folder, run.folder / "model")
        if mean is not None:
            shutil.rmtree(mean, ignore_errors=True)
    finally:
        release(run)
    return run.folder / "model"


class Learner:
    """The weights of a run, and how one batch changes them."""

    def __init__(self, run: Run) -> None:
        self.run, part = run, run.recipe.optimizer
        self.params, self.nested = run.start.params, nest(run.start.params)  # the same arrays, twice
        betas = part.betas[0], part.betas[1]
        self.adam = optim.Adam(betas, part.eps, part.weight_decay, decoupled=part.name == "adamw")

    def step(
        self, n: int, waveforms: list[np.ndarray], targets: list[np.ndarray], rate: float | None = None
    ) -> dict[str, Any]:
        """Step ``n``: gradient, clip, update, at ``rate`` (None: the schedule's). What it reports.

        Raises ObjectiveError, and leaves the weights as they are, if there is no usable gradient.
        """
        run, recipe, start = self.run, self.run.recipe, self.run.start
        batch = Batch(waveforms, targets, n, recipe.stage(n))
        numbers, grads = STEPS[run.task](self.nested, start.config, recipe, start.preprocessor, batch)
        norm = optim.global_norm(grads)
        if not math.isfinite(norm):
            raise ObjectiveError("the gradient is NaN or infinite")
        optim.clip(grads, norm, recipe.optimizer.clip)
        rate = rate_of(recipe, n) if rate is None else rate
        head = rate * recipe.optimizer.head_rate
        rates = {name: head if name.startswith("lm_head.") else rate for name in grads}
        optim.step(self.params, grads, run.adam, rates, self.adam)
        return numbers | {"norm": norm, "rate": rate}


def rate_of(recipe: Recipe, n: int) -> float:
    """The learning rate of step ``n``."""
    part = recipe.schedule
    shares = {"warmup": part.warmup} | ({"hold": part.hold} if part.name == "tri-stage" else {})
    return SCHEDULES[part.name](n, recipe.run.steps, part.peak, **shares)


# --- batches and their waveforms --------------------------------------------------------------------------------------


def batches_to_go(run: Run) -> Iterator[list[int]]:
    """The batches from where the run stands to its last step. An epoch keeps the stage in which it began."""
    place, recipe = run.place, run.recipe
    while place.step < recipe.run.last and not _is_stale(run):
        first = place.step - place.batch + 1  # the step that this epoch began with
        longest = recipe.stage(first).longest
        usable = [i for i, clip in enumerate(run.clips) if clip.seconds <= longest for _ in range(run.times(clip))]
        rng = np.random.default_rng([recipe.seed, place.epoch])
        plan = batches(run.clips, usable, recipe.data.batch_seconds, recipe.data.alpha, rng)
        for chosen in plan[place.batch :][: recipe.run.last - place.step]:
            place.batch += 1
            yield chosen
            if _is_stale(run):
                return
        if place.batch == len(plan):
            place.epoch, place.batch = place.epoch + 1, 0


def waveforms_of(run: Run, sounds: Sounds, chosen: list[int], lengths: Lengths, say: Say) -> list[np.ndarray]:
    """The waveforms (L,) of a batch. What is not as its list says, or cannot be learnt from, is told and counted."""
    config, fits = run.start.config, FITS[run.task]
    waveforms = [sounds[i] for i in chosen]
    for place, i in enumerate(chosen):
        clip, x, targets = run.clips[i], waveforms[place], run.targets[i]
        lines = [*lengths.measured(clip, len(x))]
        if lengths.is_too_long(clip, len(x)):
            waveforms[place] = x[:0]  # which fits nothing
            lines += lengths.left_out(clip, f"it is longer than data.longest = {lengths.longest:g} s")
        elif not fits(x, targets, config):
            needed = max(frames_needed(targets), 1) if run.task == "finetune" else config.mask_time_length
            what = "its text needs" if run.task == "finetune" else "a masked span has"
            lines += lengths.left_out(clip, f"it makes {frames_of(len(x), config)} frames, and {what} {needed}")
        run.place.clips_left_out += not fits(waveforms[place], targets, config)
        for line in lines:
            say(line)
    return waveforms


def sounds_of(run: Run, clips: list[Clip]) -> Sounds:
    return Sounds(clips, run.start.preprocessor.sampling_rate, next(iter(run.start.params.values())).dtype.name)


# --- now and then ----------------------------------------------------------------------------------------------------


def _now(every: int, run: Run) -> bool:
    return run.place.step % every == 0 or run.place.step == run.recipe.run.last


def _record(run: Run, numbers: dict[str, Any]) -> None:
    """One more line of metrics.jsonl, and for TensorBoard."""
    add_metrics(run.folder, numbers)
    if run.events is not None:
        run.events.add(numbers)


def _report(run: Run, since: list[report.Step], say: Say) -> None:
    place = run.place
    numbers = {"step": place.step, "epoch": place.epoch, **report.means(since), "left_out": place.bad}
    numbers["clips_left_out"] = place.clips_left_out
    _record(run, numbers)
    took = sum(step.took for step in since) / len(since)
    left = {"seconds_left": took * (run.recipe.run.last - place.step)}
    say(progress_line(numbers | left, run.recipe.run.last))
    since.clear()


def _evaluate(run: Run, lengths: Lengths, say: Say) -> None:
    """The error on the dev split; the lowest mean over its groups so far is remembered."""
    if not run.dev or run.tokenizer is None:
        return
    place, groups = run.place, run.dev | run.unheard
    every = [clip for clips in groups.values() for clip in clips]
    sounds = sounds_of(run, every)
    waveforms = [sounds[i] for i in range(len(every))]
    for clip, x in zip(every, waveforms):
        for line in lengths.measured(clip, len(x)):
            say(line)
    try:
        errors = errors_on(groups, waveforms, run.start, run.tokenizer)
    except CannotTranscribeError:
        raise TrainingError(f"after step {place.step} the model's scores are NaN or infinite: lower schedule.peak, and "
                            "begin anew with another --out") from None  # fmt: skip
    known = errors.of(run.dev)  # unheard speakers are told, and choose nothing
    place.stale += 1
    if place.best is None or known.mean < place.best[0]:
        place.best, place.stale = (known.mean, place.step), 0
    for what, some in (("dev", known), ("of unheard speakers", errors.of(run.unheard))):
        if some.characters:
            shown = "  ".join(f"{k} {v:.3f}" for k, v in some.characters.items())
            words = sum(some.words.values()) / len(some.words)
            say(f"  {what} character error rate {shown}  mean {some.mean:.3f}  word error rate {words:.3f}")
    report_of_dev = {"step": place.step, "dev": errors.characters, "mean": known.mean, "dev_words": errors.words}
    _record(run, report_of_dev)


def _is_stale(run: Run) -> bool:
    """Has the error on the dev split not fallen for as long as the recipe waits?"""
    return 0 < run.recipe.run.patience <= run.place.stale


def average(run: Run, say: Say) -> Path | None:
    """The mean of the last checkpoints as a checkpoint of its own, where the recipe asks for it and it is better on the
    dev split than the best one; None elsewhere."""
    last = checkpoint.whole(run.folder)[-run.recipe.run.average :]
    if len(last) < 2:
        return None
    params = checkpoint.mean_of(last)
    if run.dev and run.tokenizer is not None and run.place.best is not None:
        every = [clip for clips in run.dev.values() for clip in clips]
        sounds = sounds_of(run, every)
        waveforms = [sounds[i] for i in range(len(every))]
        error = errors_on(run.dev, waveforms, replace(run.start, params=params), run.tokenizer).mean
        better = error < run.place.best[0]
        say(f"  the mean of {len(last)} checkpoints has a dev character error rate of {error:.3f}, the best one "
            f"{run.place.best[0]:.3f}: the {'mean' if better else 'best'} is the model")  # fmt: skip
        if not better:
            return None
    return checkpoint.save_weights(
        run.folder / "checkpoints" / "mean", params, run.start.files, run.recipe.model.language
    )


def _save(run: Run) -> None:
    place, state = run.place, {"place": vars(run.place), "corpus": run.corpus, "checked": run.checked}
    language = run.recipe.model.language
    checkpoint.save(run.folder, place.step, run.start.params, run.adam, run.start.files, state, language)
    checkpoint.tidy(run.folder, place.best[1] if place.best else None, run.recipe.run.average)
