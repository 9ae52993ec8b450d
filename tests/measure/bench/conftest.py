"""A tiny model in each family, and programs that need no process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bench_models import FAMILIES

from xlsr_ref.measure.bench import programs, stages, turns
from xlsr_ref.measure.bench.random_model import write_random_model
from xlsr_ref.measure.bench.result import Result


@pytest.fixture(scope="session", params=FAMILIES)
def tiny_model(request, tmp_path_factory):
    """The folder of a random model."""
    folder = tmp_path_factory.mktemp(request.param) / "tiny"
    write_random_model(folder, FAMILIES[request.param])
    return folder


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(turns, "PAUSE", 0.0)


SECONDS = {
    "xlsr_ref-int8": 0.25,
    "onnxruntime-int8": 0.25,
    programs.OURS: 0.5,
    "torch": 1.0,
    "torch-eager": 2.0,
    "onnxruntime": 0.8,
}


class FakeWorker:
    """Answers as a program would that is as fast as SECONDS says."""

    def __init__(self, name, folder, threads, graph=""):
        if (name, 0) in self.fail:
            raise turns.Stopped(self.fail[name, 0])
        self.name, self.threads, self.graph, self.asked, self.opened = name, threads, graph, [], 0.25
        self.closed = False
        self.all.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self, at_once=False):
        self.closed = True

    def ask(self, line):
        self.asked.append(line)
        if (self.name, len(self.asked)) in self.fail:
            raise turns.Stopped(self.fail[self.name, len(self.asked)])
        if self.name == programs.PEAK:
            return {"flops": 40e9, "bytes": 10e9}
        seconds = SECONDS[self.name] * (2 if self.threads == 1 else 1)
        answer = {"seconds": seconds, "runs": [3 * seconds, seconds], "memory": 1 << 30, "stages": {}}
        if programs.Workload(*json.loads(line)).kind != "clips":
            answer["scores"] = [1.0, self.scores.get(self.name, 2.0)]
            answer["stages"] = dict.fromkeys(stages.FUNCTIONS, 0.05) if self.name == programs.OURS else {}
        return answer


@pytest.fixture
def fakes(monkeypatch):
    """Workers without processes: ``.all`` that were opened, ``.fail`` {(name, which question): why}, ``.scores``."""
    fake = type("Fake", (FakeWorker,), {"all": [], "fail": {}, "scores": {}})
    monkeypatch.setattr(programs, "worker", fake)
    monkeypatch.setattr(programs, "missing", lambda packages: [])
    return fake


@pytest.fixture
def result():
    """What a benchmark of 2 s might have found."""
    work = {stage: stages.Work(0 if stage == "norms" else 10**9, 10**8) for stage in stages.FUNCTIONS}
    return Result(
        workload=programs.Workload("noise", 2.0),
        audio=2.0,
        flops=7 * 10**9,
        seconds={"xlsr_ref": [0.5, 0.4, 0.6], "torch": [1.0, 1.2, 0.9]},
        first={"xlsr_ref": 3.0, "torch": 1.5},
        memory={"xlsr_ref": 3 << 29, "torch": None},
        furthest={"xlsr_ref": 0.0, "torch": 3e-6},
        peak=[20e9, 22e9, 18e9],
        bandwidth=[5e9, 4e9, 6e9],
        stage_seconds={**{stage: [0.06, 0.05, 0.07] for stage in stages.FUNCTIONS}, stages.REST: [0.02, 0.0, 0.04]},
        stage_work=work,
    )


@pytest.fixture
def noise():
    return (0.1 * np.random.default_rng(5).standard_normal(8000)).astype(np.float32)
