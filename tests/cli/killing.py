"""Kill commands at random moments in one shared folder, and look at every file there afterwards.

    python tests/cli/killing.py --kills 50

Two commands work at a time, each in a process of its own (a fork of this one, which has compiled everything). SIGKILL
ends one at a random moment, or in front of or after one of the file operations of its write; SIGTERM ends some. Then
each result must be the old one or the whole new one, what was there must be there, inputs and the files of others must
have every bit, and nothing else may lie in the folder but hidden unfinished files; after SIGTERM not even those.
Prints one line of JSON.
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

os.environ["XLSR_REF_THREADS"] = "1"  # a fork has no threads but its own
sys.path[:0] = [str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402

import xlsr_ref  # noqa: E402
from xlsr_ref.cli import main as xlsr_ref_command  # noqa: E402

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIPS = ("es/digits__0.ogg", "es/digits__1.ogg", "en/digits__2.ogg")
OLD = b"what stood there before\n"
COMMANDS = {  # each with what it writes
    "transcribe a.ogg b.ogg --format json --output out": ("out/a.json", "out/b.json"),
    "align a.ogg cero -o a.TextGrid": ("a.TextGrid",),
    "lm train corpus.txt -o lm.arpa": ("lm.arpa",),
    "evaluate list.tsv --output hypotheses.tsv": ("hypotheses.tsv",),
    "explain a.ogg -o page.html": ("page.html",),
    "weights convert model converted --dtype float32": ("converted",),
    "conformance write kit": ("kit",),
}
FOLDERS = ("converted", "kit")  # results that are folders, and are not written over
OPERATIONS = 8  # of a write that it may be killed at; the commands have 5 to 12
TIMES = "moment", "write", "asked"


def furnish(place: Path) -> None:
    """The inputs, and files of others."""
    (place / "out").mkdir(parents=True)
    for letter, clip in zip("abc", CLIPS):
        shutil.copy(DATA / "clips" / clip, place / f"{letter}.ogg")
    shutil.copytree(DATA / "small-ctc", place / "model")
    (place / "corpus.txt").write_text("uno dos tres\ndos tres\n" * 50)
    rows = [f"{letter}.ogg\tes\tanna\t1\ttest\tuno" for letter in "abc"]
    (place / "list.tsv").write_text("\n".join(["path\tlang\tspeaker\tseconds\tsplit\ttext", *rows]) + "\n")
    (place / "out" / "notes.txt").write_text("somebody else's")
    (place / ".a.TextGrid.0123.unfinished").write_text("another writer's, at work")


def content(path: Path) -> Any:
    """All bits and the mode of a file or a folder; None where there is nothing."""
    if path.is_dir():
        return {name.name: content(name) for name in path.iterdir()}
    return (path.read_bytes(), path.stat().st_mode) if path.exists() else None


def every_file(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}


def run(place: Path, line: str) -> int:
    os.chdir(place)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            return xlsr_ref_command(line.split())
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def die_at(operation: int, afterwards: bool) -> None:
    """SIGKILL for this process in front of, or right after, its file operation of this number."""
    left = operation

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0 and not afterwards:
                os.kill(os.getpid(), signal.SIGKILL)
            found = function(*arguments, **keywords)
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    for name in ("fsync", "replace", "rename", "fchmod"):
        setattr(os, name, deadly(getattr(os, name)))


def begin(place: Path, line: str, prepare: Callable[[], None] = lambda: None) -> int:
    """A process that runs the command; its id."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            prepare()
            status = run(place, line)
        finally:
            os._exit(status)
    return child


