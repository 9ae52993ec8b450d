"""One benchmark from its settings to its numbers: what is missing is made, the programs are opened, and take turns.

    with Benchmark(settings, note) as benchmark:
        for workload in settings.workloads:
            result = benchmark.measure(workload)

Everything that can be refused is refused before the first clock starts. Whatever ends it, no process and no temporary
file is left.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xlsr_ref.errors import CannotTranscribeError
from xlsr_ref.files import write_whole
from xlsr_ref.measure.bench import plot, programs, stages, turns
from xlsr_ref.measure.bench.machine import describe
from xlsr_ref.measure.bench.programs import INT8, OURS, OURS_INT8, PEAK, PEERS, Workload
from xlsr_ref.measure.bench.random_model import SIZES, size_in_bytes, write_random_model
from xlsr_ref.measure.bench.result import ONE_THREAD, Result, as_json
from xlsr_ref.measure.bench.settings import Settings

TOO_FAR = 0.01  # of the largest score: a program that is further from ours has computed something else
ROUNDED = 0.5  # the same for one with int8 weights, whose scores differ by some hundredths


class Benchmark:
    """A context in which the programs live. ``note`` is told, in one line each, what takes long and what is left out;
    ``status`` who is at work. Raises XlsrError where the model is none, or ours stops."""

    def __init__(
        self, settings: Settings, note: Callable[[str], None], status: Callable[[str], None] = lambda text: None
    ) -> None:
        self.settings, self._note, self._status = settings, note, status
        self.about: dict[str, Any] = {}  # model, machine, settings: what a reader of the numbers must know
        self.results: list[Result] = []

    def __enter__(self) -> Benchmark:
        with ExitStack() as cleanup:
            self._open(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._status("")
        self._cleanup.__exit__(*error)

    def _open(self, cleanup: ExitStack) -> None:
        from xlsr_ref.model.load_params import load_params
        from xlsr_ref.model.networks import read_settings

        wanted = self.settings
        if wanted.size is None:
            folder = wanted.model
        else:
            folder = self._keep(cleanup) / wanted.size
            if not (folder / "config.json").exists():
                gigabytes = size_in_bytes(SIZES[wanted.size]) / 1e9
                self._tell(f"writing a model of {wanted.size}'s size with random weights: {gigabytes:.2f} GB")
                write_random_model(folder, SIZES[wanted.size])
        self._config, preprocessor = read_settings(folder)
        self._rate = preprocessor.sampling_rate
        report = load_params(folder, self._config)[1]
        self._kind = report.kind
        for workload in wanted.workloads:
            if workload.kind == "noise":
                stages.work(self._config, self._kind, round(workload.seconds * self._rate))  # refuses what is too short
        if any(workload.kind == "clips" for workload in wanted.workloads) and not self._spells(folder):
            raise CannotTranscribeError("--clips transcribes: give a --model with an lm_head and a vocab.json")

        graphs = {name: self._graph(name, folder, cleanup) for name in wanted.against}
        self._workers: dict[str, turns.Worker] = {}
        self._open_one(PEAK, PEAK, str(folder), wanted.threads, "", cleanup)
        self._open_one(OURS, OURS, str(folder), wanted.threads, "", cleanup)
        if wanted.weights == "int8":
            self._open_one(OURS_INT8, OURS_INT8, str(folder), wanted.threads, "", cleanup)
        for name, graph in graphs.items():
            if graph is not None:
                self._open_one(name, name, str(folder), wanted.threads, graph, cleanup)
        if wanted.scaling:
            self._open_one(ONE_THREAD, OURS, str(folder), 1, "", cleanup)

        packages = ["numpy", "numba"]
        packages += [p for name in self._workers if name in PEERS for p in PEERS[name].packages if p not in packages]
        self.about = {
            "model": wanted.size or folder.resolve().name,
            "kind": report.kind,
            "parameters": report.parameters,
            "prepared": report.prepared_bytes,
            "threads": wanted.threads,
            "rounds": wanted.rounds,
            "opened": {name: worker.opened for name, worker in self._workers.items() if name != PEAK},
            "machine": describe(packages),
        }

    def _keep(self, cleanup: ExitStack) -> Path:
        if self.settings.keep is not None:
            return self.settings.keep
        return Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="xlsr-ref-bench-")))

    def _spells(self, folder: Path) -> bool:
        return self._kind.endswith("ForCTC") and (folder / "vocab.json").exists()

    def _graph(self, name: str, folder: Path, cleanup: ExitStack) -> str | None:
        """The graph that peer ``name`` runs, "" for one that needs none, None for a peer that must be left out."""
        peer = PEERS[name]
        graph = (
            self._keep(cleanup) / "graphs" / f"{_fingerprint(folder)}{INT8 if name.endswith(INT8) else ''}.onnx"
            if peer.to_export
            else None
        )
        made = graph is None or graph.exists()
        lacking = programs.missing(peer.packages if made else (*peer.packages, *peer.to_export))
        if programs.missing([programs.CLONE]):
            self._tell(f"{name} is left out: it needs a clone of xlsr_ref, installed there with pip install -e .")
            return None
        if lacking:
            self._tell(f"{name} is left out: pip install {' '.join(lacking)}")
            return None
        if graph is not None and not made:
            self._tell(f"writing the graph for {name}")
            try:
                with programs.worker(programs.EXPORT, str(folder), self.settings.threads, str(graph)):
                    pass
            except turns.Stopped as error:
                self._lost(name, error)
                return None
        return str(graph or "")

    def _tell(self, line: str) -> None:
        self._status("")
        self._note(line)

    def _open_one(self, name: str, program: str, folder: str, threads: int, graph: str, cleanup: ExitStack) -> None:
        self._status(f"opening {name}")
        try:
            self._workers[name] = cleanup.enter_context(programs.worker(program, folder, threads, graph))
        except turns.Stopped as error:
            self._lost(name, error)

    def _lost(self, name: str, error: turns.Stopped) -> None:
        if name not in PEERS:
            raise turns.Stopped(f"{name}: {error}") from None
        self._tell(f"{name} is left out: {error}")

    def measure(self, workload: Workload) -> Result:
        """All programs on ``workload``, in turns."""

        def status(text: str) -> None:
            self._status(f"{workload.name}: {text}")

        answers = turns.take_turns(self._workers, json.dumps(workload), self.settings.rounds, self._lost, status)
        self._status("")
        peak = answers.pop(PEAK)[1:]
        mine = answers[OURS]
        samples = [len(waveform) for waveform in programs.waveforms(workload, self._rate)]
        alone = len(samples) == 1
        work = stages.work(self._config, self._kind, samples[0]) if alone else {}
        result = Result(
            workload=workload,
            audio=sum(samples) / self._rate,
            flops=sum(stages.all_flops(self._config, self._kind, n) for n in samples),
            seconds={name: [one["seconds"] for one in each[1:]] for name, each in answers.items()},
            first={name: each[0]["runs"][0] for name, each in answers.items()},
            memory={name: each[-1]["memory"] for name, each in answers.items()},
            furthest={name: _distance(each[0], mine[0]) for name, each in answers.items() if alone},
            peak=[one["flops"] for one in peak],
            bandwidth=[one["bytes"] for one in peak],
            stage_seconds=_by_stage(mine[1:], work) if alone else {},
            stage_work=work,
        )
        for name, distance in result.furthest.items():
            if not distance <= (ROUNDED if name.endswith(INT8) else TOO_FAR):
                self._tell(f"{name} computes something else: its scores are {distance:.1g} of the largest from ours")
        self.results.append(result)
        return result

    def as_json(self) -> str:
        """Everything, with all single numbers; seconds, bytes, FLOPs."""
        from xlsr_ref.version import __version__

        numbers = {"xlsr_ref": __version__, **self.about, "workloads": [as_json(result) for result in self.results]}
        return json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"


def write_files(benchmark: Benchmark) -> None:
    """The JSON and the plot that its settings ask for. Raises XlsrError."""
    wanted, about = benchmark.settings, benchmark.about
    if wanted.json_file is not None:
        write_whole(wanted.json_file, benchmark.as_json())
    if wanted.plot_file is not None:
        title = f"{about['model']}, {about['machine']['cpu']}, {wanted.threads} threads, float32"
        plot.write(wanted.plot_file, benchmark.results, title)


def _fingerprint(folder: Path) -> str:
    """Another one for other weights: a graph that was kept serves the model that it was made of."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _distance(answer: dict[str, Any], ours: dict[str, Any]) -> float:
    """The largest difference of two programs' scores, relative to the largest score; infinite if one has no number."""
    largest = max(map(abs, ours["scores"]))
    differences = [abs(a - b) for a, b in zip(answer["scores"], ours["scores"])]
    return max(differences) / largest if all(map(math.isfinite, differences)) and largest else math.inf


def _by_stage(answers: list[dict[str, Any]], work: dict[str, stages.Work]) -> dict[str, list[float]]:
    """Seconds of each stage that has ``work``, one for each answer; what none of them accounts for is the rest."""
    by_stage = {stage: [answer["stages"][stage] for answer in answers] for stage in work}
    rest = [answer["seconds"] - sum(each) for answer, *each in zip(answers, *by_stage.values())]
    return {**by_stage, stages.REST: rest}
