"""``xlsr-ref conformance``: a kit for those who write the network in another language, and a check of their numbers."""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, WrongUsage, say


def add(commands: Any) -> None:
    p = commands.add_parser(
        "conformance",
        description="For a port of the network to another programming language: write a tiny model, its inputs\n"
        "and every stage's float64 values; then find the first stage of the port that differs.",
        epilog="example:\n"
        "  xlsr-ref conformance write kit\n"
        "  xlsr-ref conformance check kit my_outputs    # NAME.f32 or NAME.f64 files, or one .npz\n"
        "\n"
        "README.txt in the kit says how the files are laid out. Exit status 1: a stage differs.",
        **STYLE,
    )
    verbs = p.add_subparsers(dest="verb", metavar="COMMAND", title="commands", required=True)
    w = verbs.add_parser("write", help="write the kit into a new folder", **STYLE)
    w.add_argument("output", metavar="DIR", help="new folder to write")
    w.set_defaults(call=run_write)
    c = verbs.add_parser("check", help="name the first stage that differs and, if known, the mistake", **STYLE)
    c.add_argument("source", metavar="DIR", help="folder of the kit")
    c.add_argument("second", metavar="OUTPUTS", help="values from the port: a folder, or an .npz file")
    c.add_argument(
        "--tolerance", metavar="E", type=float, help="allowed error (default: 1e-9 for float64, 2e-4 for float32)"
    )
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
