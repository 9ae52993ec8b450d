"""Event files for TensorBoard, read back by the package itself where it is installed."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from tiny_run import make_corpus, recipe

from xlsr_ref.errors import TrainingError
from xlsr_ref.training.folder import read_metrics
from xlsr_ref.training.loop import train
from xlsr_ref.training.prepare import prepare_run
from xlsr_ref.training.tensorboard import Events, curves


def begin(folder, resume=False, stop=0):
    if not resume:
        make_corpus(folder / "corpus")
    (folder / "a.toml").write_text(recipe(8, 4, run=f"tensorboard = true\nstop = {stop}"))
    return prepare_run("finetune", folder / "a.toml", folder / "run", folder / "corpus", resume, lambda line: None)


def test_curves_of_reports():
    report = {"step": 2, "loss": 1.5, "perplexity": [3.0, 4.0], "left_out": 0}
    assert list(curves(report)) == [
        ("train/loss", 1.5), ("train/perplexity/0", 3.0), ("train/perplexity/1", 4.0), ("train/left_out", 0.0),
    ]  # fmt: skip
    report = {"step": 4, "dev": {"tiny-en": 0.5}, "mean": 0.5}
    assert list(curves(report)) == [("dev/dev/tiny-en", 0.5), ("dev/mean", 0.5)]


def test_without_the_package_nothing_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r'not installed: pip install "xlsr_ref\[tensorboard\]", or leave it out'):
        begin(tmp_path)
    assert not (tmp_path / "run").exists()


def test_every_report_is_written(tmp_path, monkeypatch):
    """With a stand-in for the package: all of metrics.jsonl, once, and the file is closed."""
    written: list[SimpleNamespace] = []

    class EventFileWriter:
        def __init__(self, folder):
            written.clear()
            self.closed = False
            written.append(self)

        def add_event(self, event):
            written.append(event)

        def close(self):
            self.closed = True

    def value(tag, simple_value):
        return tag, simple_value

    def summary(value):
        return value

    summary.Value = value  # type: ignore[attr-defined]
    parts = {
        "tensorboard": {}, "tensorboard.summary": {}, "tensorboard.summary.writer": {}, "tensorboard.compat": {},
        "tensorboard.summary.writer.event_file_writer": {"EventFileWriter": EventFileWriter},
        "tensorboard.compat.proto": {}, "tensorboard.compat.proto.event_pb2": {"Event": SimpleNamespace},
        "tensorboard.compat.proto.summary_pb2": {"Summary": summary},
    }  # fmt: skip
    for name, members in parts.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    run = begin(tmp_path)
    train(run, lambda line: None)
    reports = read_metrics(tmp_path / "run")
    assert [event.step for event in written[1:]] == [report["step"] for report in reports]
    assert [event.summary for event in written[1:]] == [list(curves(report)) for report in reports]
    assert written[0].closed
    assert run.events is None


def test_the_package_reads_them(tmp_path):
    """And a run that goes on has every step once."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(begin(tmp_path), lambda line: None)
    reports = read_metrics(tmp_path / "run")
    Events(tmp_path / "run", reports).close()  # as a run that goes on begins
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    events = EventAccumulator(str(file)).Reload()
    losses = [(report["step"], report["loss"]) for report in reports if "loss" in report]
    assert [(one.step, pytest.approx(one.value)) for one in events.Scalars("train/loss")] == losses
    assert len(events.Scalars("dev/mean")) == sum("dev" in report for report in reports)
