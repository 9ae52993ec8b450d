"""``xlsr-ref classify``: which label each recording has, such as its language, its keyword or its speaker."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from typing import Any

from xlsr_ref.cli.options import add_model, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, about, complain, note, say
from xlsr_ref.errors import CannotClassifyError

MOST = 5  # labels of one recording


def add(commands: Any) -> None:
    p = commands.add_parser(
        "classify",
        usage="xlsr-ref classify [options] [FILE ...]",
        description="Give the likeliest labels of each recording, with their probabilities. Without FILE, the\n"
        "clips of the package are classified. --model must name a classifier.",
        epilog="example:\n  xlsr-ref classify calls/ --model path/to/a/classification/model --top 1",
        **STYLE,
    )
    p.add_argument("files", metavar="FILE", nargs="*", help="recordings or folders; - for the standard input")
    add_model(p)
    p.add_argument(
        "--top", metavar="N", type=int, default=MOST, help=f"number of labels for each recording (default: {MOST})"
    )
    p.add_argument("--transformers-4", action="store_true", help="compute a weighted layer sum as transformers 4 did")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """A line for each label: the recording where there are several, the probability, the label."""
    from xlsr_ref.cli.recordings import find, is_there, missing, passed_over
    from xlsr_ref.untrusted import one_line

    if arguments.model is None:
        raise WrongUsage("give --model: the one in the package writes text and knows no labels")
    if arguments.top < 1:
        raise WrongUsage(f"--top {arguments.top}: give a whole number of at least 1")
    with ExitStack() as cleanup:
        recordings, several, problems = find(arguments.files, cleanup)
        problems += missing(recordings)
        recordings = [recording for recording in recordings if is_there(recording)]
        for line in problems:
            complain(line)
        for line in passed_over(arguments.files):
            note(line)
        if not recordings:
            return 1

        model = load_model(arguments, transformers_4=arguments.transformers_4)
        failed = bool(problems)
        for recording in recordings:
            try:
                likeliest = list(model.classify(recording.path).items())[: arguments.top]
            except Exception as error:
                if isinstance(error, CannotClassifyError) or os.environ.get("XLSR_REF_TRACEBACK"):
                    raise  # it is so for every recording
                failed = True
                complain(about(recording, error))
                continue
            name = f"{one_line(recording.name)}\t" if several else ""
            say("".join(f"{name}{probability:.3f}\t{one_line(label)}\n" for label, probability in likeliest))
    return int(failed)
