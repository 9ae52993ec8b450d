"""Kill a training run at random moments, resume it each time, and compare what it has learnt with a run never killed.

    python tests/training/killing.py --kills 50 --inside 20

Each life of the run is a process of its own (a fork of this one, which has compiled everything) that SIGKILL ends: at a
random moment, or, for those ``--inside`` a write, in front of or in the middle of one of the file operations of a
checkpoint. When a run comes to its end, its weights and its optimizer's memory must be the same bits as without a kill,
and the next run begins. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import tiny_run  # noqa: E402

from xlsr_ref.checkpoint import safetensors_file  # noqa: E402
from xlsr_ref.ops import threads  # noqa: E402
from xlsr_ref.training import checkpoint, folder  # noqa: E402
from xlsr_ref.training.loop import train  # noqa: E402
from xlsr_ref.training.prepare import prepare_run  # noqa: E402

STEPS, EVERY = 12, 2
OPERATIONS = 60  # of the writes of a checkpoint and the deletion of old ones: some 25 each


def live(task: str, place: Path, run: str) -> None:
    """Train to the end: from the beginning, or from where the life before has left it."""
    out = place / run
    with threads.use(1):  # a fork has no threads but its own
        resume = (out / folder.RECIPE).exists()
        begun = prepare_run(task, place / "recipe.toml", out, place / "corpus", resume, lambda text: None)
        train(begun, lambda text: None)


def die_inside_a_write(number: int) -> None:
    """SIGKILL for this process at file operation ``number`` of saving, tidying and publishing, in the middle of it."""
    left, busy = number, 0

    def counted(operation: Callable[..., Any], half: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal left
            left -= busy > 0
            if busy and left < 0:
                if half is not None:
                    half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **keywords)

        return call

    def saving(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal busy
            busy += 1
            try:
                return function(*arguments, **keywords)
            finally:
                busy -= 1

        return call

    def half_a_text(path: Path, what: str) -> None:
        path.write_bytes(what.encode()[: len(what) // 2])

    def half_a_file(path: Path, flat: Any) -> None:
        whole = path.with_name("whole")
        write(whole, flat)
        path.with_name(f".{path.name}.half.unfinished").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        whole.unlink()

    def half_a_copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])

    def half_a_tree(tree: Path, *_: Any) -> None:
        for path in sorted(Path(tree).glob("*"))[:2]:
            path.unlink()

    write, text = safetensors_file.write_arrays, Path.write_text
    checkpoint.write_arrays = counted(write, half_a_file)
    Path.write_text = counted(text, half_a_text)
    for module, name, half in ((os, "rename", None), (os, "fsync", None), (os, "mkdir", None),
                               (shutil, "rmtree", half_a_tree), (shutil, "copyfile", half_a_copy)):  # fmt: skip
        setattr(module, name, counted(getattr(module, name), half))
    for name in ("save", "tidy", "publish"):
        setattr(checkpoint, name, saving(getattr(checkpoint, name)))


def one_life(task: str, place: Path, run: str, inside: int | None, seconds: float) -> bool:
    """A process that trains; True if it came to the end, False if it was killed. Raises RuntimeError if it failed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if inside is not None:
                die_inside_a_write(inside)
            live(task, place, run)
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    if inside is None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # the child is at least a zombie until it is waited for
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.WEXITSTATUS(status):
        raise RuntimeError("a life of the run has failed: see the line above")
    return True


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--inside", type=int, default=20)
    p.add_argument("--task", choices=("pretrain", "finetune"), default="finetune")
    p.add_argument("--seed", type=int, default=0)
    options = p.parse_args()
    rng = np.random.default_rng(options.seed)
    kinds = rng.permutation([True] * options.inside + [False] * (options.kills - options.inside))
    counted = {"inside": 0, "outside": 0, "runs": 0, "half written": 0}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tiny_run.make_corpus(place / "corpus")
        (place / "recipe.toml").write_text(tiny_run.recipe(STEPS, EVERY))
        live(options.task, place, "never killed")
        expected = tiny_run.fingerprint(place / "never killed", STEPS)
        began = time.perf_counter()
        live(options.task, place, "timed")
        whole = time.perf_counter() - began

        def finished(run: str) -> None:
            counted["runs"] += 1
            if tiny_run.fingerprint(place / run, STEPS) != expected:
                raise RuntimeError(f"{run} has learnt something else: kills so far {counted}")

        number = 0
        for inside in kinds:
            while True:  # until this kill has happened
                run = f"run {number}"
                at = int(rng.integers(OPERATIONS)) if inside else None
                if not one_life(options.task, place, run, at, float(rng.uniform(0, whole / 2))):
                    break
                finished(run)
                number += 1
            counted["inside" if inside else "outside"] += 1
            counted["half written"] += bool(list((place / run).glob("**/*.unfinished")))
        live(options.task, place, run)
        finished(run)
    print(json.dumps(counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
