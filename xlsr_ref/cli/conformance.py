"""``xlsr-ref conformance``: a kit for those who write the network in another language, and a check of their numbers."""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, WrongUsage, say


def add(commands: Any) -> None:
    p = commands.add_parser(
        "conformance",
        description="For a port of the network to another language: write a tiny model, its inputs and the\n"
        "float64 numbers of every stage; check which stage of the port departs first, and why.",
        epilog="example:\n"
        "  xlsr-ref conformance write kit\n"
        "  xlsr-ref conformance check kit my_outputs    # a folder of NAME.f32, NAME.f64, or .npz\n"
        "\n"
        "README.txt in the kit says how the files are laid out. Exit status 1: a stage departs.",
        **STYLE,
    )
    verbs = p.add_subparsers(dest="verb", metavar="COMMAND", title="commands", required=True)
    w = verbs.add_parser("write", help="write the kit into a new folder", **STYLE)
    w.add_argument("output", metavar="DIR", help="a new folder")
    w.set_defaults(call=run_write)
    c = verbs.add_parser("check", help="name the first stage that departs", **STYLE)
    c.add_argument("source", metavar="DIR", help="the kit")
    c.add_argument("second", metavar="OUTPUTS", help="the port's numbers: a folder, or an .npz file")
    c.add_argument("--tolerance", metavar="E", type=float, help="default: 1e-9 for float64, 2e-4 for float32")
    c.add_argument("--json", action="store_true", help="write one JSON document instead of a table")
    c.set_defaults(call=run_check)


def run_write(arguments: argparse.Namespace) -> int:
    """Write the kit and name its folder."""
    if not arguments.output:
        raise WrongUsage("DIR is an empty name")
    from xlsr_ref.teach.conformance import write
    from xlsr_ref.untrusted import shown

    say(f"{shown(write(arguments.output))}\n")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Print the stages and what was found; 1 if one departs."""
    import json

    if arguments.tolerance is not None and not 0 < arguments.tolerance < 1:
        raise WrongUsage(f"--tolerance {arguments.tolerance:g}: give a number above 0, and below 1")
    from xlsr_ref.teach.conformance import check

    report = check(arguments.source, arguments.second, arguments.tolerance)
    say(json.dumps(report.to_dict(), indent=2) + "\n" if arguments.json else f"{report}\n")
    return int(not report.passed)
