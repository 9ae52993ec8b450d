"""``python -m weights_tools inspect|convert|verify|download …``: exit status 0, 1 (error, difference), 2 or 130."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from xlsr_ref.cli.weights import WrongSetting, add_all, overview
from xlsr_ref.errors import XlsrError
from xlsr_ref.untrusted import one_line, plain

PROG = "python -m weights_tools"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [-h] COMMAND ...",
        description="Look into checkpoints of torch, fairseq, torchaudio and flax, and convert them.\n"
        "Nothing in them is run.",
        epilog=overview(PROG),
        **style,  # type: ignore[arg-type]
    )
    commands = add_all(parser, PROG, style)
    try:
        arguments = parser.parse_args(argv)
        if arguments.weights_command is None:
            parser.print_help(sys.stderr)
            return 2
        try:
            return arguments.weights(arguments, _say)
        except WrongSetting as error:
            commands[arguments.weights_command].error(str(error))
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except XlsrError as error:
        return _complain(str(error), 1)
    except MemoryError:
        return _complain("not enough memory", 1)
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}", 1)


def _say(text: str) -> None:
    sys.stdout.write(plain(text))
    sys.stdout.flush()


def _complain(message: str, status: int) -> int:
    print(f"weights_tools: {one_line(' '.join(message.split()))}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
