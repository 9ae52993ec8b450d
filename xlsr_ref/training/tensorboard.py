"""The numbers of a run for TensorBoard, where the recipe asks for it: `[run] tensorboard = true`.

    RUN/tensorboard/events.out.tfevents.…        each number of metrics.jsonl as a curve: train/loss, dev/NAME, …

The package tensorboard writes the file. A run that goes on writes it anew from metrics.jsonl, so that no step is there
twice. `tensorboard --logdir RUN` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xlsr_ref.errors import TrainingError

FOLDER = "tensorboard"
NOT_SHOWN = ("step",)


class Events:
    """The file of one run, open until :meth:`close`; ``reports`` are those of metrics.jsonl until now."""

    def __init__(self, folder: Path, reports: Iterable[Mapping[str, Any]]) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        place = folder / FOLDER
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = EventFileWriter(str(place))
        for report in reports:
            self.add(report)

    def add(self, report: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in curves(report)]
        self._file.add_event(Event(step=report["step"], summary=Summary(value=values)))

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


def curves(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a report, each with the name of its curve."""
    part = "dev" if "dev" in report else "train"
    for name, value in report.items():
        if name in NOT_SHOWN or value is None:
            continue
        if isinstance(value, Mapping):
            yield from ((f"{part}/{name}/{key}", float(one)) for key, one in value.items())
        elif isinstance(value, list):
            yield from ((f"{part}/{name}/{i}", float(one)) for i, one in enumerate(value))
        else:
            yield f"{part}/{name}", float(value)


def require_tensorboard() -> None:
    """Raise TrainingError where the package is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError:
        raise TrainingError(
            'run.tensorboard is true, and TensorBoard is not installed: pip install "xlsr_ref[tensorboard]", or leave '
            "it out"
        ) from None
