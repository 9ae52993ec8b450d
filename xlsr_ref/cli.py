"""The command line, ``xlsr-ref …``: it parses, calls and prints; the work is done elsewhere.

Results go to the standard output, everything else to the standard error. An error is one line that says what to do.
Exit status: 0 all went well; 1 something did not (each such thing has its line); 2 wrong usage; 130 interrupted.
Nothing heavy is imported before it is needed: ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlsr_ref import __version__
from xlsr_ref.errors import CannotTranscribeError, ConfigError, XlsrError

if TYPE_CHECKING:
    from xlsr_ref.recordings import Recording

INTERRUPTED, READER_LEFT = 130, 141  # what a shell reports for a program that SIGINT or SIGPIPE ended

SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt", "tsv": ".tsv"}
ONE_RECORDING = ("srt", "vtt")  # their times belong to one recording: several cannot share a file


class ReaderLeft(Exception):
    """Whoever read our standard output has closed it, as ``| head -1`` does. Not an error."""


class WrongUsage(Exception):
    """What argparse cannot see by itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status. ``argv`` is without the program's name; None: the process's own."""
    _speak_utf8()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            status = _run(argv)
        _say("")  # flushes
        return status
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except ReaderLeft:
        return READER_LEFT
    except Exception as error:
        if os.environ.get("XLSR_REF_TRACEBACK"):
            raise
        _complain(_sentence(error))
        return 1


def _run(argv: Sequence[str] | None) -> int:
    parser, commands = _parsers()
    try:
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            parser.print_help(sys.stderr)
            return 2
        try:
            return arguments.call(arguments)
        except WrongUsage as error:
            commands[arguments.command].error(str(error))
    except SystemExit as done:  # argparse has printed: help or version (0), or what is wrong with the usage (2)
        return done.code if isinstance(done.code, int) else 1


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the whole line, and those of the commands."""

    def layout(prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)

    style: dict[str, Any] = {"formatter_class": layout, "allow_abbrev": False}
    parser = argparse.ArgumentParser(
        prog="xlsr-ref",
        usage="xlsr-ref [-h] [--version] COMMAND ...",
        description="Speech to text with wav2vec 2.0 and XLSR, in NumPy.",
        epilog="commands:\n"
        "  transcribe  write down what is said in recordings\n"
        "  inspect     show a model's stages, shapes, parameters and FLOPs\n"
        "  doctor      check that this machine has what is needed\n"
        "  bench       measure speed and memory, stage by stage and beside others\n"
        "\n"
        "example:\n"
        "  xlsr-ref transcribe talk.wav\n"
        "\n"
        "xlsr-ref COMMAND --help says more.",
        **style,
    )
    parser.add_argument("--version", action="version", version=f"xlsr-ref {__version__}")
    commands = parser.add_subparsers(dest="command", prog="xlsr-ref", help=argparse.SUPPRESS)

    p = commands.add_parser(
        "transcribe",
        description="Write down what is said in recordings: any format that libsndfile reads, any rate.",
        epilog="examples:\n"
        "  xlsr-ref transcribe                                   the clips in the package\n"
        "  xlsr-ref transcribe talk.wav --format srt > talk.srt  subtitles\n"
        "  xlsr-ref transcribe talks --output texts              a folder, one text file each\n"
        "  cat talk.wav | xlsr-ref transcribe -                  from a pipe",
        **style,
    )
    p.add_argument("files", metavar="FILE", nargs="*", help="recordings, folders of them, or - for the standard input")
    p.add_argument("--model", metavar="DIR", help="folder of the model (default: the small one in the package)")
    p.add_argument(
        "--format", metavar="FORMAT", choices=SUFFIXES, default="text", help=f"{', '.join(SUFFIXES)} (default: text)"
    )
    p.add_argument("--output", metavar="DIR", help="write one file per recording into this folder")
    p.add_argument(
        "--dtype",
        metavar="DTYPE",
        choices=("float32", "float64"),
        default="float32",
        help="compute in float32 or float64 (default: float32)",
    )
    p.add_argument(
        "--chunk", metavar="SEC", type=float, help="cut into pieces of SEC seconds (default: 30 over 60; 0: none)"
    )
    p.add_argument("--stride", metavar="SEC", type=float, help="of a piece, context on each side (default: a sixth)")
    p.set_defaults(call=transcribe)

    p = commands.add_parser(
        "inspect",
        description="Show the stages of a model: the prefix of their names in the checkpoint, the shape of\n"
        "their output for one second of sound, parameters and FLOPs; and what loading it would use.",
        epilog="examples:\n"
        "  xlsr-ref inspect                                      the model in the package\n"
        "  xlsr-ref inspect wav2vec2-large-xlsr-53/config.json   a config, without any weights",
        **style,
    )
    p.add_argument("model", metavar="MODEL", nargs="?", help="folder of a model, or a config.json")
    p.set_defaults(call=inspect)

    p = commands.add_parser(
        "doctor",
        description="Check each part that the package stands on: its version, and whether it works here.",
        epilog="example:\n  xlsr-ref doctor",
        **style,
    )
    p.set_defaults(call=doctor)

    p = commands.add_parser(
        "bench",
        usage="xlsr-ref bench [options]",
        description="Measure the forward pass: time by stage, share of what the machine can do, memory.",
        epilog="examples:\n"
        "  xlsr-ref bench --seconds 10                                 the model in the package\n"
        "  xlsr-ref bench --size xlsr-53 --against torch,onnxruntime   a full-size one, and others",
        **style,
    )
    p.add_argument("--model", metavar="DIR", help="folder of the model (default: the one in the package)")
    p.add_argument("--size", metavar="SIZE", help="random weights instead: xlsr-53 or base")
    p.add_argument("--seconds", metavar="LIST", help="lengths of audio (default: 5,10,30)")
    p.add_argument("--short", action="store_true", help="a bundled clip of 3 s")
    p.add_argument("--clips", action="store_true", help="64 bundled clips of 2 to 4 s as one list")
    p.add_argument("--threads", metavar="N", type=int, help="for all programs (default: all cores)")
    p.add_argument("--rounds", metavar="R", type=int, default=5, help="measured runs of each (default: 5)")
    p.add_argument("--against", metavar="LIST", default="", help="torch, torch-eager, onnxruntime")
    p.add_argument("--scaling", action="store_true", help="also on one thread")
    p.add_argument("--json", metavar="FILE", dest="json_file", help="write all numbers")
    p.add_argument("--plot", metavar="FILE", dest="plot_file", help="draw the roofline, as .svg or .png")
    p.add_argument("--keep", metavar="DIR", help="keep what must be made there, for the next time")
    p.set_defaults(call=bench)
    return parser, commands.choices


