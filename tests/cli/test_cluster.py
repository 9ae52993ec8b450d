"""Dask: a cluster of processes, workers that are killed, a scheduler that is gone; nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import Clip
from xlsr_ref.cli import main
from xlsr_ref.cli.item import keyed
from xlsr_ref.cli.many import Results
from xlsr_ref.errors import XlsrError
from xlsr_ref.text.transcript import Transcript

distributed = pytest.importorskip("distributed")

from xlsr_ref.cli import cluster  # noqa: E402

DATA = Path(xlsr_ref.__file__).parent / "data"
LINE = Namespace(scheduler=None, dask_workers=2, threads=None)


def items(n: int):
    clips = [Clip(Path(f"{i:02}.wav"), "", "", 0.0, "", "") for i in range(n)]
    return keyed((clip.path.name, (clip,), i) for i, clip in enumerate(clips))


def ready(arguments):
    return os.getpid(), {}


def hear(model, how, clips):
    """As long as a short clip takes; its text is the process that opened the model."""
    time.sleep(0.02)
    if clips[0].path.stem == "07":
        raise XlsrError("is not audio")
    return Transcript(f"{model} {os.getpid()}", (), ())


def fails(arguments):
    raise XlsrError("the folder is not there")


def test_short_recordings_share_a_task_and_long_ones_do_not(tmp_path):
    seconds = [1.0] * 40 + [300.0] + [8.0] * 10
    clips = [Clip(tmp_path / f"{i}.wav", "", "", 0.0, "", "", 0.0, t) for i, t in enumerate(seconds)]
    many = keyed((clip.path.name, (clip,), None) for clip in clips)
    tasks = list(cluster._tasks(many, threads=2))
    assert [item for task in tasks for item in task] == many
    lengths = [[item.clips[0].end for item in task] for task in tasks]
    assert lengths[0] == [1.0] * 8
    assert [300.0] in lengths
    assert all(sum(task) <= 20 or len(task) == 1 for task in lengths)
    assert [len(task) for task in lengths[-3:]] == [1, 1, 1]  # the last ones go to whoever is idle
    whole = tmp_path / "0.wav"
    whole.write_bytes(bytes(64000))
    assert cluster._guessed_seconds(Clip(whole, "", "", 0.0, "", "")) == 2
    assert cluster._guessed_seconds(Clip(tmp_path / "gone", "", "", 0.0, "", "")) == 0


@pytest.fixture(scope="module")
def running():
    """A cluster of two processes, and the line of a command that names its scheduler."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, host="127.0.0.1"
    ) as local:
        yield local, Namespace(scheduler=local.scheduler_address, dask_workers=None, threads=None)


def test_results_come_in_order_and_each_worker_opens_the_model_once(running):
    got = []
    cluster.work_on_dask(running[1], items(20), hear, ready, lambda item, result: got.append((item.own, result)), True)
    assert [i for i, _ in got] == list(range(20))
    assert str(got[7][1]) == "is not audio"
    texts = {result.text for i, result in got if i != 7}
    assert all(len(set(text.split())) == 1 for text in texts)  # who opened the model uses it
    assert len(texts) == 2


def test_workers_that_are_killed_lose_nothing(running):
    """SIGKILL ends a worker again and again; Dask's nannies start others."""
    local, line = running
    got, done = [], threading.Event()

    def kill():
        while not done.wait(0.4):
            pids = [worker.pid for worker in local.workers.values() if worker.pid]
            if pids:
                os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    work = items(120)

    def deliver(item, result):
        got.append((item.own, result))
        if len(got) == 5:
            killer.start()

    try:
        cluster.work_on_dask(line, work, hear, ready, deliver, False)
    finally:
        done.set()
        killer.join()
    assert sorted(i for i, _ in got) == list(range(120))
    assert [i for i, result in got if isinstance(result, Exception)] == [7]


def where(model, how, clips):
    """Its text is the recording's whole path; the recording that is not there is named by it."""
    if clips[0].path.stem == "01":
        raise XlsrError(f"{clips[0].path}: is not audio")
    return Transcript(str(clips[0].path), (), ())


