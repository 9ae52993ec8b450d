"""What several commands have in common: the options of the model, how it is loaded, and the progress of a long file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli.say import WrongUsage, is_quiet, note, status_line

if TYPE_CHECKING:
    from xlsr_ref.model.model import Model

DTYPES = ("float32", "float64")
GIVEN = ("language", "threads", "weights")  # what xlsr_ref.load is told only where the command line says it


def add_model(p: argparse.ArgumentParser) -> None:
    """--model, --language, --dtype, --weights, --threads, --copy and --quiet: of commands that compute with a model."""
    p.add_argument("--model", metavar="MODEL", help="model folder, or OWNER/NAME[@REVISION] on the Hub")
    p.add_argument("--language", metavar="CODE", help="language of a multilingual model (MMS), such as fra")
    p.add_argument(
        "--dtype", metavar="DTYPE", choices=DTYPES, default=DTYPES[0], help="compute in float32 (default) or float64"
    )
    p.add_argument(
        "--weights",
        metavar="DTYPE",
        choices=("float32", "int8"),
        help="float32 or int8 (less memory, a little less exact)",
    )
    p.add_argument("--threads", metavar="N", type=int, help="number of threads (default: one for each core)")
    p.add_argument("--copy", action="store_true", help="copy the weights into memory; their file may change")
    add_quiet(p)


def add_quiet(p: argparse.ArgumentParser) -> None:
    """--quiet: of every command that reports what it does."""
    p.add_argument("--quiet", action="store_true", help="print errors only: no progress, notes, warnings")


def check_threads(threads: int | None) -> None:
    """Raise WrongUsage for a number of threads that cannot be."""
    if threads is not None and threads < 1:
        raise WrongUsage(f"--threads is {threads}: it must be at least 1")


def load_model(arguments: argparse.Namespace, **more: Any) -> Model:
    """The model that the options of :func:`add_model` name. ``more`` goes to `xlsr_ref.load`, too."""
    check_threads(arguments.threads)
    import xlsr_ref

    tell_of_compiling()
    given = {name: getattr(arguments, name) for name in GIVEN if getattr(arguments, name) is not None}
    given |= {"copy": True} if arguments.copy else {}
    return xlsr_ref.load(arguments.model, arguments.dtype, **given, **more)


def tell_of_compiling() -> None:
    """A note when the first kernel is compiled, which takes a while."""
    from xlsr_ref.ops.backend import on_compilation

    on_compilation(lambda: note("compiling for this machine: this is done once and takes some seconds"))


@contextmanager
def following(wanted: bool = True) -> Iterator[dict[str, Any]]:
    """The argument ``progress`` of `Model.transcribe` and `Model.align`, which shows how much of a recording is done;
    {} where the standard error is no terminal, or it is not ``wanted``."""
    if not wanted or is_quiet() or sys.stderr is None or not sys.stderr.isatty():
        yield {}
        return

    shown = False

    def show(done: float, total: float) -> None:
        nonlocal shown
        if shown or done < total:  # a short recording is done at once
            shown = True
            status_line(f"{clock(done)} of {clock(total)}  {100 * done / max(total, 1e-9):.0f} %")

    try:
        yield {"progress": show}
    finally:
        if shown:
            status_line("")


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are some."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
