"""Training, whole: read the corpus, then step after step a batch, a gradient, an update; now and then a checkpoint.

    for every step:   batch ─ finetune_step or pretrain_step ─ clip ─ Adam, at the schedule's rate
    now and then:     a line of progress; a checkpoint; the error on the dev split, which says which checkpoint is best

Everything is a function of the recipe, the corpus and the step. So a run that was stopped and resumed ends with the
same bits as one that was not, and any number of threads gives the same bits, too.
Where: wav2vec 2.0 §4.2, XLSR §3.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xlsr_ref import audio
from xlsr_ref.errors import ObjectiveError, TrainingError
from xlsr_ref.manifest import Clip
from xlsr_ref.ops import threads
from xlsr_ref.ops.lattice import frames_needed
from xlsr_ref.ops.memory import keep_freed_memory
from xlsr_ref.params import nest
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.training import checkpoint, optim
from xlsr_ref.training.data import Sounds, batches, read_clips, unknown_characters
from xlsr_ref.training.dev import errors_on
from xlsr_ref.training.recipe import Recipe, difference, read_recipe
from xlsr_ref.training.schedule import SCHEDULES
from xlsr_ref.training.start import Start, prepare_start
from xlsr_ref.training.step import Batch, finetune_step, pretrain_step
from xlsr_ref.training.watch import Watch

Task = Literal["pretrain", "finetune"]
KINDS = {"pretrain": "Wav2Vec2ForPreTraining", "finetune": "Wav2Vec2ForCTC"}
STEPS = {"pretrain": pretrain_step, "finetune": finetune_step}
BUNDLED = Path(__file__).parents[1] / "data"


@dataclass
class Place:
    """Where a run stands: after ``step`` steps, in front of batch ``batch`` of ``epoch``."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: tuple[float, int] | None = None  # the lowest mean error on the dev split, and its step
    bad: int = 0  # steps that were left out
    bad_in_a_row: int = 0


@dataclass
class Run:
    """A run, ready to go."""

    task: Task
    recipe: Recipe
    folder: Path
    start: Start
    clips: list[Clip]  # to learn from
    targets: list[np.ndarray]  # (S,) of each; empty in pre-training
    dev: dict[str, list[Clip]]  # by name of the group
    tokenizer: Tokenizer | None  # None in pre-training
    adam: optim.AdamState = field(default_factory=optim.AdamState)
    place: Place = field(default_factory=Place)


