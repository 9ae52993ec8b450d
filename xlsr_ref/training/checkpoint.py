"""Checkpoints: whole or not there at all, whenever the machine stops.

    RUN/checkpoints/step-0000500/       config.json, model.safetensors, vocabulary: a model folder like any other
                                        optimizer.safetensors: m and v of each parameter;  state.json: the rest

A checkpoint is written into a folder of another name, and renamed when everything is on the disk (files.py). All
randomness is drawn from (seed, step), so the step is all there is to know about it. The last two checkpoints and the
best one are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.checkpoint.languages import adapter_files
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.checkpoint.tensors import Flat
from xlsr_ref.errors import TrainingError, XlsrError
from xlsr_ref.files import UNFINISHED, leftovers, whole_folder
from xlsr_ref.ops.adam import AdamState
from xlsr_ref.untrusted import listed, read_json

MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
KEPT = 2


class NotOfThisRun(TrainingError):
    """A checkpoint is whole, but another run wrote it."""


def name_of(step: int) -> str:
    """The folder's name."""
    return f"step-{step:07}"


def step_of(checkpoint: Path) -> int | None:
    """The step that a folder's name tells; None where it is no checkpoint's."""
    match = re.fullmatch(r"step-([0-9]{1,18})", checkpoint.name)
    return int(match[1]) if match else None


def whole(run: Path) -> list[Path]:
    """The whole checkpoints of a run, by step, the oldest first."""
    steps = [(step_of(path), path) for path in (run / "checkpoints").glob("step-*") if path.is_dir()]
    return [path for step, path in sorted((step, path) for step, path in steps if step is not None)]


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run; None if there is none."""
    checkpoints = whole(run)
    return checkpoints[-1] if checkpoints else None


def save(
    run: Path,
    step: int,
    params: Flat,
    adam: AdamState,
    files: Mapping[str, str],
    state: Mapping[str, Any],
    language: str = "",
) -> Path:
    """Write the checkpoint of ``step``, and return its folder; with a ``language``, its adapters and head once more in
    a file of their own, as MMS has them. Raises TrainingError; what was there before stays."""
    folder = run / "checkpoints" / name_of(step)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder, replace=True) as unfinished:
            _write_weights(unfinished, params, files, language)
            moments = {f"{what}.{name}": array for what in ("m", "v") for name, array in getattr(adam, what).items()}
            if moments:
                write_arrays(unfinished / OPTIMIZER, moments)
            (unfinished / STATE).write_text(json.dumps({"steps": adam.steps, **state}), encoding="utf-8")
    except (OSError, XlsrError) as error:
        last = latest(run)
        kept = f"the last one, {last.name}, is whole: free some space and --resume" if last else "there is none yet"
        raise TrainingError(f"the checkpoint of step {step} cannot be written ({_why(error)}); {kept}") from None
    return folder


def save_weights(folder: Path, params: Flat, files: Mapping[str, str], language: str = "") -> Path:
    """Write a model folder without what only training needs, and return it. Raises TrainingError."""
    try:
        with whole_folder(folder, replace=True) as unfinished:
            _write_weights(unfinished, params, files, language)
    except (OSError, XlsrError) as error:
        raise TrainingError(f"{folder} cannot be written ({_why(error)}): free some space and --resume") from None
    return folder


def _write_weights(folder: Path, params: Flat, files: Mapping[str, str], language: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_arrays(folder / MODEL, params)
    if language:
        names = [name for name in params if ".adapter_layer." in name or name.startswith("lm_head.")]
        write_arrays(folder / adapter_files(language)[0], {name: params[name] for name in names})


def restore(folder: Path, params: Flat, files: Mapping[str, str]) -> tuple[AdamState, dict[str, Any]]:
    """Put a checkpoint's weights into ``params``, in place; the optimizer's state, and the rest.

    ``files`` are those of the run that goes on. Raises TrainingError if the checkpoint is damaged, or was written by a
    run of another kind or with another vocabulary; ``params`` are then as they were.
    """
    try:
        _require_alike(folder, files)
        state = read_json(folder / STATE, TrainingError, finite=False)
        adam = AdamState(steps=state.pop("steps"))
        stored = read_arrays(folder / MODEL)
        if set(adam.steps) and (folder / OPTIMIZER).exists():
            for key, array in read_arrays(folder / OPTIMIZER).items():
                what, name = key.split(".", 1)
                getattr(adam, what)[name] = np.array(array)
        if not set(adam.steps) == set(adam.m) == set(adam.v):
            raise ValueError(f"{OPTIMIZER} is not that of {STATE}")
        wrong = [name for name, array in params.items() if name not in stored or stored[name].shape != array.shape]
        if wrong:
            raise ValueError(f"it has no {listed(wrong)} of the right shape")
    except NotOfThisRun:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{folder} is damaged ({_why(error)}): delete it to resume from the one before") from None
    for name, array in params.items():
        array[...] = stored[name]
    return adam, state


def mean_of(checkpoints: Sequence[Path]) -> Flat:
    """The mean of the weights of some checkpoints, tensor by tensor. Raises TrainingError."""
    try:
        stored = [read_arrays(folder / MODEL) for folder in checkpoints]
        return {
            name: np.mean([one[name] for one in stored], axis=0, dtype=np.float64).astype(array.dtype)
            for name, array in stored[0].items()
        }
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(f"the checkpoints cannot be averaged ({_why(error)}): set run.average = 1") from None


def tidy(run: Path, best: int | None, kept: int = KEPT) -> None:
    """Delete what is unfinished, and all checkpoints but the last ones, two unless told, and the best."""
    for path in (run / "checkpoints").glob(f"*{UNFINISHED}"):
        shutil.rmtree(path, ignore_errors=True)
    for path in whole(run)[: -max(KEPT, kept)]:
        if best is None or path.name != name_of(best):
            renamed = path.with_name(path.name + UNFINISHED)  # half a folder must not look like a whole one
            with suppress(OSError):
                os.rename(path, renamed)
            shutil.rmtree(renamed, ignore_errors=True)


def publish(checkpoint: Path, model: Path) -> None:
    """Copy a checkpoint, without what only training needs, to the folder ``model``; it appears whole.

    Raises TrainingError.
    """
    try:
        for left in leftovers(model):  # of an earlier process of this run that was killed
            shutil.rmtree(left, ignore_errors=True)
        with whole_folder(model, replace=True) as unfinished:
            for path in checkpoint.iterdir():
                if path.name not in (OPTIMIZER, STATE):
                    shutil.copyfile(path, unfinished / path.name)
    except OSError as error:
        raise TrainingError(f"{model} cannot be written ({_why(error)}): {checkpoint} holds the same model") from None


def _require_alike(folder: Path, files: Mapping[str, str]) -> None:
    """Raises TrainingError where a checkpoint is whole, but not of this run: its kind, and the meaning of its ids."""
    stored = read_json(folder / "config.json", TrainingError)["architectures"]
    wanted = json.loads(files["config.json"])["architectures"]
    if stored != wanted:
        raise NotOfThisRun(f"{folder} holds a {stored[0]}, and this trains a {wanted[0]}: give another --out")
    name = "vocab.json"
    if name in files and read_json(folder / name, TrainingError) != json.loads(files[name]):
        raise NotOfThisRun(f"{folder} has another {name}: the texts of the corpus have changed; give another --out")


def _why(error: BaseException) -> str:
    cause = error.__cause__ or error  # the system's own error, where write_safetensors wrapped it
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
