"""``xlsr-ref assignment``: exercises as notebooks to hand out and to grade with nbgrader."""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, WrongUsage, say


def add(commands: Any) -> None:
    p = commands.add_parser(
        "assignment",
        description="Write a notebook for each exercise, and an nbgrader_config.py. A notebook has the task, an\n"
        "answer cell with the solution (nbgrader removes it), and a test with hidden inputs.",
        epilog="example:\n"
        "  xlsr-ref assignment layer_norm layer_norm_backward -o course --name week3\n"
        "  nbgrader generate_assignment week3 --course-dir course   # into course/release\n"
        "  nbgrader autograde week3 --course-dir course             # from course/submitted\n"
        "\n"
        "xlsr-ref grade --list shows the names of the exercises.",
        **STYLE,
    )
    p.add_argument("names", metavar="NAME", nargs="+", help="exercises to write")
    p.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of the course")
    p.add_argument("--name", metavar="TITLE", default="xlsr", help="name of the assignment (default: xlsr)")
    p.add_argument("--points", metavar="N", type=float, default=10, help="points for each exercise (default: 10)")
    p.add_argument(
        "--weight", metavar="P=W", nargs="+", default=[], help="count property P W times, e.g. 'dtype kept=0'"
    )
    p.add_argument(
        "--question", metavar="TEXT", nargs="+", default=[], help="questions to answer in words, graded by hand"
    )
    p.add_argument("--personal", action="store_true", help="also ask for numbers that differ by student")
    p.add_argument("--seed", metavar="N", type=int, help="seed of the hidden inputs (default: a new one)")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the notebooks and name them."""
    from xlsr_ref.errors import ExerciseError
    from xlsr_ref.untrusted import shown

    if not arguments.output:
        raise WrongUsage("--output DIR is an empty name")
    from xlsr_ref.teach.grade.assignment import assignment
    from xlsr_ref.teach.grade.catalogue import find

    for name in arguments.names:
        try:
            find(name)
        except ExerciseError as error:
            raise WrongUsage(str(error)) from None
    if arguments.seed is not None and arguments.seed < 0:
        raise WrongUsage(f"--seed {arguments.seed}: give 0 or more")
    more = {"seed": arguments.seed, "personal": arguments.personal, "questions": arguments.question}
    weights = dict(map(_weight, arguments.weight))
    for path in assignment(
        arguments.names, arguments.output, arguments.name, arguments.points, weights=weights, **more
    ):
        say(f"{shown(path)}\n")
    return 0


def _weight(text: str) -> tuple[str, float]:
    """Of "dtype kept=0" the property and its weight."""
    name, sign, number = text.rpartition("=")
    try:
        if not sign:
            raise ValueError
        return name, float(number)
    except ValueError:
        raise WrongUsage(f"--weight {text}: write it as 'dtype kept=0'") from None
