"""One benchmark from its settings to its numbers: what is missing is made, the programs are opened, and take turns.

    with Benchmark(settings, note) as benchmark:
        for workload in settings.workloads:
            result = benchmark.measure(workload)

Everything that can be refused is refused before the first clock starts. Whatever ends it, no process and no temporary
file stays behind.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from xlsr_ref.bench import programs, stages, turns
from xlsr_ref.bench.machine import describe
from xlsr_ref.bench.programs import OURS, PEAK, PEERS, Workload
from xlsr_ref.bench.random_model import SIZES, size_in_bytes, write_random_model
from xlsr_ref.errors import CannotTranscribeError, XlsrError

DEFAULT_SECONDS = (5.0, 10.0, 30.0)
LONGEST = 36_000.0  # seconds: ten hours
MOST_THREADS = 1024
PLOTS = (".svg", ".png")
ONE_THREAD = f"{OURS} on 1 thread"
TOO_FAR = 0.01  # of the largest score: a program that is further from ours has computed something else


class WrongSetting(Exception):
    """What the command line asks for makes no sense."""


class Settings(NamedTuple):
    """What is to be measured, and where the results go."""

    model: Path  # its folder; unused with size
    size: str | None  # one of random_model.SIZES
    workloads: tuple[Workload, ...]
    threads: int
    rounds: int
    against: tuple[str, ...]  # of programs.PEERS
    scaling: bool  # also on one thread
    json_file: Path | None
    plot_file: Path | None
    keep: Path | None  # where what had to be made stays


class Result(NamedTuple):
    """The numbers of one workload. Programs are ours, the peers that were there, and ours on one thread."""

    workload: Workload
    audio: float  # seconds of it
    flops: int
    seconds: dict[str, list[float]]  # of each program, one for each round
    first: dict[str, float]  # of each program's first run, which is not counted
    memory: dict[str, int | None]  # of each program's process at most, in bytes
    furthest: dict[str, float]  # how far each program's scores are from ours, at most
    peak: list[float]  # FLOP/s of a matrix product, one for each round
    bandwidth: list[float]  # bytes/s of a copy
    stage_seconds: dict[str, list[float]]  # of each stage of ours; {} for a list of recordings
    stage_work: dict[str, stages.Work]


def settings(
    model: str | None = None,
    size: str | None = None,
    seconds: str | None = None,
    short: bool = False,
    clips: bool = False,
    threads: int | None = None,
    rounds: int = 5,
    against: str = "",
    scaling: bool = False,
    json_file: str | None = None,
    plot_file: str | None = None,
    keep: str | None = None,
) -> Settings:
    """The settings as a command line spells them. Raises WrongSetting, and XlsrError for what cannot be written."""
    from xlsr_ref.checkpoint.hub import local_folder
    from xlsr_ref.model.load import BUNDLED
    from xlsr_ref.ops.threads import count

    lengths = _lengths(seconds) if seconds is not None else () if short or clips else DEFAULT_SECONDS
    workloads = [Workload("noise", length) for length in lengths]
    workloads += [Workload("short")] * short + [Workload("clips")] * clips
    names = tuple(filter(None, (name.strip() for name in against.split(","))))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise WrongSetting(f"--against: {unknown[0]!r} is not one of {', '.join(PEERS)}")
    if size is not None and model is not None:
        raise WrongSetting("give --model or --size, not both")
    if size is not None and size not in SIZES:
        raise WrongSetting(f"--size: {size!r} is not one of {', '.join(SIZES)}")
    threads = count() if threads is None else threads
    if not 1 <= threads <= MOST_THREADS:
        raise WrongSetting(f"--threads is {threads}: give a whole number from 1 to {MOST_THREADS}")
    if rounds < 1:
        raise WrongSetting(f"--rounds is {rounds}: give at least 1")
    if scaling and threads == 1:
        raise WrongSetting("--scaling compares with one thread: give --threads 2 or more")
    if plot_file is not None and Path(plot_file).suffix.lower() not in PLOTS:
        raise WrongSetting(f"--plot: {plot_file!r} must end in {' or '.join(PLOTS)}")
    if plot_file is not None and all(workload.kind == "clips" for workload in workloads):
        raise WrongSetting("--plot shows stages, which a list of clips has none of: give --seconds or --short as well")
    found = Settings(
        model=local_folder(model) if model is not None else BUNDLED,
        size=size,
        workloads=tuple(workloads),
        threads=threads,
        rounds=rounds,
        against=names,
        scaling=scaling,
        json_file=Path(json_file) if json_file is not None else None,
        plot_file=Path(plot_file) if plot_file is not None else None,
        keep=Path(keep) if keep is not None else None,
    )
    for output in filter(None, (found.json_file, found.plot_file)):
        _require_writable(output)
    return found


def _lengths(text: str) -> tuple[float, ...]:
    found = []
    for word in text.split(","):
        try:
            length = float(word)
        except ValueError:
            length = math.nan
        if not 0 < length <= LONGEST:
            raise WrongSetting(f"--seconds: {word!r} is not a number above 0 and up to {LONGEST:g}")
        found.append(length)
    return tuple(dict.fromkeys(found))


def _require_writable(path: Path) -> None:
    """Now, not after minutes of measuring."""
    from xlsr_ref.untrusted import shown

    if path.is_dir():
        raise XlsrError(f"{shown(path)} is a folder: give the name of a file")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists():
            path.open("ab").close()
    except OSError as error:
        raise XlsrError(f"{shown(path)} cannot be written: {error.strerror or error}") from None


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
        from xlsr_ref.audio import Preprocessor
        from xlsr_ref.model.load_params import load_params
        from xlsr_ref.wav2vec2.config import Config

        wanted = self.settings
        if wanted.size is None:
            folder = wanted.model
        else:
            folder = self._keep(cleanup) / wanted.size
            if not (folder / "config.json").exists():
                gigabytes = size_in_bytes(SIZES[wanted.size]) / 1e9
                self._tell(f"writing a model of {wanted.size}'s size with random weights: {gigabytes:.2f} GB")
                write_random_model(folder, SIZES[wanted.size])
        self._config, self._rate = Config.from_folder(folder), Preprocessor.from_folder(folder).sampling_rate
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
        return self._kind == "Wav2Vec2ForCTC" and (folder / "vocab.json").exists()

    def _graph(self, name: str, folder: Path, cleanup: ExitStack) -> str | None:
        """The graph that peer ``name`` runs, "" for one that needs none, None for a peer that must be left out."""
        peer = PEERS[name]
        graph = self._keep(cleanup) / "graphs" / f"{_fingerprint(folder)}.onnx" if peer.to_export else None
        made = graph is None or graph.exists()
        lacking = programs.missing(peer.packages if made else (*peer.packages, *peer.to_export))
        if lacking:
            self._tell(f"{name} is left out: pip install {' '.join(lacking)}")
            return None
        if graph is not None and not made:
            self._tell(f"writing the graph for {name}")
            try:
                with programs.worker("export", str(folder), self.settings.threads, str(graph)):
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
            seconds={name: [one["seconds"] for one in found[1:]] for name, found in answers.items()},
            first={name: found[0]["runs"][0] for name, found in answers.items()},
            memory={name: found[-1]["memory"] for name, found in answers.items()},
            furthest={name: _distance(found[0], mine[0]) for name, found in answers.items() if alone},
            peak=[one["flops"] for one in peak],
            bandwidth=[one["bytes"] for one in peak],
            stage_seconds=_by_stage(mine[1:], work) if alone else {},
            stage_work=work,
        )
        for name, distance in result.furthest.items():
            if not distance <= TOO_FAR:
                self._tell(f"{name} computes something else: its scores are {distance:.1g} of the largest from ours")
        self.results.append(result)
        return result

    def as_json(self) -> str:
        """Everything, with all single numbers; seconds, bytes, FLOPs."""
        from xlsr_ref import __version__

        found = {"xlsr_ref": __version__, **self.about, "workloads": [_plain(result) for result in self.results]}
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def write_files(benchmark: Benchmark) -> None:
    """The JSON and the plot that its settings ask for. Raises XlsrError."""
    from xlsr_ref.files import write_whole

    wanted, about = benchmark.settings, benchmark.about
    if wanted.json_file is not None:
        write_whole(wanted.json_file, benchmark.as_json())
    if wanted.plot_file is not None:
        from xlsr_ref.bench import plot

        title = f"{about['model']}, {about['machine']['cpu']}, {wanted.threads} threads, float32"
        plot.write(wanted.plot_file, benchmark.results, title)


def _fingerprint(folder: Path) -> str:
    """Another one for other weights: a graph that was kept serves the model that it was made of."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        found = file.stat()
        digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _distance(answer: dict[str, Any], ours: dict[str, Any]) -> float:
    """The largest difference of two programs' scores, relative to the largest score; infinite if one has no number."""
    largest = max(map(abs, ours["scores"]))
    differences = [abs(a - b) for a, b in zip(answer["scores"], ours["scores"])]
    return max(differences) / largest if all(map(math.isfinite, differences)) and largest else math.inf


