"""The folder of a run: held by one run at a time, never overwritten, each file in it whole.

RUN/recipe.toml       what is being learnt; resuming with another one is refused
RUN/metrics.jsonl     a line for each report and each check on the dev split
RUN/checkpoints/      see checkpoint.py
RUN/model/            the best checkpoint, once the run is at its end
RUN/.lock             held while a run is at work; the system releases it when the program ends, however it ends
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from xlsr_ref.errors import TrainingError
from xlsr_ref.files import UNFINISHED, leftovers, write_whole
from xlsr_ref.files import hold as hold_file
from xlsr_ref.training.recipe import Recipe, difference, read_recipe
from xlsr_ref.untrusted import parse_json, read_bytes

RECIPE, METRICS, LOCK = "recipe.toml", "metrics.jsonl", ".lock"


def require_usable(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Raises TrainingError unless a run can begin in ``folder``, or, to ``resume``, was begun there by this recipe."""
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder: give another --out")
    stored = folder / RECIPE
    if resume:
        if not stored.is_file():
            raise TrainingError(f"{folder} holds no run to resume: leave --resume out to begin one")
        changed = difference(read_recipe(stored), recipe)
        if changed:
            raise TrainingError(f"{folder} was begun with another recipe: {changed}; give another --out to begin anew")
    elif folder.is_dir() and any(
        path.name not in (LOCK, RECIPE) and path.suffix != UNFINISHED for path in folder.iterdir()
    ):  # a recipe alone is that of a run which has left nothing
        if stored.is_file():
            raise TrainingError(f"{folder} holds a run: give another --out, or --resume to go on with that run")
        raise TrainingError(f"{folder} is not empty: give another --out")


def hold(folder: Path) -> TextIO:
    """Make ``folder`` and hold it until the file that is returned is closed. Raises TrainingError if it is held."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "a")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written: {error.strerror or error}") from None
    try:
        hold_file(lock)
    except OSError:
        lock.close()
        raise TrainingError(f"another run is at work in {folder}: wait for it, or give another --out") from None
    return lock


def write(path: Path, text: str) -> None:
    """Write a file of a run that this process holds; it appears whole or not at all. Raises TrainingError."""
    for left in leftovers(path):  # of a run that was killed
        left.unlink(missing_ok=True)
    write_whole(path, text, TrainingError)


def add_metrics(folder: Path, report: dict[str, Any]) -> None:
    """One more line. Raises TrainingError."""
    path = folder / METRICS
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(report) + "\n")
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error.strerror or error}") from None


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The reports so far; a line that was cut short when the machine stopped is left out."""
    path, reports = folder / METRICS, []
    for line in read_bytes(path, TrainingError).splitlines() if path.exists() else []:
        with suppress(TrainingError):
            report = parse_json(line, "a line", TrainingError, finite=False)
            if "step" in report:
                reports.append(report)
    return reports


def rewind_metrics(folder: Path, step: int) -> None:
    """Only what was reported up to ``step`` stays: what came after it is about to be done again."""
    reports = [report for report in read_metrics(folder) if report["step"] <= step]
    write(folder / METRICS, "".join(json.dumps(report) + "\n" for report in reports))
