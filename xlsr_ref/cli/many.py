"""Many recordings: what is done already, how many at a time, on which machines, and how far the work is.

    items ─ without those that are done ─ side by side, or on a Dask cluster ─ each result written as it comes

A result is whole or absent, so the same command with --skip-existing goes on after a crash, and repeats nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli import parquet
from xlsr_ref.cli.item import Deliver, Hear, Item, Ready
from xlsr_ref.cli.options import clock
from xlsr_ref.cli.say import WrongUsage, is_quiet, note
from xlsr_ref.errors import AudioError, XlsrError
from xlsr_ref.untrusted import parse_json, shown, text_lines

if TYPE_CHECKING:
    from xlsr_ref.audio.manifest import Clip
    from xlsr_ref.text.transcript import Transcript

EACH_CORE = 4  # so many recordings for each core are many: then each is computed on one core
HELP = (
    "many recordings: --jobs N (at a time), --results FILE (.jsonl, .parquet), --skip-existing\n"
    "(continue after a crash); with Dask: --dask-workers N (here), --scheduler tcp://HOST:PORT"
)


def add_many(p: argparse.ArgumentParser, shown_in_help: bool = True) -> None:
    """The options of many recordings. Where the help has no room for them, HELP belongs into its epilog."""
    texts = {
        "--jobs": ("N", "recordings at a time (default: as many as cores, where there are many)"),
        "--results": ("FILE", "write each result as it comes: lines of JSON, or .parquet"),
        "--scheduler": ("ADDRESS", "compute on the Dask cluster tcp://HOST:PORT"),
        "--dask-workers": ("N", "compute in N processes of this machine, with Dask"),
    }
    for name, (metavar, text) in texts.items():
        whole = {} if metavar in ("FILE", "ADDRESS") else {"type": int}
        p.add_argument(name, metavar=metavar, help=text if shown_in_help else argparse.SUPPRESS, **whole)  # type: ignore[arg-type]
    text = "leave out what has its result already"
    p.add_argument("--skip-existing", action="store_true", help=text if shown_in_help else argparse.SUPPRESS)


def check_many(arguments: argparse.Namespace, has_files: bool) -> None:
    """Raise WrongUsage for options that cannot be meant. ``has_files``: each result has a file of its own."""
    for name in ("jobs", "dask_workers"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise WrongUsage(f"--{name.replace('_', '-')} is {value}: give at least 1")
    if arguments.scheduler is not None and arguments.dask_workers is not None:
        raise WrongUsage("give --scheduler, or --dask-workers, and not both")
    if arguments.jobs is not None and uses_dask(arguments):
        raise WrongUsage("--jobs is for this process alone: Dask has its workers")
    if arguments.skip_existing and not has_files and arguments.results is None:
        raise WrongUsage("--skip-existing needs results in files: give --output or --results")


def uses_dask(arguments: argparse.Namespace) -> bool:
    return arguments.scheduler is not None or arguments.dask_workers is not None


# --- results, a line each ---------------------------------------------------------------------------------------------


class Results:
    """The file of --results: a line of JSON for each result, or Parquet (parquet.py). Without that option it holds
    nothing.

    ``found`` has what stood there when the work began: texts and scores by key.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        from xlsr_ref.files import Lines

        self.found: dict[str, dict[str, Any]] = {}
        self._lines: Lines | None = None
        self._parquet: str | None = None
        path = arguments.results
        if path is None:
            return
        for there in (path, path + parquet.LINES) if parquet.is_parquet(path) else (path,):
            if os.path.isfile(there) and os.path.getsize(there) and not arguments.skip_existing:
                raise XlsrError(
                    f"{shown(there)}: is there already: --skip-existing goes on with it, or give another name"
                )
        if parquet.is_parquet(path):
            self._parquet, path = path, parquet.lines_beside(path)
        self._lines = Lines(path)
        with open(path, "rb") as file:
            for number, line in text_lines(file, shown(path), XlsrError):
                one = parse_json(line.encode(), f"{shown(path)}, line {number},", XlsrError)
                if not isinstance(one.get("key"), str) or not isinstance(one.get("text"), str):
                    raise XlsrError(f"{shown(path)}, line {number}: is no result of this command: give another name")
                self.found[one["key"]] = {"text": one["text"], "score": one.get("score")}

    def lacks(self, item: Item) -> bool:
        """Must the item still be computed, as far as this file goes?"""
        return self._lines is not None and item.key not in self.found

    def add(self, item: Item, transcript: Transcript) -> None:
        """One more result; it is in the file when this returns."""
        if self._lines is None:
            return
        import json

        from xlsr_ref.text.formats import transcript_object

        self._lines.add(json.dumps({"key": item.key} | transcript_object(transcript), ensure_ascii=False))

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._lines is not None:
            self._lines.close()
        if self._parquet is not None and kind is None:
            parquet.to_parquet(self._parquet)


