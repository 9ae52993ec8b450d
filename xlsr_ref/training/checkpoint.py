"""Checkpoints: whole or not there at all, whenever the machine stops.

    RUN/recipe.toml                     what is being learnt; resuming with another one is refused
    RUN/metrics.jsonl                   one line per report
    RUN/checkpoints/step-0000500/       config.json, model.safetensors, vocabulary: a model folder like any other
                                        optimizer.safetensors: m and v of each parameter;  state.json: the rest

A checkpoint is written into a folder of another name, and renamed when everything is on the disk: renaming a folder
either happens or does not. All randomness is drawn from (seed, step), so the step is all there is to know about it.
The last two checkpoints and the best one are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from xlsr_ref.errors import TrainingError, XlsrError
from xlsr_ref.params import Flat, read_safetensors, write_safetensors
from xlsr_ref.training.optim import AdamState

UNFINISHED = ".unfinished"
KEPT = 2


def name_of(step: int) -> str:
    """The folder's name; names in order are steps in order."""
    return f"step-{step:07}"


def save(
    run: Path, step: int, params: Flat, adam: AdamState, files: Mapping[str, str], state: Mapping[str, Any]
) -> Path:
    """Write the checkpoint of ``step``, and return its folder. Raises TrainingError; what was there before stays."""
    folder = run / "checkpoints" / name_of(step)
    if folder.is_dir():
        return folder  # a run that was resumed comes here a second time, with the same bits
    unfinished = folder.with_name(folder.name + UNFINISHED)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, text in files.items():
            (unfinished / name).write_text(text, encoding="utf-8")
        write_safetensors(unfinished / "model.safetensors", params)
        moments = {f"{what}.{name}": array for what in ("m", "v") for name, array in getattr(adam, what).items()}
        if moments:
            write_safetensors(unfinished / "optimizer.safetensors", moments)
        (unfinished / "state.json").write_text(json.dumps({"steps": adam.steps, **state}), encoding="utf-8")
        for path in unfinished.iterdir():
            _to_disk(path)
        os.rename(unfinished, folder)
        _to_disk(folder.parent)
    except (OSError, XlsrError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        last = latest(run)
        kept = f"the last one, {last.name}, is whole" if last else "there is none yet"
        raise TrainingError(f"the checkpoint of step {step} cannot be written ({error}); {kept}") from None
    return folder


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run; None if there is none."""
    found = sorted(path for path in (run / "checkpoints").glob("step-*") if path.suffix != UNFINISHED)
    return found[-1] if found else None


def restore(folder: Path, params: Flat) -> tuple[AdamState, dict[str, Any]]:
    """Put a checkpoint's weights into ``params``, in place; what the optimizer remembers, and the state.

    Raises TrainingError.
    """
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
        adam = AdamState(steps=state.pop("steps"))
        stored = read_safetensors(folder / "model.safetensors")
        for name, array in params.items():
            array[...] = stored[name]
        if (folder / "optimizer.safetensors").exists():
            for key, array in read_safetensors(folder / "optimizer.safetensors").items():
                what, name = key.split(".", 1)
                getattr(adam, what)[name] = np.array(array)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{folder} is damaged ({error}): delete it to resume from the one before") from None
    return adam, state


def tidy(run: Path, best: int | None) -> None:
    """Delete what is unfinished, and all checkpoints but the last two and the best."""
    for path in (run / "checkpoints").glob(f"*{UNFINISHED}"):
        shutil.rmtree(path, ignore_errors=True)
    whole = sorted(path for path in (run / "checkpoints").glob("step-*"))
    for path in whole[:-KEPT]:
        if best is None or path.name != name_of(best):
            doomed = path.with_name(path.name + UNFINISHED)  # half a folder must not look like a whole one
            with suppress(OSError):
                os.rename(path, doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def publish(checkpoint: Path, model: Path) -> None:
    """Copy a checkpoint, without what only training needs, to the folder ``model``; it appears whole."""
    unfinished = model.with_name(model.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(checkpoint, unfinished, ignore=shutil.ignore_patterns("optimizer.safetensors", "state.json"))
    shutil.rmtree(model, ignore_errors=True)
    os.rename(unfinished, model)


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    with suppress(OSError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
