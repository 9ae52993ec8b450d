"""The preparation of a run: everything is checked before the first step, and what is left out is said.

    recipe ─ corpus ─ clips to learn from ─ weights to start from ─ targets ─ the folder of the run

Nothing is written before all of it fits. A clip is left out when its text has more letters than it has frames, or, in
pre-training, when it is shorter than one masked span.
"""

from __future__ import annotations

import re
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.errors import TrainingError
from xlsr_ref.model.agreement import require_one_blank
from xlsr_ref.ops.adam import AdamState
from xlsr_ref.ops.lattice import frames_needed
from xlsr_ref.text.read_tokenizer import read_tokenizer
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.training import checkpoint
from xlsr_ref.training.data import (
    read_clips,
    repeated,
    require_apart,
    require_disjoint,
    require_every_language,
    unknown_characters,
)
from xlsr_ref.training.folder import RECIPE, hold, require_usable, rewind_metrics, write
from xlsr_ref.training.recipe import DataPart, Recipe, read_recipe
from xlsr_ref.training.shipped import base_of
from xlsr_ref.training.start import Start, start_of
from xlsr_ref.training.step import frames_of
from xlsr_ref.training.tensorboard import Events, require_tensorboard
from xlsr_ref.untrusted import LONGEST_TOML, read_text

Task = Literal["pretrain", "finetune"]
Say = Callable[[str], None]
KINDS = {"pretrain": "Wav2Vec2ForPreTraining", "finetune": "Wav2Vec2ForCTC"}
BUNDLED = Path(__file__).parents[1] / "data"
MOST_LISTED = 40  # characters


@dataclass
class Place:
    """Where a run stands: after ``step`` steps, in front of batch ``batch`` of ``epoch``."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: tuple[float, int] | None = None  # the lowest mean error on the dev split, and its step
    bad: int = 0  # steps that were left out
    bad_in_a_row: int = 0
    clips_left_out: int = 0  # in all steps together
    stale: int = 0  # checks on the dev split since the error was lowest


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
    unheard: dict[str, list[Clip]]  # the same, of speakers who are not learnt from
    tokenizer: Tokenizer | None  # None in pre-training
    repeats: dict[Path, int]  # how often an epoch takes a clip, where it is not once
    lock: TextIO | None = None  # open as long as the run's folder is held
    events: Events | None = None  # for TensorBoard, while it trains and where the recipe asks for it
    adam: AdamState = field(default_factory=AdamState)
    place: Place = field(default_factory=Place)

    def times(self, clip: Clip) -> int:
        """How often an epoch takes ``clip``."""
        return self.repeats.get(clip.path, 1)

    @property
    def corpus(self) -> int:
        """A number that changes with the clips that are learnt from."""
        return _number_of(self.clips)

    @property
    def checked(self) -> int:
        """A number that changes with the clips that are checked with."""
        return _number_of([clip for group in (self.dev | self.unheard).values() for clip in group])


def _number_of(clips: Sequence[Clip]) -> int:
    return zlib.crc32(repr([(c.path.name, c.lang, c.seconds, c.text) for c in clips]).encode())


def prepare_run(
    task: Task, recipe_file: Path, folder: Path, corpus: Path, resume: bool, say: Say, seed: int | None = None
) -> Run:
    """A run that can take its first step, or, to ``resume``, the one after its last checkpoint.

    A ``seed`` takes the place of the recipe's. ``say`` gets what the user should know, a line at a time. Raises
    XlsrError; nothing in ``folder`` has changed then.
    """
    recipe = read_recipe(recipe_file)
    recipe = recipe if seed is None else replace(recipe, seed=seed)
    require_usable(folder, recipe, resume)
    if recipe.run.tensorboard:
        require_tensorboard()
    text, part = recipe.text if task == "finetune" else None, recipe.data
    names = [*part.manifests, *part.unheard] if part.manifests else []
    every_list = read_clips(corpus, names, text, part.tiers, say, part.languages)
    by_manifest = {Path(name).stem: every_list[Path(name).stem] for name in part.manifests} or every_list
    clips, repeats = _to_learn_from(by_manifest, part, say), repeated(by_manifest, part.repeat)
    start = start_of(recipe, KINDS[task], (c.text for c in clips), base_of(recipe_file), bundled=BUNDLED)
    require_stages_that_fit(task, recipe, start)
    for line in [] if resume else start.notes:
        say(line)
    dev: dict[str, list[Clip]] = {}
    unheard: dict[str, list[Clip]] = {}
    checked: list[Clip] = []
    tokenizer = None
    if task == "finetune":
        dev, unheard, tokenizer = *_to_check_with(every_list, clips, part), _tokenizer(start)
        checked = [clip for group in (dev | unheard).values() for clip in group]
        if part.dev == part.train:
            say("warning: data.dev is data.train: the error rates are those of clips that are learnt from")
        else:
            require_apart(clips, checked)
        require_one_blank(
            start.config, tokenizer, len(start.params["lm_head.weight"]), f"model.start {recipe.model.start}"
        )
        _name_unknown_letters(clips, tokenizer, "learnt as unknown", say)
        _name_unknown_letters(checked, tokenizer, "always wrong in dev", say)
        clips, targets = _with_targets(clips, start, tokenizer, say)
    else:
        clips = _with_spans(clips, start, say)
        targets = [np.empty(0, int) for _ in clips]
    _require_short_enough(clips, recipe)
    run = Run(task, recipe, folder, start, clips, targets, dev, unheard, tokenizer, repeats, hold(folder))
    try:
        require_usable(folder, recipe, resume)  # once more: now that the folder is held
        if resume:
            _go_back(run, say)
        else:
            own = read_text(recipe_file, TrainingError, LONGEST_TOML)
            write(folder / RECIPE, own if seed is None else with_seed(own, seed))
    except BaseException:
        release(run)
        raise
    minutes = sum(clip.seconds for clip in clips) / 60
    say(f"{len(clips)} clips to learn from, {minutes:.1f} minutes; {len(checked)} to check with")
    return run


def require_stages_that_fit(task: Task, recipe: Recipe, start: Start) -> None:
    """Raise TrainingError for a stage in which the model has nothing that could learn."""
    for i, stage in enumerate(recipe.stages):
        if task == "pretrain" and stage.learn != "all":
            raise TrainingError(f"stages[{i}].learn is {stage.learn!r}, but pre-training teaches all: leave it out")
        if stage.learn == "adapters" and getattr(start.config, "adapter_attn_dim", None) is None:
            raise TrainingError(
                f"stages[{i}].learn is 'adapters', but the model has no attention adapters (adapter_attn_dim): let "
                "another part learn"
            )


def with_seed(recipe: str, seed: int) -> str:
    """The text of a recipe with another seed, which stands before the first table."""
    lines = recipe.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    top = [line for line in lines[:first] if not re.match(r"\s*seed\s*=", line)]
    return "".join([f"seed = {seed}\n", *top, *lines[first:]])


def release(run: Run) -> None:
    """Close the run's files, and release its folder, so that another run can take it."""
    if run.lock is not None:
        run.lock.close()
        run.lock = None
    if run.events is not None:
        run.events.close()
        run.events = None


