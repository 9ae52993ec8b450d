"""What a benchmark is to measure, from the words of a command line. What makes no sense is refused before it begins."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.errors import XlsrError
from xlsr_ref.measure.bench.programs import PEERS, Workload
from xlsr_ref.measure.bench.random_model import SIZES

DEFAULT_SECONDS = (5.0, 10.0, 30.0)
LONGEST = 36_000.0  # seconds: ten hours
MOST_THREADS = 1024
PLOTS = (".svg", ".png")


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
    weights: str | None  # "int8": a second program of ours, with int8 weights
    scaling: bool  # also on one thread
    json_file: Path | None
    plot_file: Path | None
    keep: Path | None  # where what had to be made stays


def settings(
    model: str | None = None,
    size: str | None = None,
    seconds: str | None = None,
    short: bool = False,
    clips: bool = False,
    threads: int | None = None,
    rounds: int = 5,
    against: str = "",
    weights: str | None = None,
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
    wanted = Settings(
        model=local_folder(model) if model is not None else BUNDLED,
        size=size,
        workloads=tuple(workloads),
        threads=threads,
        rounds=rounds,
        against=names,
        weights=weights,
        scaling=scaling,
        json_file=Path(json_file) if json_file is not None else None,
        plot_file=Path(plot_file) if plot_file is not None else None,
        keep=Path(keep) if keep is not None else None,
    )
    for output in filter(None, (wanted.json_file, wanted.plot_file)):
        _require_writable(output)
    return wanted


def _lengths(text: str) -> tuple[float, ...]:
    lengths = []
    for word in text.split(","):
        try:
            length = float(word)
        except ValueError:
            length = math.nan
        if not 0 < length <= LONGEST:
            raise WrongSetting(f"--seconds: {word!r} is not a number above 0 and up to {LONGEST:g}")
        lengths.append(length)
    return tuple(dict.fromkeys(lengths))


def _require_writable(path: Path) -> None:
    """Refuse a file that cannot be written now, not after minutes of measuring."""
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