def one_kill(place: Path, lines: list[str], how: str, rng: np.random.Generator, seconds: dict[str, float]) -> bool:
    """Two commands side by side, of which the first is killed; True if it was."""
    number, afterwards = int(rng.integers(OPERATIONS)), bool(rng.integers(2))
    prepare = (lambda: die_at(number, afterwards)) if how == "write" else (lambda: None)
    victim, other = begin(place, lines[0], prepare), begin(place, lines[1])
    if how != "write":
        time.sleep(float(rng.uniform(0, 2 * seconds[lines[0]])))  # two share the machine
        os.kill(victim, signal.SIGKILL if how == "moment" else signal.SIGTERM)  # at least a zombie until waited for
    _, status = os.waitpid(victim, 0)
    _, well = os.waitpid(other, 0)
    if well:
        raise RuntimeError(f"{lines[1]}: status {os.waitstatus_to_exitcode(well)}, beside {lines[0]} killed")
    return os.waitstatus_to_exitcode(status) != 0


class Folder:
    """The shared folder, and what may stand in it."""

    def __init__(self, place: Path, whole: dict[str, Any]) -> None:
        self.place, self.whole = place, whole
        self.kept = {name: content(place / name) for name in every_file(place)}  # inputs, and the files of others

    def reset(self, rng: np.random.Generator) -> None:
        """Nothing, or an old result, in the place of each result."""
        self.before = {}
        for name in self.whole:
            path = self.place / name
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            if name not in FOLDERS and rng.integers(3):
                path.write_bytes(OLD)
                path.chmod(0o640)
            self.before[name] = content(path)

    def check(self, how: str, lines: list[str]) -> int:
        """Raises RuntimeError for whatever should not be; how many unfinished files were left, which then go."""
        wrong = [name for name, bits in self.kept.items() if content(self.place / name) != bits]
        for name, new in self.whole.items():
            found, old = content(self.place / name), self.before[name]
            if name in FOLDERS:
                right = found in (None, new)
            elif old is None:
                right = found is None or found[0] == new[0]
            else:
                right = found is not None and found[0] in (old[0], new[0]) and found[1] == old[1]
            wrong += [] if right else [name]
        allowed = set(self.kept) | set(self.whole)
        more = {name for name in every_file(self.place) if name not in allowed and name.split("/")[0] not in FOLDERS}
        left = {
            name for name in more if any(part[0] == "." and part.endswith(".unfinished") for part in name.split("/"))
        }
        wrong += sorted(more - left) + (sorted(left) if how == "asked" else [])
        if wrong:
            raise RuntimeError(f"{how}, {lines}: {', '.join(wrong)}")
        for path in list(self.place.rglob(".*.unfinished")):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.relative_to(self.place).as_posix() not in self.kept:
                path.unlink(missing_ok=True)  # its folder may be gone with all in it
        return len(left)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--seed", type=int, default=0)
    options = p.parse_args()
    rng = np.random.default_rng(options.seed)
    counted = {"kills": 0, "came to their end": 0, "unfinished files": 0, **dict.fromkeys(TIMES, 0)}
    with tempfile.TemporaryDirectory() as name:
        apart, shared = Path(name).resolve() / "apart", Path(name).resolve() / "shared"
        furnish(apart)
        seconds = {}
        for line in COMMANDS:
            for _ in range(2):  # the first time compiles and imports
                for result in set(FOLDERS) & set(COMMANDS[line]):
                    shutil.rmtree(apart / result, ignore_errors=True)
                began = time.perf_counter()
                if run(apart, line):
                    raise RuntimeError(f"{line} fails by itself")
                seconds[line] = time.perf_counter() - began
        whole = {result: content(apart / result) for results in COMMANDS.values() for result in results}
        assert None not in whole.values(), whole.keys()
        furnish(shared)
        folder = Folder(shared, whole)
        while counted["kills"] < options.kills:
            how = TIMES[counted["kills"] % len(TIMES)]
            lines = [str(line) for line in rng.choice(list(COMMANDS), 2, replace=False)]
            folder.reset(rng)
            killed = one_kill(shared, lines, how, rng, seconds)
            counted["unfinished files"] += folder.check(how, lines)
            counted["kills" if killed else "came to their end"] += 1
            counted[how] += killed
        os.chdir("/")
    print(json.dumps(counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
