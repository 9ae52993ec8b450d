"""Kill the command, a Dask worker and the Dask scheduler at random moments, and compare the outputs afterwards.

    python tests/benchmarks/kill_corpus.py --kills 10 [--clips 300] [--who command,worker,scheduler]

Each trial transcribes a list with `--results` and `--output`; SIGKILL ends one process at a random moment: in the middle
of the work, and in about one of eleven trials while it starts. Then the same command with --skip-existing must end with
the outputs of a run that nobody disturbed: each line of JSON once and whole, each file whole, and nothing else. A
command whose worker is killed must end well by itself. Prints a line for each trial, and one of JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LONGEST = 600  # seconds of one command


def command(place: Path, *options: str) -> subprocess.Popen:
    """The command, in its folder."""
    line = [sys.executable, "-m", "xlsr_ref", "transcribe", "list.tsv", "--results", "all.jsonl", "--output", "out",
            "--format", "json", "--skip-existing", "--quiet", *options]  # fmt: skip
    return subprocess.Popen(line, cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)}, **QUIET)


def outputs(place: Path) -> dict[str, Any]:
    """The lines and the files of a folder."""
    lines = [json.loads(line) for line in (place / "all.jsonl").read_text("utf-8").splitlines()]
    files = {
        str(path.relative_to(place)): path.read_bytes() for path in sorted((place / "out").rglob("*")) if path.is_file()
    }
    unfinished = [name for name in files if Path(name).name.startswith(".")]
    return {
        "lines": sorted(lines, key=lambda one: one["key"]),
        "files": {name: data for name, data in files.items() if name not in unfinished},
    }


def lines_in(place: Path) -> int:
    """How many results are there."""
    path = place / "all.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def furnish(place: Path, clips: int) -> None:
    """A folder with a list of so many clips, each a file of its own."""
    sources = sorted((ROOT / "xlsr_ref" / "data" / "clips").rglob("digits__*.ogg"))
    (place / "clips").mkdir(parents=True)
    for i in range(clips):
        shutil.copy(sources[i % len(sources)], place / "clips" / f"{i:04}.ogg")
    rows = "".join(f"clips/{i:04}.ogg\t\n" for i in range(clips))
    (place / "list.tsv").write_text("path\ttext\n" + rows, "utf-8")


class Cluster:
    """A scheduler and two workers, each by its own command."""

    def __init__(self, place: Path) -> None:
        where, dask = place / "where", [sys.executable, "-m", "dask"]
        where.unlink(missing_ok=True)
        env = os.environ | {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
        line = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self.scheduler = subprocess.Popen([*line, "--scheduler-file", str(where)], env=env, **QUIET)
        while not where.exists() or not where.read_text().strip():
            time.sleep(0.1)
        self.address = json.loads(where.read_text())["address"]
        self.env, self.line = env, [*dask, "worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        self.workers = [subprocess.Popen(self.line, env=env, **QUIET) for _ in range(2)]
        self.wait(2)

    def wait(self, n: int) -> None:
        """Until so many workers are there."""
        import distributed

        with distributed.Client(self.address, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(n, timeout=120)

    def replace(self) -> None:
        """A new worker for one that is dead."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            self.workers.append(subprocess.Popen(self.line, env=self.env, **QUIET))
        self.wait(2)

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def trial(who: str, place: Path, took: float, clips: int, cluster: Cluster | None) -> tuple[float, int, int]:
    """One command and one kill: after how many seconds, the command's status, and the results that were there then."""
    options = [] if cluster is None else ["--scheduler", cluster.address]
    for name in ("all.jsonl", "out"):
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    running, began = command(place, *options), time.monotonic()
    done_then = random.randrange(-clips // 10, clips)  # below 0: while it starts
    while lines_in(place) < done_then and running.poll() is None:
        time.sleep(0.002)
    time.sleep(random.uniform(0.05, 0.3) * took if done_then < 0 else random.uniform(0, 0.05))
    moment = time.monotonic() - began
    victim = running if cluster is None else cluster.scheduler if who == "scheduler" else random.choice(cluster.workers)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    done = lines_in(place)
    if who == "worker" and cluster is not None:  # another takes its place, as a nanny would start it
        cluster.replace()
    status = running.wait(timeout=LONGEST)
    return moment, status, done


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kills", type=int, default=10)
    p.add_argument("--clips", type=int, default=300)
    p.add_argument("--who", default="command,worker,scheduler")
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    random.seed(a.seed)
    place, wrong, counts = Path(tempfile.mkdtemp(prefix="kill-corpus-")), 0, {}
    furnish(place, a.clips)
    began = time.monotonic()
    assert command(place).wait(timeout=LONGEST) == 0
    took_alone, expected = time.monotonic() - began, outputs(place)
    assert len(expected["lines"]) == len(expected["files"]) == a.clips
    for who in a.who.split(","):
        cluster, took, kinds = None, took_alone, {"before": 0, "during": 0, "after": 0}
        if who != "command":
            cluster = Cluster(place)
            shutil.rmtree(place / "out")
            (place / "all.jsonl").unlink()
            began = time.monotonic()
            assert command(place, "--scheduler", cluster.address).wait(timeout=LONGEST) == 0
            took = time.monotonic() - began
            wrong += outputs(place) != expected
        good = 0
        for i in range(a.kills):
            moment, status, done = trial(who, place, took, a.clips, cluster)
            kinds["before" if done == 0 else "after" if done == a.clips else "during"] += 1
            again = 0
            if who == "worker":
                right = status == 0  # it must have ended well by itself
            else:
                if who == "scheduler" and cluster is not None:
                    cluster.end()
                    cluster = Cluster(place)
                options = [] if cluster is None else ["--scheduler", cluster.address]
                again = command(place, *options).wait(timeout=LONGEST)
                right = again == 0
            right = right and outputs(place) == expected
            good += right
            wrong += not right
            print(f"{who} {i + 1}: killed after {moment:.1f} of {took:.1f} s, status {status}, "
                  f"{done} of {a.clips} done, then {again}: {'right' if right else 'WRONG'}", flush=True)  # fmt: skip
        counts[who] = {"right": good, "of": a.kills, **kinds}
        if cluster is not None:
            cluster.end()
    shutil.rmtree(place)
    print(json.dumps(counts))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