def prepare_run(
    task: Task, recipe_file: Path, folder: Path, corpus: Path, resume: bool, say: Callable[[str], None]
) -> Run:
    """Check everything that can be checked before the first step; say what is left out. Raises XlsrError."""
    recipe = read_recipe(recipe_file)
    text = recipe_file.read_text("utf-8")
    if resume:
        _require_same(recipe, folder)
    elif folder.exists() and any(folder.iterdir()):
        raise TrainingError(f"{folder} is not empty: give another --out, or --resume to go on with that run")
    by_manifest = read_clips(corpus, recipe.data.manifests)
    part = recipe.data
    every = [clip for clips in by_manifest.values() for clip in clips]
    clips = [c for c in every if c.split == part.train and part.shortest <= c.seconds <= part.longest]
    if not clips:
        raise TrainingError(f"no clip of the split {part.train!r} has {part.shortest} to {part.longest} s: see [data]")
    start = prepare_start(recipe, KINDS[task], (c.text for c in clips), recipe_file.parent, bundled=BUNDLED)
    for line in start.said:
        say(line)
    targets, tokenizer = [np.empty(0, int) for _ in clips], None
    if task == "finetune":
        tokenizer = _tokenizer(start)
        clips, targets = _with_targets(clips, start, tokenizer, say)
    dev = {} if task == "pretrain" or not part.dev else _dev_groups(by_manifest, part.dev)
    if task == "finetune" and part.dev and not dev:
        raise TrainingError(f'no clip belongs to the split data.dev = {part.dev!r}: name another, or "" for none')
    run = Run(task, recipe, folder, start, clips, targets, dev, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    if resume:
        _go_back(run, say)
    else:
        _write(folder / "recipe.toml", text)
    seconds = sum(clip.seconds for clip in clips)
    say(f"{len(clips)} clips to learn from, {seconds / 60:.1f} minutes; {sum(map(len, dev.values()))} to check with")
    return run


def train(run: Run, say: Callable[[str], None]) -> Path:
    """Train to the recipe's last step, and return the folder of the finished model. Raises XlsrError."""
    recipe, start, place, N = run.recipe, run.start, run.place, run.recipe.run.steps
    keep_freed_memory()
    params, nested = start.params, nest(start.params)
    adam = optim.Adam(
        (recipe.optimizer.betas[0], recipe.optimizer.betas[1]),
        recipe.optimizer.eps,
        recipe.optimizer.weight_decay,
        recipe.optimizer.name == "adamw",
    )
    sounds = Sounds(run.clips, start.preprocessor.sampling_rate, next(iter(params.values())).dtype.name)
    watch = Watch(recipe.run.bad_steps, place.bad, place.bad_in_a_row)
    window: list[tuple[float, float, dict[str, Any]]] = []  # seconds of audio, seconds taken, numbers
    with threads.one_blas_thread():
        for chosen in _batches(run):
            place.step += 1
            n, began = place.step, time.perf_counter()
            batch = Batch([sounds[i] for i in chosen], [run.targets[i] for i in chosen], n, recipe.stage(n))
            try:
                numbers, grads = STEPS[run.task](nested, start.config, recipe, start.preprocessor, batch)
                norm = optim.global_norm(grads)
                if not math.isfinite(norm):
                    raise ObjectiveError("the gradient is NaN or infinite")
            except ObjectiveError as error:
                say(watch.failed(n, str(error)))
            else:
                rate = SCHEDULES[recipe.schedule.name](n, N, recipe.schedule.peak, **_schedule(recipe))
                optim.clip(grads, norm, recipe.optimizer.clip)
                head = recipe.optimizer.head_rate
                rates = {name: rate * (head if name.startswith("lm_head.") else 1) for name in grads}
                optim.step(params, grads, run.adam, rates, adam)
                for line in watch.good(numbers):
                    say(line)
                took = time.perf_counter() - began
                window.append((sum(run.clips[i].seconds for i in chosen), took, numbers | {"norm": norm, "rate": rate}))
            place.bad, place.bad_in_a_row = watch.bad, watch.in_a_row
            if (n % recipe.run.report_every == 0 or n == N) and window:
                report = _report(run, window)
                _append(run.folder / "metrics.jsonl", report)
                say(progress_line(report, N))
                window.clear()
            if n % recipe.run.save_every == 0 or n % recipe.run.evaluate_every == 0 or n == N:
                _save(run, say)
    best = place.best[1] if place.best else N
    checkpoint.publish(run.folder / "checkpoints" / checkpoint.name_of(best), run.folder / "model")
    return run.folder / "model"


def progress_line(report: dict[str, Any], N: int) -> str:
    """One report as a line to read."""

    def shown(value: Any) -> str:
        return " ".join(f"{x:.1f}" for x in value) if isinstance(value, list) else f"{value:.4g}"

    skipped = ("step", "epoch", "rate", "seconds_of_audio_per_second", "masked_frames")
    parts = [f"{name} {shown(value)}" for name, value in report.items() if name not in skipped]
    return (
        f"step {report['step']}/{N}  {'  '.join(parts)}  rate {report['rate']:.2e}  "
        f"{report['seconds_of_audio_per_second']:.1f} s of audio/s"
    )


# --- the way through the corpus --------------------------------------------------------------------------------------


def _batches(run: Run) -> Iterator[list[int]]:
    """The batches from where the run stands to its last step. An epoch keeps the stage in which it began."""
    place, recipe = run.place, run.recipe
    while place.step < recipe.run.steps:
        first = place.step - place.batch + 1  # the step that this epoch began with
        longest = recipe.stage(first).longest
        usable = [i for i, clip in enumerate(run.clips) if clip.seconds <= longest]
        if not usable:
            raise TrainingError(f"no clip is as short as stages.longest = {longest} s: raise it")
        rng = np.random.default_rng([recipe.seed, place.epoch])
        plan = batches(run.clips, usable, recipe.data.batch_seconds, recipe.data.alpha, rng)
        for chosen in plan[place.batch :][: recipe.run.steps - place.step]:
            place.batch += 1
            yield chosen
        if place.batch == len(plan):
            place.epoch, place.batch = place.epoch + 1, 0


def _with_targets(
    clips: list[Clip], start: Start, tokenizer: Tokenizer, say: Callable[[str], None]
) -> tuple[list[Clip], list[np.ndarray]]:
    """The clips whose text can be learnt, and their targets; says what is left out."""
    known = {letter for clip in clips for letter in set(clip.text) if _is_known(tokenizer, letter)}
    unknown = unknown_characters(clips, known.__contains__)
    if unknown:
        listed = ", ".join(f"{letter!r} {count} times" for letter, count in unknown.most_common(10))
        more = f", and {len(unknown) - 10} more characters" if len(unknown) > 10 else ""
        say(f"warning: not in the vocabulary, and learnt as unknown: {listed}{more}")
    kept: list[Clip] = []
    targets: list[np.ndarray] = []
    dropped: list[Clip] = []
    for clip in clips:
        ids = np.array(tokenizer.encode(clip.text), int)
        samples = int(clip.seconds * start.preprocessor.sampling_rate)
        frames = audio.frames(samples, start.config.conv_kernel, start.config.conv_stride)
        if frames < max(frames_needed(ids), 1):
            dropped.append(clip)
            continue
        kept.append(clip)
        targets.append(ids)
    if dropped:
        named = f"{len(dropped)} clips, {dropped[0].path.name} the first, are left out"
        say(f"warning: {named}: their text has more letters than they have frames")
    if not kept:
        raise TrainingError("no clip is left to learn from: their texts have more letters than they have frames")
    return kept, targets


def _is_known(tokenizer: Tokenizer, letter: str) -> bool:
    unknown = None if tokenizer.unk_token is None else tokenizer.vocabulary.get(tokenizer.unk_token)
    try:
        return tokenizer.encode(letter) != [unknown]
    except ValueError:
        return False


def _tokenizer(start: Start) -> Tokenizer:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, text in start.files.items():
            (Path(folder) / name).write_text(text, "utf-8")
        return Tokenizer.from_folder(folder)


def _dev_groups(by_manifest: dict[str, list[Clip]], dev: str) -> dict[str, list[Clip]]:
    """The clips of the dev split, by manifest and language."""
    groups: dict[str, list[Clip]] = {}
    for stem, clips in by_manifest.items():
        for clip in clips:
            if clip.split == dev and clip.text:
                groups.setdefault(f"{stem}-{clip.lang}", []).append(clip)
    return groups


# --- reports and checkpoints -----------------------------------------------------------------------------------------


def _schedule(recipe: Recipe) -> dict[str, float]:
    part = recipe.schedule
    return {"warmup": part.warmup} | ({"hold": part.hold} if part.name == "tri-stage" else {})


def _report(run: Run, window: list[tuple[float, float, dict[str, Any]]]) -> dict[str, Any]:
    """The means of the steps since the last report."""
    means: dict[str, Any] = {}
    for name, value in window[-1][2].items():
        values = [numbers[name] for _, _, numbers in window]
        means[name] = [float(x) for x in np.mean(values, axis=0)] if isinstance(value, list) else float(np.mean(values))
    speed = sum(seconds for seconds, _, _ in window) / sum(took for _, took, _ in window)
    return {"step": run.place.step, "epoch": run.place.epoch, **means, "seconds_of_audio_per_second": speed}


def _save(run: Run, say: Callable[[str], None]) -> None:
    place, start, recipe = run.place, run.start, run.recipe
    errors: dict[str, float] = {}
    due = place.step % recipe.run.evaluate_every == 0 or place.step == recipe.run.steps
    if due and run.dev and run.tokenizer is not None:
        every = [clip for clips in run.dev.values() for clip in clips]
        sounds = Sounds(every, start.preprocessor.sampling_rate, next(iter(start.params.values())).dtype.name)
        errors = errors_on(run.dev, [sounds[i] for i in range(len(every))], start, run.tokenizer)
        mean = sum(errors.values()) / len(errors)
        if place.best is None or mean < place.best[0]:
            place.best = (mean, place.step)
        say(f"  dev character error rate {'  '.join(f'{k} {v:.3f}' for k, v in errors.items())}  mean {mean:.3f}")
        _append(run.folder / "metrics.jsonl", {"step": place.step, "dev": errors, "mean": mean})
    checkpoint.save(run.folder, place.step, start.params, run.adam, start.files, {"place": vars(place)})
    checkpoint.tidy(run.folder, place.best[1] if place.best else None)


def _require_same(recipe: Recipe, folder: Path) -> None:
    stored = folder / "recipe.toml"
    if not stored.is_file():
        raise TrainingError(f"{folder} holds no run to resume: leave --resume out to begin one")
    found = difference(read_recipe(stored), recipe)
    if found:
        raise TrainingError(f"{folder} was begun with another recipe: {found}; give another --out to begin anew")


def _go_back(run: Run, say: Callable[[str], None]) -> None:
    """To the last whole checkpoint, or the beginning where there is none."""
    found = checkpoint.latest(run.folder)
    if found is not None:
        run.adam, state = checkpoint.restore(found, run.start.params)
        place = state["place"]
        run.place = Place(**(place | {"best": tuple(place["best"]) if place["best"] else None}))
    say(f"resuming after step {run.place.step}")
    metrics = run.folder / "metrics.jsonl"
    if metrics.exists():
        lines = [line for line in metrics.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
        _write(metrics, "".join(line for line in lines if json.loads(line)["step"] <= run.place.step))


def _append(path: Path, report: dict[str, Any]) -> None:
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(path.name + checkpoint.UNFINISHED)
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from None
