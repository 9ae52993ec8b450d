"""The command line, ``xlsr-ref …``: it parses, calls and prints; the work is done elsewhere.

Results go to the standard output, everything else to the standard error. An error is one line that says what to do.
Exit status: 0 all went well; 1 something did not (each such thing has its line); 2 wrong usage; 130 interrupted.
Nothing heavy is imported before it is needed: ``--help`` and ``--version`` answer at once. One file for each command.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from xlsr_ref.cli import (
    align,
    assignment,
    bench,
    classify,
    conformance,
    data,
    doctor,
    evaluate,
    explain,
    finetune,
    grade,
    inspect,
    listen,
    lm,
    pretrain,
    recipe,
    transcribe,
    weights,
)
from xlsr_ref.cli.apart import check
from xlsr_ref.cli.ended import Ended, unwinding
from xlsr_ref.cli.say import (
    STYLE,
    Parser,
    ReaderLeft,
    WrongUsage,
    complain,
    hush,
    say,
    sentence,
    show_warning,
    speak_utf8,
)
from xlsr_ref.version import __version__

INTERRUPTED, READER_LEFT = 130, 141  # what a shell reports for a program that SIGINT or SIGPIPE ended

COMMANDS = {  # in the order of the help: what each does, and its file
    "transcribe": ("write down what is said in recordings", transcribe),
    "listen": ("write down what is said into a microphone, while it is said", listen),
    "align": ("say when each word of a known text is spoken", align),
    "explain": ("make a page that shows how a recording becomes text", explain),
    "evaluate": ("measure a model's error rates on a corpus", evaluate),
    "data": ("show what a corpus holds, and write its list", data),
    "pretrain": ("pre-train a model on sound alone, by a recipe", pretrain),
    "finetune": ("fine-tune a model on recordings and their texts, by a recipe", finetune),
    "recipe": ("list the recipes in the package, or print one", recipe),
    "classify": ("give the likeliest labels of recordings, with a classifier", classify),
    "lm": ("train an n-gram language model on a text", lm),
    "inspect": ("show a model's stages, shapes, parameters and FLOPs", inspect),
    "weights": ("inspect, convert, compare and download checkpoints", weights),
    "grade": ("check functions that a student wrote, and name the mistakes", grade),
    "assignment": ("write exercises as notebooks to hand out, for nbgrader", assignment),
    "conformance": ("check a port of the network to another programming language", conformance),
    "doctor": ("check that this machine has all that is needed", doctor),
    "bench": ("measure speed and memory, and compare with torch and others", bench),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status. ``argv`` is without the program's name; None: the process's own."""
    speak_utf8()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # type: ignore[assignment]
            with unwinding():
                status = _run(argv)
        say("")  # flushes
        return status
    except KeyboardInterrupt as stopped:
        complain(f"interrupted{stopped}")  # a command may have said how to go on
        return INTERRUPTED
    except Ended as ended:
        return ended.status
    except ReaderLeft:
        return READER_LEFT
    except Exception as error:
        if os.environ.get("XLSR_REF_TRACEBACK"):
            raise
        complain(sentence(error))
        return 1
    finally:
        hush(False)


def _run(argv: Sequence[str] | None) -> int:
    parser, commands = _parsers()
    try:
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            parser.print_help(sys.stderr)
            return 2
        hush(getattr(arguments, "quiet", False))
        try:
            check(arguments)
            return arguments.call(arguments)
        except WrongUsage as error:
            commands[arguments.command].error(str(error))
    except SystemExit as done:  # argparse has printed: help or version (0), or what is wrong with the usage (2)
        return done.code if isinstance(done.code, int) else 1


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole line, and those of the commands."""
    width = max(map(len, COMMANDS))
    parser = Parser(
        prog="xlsr-ref",
        usage="xlsr-ref [-h] [--version] COMMAND ...",
        description="Speech to text with wav2vec 2.0 and XLSR, in NumPy.",
        epilog="commands:\n" + "".join(f"  {name:{width}}  {does}\n" for name, (does, _) in COMMANDS.items()) + "\n"
        "example: xlsr-ref transcribe talk.wav\n"
        "xlsr-ref COMMAND --help says more.",
        **STYLE,
    )
    parser.add_argument("--version", action="version", version=f"xlsr-ref {__version__}")
    commands = parser.add_subparsers(dest="command", prog="xlsr-ref", help=argparse.SUPPRESS)
    for _, command in COMMANDS.values():
        command.add(commands)
    return parser, commands.choices