def test_workers_that_began_elsewhere_find_what_is_named_from_here(running, tmp_path, monkeypatch):
    """Workers of a scheduler have another folder: what is sent to them is the whole path, what comes back is not."""
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    got = {}
    cluster.work_on_dask(running[1], items(2), where, ready, lambda item, one: got.update({item.own: one}), True)
    assert got[0].text == str(tmp_path / "00.wav")
    assert str(got[1]) == "01.wav: is not audio"
    line = Namespace(**vars(running[1]), model="model", lm="bundled")
    sent = cluster._to_send(line, None)
    assert (sent.model, sent.lm) == (str(tmp_path / "model"), "bundled")


def test_a_worker_without_the_model_is_named_before_the_work(running):
    with pytest.raises(XlsrError, match=r"the worker tcp://\S+ cannot open the model: the folder is not there"):
        cluster.work_on_dask(running[1], items(2), hear, fails, lambda *_: None, True)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nowhere", "--scheduler nowhere is no address: give one such as tcp://HOST:8786"),
        ("tcp://127.0.0.1:9", "no scheduler answers at tcp://127.0.0.1:9: start one with `dask scheduler`"),
    ],
)
def test_a_scheduler_that_is_not_there(monkeypatch, address, says):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    with pytest.raises(XlsrError, match=says):
        cluster.work_on_dask(Namespace(scheduler=address, dask_workers=None), [], hear, ready, lambda *_: None, True)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(XlsrError, match=r'Dask is not installed: pip install "xlsr_ref\[dask\]"'):
        cluster.work_on_dask(LINE, [], hear, ready, lambda *_: None, True)


def test_a_scheduler_and_workers_by_their_own_commands_and_a_scheduler_that_is_killed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "where"],
        **quiet,
    )
    workers = []
    try:
        for _ in range(100):
            if Path("where").exists():
                break
            time.sleep(0.2)
        address = json.loads(Path("where").read_text())["address"]
        worker = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        workers = [subprocess.Popen(worker, **quiet) for _ in range(2)]
        for _ in range(100):
            with distributed.Client(address, set_as_default=False) as client:
                if len(client.scheduler_info(n_workers=-1)["workers"]) == 2:
                    break
            time.sleep(0.2)
        line = ["transcribe", str(DATA / "clips" / "es"), "--scheduler", address, "--results", "all.jsonl"]
        assert main(line) == 0
        done = Path("all.jsonl").read_text("utf-8").splitlines()
        assert len(done) == 11
        Path("all.jsonl").write_text("\n".join(done[:4]) + "\nhalf a li", "utf-8")
        assert main([*line, "--skip-existing"]) == 0
        assert "4 of 11 have their results already" in capsys.readouterr().err
        assert sorted(Path("all.jsonl").read_text("utf-8").splitlines()) == sorted(done)
        add = Results.add

        def add_and_kill(self, item, transcript):
            add(self, item, transcript)
            scheduler.kill()

        monkeypatch.setattr(Results, "add", add_and_kill)
        monkeypatch.setattr(cluster, "TIMEOUT", 1.0)
        assert main(["transcribe", *[str(DATA / "clips")] * 2, "--scheduler", address, "--results", "more.jsonl"]) == 1
        assert "is gone, and what is done is kept: start it again" in capsys.readouterr().err
        assert 0 < len(Path("more.jsonl").read_text("utf-8").splitlines()) < 100
        scheduler.wait()
        assert main([*line, "--skip-existing"]) == 0  # nothing is left to do
        Path("all.jsonl").unlink()
        assert main(line) == 1
        assert "no scheduler answers at" in capsys.readouterr().err
    finally:
        for process in (scheduler, *workers):
            process.kill()
            process.wait()


def test_a_worker_of_this_machine_leaves_ctrl_c_to_the_command(monkeypatch):
    """The preload that the command gives its workers, by the name that it gives."""
    from xlsr_ref.cli import worker

    asked = []
    monkeypatch.setattr(signal, "signal", lambda *how: asked.append(how))
    worker.dask_setup(None)
    assert asked == [(signal.SIGINT, signal.SIG_IGN)]
    assert f'"{worker.__name__}"' in Path(cluster.__file__).read_text("utf-8")
