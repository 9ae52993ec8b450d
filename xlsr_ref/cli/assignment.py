"""``xlsr-ref assignment``: exercises as notebooks to hand out and to grade with nbgrader."""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, WrongUsage, say


def add(commands: Any) -> None:
    p = commands.add_parser(
        "assignment",
        description="Write a notebook for each exercise: the task, a cell to fill in that holds the solution,\n"
        "and a cell that grades. nbgrader makes the students' version and takes the points.",
        epilog="example:\n"
        "  xlsr-ref assignment layer_norm layer_norm_backward -o course --name week3\n"
        "  nbgrader generate_assignment week3 --course-dir course   # into course/release\n"
        "  nbgrader autograde week3 --course-dir course             # from course/submitted\n"
        "\n"
        "xlsr-ref grade --list shows the names.",
        **STYLE,
    )
    p.add_argument("names", metavar="NAME", nargs="+", help="exercises")
    p.add_argument("-o", "--output", metavar="DIR", required=True, help="the course's folder")
    p.add_argument("--name", metavar="TITLE", default="xlsr", help="the assignment's name (default: xlsr)")
    p.add_argument("--points", metavar="N", type=float, default=10, help="for each exercise (default: 10)")
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
    for path in assignment(arguments.names, arguments.output, arguments.name, arguments.points):
        say(f"{shown(path)}\n")
    return 0