# --- transcribe ------------------------------------------------------------------------------------------------------


def transcribe(arguments: argparse.Namespace) -> int:
    """Write down what is said in each recording. A bad one does not stop the others."""
    from xlsr_ref.recordings import find, targets, write_whole
    from xlsr_ref.text.formats import format_transcript, format_transcripts

    form, heard = arguments.format, []
    with ExitStack() as cleanup:
        recordings, several, problems = find(arguments.files, cleanup)
        if several and form in ONE_RECORDING and arguments.output is None:
            raise WrongUsage(f"{form} holds one recording: name one file, or give --output DIR")
        for problem in problems:
            _complain(problem)
        places = targets(recordings, arguments.output, SUFFIXES[form])
        if not recordings:
            return 1

        import xlsr_ref
        from xlsr_ref.chunks import chunking
        from xlsr_ref.ops.backend import on_compilation

        on_compilation(lambda: _complain("compiling for this machine: this is done once and takes some seconds"))
        model = xlsr_ref.load(arguments.model, arguments.dtype)
        chunking(arguments.chunk, arguments.stride, model.seconds_per_frame)  # what is wrong here is so for all
        lengths = {"chunk_seconds": arguments.chunk, "stride_seconds": arguments.stride}
        failed = bool(problems)
        with _progress(list(zip(recordings, places))) as (counted, aside):
            for recording, target in counted:
                try:
                    transcript = model.transcribe(recording.path, **lengths)
                    if target is not None:
                        write_whole(target, format_transcript(transcript, form))
                        continue
                except Exception as error:
                    if _stops_all(error, model):
                        raise
                    failed = True
                    with aside():
                        _complain(_about(recording, error))
                    continue
                if several and form != "text":
                    heard.append((recording.name, transcript))  # a whole array, or one header for all
                    continue
                with aside():
                    one = [(recording.name, transcript)]
                    _say(format_transcripts(one, form) if several else format_transcript(transcript, form))
    if several and form != "text" and arguments.output is None:
        _say(format_transcripts(heard, form))
    return int(failed)


def _stops_all(error: Exception, model: Any) -> bool:
    """A model that cannot write fails alike on every recording; any other error is that of one recording."""
    if os.environ.get("XLSR_REF_TRACEBACK"):
        return True
    speechless = model.tokenizer is None or "lm_head" not in model.params
    return speechless and isinstance(error, CannotTranscribeError)


@contextmanager
def _progress(items: Sequence[Any]) -> Iterator[tuple[Any, Callable[[], AbstractContextManager]]]:
    """The items, counted by a progress bar where somebody looks; and a context to print in beside the bar."""
    if len(items) < 2 or sys.stderr is None or not sys.stderr.isatty():
        yield items, nullcontext
        return
    from tqdm import tqdm

    with tqdm(items, unit="file", leave=False, dynamic_ncols=True) as bar:
        yield bar, lambda: tqdm.external_write_mode(file=sys.stdout)