def _by_stage(answers: list[dict[str, Any]], work: dict[str, stages.Work]) -> dict[str, list[float]]:
    """Seconds of each stage that has ``work``, one for each answer; what none of them accounts for is the rest."""
    found = {stage: [answer["stages"][stage] for answer in answers] for stage in work}
    rest = [answer["seconds"] - sum(each) for answer, *each in zip(answers, *found.values())]
    return {**found, stages.REST: rest}


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _plain(result: Result) -> dict[str, Any]:
    programs = {
        name: {
            "seconds": seconds,
            "first_run": result.first[name],
            "peak_memory": result.memory[name],
            "furthest_from_ours": _finite(result.furthest.get(name)),
        }
        for name, seconds in result.seconds.items()
    }
    by_stage = {
        stage: {**result.stage_work[stage]._asdict(), "seconds": seconds}
        if stage in result.stage_work
        else {"flops": 0, "bytes": 0, "seconds": seconds}
        for stage, seconds in result.stage_seconds.items()
    }
    return {
        "name": result.workload.name,
        "kind": result.workload.kind,
        "audio_seconds": result.audio,
        "flops": result.flops,
        "peak_flops_per_second": result.peak,
        "copy_bytes_per_second": result.bandwidth,
        "programs": programs,
        "stages": by_stage,
    }