# --- clips and targets -----------------------------------------------------------------------------------------------


def _to_learn_from(by_manifest: dict[str, list[Clip]], part: DataPart, say: Say) -> list[Clip]:
    every = [clip for clips in by_manifest.values() for clip in clips]
    split = [clip for clip in every if clip.split == part.train]
    if every and not split:
        raise TrainingError(f"no clip belongs to the split data.train = {part.train!r}, {_splits(every)}")
    require_every_language(split, [], part.languages)
    clips = [clip for clip in split if part.shortest <= clip.seconds <= part.longest]
    if not clips:
        longest = max(clip.seconds for clip in split)
        raise TrainingError(
            f"no clip of the split {part.train!r} has {part.shortest:g} to {part.longest:g} s, the longest has "
            f"{longest:g} s: change data.shortest or data.longest"
        )
    twice = len(clips) - len({clip.stretch for clip in clips})
    if twice:
        say(f"warning: {twice} of {len(clips)} clips stand in another list, too, and are learnt from for each")
    return clips


def _to_check_with(
    every_list: dict[str, list[Clip]], train: Sequence[Clip], part: DataPart
) -> tuple[dict[str, list[Clip]], dict[str, list[Clip]]]:
    """The clips of the dev split, by manifest and language; and those of the speakers who are not learnt from."""
    unheard = {Path(name).stem for name in part.unheard}
    groups: tuple[dict[str, list[Clip]], dict[str, list[Clip]]] = ({}, {})
    for stem, clips in every_list.items():
        for clip in clips:
            if part.dev and clip.split == part.dev and clip.text:
                groups[stem in unheard].setdefault(f"{stem}-{clip.lang}", []).append(clip)
    if part.dev and not groups[0]:
        every = [clip for stem, clips in every_list.items() for clip in clips if stem not in unheard]
        raise TrainingError(
            f"no clip with a text belongs to the split data.dev = {part.dev!r}, {_splits(every)}: name another, "
            'or "" for none'
        )
    known, others = ([clip for clips in each.values() for clip in clips] for each in groups)
    require_disjoint(train, others)
    require_every_language(train, known + others, part.languages)
    return groups