# --- inspect and doctor ----------------------------------------------------------------------------------------------


def inspect(arguments: argparse.Namespace) -> int:
    """Print the table of stages, and the load report where there are weights."""
    from xlsr_ref.audio import Preprocessor
    from xlsr_ref.config import Config, read_json
    from xlsr_ref.params import load_params
    from xlsr_ref.summary import format_table, stage_table

    path = Path(arguments.model) if arguments.model is not None else Path(__file__).parent / "data" / "small-ctc"
    folder = path.parent if path.is_file() else path
    if path.is_file():
        values = read_json(path, ConfigError)
        try:
            config = Config.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    else:
        config = Config.from_folder(path)
    rate = Preprocessor.from_folder(folder).sampling_rate
    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model*.bin")
    weights = any(found for name in names for found in folder.glob(name))
    if path.is_file() or not weights:
        kind = config.architectures[0] if config.architectures else "Wav2Vec2Model"
        report, prefix = f"model    {kind}, from the config alone: no weights were read", None
    else:
        loaded = load_params(folder, config)[1]
        kind, report, prefix = loaded.kind, str(loaded), loaded.prefix

    samples = max(rate, config.receptive_field)
    rows = stage_table(config, kind, samples, prefix)
    step, field = (f"{n} samples ({1000 * n / rate:g} ms)" for n in (config.hop, config.receptive_field))
    _say(
        f"{report}\n"
        f"frames   one every {step}, each sees {field}\n\n"
        f"For {samples / rate:g} s of sound ({samples} samples at {rate} Hz); a multiply-add is 2 FLOPs:\n\n"
        f"{format_table(rows, config.num_hidden_layers)}\n"
    )
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print what each check found; 1 if a part that is needed does not work."""
    from xlsr_ref.doctor import examine

    failures = 0
    for check in examine():
        failures += check.state == "FAIL"
        _say(f"{check.state:<4}  {check.part:<9}  {check.found}\n")
    _say(f"{failures} of these must be put right: see FAIL\n" if failures else "all that is needed works\n")
    return int(failures > 0)


def bench(arguments: argparse.Namespace) -> int:
    """Print a table for each workload as soon as it is measured, and write what was asked for."""
    from xlsr_ref.bench import run, table

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "call")}
    try:
        settings = run.settings(**options)
    except run.WrongSetting as error:
        raise WrongUsage(str(error)) from None
    with run.Benchmark(settings, _complain, _status) as benchmark:
        _say(table.head(benchmark.about))
        for workload in settings.workloads:
            _say(table.one(benchmark.measure(workload)))
    run.write_files(benchmark)
    return 0


# --- saying things ---------------------------------------------------------------------------------------------------


def _speak_utf8() -> None:
    """UTF-8 in every locale and code page. Stray bytes of a file name, which it lacks, become \\udc80, as in JSON."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there is none, or it is somebody's replacement for one
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def _say(text: str) -> None:
    """Write to the standard output, now. Raises ReaderLeft when nobody listens, XlsrError when it cannot be written."""
    if not text and sys.stdout is None:
        return
    if sys.stdout is None:  # closed before we began
        raise XlsrError("the standard output is closed: open it, or give --output DIR")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # nor let Python try again at the end with what is left in the buffer
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL
            raise ReaderLeft from None
        raise XlsrError(f"the standard output cannot be written: {error.strerror or error}") from None


def _complain(message: str) -> None:
    """One line on the standard error."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"xlsr-ref: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _status(text: str) -> None:
    """What is going on, on one line of a terminal that the next one replaces; "" leaves it empty."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None and sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _show_warning(message: Warning | str, *where: Any) -> None:
    _complain(f"warning: {message}")


def _about(recording: Recording, error: Exception) -> str:
    """``NAME: what is wrong``, once: some messages begin with the file's name already, some cannot know it."""
    from xlsr_ref.recordings import shown

    message = _sentence(error).removeprefix(f"{shown(recording.path)}: ")
    return f"{shown(recording.name)}: {message}"


def _sentence(error: BaseException) -> str:
    """What went wrong and what to do, as one line."""
    if isinstance(error, MemoryError):
        return "not enough memory: give a shorter --chunk, or use a smaller model"
    if isinstance(error, XlsrError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"{error}: pip install it, and see xlsr-ref doctor"
    if isinstance(error, OSError) and error.strerror:
        from xlsr_ref.recordings import shown

        return f"{shown(error.filename)}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error} (XLSR_REF_TRACEBACK=1 shows where)"
