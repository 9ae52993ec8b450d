"""Many short clips: the command on a list, and Dask with as many workers as cores, against `model.transcribe(list)`.

    python tests/benchmarks/many_clips.py CORPUS [--clips 400] [--rounds 3]

Clips of 1 to 3 s from the lists asterisk.tsv and fsdd.tsv. The three take turns, each in a process of its own, once
with all clips and once with four: the difference is the time of the others, without the start. Prints medians in
seconds of sound per second, and their ratios to the first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from xlsr_ref.audio.manifest import Clip, read_manifest  # noqa: E402
from xlsr_ref.ops import threads  # noqa: E402

FEW = 4
FROM_PYTHON = """
import sys, xlsr_ref
paths = open(sys.argv[1], encoding="utf-8").read().splitlines()[1:]
xlsr_ref.load().transcribe([path.split("\\t")[0] for path in paths])
"""


def listed(place: Path, name: str, clips: list[Clip]) -> Path:
    path = place / name
    path.write_text("path\ttext\n" + "".join(f"{clip.path.resolve()}\t\n" for clip in clips), "utf-8")
    return path


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("corpus", type=Path)
    p.add_argument("--clips", type=int, default=400)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    every = [clip for name in ("asterisk", "fsdd") for clip in read_manifest(a.corpus / f"{name}.tsv")]
    clips = [clip for clip in every if 1 <= clip.seconds <= 3][: a.clips]
    place = Path(tempfile.mkdtemp(prefix="many-clips-"))
    lists = {False: listed(place, "all.tsv", clips), True: listed(place, "few.tsv", clips[:FEW])}
    command = [sys.executable, "-m", "xlsr_ref", "transcribe"]
    ways = {
        "model.transcribe(list)": lambda path: [sys.executable, "-c", FROM_PYTHON, path],
        "transcribe list.tsv": lambda path: [*command, path, "--results", "out.jsonl"],
        "the same with Dask": lambda path: [*command, path, "--results", "out.jsonl", "--dask-workers",
                                            str(threads.count())],
    }  # fmt: skip
    sound = sum(clip.seconds for clip in clips[FEW:])
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(a.rounds):
        for name, line in ways.items():
            took = {}
            for few, path in lists.items():
                (place / "out.jsonl").unlink(missing_ok=True)
                began = time.monotonic()
                env = os.environ | {"PYTHONPATH": str(ROOT)}
                subprocess.run(line(str(path)), cwd=place, env=env, check=True, capture_output=True)
                took[few] = time.monotonic() - began
            speeds[name].append(sound / (took[False] - took[True]))
    shutil.rmtree(place)
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    first = next(iter(medians.values()))
    print(json.dumps({"clips": len(clips), "load": os.getloadavg()[0]} | {
        name: {"s/s": round(median, 1), "ratio": round(median / first, 2), "all": [round(x, 1) for x in speeds[name]]}
        for name, median in medians.items()
    }))  # fmt: skip


if __name__ == "__main__":
    main()