def to_do(items: Sequence[Item], is_done: Callable[[Item], bool], skip: bool) -> list[Item]:
    """The items without those that are done, where ``skip`` asks for that; it is told how many there are."""
    left = [item for item in items if not (skip and is_done(item))]
    if len(left) < len(items):
        note(f"{len(items) - len(left)} of {len(items)} have their results already")
    return left


# --- the work ---------------------------------------------------------------------------------------------------------


def work(
    arguments: argparse.Namespace,
    items: Sequence[Item],
    hear: Hear,
    ready: Ready,
    opened: tuple[Any, dict],
    deliver: Deliver,
    in_order: bool = True,
) -> None:
    """Compute every item, here with the ``opened`` model and settings, or on a cluster where ``ready`` opens them.

    ``deliver`` gets each result, or the error in its place, one at a time; ``in_order`` of the items, else as they
    come. What it raises ends the work.
    """
    if uses_dask(arguments):
        from xlsr_ref.cli.cluster import work_on_dask

        work_on_dask(arguments, items, hear, ready, deliver, in_order)
        return

    def one(item: Item) -> tuple[Item, Transcript | Exception]:
        try:
            return item, hear(*opened, item.clips)
        except Exception as error:
            return item, error

    from xlsr_ref.ops import threads

    with threads.use(arguments.threads):
        jobs = arguments.jobs or (threads.count() if len(items) >= EACH_CORE * threads.count() else 1)
    if jobs == 1:
        for item in items:
            deliver(*one(item))
        return
    with threads.computing(jobs):
        threads.run_in_order((partial(one, item) for item in items), lambda pair: deliver(*pair))


def sound_of(model: Any, clip: Clip) -> Any:
    """A clip as the model's verbs take it. Raises AudioError."""
    from xlsr_ref.audio.segment import as_recording

    return as_recording(clip, model.preprocessor.sampling_rate) if clip.is_part else clip.path


def transcribed(model: Any, how: dict, clips: tuple[Clip, ...]) -> Transcript:
    """The transcript of an item of one clip."""
    return model.transcribe(sound_of(model, clips[0]), **how)


# --- how far the work is ----------------------------------------------------------------------------------------------


@contextmanager
def progress(items: Sequence[Item]) -> Iterator[tuple[Callable[[Item], None], Callable[[], AbstractContextManager]]]:
    """A function to call after each item, and a context to print in beside the bar.

    The bar counts seconds of sound and says how much time is left. It is shown where somebody looks at a terminal.
    """
    if len(items) < 2 or is_quiet() or sys.stderr is None or not sys.stderr.isatty():
        yield lambda item: None, nullcontext
        return
    from tqdm import tqdm

    seconds = {item.key: _seconds(item) for item in items}
    total, done = sum(seconds.values()), 0.0
    style: dict[str, Any] = {"total": len(items), "unit": "file"}
    if total:
        style = {"total": total, "bar_format": "{percentage:3.0f}%|{bar}| {desc}, {remaining} left"}

    def tick(item: Item) -> None:
        nonlocal done
        done += seconds[item.key]
        if total:
            bar.set_description_str(f"{clock(done)} of {clock(total)} of sound", refresh=False)
        bar.update(seconds[item.key] if total else 1)

    with tqdm(leave=False, dynamic_ncols=True, desc="0:00" if total else None, **style) as bar:
        yield tick, lambda: tqdm.external_write_mode(file=sys.stdout)


def _seconds(item: Item) -> float:
    """How much sound an item has; 0 where that is not known without decoding all of it, or it cannot be read."""
    from xlsr_ref.audio.ffmpeg import is_for_ffmpeg
    from xlsr_ref.audio.segment import seconds_of

    seconds = 0.0
    for clip in item.clips:
        end = clip.end
        if end is None:
            try:
                end = 0.0 if is_for_ffmpeg(clip.path) else seconds_of(clip.path)
            except AudioError:
                end = 0.0
        seconds += max(end - clip.start, 0.0)
    return seconds


def has_result(path: Path | None) -> bool:
    """Is the result of an item there? Files are whole, or they are not there."""
    return path is not None and path.is_file()