def _require_short_enough(clips: Sequence[Clip], recipe: Recipe) -> None:
    shortest = min(clip.seconds for clip in clips)
    for stage in recipe.stages:
        if stage.longest < shortest and stage.first_step <= recipe.run.last:
            raise TrainingError(
                f"no clip is as short as stages.longest = {stage.longest:g} s: raise it to {shortest:g} at least"
            )


def _splits(clips: Sequence[Clip]) -> str:
    return f"only to {', '.join(map(repr, sorted({clip.split for clip in clips})))}"


def _tokenizer(start: Start) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in start.files.items():
            (Path(folder) / name).write_text(text, "utf-8")
        return read_tokenizer(folder)


def _name_unknown_letters(clips: Sequence[Clip], tokenizer: Tokenizer, consequence: str, say: Say) -> None:
    """Say which characters of the texts the vocabulary lacks, and how often each stands there."""
    known = {letter for clip in clips for letter in clip.text if _is_known(tokenizer, letter)}
    unknown = unknown_characters(clips, known.__contains__)
    if unknown:
        listed = ", ".join(f"{letter!a} {count} times" if not letter.isprintable() else f"{letter!r} {count} times"
                           for letter, count in unknown.most_common(MOST_LISTED))  # fmt: skip
        more = f", and {len(unknown) - MOST_LISTED} more characters" if len(unknown) > MOST_LISTED else ""
        say(f"warning: not in the vocabulary, and {consequence}: {listed}{more}")


def _is_known(tokenizer: Tokenizer, letter: str) -> bool:
    unknown = None if tokenizer.unk_token is None else tokenizer.vocabulary.get(tokenizer.unk_token)
    with suppress(ValueError):
        return tokenizer.encode(letter) != [unknown]
    return False


def _with_targets(
    clips: list[Clip], start: Start, tokenizer: Tokenizer, say: Say
) -> tuple[list[Clip], list[np.ndarray]]:
    """The clips whose text can be learnt, and the ids of each text, (S,)."""
    every = [np.array(tokenizer.encode(clip.text), int) for clip in clips]
    fits = [_frames(clip, start) >= max(frames_needed(ids), 1) for clip, ids in zip(clips, every)]
    kept = _those_that_fit(clips, fits, "have more letters in their text than frames", say)
    silent = sum(not len(ids) for ids in every)
    if silent:
        say(f"warning: {silent} clips have no text: they are learnt as silence")
    return kept, [ids for ids, fit in zip(every, fits) if fit]


def _with_spans(clips: list[Clip], start: Start, say: Say) -> list[Clip]:
    """The clips into which one masked span fits."""
    span = start.config.mask_time_length
    fits = [_frames(clip, start) >= span for clip in clips]
    return _those_that_fit(clips, fits, f"are shorter than a masked span of {span} frames", say)


def _those_that_fit(clips: list[Clip], fits: list[bool], why_not: str, say: Say) -> list[Clip]:
    dropped = [clip for clip, fit in zip(clips, fits) if not fit]
    if len(dropped) == len(clips):
        raise TrainingError(f"no clip is left to learn from: all {len(clips)} {why_not}")
    if dropped:
        say(f"warning: {len(dropped)} of {len(clips)} clips are left out, {dropped[0].path.name} the first: "
            f"they {why_not}")  # fmt: skip
    return [clip for clip, fit in zip(clips, fits) if fit]


def _frames(clip: Clip, start: Start) -> int:
    """What the network makes of a clip, by the length that the list gives; step.py does so by the clip itself."""
    return frames_of(int(clip.seconds * start.preprocessor.sampling_rate), start.config)


# --- resuming --------------------------------------------------------------------------------------------------------


def _go_back(run: Run, say: Say) -> None:
    """To the last whole checkpoint, or the beginning where there is none."""
    last = checkpoint.latest(run.folder)
    if last is not None:
        run.adam, state = checkpoint.restore(last, run.start.params, run.start.files)
        place = state["place"]
        run.place = Place(**(place | {"best": tuple(place["best"]) if place["best"] else None}))
        if run.place.best and not (best := last.with_name(checkpoint.name_of(run.place.best[1]))).is_dir():
            say(f"warning: {best} is missing, the best checkpoint so far: the model will be the best of the others")
            run.place.best = None
        if state.get("corpus", run.corpus) != run.corpus:
            say("warning: the corpus has changed: the run goes on, but not as it would have without that")
        if state.get("checked", run.checked) != run.checked:
            say("warning: the clips to check with have changed: their error rates until now are of other clips")
    say(f"resuming after step {run.place.step}")
    rewind_metrics(run.folder, run.place.step)
